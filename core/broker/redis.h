/* redis.h: the broker between many processes, on Redis. Everything that must happen at once does so
 * there, in one script (redis/….lua): numbered, stored, announced. A loop has connections of its
 * own (redis_link.h), and of each room that somebody listens to a copy of the history, which it
 * keeps up to date by what it hears: so a second reader costs Redis nothing. */
#pragma once
#include "broker.h"
#include "error.h"

struct config;
struct loop;
struct redis_home; /* what the loops' handles have in common */

/* Whether this build can do what conf asks of it.
 *   returns  false with err */
bool redis_possible(const struct config *conf, struct error *err);
enum redis_role {
    REDIS_SERVER,     /* all in one process */
    REDIS_WORKER,     /* takes clients, and says so */
    REDIS_DISPATCHER, /* knows the workers */
};

/* Begins to connect when the loops run; until it has, everything is BROKER_UNAVAILABLE. conf lives
 * until broker_use says otherwise. The loops are created, and not running yet.
 *   node  unique among all processes: a UUID */
struct redis_home *redis_open(const struct config *conf, const char node[37], enum redis_role role,
                              struct loop *const *loops, size_t loop_count);
/* The handle of loop i. Its on_event and others are the caller's to set before the loops run. */
struct broker *redis_broker(struct redis_home *home, size_t i);
/* Whether dispatchers may send clients here. Any thread. */
void redis_take_clients(struct redis_home *home, bool takes);

struct worker_place {
    char node[37];
    char host[256]; /* what clients connect to: a URL */
    uint64_t connections;
};
/* The least loaded worker but that one; NULL: there is none. Counts a client for it. Its loop;
 * lent until the turn ends.
 *   excluded  a node; may be empty */
const struct worker_place *redis_pick_worker(struct broker *broker, struct text excluded);

/* Answer all that is open, when the loops have ended. */
void redis_stop(struct redis_home *home);
/* After their inboxes were drained. */
void redis_close(struct redis_home *home);
