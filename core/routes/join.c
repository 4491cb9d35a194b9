/* join.c: POST /join: where the room is, who is there, what was said. */
#include "ask.h"
#include "buffer.h"
#include "caller.h"
#include "config.h"
#include "json.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"

#include <jansson.h>
#include <stdio.h>

enum { HOST_BYTES_MAX = 255 };

/* ---- the body ---- */

static void reply_wrong_format(struct request *request, const char *why)
{
    char err[JSON_ERROR_TEXT_LENGTH + 20];
    snprintf(err, sizeof err, "Wrong format: %s", why);
    /* jansson quotes the body, and may cut the quotation short within a character. */
    request_reply_error(request, 400, utf8_valid(text_of(err)) ? err : "Wrong format");
}

#define ID_PREFIX "chatUp:chatServer:" /* of the ids that clients know workers by */

/* Where the client is to go. A worker that it could not reach is not named again.
 *   failed   that worker's id, or NULL
 *   returns  false after answering */
static bool place(struct request *request, const char *failed)
{
    struct pipeline *pipeline = request->pipeline;
    if (pipeline->role != ROLE_DISPATCHER) {
        if (!failed || strcmp(failed, pipeline->worker_id) != 0)
            return true;
    } else {
        size_t skip =
            failed && !strncmp(failed, ID_PREFIX, strlen(ID_PREFIX)) ? strlen(ID_PREFIX) : 0;
        const struct worker_place *found = broker_pick_worker(
            pipeline->broker, failed ? text_of(failed + skip) : (struct text){0});
        if (found) {
            struct buffer json = {0};
            buffer_text(&json, "\"host\":");
            buffer_json_string(&json, text_of(found->host));
            buffer_text(&json, ",\"id\":\"" ID_PREFIX);
            buffer_text(&json, found->node);
            buffer_bytes(&json, "\"", 2);
            request->place = json.at;
            if (!json.failed)
                return true;
        }
    }
    request_reply_json(request, 418, text_of("{\"error\":\"No workers available\"}"));
    return false;
}

/* {"worker":{"id":string}}, all of it optional; the body may be empty.
 *   returns  false after answering */
static bool check_body(struct request *request)
{
    if (request->body.length == 0)
        return place(request, NULL);
    json_error_t why;
    if (!json_is_shallow(request->body, (size_t)request->pipeline->conf->limits.json_depth)) {
        reply_wrong_format(request, "nests deeper than limits.json_depth");
        return false;
    }
    json_t *body = json_loadb(request->body.at, request->body.length, 0, &why);
    if (!json_is_object(body)) {
        reply_wrong_format(request, body ? "an object expected" : why.text);
        json_decref(body);
        return false;
    }
    bool placed =
        place(request, json_string_value(json_object_get(json_object_get(body, "worker"), "id")));
    json_decref(body);
    return placed;
}

/* ---- the host ---- */

/* Clients make an URL of it, so it may hold nothing but a name or an address, and a port. */
static bool host_is_good(struct text host)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               ".:-[]_";
    if (host.length > HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < host.length; i++)
        if (!memchr(good, host.at[i], sizeof good - 1))
            return false;
    return true;
}

static void write_host(const struct request *request, struct buffer *out)
{
    const struct config *conf = request->pipeline->conf;
    if (*conf->announce) {
        buffer_json_string(out, text_of(conf->announce));
        return;
    }
    char url[HOST_BYTES_MAX + sizeof "https://[]:65535"];
    if (request->host.length)
        snprintf(url, sizeof url, "%s%.*s", request->secure ? "https://" : "http://",
                 (int)request->host.length, request->host.at);
    else if (strchr(conf->address, ':')) /* IPv6 */
        snprintf(url, sizeof url, "http://[%s]:%d", conf->address, request->pipeline->port);
    else
        snprintf(url, sizeof url, "http://%s:%d", conf->address, request->pipeline->port);
    buffer_json_string(out, text_of(url));
}

/* ---- the answer ---- */

/* {"host":url,"id":worker,"channel":{"subCount":n,"pubCount":n},"epoch":string,"offset":n,
 *  "messages":[…]} */
static void answer(struct request *request, const struct name *room, const struct room_view *view,
                   bool with_history)
{
    struct buffer json = {0};
    buffer_text(&json, "{");
    if (request->place) {
        buffer_text(&json, request->place);
    } else {
        buffer_text(&json, "\"host\":");
        write_host(request, &json);
        buffer_text(&json, ",\"id\":");
        buffer_json_string(&json, text_of(request->pipeline->worker_id));
    }
    buffer_text(&json, ",\"channel\":{\"subCount\":");
    buffer_number(&json, (int64_t)view->readers);
    buffer_text(&json, ",\"pubCount\":");
    buffer_number(&json, (int64_t)view->publishers);
    buffer_text(&json, "},\"epoch\":");
    buffer_json_string(&json, text_of(view->history.at.epoch));
    buffer_text(&json, ",\"offset\":");
    buffer_number(&json, (int64_t)view->history.at.offset);
    buffer_text(&json, ",\"messages\":");
    if (with_history)
        pipeline_write_history(request->pipeline, room, &view->history, true, &json);
    else
        buffer_text(&json, "[]");
    buffer_text(&json, "}");
    request_reply_json(request, 200, (struct text){json.at, json.length});
    buffer_finish(&json);
}

static void answer_all(struct request *request, const struct name *room,
                       const struct room_view *view)
{
    answer(request, room, view, true);
}

static void answer_without_history(struct request *request, const struct name *room,
                                   const struct room_view *view)
{
    answer(request, room, view, false);
}

static void look(struct request *request, struct user *user)
{
    struct name *room = request_channel(request);
    if (room && request_may(request, room, user, RIGHT_READ)) {
        bool history = access_allows(request->pipeline->access, room, user, RIGHT_HISTORY);
        struct room_asked asked = {0};
        if (history)
            asked.history = HISTORY_WHOLE;
        ask_look(request, name_ref(room), &asked, history ? answer_all : answer_without_history);
    }
    name_unref(room);
}

void route_join(struct request *request)
{
    if (!check_body(request))
        return;
    if (!request->place && !*request->pipeline->conf->announce && !host_is_good(request->host)) {
        request_reply_error(request, 400, "Wrong Host");
        return;
    }
    struct name *room = request_channel(request);
    if (room)
        request_with_user(request, look);
    name_unref(room);
}
