/* home.h: a home of the broker under test: its loops run, calls are made on a loop and waited for,
 * and what each loop is told is kept. The tests are written against broker.h: what they prove,
 * every home has to do, and they run on each; only this harness and the tests of a failing store
 * know which. */
#pragma once
#include "unit.h"

#include "../../redis_process.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "embedded.h"
#include "embedded_parts.h"
#include "loop.h"
#include "message.h"
#include "redis.h"
#include "uuid.h"

#include <pthread.h>

enum { LOOPS = 3, WAIT_S = 40, FAR = 1000000 };

struct ear { /* what one loop was told, in order; holds references */
    struct home *home;
    struct message **heard;
    size_t count;
    char kicks[256]; /* one line each */
};

struct home {
    struct config conf;
    char dir[64];
    struct loop *loops[LOOPS];
    struct embedded_home *embedded; /* one of both */
    struct redis_home *redis;
    struct redis_process server;
    struct ear ears[LOOPS];
    broker_on_event *on_event;
    pthread_mutex_t lock;
    pthread_cond_t news;
};

/* One call with its result. Made on its loop, read by the test once it is done. */
struct call {
    struct letter letter;
    struct home *home;
    size_t loop;
    struct broker *broker;
    void (*make)(struct call *call);
    struct name *room;
    struct message *message;
    struct text client_id, sub, name;
    const char *member, *user;
    bool check_ban;
    struct position since;
    struct ban *ban;
    struct address address;
    struct removal removal;
    bool everywhere;
    struct kick kick;
    struct bans_asked listed;
    struct room_asked asked;
    uint32_t readers_here;
    bool done;
    /* the result */
    enum broker_status status;
    struct published published;
    struct position at;
    bool recovered;
    struct message **messages;
    size_t count;
    int64_t ban_ttl;
    char ban_reason[64];
    uint64_t moderated; /* the number that came with it */
    char list[512];
    uint64_t readers, publishers, users;
    char clients[512];
};
#define EACH_DURABILITY(durability)                                                                \
    for (enum config_durability durability = DURABILITY_COMMIT;                                    \
         durability <= (on_redis() ? DURABILITY_COMMIT : DURABILITY_MEMORY); durability++)

void wait_until(struct home *home, const bool *flag, const size_t *number, size_t wanted);
void ear_hears(void *arg, struct message *message);
struct broker *home_broker(struct home *home, size_t loop);
/* What was said without asking for an answer has happened. */
void settle(struct home *home);
void home_run(struct home *home);
void home_end(struct home *home);
struct home *home_create(enum config_durability durability);
struct home *home_open(enum config_durability durability);
void home_reopen(struct home *home);
void home_close(struct home *home);
struct call *call_create(struct home *home, size_t loop, const char *room,
                         void (*make)(struct call *));
struct call *call_start(struct call *call);
void call_done(struct call *call);
void call_wait(struct call *call);
void call_free(struct call *call);
void publish_make(struct call *call);
struct message *message_by(struct name *room, const char *who, const char *msg, const char *ev);
struct call *say_start(struct home *home, size_t loop, const char *room, const char *who,
                       const char *msg, const char *client_id);
struct published said(struct call *call);
struct published say(struct home *home, size_t loop, const char *room, const char *who,
                     const char *msg, const char *client_id);
void say_many(struct home *home, const char *room, size_t count);
struct call *subscribe(struct home *home, size_t loop, const char *room, struct position since);
void readers(struct home *home, size_t loop, const char *room, uint32_t count);
void listen_on_all_loops(struct home *home, const char *room);
void join_make(struct call *call);
struct call *join_create(struct home *home, size_t loop, const char *room, const char *member,
                         const char *who, const char *user);
int64_t join(struct home *home, size_t loop, const char *room, const char *member, const char *who,
             const char *user);
void leave(struct home *home, size_t loop, const char *room, const char *member);
void looked(void *arg, const struct room_view *view);
void look_make(struct call *call);
struct call *look(struct home *home, size_t loop, const char *room, uint64_t skip, uint64_t limit);
void moderated(void *arg, enum broker_status status, uint64_t count);
enum broker_status moderated_by(struct call *call, uint64_t *count_out);
struct call *ban_call(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                      const char *who, int64_t seconds);
enum broker_status ban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                       const char *who, int64_t seconds);
void unban_make(struct call *call);
uint64_t unban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
               const char *who);
struct address address_of_text(const char *text);
int64_t ttl_of(struct home *home, size_t loop, const char *room, const char *who,
               const char *address);
int64_t banned_for(struct home *home, size_t loop, const char *room, const char *who);
void remove_make(struct call *call);
uint64_t removes(struct home *home, size_t loop, const char *room, struct removal removal);
void kick_make(struct call *call);
void listed(void *arg, struct ban *const *bans, size_t count, uint64_t total);
void list_make(struct call *call);
void heard_exactly(struct home *home, size_t loop, size_t count);
const struct message *heard(struct home *home, size_t loop, size_t i);
void messages_are(const struct call *call, uint64_t first, uint64_t last);
void disk_full(struct home *home);
void disk_mended(void);
struct call *once_start(struct home *home, size_t loop, const char *key);
enum broker_status once(struct home *home, size_t loop, const char *key);
void forget(struct home *home, size_t loop, const char *key);
