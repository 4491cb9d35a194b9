/* chain.h: the hooks, in YAML order, as one loop runs them: its shard of each plugin.
 *
 * Link 0 of message_in may be the core's own (the ban check): it is a hook like any other.
 * One chain per loop and generation of plugins, its loop only; the plugins are shared and outlive
 * it. A reload makes another chain and retires this one, which goes when nothing of it is open: a
 * turn that was deferred goes on in the chain in which it started. */
#pragma once
#include "address.h"
#include "text.h"

#include <chatup/routes.h>
#include <stdbool.h>

struct buffer;
struct chain;
struct desk;
struct error;
struct message;
struct name;
struct plugin;
struct shard;

enum chain_verdict { CHAIN_ACCEPT, CHAIN_REJECT, CHAIN_CONSUME, CHAIN_DEFERRED };

/* A message on its way in. Filled by the pipeline, edited by the hooks; freed by turn_finish.
 * The event's texts are borrowed until then; edits are the turn's own. */
struct turn {
    struct chatup_event event; /* first: hooks get a pointer to it */
    struct name *room;         /* event.room, for the core's own link */
    struct address address;    /* the speaker's, for that link too: plugins are not told */
    size_t max_msg;            /* bytes an edit may have */
    int64_t now_ms;
    char *msg; /* the last edit that was accepted: event.msg points to it; NULL: none */
    char *reply;
    size_t reply_length;
    const char *tags; /* tags.h: the sender's, borrowed as the event's texts, or own_tags */
    char *own_tags;
    char *staged_msg, *staged_reply, *staged_tags; /* of the hook that is running */
    size_t staged_msg_length, staged_reply_length;
    const struct plugin *author; /* its message_in is left out; NULL: nobody's */
    struct chain *chain;         /* in which it runs */
    size_t next;                 /* link */
    struct deferral *deferral;
    bool left; /* its sender has */
    /* A turn that was deferred has ended; not called from within chain_in. */
    void (*done)(struct turn *turn, enum chain_verdict verdict);
};

enum { TURN_REPLY_MAX = 64 * 1024 }; /* bytes of a plugin's reply */

typedef int32_t chain_hook(void *arg, struct chatup_event *event);

/* plugins[0..count) in order; shards are opened here, on the loop's thread or before it runs.
 *   first, first_arg  link 0 of message_in, or NULL
 *   desk              the loop's, which outlives the chain
 *   returns           NULL with err if a plugin could not open its shard */
struct chain *chain_create(struct plugin *const *plugins, size_t count, chain_hook *first,
                           void *first_arg, struct desk *desk, struct error *err);
/* At once: what is open is cancelled. */
void chain_destroy(struct chain *chain);
/* No hook of it begins any more. When nothing is open, or after drain_ms, it is destroyed, and gone
 * is called. */
void chain_retire(struct chain *chain, int64_t drain_ms, void (*gone)(void *arg), void *arg);
/* The same of all chains of a desk but one. */
void chains_end(struct desk *desk, const struct chain *but);
/* Something of it has ended: may it go now? */
void chain_look(struct chain *chain);
/* Another limits.message_bytes, for what message_out may write, and for what plugins are told. */
void chain_set_max_msg(struct chain *chain, size_t bytes);

/* Run message_in. After it turn->event.msg is the text to publish, turn->reply the JSON for the
 * sender if a plugin (or the chain, for a fault or a bare reject) gave one. The reply is of the
 * plugin that ended the turn; of an accepted turn, the last one that any plugin gave. */
enum chain_verdict chain_in(struct chain *chain, struct turn *turn);
/* A turn for which chain_in said CHAIN_DEFERRED was copied, to where it stays until done; what it
 * borrows stays too. */
void turn_moved(struct turn *turn);
/* The sender of a turn that is deferred has left: the plugin is told, and so are those behind it
 * that defer it. */
void turn_left(struct turn *turn);
void turn_finish(struct turn *turn);
/* For link 0, which is of the core: json is a JSON object and is not checked. */
void turn_set_reply(struct turn *turn, const char *json, size_t length);

/* Run message_out over a batch and write what is left as a JSON array's content, comma separated
 * ({…},{…}), to out. Tombstones are skipped. A faulting plugin's edits are dropped; with
 * on_error: closed the batch is.
 *   returns  how many messages were written */
size_t chain_out(struct chain *chain, const struct name *room, struct message *const *messages,
                 size_t count, struct buffer *out);

/* ---- who comes and goes ---- */

enum chain_stage { STAGE_CONNECT, STAGE_AUTH, STAGE_JOIN, STAGE_LEAVE };

/* It stays where it is, with all that it borrows, while it is deferred. */
struct visit {
    struct chatup_visit visit; /* first: hooks get a pointer to it. Its texts are borrowed */
    char *user, *reply;        /* what hooks made of them, or NULL; freed by visit_finish */
    size_t user_length, reply_length;
    /* One that was deferred has ended; not called from within chain_auth and its like. */
    void (*done)(struct visit *visit, enum chain_verdict verdict);
    bool failed;      /* a reject: a plugin could not say */
    const char *tags; /* borrowed, as the texts, or own_tags */
    /* visit.c's own */
    char *own_tags, *staged_tags;
    struct chain *chain;
    size_t next; /* link */
    enum chain_stage stage;
    struct deferral *deferral;
    bool silent;
    char *staged_user, *staged_reply;
    size_t staged_user_length, staged_reply_length;
};

/* CHAIN_CONSUME of a join: it is not told. Of a reject there is a reply, as of chain_in. With
 * CHAIN_DEFERRED done follows, or visit_left ends it. */
enum chain_verdict chain_connect(struct chain *chain, struct visit *visit);
enum chain_verdict chain_auth(struct chain *chain, struct visit *visit);
enum chain_verdict chain_join(struct chain *chain, struct visit *visit);
void chain_leave(struct chain *chain, struct visit *visit);
/* Whoever it is about has left: if it is deferred, the plugin is told, and done does not follow. */
void visit_left(struct visit *visit);
/* Not while it is deferred. */
void visit_finish(struct visit *visit);

/* ---- routes ---- */

/* A request of a route. Whoever has it keeps its texts until answer was called, once, now or later:
 * response NULL is a fault (500), or with timed_out no answer in time (504). */
struct route_call {
    struct chatup_request request; /* first: the route gets a pointer to it */
    void (*answer)(struct route_call *call, const struct chatup_response *response, bool timed_out);
    /* chain.c's own */
    struct shard *shard;
    const struct chatup_route *route;
    struct late_answer *late;
};

/* The shard of plugin i on this loop. */
struct shard *chain_shard(struct chain *chain, size_t i);
/* route, which is of that plugin, answers. */
void chain_route(struct shard *shard, const struct chatup_route *route, struct route_call *call);

/* For plugin.c: put the calls that hooks may make into the host's table. */
void chain_offer(struct chatup_host *host);
