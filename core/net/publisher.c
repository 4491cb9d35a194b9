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
#include "frame.h"
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
    struct list joins;     /* struct reply, by its waiting: all that the join under way answers */
    struct reply *asking;  /* a plugin takes its time about this auth or join; NULL: none */
    struct caller *caller; /* of that auth */
    struct entry *entry;   /* of that join */
    struct list behind;    /* struct reply, by its waiting: what came since, with its request */
    unsigned behind_count;
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
    struct buffer frame;   /* as far as it is known */
    bool known;            /* whole */
    struct buffer request; /* of one that waits behind another */
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

/* id: JSON, at most some hundred bytes */
static struct reply *reply_open(struct publisher *publisher, struct text id)
{
    enum { MOST_ARE = 192 };
    struct reply *reply = xmalloc(sizeof *reply);
    *reply = (struct reply){.publisher = publisher};
    frame_begin(&reply->frame, MOST_ARE);
    buffer_text(&reply->frame, "{\"id\":");
    buffer_bytes(&reply->frame, id.at, id.length);
    buffer_text(&reply->frame, ",\"reply\":");
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
    buffer_finish(&reply->frame);
    buffer_finish(&reply->request);
    free(reply);
}

/* Those that are ready, up to the first that is not. */
static void replies_write(struct publisher *publisher)
{
    while (!list_empty(&publisher->replies)) {
        struct reply *reply = list_entry(publisher->replies.next, struct reply, in_order);
        if (!reply->known)
            return;
        if (publisher->conn)
            websocket_send_frame(publisher->conn,
                                 frame_end(&reply->frame, NULL, &(struct position){0}, true));
        reply_free(reply);
        publisher->pending--;
    }
}

static void replies_send(struct publisher *publisher)
{
    if (publisher->conn)
        connection_cork(publisher->conn);
    replies_write(publisher);
    if (publisher->conn)
        connection_uncork(publisher->conn);
    if (publisher->conn &&
        publisher->pending < (unsigned)publisher->pipeline->conf->limits.pending_says)
        connection_resume(publisher->conn, PAUSE_SAYS);
    if (publisher->conn && publisher->leaving && !publisher->pending)
        websocket_close(publisher->conn, 1001, publisher->leaving);
}

void publisher_answer(struct connection *conn)
{
    struct publisher *publisher = conn->publisher;
    publisher->refs++; /* the connection may turn out to be broken */
    replies_send(publisher);
    publisher_unref(publisher);
}

static void behind_forget(struct publisher *publisher);

void publisher_leave(struct connection *conn, const char *reason)
{
    struct publisher *publisher = conn->publisher;
    if (publisher->leaving)
        return;
    publisher->leaving = xstrdup(reason);
    connection_pause(conn, PAUSE_LEAVING);
    behind_forget(publisher);
    replies_send(publisher);
}

static void reply_with(void *arg, struct text json)
{
    struct reply *reply = arg;
    struct publisher *publisher = reply->publisher;
    buffer_bytes(&reply->frame, json.at, json.length);
    buffer_text(&reply->frame, "}");
    if (!json.length) /* of a buffer that has failed */
        buffer_fail(&reply->frame);
    reply->known = true;
    if (publisher->conn) /* what is ready by the end of the turn leaves as one */
        server_answer_later(publisher->conn->server, publisher->conn);
    else
        replies_write(publisher);
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

static void behind_go_on(struct publisher *publisher);
static void hold(struct publisher *publisher, struct reply *reply, struct text message);

/* A second token may come later, before the first one ends: of the same person only. */
static void on_known(void *arg, enum token_status status, struct user *user, struct text refusal)
{
    struct reply *reply = arg;
    struct publisher *publisher = reply->publisher;
    struct connection *conn = publisher->conn;
    bool deferred = publisher->caller;
    publisher->caller = NULL;
    publisher->asking = NULL;
    if (status == TOKEN_REFUSED || status == TOKEN_UNSURE) {
        reply_with(reply, refusal);
    } else if (status != TOKEN_OK) {
        reply_error(reply, token_error(status));
    } else if (conn->user && !user_same_identity(conn->user, user)) {
        user_unref(user);
        reply_error(reply, "Already authenticated");
    } else {
        connection_set_user(conn, user);
        reply_with(reply, text_of("\"ok\""));
    }
    if (deferred)
        behind_go_on(publisher);
}

static void on_auth(struct publisher *publisher, const json_t *token, struct reply *reply)
{
    char address[ADDRESS_TEXT_SIZE];
    address_format(&publisher->conn->client, address);
    struct caller *caller = caller_ask(publisher->pipeline, json_text(token), address,
                                       publisher->conn->tags, on_known, reply);
    if (!caller)
        return;
    publisher->caller = caller;
    publisher->asking = reply;
}

static void visit_of(struct visit *visit, const struct user *user, const struct name *room,
                     const char *address)
{
    *visit = (struct visit){.tags = user->tags,
                            .visit = {.room = {room->at, room->length},
                                      .sub = {user->sub, strlen(user->sub)},
                                      .name = {user->name, strlen(user->name)},
                                      .user = {user->public_json, user->public_length},
                                      .address = {address, strlen(address)}}};
}

static void not_joined(struct publisher *publisher);

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
    if (status != BROKER_OK)
        not_joined(publisher);
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
    chain_leave(publisher->pipeline->chain, &visit);
    user_unref(publisher->visitor);
    publisher->visitor = NULL;
}

