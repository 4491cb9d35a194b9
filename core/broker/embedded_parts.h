/* embedded_parts.h: what the files embedded*.c share, and nobody else sees.
 *
 * embedded.c makes and frees the handles; embedded_rooms.c has the letters' travels and the owner's
 * rooms; embedded_speak.c publish; embedded_listen.c subscribe and look; embedded_presence.c join
 * and leave; embedded_bans.c bans and kicks; embedded_remove.c removal; embedded_once.c what may
 * happen once; embedded_keep.c what plugins keep; embedded_store.c the store's thread;
 * embedded_wait.c what a store that takes too long means to those who wait; embedded_probe.c
 * health; embedded_backup.c backup. */
#pragma once
#include "embedded.h"
#include "home_room.h"
#include "keyed.h"
#include "loop.h"
#include "table.h"
#include "uuid.h"
#include <ev.h>
#include <stdatomic.h>

struct backup;
struct probe;
struct probe_ask;
struct store;

struct embedded {         /* one loop's handle, and its rooms */
    struct broker broker; /* first */
    struct embedded_home *home;
    const struct config *conf; /* its loop's own: a reload reaches one loop after the other */
    struct loop *loop;
    uint32_t index;
    struct table rooms;                 /* those this loop owns */
    struct bans bans;                   /* all of them, of all rooms */
    struct table onces;                 /* embedded_once.c: keys that this loop owns */
    struct keyed *kept, *kept_volatile; /* embedded_keep.c: keys of the groups that it owns */
    struct table busy_groups;           /* of them, those with a batch at the store */
    struct list watches;                /* of them */
    uint64_t bans_under_way;            /* of the loop that keeps them: at the store */
    uint64_t offset_floor;              /* without a store: what forgotten rooms have used */
    uint64_t generation;                /* of what this owner numbers; a failed commit ends it */
    uint64_t failed_generation;         /* the store's thread only */
    struct uuid_source uuids;           /* of events */
    struct list cooling;   /* rooms that told their number less than a gap ago, oldest first */
    ev_timer gap_over;     /* of the oldest */
    struct errand *sweeps; /* embedded_remove.c: asked for here; the first is under way */
    int64_t swept_ms, swept_wall_ms;
    ev_timer sweep;
    struct list asked;           /* errands that can be given up; the longest away first */
    struct list loading;         /* of rooms that this owner waits for */
    ev_timer wait;               /* runs while there is one of them */
    struct broker_health health; /* as the store's thread said last */
    struct {
        struct probe *away;     /* on its way, perhaps for long */
        struct probe_ask *asks; /* who waits for it */
        int64_t done_ms;        /* when the last verdict was found; monotonic */
        bool ok;                /* the verdict */
        char why[128];          /* what is wrong */
        ev_timer late;
    } probe;
};

struct embedded_home { /* knows no configuration: the store's thread is told its limits */
    char epoch[EPOCH_MAX + 1];
    struct store *store; /* NULL: durability is memory */
    struct loop *store_loop;
    struct turn_end at_store_turn_end;
    struct errand *batch, **batch_tail; /* at the store, waiting for the commit; oldest first */
    bool batch_open, batch_failed, retry_in_batch;
    struct broker_health health;   /* the store's thread; the loops have copies */
    ev_timer store_retry;          /* while it fails: whether it does still */
    _Atomic int64_t store_busy_ms; /* since when it is in its turn, monotonic; 0: it waits for us */
    atomic_bool store_late;        /* the log says so */
    _Atomic int64_t bytes_on_their_way; /* of messages that are to be stored */
    struct backup *backup;              /* the store's thread */
    ev_timer store_purge;
    int64_t load_told_ms;
    size_t count;
    struct embedded loops[];
};

/* What every letter that asks something begins with. */
struct errand {
    struct letter letter;
    struct embedded *from, *owner;
    struct name *room; /* NULL: of none; its owner is the loop that keeps the bans */
    bool beyond_limit; /* its room may be opened though the limit of rooms is reached */
    enum broker_status status;
    struct errand *next;           /* in the store's batch */
    uint64_t generation;           /* of the owner when it left for the store */
    void (*back)(struct letter *); /* the owner's step after the store */
    struct list asked;             /* the asking loop's */
    int64_t asked_ms;
    void (*give_up)(struct errand *); /* answers BROKER_UNKNOWN */
    bool given_up;
};

static inline struct embedded *embedded_of(struct broker *broker)
{
    return (struct embedded *)broker;
}

/* Whose a room is, or a key (embedded_once.c). */
static inline struct embedded *embedded_owner(struct embedded_home *home, const struct name *name)
{
    return &home->loops[(name->hash >> 32) % home->count];
}

/* Forget the rooms that nobody uses, a part of them at a time (table_walk_on), and the bans that
 * have ended: embedded.c. Its loop. */
void embedded_sweep(struct embedded *owner, int64_t mono_ms, int64_t wall_ms);

/* ---- travelling: embedded_rooms.c ---- */

/* A zeroed letter of that size for the owner of room, or of the bans, which is broker's to ask. */
void *errand_create(struct broker *broker, struct name *room, size_t size);
void errand_free(struct errand *errand);
/* Its next step is there. */
void errand_go(struct errand *errand, struct loop *loop, void (*step)(struct letter *));
void errand_go_home(struct errand *errand, enum broker_status status,
                    void (*step)(struct letter *));

/* ---- at the owner: embedded_rooms.c ---- */

struct home_room *home_room_find(struct embedded *owner, const struct name *name);
/* The room, ready to be used. NULL: the letter waits for the room to be loaded and is delivered
 * again, by errand->back if that fails; or it was *refused, with its status set. */
