/* embedded.h: the broker inside one process. Each room is owned by one loop, by the hash of its
 * name: that loop numbers and announces; a thread of its own stores (store.h). */
#pragma once
#include "broker.h"
#include "error.h"

struct config;
struct embedded_home; /* what the loops' handles have in common */
struct loop;

/* Open the store (unless durability is memory). conf lives until broker_use says otherwise. The
 * loops are created, and not running yet. returns  NULL with err */
struct embedded_home *embedded_open(const struct config *conf, struct loop *const *loops,
                                    size_t loop_count, struct error *err);
/* The handle of loop i. Its on_event is the caller's to set before the loops run. */
struct broker *embedded_broker(struct embedded_home *home, size_t i);
/* Start and stop the store's thread: before the loops run, and when they have ended. A disk that
 * does not answer is not waited for longer than limits.store_wait: the process ends then. */
void embedded_start(struct embedded_home *home);
void embedded_stop(struct embedded_home *home);
/* Deliver what is under way, on this thread, when all threads have ended. False: nothing was. */
bool embedded_drain(struct embedded_home *home);
void embedded_close(struct embedded_home *home);

/* Copy what is stored into a new file, while all goes on. Any thread, while the store's runs.
 *   path  absolute; refused if something is there already
 *   done  called once, on the store's thread (with durability memory: at once, on the caller's);
 *         err is NULL if the file is made and on disk */
void embedded_backup(struct embedded_home *home, const char *path,
                     void (*done)(void *arg, const struct error *err), void *arg);
