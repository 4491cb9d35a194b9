/* {"id": 1, "auth": token} {"id": 2, "join": {"room": name}} {"id": 3, "say": {"msg", "cid"}}
 *
 * Each request gets a reply in its order: one that is done waits for those before it. */
#include "access.h"
#include "alloc.h"
#include "caller.h"
#include "chain.h"
#include "config.h"
#include "connection.h"
#include "counters.h"
#include "json.h"
#include "name.h"
#include "pipeline.h"
#include "say.h"
#include "server.h"
#include "user.h"

#include <jansson.h>

struct publisher { /* outlives its connection while the broker is asked for it */
    unsigned refs;
    struct connection *conn; /* NULL: it has left */
    struct pipeline *pipeline;
    struct name *room;
    char member[UUID_LENGTH + 1];
    bool announced, joining;
    struct list joins; /* struct reply, by its waiting: all that the join under way answers */
    struct bucket says, join_bucket;
    struct speaker speaker;
    struct user *visitor; /* a reference: whom the plugins let join; NULL: nobody yet */
    char visitor_address[ADDRESS_TEXT_SIZE];
    uint64_t generation;   /* of the settings by which, */
    uint32_t user_changes; /* and of whom, may_say was decided; of room */
    bool may_say;
    struct list replies; /* struct reply, in the order of their requests */
    unsigned pending;
    char *leaving; /* the reason of the close that follows the last reply; NULL: it stays */
};

struct reply {
    struct list in_order, waiting;
    struct publisher *publisher;
    char *id;           /* JSON */
    struct buffer json; /* empty until it is known */
};

static void publisher_unref(struct publisher *publisher)
{
    if (--publisher->refs)
        return;
    name_unref(publisher->room);
    free(publisher->leaving);
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
    list_init(&reply->waiting);
    publisher->refs++;
    if (++publisher->pending >= (unsigned)publisher->pipeline->conf->limits.pending_says) {
        count_up(COUNT_paused_says);
        connection_pause(publisher->conn, PAUSE_SAYS); /* its socket waits, nobody else */
    }
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
        if (!reply->json.length && !reply->json.failed)
            return;
        if (publisher->conn && publisher->conn->out.state == SUBSCRIBER_OPEN) {
            struct buffer json = {0};
            buffer_text(&json, "{\"id\":");
            buffer_text(&json, reply->id);
            buffer_text(&json, ",\"reply\":");
            buffer_bytes(&json, reply->json.at, reply->json.length);
            buffer_text(&json, "}");
            if (reply->json.failed)
                buffer_fail(&json);
            websocket_send(publisher->conn, (struct text){json.at, json.length});
            buffer_finish(&json);
        }
        reply_free(reply);
        publisher->pending--;
    }
    if (publisher->conn &&
        publisher->pending < (unsigned)publisher->pipeline->conf->limits.pending_says)
        connection_resume(publisher->conn, PAUSE_SAYS);
    if (publisher->conn && publisher->leaving && !publisher->pending)
        websocket_close(publisher->conn, 1001, publisher->leaving);
}

void publisher_leave(struct connection *conn, const char *reason)
{
    struct publisher *publisher = conn->publisher;
    if (publisher->leaving)
        return;
    publisher->leaving = xstrdup(reason);
    connection_pause(conn, PAUSE_LEAVING);
    replies_send(publisher);
}

static void reply_with(void *arg, struct text json)
{
    struct reply *reply = arg;
    struct publisher *publisher = reply->publisher;
    buffer_bytes(&reply->json, json.at, json.length);
    if (!json.length) /* of a buffer that has failed */
        buffer_fail(&reply->json);
    replies_send(publisher);
    publisher_unref(publisher);
}

static void reply_error(struct reply *reply, const char *err)
{
    char json[ANSWER_BYTES];
    reply_with(reply, answer_error(json, err));
}

static void reply_limited(struct reply *reply, int64_t wait_ms)
{
    char json[ANSWER_BYTES];
    reply_with(reply, answer_limited(json, wait_ms));
}

/* ---- requests ---- */

/* A second token may come later, before the first one ends: of the same person only. */
static void on_auth(struct publisher *publisher, const json_t *token, struct reply *reply)
{
    struct connection *conn = publisher->conn;
    struct user *user = NULL;
    struct buffer refusal = {0};
    char address[ADDRESS_TEXT_SIZE];
    address_format(&conn->client, address);
    enum token_status status =
        caller_user(publisher->pipeline, json_text(token), address, &user, &refusal);
    if (status == TOKEN_REFUSED) {
        reply_with(reply, (struct text){refusal.at, refusal.length});
    } else if (status != TOKEN_OK) {
        reply_error(reply, token_error(status));
    } else if (conn->user && !user_same_identity(conn->user, user)) {
        user_unref(user);
        reply_error(reply, "Already authenticated");
    } else {
        connection_set_user(conn, user);
        reply_with(reply, text_of("\"ok\""));
    }
    buffer_finish(&refusal);
}

