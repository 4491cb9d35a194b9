/* redis_parts.h: what the files redis*.c share, and nobody else sees.
 *
 * redis.c makes and frees the handles; redis_link.c the connections; redis_entry.c what a message
 * looks like there; redis_room.c the rooms that a loop listens to; redis_speak.c publish;
 * redis_listen.c subscribe and look; redis_presence.c join, leave and readers; redis_bans.c bans
 * and kicks; redis_remove.c removal; redis_once.c what may happen once; redis_keep.c what plugins
 * keep; redis_node.c what this process is to others; redis_probe.c health;
 * redis_servers.c which servers there are, and which has what. */
#pragma once
#include "buffer.h"
#include "config.h"
#include "history.h"
#include "list.h"
#include "loop.h"
#include "message.h"
#include "name.h"
#include "position.h"
#include "redis.h"
#include "redis_entry.h"
#include "redis_link.h"
#include "redis_servers.h"
#include "table.h"
#include "uuid.h"
#include <ev.h>
#include <stdatomic.h>

enum { WORKERS_MAX = 256 };

struct redis {            /* one loop's handle */
    struct broker broker; /* first */
    struct redis_home *home;
    const struct config *conf; /* its loop's own: a reload reaches one loop after the other */
    struct loop *loop;
    uint32_t index;
    struct redis_ear *ears; /* one for each server */
    struct table rooms;     /* redis_room.c */
    struct bans bans;
    struct list acts; /* redis_bans.c: asked for here, not answered yet */
    uint64_t act_number;
    struct table here;       /* redis_presence.c: members that came by this loop */
    struct table later;      /* rooms whose number is to be told */
    struct table untold;     /* leaves and numbers of readers that Redis may not know of */
    struct list giving_back; /* redis_once.c */
    size_t giving_back_count;
    struct list probes;               /* redis_probe.c: at this loop */
    struct list watches;              /* redis_keep.c */
    struct workers *workers;          /* redis_node.c: as they were said last; counted */
    uint32_t handed_out[WORKERS_MAX]; /* since then, to each of them */
    struct uuid_source uuids;
    ev_timer sweep;
    unsigned ticks;
    bool ending, stopped;
};

/* A loop's connections to one of the servers. */
struct redis_ear {
    struct redis *redis;
    size_t server;
    struct redis_link *link;
    bool was_ready;
};

struct workers { /* immutable */
    _Atomic unsigned refs;
    size_t count;
    struct worker_place places[WORKERS_MAX];
};

struct redis_home {
    char node[37];
    const char *host;
    struct redis_servers *servers;
    char control[CONFIG_PREFIX_MAX + 16];      /* the channel of acts */
    char rooms_prefix[CONFIG_PREFIX_MAX + 16]; /* of the channels of rooms */
    atomic_bool takes_clients;
    atomic_bool bans_known;      /* on each loop: they were read once */
    atomic_size_t waiting_bytes; /* redis_speak.c: of what is said, without an answer */
    bool wants_workers;
    /* The first loop only: */
    bool bans_wanted;  /* to be read anew, */
    bool bans_loading; /* and on their way; what is told meanwhile waits */
    bool bans_read;    /* it has them */
    struct letter *told, **told_tail;
    bool asking_workers;
    struct {
        bool known, beating, reaping;
        int64_t beaten_ms, spares_until_ms; /* monotonic */
    } at[REDIS_SERVERS_MAX];                /* each server */
    size_t count;
    struct redis loops[];
};

static inline struct redis *redis_of(struct broker *broker)
{
    return (struct redis *)broker;
}

static inline struct redis_link *redis_link_at(const struct redis *redis, size_t server)
{
    return redis->ears[server].link;
}

/* Where a room is, or a key: each is on one server. */
static inline struct redis_link *redis_link_of(const struct redis *redis, struct text name)
{
    return redis_link_at(redis, redis_servers_find(redis->home->servers, name));
}

