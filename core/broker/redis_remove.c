/* Removal: one script empties what is to be removed in a room and tells it. Everywhere is that for
 * each room with a history, a page of them after the other. */
#include "alloc.h"
#include "buffer.h"
#include "config.h"
#include "redis_parts.h"

#include <hiredis/hiredis.h>

/* ---- in one room ---- */

struct removing {
    broker_moderated *done;
    void *arg;
};

static void on_removed(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct removing *removing = arg;
    removing->done(removing->arg, redis_failure(outcome),
                   outcome == REDIS_ANSWERED ? (uint64_t)reply->integer : 0);
    free(removing);
}

/*   only_said  no event where they said nothing */
static void remove_in_room(struct redis *redis, struct text room, const struct removal *what,
                           bool only_said, broker_moderated *done, void *arg)
{
    const struct config *conf = redis->conf;
    struct redis_link *link = redis_link_of(redis, room);
    struct removing *removing = xmalloc(sizeof *removing);
    struct buffer json = {0};
    char offset[24], id[UUID_LENGTH + 1];
    struct text which = what->id;
    const char *how = "i";
    if (!what->id.length && what->offset) {
        snprintf(offset, sizeof offset, "%llu", (unsigned long long)what->offset);
        which = text_of(offset);
        how = "o";
    } else if (!what->id.length) {
        which = what->who;
        how = what->kind == BAN_SUB ? "s" : "n";
    }
    *removing = (struct removing){done, arg};
    uuid_next(&redis->uuids, id);
    buffer_json_string(&json, which);
    redis_begin_script(link, SCRIPT_REMOVE, 3);
    redis_arg_key(link, "room:meta:", room);
    redis_arg_key(link, "room:history:", room);
    redis_arg_key(link, "rooms", (struct text){0});
    redis_arg_run(link);
    redis_arg_key(link, "room:", room);
    redis_arg_number(link, conf->history.size);
    redis_arg_number(link, conf->history.bytes);
    redis_arg_number(link, conf->history.expire_ms);
    redis_arg(link, room);
    redis_arg(link, text_of(how));
    redis_arg(link, which);
    redis_arg(link, (struct text){json.at, json.length});
    redis_arg(link, text_of(id));
    redis_arg(link, text_of(only_said ? "1" : "0"));
    redis_send(link, on_removed, removing);
    buffer_finish(&json);
}

/* ---- everywhere ---- */

struct sweep {
    struct redis *redis;
    enum ban_kind kind;
    struct text who; /* into storage */
    size_t server;   /* whose rooms are being looked at */
    char cursor[24]; /* among them */
    size_t open;     /* removals */
    uint64_t count;
    enum broker_status status;
    broker_moderated *done;
    void *arg;
    char storage[];
};

static void sweep_find(struct sweep *sweep);

static void sweep_next(struct sweep *sweep)
{
    size_t servers = redis_servers_count(sweep->redis->home->servers);
    bool more = strcmp(sweep->cursor, "0") != 0 || ++sweep->server < servers;
    if (sweep->status == BROKER_OK && more) {
        sweep_find(sweep);
        return;
    }
    sweep->done(sweep->arg, sweep->status, sweep->count);
    free(sweep);
}

static void sweep_removed(void *arg, enum broker_status status, uint64_t count)
{
    struct sweep *sweep = arg;
    sweep->count += count;
    if (status != BROKER_OK)
        sweep->status = status;
    if (!--sweep->open)
        sweep_next(sweep);
}

static void on_found(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct sweep *sweep = arg;
    const struct redisReply *rooms = redis_reply_array(reply, 1);
    struct text cursor = redis_reply_text(reply, 0);
    sweep->status = redis_failure(outcome);
    if (outcome == REDIS_ANSWERED)
        snprintf(sweep->cursor, sizeof sweep->cursor, "%.*s", (int)cursor.length, cursor.at);
    sweep->open = rooms ? rooms->elements : 0;
    if (!sweep->open) {
        sweep_next(sweep);
        return;
    }
    const struct removal what = {.kind = sweep->kind, .who = sweep->who};
    for (size_t i = 0, count = rooms->elements; i < count; i++)
        remove_in_room(sweep->redis, redis_reply_text(rooms, i), &what, true, sweep_removed, sweep);
}

static void sweep_find(struct sweep *sweep)
{
    struct redis_link *link = redis_link_at(sweep->redis, sweep->server);
    redis_begin(link, "SSCAN");
    redis_arg_key(link, "rooms", (struct text){0});
    redis_arg(link, text_of(sweep->cursor));
    redis_arg(link, text_of("COUNT"));
    redis_arg(link, text_of("50"));
    redis_send(link, on_found, sweep);
}

void redis_do_remove(struct broker *broker, const struct removal *removal, broker_moderated *done,
                     void *arg)
{
    struct redis *redis = redis_of(broker);
    if (removal->room) {
        remove_in_room(redis, name_text(removal->room), removal, false, done, arg);
        return;
    }
    struct sweep *sweep = xcalloc(1, sizeof *sweep + removal->who.length);
    sweep->redis = redis;
    sweep->kind = removal->kind;
    memcpy(sweep->storage, removal->who.at, removal->who.length);
    sweep->who = (struct text){sweep->storage, removal->who.length};
    strcpy(sweep->cursor, "0");
    sweep->done = done;
    sweep->arg = arg;
    sweep_find(sweep);
}
