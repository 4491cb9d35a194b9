/* say.c: POST /pub: what a publisher says, for clients that cannot open a websocket. The checks and
 * the answers are those of net/publisher.c. Nobody is announced by it as having joined. */
#include "say.h"
#include "alloc.h"
#include "buffer.h"
#include "caller.h"
#include "config.h"
#include "counters.h"
#include "json.h"
#include "limiter.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "user.h"

#include <jansson.h>
#include <stdio.h>

/* ---- answers ---- */

/* An answer that is no error is 200, one whose err is not here 422: a plugin has refused it. */
static int status_of(const char *err)
{
    static const struct {
        const char *err;
        int status;
    } known[] = {
        {"banned", 403},  {"messageTooLong", 413},    {"rateLimited", 429},  {"unavailable", 503},
        {"unknown", 503}, {"pluginUnavailable", 503}, {"tooManyRooms", 503}, {"busy", 503}};
    if (!err)
        return 200;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].err, err))
            return known[i].status;
    return 422;
}

/* {"status":"error","err":…}: the reply of a publisher's say, with the status that fits. */
static void answer(struct request *request, struct text reply)
{
    enum { WAIT_S_MAX = 86400 };
    if (!reply.length) /* no memory for it: it may have been published */
        reply = text_of("{\"status\":\"error\",\"err\":\"unknown\"}");
    json_t *json = json_loadb(reply.at, reply.length, JSON_DECODE_ANY, NULL);
    const char *status = json_string_value(json_object_get(json, "status"));
    const char *err = json_string_value(json_object_get(json, "err"));
    double ttw = json_number_value(json_object_get(json, "ttw"));
    char headers[48];
    bool failed = status && !strcmp(status, "error");
    int code = status_of(failed ? err ? err : "" : NULL);
    ttw = ttw > 0 ? ttw < WAIT_S_MAX ? ttw : WAIT_S_MAX : 0;
    snprintf(headers, sizeof headers, "retry-after: %d\r\n", (int)ttw + ((int)ttw < ttw));
    request->reply(request, code, "application/json", reply, code == 429 ? headers : NULL);
    json_decref(json);
}

/* ---- the request ---- */

/* {"room":string,"msg":string,"cid":string}; "channel" will do for "room", and the header
 * Idempotency-Key for "cid".
 *   returns  the room, name_unref; NULL: wrong */
static struct name *body_read(const struct request *request, const json_t *body,
                              struct say *say_out)
{
    const json_t *room = json_object_get(body, "room");
    struct text key = request->idempotency_key;
    if (!room)
        room = json_object_get(body, "channel");
    if (!json_is_string(room) || !say_read(body, say_out))
        return NULL;
    if (!say_out->cid.at && key.at) {
        if (!key.length || key.length > CLIENT_ID_BYTES_MAX)
            return NULL;
        say_out->cid = key;
    }
    return name_create(json_text(room));
}

struct saying {
    struct request *request;
    struct speaker speaker;
};

static void said(void *arg, struct text reply)
{
    struct saying *saying = arg;
    saying->request->left = NULL;
    answer(saying->request, reply);
    free(saying);
}

static void on_left(struct request *request)
{
    struct saying *saying = request->left_arg;
    speaker_left(&saying->speaker);
}

static void say(struct request *request, struct user *user, struct name *room,
                const struct say *what)
{
    struct pipeline *pipeline = request->pipeline;
    size_t max = (size_t)pipeline->conf->limits.message_bytes;
    struct address address = {{0}};
    char json[ANSWER_BYTES];
    int64_t wait_ms;
    address_parse(text_of(request->address), &address);
    if (what->msg.length > max) {
        count_up(COUNT_too_long_messages);
        answer(request, answer_too_long(json, max));
    } else if ((wait_ms = limiter_take(pipeline->limiter, pipeline->conf, LIMITED_SAY, NULL,
                                       &address, user))) {
        answer(request, answer_limited(json, wait_ms));
    } else {
        struct saying *saying = xmalloc(sizeof *saying);
        saying->request = request;
        speaker_init(&saying->speaker);
        request->left = on_left;
        request->left_arg = saying;
        pipeline_say(pipeline, &saying->speaker, user, &address, room, what->msg, what->cid, said,
                     saying);
    }
}

static void say_as(struct request *request, struct user *user)
{
    size_t depth = (size_t)request->pipeline->conf->limits.json_depth;
    struct say what;
    json_t *body = json_read(request->body, depth);
    struct name *room = body_read(request, body, &what);
    if (!room)
        request_reply_error(request, 400, "Wrong format");
    else if (request_may(request, room, user, RIGHT_JOIN) &&
             request_may(request, room, user, RIGHT_SAY))
        say(request, user, room, &what);
    name_unref(room);
    json_decref(body);
}

void route_say(struct request *request)
{
    request_with_user(request, say_as);
}
