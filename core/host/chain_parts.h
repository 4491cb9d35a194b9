/* chain_parts.h: what the files of the chain share, and nobody else sees: chain.c makes and ends
 * chains, and calls hooks; turn.c has message_in, visit.c connect, auth, join and leave,
 * deferral.c what they answer later, batch.c message_out. */
#pragma once
#include "chain.h"
#include "desk.h"

#include <ev.h>

struct out_batch {
    struct chatup_batch batch; /* first: hooks get a pointer to it */
    size_t count, max_msg;
    size_t room; /* of the arrays, which are kept for the next batch */
    struct out_item *items;
    const struct chatup_message **views; /* what the hooks see: the view in items[i] */
};

struct chain {
    struct list link; /* the desk's */
    chain_hook *first;
    void *first_arg;
    bool has_out; /* one of the plugins has message_out */
    struct out_batch out;
    struct desk *desk;
    bool retired, looking;
    ev_timer deadline;
    struct letter look;
    void (*gone)(void *arg);
    void *gone_arg;
    size_t count;
    struct shard shards[];
};

/* Left out for a while, since it fails again and again. */
bool shard_is_off(struct shard *shard);

/* ---- what hooks stage ---- */

bool is_text(const char *at, size_t length, size_t max);
/* In place of what was staged before. The old text may be what the new one is made of. */
void stage(char **staged, size_t *staged_length, const char *at, size_t length);
/* The same of a JSON object; -1: it is none, or too long. */
int32_t stage_object(char **staged, size_t *staged_length, const char *json, size_t length);

/* ---- what is answered later ---- */

struct deferral {
    struct pending pending; /* first */
    const struct deferral_kind *kind;
    void *owner;
    ev_timer timeout;
};

struct deferral_kind { /* both end the deferral, and go on with its owner */
    /* The plugin's verdict, whatever it is, with what it gave; CHATUP_FAULT for none in time. */
    void (*resumed)(struct deferral *deferral, int32_t verdict, struct chatup_text text,
                    struct chatup_text reply);
    /* The plugin ends. */
    void (*without)(struct deferral *deferral);
};

/* NULL: there are too many, or that is no timeout. */
struct deferral *deferral_open(struct shard *shard, int64_t timeout_ms,
                               const struct deferral_kind *kind, void *owner);
/* It is over: say so to the plugin. */
void deferral_tell(struct deferral *deferral, int32_t why);
void deferral_free(struct deferral *deferral);

/* The same of a tag: staged is what it has so far, or NULL: then that is tags. */
int32_t stage_tag(char **staged, const char *tags, const char *tag, size_t length);
/* In place of those before; frees. */
void tags_take(const char **tags, char **own, char **staged);

/* Put the calls of that stage into the host's table. */
void deferral_offer(struct chatup_host *host);
void turn_offer(struct chatup_host *host);
void visit_offer(struct chatup_host *host);
void batch_offer(struct chatup_host *host);
