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

enum redis_role {
    REDIS_SERVER,     /* all in one process */
    REDIS_WORKER,     /* takes clients, and says so */
    REDIS_DISPATCHER, /* knows the workers */
};

/* Begins to connect when the loops run; until it has, everything is BROKER_UNAVAILABLE. conf lives
 * until broker_use says otherwise. The loops are created, and not running yet.
 *   node  unique among all processes: a UUID
 *   host  what clients of a worker connect to while conf->announce says nothing; outlives it
 *   returns  NULL with err: the configuration asks for what is not possible */
struct redis_home *redis_open(const struct config *conf, const char node[37], enum redis_role role,
                              const char *host, struct loop *const *loops, size_t loop_count,
                              struct error *err);
/* The handle of loop i. Its on_event and others are the caller's to set before the loops run. */
struct broker *redis_broker(struct redis_home *home, size_t i);
/* Whether dispatchers may send clients here. Any thread. */
void redis_take_clients(struct redis_home *home, bool takes);

/* Answer all that is open, when the loops have ended. */
void redis_stop(struct redis_home *home);
/* After their inboxes were drained. */
void redis_close(struct redis_home *home);
