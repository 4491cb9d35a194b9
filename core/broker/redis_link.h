/* redis_link.h: one loop's connections to one Redis: commands, pipelined, on one; subscriptions on
 * another. Both are made again when they break, with growing pauses, for ever. Its loop only.
 *
 * hiredis knows no time-outs for asynchronous commands, so each has a deadline here,
 * limits.store_wait: after it the outcome is unknown. While an older one is overdue, or there is no
 * connection, a command is refused at once and not kept. Replies come in the order of the calls. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

struct config;
struct loop;
struct name;
struct redis_link;
struct redisReply;

struct redis_server { /* where one is */
    char *name;       /* as the configuration has it */
    char *host;       /* or "" and a socket; or neither, and Sentinels know */
    int port;
    char *socket;
    const struct redis_server *sentinels; /* sentinel_count of them, which follow the master name */
    size_t sentinel_count;
};

enum redis_outcome {
    REDIS_ANSWERED, /* reply is lent; no error reply among them */
    REDIS_REFUSED,  /* it has not happened */
    REDIS_UNKNOWN,  /* it may have happened */
};
typedef void redis_answered(void *arg, enum redis_outcome outcome, const struct redisReply *reply);

struct redis_up {               /* whom the link tells; arg of all of them */
    void (*ready)(void *arg);   /* commands are taken, again */
    void (*lost)(void *arg);    /* they are not, any more */
    void (*hearing)(void *arg); /* channels can be subscribed: none is, any more */
    void (*deaf)(void *arg);    /* nothing is heard until then */
    void (*subscribed)(void *arg, struct text channel);
    void (*heard)(void *arg, struct text channel, struct text payload);
    void (*pulse)(void *arg, uint64_t number); /* redis_link_pulse: this one came back */
    void *arg;
};

/* Connects. server and conf live until it is destroyed, conf until redis_link_use.
 *   self  a channel that nobody else uses: what comes back on it shows that both are alive */
struct redis_link *redis_link_create(struct loop *loop, const struct redis_server *server,
                                     const struct config *conf, const char *self,
                                     const struct redis_up *up);
/* Say the last, then be silent: calls that are open are answered, unknown, and later ones refused.
 * After the loop has ended. */
void redis_link_end(struct redis_link *link);
void redis_link_destroy(struct redis_link *link);
void redis_link_use(struct redis_link *link, const struct config *conf);

/* ---- commands ---- */

enum redis_script {
    SCRIPT_PUBLISH,
    SCRIPT_READ,
    SCRIPT_LOOK,
    SCRIPT_PRESENCE,
    SCRIPT_READERS,
    SCRIPT_BAN,
    SCRIPT_BANS,
    SCRIPT_REMOVE,
    SCRIPT_ONCE,
    SCRIPT_KEEP,
    SCRIPT_BEAT,
    SCRIPT_REAP,
    SCRIPT_WORKERS,
    SCRIPT_COUNT
};

/* Write one command: begin, its arguments, send. */
void redis_begin_script(struct redis_link *link, enum redis_script script, unsigned keys);
void redis_begin(struct redis_link *link, const char *command);
void redis_arg(struct redis_link *link, struct text text);
void redis_arg_number(struct redis_link *link, int64_t number);
/* redis.prefix, a colon, part, and name if it is not NULL. */
void redis_arg_key(struct redis_link *link, const char *part, struct text name);
/* The run id of the server, whether it keeps all, and a new epoch: what scripts begin with. */
void redis_arg_run(struct redis_link *link);
/* done is called once, later, never from within. NULL: nobody wants to know. */
void redis_send(struct redis_link *link, redis_answered *done, void *arg);

/* Publish something that up->pulse tells of when it is back.
 *   returns  its number: they grow */
uint64_t redis_link_pulse(struct redis_link *link);
bool redis_link_ready(const struct redis_link *link);
bool redis_link_hears(const struct redis_link *link);
/* One sentence of what is wrong; NULL while all is well. *since_ms: Unix time. */
const char *redis_link_trouble(const struct redis_link *link, int64_t *since_ms);

/* ---- subscriptions ---- */

/* up->subscribed tells when it is in force; lost with the connection. */
void redis_subscribe(struct redis_link *link, struct text channel);
void redis_unsubscribe(struct redis_link *link, struct text channel);

/* ---- replies ---- */

/* Part i of an array as text; absent if there is no such part, or it is none. */
struct text redis_reply_text(const struct redisReply *reply, size_t i);
int64_t redis_reply_number(const struct redisReply *reply, size_t i);
/* Part i, which is an array; NULL: it is none. */
const struct redisReply *redis_reply_array(const struct redisReply *reply, size_t i);
