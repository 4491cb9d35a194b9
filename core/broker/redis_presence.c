/* Who is there. Redis has the numbers and tells who comes and goes (redis/presence.lua); a loop
 * remembers whom it brought, to say so again should Redis have forgotten it; and who has left, and
 * which numbers of readers have changed, until Redis knows. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "redis_parts.h"

/* ---- whom this loop brought ---- */

struct here {
    struct table_link link;
    struct name *room;
    char id[37];
    struct text user, sub, name; /* into storage */
    char storage[];
};

static bool here_is(const struct table_link *link, const void *id)
{
    return !memcmp(list_entry(link, struct here, link)->id, id, 36);
}

static struct here *here_find(struct redis *redis, const char *id)
{
    struct table_link *link = table_find(&redis->here, table_hash(0, id, 36), here_is, id);
    return link ? list_entry(link, struct here, link) : NULL;
}

static struct here *here_create(struct name *room, const char *id, struct text user,
                                struct text sub, struct text name)
{
    struct here *here = xmalloc(sizeof *here + user.length + sub.length + name.length);
    struct text *const to[] = {&here->user, &here->sub, &here->name};
    const struct text from[] = {user, sub, name};
    char *at = here->storage;
    for (int i = 0; i < 3; i++) {
        *to[i] = (struct text){at, from[i].length};
        if (from[i].length)
            memcpy(at, from[i].at, from[i].length);
        at += from[i].length;
    }
    here->room = name_ref(room);
    memcpy(here->id, id, sizeof here->id);
    return here;
}

static void here_free(struct here *here)
{
    name_unref(here->room);
    free(here);
}

/* ---- the script ---- */

static void node_key(struct redis_link *link, const char *part, const char *node)
{
    redis_arg_key(link, part, text_of(node));
}

/* Up to the name of the room, and the node.
 *   returns  where it goes */
static struct redis_link *presence_begin(struct redis *redis, const char *what, const char *member,
                                         struct text room, const char *node)
{
    struct redis_link *link = redis_link_of(redis, room);
    const struct config *conf = redis->conf;
    char id[UUID_LENGTH + 1];
    uuid_next(&redis->uuids, id);
    redis_begin_script(link, SCRIPT_PRESENCE, 8);
    redis_arg_key(link, "room:members:", room);
    redis_arg_key(link, "room:order:", room);
    redis_arg_key(link, "room:users:", room);
    redis_arg_key(link, "room:crowd:", room);
    redis_arg_key(link, "bans", (struct text){0});
    node_key(link, "node:members:", node);
    node_key(link, "nodes", "");
    node_key(link, "node:", node);
    redis_arg(link, text_of(what));
    redis_arg_key(link, "room:", room);
    redis_arg(link, text_of(id));
    redis_arg_number(link, conf->rooms.presence_events);
    redis_arg_number(link, conf->rooms.presence_gap_ms);
    redis_arg(link, text_of(member));
    redis_arg(link, room);
    redis_arg(link, text_of(node));
    return link;
}

/* ---- the number, told a while later ---- */

struct later {
    struct table_link link;
    struct redis *redis;
    struct name *room;
    ev_timer timer;
};

static bool later_is(const struct table_link *link, const void *name)
{
    return name_equal(list_entry(link, struct later, link)->room, name);
}

static void later_free(struct later *later)
{
    table_remove(&later->redis->later, &later->link);
    ev_timer_stop(loop_ev(later->redis->loop), &later->timer);
    name_unref(later->room);
    free(later);
}

static void tell_later(struct redis *redis, struct name *room, int64_t wait_ms);

struct changed { /* a leave, or a number to be told */
    struct redis *redis;
    struct name *room;
};

static void on_changed(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct changed *changed = arg;
    if (outcome == REDIS_ANSWERED)
        tell_later(changed->redis, changed->room, redis_reply_number(reply, 1));
    name_unref(changed->room);
    free(changed);
}

static struct changed *changed_create(struct redis *redis, struct name *room)
{
    struct changed *changed = xmalloc(sizeof *changed);
    *changed = (struct changed){redis, name_ref(room)};
    return changed;
}

/* ---- what Redis is still to be told ---- */

struct untold { /* a leave, or how many readers there are */
    struct table_link link;
    struct redis *redis;
    struct name *room;
    char member[37]; /* "" the readers */
};

static uint64_t untold_hash(const struct name *room, const char *member)
{
    return *member ? table_hash(0, member, 36) : room->hash;
}

