/* A store that takes too long: a disk that has stopped does not fail, it says nothing. Its thread
 * cannot be asked then, so the loops look at the clock: since when it has been in its turn, and how
 * long each errand has been away. Whoever asked is told that the outcome is unknown, and the letter
 * goes on: when the disk is back, what was stored is announced as ever. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded_parts.h"
#include "log.h"

enum { LOOKS_PER_WAIT = 8, LOOK_MIN_MS = 10, LOOK_MAX_MS = 250 };

int64_t store_overdue_ms(const struct embedded *loop)
{
    int64_t since = atomic_load_explicit(&loop->home->store_busy_ms, memory_order_relaxed);
    return since && clock_mono_ms() - since >= loop->conf->limits.store_wait_ms ? since : 0;
}

static void given_up(struct errand *errand)
{
    list_remove(&errand->asked);
    count_up(COUNT_store_late);
    errand->given_up = true;
    errand->give_up(errand);
}

void wait_look(struct embedded *loop)
{
    struct embedded_home *home = loop->home;
    int64_t now_ms = clock_mono_ms(), overdue_ms = store_overdue_ms(loop);
    struct loading *loading;
    if (overdue_ms && !atomic_exchange(&home->store_late, true)) /* once, whichever loop sees it */
        log_error("store: no answer for %lld ms; nothing can be published until it answers",
                  (long long)(now_ms - overdue_ms));
    if (overdue_ms) /* what waits for a room has not begun: that outcome is known */
        list_for_each (loading, &loop->loading, of_owner) {
            struct letter *waiting = loading->waiting;
            loading->waiting = NULL;
            waiting_fail(waiting, BROKER_UNAVAILABLE);
        }
    while (!list_empty(&loop->asked)) {
        struct errand *errand = list_entry(loop->asked.next, struct errand, asked);
        if (now_ms - errand->asked_ms < loop->conf->limits.store_wait_ms)
            break;
        given_up(errand);
    }
}

static void on_wait(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded *loop = timer->data;
    wait_look(loop);
    if (list_empty(&loop->asked) && list_empty(&loop->loading))
        ev_timer_stop(ev, timer);
}

void wait_init(struct embedded *loop)
{
    list_init(&loop->asked);
    list_init(&loop->loading);
    ev_timer_init(&loop->wait, on_wait, 0, 0);
    loop->wait.data = loop;
}

void wait_finish(struct embedded *loop)
{
    ev_timer_stop(loop_ev(loop->loop), &loop->wait);
}

/* It runs on until a look finds nothing: an errand that is quick does not start it anew. */
static void wait_begin(struct embedded *loop)
{
    int64_t look_ms = loop->conf->limits.store_wait_ms / LOOKS_PER_WAIT;
    if (ev_is_active(&loop->wait) || !loop->home->store)
        return;
    look_ms = look_ms < LOOK_MIN_MS ? LOOK_MIN_MS : look_ms > LOOK_MAX_MS ? LOOK_MAX_MS : look_ms;
    loop->wait.repeat = (double)look_ms / 1000;
    ev_timer_again(loop_ev(loop->loop), &loop->wait);
}

void errand_sets_out(struct errand *errand, void (*give_up)(struct errand *))
{
    errand->asked_ms = clock_mono_ms();
    errand->give_up = give_up;
    list_append(&errand->from->asked, &errand->asked);
    wait_begin(errand->from);
}

bool errand_comes_home(struct errand *errand)
{
    list_remove(&errand->asked);
    return !errand->given_up;
}

void room_awaits_store(struct embedded *owner, struct home_room *room)
{
    room->loading = xcalloc(1, sizeof *room->loading);
    list_append(&owner->loading, &room->loading->of_owner);
    wait_begin(owner);
}

struct letter *room_is_loaded(struct home_room *room)
{
    struct letter *waiting = room->loading->waiting;
    list_remove(&room->loading->of_owner);
    free(room->loading);
    room->loading = NULL;
    return waiting;
}

void waiting_fail(struct letter *waiting, enum broker_status status)
{
    while (waiting) {
        struct errand *errand = (struct errand *)waiting;
        waiting = waiting->next;
        errand->status = status;
        errand->back(&errand->letter);
    }
}
