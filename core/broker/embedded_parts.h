/* embedded_parts.h: what the files embedded*.c share, and nobody else sees.
 *
 * embedded.c makes and frees the handles; embedded_rooms.c has the letters' travels and the owner's
 * rooms; embedded_speak.c publish and ban; embedded_listen.c subscribe, presence and look;
 * embedded_once.c what may happen once; embedded_store.c the store's thread. */
#pragma once
#include "embedded.h"
#include "home_room.h"
#include "loop.h"
#include "table.h"
#include "uuid.h"
#include <ev.h>

struct store;

struct embedded {         /* one loop's handle, and its rooms */
    struct broker broker; /* first */
    struct embedded_home *home;
    const struct config *conf; /* its loop's own: a reload reaches one loop after the other */
    struct loop *loop;
    uint32_t index;
    struct table rooms;            /* those this loop owns */
    struct bans bans;              /* all of them, everywhere */
    struct bans bans_on_their_way; /* not durable yet; they hold already for what is numbered */
    struct table onces;            /* embedded_once.c: keys that this loop owns */
    uint64_t offset_floor;         /* without a store: what forgotten rooms have used */
    uint64_t generation;           /* of what this owner numbers; a failed commit ends it */
    uint64_t failed_generation;    /* the store's thread only */
    struct uuid_source uuids;      /* of join and leave events */
    int64_t swept_ms;
    ev_timer sweep;
};

struct embedded_home { /* knows no configuration: the store's thread is told its limits */
    char epoch[EPOCH_MAX + 1];
    struct store *store; /* NULL: durability is memory */
    struct loop *store_loop;
    struct turn_end at_store_turn_end;
    struct errand *batch, **batch_tail; /* at the store, waiting for the commit; oldest first */
    bool batch_open, batch_failed;
    bool store_was_failing;
    int64_t purged_ms;
    size_t count;
    struct embedded loops[];
};

/* What every letter that asks something begins with. */
struct errand {
    struct letter letter;
    struct embedded *from, *owner;
    struct name *room;
    enum broker_status status;
    struct errand *next;           /* in the store's batch */
    uint64_t generation;           /* of the owner when it left for the store */
    void (*back)(struct letter *); /* the owner's step after the store */
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

/* ---- travelling: embedded_rooms.c ---- */

/* A zeroed letter of that size for the owner of room, which is broker's to ask. */
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
/* To every loop that listens. */
void home_room_announce(struct embedded *owner, struct home_room *room, struct message *message);
/* The same of a message that is durable now: it joins the history. */
void home_room_announce_stored(struct embedded *owner, struct home_room *room,
                               struct message *message);

/* ---- the store: embedded_store.c ---- */

/* Off to the store's thread, and back; straight back without a store. The owner's loop.
 *   room  NULL: it is about none */
void errand_to_store(struct errand *errand, struct home_room *room, void (*step)(struct letter *),
                     void (*back)(struct letter *));
/* What was numbered in that generation and is not announced never was. The owner's loop. */
void owner_generation_end(struct embedded *owner, uint64_t generation);
/* Join the batch, which takes the letter on; whether it may write. The store's thread. */
bool store_batch_join(struct errand *errand);
/* A write of this batch failed: all of it will. The store's thread. */
void store_batch_failed(struct embedded_home *home, const struct error *err);
void store_turn_end(void *home);

/* ---- the calls of broker.h ---- */

void embedded_publish(struct broker *broker, const struct publication *what, broker_published *done,
                      void *arg);
void embedded_ban(struct broker *broker, struct ban *what, struct message *notice,
                  broker_banned *done, void *arg);
void embedded_subscribe(struct broker *broker, struct name *name, const struct position *since,
                        broker_subscribed *done, void *arg);
void embedded_readers(struct broker *broker, struct name *name, uint32_t count);
void embedded_join(struct broker *broker, struct name *name, const char member[37],
                   struct text user, struct text sub, struct text public_name, broker_joined *done,
                   void *arg);
void embedded_leave(struct broker *broker, struct name *name, const char member[37]);
void embedded_look(struct broker *broker, struct name *name, uint64_t skip, uint64_t limit,
                   broker_looked *done, void *arg);
void embedded_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                   void *arg);
void embedded_once_forget(struct broker *broker, struct name *key);

/* ---- embedded_once.c, for embedded.c ---- */

/* At the start, of what the store remembers. */
void onces_load(void *home, struct name *key, int64_t expires_ms);
void onces_expire(struct embedded *owner, int64_t now_ms);
void onces_finish(struct embedded *owner);