static void visit_of(struct visit *visit, const struct user *user, const struct name *room,
                     const char *address)
{
    *visit = (struct visit){.visit = {.room = {room->at, room->length},
                                      .sub = {user->sub, strlen(user->sub)},
                                      .name = {user->name, strlen(user->name)},
                                      .user = {user->public_json, user->public_length},
                                      .address = {address, strlen(address)}}};
}

static void plugins_leave(struct publisher *publisher);

/* One answer to all who asked for the same room meanwhile. */
static void joins_answer(struct publisher *publisher, struct text json)
{
    publisher->joining = false;
    while (!list_empty(&publisher->joins)) {
        struct reply *reply = list_entry(publisher->joins.next, struct reply, waiting);
        list_remove(&reply->waiting);
        reply_with(reply, json);
    }
}

static void write_joined(struct buffer *json, enum broker_status status, int64_t ban_ttl,
                         struct text ban_reason)
{
    if (status != BROKER_OK) {
        buffer_text(json, "{\"status\":\"error\",\"err\":");
        buffer_json_string(json, text_of(broker_status_text(status)));
        buffer_text(json, "}");
    } else if (!ban_ttl) {
        buffer_text(json, "\"ok\"");
    } else {
        buffer_text(json, "{\"status\":\"ok\",\"comment\":\"banned\",\"banTTL\":");
        buffer_number(json, ban_ttl);
        if (ban_reason.length) {
            buffer_text(json, ",\"reason\":");
            buffer_json_string(json, ban_reason);
        }
        buffer_text(json, "}");
    }
}

static void on_joined(void *arg, enum broker_status status, int64_t ban_ttl, struct text ban_reason)
{
    struct publisher *publisher = arg;
    struct buffer json = {0};
    if (status != BROKER_OK) {
        plugins_leave(publisher);
        name_unref(publisher->room);
        publisher->room = NULL;
    }
    if (status != BROKER_OK || ban_ttl)
        publisher->announced = false;
    write_joined(&json, status, ban_ttl, ban_reason);
    joins_answer(publisher, (struct text){json.at, json.length});
    buffer_finish(&json);
    publisher_unref(publisher);
}

/* Stage leave: of whoever a plugin has let join. */
static void plugins_leave(struct publisher *publisher)
{
    struct visit visit;
    if (!publisher->visitor)
        return;
    visit_of(&visit, publisher->visitor, publisher->room, publisher->visitor_address);
    chain_leave(publisher->pipeline->chain, &visit.visit);
    user_unref(publisher->visitor);
    publisher->visitor = NULL;
}

/* Stage join. */
static enum chain_verdict plugins_join(struct publisher *publisher, struct name *room,
                                       struct reply *reply)
{
    struct visit visit;
    address_format(&publisher->conn->client, publisher->visitor_address);
    visit_of(&visit, publisher->conn->user, room, publisher->visitor_address);
    enum chain_verdict verdict = chain_join(publisher->pipeline->chain, &visit);
    if (verdict == CHAIN_REJECT)
        reply_with(reply, (struct text){visit.reply, visit.reply_length});
    else
        publisher->visitor = user_ref(publisher->conn->user);
    visit_finish(&visit);
    return verdict;
}

/* A plugin lets them in, and does not want the room to be told. */
static void join_silently(struct publisher *publisher, struct name *name, struct reply *reply)
{
    const struct user *user = publisher->conn->user;
    const struct identity who = {text_of(user->sub), text_of(user->name), publisher->conn->client};
    struct text reason = {0};
    struct buffer json = {0};
    publisher->room = name_ref(name);
    publisher->generation = 0;
    write_joined(&json, BROKER_OK, broker_ban_ttl(publisher->pipeline->broker, name, &who, &reason),
                 reason);
    reply_with(reply, (struct text){json.at, json.length});
    buffer_finish(&json);
}