/* Where all is that is of no room. */
static inline struct redis_link *redis_link_first(const struct redis *redis)
{
    return redis_link_at(redis, 0);
}

/* What a command is refused with that had no answer. */
enum broker_status redis_failure(enum redis_outcome outcome);

/* ---- a call without Redis: redis.c ---- */

/* The same for its caller: later, on this loop. */
struct redis_later {
    struct letter letter;
    struct redis *redis;
};

/* ---- rooms: redis_room.c ---- */

enum redis_room_state {
    ROOM_DEAF,    /* not subscribed: no connection, or it has just begun */
    ROOM_AWAITED, /* SUBSCRIBE is under way */
    ROOM_READING, /* what it missed is under way; what is heard waits */
    ROOM_LIVE,    /* at, and the history, are as Redis has them, up to what is on its way */
};

struct redis_room { /* one that somebody on this loop listens to, or did a moment ago */
    struct table_link link;
    struct name *name;
    struct redis_link *via; /* of the server that has it */
    enum redis_room_state state;
    bool known;     /* at and history were right once: the loop's readers stand there */
    bool listening; /* somebody is to be told */
    struct position at;
    struct history history;
    struct list waiting; /* struct redis_subscribe */
    struct buffer early; /* heard while reading: each a size_t of its length, and the entry */
    bool early_lost;     /* too much: read again */
    unsigned reading;    /* which one counts */
    bool checking;       /* it was live before that: only a subscriber wants to know */
    uint32_t readers;    /* here */
    int64_t used_ms;     /* monotonic */
    int64_t read_ms;     /* when it was read last; monotonic */
};

/* NULL: limits.rooms is reached. */
struct redis_room *redis_room_open(struct redis *redis, struct name *name);
struct redis_room *redis_room_find(struct redis *redis, const struct name *name);
/* Answer those that wait: nothing comes any more. */
void redis_rooms_stop(struct redis *redis);
void redis_rooms_finish(struct redis *redis);
/* Unsubscribe from those that nobody listens to any more. About once a second. */
void redis_rooms_sweep(struct redis *redis, int64_t now_ms);
/* What the link tells. */
void redis_rooms_hearing(struct redis *redis, const struct redis_link *link);
void redis_rooms_deaf(struct redis *redis, const struct redis_link *link);
void redis_rooms_ready(struct redis *redis, const struct redis_link *link);
void redis_room_subscribed(struct redis *redis, struct text name);
void redis_room_heard(struct redis *redis, struct text name, struct text payload);
/* Entries of a reply, the newest first, as messages, oldest first; those that are none are left
 * out. */
struct message **redis_entries_read(const struct redisReply *entries, struct name *room,
                                    size_t *count_out);
/* Answer one that waits: redis_listen.c. status BROKER_OK: from the room. */
struct redis_subscribe;
void redis_subscribe_answer(struct redis_subscribe *subscribe, struct redis_room *room,
                            enum broker_status status);
/* The list that it is in; its room's. */
struct redis_subscribe *redis_subscribe_at(struct list *link);
/* The reading that it waits for: one that began after it. */
unsigned redis_subscribe_needs(struct list *link);
/* When it came; monotonic. */
int64_t redis_subscribe_asked_ms(struct list *link);
/* It waits for a reading that begins after now.
 *   returns  the number of that reading */
unsigned redis_room_await(struct redis *redis, struct redis_room *room, struct list *link);

/* Tell Redis again how many readers there are. */
void redis_rooms_say_readers(struct redis *redis, const struct redis_link *link);

/* ---- presence: redis_presence.c ---- */

void redis_presence_readers(struct redis *redis, struct name *name, uint32_t count);
/* That member of that node is gone, unless the node has come back meanwhile. */
void redis_presence_take_away(struct redis *redis, const char member[37], struct name *room,
                              const char *node);
