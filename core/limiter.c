#include "limiter.h"
#include "address.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "user.h"

#include <stdatomic.h>
#include <time.h>

struct limiter {
    _Atomic int64_t connections;
    struct count_table *per_address;
    struct rate_table *rates;
};

enum kind { /* what a rate is counted by: apart in the table */
            HANDSHAKES_PER_ADDRESS,
            SAYS_PER_USER,
            SAYS_PER_ADDRESS,
            JOINS_PER_USER,
            JOINS_PER_ADDRESS,
            REQUESTS_PER_ADDRESS
};

struct limiter *limiter_create(void)
{
    struct limiter *limiter = xcalloc(1, sizeof *limiter);
    limiter->per_address = count_table_create();
    limiter->rates = rate_table_create();
    return limiter;
}

void limiter_destroy(struct limiter *limiter)
{
    if (!limiter)
        return;
    count_table_destroy(limiter->per_address);
    rate_table_destroy(limiter->rates);
    free(limiter);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct rate rate_of(const struct config *conf, int64_t per_second)
{
    int64_t burst = per_second * conf->limits.burst_ms / 1000;
    return (struct rate){(uint32_t)per_second, (uint32_t)(burst < 1 ? 1 : burst)};
}

/* A proxy is not a client: it comes for all of its own, who are counted once they are known. */
static bool is_exempt(const struct config *conf, const struct address *address)
{
    return !address_is_known(address) ||
           networks_contain(conf->trusted.networks, conf->trusted.count, address) ||
           networks_contain(conf->exempt.networks, conf->exempt.count, address);
}

/* ---- connections ---- */

static bool address_add(struct limiter *limiter, const struct config *conf,
                        const struct address *address)
{
    struct address site = address_site(address);
    uint32_t max = conf->limits.connections_per_address && !is_exempt(conf, address)
                       ? (uint32_t)conf->limits.connections_per_address
                       : UINT32_MAX;
    return count_table_add(limiter->per_address, &site, sizeof site, max);
}

static enum limiter_verdict address_admit(struct limiter *limiter, const struct config *conf,
                                          const struct address *address)
{
    struct address site = address_site(address);
    if (!is_exempt(conf, address) &&
        rate_table_take(limiter->rates, HANDSHAKES_PER_ADDRESS, &site, sizeof site,
                        rate_of(conf, conf->limits.handshakes_per_address), now_ns())) {
        count_up(COUNT_limited_handshakes);
        return LIMITER_HANDSHAKES;
    }
    if (!address_add(limiter, conf, address)) {
        count_up(COUNT_refused_address);
        return LIMITER_ADDRESS;
    }
    return LIMITER_OK;
}

enum limiter_verdict limiter_connect(struct limiter *limiter, const struct config *conf,
                                     const struct address *address)
{
    enum limiter_verdict verdict = LIMITER_FULL;
    if (limiter->connections++ < conf->limits.connections)
        verdict = address_admit(limiter, conf, address);
    else
        count_up(COUNT_refused_connections);
    if (verdict != LIMITER_OK)
        limiter->connections--;
    return verdict;
}

void limiter_disconnect(struct limiter *limiter, const struct address *address)
{
    struct address site = address_site(address);
    count_table_remove(limiter->per_address, &site, sizeof site);
    limiter->connections--;
}

enum limiter_verdict limiter_move(struct limiter *limiter, const struct config *conf,
                                  const struct address *from, const struct address *to)
{
    enum limiter_verdict verdict = address_admit(limiter, conf, to);
    struct address site = address_site(from);
    if (verdict == LIMITER_OK)
        count_table_remove(limiter->per_address, &site, sizeof site);
    return verdict;
}

/* ---- rates ---- */

static int64_t to_ms(int64_t ns)
{
    return (ns + 999999) / 1000000;
}

int64_t limiter_take(struct limiter *limiter, const struct config *conf, enum limited what,
                     struct bucket *own, const struct address *address, const struct user *user)
{
    const struct {
        int64_t per_connection, per_user, per_address;
        enum kind of_user, of_address;
        enum counter counter;
    } limits[] = {
        [LIMITED_SAY] = {conf->limits.says_per_connection, conf->limits.says_per_user,
                         conf->limits.says_per_address, SAYS_PER_USER, SAYS_PER_ADDRESS,
                         COUNT_limited_says},
        [LIMITED_JOIN] = {conf->limits.joins_per_connection, conf->limits.joins_per_user,
                          conf->limits.joins_per_address, JOINS_PER_USER, JOINS_PER_ADDRESS,
                          COUNT_limited_joins},
        [LIMITED_REQUEST] = {0, 0, conf->limits.requests_per_address, 0, REQUESTS_PER_ADDRESS,
                             COUNT_limited_requests},
    };
    int64_t now = now_ns(), wait = 0;
    if (own)
        wait = bucket_take(own, rate_of(conf, limits[what].per_connection), now);
    if (!wait && user && *user->sub)
        wait = rate_table_take(limiter->rates, limits[what].of_user, user->sub, strlen(user->sub),
                               rate_of(conf, limits[what].per_user), now);
    if (!wait && !is_exempt(conf, address)) {
        struct address site = address_site(address);
        wait = rate_table_take(limiter->rates, limits[what].of_address, &site, sizeof site,
                               rate_of(conf, limits[what].per_address), now);
    }
    if (wait)
        count_up(limits[what].counter);
    return to_ms(wait);
}

int64_t limiter_take_frame(const struct config *conf, struct bucket *own)
{
    return to_ms(bucket_take(own, rate_of(conf, conf->limits.frames_per_connection), now_ns()));
}
