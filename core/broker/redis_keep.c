/* What plugins keep: a batch is one script (redis/keep.lua), which also tells on a channel of the
 * group which keys it changed. A watch subscribes to that channel, reads the key once that is
 * confirmed, and again whenever it is told of, and when the key has expired; one reading at a time,
 * so that a hundred changes are not a hundred copies of a long list. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "redis_parts.h"

#include <hiredis/hiredis.h>

/* ---- names ---- */

/* kept:<space>:<length of group>:<group>, which nothing else is called: a space has no colon. */
static void group_write(struct buffer *out, const struct keep *what)
{
    buffer_text(out, what->is_volatile ? "volatile:" : "kept:");
    buffer_bytes(out, what->space.at, what->space.length);
    buffer_text(out, ":");
    buffer_number(out, (int64_t)what->group.length);
    buffer_text(out, ":");
    buffer_bytes(out, what->group.at ? what->group.at : "", what->group.length);
}

/* And of a key. */
static void key_arg(struct redis_link *link, struct buffer *group, struct text key)
{
    size_t length = group->length;
    buffer_text(group, ":");
    buffer_bytes(group, key.at, key.length);
    redis_arg_key(link, "", (struct text){group->at, group->length});
    group->length = length;
}

/* ---- a batch ---- */

struct keeping {
    broker_kept *done;
    void *arg;
    uint32_t count;
};

static int by_bytes(const void *a, const void *b)
{
    const struct chatup_text *x = a, *y = b;
    size_t shared = x->length < y->length ? x->length : y->length;
    int order = shared ? memcmp(x->at, y->at, shared) : 0;
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* members_out is the caller's to free. */
static struct chatup_result result_read(const struct redisReply *reply,
                                        struct chatup_text **members_out)
{
    struct text value = redis_reply_text(reply, 3);
    const struct redisReply *members = redis_reply_array(reply, 4);
    struct chatup_result result = {.ok = (int32_t)redis_reply_number(reply, 0),
                                   .number = redis_reply_number(reply, 1),
                                   .ttl_ms = redis_reply_number(reply, 2),
                                   .value = {value.at, value.length}};
    *members_out = NULL;
    if (!members)
        return result;
    *members_out = xcalloc(members->elements, sizeof **members_out);
    for (size_t i = 0; i < members->elements; i++) {
        struct text member = redis_reply_text(members, i);
        (*members_out)[i] = (struct chatup_text){member.at, member.length};
    }
    qsort(*members_out, members->elements, sizeof **members_out, by_bytes);
    result.members = *members_out;
    result.count = (uint32_t)members->elements;
    return result;
}

static void on_kept(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct keeping *keeping = arg;
    const struct redisReply *all = redis_reply_array(reply, 1);
    struct chatup_result results[32];
    struct chatup_text *members[32];
    struct chatup_answer answer = {.size = sizeof answer, .status = CHATUP_UNAVAILABLE};
    uint32_t count = all && all->elements == keeping->count ? keeping->count : 0;
    for (uint32_t i = 0; i < count; i++)
        results[i] = result_read(redis_reply_array(all, i), &members[i]);
    if (outcome != REDIS_REFUSED)
        answer.status = count ? CHATUP_DONE : CHATUP_TIMEOUT;
    if (count) {
        answer.happened = (int32_t)redis_reply_number(reply, 0);
        answer.count = count;
        answer.results = results;
    }
    keeping->done(keeping->arg, &answer);
    for (uint32_t i = 0; i < count; i++)
        free(members[i]);
    free(keeping);
}

static struct text text_in(struct chatup_text text)
{
    return (struct text){text.at ? text.at : "", text.length};
}

void redis_do_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg)
{
    struct keeping *keeping = xmalloc(sizeof *keeping);
    struct buffer group = {0};
    *keeping = (struct keeping){done, arg, what->count};
    group_write(&group, what);
    struct redis_link *link =
        redis_link_of(redis_of(broker), (struct text){group.at, group.length});
    redis_begin_script(link, SCRIPT_KEEP, what->count);
    for (uint32_t i = 0; i < what->count; i++)
        key_arg(link, &group, text_in(what->ops[i].key));
    redis_arg_key(link, "", (struct text){group.at, group.length});
    for (uint32_t i = 0; i < what->count; i++) {
        const struct chatup_op *op = &what->ops[i];
        redis_arg_number(link, op->kind);
        redis_arg_number(link, op->flags & CHATUP_MUST ? 1 : 0);
        redis_arg(link, text_in(op->key));
        redis_arg(link, text_in(op->value));
        redis_arg_number(link, op->number);
        redis_arg_number(link, op->ttl_ms);
        redis_arg_number(link, op->period_ms);
    }
    redis_send(link, on_kept, keeping);
    buffer_finish(&group);
}

/* ---- watches ---- */

struct broker_watch {
    struct list watches; /* the loop's */
    struct redis *redis;
    struct redis_link *link; /* of the server that has it */
    struct buffer channel;   /* as it is called, and */
    size_t prefix_length;    /* so much of it is redis.prefix and a colon */
    char *key;
    size_t key_length;
    broker_changed *changed;
    void *arg;
    int64_t expires_ms; /* monotonic: when to look again; 0: not */
    bool subscribed, reading, dirty, ended;
};

static struct text channel_of(const struct broker_watch *watch)
{
    return (struct text){watch->channel.at, watch->channel.length};
}

