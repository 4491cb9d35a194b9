/* pipeline.h: the way of a message, in order. Start reading in pipeline.c.
 *
 * One per loop, made of what that loop owns. Its loop only. */
#pragma once
#include "broker.h"
#include "desk.h"
#include "error.h"
#include "settings.h"
#include "text.h"
#include "uuid.h"
#include <openssl/types.h>
#include <stdbool.h>

struct access;
struct buffer;
struct chain;
struct config;
struct keyring;
struct limiter;
struct loop;
struct plugin;
struct plugin_set;
struct rooms;
struct settings;
struct subscriber;
struct turn;
struct user;

struct pipeline {
    enum role role;
    struct settings *settings; /* a reference; its fields have short cuts here */
    uint64_t generation;       /* of them: who keeps what they decided compares it, not addresses */
    const struct config *conf;
    const struct keyring *keys;       /* of users */
    const struct keyring *admin_keys; /* of your servers */
    const struct access *access;      /* access.h: who may do what in which channel */
    SSL_CTX *tls;                     /* NULL: none */
    struct limiter *limiter;          /* all loops' */
    struct plugin_set *set;           /* a reference: the plugins of chain */
    int port; /* that it listens on, also when the configuration leaves the choice to the system */
    bool draining;         /* no new clients, please */
    const char *worker_id; /* "chatUp:chatServer:<uuid>", new at each start */
    struct loop *loop;
    struct broker *broker;
    struct desk desk;
    struct desk_up desk_up;
    struct chain *chain;
    struct chain *next_chain;    /* prepared, and its set; NULL: none */
    struct plugin_set *next_set; /* a reference */
    struct rooms *rooms;
    struct uuid_source uuids;
    void (*on_kick)(void *net, const struct kick *kick); /* the connections above, and */
    void (*on_settings)(void *net);                      /* other settings hold now */
    void *net;                                           /* their first argument */
};

/* Fill the rest of a pipeline whose fields up to broker are set: its rooms and its chain, and the
 * broker's events arrive here from now on. Before the loop runs.
 *   returns  false with err if a plugin could not open its shard */
bool pipeline_init(struct pipeline *pipeline, uint32_t index, uint32_t loop_count,
                   struct error *err);
/* The end: no plugin is called any more, and what they had not answered yet is. The loop does not
 * run; what comes of it is in the loops' inboxes. */
void pipeline_end_plugins(struct pipeline *pipeline);
/* Also of one that is half made. After pipeline_end_plugins. */
void pipeline_finish(struct pipeline *pipeline);
/* Go over to other settings, of which it takes a reference. At the start before pipeline_init, then
 * between two turns: nobody on this loop has a pointer into the old ones. */
void pipeline_use(struct pipeline *pipeline, struct settings *settings);
/* Open the shards of other plugins, beside those that serve.
 *   returns  false with err: one could not open its shard, and none is open */
bool pipeline_prepare_plugins(struct pipeline *pipeline, struct plugin_set *set, struct error *err);
/* Go over to those that were prepared: the next message meets them; those before go when nothing of
 * theirs is open, or after a while. */
void pipeline_use_plugins(struct pipeline *pipeline);
/* Or close them again, if there are any. */
void pipeline_forget_plugins(struct pipeline *pipeline);

/* ---- in ---- */

/* Whose messages keep their order: what comes behind one that a plugin has deferred waits for it,
 * up to 16, the next ones are answered {"status":"error","err":"busy"}. Embedded in what lives
 * until all that was said through it is answered. */
struct speaker {
    struct list waiting;
    unsigned count; /* of them */
    bool busy, left;
    struct turn *deferred; /* for which they wait; NULL: none */
};

void speaker_init(struct speaker *speaker);
/* Nobody is there any more. What was said goes on; the plugins that deferred it are told. */
void speaker_left(struct speaker *speaker);

/* reply: JSON for the publisher, lent: {"status":"ok","i":uuid,"offset":12,"epoch":"…"} or the
 * error, or what a plugin answered. Called once, now or later. */
typedef void pipeline_said(void *arg, struct text reply);
/*   speaker    NULL: nothing else comes from there
 *   address    the speaker's, for bans; may be unknown
 *   client_id  as the client chose it; absent: none
 * All borrowed. */
void pipeline_say(struct pipeline *pipeline, struct speaker *speaker, struct user *user,
                  const struct address *address, struct name *room, struct text msg,
                  struct text client_id, pipeline_said *done, void *arg);

struct post { /* one item of POST /post; texts borrowed during the call */
    struct name *room;
    struct text user;            /* JSON; absent: null */
    struct text name;            /* user.name if it is a string; else empty */
    struct text msg, ev, data;   /* as in message.h */
    struct text client_id;       /* absent: none */
    const struct plugin *author; /* that publishes it, and is not asked about it; NULL: none */
};
/* rejected: a plugin refused it; that is not a failure of the store. */
typedef void pipeline_posted(void *arg, enum broker_status status, bool rejected);
void pipeline_post(struct pipeline *pipeline, struct speaker *speaker, const struct post *post,
                   pipeline_posted *done, void *arg);

/* ---- out ---- */

/* sub gets the first frame of the room, then what happens there, until pipeline_leave. If the
 * broker refuses, sub is closed. */
void pipeline_subscribe(struct pipeline *pipeline, struct subscriber *sub, struct name *room,
                        const struct position *since);
/* The same for who may read but not see the history: no messages in the first frame, which says
 * recovered only if nothing was missed. */
void pipeline_subscribe_live(struct pipeline *pipeline, struct subscriber *sub, struct name *room,
                             const struct position *since);
/* sub's socket is gone: out of all its rooms. */
void pipeline_leave(struct pipeline *pipeline, struct subscriber *sub);

/* The JSON array of a history, message_out applied, as /join and /messages show it.
 *   newest_first  else as it is
 *   returns       how many messages are in it */
size_t pipeline_write_history(struct pipeline *pipeline, const struct name *room,
                              const struct snapshot *history, bool newest_first,
                              struct buffer *out);

/* What plugins ask for: plugins_up.c. */
struct desk_up plugins_up(struct pipeline *pipeline);
