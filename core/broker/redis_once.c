/* What may happen once. Whose a key is, is a token of each attempt: so one whose outcome is not
 * known can be given back by whoever made it, and by nobody else. */
#include "alloc.h"
#include "config.h"
#include "counters.h"
#include "redis_parts.h"

#include <hiredis/hiredis.h>

enum { GIVING_BACK_MAX = 1000 };

struct once {
    struct list giving_back; /* the loop's: not given back yet */
    struct redis *redis;
    struct name *key;
    char token[UUID_LENGTH + 1]; /* "" whoever's */
    broker_onced *done;
    void *arg;
};

static void once_free(struct once *once)
{
    list_remove(&once->giving_back);
    name_unref(once->key);
    free(once);
}

static void once_begin(struct redis_link *link, const char *what, const struct once *once)
{
    redis_begin_script(link, SCRIPT_ONCE, 2);
    redis_arg_key(link, "once", (struct text){0});
    redis_arg_key(link, "once:by", (struct text){0});
    redis_arg(link, text_of(what));
    redis_arg(link, name_text(once->key));
    redis_arg(link, text_of(once->token));
}

/* ---- giving back ---- */

static void on_given_back(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct once *once = arg;
    struct redis *redis = once->redis;
    if (outcome == REDIS_ANSWERED || redis->ending || redis->giving_back_count >= GIVING_BACK_MAX) {
        once_free(once);
        return;
    }
    redis->giving_back_count++;
    list_append(&redis->giving_back, &once->giving_back);
}

static struct redis_link *link_of(const struct once *once)
{
    return redis_link_of(once->redis, name_text(once->key));
}

static void give_back(struct once *once)
{
    once_begin(link_of(once), "forget", once);
    redis_send(link_of(once), on_given_back, once);
}

void redis_onces_give_back(struct redis *redis)
{
    struct once *once, *after;
    list_for_each_safe (once, after, &redis->giving_back, giving_back) {
        if (!redis_link_ready(link_of(once)))
            continue;
        list_remove(&once->giving_back);
        redis->giving_back_count--;
        give_back(once);
    }
}

void redis_onces_stop(struct redis *redis)
{
    while (!list_empty(&redis->giving_back))
        once_free(list_entry(redis->giving_back.next, struct once, giving_back));
    redis->giving_back_count = 0;
}

/* ---- the calls ---- */

static void on_once(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct once *once = arg;
    enum broker_status status = redis_failure(outcome);
    if (outcome == REDIS_ANSWERED && reply->integer == 0)
        status = BROKER_REPEATED;
    if (outcome == REDIS_ANSWERED && reply->integer < 0) {
        count_up(COUNT_too_many_replays);
        status = BROKER_FULL;
    }
    once->done(once->arg, status);
    if (status == BROKER_UNKNOWN)
        on_given_back(once, REDIS_UNKNOWN, NULL);
    else
        once_free(once);
}

static struct once *once_create(struct redis *redis, struct name *key)
{
    struct once *once = xcalloc(1, sizeof *once);
    once->redis = redis;
    once->key = name_ref(key);
    list_init(&once->giving_back);
    return once;
}

void redis_do_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                   void *arg)
{
    struct redis *redis = redis_of(broker);
    struct once *once = once_create(redis, key);
    once->done = done;
    once->arg = arg;
    uuid_next(&redis->uuids, once->token);
    struct redis_link *link = link_of(once);
    once_begin(link, "take", once);
    redis_arg_number(link, expires_ms);
    redis_arg_number(link, redis->conf->limits.replays);
    redis_send(link, on_once, once);
}

void redis_do_once_forget(struct broker *broker, struct name *key)
{
    give_back(once_create(redis_of(broker), key));
}