static void not_joined(struct publisher *publisher)
{
    plugins_leave(publisher);
    name_unref(publisher->room);
    publisher->room = NULL;
}

/* "ok", or that they are banned: of who is in the room already, or whom a plugin lets in without
 * the room being told. */
static void tell_joined(struct publisher *publisher, struct reply *reply)
{
    const struct user *user = publisher->conn->user;
    const struct identity who = {text_of(user->sub), text_of(user->name), publisher->conn->client};
    struct text reason = {0};
    struct buffer json = {0};
    int64_t ttl = broker_ban_ttl(publisher->pipeline->broker, publisher->room, &who, &reason);
    write_joined(&json, BROKER_OK, ttl, reason);
    reply_with(reply, (struct text){json.at, json.length});
    buffer_finish(&json);
}

static void join_aloud(struct publisher *publisher, struct reply *reply)
{
    const struct user *user = publisher->conn->user;
    publisher->announced = publisher->joining = true;
    list_append(&publisher->joins, &reply->waiting);
    publisher->refs++;
    broker_join(
        publisher->pipeline->broker, publisher->room, publisher->member,
        (struct text){user->public_json, user->public_length},
        &(struct identity){text_of(user->sub), text_of(user->name), publisher->conn->client},
        on_joined, publisher);
}

/* ---- stage join ---- */

struct entry {
    struct visit visit; /* first */
    struct publisher *publisher;
    struct reply *reply;
    struct name *room;
    struct user *user; /* the connection's: another token waits behind */
};

static void entry_free(struct entry *entry)
{
    visit_finish(&entry->visit);
    name_unref(entry->room);
    user_unref(entry->user);
    free(entry);
}

static bool may_join(const struct publisher *publisher, const struct name *room)
{
    return access_allows(publisher->pipeline->access, room, publisher->conn->user, RIGHT_JOIN);
}

static void entry_judged(struct entry *entry, enum chain_verdict verdict)
{
    struct publisher *publisher = entry->publisher;
    if (verdict == CHAIN_REJECT) {
        reply_with(entry->reply, (struct text){entry->visit.reply, entry->visit.reply_length});
    } else {
        publisher->visitor = user_ref(entry->user);
        publisher->room = name_ref(entry->room);
        publisher->generation = 0; /* what was decided may be of another one, not entered */
        if (!may_join(publisher, entry->room)) { /* no more, since a plugin was asked */
            not_joined(publisher);
            reply_error(entry->reply, "forbidden");
        } else if (verdict == CHAIN_CONSUME) {
            tell_joined(publisher, entry->reply);
        } else {
            join_aloud(publisher, entry->reply);
        }
    }
    entry_free(entry);
}

static void on_entry_judged(struct visit *visit, enum chain_verdict verdict)
{
    struct entry *entry = (struct entry *)visit;
    struct publisher *publisher = entry->publisher;
    publisher->entry = NULL;
    publisher->asking = NULL;
    entry_judged(entry, verdict);
    behind_go_on(publisher);
}

static void join(struct publisher *publisher, struct name *room, struct reply *reply)
{
    struct entry *entry = xcalloc(1, sizeof *entry);
    *entry = (struct entry){.publisher = publisher,
                            .reply = reply,
                            .room = name_ref(room),
                            .user = user_ref(publisher->conn->user)};
    address_format(&publisher->conn->client, publisher->visitor_address);
    visit_of(&entry->visit, entry->user, room, publisher->visitor_address);
    entry->visit.done = on_entry_judged;
    enum chain_verdict verdict = chain_join(publisher->pipeline->chain, &entry->visit);
    if (verdict != CHAIN_DEFERRED) {
        entry_judged(entry, verdict);
        return;
    }
    publisher->entry = entry;
    publisher->asking = reply;
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
        tell_joined(publisher, reply);
    else if (!may_join(publisher, name))
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

static void say(struct publisher *publisher, const struct say *what, struct reply *reply)
{
    struct connection *conn = publisher->conn;
    struct pipeline *pipeline = publisher->pipeline;
    size_t max = (size_t)pipeline->conf->limits.message_bytes;
    int64_t wait_ms;
    if (!publisher->room) {
        reply_error(reply, "Never joined a room");
    } else if (!may_say(publisher)) {
        reply_error(reply, "forbidden");
    } else if (what->msg.length > max) {
        char json[ANSWER_BYTES];
        count_up(COUNT_too_long_messages);
        reply_with(reply, answer_too_long(json, max));
    } else if ((wait_ms = limiter_take(pipeline->limiter, pipeline->conf, LIMITED_SAY,
                                       &publisher->says, &conn->client, conn->user))) {
        reply_limited(reply, wait_ms);
    } else {
        pipeline_say(pipeline, &publisher->speaker, conn->user, &conn->client, publisher->room,
                     what->msg, what->cid, reply_with, reply);
    }
}

static void on_say(struct publisher *publisher, const json_t *json, struct reply *reply)
{
    struct say what;
    if (say_read(json, &what))
        say(publisher, &what, reply);
    else
        reply_error(reply, "Wrong format");
}

static const struct {
    const char *verb;
    void (*handle)(struct publisher *publisher, const json_t *argument, struct reply *reply);
} verbs[] = {{"say", on_say}, {"join", on_join}, {"auth", on_auth}};

/* returns  false: it is none that could be handled, now or later */
static bool handle(struct publisher *publisher, const json_t *request, struct reply *reply)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        const json_t *argument = json_object_get(request, verbs[i].verb);
        if (!argument)
            continue;
        if (reply)
            verbs[i].handle(publisher, argument, reply);
        return true;
    }
    return false;
}

