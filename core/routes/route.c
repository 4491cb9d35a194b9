#include "route.h"
#include "buffer.h"
#include "name.h"
#include "settings.h"

#include <stdio.h>
#include <string.h>

#define METHODS_ALL (METHOD_GET | METHOD_POST | METHOD_PUT | METHOD_DELETE)

enum { NOT_ON_WORKERS = 1 << ROLE_WORKER, NOT_ON_DISPATCHERS = 1 << ROLE_DISPATCHER };

/* clang-format off */
const struct route routes[] = {
    {"/join", METHOD_POST, false, route_join, NOT_ON_WORKERS},
    {"/stats", METHOD_GET, false, route_stats, NOT_ON_WORKERS},
    {"/messages", METHOD_GET, false, route_messages, NOT_ON_WORKERS},
    {"/pub", METHOD_POST, true, route_say, NOT_ON_DISPATCHERS}, /* GET is a websocket */
    {"/post", METHOD_POST, true, route_post, NOT_ON_WORKERS},
    {"/ban", METHOD_POST, true, route_ban, NOT_ON_WORKERS},
    {"/unban", METHOD_POST, true, route_unban, NOT_ON_WORKERS},
    {"/bans", METHOD_POST, true, route_bans, NOT_ON_WORKERS},
    {"/kick", METHOD_POST, true, route_kick, NOT_ON_WORKERS},
    {"/remove", METHOD_POST, true, route_remove, NOT_ON_WORKERS},
    {"/plugin", METHODS_ALL, false, route_plugin, 0},
    {"/health", METHOD_GET, true, route_live, 0},
    {"/health/live", METHOD_GET, true, route_live, 0},
    {"/health/ready", METHOD_GET, true, route_ready, 0},
    {"/metrics", METHOD_GET, true, route_metrics, 0},
    {"/", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/demo.css", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/demo.js", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/chatup.js", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/chatup.mjs", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/protocol.mjs", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/chatup.css", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/examples/original.html", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/examples/original.css", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {"/examples/original.js", METHOD_GET, true, route_page, NOT_ON_WORKERS},
    {NULL, 0, false, NULL, 0},
};
/* clang-format on */

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