/* Redis has forgotten what this process told it. */
void redis_presence_say_again(struct redis *redis, const struct redis_link *link);
/* What could not be told. When commands are taken again, and about once a second. */
void redis_presence_tell_rest(struct redis *redis);
void redis_presence_stop(struct redis *redis);
void redis_presence_finish(struct redis *redis);

/* ---- bans and kicks: redis_bans.c ---- */

/* The fields of the bans that would keep who from speaking there. */
void redis_arg_bans(struct redis_link *link, const struct name *room, const struct identity *who);
void redis_bans_heard(struct redis *redis, struct text payload);
void redis_bans_load(struct redis *redis);
/* A server that was away may have missed some, or lost all of them: once they are known. The first
 * loop. */
void redis_bans_copy(struct redis *redis, size_t server);
void redis_bans_sweep(struct redis *redis, int64_t now_ms);
void redis_bans_stop(struct redis *redis);

/* ---- once: redis_once.c ---- */

void redis_onces_give_back(struct redis *redis);
void redis_onces_stop(struct redis *redis);

/* ---- what plugins keep: redis_keep.c ---- */

void redis_kept_init(struct redis *redis);
void redis_kept_hearing(struct redis *redis, const struct redis_link *link);
void redis_kept_subscribed(struct redis *redis, struct text channel);
void redis_kept_heard(struct redis *redis, struct text channel, struct text payload);
/* Read again what could not be, and what has expired. About once a second. */
void redis_kept_sweep(struct redis *redis, int64_t now_ms);
void redis_kept_finish(struct redis *redis);

/* ---- this process among others: redis_node.c ---- */

void redis_node_tick(struct redis *redis, unsigned tick);
void redis_node_goodbye(struct redis *redis);
void redis_workers_unref(struct workers *workers);

/* ---- health: redis_probe.c ---- */

void redis_probes_heard(struct redis *redis, size_t server, uint64_t pulse);
/* Those that began before then. */
void redis_probes_fail(struct redis *redis, int64_t older_ms);
void redis_probes_sweep(struct redis *redis, int64_t now_ms);

/* ---- the calls of broker.h ---- */

void redis_do_publish(struct broker *broker, const struct publication *what, broker_published *done,
                      void *arg);
void redis_do_subscribe(struct broker *broker, struct name *name, const struct position *since,
                        broker_subscribed *done, void *arg);
void redis_do_readers(struct broker *broker, struct name *name, uint32_t count);
void redis_do_look(struct broker *broker, struct name *name, const struct room_asked *asked,
                   broker_looked *done, void *arg);
void redis_do_join(struct broker *broker, struct name *name, const char member[37],
                   struct text user, const struct identity *who, broker_joined *done, void *arg);
void redis_do_leave(struct broker *broker, struct name *name, const char member[37]);
void redis_do_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg);
void redis_do_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg);
int64_t redis_do_ban_ttl(struct broker *broker, const struct name *room, const struct identity *who,
                         struct text *reason_out);
void redis_do_list_bans(struct broker *broker, const struct bans_asked *asked, broker_listed *done,
                        void *arg);
void redis_do_kick(struct broker *broker, const struct kick *kick, broker_moderated *done,
                   void *arg);
void redis_do_remove(struct broker *broker, const struct removal *removal, broker_moderated *done,
                     void *arg);
void redis_do_once(struct broker *broker, struct name *key, int64_t expires_ms, broker_onced *done,
                   void *arg);
void redis_do_once_forget(struct broker *broker, struct name *key);
void redis_do_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg);
struct broker_watch *redis_do_watch(struct broker *broker, const struct keep *where,
                                    struct text key, broker_changed *changed, void *arg);
void redis_do_unwatch(struct broker *broker, struct broker_watch *watch);
const struct worker_place *redis_do_pick_worker(struct broker *broker, struct text excluded);
void redis_do_health(struct broker *broker, struct broker_health *health_out);
void redis_do_probe(struct broker *broker, broker_probed *done, void *arg);
