/* chain.h: the hooks, in YAML order, as one loop runs them: its shard of each plugin.
 *
 * Link 0 of message_in may be the core's own (the ban check): it is a hook like any other.
 * One chain per loop, its loop only; the plugins are shared and outlive it. */
#pragma once
#include "address.h"
#include "text.h"

#include <chatup/plugin.h>

struct buffer;
struct chain;
struct error;
struct message;
struct name;
struct plugin;

enum chain_verdict { CHAIN_ACCEPT, CHAIN_REJECT, CHAIN_CONSUME };

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
    char *staged_msg, *staged_reply; /* of the hook that is running */
    size_t staged_msg_length, staged_reply_length;
};

enum { TURN_REPLY_MAX = 64 * 1024 }; /* bytes of a plugin's reply */

typedef int32_t chain_hook(void *arg, struct chatup_event *event);

/* plugins[0..count) in order; shards are opened here, on the loop's thread or before it runs.
 *   first, first_arg  link 0 of message_in, or NULL
 *   index, loops      which loop this is, of how many
 *   returns           NULL with err if a plugin could not open its shard */
struct chain *chain_create(struct plugin *const *plugins, size_t count, chain_hook *first,
                           void *first_arg, uint32_t index, uint32_t loops, struct error *err);
void chain_destroy(struct chain *chain);
/* Another limits.message_bytes, for what message_out may write. */
void chain_set_max_msg(struct chain *chain, size_t bytes);

/* Run message_in. After it turn->event.msg is the text to publish, turn->reply the JSON for the
 * sender if a plugin (or the chain, for a fault or a bare reject) gave one. The reply is of the
 * plugin that ended the turn; of an accepted turn, the last one that any plugin gave. */
enum chain_verdict chain_in(struct chain *chain, struct turn *turn);
void turn_finish(struct turn *turn);
/* For link 0, which is of the core: json is a JSON object and is not checked. */
void turn_set_reply(struct turn *turn, const char *json, size_t length);

/* Run message_out over a batch and write what is left as a JSON array's content, comma separated
 * ({…},{…}), to out. Tombstones are skipped. A faulting plugin's edits are dropped; with
 * on_error: closed the batch is.
 *   returns  how many messages were written */
size_t chain_out(struct chain *chain, const struct name *room, struct message *const *messages,
                 size_t count, struct buffer *out);
/* The shard of plugin i on this loop, for its routes. */
void *chain_shard(struct chain *chain, size_t i);

/* For plugin.c: put the calls that hooks may make into the host's table. */
void chain_offer(struct chatup_host *host);
