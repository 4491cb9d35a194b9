#include "route.h"
#include "buffer.h"
#include "name.h"

#include <stdio.h>
#include <string.h>

#define METHODS_ALL (METHOD_GET | METHOD_POST | METHOD_PUT | METHOD_DELETE)

const struct route routes[] = {
    {"/join", METHOD_POST, false, route_join},
    {"/stats", METHOD_GET, false, route_stats},
    {"/messages", METHOD_GET, false, route_messages},
    {"/pub", METHOD_POST, true, route_say}, /* GET is a websocket */
    {"/post", METHOD_POST, true, route_post},
    {"/ban", METHOD_POST, true, route_ban},
    {"/unban", METHOD_POST, true, route_unban},
    {"/bans", METHOD_POST, true, route_bans},
    {"/kick", METHOD_POST, true, route_kick},
    {"/remove", METHOD_POST, true, route_remove},
    {"/plugin", METHODS_ALL, false, route_plugin},
    {"/health", METHOD_GET, true, route_live},
    {"/health/live", METHOD_GET, true, route_live},
    {"/health/ready", METHOD_GET, true, route_ready},
    {"/metrics", METHOD_GET, true, route_metrics},
    {"/", METHOD_GET, true, route_page},
    {"/style.css", METHOD_GET, true, route_page},
    {"/app.js", METHOD_GET, true, route_page},
    {NULL, 0, false, NULL},
};

/* ---- answers ---- */

static void reply_json(struct request *request, int status, struct text json, const char *headers)
{
    if (!json.length) { /* there is no empty JSON: there was no memory for it */
        status = 503;
        json = text_of("{\"status\":\"error\",\"err\":\"unavailable\"}");
    }
    request->reply(request, status, "application/json", json, headers);
}

void request_reply_json(struct request *request, int status, struct text json)
{
    reply_json(request, status, json, NULL);
}

void error_write(struct buffer *out, const char *err)
{
    buffer_text(out, "{\"status\":\"error\",\"err\":");
    buffer_json_string(out, text_of(err));
    buffer_text(out, "}");
}

void request_reply_error_with(struct request *request, int status, const char *err,
                              const char *headers)
{
    struct buffer json = {0};
    error_write(&json, err);
    reply_json(request, status, (struct text){json.at, json.length}, headers);
    buffer_finish(&json);
}

void request_reply_error(struct request *request, int status, const char *err)
{
    request_reply_error_with(request, status, err, NULL);
}

/* ---- questions ---- */

struct text query_argument(struct text query, const char *name)
{
    const char *p = query.at;
    size_t left = query.length, name_length = strlen(name);
    while (left) {
        const char *nul = memchr(p, 0, left);
        size_t length = nul ? (size_t)(nul - p) : left;
        if (length >= name_length && !memcmp(p, name, name_length)) {
            if (length == name_length)
                return (struct text){p + length, 0}; /* "?limit": there, and empty */
            if (p[name_length] == '=')
                return (struct text){p + name_length + 1, length - name_length - 1};
        }
        size_t step = nul ? length + 1 : length;
        p += step;
        left -= step;
    }
    return (struct text){0};
}

struct text request_argument(const struct request *request, const char *name)
{
    return query_argument(request->query, name);
}

bool request_number(struct request *request, const char *name, uint64_t max, uint64_t *number_out)
{
    struct text text = request_argument(request, name);
    char err[64];
    uint64_t number = 0;
    size_t digits = 0;
    if (!text.at)
        return true;
    for (; digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9'; digits++)
        number = number > max / 10 ? max : number * 10 + (uint64_t)(text.at[digits] - '0');
    if (!digits || digits < text.length) {
        snprintf(err, sizeof err, "Wrong %s: not a number", name);
        request_reply_error(request, 400, err);
        return false;
    }
    *number_out = number < max ? number : max;
    return true;
}

struct name *request_channel(struct request *request)
{
    struct text text = request->rest.length ? request->rest : request_argument(request, "channel");
    struct name *name = name_create(text);
    if (!name)
        request_reply_error(request, 400, "Wrong channel: 1 to 200 bytes of UTF-8");
    return name;
}
