/* desk.h: what one loop keeps for all plugins on it: what is open and will be answered later, by
 * ids that do no harm when they are stale; and the shards that it belongs to.
 *
 * Everything that a plugin waits for is a `pending` of one shard. It ends exactly once: by its
 * answer, or with CHATUP_CANCELLED when the shard closes. Its loop only, but for desk_loop_of. */
#pragma once
#include "list.h"
#include "loop.h"
#include "plugin.h"
#include "text.h"

#include <chatup/bus.h>
#include <chatup/loop.h>
#include <chatup/routes.h>
#include <chatup/store.h>
#include <stdatomic.h>
#include <stdbool.h>

struct chain;
struct plugin;

struct shard { /* of one plugin on one loop */
    struct plugin *plugin;
    struct chain *chain;
    struct desk *desk;
    void *self;              /* what shard_open returned */
    struct chatup_loop loop; /* its self: this shard */
    struct list pendings;    /* everything */
    struct list fd_watches;  /* timers.c */
    struct list key_watches; /* services.c */
    size_t open;             /* of pendings, those that a drain waits for */
    int64_t held;            /* what it says itself that it would like to finish */
    atomic_size_t posts;     /* letters on their way to it */
    bool closed;             /* nothing of it is called any more */
    int64_t off_until_ms;    /* monotonic: left out after many faults; 0: it is not */
    unsigned faults_in_row;
};

struct pending {
    struct list link; /* the shard's */
    struct shard *shard;
    uint64_t id;
    bool counts; /* in shard->open */
    /* The shard closes; frees it. The id is stale already. */
    void (*cancel)(struct pending *pending);
};

/* What plugins ask of the rest of the program; each loop has one. NULL in a trial: requests are
 * accepted, nothing happens, and they end with the shard. The answers come later, on the loop. */
struct desk_up {
    void *arg;
    void (*keep)(void *arg, const char *space, bool is_volatile, struct text group,
                 const struct chatup_op *ops, uint32_t count,
                 void (*done)(void *arg, const struct chatup_answer *answer), void *done_arg);
    void *(*watch)(void *arg, const char *space, bool is_volatile, struct text group,
                   struct text key, void (*changed)(void *arg, const struct chatup_result *result),
                   void *changed_arg);
    void (*unwatch)(void *arg, void *watch);
    void (*publish)(void *arg, const struct plugin *author, const struct chatup_publication *what,
                    void (*done)(void *arg, int32_t status), void *done_arg);
    void (*ban)(void *arg, struct text room, int32_t by, struct text who, int64_t seconds,
                struct text reason, void (*done)(void *arg, int32_t status), void *done_arg);
    void (*kick)(void *arg, struct text room, int32_t by, struct text who,
                 void (*done)(void *arg, int32_t status), void *done_arg);
};

struct desk_slot {
    struct pending *pending; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct desk {
    struct loop *loop; /* NULL in a trial */
    uint32_t index, count;
    const struct desk_up *up;
    struct list chains;
    struct desk_slot *slots;
    uint32_t slot_count, free_slot, used;
};

/*   count  of loops, and so of desks */
void desk_init(struct desk *desk, struct loop *loop, uint32_t index, uint32_t count,
               const struct desk_up *up);
void desk_finish(struct desk *desk);

/* Give pending an id and its shard; false: there are too many. */
bool pending_open(struct pending *pending, struct shard *shard, bool counts,
                  void (*cancel)(struct pending *));
/* It is over: its id is stale from now on. The caller frees it. */
void pending_close(struct pending *pending);
/* NULL: stale. cancel tells its kind. */
struct pending *pending_find(struct desk *desk, uint64_t id, void (*cancel)(struct pending *));
/* Which loop an id is of. Any thread. */
uint32_t pending_loop(uint64_t id);

/* ---- a call of a hook: chain.c ---- */

/* Between begin and end the plugin runs: it is timed, and whoever looks at a crash is told so. */
int64_t hook_begin(struct shard *shard, enum hook hook);
void hook_end(struct shard *shard, enum hook hook, int64_t began, int32_t verdict);
/* Counted, logged; after many in a row the plugin is left out for a while. */
void shard_fault(struct shard *shard, enum hook hook, const char *where, int32_t verdict);

/* ---- what shards can call: timers.c, services.c ---- */

extern const struct chatup_loop_service loop_service;
extern const struct chatup_store store_service;
extern const struct chatup_bus bus_service;
extern const struct chatup_routes routes_service;

/* End the watches of a shard that closes. */
void shard_unwatch_fds(struct shard *shard);
void shard_unwatch_keys(struct shard *shard);
