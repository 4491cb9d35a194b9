/* Whether all is well: something is published by each loop in turn, and heard by it, through Redis.
 */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "redis_parts.h"

enum { PROBE_LATE_MS = 2000, PROBE_KEPT_MS = 1000 };

struct redis_probe {
    struct letter letter;
    struct redis *from;
    size_t at;          /* which loop it is at */
    uint32_t waits_for; /* servers, as bits, by way of which something is still to come back */
    uint64_t pulses[REDIS_SERVERS_MAX]; /* which, of each */
    broker_probed *done;
    void *arg;
    int64_t since_ms;
    bool failed;
    struct list probes; /* of the loop it is at */
};

/* Of any of the servers; NULL: all is well. */
static const char *trouble_of(const struct redis *redis, int64_t *since_ms)
{
    const char *why = NULL;
    for (size_t i = 0; !why && i < redis_servers_count(redis->home->servers); i++)
        why = redis_link_trouble(redis_link_at(redis, i), since_ms);
    return why;
}

static void probe_home(struct letter *letter)
{
    struct redis_probe *probe = (struct redis_probe *)letter;
    char why[256] = "";
    int64_t since_ms;
    if (probe->failed) {
        const char *trouble = trouble_of(probe->from, &since_ms);
        if (trouble)
            snprintf(why, sizeof why, "redis: cannot be reached"); /* where it is is in the log */
        else
            snprintf(why, sizeof why, "loop-%zu: what it publishes does not come back", probe->at);
    }
    probe->done(probe->arg, probe->failed ? BROKER_UNAVAILABLE : BROKER_OK, why);
    free(probe);
}

static void probe_go_home(struct redis_probe *probe, bool failed)
{
    probe->failed = failed;
    probe->letter.deliver = probe_home;
    loop_post(probe->from->loop, &probe->letter);
}

static void probe_visits(struct letter *letter)
{
    struct redis_probe *probe = (struct redis_probe *)letter;
    struct redis *here = &probe->from->home->loops[probe->at];
    size_t servers = redis_servers_count(here->home->servers);
    bool all = atomic_load(&here->home->bans_known);
    for (size_t i = 0; i < servers; i++)
        all &= redis_link_ready(redis_link_at(here, i)) && redis_link_hears(redis_link_at(here, i));
    if (!all) {
        probe_go_home(probe, true);
        return;
    }
    list_append(&here->probes, &probe->probes);
    for (size_t i = 0; i < servers; i++) {
        probe->waits_for |= (uint32_t)1 << i;
        probe->pulses[i] = redis_link_pulse(redis_link_at(here, i));
    }
}

/* Something that was published has come back. */
void redis_probes_heard(struct redis *redis, size_t server, uint64_t pulse)
{
    struct redis_probe *probe, *after;
    struct redis_home *home = redis->home;
    list_for_each_safe (probe, after, &redis->probes, probes) {
        if (pulse >= probe->pulses[server]) /* not one that was under way before */
            probe->waits_for &= ~((uint32_t)1 << server);
        if (probe->waits_for)
            continue;
        list_remove(&probe->probes);
        if (++probe->at == home->count) {
            probe_go_home(probe, false);
        } else {
            probe->letter.deliver = probe_visits;
            loop_post(home->loops[probe->at].loop, &probe->letter);
        }
    }
}

void redis_probes_fail(struct redis *redis, int64_t older_ms)
{
    struct redis_probe *probe, *after;
    list_for_each_safe (probe, after, &redis->probes, probes) {
        if (probe->since_ms > older_ms)
            continue;
        list_remove(&probe->probes);
        probe_go_home(probe, true);
    }
}

void redis_probes_sweep(struct redis *redis, int64_t now_ms)
{
    redis_probes_fail(redis, now_ms - PROBE_LATE_MS);
}

void redis_do_probe(struct broker *broker, broker_probed *done, void *arg)
{
    struct redis_probe *probe = xcalloc(1, sizeof *probe);
    probe->from = redis_of(broker);
    probe->done = done;
    probe->arg = arg;
    probe->since_ms = clock_mono_ms();
    probe->letter.deliver = probe_visits;
    list_init(&probe->probes);
    loop_post(probe->from->home->loops[0].loop, &probe->letter);
}

void redis_do_health(struct broker *broker, struct broker_health *health_out)
{
    int64_t since_ms;
    const char *why = trouble_of(redis_of(broker), &since_ms);
    *health_out = (struct broker_health){.store_ok = !why, .since_ms = why ? since_ms : 0};
    if (why)
        snprintf(health_out->why, sizeof health_out->why, "%s", why);
}
