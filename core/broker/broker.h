/* broker.h: numbers, stores and announces what is said, keeps what must outlive a loop, and knows
 * who is where. One handle per loop; every call and every callback on that loop.
 *
 * Asynchronous: a call answers by calling done(arg, …) exactly once, later, never from within the
 * call, and in no order to the event it caused. What a result points to is lent until done returns.
 *
 * Two homes give the same promises (docs/guarantees.md): embedded.h, and Redis to come. Redis
 * shaped it as much as SQLite did: an outcome may be unknown, the epoch belongs to each answer, and
 * a subscription's snapshot and the events after it are in one order (docs/decisions.md). */
#pragma once
#include "bans.h"
#include "position.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;
struct config;
struct message;
struct name;

enum broker_status {
    BROKER_OK,
    BROKER_BANNED,      /* publish only: the ban came after the check that let it pass */
    BROKER_FULL,        /* the limit of rooms is reached */
    BROKER_UNAVAILABLE, /* could not be stored; it has not happened */
    BROKER_UNKNOWN,     /* it may or may not have happened: repeat with the same client id */
    BROKER_REPEATED,    /* once only: somebody was first */
};

/* ---- say ---- */

struct publication {
    struct message *message; /* without an offset; the reference is taken */
    struct text client_id;   /* with the speaker's identity in it: unique in the room; copied */
    bool check_ban;          /* false for what your servers post */
};

struct published {
    enum broker_status status;
    int64_t ban_ttl; /* BROKER_BANNED: seconds, or BAN_FOR_EVER */
    struct position at;
    char id[37]; /* of the message that stands: a repeated client id gives the first one's */
};
typedef void broker_published(void *arg, const struct published *result);

/* Announced to every loop with a reader, then done; neither before it is durable. */
void broker_publish(struct broker *broker, const struct publication *what, broker_published *done,
                    void *arg);

/* ---- listen ---- */

struct snapshot {
    enum broker_status status;
    struct position at;              /* it speaks up to here */
    bool recovered;                  /* messages are exactly those after since */
    struct message *const *messages; /* oldest first; tombstones among them */
    size_t count;
};
typedef void broker_subscribed(void *arg, const struct snapshot *snapshot);

/* From the snapshot on, on_event gives this loop what the room gets, in order and once. Asked for
 * once per subscriber: each has its own since.
 *   since  an empty epoch asks for the whole history */
void broker_subscribe(struct broker *broker, struct name *room, const struct position *since,
                      broker_subscribed *done, void *arg);
/* How many readers the loop has there now; at 0 the events end. At most once a turn. */
void broker_readers(struct broker *broker, struct name *room, uint32_t count);

/* ---- who is there ---- */

typedef void broker_joined(void *arg, enum broker_status status, int64_t ban_ttl);

/* A publisher enters a room: announced, with its user as JSON, unless it is banned there (ban_ttl
 * is not 0: seconds or BAN_FOR_EVER): then it is not counted.
 *   member  id, unique among all loops and machines, chosen by the caller */
void broker_join(struct broker *broker, struct name *room, const char member[37], struct text user,
                 struct text sub, struct text name, broker_joined *done, void *arg);
void broker_leave(struct broker *broker, struct name *room, const char member[37]);

struct room_view {
    struct snapshot history; /* the whole of it */
    uint64_t readers, publishers, users;
    struct text clients; /* JSON array of the users asked for */
};
typedef void broker_looked(void *arg, const struct room_view *view);

/* What /join, /stats and /messages show. */
void broker_look(struct broker *broker, struct name *room, uint64_t skip, uint64_t limit,
                 broker_looked *done, void *arg);

/* ---- bans ---- */

typedef void broker_banned(void *arg, enum broker_status status);

/* In force on every loop, what that person said in the room removed, rmUserMsg announced: then
 * done. notice: the rmUserMsg event; both references are taken. */
void broker_ban(struct broker *broker, struct ban *ban, struct message *notice, broker_banned *done,
                void *arg);
/* This loop's knowledge, at once: seconds, BAN_FOR_EVER, or 0 for not banned. */
int64_t broker_ban_ttl(struct broker *broker, const struct name *room, struct text sub,
                       struct text name);

/* Somebody is to leave: the connections of all loops are told. */
struct kick {
    struct name *room; /* NULL: everywhere */
    enum ban_kind kind;
    struct text who;
    bool ban; /* because of a ban, which by itself ends reading only where a token is needed */
};
/* ---- once ---- */

typedef void broker_onced(void *arg, enum broker_status status);

/* BROKER_OK for the first who asks with that key, on whatever loop, BROKER_REPEATED for everybody
 * later; as durable as `durability` says before it answers. BROKER_FULL: too many keys are known.
 *   key         a name, so 1 to 200 bytes of UTF-8
 *   expires_ms  Unix time until which it is remembered, at least */
void broker_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                 void *arg);
/* What was asked for did not happen, or it is unknown whether it may: whoever asks after this is
 * the first again (and BROKER_UNAVAILABLE until that is settled). */
void broker_once_forget(struct broker *broker, struct name *key);

/* ---- reload ---- */

/* This loop's share goes by conf from now on, which lives until the next call, or the broker's
 * end. */
void broker_use(struct broker *broker, const struct config *conf);

/* ---- one home ---- */

/* What every home implements; its handle begins with struct broker. */
struct broker_home {
    void (*publish)(struct broker *, const struct publication *, broker_published *, void *);
    void (*subscribe)(struct broker *, struct name *, const struct position *, broker_subscribed *,
                      void *);
    void (*readers)(struct broker *, struct name *, uint32_t);
    void (*join)(struct broker *, struct name *, const char *, struct text, struct text,
                 struct text, broker_joined *, void *);
    void (*leave)(struct broker *, struct name *, const char *);
    void (*look)(struct broker *, struct name *, uint64_t, uint64_t, broker_looked *, void *);
    void (*ban)(struct broker *, struct ban *, struct message *, broker_banned *, void *);
    int64_t (*ban_ttl)(struct broker *, const struct name *, struct text, struct text);
    void (*once)(struct broker *, struct name *, int64_t, broker_onced *, void *);
    void (*once_forget)(struct broker *, struct name *);
    void (*use)(struct broker *, const struct config *);
};

/* Something was announced in a room with readers on this loop; message is lent. */
typedef void broker_on_event(void *arg, struct message *message);
/* The room's continuity was lost: this is where it stands now (recovered is false). The embedded
 * home never says so; a Redis that comes back without its data does, at any time. */
typedef void broker_on_reset(void *arg, struct name *room, const struct snapshot *snapshot);

struct broker {
    const struct broker_home *home;
    broker_on_event *on_event;
    broker_on_reset *on_reset;
    void *up; /* arg of both */
};