/* The first that is on that channel: it asked to subscribe, for all of them. */
static struct broker_watch *watch_on(const struct redis *redis, struct text channel)
{
    struct broker_watch *watch;
    list_for_each (watch, &redis->watches, watches)
        if (!watch->ended && text_equal(channel_of(watch), channel))
            return watch;
    return NULL;
}

static void watch_free(struct broker_watch *watch)
{
    list_remove(&watch->watches);
    buffer_finish(&watch->channel);
    free(watch->key);
    free(watch);
}

static void watch_read(struct broker_watch *watch);

static void on_looked(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct broker_watch *watch = arg;
    const struct redisReply *all = redis_reply_array(reply, 1);
    watch->reading = false;
    if (watch->ended) {
        watch_free(watch);
        return;
    }
    if (outcome != REDIS_ANSWERED || !all || !all->elements) {
        watch->dirty = true; /* again, by the sweep */
        return;
    }
    struct chatup_text *members;
    struct chatup_result result = result_read(redis_reply_array(all, 0), &members);
    watch->expires_ms = result.ttl_ms ? clock_mono_ms() + result.ttl_ms : 0;
    watch->reading = true; /* so that it is not freed, should it be ended from within */
    watch->changed(watch->arg, &result);
    watch->reading = false;
    free(members);
    if (watch->ended)
        watch_free(watch);
    else if (watch->dirty)
        watch_read(watch);
}

static void watch_read(struct broker_watch *watch)
{
    struct redis_link *link = watch->link;
    struct buffer group = {0};
    watch->dirty = watch->reading;
    if (watch->reading)
        return;
    watch->reading = true;
    buffer_bytes(&group, watch->channel.at + watch->prefix_length,
                 watch->channel.length - watch->prefix_length);
    redis_begin_script(link, SCRIPT_KEEP, 1);
    key_arg(link, &group, (struct text){watch->key, watch->key_length});
    redis_arg(link, channel_of(watch));
    redis_arg(link, text_of("look"));
    redis_arg(link, text_of("0"));
    for (int i = 0; i < 5; i++)
        redis_arg(link, text_of("0"));
    redis_send(link, on_looked, watch);
    buffer_finish(&group);
}

struct broker_watch *redis_do_watch(struct broker *broker, const struct keep *where,
                                    struct text key, broker_changed *changed, void *arg)
{
    struct redis *redis = redis_of(broker);
    struct broker_watch *watch = xcalloc(1, sizeof *watch);
    watch->redis = redis;
    buffer_text(&watch->channel, redis->conf->redis.prefix);
    buffer_text(&watch->channel, ":");
    watch->prefix_length = watch->channel.length;
    group_write(&watch->channel, where);
    watch->link = redis_link_of(redis, (struct text){watch->channel.at + watch->prefix_length,
                                                     watch->channel.length - watch->prefix_length});
    watch->key = xstrndup(key.at, key.length);
    watch->key_length = key.length;
    watch->changed = changed;
    watch->arg = arg;
    struct broker_watch *other = watch_on(redis, channel_of(watch));
    list_append(&redis->watches, &watch->watches);
    watch->subscribed = other && other->subscribed;
    if (watch->subscribed)
        watch_read(watch);
    else if (!other)
        redis_subscribe(watch->link, channel_of(watch));
    return watch;
}

void redis_do_unwatch(struct broker *broker, struct broker_watch *watch)
{
    watch->ended = true;
    if (!watch_on(watch->redis, channel_of(watch)))
        redis_unsubscribe(watch->link, channel_of(watch));
    if (!watch->reading)
        watch_free(watch);
}

/* ---- what the loop tells ---- */

void redis_kept_init(struct redis *redis)
{
    list_init(&redis->watches);
}

void redis_kept_hearing(struct redis *redis, const struct redis_link *link)
{
    struct broker_watch *watch;
    list_for_each (watch, &redis->watches, watches) {
        if (watch->link != link)
            continue;
        watch->subscribed = false;
        if (watch_on(redis, channel_of(watch)) == watch)
            redis_subscribe(watch->link, channel_of(watch));
    }
}

/* Also where it was before: it may have been ended meanwhile, and something missed. */
void redis_kept_subscribed(struct redis *redis, struct text channel)
{
    struct broker_watch *watch;
    list_for_each (watch, &redis->watches, watches) {
        if (watch->ended || !text_equal(channel_of(watch), channel))
            continue;
        watch->subscribed = true;
        watch_read(watch);
    }
}

void redis_kept_heard(struct redis *redis, struct text channel, struct text key)
{
    struct broker_watch *watch;
    list_for_each (watch, &redis->watches, watches)
        if (!watch->ended && text_equal(channel_of(watch), channel) &&
            text_equal((struct text){watch->key, watch->key_length}, key))
            watch_read(watch);
}

void redis_kept_sweep(struct redis *redis, int64_t now_ms)
{
    struct broker_watch *watch;
    list_for_each (watch, &redis->watches, watches) {
        bool expired = watch->expires_ms && watch->expires_ms <= now_ms;
        if (watch->ended || watch->reading || !watch->subscribed || !(watch->dirty || expired))
            continue;
        watch->expires_ms = 0;
        watch_read(watch);
    }
}

void redis_kept_finish(struct redis *redis)
{
    while (!list_empty(&redis->watches))
        watch_free(list_entry(redis->watches.next, struct broker_watch, watches));
}
