/* flood.h: a publisher flat out, in a thread of its own, that keeps account of what it was
 * answered. Every message has a text of its own, "<name>-<number>", which is its client id too, so
 * that all of them can be said again. */
#pragma once
#include "client.h"
#include <pthread.h>
#include <stdatomic.h>

enum { FLOOD_WINDOW = 50, FLOOD_MAX = 100000 };

struct flood {
    struct server *server;
    const char *room, *name;
    bool errors_allowed; /* unavailable, unknown: their offset is 0 */
    atomic_bool stop;
    atomic_bool
        slow; /* a message a millisecond, at most, times FLOW_SLOW: for tests that take a while */
    atomic_int sent, answered;
    struct {
        char id[37];
        int64_t offset;
    } * answers; /* of the first `answered`, in order */
    pthread_t thread;
};

/* Until its connection is gone, or flood_stop. */
struct flood *flood_start(struct server *server, const char *room, const char *name,
                          bool errors_allowed);
/* Say no more, and wait for the answers. */
void flood_stop(struct flood *flood);
/* Wait until so many were answered. */
void flood_wait(const struct flood *flood, int answered);
/* Say all again that had no ok, and the last hundred that had, to that server, as a client does
 * that lost its connection: an ok is answered as it was. */
void flood_repeat(struct flood *flood, struct server *server);
/* What was answered ok is there, under its offset. */
void flood_expect_there(const struct flood *flood, const struct account *account);