struct home_room *errand_room(struct errand *errand, bool *refused);
/* Wait for a room that is being loaded. */
void errand_await(struct home_room *room, struct errand *errand);
/* An event that the owner makes: not numbered, not announced yet. who: NULL for nobody. */
struct message *home_room_event(struct embedded *owner, struct home_room *room, const char *ev,
                                struct text data, const struct member *who);
/* To every loop that listens. */
void home_room_announce(struct embedded *owner, struct home_room *room, struct message *message);
/* The same of a message that is durable now: it joins the history. */
void home_room_announce_stored(struct embedded *owner, struct home_room *room,
                               struct message *message);

/* ---- the store: embedded_store.c ---- */

/* Off to the store's thread, and back; straight back without a store. The owner's loop.
 *   room  NULL: nothing is numbered */
void errand_to_store(struct errand *errand, struct home_room *room, void (*step)(struct letter *),
                     void (*back)(struct letter *));
/* What was numbered in that generation and is not announced never was. The owner's loop. */
void owner_generation_end(struct embedded *owner, uint64_t generation);
/* Join the batch, which takes the letter on; whether it may write. The store's thread. */
bool store_batch_join(struct errand *errand);
/* A write of this batch failed: all of it will. The store's thread. */
void store_batch_failed(struct embedded_home *home, const struct error *err);
/* Told to all loops and, once, to the log; it is tried again until it can be written. The store's
 * thread. */
void store_is_failing(struct embedded_home *home, const struct error *err);
/* Something could not be read: a room, or, NULL, what concerns several. The store's thread. */
void store_load_failed(struct embedded_home *home, const struct name *room,
                       const struct error *err);
/* The store's thread has something to do: from now on its turn is timed. */
void store_turn_begin(struct embedded_home *home);
void store_turn_end(void *home);
/* The store's loop is made; before it runs. And after it has ended. */
void store_turn_init(struct embedded_home *home);
void store_turn_finish(struct embedded_home *home);

/* ---- a store that takes too long: embedded_wait.c ---- */

/* Once per loop, before it runs, and after it has ended. */
void wait_init(struct embedded *loop);
void wait_finish(struct embedded *loop);
/* Give up what has been away for too long; every loop does from time to time. */
void wait_look(struct embedded *loop);
/* The errand sets out; if it is not home within limits.store_wait, give_up answers and its own
 * answer, which may come later, is not to be given. The asking loop. */
void errand_sets_out(struct errand *errand, void (*give_up)(struct errand *));
/* returns  whether it is still to be answered */
bool errand_comes_home(struct errand *errand);
/* A room waits for the store, which may take too long for those who wait for the room. */
void room_awaits_store(struct embedded *owner, struct home_room *room);
/* It has come.
 *   returns  who waited, oldest first */
struct letter *room_is_loaded(struct home_room *room);
/* Answers all of those with that status. */
void waiting_fail(struct letter *waiting, enum broker_status status);
/* Since when the store has been at it for too long, monotonic; 0: it has not. Its
 * loop, whose configuration says how long that is. */
int64_t store_overdue_ms(const struct embedded *loop);

/* ---- health: embedded_probe.c; backup: embedded_backup.c ---- */

void embedded_probe(struct broker *broker, broker_probed *done, void *arg);
void embedded_health(struct broker *broker, struct broker_health *health_out);
void probe_init(struct embedded *loop);
void probe_finish(struct embedded *loop);
/* At the end of a turn. The store's thread. */
void backup_slice(struct embedded_home *home);
/* What is not done never will be. After the store's thread has ended.
 *   returns  whether there was one */
bool backup_finish(struct embedded_home *home);

/* ---- the calls of broker.h ---- */

void embedded_publish(struct broker *broker, const struct publication *what, broker_published *done,
                      void *arg);
void embedded_subscribe(struct broker *broker, struct name *name, const struct position *since,
                        broker_subscribed *done, void *arg);
void embedded_readers(struct broker *broker, struct name *name, uint32_t count);
void embedded_look(struct broker *broker, struct name *name, const struct room_asked *asked,
                   broker_looked *done, void *arg);
void embedded_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                   void *arg);
void embedded_once_forget(struct broker *broker, struct name *key);
void embedded_join(struct broker *broker, struct name *name, const char member[37],
                   struct text user, const struct identity *who, broker_joined *done, void *arg);
void embedded_leave(struct broker *broker, struct name *name, const char member[37]);
void embedded_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg);
void embedded_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg);
int64_t embedded_ban_ttl(struct broker *broker, const struct name *room, const struct identity *who,
                         struct text *reason_out);
void embedded_list_bans(struct broker *broker, const struct bans_asked *asked, broker_listed *done,
                        void *arg);
void embedded_kick(struct broker *broker, const struct kick *kick, broker_moderated *done,
                   void *arg);
void embedded_remove(struct broker *broker, const struct removal *removal, broker_moderated *done,
                     void *arg);

/* ---- presence: embedded_presence.c ---- */

void presence_init(struct embedded *owner);
void presence_finish(struct embedded *owner);

void embedded_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg);
struct broker_watch *embedded_watch(struct broker *broker, const struct keep *where,
                                    struct text key, broker_changed *changed, void *arg);
void embedded_unwatch(struct broker *broker, struct broker_watch *watch);

/* ---- embedded_keep.c, for embedded.c ---- */

void keep_init(struct embedded *loop);
/* At the start, of what the store has. */
void keep_load(void *home, const struct keyed_row *row);
void keep_expire(struct embedded *owner, int64_t now_ms);
void keep_finish(struct embedded *loop);

/* ---- embedded_once.c, for embedded.c ---- */

/* At the start, of what the store remembers. */
void onces_load(void *home, struct name *key, int64_t expires_ms);
void onces_expire(struct embedded *owner, int64_t now_ms);
void onces_finish(struct embedded *owner);