static void join(struct publisher *publisher, struct name *name, struct reply *reply)
{
    enum chain_verdict verdict = plugins_join(publisher, name, reply);
    if (verdict == CHAIN_REJECT)
        return;
    if (verdict == CHAIN_CONSUME) {
        join_silently(publisher, name, reply);
        return;
    }
    const struct user *user = publisher->conn->user;
    publisher->room = name_ref(name);
    publisher->generation = 0; /* what was decided may be of another one, that was not entered */
    publisher->announced = publisher->joining = true;
    list_append(&publisher->joins, &reply->waiting);
    publisher->refs++;
    broker_join(
        publisher->pipeline->broker, name, publisher->member,
        (struct text){user->public_json, user->public_length},
        &(struct identity){text_of(user->sub), text_of(user->name), publisher->conn->client},
        on_joined, publisher);
}

static void on_join(struct publisher *publisher, const json_t *asked, struct reply *reply)
{
    const struct connection *conn = publisher->conn;
    const struct pipeline *pipeline = publisher->pipeline;
    const json_t *room = json_object_get(asked, "room");
    struct name *name = json_is_string(room) ? name_create(json_text(room)) : NULL;
    int64_t wait_ms;
    if (!name)
        reply_error(reply, "Wrong format");
    else if (!conn->user)
        reply_error(reply, "You need to be authenticated to join a room");
    else if (publisher->room && !name_equal(publisher->room, name))
        reply_error(reply, "Already in another room");
    else if (publisher->room && publisher->joining)
        list_append(&publisher->joins, &reply->waiting);
    else if (publisher->room)
        reply_with(reply, text_of("\"ok\""));
    else if (!access_allows(pipeline->access, name, conn->user, RIGHT_JOIN))
        reply_error(reply, "forbidden");
    else if ((wait_ms = limiter_take(pipeline->limiter, pipeline->conf, LIMITED_JOIN,
                                     &publisher->join_bucket, &conn->client, conn->user)))
        reply_limited(reply, wait_ms);
    else
        join(publisher, name, reply);
    name_unref(name);
}

/* Decided anew when the rules or the token have changed: then it might not get in any more. */
static bool may_say(struct publisher *publisher)
{
    const struct pipeline *pipeline = publisher->pipeline;
    const struct connection *conn = publisher->conn;
    if (publisher->generation != pipeline->generation ||
        publisher->user_changes != conn->user_changes) {
        publisher->generation = pipeline->generation;
        publisher->user_changes = conn->user_changes;
        publisher->may_say =
            access_allows(pipeline->access, publisher->room, conn->user, RIGHT_JOIN) &&
            access_allows(pipeline->access, publisher->room, conn->user, RIGHT_SAY);
    }
    return publisher->may_say;
}

static void on_say(struct publisher *publisher, const json_t *say, struct reply *reply)
{
    struct say what;
    struct connection *conn = publisher->conn;
    struct pipeline *pipeline = publisher->pipeline;
    size_t max = (size_t)pipeline->conf->limits.message_bytes;
    int64_t wait_ms;
    if (!say_read(say, &what)) {
        reply_error(reply, "Wrong format");
    } else if (!publisher->room) {
        reply_error(reply, "Never joined a room");
    } else if (!may_say(publisher)) {
        reply_error(reply, "forbidden");
    } else if (what.msg.length > max) {
        char json[ANSWER_BYTES];
        count_up(COUNT_too_long_messages);
        reply_with(reply, answer_too_long(json, max));
    } else if ((wait_ms = limiter_take(pipeline->limiter, pipeline->conf, LIMITED_SAY,
                                       &publisher->says, &conn->client, conn->user))) {
        reply_limited(reply, wait_ms);
    } else {
        pipeline_say(pipeline, &publisher->speaker, conn->user, &conn->client, publisher->room,
                     what.msg, what.cid, reply_with, reply);
    }
}

static const struct {
    const char *verb;
    void (*handle)(struct publisher *publisher, const json_t *argument, struct reply *reply);
} verbs[] = {{"say", on_say}, {"join", on_join}, {"auth", on_auth}};

void publisher_on_message(struct connection *conn, struct text message, bool binary)
{
    struct publisher *publisher = conn->publisher;
    size_t depth = (size_t)publisher->pipeline->conf->limits.json_depth;
    json_t *request = binary ? NULL : json_read(message, depth);
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
    list_init(&publisher->joins);
    speaker_init(&publisher->speaker);
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
    if (publisher->room)
        plugins_leave(publisher);
    publisher_unref(publisher);
}

bool publisher_is_in(const struct connection *conn, const struct name *room)
{
    const struct publisher *publisher = conn->publisher;
    return publisher && (!room || (publisher->room && name_equal(publisher->room, room)));
}
