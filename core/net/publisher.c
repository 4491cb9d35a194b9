/* {"id": 1, "auth": token} {"id": 2, "join": {"room": name}} {"id": 3, "say": {"msg", "cid"}}
 *
 * Each request gets a reply in its order: one that is done waits for those before it. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "connection.h"
#include "frame.h"
#include "name.h"
#include "pipeline.h"
#include "server.h"
#include "user.h"

#include <jansson.h>

struct publisher { /* outlives its connection while the broker is asked for it */
    unsigned refs;
    struct connection *conn; /* NULL: it has left */
    struct pipeline *pipeline;
    struct user *user;
    struct name *room;
    char member[UUID_LENGTH + 1];
    bool announced;
    struct list replies; /* struct reply, in the order of their requests */
    unsigned pending;
};

struct reply {
    struct list in_order;
    struct publisher *publisher;
    char *id;           /* JSON */
    struct buffer json; /* empty until it is known */
};

static void publisher_unref(struct publisher *publisher)
{
    if (--publisher->refs)
        return;
    user_unref(publisher->user);
    name_unref(publisher->room);
    free(publisher);
}

/* ---- replies ---- */

static struct reply *reply_open(struct publisher *publisher, const json_t *id)
{
    struct reply *reply = xcalloc(1, sizeof *reply);
    reply->publisher = publisher;
    reply->id = json_is_string(id) || json_is_number(id)
                    ? json_dumps(id, JSON_COMPACT | JSON_ENCODE_ANY)
                    : xstrdup("null");
    list_append(&publisher->replies, &reply->in_order);
    publisher->refs++;
    if (++publisher->pending == (unsigned)publisher->pipeline->conf->limits.pending_says)
        lws_rx_flow_control(publisher->conn->wsi, 0); /* its socket waits, nobody else */
    return reply;
}

static void reply_free(struct reply *reply)
{
    list_remove(&reply->in_order);
    buffer_finish(&reply->json);
    free(reply->id);
    free(reply);
}

static void replies_send(struct publisher *publisher)
{
    while (!list_empty(&publisher->replies)) {
        struct reply *reply = list_entry(publisher->replies.next, struct reply, in_order);
        if (!reply->json.length)
            return;
        if (publisher->conn && publisher->conn->out.state == SUBSCRIBER_OPEN) {
            struct buffer json = {0};
            buffer_text(&json, "{\"id\":");
            buffer_text(&json, reply->id);
            buffer_text(&json, ",\"reply\":");
            buffer_bytes(&json, reply->json.at, reply->json.length);
            buffer_text(&json, "}");
            struct frame *frame = frame_create((struct text){json.at, json.length});
            if (subscriber_send(&publisher->conn->out, frame) == QUEUE_FULL)
                subscriber_close(&publisher->conn->out, CLOSE_TOO_SLOW);
            frame_unref(frame);
            buffer_finish(&json);
        }
        reply_free(reply);
        if (publisher->pending-- == (unsigned)publisher->pipeline->conf->limits.pending_says &&
            publisher->conn)
            lws_rx_flow_control(publisher->conn->wsi, 1);
    }
}

static void reply_with(void *arg, struct text json)
{
    struct reply *reply = arg;
    struct publisher *publisher = reply->publisher;
    buffer_bytes(&reply->json, json.at, json.length);
    replies_send(publisher);
    publisher_unref(publisher);
}

static void reply_error(struct reply *reply, const char *err)
{
    char json[128];
    snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"%s\"}", err);
    reply_with(reply, text_of(json));
}

/* ---- requests ---- */

static void on_auth(struct publisher *publisher, const json_t *token, struct reply *reply)
{
    static const char *const errors[] = {[TOKEN_MALFORMED] = "Wrong format",
                                         [TOKEN_WRONG] = "Wrong JWT",
                                         [TOKEN_CONTENT] = "Wrong JWT content"};
    struct pipeline *pipeline = publisher->pipeline;
    size_t length = json_string_length(token);
    if (publisher->user) {
        reply_error(reply, "Already authenticated");
        return;
    }
    if (!json_is_string(token) || length > (size_t)pipeline->conf->limits.token_bytes) {
        reply_error(reply, "Wrong format");
        return;
    }
    enum token_status status = user_from_token(pipeline->keys, json_string_value(token), length,
                                               clock_wall_ms(), &publisher->user);
    if (status == TOKEN_OK)
        reply_with(reply, text_of("\"ok\""));
    else
        reply_error(reply, errors[status]);
}

