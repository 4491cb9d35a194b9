/* Who listens, and what a room looks like. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "redis_parts.h"

#include <hiredis/hiredis.h>

/* ---- subscribe ---- */

struct redis_subscribe {
    struct redis_later later;
    struct list waiting; /* the room's, or nobody's */
    struct name *name;
    struct position since;
    unsigned needs;   /* the reading of the room that it waits for */
    int64_t asked_ms; /* monotonic */
    broker_subscribed *done;
    void *arg;
};

struct redis_subscribe *redis_subscribe_at(struct list *link)
{
    return list_entry(link, struct redis_subscribe, waiting);
}

unsigned redis_subscribe_needs(struct list *link)
{
    return redis_subscribe_at(link)->needs;
}

int64_t redis_subscribe_asked_ms(struct list *link)
{
    return redis_subscribe_at(link)->asked_ms;
}

void redis_subscribe_answer(struct redis_subscribe *subscribe, struct redis_room *room,
                            enum broker_status status)
{
    struct snapshot snapshot = {.status = status};
    struct message **messages = NULL;
    const struct position *since = &subscribe->since;
    if (status == BROKER_OK) {
        int64_t expire_ms = subscribe->later.redis->conf->history.expire_ms;
        history_expire(&room->history, clock_wall_ms() - expire_ms);
        snapshot.at = room->at;
        snapshot.recovered = !strcmp(since->epoch, room->at.epoch) &&
                             history_reaches(&room->history, since->offset, room->at.offset);
        messages =
            history_after(&room->history, snapshot.recovered ? since->offset : 0, &snapshot.count);
        snapshot.messages = messages;
        room->listening = true;
    }
    subscribe->done(subscribe->arg, &snapshot);
    messages_free(messages, snapshot.count);
    name_unref(subscribe->name);
    free(subscribe);
}

/* At the end of the turn, so that the answer comes later than the call. */
static void subscribe_arrives(struct letter *letter)
{
    struct redis_subscribe *subscribe = (struct redis_subscribe *)letter;
    struct redis *redis = subscribe->later.redis;
    struct redis_room *room = redis_room_open(redis, subscribe->name);
    if (room) {
        subscribe->asked_ms = clock_mono_ms();
        subscribe->needs = redis_room_await(redis, room, &subscribe->waiting);
    } else {
        count_up(COUNT_too_many_rooms);
        redis_subscribe_answer(subscribe, NULL, BROKER_FULL);
    }
}

void redis_do_subscribe(struct broker *broker, struct name *name, const struct position *since,
                        broker_subscribed *done, void *arg)
{
    struct redis_subscribe *subscribe = xcalloc(1, sizeof *subscribe);
    subscribe->later.redis = redis_of(broker);
    subscribe->later.letter.deliver = subscribe_arrives;
    subscribe->name = name_ref(name);
    subscribe->since = *since;
    subscribe->done = done;
    subscribe->arg = arg;
    list_init(&subscribe->waiting);
    loop_post(subscribe->later.redis->loop, &subscribe->later.letter);
}

/* ---- readers ---- */

void redis_do_readers(struct broker *broker, struct name *name, uint32_t count)
{
    struct redis *redis = redis_of(broker);
    struct redis_room *room = redis_room_find(redis, name);
    if (!room)
        return;
    if (!count)
        room->listening = false;
    room->readers = count;
    room->used_ms = clock_mono_ms();
    redis_presence_readers(redis, name, count);
}

/* ---- look ---- */

struct look {
    struct redis *redis;
    struct name *name;
    struct history_part part;
    broker_looked *done;
    void *arg;
};

/* A JSON array of them, which are JSON. */
static void clients_write(const struct redisReply *clients, struct buffer *out)
{
    buffer_text(out, "[");
    for (size_t i = 0; clients && i < clients->elements; i++) {
        struct text user = redis_reply_text(clients, i);
        if (i)
            buffer_text(out, ",");
        buffer_bytes(out, user.at ? user.at : "null", user.at ? user.length : 4);
    }
    buffer_text(out, "]");
}

static void view_read(struct room_view *view, const struct redisReply *reply)
{
    struct text epoch = redis_reply_text(reply, 0);
    snprintf(view->history.at.epoch, sizeof view->history.at.epoch, "%.*s", (int)epoch.length,
             epoch.at);
    view->history.at.offset = (uint64_t)redis_reply_number(reply, 1);
    view->readers = (uint64_t)redis_reply_number(reply, 2);
    view->publishers = (uint64_t)redis_reply_number(reply, 3);
    view->users = (uint64_t)redis_reply_number(reply, 4);
}

static void on_looked(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct look *look = arg;
    struct room_view view = {.history.status = redis_failure(outcome)};
    struct history history = {0};
    struct message **messages = NULL;
    struct buffer clients = {0};
    if (outcome == REDIS_ANSWERED) {
        size_t count;
        struct message **all = redis_entries_read(redis_reply_array(reply, 6), look->name, &count);
        for (size_t i = 0; i < count; i++)
            history_add(&history, all[i], UINT32_MAX, 0);
        free(all);
        history_expire(&history, clock_wall_ms() - look->redis->conf->history.expire_ms);
        view_read(&view, reply);
        messages = history_page(&history, &look->part, &view.history.count);
        view.history.messages = messages;
        clients_write(redis_reply_array(reply, 5), &clients);
        view.clients = (struct text){clients.at, clients.length};
    }
    look->done(look->arg, &view);
    messages_free(messages, view.history.count);
    history_finish(&history);
    buffer_finish(&clients);
    name_unref(look->name);
    free(look);
}

void redis_do_look(struct broker *broker, struct name *name, const struct room_asked *asked,
                   broker_looked *done, void *arg)
{
    struct redis_link *link = redis_link_of(redis_of(broker), name_text(name));
    struct look *look = xmalloc(sizeof *look);
    *look = (struct look){redis_of(broker), name_ref(name), asked->history, done, arg};
    redis_begin_script(link, SCRIPT_LOOK, 6);
    redis_arg_key(link, "room:meta:", name_text(name));
    redis_arg_key(link, "room:history:", name_text(name));
    redis_arg_key(link, "room:readers:", name_text(name));
    redis_arg_key(link, "room:order:", name_text(name));
    redis_arg_key(link, "room:members:", name_text(name));
    redis_arg_key(link, "room:users:", name_text(name));
    redis_arg_run(link);
    redis_arg(link, text_of(asked->history.max ? "1" : "0"));
    redis_arg_number(link, asked->skip < INT32_MAX ? (int64_t)asked->skip : INT32_MAX);
    redis_arg_number(link, asked->limit < INT32_MAX ? (int64_t)asked->limit : INT32_MAX);
    redis_send(link, on_looked, look);
}