static bool untold_is(const struct table_link *link, const void *key)
{
    const struct untold *a = list_entry(link, struct untold, link), *b = key;
    return !strcmp(a->member, b->member) && name_equal(a->room, b->room);
}

static void untold_free(struct untold *untold)
{
    name_unref(untold->room);
    free(untold);
}

static struct untold *untold_create(struct redis *redis, struct name *room, const char *member)
{
    struct untold *untold = xcalloc(1, sizeof *untold);
    untold->redis = redis;
    untold->room = name_ref(room);
    memcpy(untold->member, member, strlen(member));
    return untold;
}

static void untold_keep(struct untold *untold)
{
    struct redis *redis = untold->redis;
    uint64_t hash = untold_hash(untold->room, untold->member);
    const struct here *here = *untold->member ? here_find(redis, untold->member) : NULL;
    bool came_again = here && name_equal(here->room, untold->room);
    if (redis->ending || came_again || table_find(&redis->untold, hash, untold_is, untold))
        untold_free(untold);
    else
        table_add(&redis->untold, &untold->link, hash);
}

/* They came again. */
static void untold_forget(struct redis *redis, struct name *room, const char *member)
{
    struct untold *key = untold_create(redis, room, member);
    struct table_link *link = table_find(&redis->untold, untold_hash(room, member), untold_is, key);
    untold_free(key);
    if (!link)
        return;
    table_remove(&redis->untold, link);
    untold_free(list_entry(link, struct untold, link));
}

static void on_told(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct untold *untold = arg;
    if (outcome != REDIS_ANSWERED) {
        untold_keep(untold);
        return;
    }
    if (*untold->member)
        tell_later(untold->redis, untold->room, redis_reply_number(reply, 1));
    untold_free(untold);
}

static void on_later(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct later *later = timer->data;
    struct redis *redis = later->redis;
    struct redis_link *link =
        presence_begin(redis, "tell", "", name_text(later->room), redis->home->node);
    redis_send(link, on_changed, changed_create(redis, later->room));
    later_free(later);
}

static void tell_later(struct redis *redis, struct name *room, int64_t wait_ms)
{
    if (wait_ms <= 0 || redis->ending || table_find(&redis->later, room->hash, later_is, room))
        return;
    struct later *later = xcalloc(1, sizeof *later);
    later->redis = redis;
    later->room = name_ref(room);
    table_add(&redis->later, &later->link, room->hash);
    ev_now_update(loop_ev(redis->loop));
    ev_timer_init(&later->timer, on_later, (double)wait_ms / 1000, 0);
    later->timer.data = later;
    ev_timer_start(loop_ev(redis->loop), &later->timer);
}

/* ---- join ---- */

struct join {
    struct redis *redis;
    struct here *here;   /* its own until it is in */
    broker_joined *done; /* NULL: said again */
    void *arg;
};

static void here_keep(struct redis *redis, struct here *here)
{
    struct here *before = here_find(redis, here->id);
    if (before) {
        table_remove(&redis->here, &before->link);
        here_free(before);
    }
    table_add(&redis->here, &here->link, table_hash(0, here->id, 36));
}

static void on_joined(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct join *join = arg;
    enum broker_status status = redis_failure(outcome);
    bool banned = outcome == REDIS_ANSWERED && text_is(redis_reply_text(reply, 0), "banned");
    int64_t ttl = banned ? redis_reply_number(reply, 1) : 0;
    if (outcome == REDIS_ANSWERED && !banned)
        tell_later(join->redis, join->here->room, redis_reply_number(reply, 1));
    if (status == BROKER_OK && !banned) {
        here_keep(join->redis, join->here);
        untold_forget(join->redis, join->here->room, join->here->id);
    }
    join->done(join->arg, status, ttl, banned ? redis_reply_text(reply, 2) : (struct text){0});
    if (outcome == REDIS_UNKNOWN) /* should it have come in, it is out again */
        redis_do_leave(&join->redis->broker, join->here->room, join->here->id);
    if (status != BROKER_OK || banned)
        here_free(join->here);
    free(join);
}

static struct redis_link *join_begin(struct redis *redis, const struct here *here)
{
    struct redis_link *link =
        presence_begin(redis, "join", here->id, name_text(here->room), redis->home->node);
    redis_arg(link, here->user);
    redis_arg(link, here->sub);
    redis_arg(link, here->name);
    return link;
}