static void on_joined(void *arg, enum broker_status status, int64_t ban_ttl)
{
    struct reply *reply = arg;
    struct publisher *publisher = reply->publisher;
    if (status != BROKER_OK) {
        name_unref(publisher->room);
        publisher->room = NULL;
        publisher->announced = false;
        reply_error(reply, status == BROKER_FULL ? "tooManyRooms" : "unavailable");
        return;
    }
    if (ban_ttl) {
        char json[96];
        publisher->announced = false;
        snprintf(json, sizeof json, "{\"status\":\"ok\",\"comment\":\"banned\",\"banTTL\":%lld}",
                 (long long)ban_ttl);
        reply_with(reply, text_of(json));
        return;
    }
    reply_with(reply, text_of("\"ok\""));
}

static void on_join(struct publisher *publisher, const json_t *join, struct reply *reply)
{
    const json_t *room = json_object_get(join, "room");
    struct name *name =
        json_is_string(room)
            ? name_create((struct text){json_string_value(room), json_string_length(room)})
            : NULL;
    if (!name) {
        reply_error(reply, "Wrong format");
    } else if (!publisher->user) {
        reply_error(reply, "You need to be authenticated to join a room");
    } else if (publisher->room) {
        if (name_equal(publisher->room, name))
            reply_with(reply, text_of("\"ok\""));
        else
            reply_error(reply, "Already in another room");
    } else {
        const struct user *user = publisher->user;
        publisher->room = name_ref(name);
        publisher->announced = true;
        broker_join(publisher->pipeline->broker, name, publisher->member,
                    (struct text){user->public_json, user->public_length}, text_of(user->sub),
                    text_of(user->name), on_joined, reply);
    }
    name_unref(name);
}

static void on_say(struct publisher *publisher, const json_t *say, struct reply *reply)
{
    const json_t *msg = json_object_get(say, "msg"), *cid = json_object_get(say, "cid");
    size_t max = (size_t)publisher->pipeline->conf->limits.message_bytes;
    if (!json_is_string(msg) || (cid && (!json_is_string(cid) || !json_string_length(cid) ||
                                         json_string_length(cid) > 64))) {
        reply_error(reply, "Wrong format");
    } else if (!publisher->room) {
        reply_error(reply, "Never joined a room");
    } else if (json_string_length(msg) > max) {
        char json[96];
        snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"messageTooLong\",\"max\":%zu}",
                 max);
        reply_with(reply, text_of(json));
    } else {
        pipeline_say(publisher->pipeline, publisher->user, publisher->room,
                     (struct text){json_string_value(msg), json_string_length(msg)},
                     (struct text){json_string_value(cid), json_string_length(cid)}, reply_with,
                     reply);
    }
}

static const struct {
    const char *verb;
    void (*handle)(struct publisher *publisher, const json_t *argument, struct reply *reply);
} verbs[] = {{"say", on_say}, {"join", on_join}, {"auth", on_auth}};

void publisher_on_message(struct connection *conn, struct text message, bool binary)
{
    struct publisher *publisher = conn->publisher;
    json_t *request = binary ? NULL : json_loadb(message.at, message.length, 0, NULL);
    const json_t *id = json_object_get(request, "id");
    struct reply *reply =
        reply_open(publisher, json_is_string(id) && json_string_length(id) > 64 ? NULL : id);
    bool has_id = json_is_number(id) || (json_is_string(id) && json_string_length(id) <= 64);
    bool one_verb = json_object_size(request) == 2;
    for (size_t i = 0; has_id && one_verb && i < sizeof verbs / sizeof *verbs; i++) {
        const json_t *argument = json_object_get(request, verbs[i].verb);
        if (!argument)
            continue;
        verbs[i].handle(publisher, argument, reply);
        json_decref(request);
        return;
    }
    reply_error(reply, "Wrong format");
    json_decref(request);
}

/* ---- life ---- */

void publisher_on_open(struct connection *conn)
{
    struct publisher *publisher = xcalloc(1, sizeof *publisher);
    publisher->refs = 1;
    publisher->conn = conn;
    publisher->pipeline = server_pipeline(conn->server);
    uuid_next(&publisher->pipeline->uuids, publisher->member);
    list_init(&publisher->replies);
    conn->publisher = publisher;
}

void publisher_on_closed(struct connection *conn)
{
    struct publisher *publisher = conn->publisher;
    if (!publisher)
        return;
    publisher->conn = NULL;
    conn->publisher = NULL;
    if (publisher->announced)
        broker_leave(publisher->pipeline->broker, publisher->room, publisher->member);
    publisher_unref(publisher);
}

bool publisher_is_authenticated(const struct connection *conn)
{
    return conn->publisher && conn->publisher->user;
}
