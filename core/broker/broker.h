/* broker.h: numbers, stores and announces what is said, keeps what must outlive a loop, and knows
 * who is where. One handle per loop; every call and every callback on that loop.
 *
 * Asynchronous: a call answers by calling done(arg, …) exactly once, later, never from within the
 * call, and in no order to the event it caused. What a result points to is lent until done returns.
 *
 * Two homes give the same promises (docs/guarantees.md): embedded.h and redis.h. Redis shaped it as
 * much as SQLite did: an outcome may be unknown, the epoch belongs to each answer, and
 * a subscription's snapshot and the events after it are in one order (docs/decisions.md). */
#pragma once
#include "bans.h"
#include "history.h"
#include "position.h"
#include "text.h"
#include <chatup/store.h>
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
    BROKER_FULL_BANS,   /* the limit of bans is reached */
    BROKER_UNAVAILABLE, /* could not be stored; it has not happened */
    BROKER_UNKNOWN,     /* it may or may not have happened: repeat with the same client id */
    BROKER_REPEATED,    /* once only: somebody was first */
};

/* What clients are told of a failure: "tooManyRooms", "unavailable", "unknown". */
const char *broker_status_text(enum broker_status status);

/* ---- say ---- */

struct publication {
    struct message *message; /* without an offset; the reference is taken */
    struct text client_id;   /* with the speaker's identity in it: unique in the room; copied */
    struct address address;  /* the speaker's, for bans only: nobody is shown it */
    bool check_ban;          /* false for what your servers post */
};

struct published {
    enum broker_status status;
    int64_t ban_ttl;        /* BROKER_BANNED: seconds, or BAN_FOR_EVER, and why, */
    struct text ban_reason; /* which may be empty */
    struct position at;
    char id[37]; /* of the message that stands: a repeated client id gives the first one's */
};
typedef void broker_published(void *arg, const struct published *result);

/* Announced to every loop with a reader, then done; neither before it is durable. On Redis the
 * announcement may still be on its way then. */
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

typedef void broker_joined(void *arg, enum broker_status status, int64_t ban_ttl,
                           struct text ban_reason);

/* A publisher enters a room: announced, with its user as JSON, unless it is banned there (ban_ttl
 * is not 0: seconds or BAN_FOR_EVER): then it is not counted. In a room with more members than
 * rooms.presence_events their number is announced now and then instead.
 *   member  id, unique among all loops and machines, chosen by the caller
 *   who     its sub is what users are counted by */
void broker_join(struct broker *broker, struct name *room, const char member[37], struct text user,
                 const struct identity *who, broker_joined *done, void *arg);
void broker_leave(struct broker *broker, struct name *room, const char member[37]);

struct room_asked {       /* what a look is for */
    uint64_t skip, limit; /* of the clients */
    struct history_part history;
};

struct room_view {
    struct snapshot history; /* what was asked for; oldest first, without tombstones */
    uint64_t readers, publishers, users;
    struct text clients; /* JSON array of the users asked for */
};
typedef void broker_looked(void *arg, const struct room_view *view);

/* What /join, /stats and /messages show. */
void broker_look(struct broker *broker, struct name *room, const struct room_asked *asked,
                 broker_looked *done, void *arg);

/* ---- moderation ---- */

/* count: what the call says that it counts. */
typedef void broker_moderated(void *arg, enum broker_status status, uint64_t count);

/* In force on every loop, told to each by on_kick; and what that person said there removed, as by
 * broker_remove (not of an address: messages do not know theirs); then done. With another status
 * than BROKER_OK the ban may hold already, but not everything may be removed yet. Counts removed
 * messages. The reference is taken. */
void broker_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg);
/* End the ban of that person in that room, or everywhere; what else ban says does not matter.
 * Counts the bans that were there, on every loop done with. The reference is taken. */
void broker_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg);
/* This loop's knowledge, at once: seconds, BAN_FOR_EVER, or 0 for not banned. *reason_out is lent
 * until the loop's next turn. */
int64_t broker_ban_ttl(struct broker *broker, const struct name *room, const struct identity *who,
                       struct text *reason_out);
/* total: without skip and limit. */
typedef void broker_listed(void *arg, struct ban *const *bans, size_t count, uint64_t total);
void broker_list_bans(struct broker *broker, const struct bans_asked *asked, broker_listed *done,
                      void *arg);

struct removal {
    struct name *room; /* NULL: everywhere; for what a person said only */
    /* One message, or … */
    struct text id;  /* if not empty, else */
    uint64_t offset; /* if not 0 */
    /* … all that one person said: BAN_NAME or BAN_SUB. */
    enum ban_kind kind;
    struct text who;
};
/* Emptied in the store, the history and for who resumes; and an event, which has an offset, told:
 * rmMsg {"i":id,"o":offset}, rmUserMsg "who". A message that is not in the history is no error, but
 * no event either. Everywhere means each room whose history has something of theirs. Counts the
 * messages. Copies. */
void broker_remove(struct broker *broker, const struct removal *removal, broker_moderated *done,
                   void *arg);

struct kick {
    struct name *room; /* NULL: everywhere */
    enum ban_kind kind;
    struct text who; /* see identity_is */
    bool ban; /* because of a ban, which by itself ends reading only where a token is needed */
};
/* Every loop is told by on_kick; then done. Nothing is stored. Counts nothing. Copies. */
void broker_kick(struct broker *broker, const struct kick *kick, broker_moderated *done, void *arg);

