/* The store's thread: all that its inbox held in one turn is one transaction. */
#include "alloc.h"
#include "clock.h"
#include "embedded_parts.h"
#include "log.h"
#include "store.h"

enum { PURGE_MS = 600000 };

/* ---- the store's thread ---- */

static void batch_add(struct errand *errand)
{
    struct embedded_home *home = errand->owner->home;
    errand->next = NULL;
    *home->batch_tail = errand;
    home->batch_tail = &errand->next;
}

void store_batch_failed(struct embedded_home *home, const struct error *err)
{
    home->batch_failed = true;
    if (!home->store_was_failing) /* once, not for every message */
        log_error("%s; nothing can be published until it is mended", err->text);
    home->store_was_failing = true;
}

/* Whether the letter may write: it joins the batch in any case. */
bool store_batch_join(struct errand *errand)
{
    struct embedded_home *home = errand->owner->home;
    struct error err;
    batch_add(errand);
    if (errand->generation && errand->generation <= errand->owner->failed_generation) {
        errand->status = BROKER_UNAVAILABLE; /* numbered upon something that failed */
        return false;
    }
    errand->status = BROKER_OK;
    if (!home->batch_open) {
        home->batch_open = true;
        if (!store_begin(home->store, &err))
            store_batch_failed(home, &err);
    }
    return !home->batch_failed;
}

static void batch_finish(void *arg)
{
    struct embedded_home *home = arg;
    struct error err;
    if (home->batch_open) {
        if (!home->batch_failed && !store_commit(home->store, &err))
            store_batch_failed(home, &err);
        if (home->batch_failed)
            store_rollback(home->store);
        else if (home->store_was_failing) {
            log_info("store: it can be written again");
            home->store_was_failing = false;
        }
    }
    struct errand *errand = home->batch;
    home->batch = NULL;
    home->batch_tail = &home->batch;
    while (errand) {
        struct errand *next = errand->next;
        if (home->batch_failed && errand->status == BROKER_OK) {
            errand->status = BROKER_UNAVAILABLE;
            if (errand->generation > errand->owner->failed_generation)
                errand->owner->failed_generation = errand->generation;
        }
        errand_go(errand, errand->owner->loop, errand->back);
        errand = next;
    }
    home->batch_open = home->batch_failed = false;
}

void store_turn_end(void *arg)
{
    struct embedded_home *home = arg;
    struct error err;
    batch_finish(home);
    int64_t now_ms = clock_mono_ms();
    if (now_ms - home->purged_ms > PURGE_MS) {
        home->purged_ms = now_ms;
        if (!store_purge(home->store, clock_wall_ms(), &err))
            log_error("%s", err.text);
    }
}

/* The owner's side of a failed commit: what it numbered in that generation never was. */
static void room_take_back(struct table_link *link, void *arg)
{
    struct home_room *room = list_entry(link, struct home_room, link);
    if (room->offset == room->announced)
        return;
    room->offset = room->announced;
    answers_forget_above(&room->answers, room->announced);
}

void owner_generation_end(struct embedded *owner, uint64_t generation)
{
    if (generation != owner->generation)
        return;
    owner->generation++;
    table_walk(&owner->rooms, room_take_back, NULL);
}

void errand_to_store(struct errand *errand, struct home_room *room, void (*step)(struct letter *),
                     void (*back)(struct letter *))
{
    if (room) {
        room->in_flight++;
        errand->generation = errand->owner->generation;
    }
    errand->back = back;
    if (errand->owner->home->store) {
        errand_go(errand, errand->owner->home->store_loop, step);
        return;
    }
    errand->status = BROKER_OK;
    back(&errand->letter);
}
