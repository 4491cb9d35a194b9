/* The store's thread: all that its inbox held in one turn is one transaction. */
#include "alloc.h"
#include "clock.h"
#include "embedded_parts.h"
#include "log.h"
#include "store.h"

enum { TELL_AGAIN_MS = 60000 };

static const double RETRY_S = 1, RECHECK_S = 10, PURGE_S = 600, PURGE_SLICE_S = 0.02;

/* ---- whether it can be written ---- */

struct health_news {
    struct letter letter;
    struct embedded *to;
    struct broker_health health;
};

static void health_arrives(struct letter *letter)
{
    struct health_news *news = (struct health_news *)letter;
    news->to->health = news->health;
    free(news);
}

static void health_tell(struct embedded_home *home)
{
    for (size_t i = 0; i < home->count; i++) {
        struct health_news *news = xmalloc(sizeof *news);
        *news = (struct health_news){{.deliver = health_arrives}, &home->loops[i], home->health};
        loop_post(news->to->loop, &news->letter);
    }
}

void store_is_failing(struct embedded_home *home, const struct error *err)
{
    if (!home->health.store_ok)
        return; /* said already: once, not for every message */
    log_error("%s; nothing can be published until it is mended", err->text);
    home->health = (struct broker_health){.since_ms = clock_wall_ms()};
    snprintf(home->health.why, sizeof home->health.why, "%.*s", (int)sizeof home->health.why - 1,
             err->text);
    health_tell(home);
    home->store_retry.repeat = RETRY_S;
    ev_timer_again(loop_ev(home->store_loop), &home->store_retry);
}

static void store_is_mended(struct embedded_home *home)
{
    log_info("store: it can be written again");
    home->health = (struct broker_health){.store_ok = true};
    health_tell(home);
    ev_timer_stop(loop_ev(home->store_loop), &home->store_retry);
}

/* Nobody may be publishing: it is tried all the same. That it went well is believed no sooner, so
 * that a disk that fails now and then does not flood the log. */
static void on_retry(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded_home *home = timer->data;
    struct error err;
    home->retry_in_batch = home->batch_open; /* then that one tells */
    if (home->batch_open)
        return;
    store_turn_begin(home);
    /* The first time soon, then less often: a file that is corrupt will hardly get better. */
    timer->repeat = store_recheck(home->store, &err) ? RETRY_S : RECHECK_S;
    ev_timer_again(ev, timer);
    if (store_begin(home->store, &err) && store_probe(home->store, clock_wall_ms(), &err) &&
        store_commit(home->store, &err))
        store_is_mended(home);
    else
        store_rollback(home->store);
}

void store_load_failed(struct embedded_home *home, const struct name *room, const struct error *err)
{
    int64_t now_ms = clock_mono_ms();
    struct error why;
    if (!store_check(home->store, &why)) /* it is more than a bad read */
        store_is_failing(home, &why);
    else if (!home->load_told_ms || now_ms - home->load_told_ms > TELL_AGAIN_MS) {
        home->load_told_ms = now_ms;
        log_event(LOG_ERROR, LOG_FIELDS({"room", room ? name_text(room) : (struct text){0}}),
                  "%s; a room could not be read", err->text);
    }
}

/* ---- a turn: one batch ---- */

void store_turn_begin(struct embedded_home *home)
{
    if (!atomic_load_explicit(&home->store_busy_ms, memory_order_relaxed))
        atomic_store_explicit(&home->store_busy_ms, clock_mono_ms(), memory_order_relaxed);
}

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
    store_is_failing(home, err);
}

/* Whether the letter may write: it joins the batch in any case. */
bool store_batch_join(struct errand *errand)
{
    struct embedded_home *home = errand->owner->home;
    struct error err;
    store_turn_begin(home);
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
        else if (home->retry_in_batch)
            store_is_mended(home);
        home->retry_in_batch = false;
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

static void on_purge(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded_home *home = timer->data;
    struct error err;
    bool more = home->batch_open; /* then a slice later */
    store_turn_begin(home);
    if (!more && home->health.store_ok && !store_purge(home->store, clock_wall_ms(), &more, &err))
        store_is_failing(home, &err);
    timer->repeat = more ? PURGE_SLICE_S : PURGE_S;
    ev_timer_again(ev, timer);
}

void store_turn_end(void *arg)
{
    struct embedded_home *home = arg;
    batch_finish(home);
    backup_slice(home);
    if (!atomic_load_explicit(&home->store_busy_ms, memory_order_relaxed))
        return;
    atomic_store_explicit(&home->store_busy_ms, 0, memory_order_relaxed);
    if (atomic_exchange(&home->store_late, false))
        log_info("store: it answers again");
}

void store_turn_init(struct embedded_home *home)
{
    home->health = (struct broker_health){.store_ok = true};
    home->at_store_turn_end = (struct turn_end){.run = store_turn_end, .arg = home};
    loop_on_turn_end(home->store_loop, &home->at_store_turn_end);
    ev_timer_init(&home->store_retry, on_retry, 0, RETRY_S);
    home->store_retry.data = home;
    ev_timer_init(&home->store_purge, on_purge, PURGE_SLICE_S, PURGE_SLICE_S);
    home->store_purge.data = home;
    ev_timer_start(loop_ev(home->store_loop), &home->store_purge);
}

void store_turn_finish(struct embedded_home *home)
{
    ev_timer_stop(loop_ev(home->store_loop), &home->store_retry);
    ev_timer_stop(loop_ev(home->store_loop), &home->store_purge);
}

/* The owner's side of a failed commit: what it numbered in that generation never was. */
static void room_take_back(struct table_link *link, void *arg)
{
    struct home_room *room = list_entry(link, struct home_room, link);
    if (room->offset == room->announced)
        return;
    room->offset = room->announced;
    answers_forget_above(room->answers, room->announced);
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