void redis_do_join(struct broker *broker, struct name *name, const char member[37],
                   struct text user, const struct identity *who, broker_joined *done, void *arg)
{
    struct redis *redis = redis_of(broker);
    struct join *join = xmalloc(sizeof *join);
    struct here *here = here_create(name, member, user, who->sub, who->name);
    *join = (struct join){redis, here, done, arg};
    untold_forget(redis, name, member);
    struct redis_link *link = join_begin(redis, here);
    redis_arg_bans(link, name, who);
    redis_send(link, on_joined, join);
}

/* ---- leave ---- */

void redis_presence_take_away(struct redis *redis, const char member[37], struct name *room,
                              const char *node)
{
    struct redis_link *link = presence_begin(redis, "reap", member, name_text(room), node);
    redis_send(link, on_changed, changed_create(redis, room));
}

/* untold is taken: it is told, or kept. */
static void leave_tell(struct untold *untold)
{
    struct redis *redis = untold->redis;
    struct redis_link *link =
        presence_begin(redis, "leave", untold->member, name_text(untold->room), redis->home->node);
    redis_send(link, on_told, untold);
}

void redis_do_leave(struct broker *broker, struct name *name, const char member[37])
{
    struct redis *redis = redis_of(broker);
    struct here *here = here_find(redis, member);
    if (here) {
        table_remove(&redis->here, &here->link);
        here_free(here);
    }
    leave_tell(untold_create(redis, name, member));
}

/* ---- readers ---- */

static void readers_tell(struct untold *untold, uint32_t count)
{
    struct redis *redis = untold->redis;
    struct name *name = untold->room;
    struct redis_link *link = redis_link_of(redis, name_text(name));
    char field[64];
    struct buffer entry = {0};
    snprintf(field, sizeof field, "%s/%u", redis->home->node, redis->index);
    buffer_number(&entry, redis->index);
    buffer_text(&entry, ":");
    buffer_bytes(&entry, name->at, name->length);
    redis_begin_script(link, SCRIPT_READERS, 4);
    redis_arg_key(link, "room:readers:", name_text(name));
    node_key(link, "node:readers:", redis->home->node);
    node_key(link, "nodes", "");
    node_key(link, "node:", redis->home->node);
    redis_arg(link, text_of(field));
    redis_arg_number(link, count);
    redis_arg(link, (struct text){entry.at, entry.length});
    redis_arg(link, text_of(redis->home->node));
    redis_send(link, on_told, untold);
    buffer_finish(&entry);
}

void redis_presence_readers(struct redis *redis, struct name *name, uint32_t count)
{
    readers_tell(untold_create(redis, name, ""), count);
}

/* ---- all of it again ---- */

static void untold_tell(struct table_link *link, void *arg)
{
    struct redis *redis = arg;
    struct untold *untold = list_entry(link, struct untold, link);
    if (!redis_link_ready(redis_link_of(redis, name_text(untold->room))))
        return;
    table_remove(&redis->untold, link);
    if (*untold->member) {
        leave_tell(untold);
    } else {
        struct redis_room *room = redis_room_find(redis, untold->room);
        readers_tell(untold, room ? room->readers : 0);
    }
}

void redis_presence_tell_rest(struct redis *redis)
{
    table_walk(&redis->untold, untold_tell, redis);
}

struct again {
    struct redis *redis;
    const struct redis_link *link;
};

static void say_again(struct table_link *link, void *arg)
{
    const struct again *again = arg;
    struct here *here = list_entry(link, struct here, link);
    if (redis_link_of(again->redis, name_text(here->room)) == again->link)
        redis_send(join_begin(again->redis, here), NULL, NULL);
}

void redis_presence_say_again(struct redis *redis, const struct redis_link *link)
{
    table_walk(&redis->here, say_again, &(struct again){redis, link});
    redis_rooms_say_readers(redis, link);
}

/* ---- life ---- */

static void later_end(struct table_link *link, void *arg)
{
    later_free(list_entry(link, struct later, link));
}

void redis_presence_stop(struct redis *redis)
{
    redis->ending = true;
    table_walk(&redis->later, later_end, NULL);
}

static void untold_end(struct table_link *link, void *arg)
{
    struct redis *redis = arg;
    table_remove(&redis->untold, link);
    untold_free(list_entry(link, struct untold, link));
}

static void here_end(struct table_link *link, void *arg)
{
    struct redis *redis = arg;
    table_remove(&redis->here, link);
    here_free(list_entry(link, struct here, link));
}

void redis_presence_finish(struct redis *redis)
{
    table_walk(&redis->here, here_end, redis);
    table_walk(&redis->untold, untold_end, redis);
    table_finish(&redis->here);
    table_finish(&redis->untold);
    table_finish(&redis->later);
}
