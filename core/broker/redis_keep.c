/* What plugins keep. */
#include "alloc.h"
#include "redis_parts.h"

struct keeping {
    struct letter letter;
    broker_kept *done;
    void *arg;
};

static void keep_refused(struct letter *letter)
{
    struct keeping *keeping = (struct keeping *)letter;
    const struct chatup_answer failed = {.size = sizeof failed, .status = CHATUP_UNAVAILABLE};
    keeping->done(keeping->arg, &failed);
    free(keeping);
}

void redis_do_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg)
{
    struct keeping *keeping = xmalloc(sizeof *keeping);
    *keeping = (struct keeping){{.deliver = keep_refused}, done, arg};
    loop_post(redis_of(broker)->loop, &keeping->letter);
}

struct broker_watch *redis_do_watch(struct broker *broker, const struct keep *where,
                                    struct text key, broker_changed *changed, void *arg)
{
    return xcalloc(1, 1);
}

void redis_do_unwatch(struct broker *broker, struct broker_watch *watch)
{
    free(watch);
}

void redis_kept_init(struct redis *redis)
{
    list_init(&redis->watches);
}

void redis_kept_hearing(struct redis *redis)
{
}

void redis_kept_subscribed(struct redis *redis, struct text channel)
{
}

void redis_kept_heard(struct redis *redis, struct text channel, struct text payload)
{
}

void redis_kept_finish(struct redis *redis)
{
}