/* ---- once ---- */

typedef void broker_onced(void *arg, enum broker_status status);

/* BROKER_OK for the first who asks with that key, on whatever loop, BROKER_REPEATED for everybody
 * later; as durable as `durability` says before it answers. BROKER_FULL: too many keys are known.
 * BROKER_UNKNOWN: it is given back, should it have been the first; until then others are told
 * BROKER_UNAVAILABLE or BROKER_REPEATED. Nobody but the first may give it back.
 *   key         a name, so 1 to 200 bytes of UTF-8
 *   expires_ms  Unix time until which it is remembered, at least */
void broker_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                 void *arg);
/* The first, who was told so, has not done what it was for: whoever asks after this is the first
 * again (and BROKER_UNAVAILABLE until that is settled). */
void broker_once_forget(struct broker *broker, struct name *key);

/* ---- what plugins keep ---- */

/* A batch of chatup/store.h: about one group of one plugin's keys, atomic. */
struct keep {
    struct text space; /* the plugin's name */
    struct text group;
    bool is_volatile; /* never on disk; its own keys, also where the names are the same */
    const struct chatup_op *ops;
    uint32_t count; /* 1 to 32; they are as chatup/store.h says */
};
/* answer is lent. Of durable keys CHATUP_DONE is as durable as `durability` says. */
typedef void broker_kept(void *arg, const struct chatup_answer *answer);
/* Copies. */
void broker_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg);

struct broker_watch;
/* result as of CHATUP_OP_GET or CHATUP_OP_MEMBERS; lent. */
typedef void broker_changed(void *arg, const struct chatup_result *result);
/* changed is called soon with what the key of that space and group is, and after it has changed, on
 * whatever loop: not for each change, but always after the last one. Until broker_unwatch. */
struct broker_watch *broker_watch(struct broker *broker, const struct keep *where, struct text key,
                                  broker_changed *changed, void *arg);
void broker_unwatch(struct broker *broker, struct broker_watch *watch);

/* ---- where clients go ---- */

struct worker_place {
    char node[37];
    char host[256]; /* what clients connect to: a URL */
    uint64_t connections;
};
/* The least loaded worker but that one, as this loop knows them, at once; counts a client for it.
 * NULL: there is none, as where all is one process. Lent until the turn ends.
 *   excluded  a node; may be empty */
const struct worker_place *broker_pick_worker(struct broker *broker, struct text excluded);

/* ---- whether all is well ---- */

struct broker_health {
    bool store_ok;
    int64_t since_ms; /* Unix time, of what is wrong */
    char why[256];    /* one sentence; empty while all is well */
};

/* What this loop knows, at once. */
void broker_health(struct broker *broker, struct broker_health *health_out);

/* why: what is wrong; empty if status is BROKER_OK. */
typedef void broker_probed(void *arg, enum broker_status status, const char *why);
/* Something is stored, then goes through every loop, and comes back: done within two seconds,
 * whatever happens. Asked for more often than once a second, the last answer is given. */
void broker_probe(struct broker *broker, broker_probed *done, void *arg);

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
    void (*join)(struct broker *, struct name *, const char *, struct text, const struct identity *,
                 broker_joined *, void *);
    void (*leave)(struct broker *, struct name *, const char *);
    void (*look)(struct broker *, struct name *, const struct room_asked *, broker_looked *,
                 void *);
    void (*ban)(struct broker *, struct ban *, broker_moderated *, void *);
    void (*unban)(struct broker *, struct ban *, broker_moderated *, void *);
    int64_t (*ban_ttl)(struct broker *, const struct name *, const struct identity *,
                       struct text *);
    void (*list_bans)(struct broker *, const struct bans_asked *, broker_listed *, void *);
    void (*remove)(struct broker *, const struct removal *, broker_moderated *, void *);
    void (*kick)(struct broker *, const struct kick *, broker_moderated *, void *);
    void (*once)(struct broker *, struct name *, int64_t, broker_onced *, void *);
    void (*once_forget)(struct broker *, struct name *);
    void (*keep)(struct broker *, const struct keep *, broker_kept *, void *);
    struct broker_watch *(*watch)(struct broker *, const struct keep *, struct text,
                                  broker_changed *, void *);
    void (*unwatch)(struct broker *, struct broker_watch *);
    void (*health)(struct broker *, struct broker_health *);
    void (*probe)(struct broker *, broker_probed *, void *);
    void (*use)(struct broker *, const struct config *);
    const struct worker_place *(*pick_worker)(struct broker *, struct text); /* or NULL */
};

/* Something was announced in a room with readers on this loop; message is lent. */
typedef void broker_on_event(void *arg, struct message *message);
/* The room's continuity was lost: this is where it stands now (recovered is false). The embedded
 * home never says so; a Redis that comes back without its data does, at any time. */
typedef void broker_on_reset(void *arg, struct name *room, const struct snapshot *snapshot);
/* Close whom it says, of those that this loop serves; kick is lent. */
typedef void broker_on_kick(void *arg, const struct kick *kick);

struct broker {
    const struct broker_home *home;
    broker_on_event *on_event;
    broker_on_reset *on_reset;
    broker_on_kick *on_kick;
    void *up; /* arg of all three */
};
