/* What may happen once: each key has an owner, as each room has. It notes the key at once and lets
 * the asker go on when that is durable; who comes meanwhile waits for the same commit, so that
 * nobody is told "repeated" about something that then fails.
 *
 * The owner's table is what counts. The store's is for the next start. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded_parts.h"
#include "store.h"

#include <assert.h>

/* Kept for longer than asked: an asker that found its token valid may take a moment to get here,
 * and clocks are set back now and then. */
enum { KEEP_MS = 60000 };

struct once {
    struct table_link link;
    struct name *key;
    int64_t expires_ms;
    bool stored;   /* false: on its way to the store */
    bool unwanted; /* forgotten meanwhile */
};

struct once_errand {
    struct errand errand;
    int64_t expires_ms;
    bool first; /* false: it waits for the one who is */
    broker_onced *done;
    void *arg;
};

/* ---- the owner's table ---- */

static bool once_is(const struct table_link *link, const void *key)
{
    return name_equal(list_entry(link, struct once, link)->key, key);
}

static struct once *once_find(const struct embedded *owner, const struct name *key)
{
    struct table_link *link = table_find(&owner->onces, key->hash, once_is, key);
    return link ? list_entry(link, struct once, link) : NULL;
}

static struct once *once_add(struct embedded *owner, struct name *key, int64_t expires_ms)
{
    struct once *once = xcalloc(1, sizeof *once);
    once->key = name_ref(key);
    once->expires_ms = expires_ms;
    table_add(&owner->onces, &once->link, key->hash);
    return once;
}

static void once_remove(struct embedded *owner, struct once *once)
{
    table_remove(&owner->onces, &once->link);
    name_unref(once->key);
    free(once);
}

struct expiry {
    struct embedded *owner;
    int64_t now_ms;
};

static void once_expire(struct table_link *link, void *arg)
{
    const struct expiry *expiry = arg;
    struct once *once = list_entry(link, struct once, link);
    if (once->stored && once->expires_ms < expiry->now_ms)
        once_remove(expiry->owner, once);
}

void onces_expire(struct embedded *owner, int64_t now_ms)
{
    struct expiry expiry = {owner, now_ms};
    table_walk_on(&owner->onces, once_expire, &expiry);
}

static void once_drop(struct table_link *link, void *owner)
{
    once_remove(owner, list_entry(link, struct once, link));
}

void onces_finish(struct embedded *owner)
{
    table_walk(&owner->onces, once_drop, owner);
    table_finish(&owner->onces);
}

void onces_load(void *arg, struct name *key, int64_t expires_ms)
{
    struct embedded_home *home = arg;
    once_add(embedded_owner(home, key), key, expires_ms)->stored = true;
}

/* ---- the travels of a question ---- */

static void once_home(struct letter *letter)
{
    struct once_errand *ask = (struct once_errand *)letter;
    if (errand_comes_home(&ask->errand))
        ask->done(ask->arg, ask->errand.status);
    else if (ask->first && ask->errand.status == BROKER_OK) /* and did nothing with it */
        embedded_once_forget(&ask->errand.from->broker, ask->errand.room);
    errand_free(&ask->errand);
}

static void once_give_up(struct errand *errand)
{
    struct once_errand *ask = (struct once_errand *)errand;
    ask->done(ask->arg, BROKER_UNKNOWN);
}

static void forget_in_store(struct errand *errand);

static void once_stored(struct letter *letter)
{
    struct once_errand *ask = (struct once_errand *)letter;
    struct errand *errand = &ask->errand;
    struct once *once = once_find(errand->owner, errand->room);
    enum broker_status status = errand->status;
    assert(once || !ask->first); /* nobody takes one away that is under way */
    if (status != BROKER_OK)
        owner_generation_end(errand->owner, errand->generation);
    if (!ask->first) { /* it waited for the first one's commit, not for its own */
        status = once && once->stored ? BROKER_REPEATED : BROKER_UNAVAILABLE;
    } else if (status == BROKER_OK && !once->unwanted) {
        once->stored = true;
    } else {
        if (status == BROKER_OK)
            forget_in_store(errand_create(&errand->owner->broker, errand->room, sizeof *errand));
        status = BROKER_UNAVAILABLE;
        once_remove(errand->owner, once);
    }
    errand_go_home(errand, status, once_home);
}

static void once_at_store(struct letter *letter)
{
    struct once_errand *ask = (struct once_errand *)letter;
    struct embedded_home *home = ask->errand.owner->home;
    struct error err;
    if (store_batch_join(&ask->errand) && ask->first &&
        !store_once(home->store, ask->errand.room, ask->expires_ms, &err))
        store_batch_failed(home, &err);
}

static void once_at_owner(struct letter *letter)
{
    struct once_errand *ask = (struct once_errand *)letter;
    struct errand *errand = &ask->errand;
    struct embedded *owner = errand->owner;
    const struct once *once = once_find(owner, errand->room);
    size_t limit = (size_t)owner->conf->limits.replays, loops = owner->home->count;
    if (once && once->stored) {
        errand_go_home(errand, BROKER_REPEATED, once_home);
    } else if (!once && owner->onces.count >= (limit + loops - 1) / loops) {
        count_up(COUNT_too_many_replays);
        errand_go_home(errand, BROKER_FULL, once_home);
    } else if (store_overdue_ms(owner)) {
        errand_go_home(errand, BROKER_UNAVAILABLE, once_home);
    } else {
        ask->first = !once;
        if (ask->first)
            once_add(owner, errand->room, ask->expires_ms);
        errand_to_store(errand, NULL, once_at_store, once_stored);
    }
}

void embedded_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                   void *arg)
{
    struct once_errand *ask = errand_create(broker, key, sizeof *ask);
    ask->expires_ms = expires_ms > INT64_MAX - KEEP_MS ? INT64_MAX : expires_ms + KEEP_MS;
    ask->done = done;
    ask->arg = arg;
    errand_sets_out(&ask->errand, once_give_up);
    errand_go(&ask->errand, ask->errand.owner->loop, once_at_owner);
}

/* ---- forgetting ---- */

static void forgotten(struct letter *letter)
{
    struct errand *errand = (struct errand *)letter;
    if (errand->status != BROKER_OK) /* it stays in the file: after a restart it is known again */
        owner_generation_end(errand->owner, errand->generation);
    errand_free(errand);
}

static void forget_at_store(struct letter *letter)
{
    struct errand *errand = (struct errand *)letter;
    struct embedded_home *home = errand->owner->home;
    struct error err;
    if (store_batch_join(errand) && !store_once_forget(home->store, errand->room, &err))
        store_batch_failed(home, &err);
}

static void forget_in_store(struct errand *errand)
{
    errand_to_store(errand, NULL, forget_at_store, forgotten);
}

static void forget_at_owner(struct letter *letter)
{
    struct errand *errand = (struct errand *)letter;
    struct once *once = once_find(errand->owner, errand->room);
    if (once && once->stored) {
        once_remove(errand->owner, once);
        forget_in_store(errand);
        return;
    }
    if (once)
        once->unwanted = true; /* it is dealt with when it comes back */
    errand_free(errand);
}

void embedded_once_forget(struct broker *broker, struct name *key)
{
    struct errand *errand = errand_create(broker, key, sizeof *errand);
    errand_go(errand, errand->owner->loop, forget_at_owner);
}
