/* Whether all is well: something is stored, then goes through every loop, and comes back. */
#include "alloc.h"
#include "clock.h"
#include "embedded_parts.h"
#include "store.h"

enum { PROBE_LATE_S = 2, PROBE_KEPT_MS = 1000 };

struct probe_ask {
    struct letter letter; /* if the verdict is known already; else next joins those who wait */
    struct embedded *from;
    broker_probed *done;
    void *arg;
};

struct probe {
    struct errand errand; /* from and owner: the loop that asks */
    _Atomic size_t at;    /* which loop it is to go through; count: the store */
};

static void ask_answer(struct letter *letter)
{
    struct probe_ask *ask = (struct probe_ask *)letter;
    struct embedded *loop = ask->from;
    ask->done(ask->arg, loop->probe.ok ? BROKER_OK : BROKER_UNAVAILABLE, loop->probe.why);
    free(ask);
}

static void verdict(struct embedded *loop, bool ok)
{
    struct probe_ask *ask = loop->probe.asks;
    loop->probe.asks = NULL;
    loop->probe.ok = ok;
    loop->probe.done_ms = clock_mono_ms();
    ev_timer_stop(loop_ev(loop->loop), &loop->probe.late);
    if (ok)
        *loop->probe.why = 0;
    while (ask) {
        struct probe_ask *next = (struct probe_ask *)ask->letter.next;
        ask_answer(&ask->letter);
        ask = next;
    }
}

static void on_late(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded *loop = timer->data;
    size_t at = atomic_load(&loop->probe.away->at);
    if (at == loop->home->count)
        snprintf(loop->probe.why, sizeof loop->probe.why, "store: no answer");
    else
        snprintf(loop->probe.why, sizeof loop->probe.why, "loop-%zu: no answer", at);
    verdict(loop, false);
}

static void time_write(char *out, size_t size, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void probe_home(struct letter *letter)
{
    struct probe *probe = (struct probe *)letter;
    struct embedded *loop = probe->errand.from;
    bool ok = probe->errand.status == BROKER_OK;
    if (!ok) { /* the log says more: paths are nobody's business */
        char since[32];
        time_write(since, sizeof since,
                   loop->health.store_ok ? clock_wall_ms() : loop->health.since_ms);
        snprintf(loop->probe.why, sizeof loop->probe.why, "store: cannot be written since %s",
                 since);
    }
    loop->probe.away = NULL;
    free(probe);
    verdict(loop, ok);
}

static void probe_at_loop(struct letter *letter)
{
    struct probe *probe = (struct probe *)letter;
    struct embedded_home *home = probe->errand.from->home;
    size_t next = atomic_load(&probe->at) + 1;
    if (next == home->count) {
        errand_go(&probe->errand, probe->errand.from->loop, probe_home);
        return;
    }
    atomic_store(&probe->at, next);
    errand_go(&probe->errand, home->loops[next].loop, probe_at_loop);
}

static void probe_stored(struct letter *letter)
{
    struct probe *probe = (struct probe *)letter;
    if (probe->errand.status != BROKER_OK) {
        probe_home(letter);
        return;
    }
    atomic_store(&probe->at, 0);
    errand_go(&probe->errand, probe->errand.from->home->loops[0].loop, probe_at_loop);
}

static void probe_at_store(struct letter *letter)
{
    struct probe *probe = (struct probe *)letter;
    struct embedded_home *home = probe->errand.from->home;
    struct error err;
    if (store_batch_join(&probe->errand) && !store_probe(home->store, clock_wall_ms(), &err))
        store_batch_failed(home, &err);
}

static void probe_send(struct embedded *loop)
{
    struct probe *probe = xcalloc(1, sizeof *probe);
    probe->errand.from = probe->errand.owner = loop;
    probe->errand.back = probe_stored;
    loop->probe.away = probe;
    atomic_init(&probe->at, loop->home->count);
    ev_timer_set(&loop->probe.late, PROBE_LATE_S, 0);
    ev_timer_start(loop_ev(loop->loop), &loop->probe.late);
    if (loop->home->store)
        errand_go(&probe->errand, loop->home->store_loop, probe_at_store);
    else
        errand_go(&probe->errand, loop->loop, probe_stored);
}

/* However many ask: one probe a second, and one at a time. */
void embedded_probe(struct broker *broker, broker_probed *done, void *arg)
{
    struct embedded *loop = embedded_of(broker);
    struct probe_ask *ask = xmalloc(sizeof *ask);
    *ask = (struct probe_ask){.letter.deliver = ask_answer, loop, done, arg};
    bool late = loop->probe.away && !ev_is_active(&loop->probe.late);
    bool known = loop->probe.done_ms && clock_mono_ms() - loop->probe.done_ms < PROBE_KEPT_MS &&
                 (loop->health.store_ok || !loop->probe.ok);
    if (late || (!loop->probe.away && known)) {
        loop_post(loop->loop, &ask->letter);
        return;
    }
    ask->letter.next = (struct letter *)loop->probe.asks;
    loop->probe.asks = ask;
    if (!loop->probe.away)
        probe_send(loop);
}

void embedded_health(struct broker *broker, struct broker_health *health_out)
{
    struct embedded *loop = embedded_of(broker);
    int64_t overdue_ms = store_overdue_ms(loop);
    *health_out = loop->health;
    if (!overdue_ms || !loop->health.store_ok)
        return;
    int64_t for_ms = clock_mono_ms() - overdue_ms;
    *health_out = (struct broker_health){.since_ms = clock_wall_ms() - for_ms};
    snprintf(health_out->why, sizeof health_out->why, "store: no answer for %lld ms",
             (long long)for_ms);
}

void probe_init(struct embedded *loop)
{
    loop->health = (struct broker_health){.store_ok = true};
    ev_timer_init(&loop->probe.late, on_late, 0, 0);
    loop->probe.late.data = loop;
}

void probe_finish(struct embedded *loop)
{
    ev_timer_stop(loop_ev(loop->loop), &loop->probe.late);
}