static json_t *request_read(const struct publisher *publisher, struct text message)
{
    return json_read(message, (size_t)publisher->pipeline->conf->limits.json_depth);
}

static bool is_id(const json_t *id)
{
    return json_is_number(id) ||
           (json_is_string(id) && json_string_length(id) <= REQUEST_ID_BYTES_MAX);
}

static void on_request(struct publisher *publisher, struct text message, bool binary)
{
    json_t *request = binary ? NULL : request_read(publisher, message);
    const json_t *id = json_object_get(request, "id");
    char *id_text = is_id(id) ? json_dumps(id, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct reply *reply = reply_open(publisher, text_of(id_text ? id_text : "null"));
    free(id_text);
    if (!is_id(id) || json_object_size(request) != 2 || !handle(publisher, request, NULL))
        reply_error(reply, "Wrong format");
    else if (publisher_waits(publisher->conn))
        hold(publisher, reply, message);
    else
        handle(publisher, request, reply);
    json_decref(request);
}

void publisher_on_message(struct connection *conn, struct text message, bool binary)
{
    struct publisher *publisher = conn->publisher;
    struct text id;
    struct say what;
    if (!binary && !publisher_waits(conn) && say_scan(message, &id, &what))
        say(publisher, &what, reply_open(publisher, id));
    else
        on_request(publisher, message, binary);
}

/* ---- behind an auth or a join that is deferred ---- */

static void hold(struct publisher *publisher, struct reply *reply, struct text message)
{
    if (publisher->behind_count == CONNECTION_BEHIND_MAX) {
        reply_error(reply, "busy");
        return;
    }
    publisher->behind_count++;
    list_append(&publisher->behind, &reply->waiting);
    buffer_bytes(&reply->request, message.at, message.length);
}

static struct reply *behind_next(struct publisher *publisher)
{
    struct reply *reply = list_entry(publisher->behind.next, struct reply, waiting);
    list_remove(&reply->waiting);
    publisher->behind_count--;
    return reply;
}

/* What comes meanwhile is still behind them, and what they ask for may have the rest wait again. */
static void behind_go_on(struct publisher *publisher)
{
    while (!list_empty(&publisher->behind) && !publisher->asking &&
           publisher->conn->phase == PHASE_WEBSOCKET) {
        struct reply *reply = behind_next(publisher);
        struct buffer message = reply->request;
        reply->request = (struct buffer){0};
        json_t *request = request_read(publisher, (struct text){message.at, message.length});
        if (!handle(publisher, request, reply))
            reply_error(reply, "unavailable"); /* there was no memory for it */
        json_decref(request);
        buffer_finish(&message);
    }
}

/* Nobody is there to be answered, or soon. */
static void behind_forget(struct publisher *publisher)
{
    struct entry *entry = publisher->entry;
    caller_left(publisher->caller);
    if (entry) {
        visit_left(&entry->visit);
        entry_free(entry);
    }
    publisher->caller = NULL;
    publisher->entry = NULL;
    if (publisher->asking)
        reply_error(publisher->asking, "unavailable");
    publisher->asking = NULL;
    while (!list_empty(&publisher->behind))
        reply_error(behind_next(publisher), "unavailable");
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
    list_init(&publisher->behind);
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
    replies_write(publisher); /* those that were to leave at the end of the turn are forgotten */
    if (publisher->announced)
        broker_leave(publisher->pipeline->broker, publisher->room, publisher->member);
    if (publisher->room)
        plugins_leave(publisher);
    speaker_left(&publisher->speaker);
    behind_forget(publisher);
    publisher_unref(publisher);
}

bool publisher_waits(const struct connection *conn)
{
    const struct publisher *publisher = conn->publisher;
    return publisher && (publisher->asking || !list_empty(&publisher->behind));
}

bool publisher_is_in(const struct connection *conn, const struct name *room)
{
    const struct publisher *publisher = conn->publisher;
    return publisher && (!room || (publisher->room && name_equal(publisher->room, room)));
}
