/* brokers.h: where the brokers of a process's loops live: in the process itself (embedded.h), or on
 * Redis (redis.h). Main thread, but where it says otherwise. */
#pragma once
#include "error.h"
#include "redis.h"
#include <stdbool.h>
#include <stddef.h>

struct broker;
struct config;
struct brokers;
struct loop;

/* conf lives until broker_use says otherwise. The loops are created, and not running yet.
 *   node     unique among all processes: a UUID
 *   role     what it is to the others; of none in particular, conf->broker decides
 *   host     what clients of a worker connect to while conf->announce says nothing; outlives it
 *   returns  NULL with err */
struct brokers *brokers_open(const struct config *conf, const char node[37], enum redis_role role,
                             const char *host, struct loop *const *loops, size_t loop_count,
                             struct error *err);
/* The handle of loop i. Its on_event and others are the caller's to set before the loops run. */
struct broker *brokers_get(struct brokers *brokers, size_t i);
bool brokers_on_redis(const struct brokers *brokers);
/* Whether dispatchers may send clients here. Any thread. */
void brokers_take_clients(struct brokers *brokers, bool takes);
/* Before the loops run, and when they have ended. */
void brokers_start(struct brokers *brokers);
void brokers_stop(struct brokers *brokers);
/* Deliver what is under way, on this thread. False: nothing was. */
bool brokers_drain(struct brokers *brokers);
void brokers_close(struct brokers *brokers);
/* As embedded_backup; refused on Redis, which has backups of its own. Any thread. */
void brokers_backup(struct brokers *brokers, const char *path,
                    void (*done)(void *arg, const struct error *err), void *arg);
