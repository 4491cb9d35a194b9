/* redis_link_parts.h: what the files redis_link.c, redis_command.c and redis_sentinel.c share, and
 * nobody else sees. */
#pragma once
#include "buffer.h"
#include "clock.h"
#include "config.h"
#include "list.h"
#include "loop.h"
#include "redis_link.h"

#include <ev.h>
#include <hiredis/async.h>

enum {
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 2000,
    TICK_MS = 200,
    PULSE_MS = 1000,
    HEADER_ROOM = 16, /* in front of a command, for the number of its arguments */
    SHA_LENGTH = 40
};

struct link_end { /* one of the two connections */
    struct redis_link *link;
    redisAsyncContext *context; /* NULL: there is none */
    bool ready;
    unsigned greetings; /* replies until it is */
    unsigned failures;  /* since it last was */
    int64_t next_ms;    /* when to try again; monotonic */
    int64_t heard_ms;   /* when anything came last */
};

struct redis_link {
    struct loop *loop;
    const struct redis_server *server;
    const struct config *conf;
    char *self;
    struct redis_up up;
    struct link_end commands, channels;
    ev_timer tick;
    char run[SHA_LENGTH + 1]; /* of the server: another one each time it starts */
    bool appendonly, always;  /* how it keeps what it has */
    uint64_t epochs;          /* a random number at first: the next one that a room may begin */
    char shas[SCRIPT_COUNT][SHA_LENGTH + 1];
    struct { /* who says where the server is, if it is not the configuration */
        redisAsyncContext *context; /* NULL: none is asked */
        size_t at;                  /* which of them */
        bool asking;
        int64_t asked_ms;
        char host[256]; /* what they said last; "": nothing yet */
        int port;
    } sentinel;
    struct list calls; /* without an answer, the oldest first */
    int64_t pulse_ms;  /* when the last one was sent, */
    uint64_t pulses;   /* and its number */
    struct buffer out; /* the command that is being written */
    unsigned arguments;
    char why[200]; /* what is wrong; empty while all is well */
    int64_t since_ms;
    bool ending;
};

struct call {
    struct letter letter; /* of one that is refused */
    struct redis_link *link;
    struct list link_calls;
    redis_answered *done; /* NULL: nobody waits for it any more */
    void *arg;
    int64_t sent_ms;
};

/* ---- redis_link.c ---- */

/* One sentence of what is wrong: to the log when it begins, and for redis_link_trouble. */
__attribute__((format(printf, 2, 3))) void link_trouble(struct redis_link *link, const char *format,
                                                        ...);
/* End a connection; it is made again after a pause. */
void link_end_give_up(struct link_end *end);
/* Load the scripts; the connection is ready when all are. */
void link_load_scripts(struct redis_link *link);
/* libev from now on. */
void link_attach(struct redis_link *link, redisAsyncContext *context);

/* ---- redis_command.c ---- */

/* Whether the oldest call has waited for too long: then those behind it would, too. */
bool link_is_overdue(const struct redis_link *link, int64_t now_ms);
/* Those that have waited for too long get to know that nobody knows. */
void link_give_up_late(struct redis_link *link, int64_t now_ms);

/* ---- redis_sentinel.c ---- */

/* Ask where the server is, from time to time. */
void sentinel_tick(struct redis_link *link, int64_t now_ms);
void sentinel_end(struct redis_link *link);
