#include "unit.h"

#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "embedded.h"
#include "loop.h"
#include "message.h"
#include "uuid.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Written against broker.h: what is proved here, every home has to do. Only the harness and the
 * test of a failing store know that it is the embedded one. */

enum { LOOPS = 3, WAIT_S = 40, FAR = 1000000 };

/* ---- harness: a home with its loops, and calls that are made on a loop and waited for ---- */

struct ear { /* what one loop was told, in order; holds references */
    struct home *home;
    struct message **heard;
    size_t count;
};

struct home {
    struct config conf;
    char dir[64];
    struct loop *loops[LOOPS];
    struct embedded_home *embedded;
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
    uint64_t skip, limit;
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
    uint64_t readers, publishers, users;
    char clients[512];
};

static void wait_until(struct home *home, const bool *flag, const size_t *number, size_t wanted)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&home->lock);
    int rc = 0;
    while (!rc && !(flag ? *flag : *number >= wanted))
        rc = pthread_cond_timedwait(&home->news, &home->lock, &until);
    pthread_mutex_unlock(&home->lock);
    ck_assert_msg(!rc, "nothing came in %d seconds", WAIT_S);
}

static void ear_hears(void *arg, struct message *message)
{
    struct ear *ear = arg;
    pthread_mutex_lock(&ear->home->lock);
    ear->heard = xrealloc(ear->heard, (ear->count + 1) * sizeof *ear->heard);
    ear->heard[ear->count++] = message_ref(message);
    pthread_cond_broadcast(&ear->home->news);
    pthread_mutex_unlock(&ear->home->lock);
}

static void home_run(struct home *home)
{
    struct error err;
    for (size_t i = 0; i < LOOPS; i++)
        home->loops[i] = loop_create("loop");
    home->embedded = embedded_open(&home->conf, home->loops, LOOPS, &err);
    ck_assert_msg(home->embedded != NULL, "%s", err.text);
    for (size_t i = 0; i < LOOPS; i++) {
        struct broker *broker = embedded_broker(home->embedded, i);
        home->ears[i] = (struct ear){.home = home};
        broker->on_event = home->on_event;
        broker->up = &home->ears[i];
    }
    embedded_start(home->embedded);
    for (size_t i = 0; i < LOOPS; i++)
        loop_start(home->loops[i]);
}

static void home_end(struct home *home)
{
    for (size_t i = 0; i < LOOPS; i++) {
        loop_stop(home->loops[i]);
        loop_join(home->loops[i]);
    }
    embedded_stop(home->embedded);
    for (bool any = true; any;) {
        any = embedded_drain(home->embedded);
        for (size_t i = 0; i < LOOPS; i++)
            any |= loop_drain(home->loops[i]);
    }
    embedded_close(home->embedded);
    for (size_t i = 0; i < LOOPS; i++) {
        loop_destroy(home->loops[i]);
        for (size_t k = 0; k < home->ears[i].count; k++)
            message_unref(home->ears[i].heard[k]);
        free(home->ears[i].heard);
    }
}

/* Made, but not running yet: a test may change its configuration. */
static struct home *home_create(enum config_durability durability)
{
    struct home *home = xcalloc(1, sizeof *home);
    strcpy(home->dir, "/tmp/chatup-embedded-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home->dir));
    home->conf.durability = durability;
    home->conf.data_dir = home->dir;
    home->conf.history.size = 10000;
    home->conf.history.expire_ms = 3600000;
    home->conf.limits.rooms = 1000;
    home->conf.limits.dedupe_ms = 3600000;
    home->conf.limits.dedupe_entries = 10000;
    home->conf.limits.replays = 1000;
    home->on_event = ear_hears;
    pthread_mutex_init(&home->lock, NULL);
    pthread_cond_init(&home->news, NULL);
    return home;
}

static struct home *home_open(enum config_durability durability)
{
    struct home *home = home_create(durability);
    home_run(home);
    return home;
}

static void home_reopen(struct home *home)
{
    home_end(home);
    home_run(home);
}

static void home_close(struct home *home)
{
    static const char *const files[] = {"chatup.db", "chatup.db-wal", "chatup.db-shm", "lock"};
    char path[128];
    home_end(home);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", home->dir, files[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(home->dir), 0);
    pthread_mutex_destroy(&home->lock);
    pthread_cond_destroy(&home->news);
    free(home);
}

#define EACH_DURABILITY(durability)                                                                \
    for (enum config_durability durability = DURABILITY_COMMIT; durability <= DURABILITY_MEMORY;   \
         durability++)

static void call_arrives(struct letter *letter)
{
    struct call *call = (struct call *)letter;
    call->broker = embedded_broker(call->home->embedded, call->loop);
    call->make(call);
}

static struct call *call_create(struct home *home, size_t loop, const char *room,
                                void (*make)(struct call *))
{
    struct call *call = xcalloc(1, sizeof *call);
    call->letter.deliver = call_arrives;
    call->home = home;
    call->loop = loop;
    call->make = make;
    call->room = name_create(text_of(room));
    return call;
}

static struct call *call_start(struct call *call)
{
    loop_post(call->home->loops[call->loop], &call->letter);
    return call;
}

static void call_done(struct call *call)
{
    pthread_mutex_lock(&call->home->lock);
    call->done = true;
    pthread_cond_broadcast(&call->home->news);
    pthread_mutex_unlock(&call->home->lock);
}

static void call_wait(struct call *call)
{
    wait_until(call->home, &call->done, NULL, 0);
}

static void call_free(struct call *call)
{
    for (size_t i = 0; i < call->count; i++)
        message_unref(call->messages[i]);
    free(call->messages);
    name_unref(call->room);
    free(call);
}

/* ---- the calls ---- */

static void publish_done(void *arg, const struct published *result)
{
    struct call *call = arg;
    call->published = *result;
    call_done(call);
}

static void publish_make(struct call *call)
{
    const struct publication what = {call->message, call->client_id, call->check_ban};
    broker_publish(call->broker, &what, publish_done, call);
}

static struct message *message_by(struct name *room, const char *who, const char *msg,
                                  const char *ev)
{
    struct uuid_source source = {.left = 0};
    char id[UUID_LENGTH + 1];
    uuid_next(&source, id);
    return message_create(room, &(struct message_fields){.id = text_of(id),
                                                         .time_ms = clock_wall_ms(),
                                                         .sub = text_of(who),
                                                         .name = text_of(who),
                                                         .msg = text_of(msg),
                                                         .ev = text_of(ev)});
}

static struct call *say_start(struct home *home, size_t loop, const char *room, const char *who,
                              const char *msg, const char *client_id)
{
    struct call *call = call_create(home, loop, room, publish_make);
    call->message = message_by(call->room, who, msg, NULL);
    call->client_id = text_of(client_id);
    call->check_ban = true;
    return call_start(call);
}

static struct published said(struct call *call)
{
    call_wait(call);
    struct published result = call->published;
    call_free(call);
    return result;
}

static struct published say(struct home *home, size_t loop, const char *room, const char *who,
                            const char *msg, const char *client_id)
{
    return said(say_start(home, loop, room, who, msg, client_id));
}

static void say_many(struct home *home, const char *room, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(say(home, i % LOOPS, room, "alice", "hi", NULL).status, BROKER_OK);
}

static void snapshot_keep(struct call *call, const struct snapshot *snapshot)
{
    call->status = snapshot->status;
    call->at = snapshot->at;
    call->recovered = snapshot->recovered;
    call->count = snapshot->count;
    call->messages = xcalloc(snapshot->count, sizeof *call->messages);
    for (size_t i = 0; i < snapshot->count; i++)
        call->messages[i] = message_ref(snapshot->messages[i]);
}

static void subscribe_done(void *arg, const struct snapshot *snapshot)
{
    struct call *call = arg;
    snapshot_keep(call, snapshot);
    call_done(call);
}

static void subscribe_make(struct call *call)
{
    broker_subscribe(call->broker, call->room, &call->since, subscribe_done, call);
}

static struct call *subscribe(struct home *home, size_t loop, const char *room,
                              struct position since)
{
    struct call *call = call_create(home, loop, room, subscribe_make);
    call->since = since;
    call_start(call);
    call_wait(call);
    return call;
}

static void readers_make(struct call *call)
{
    broker_readers(call->broker, call->room, call->readers_here);
    call_done(call);
}

static void readers(struct home *home, size_t loop, const char *room, uint32_t count)
{
    struct call *call = call_create(home, loop, room, readers_make);
    call->readers_here = count;
    call_start(call);
    call_wait(call);
    call_free(call);
}

static void listen_on_all_loops(struct home *home, const char *room)
{
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = subscribe(home, i, room, (struct position){0});
        ck_assert_int_eq(call->status, BROKER_OK);
        call_free(call);
        readers(home, i, room, 1);
    }
}

static void joined(void *arg, enum broker_status status, int64_t ban_ttl)
{
    struct call *call = arg;
    call->status = status;
    call->ban_ttl = ban_ttl;
    call_done(call);
}

static void join_make(struct call *call)
{
    broker_join(call->broker, call->room, call->member, text_of(call->user), call->sub, call->name,
                joined, call);
}

static struct call *join_create(struct home *home, size_t loop, const char *room,
                                const char *member, const char *who, const char *user)
{
    struct call *call = call_create(home, loop, room, join_make);
    call->member = member;
    call->user = user;
    call->sub = call->name = text_of(who);
    return call;
}

static int64_t join(struct home *home, size_t loop, const char *room, const char *member,
                    const char *who, const char *user)
{
    struct call *call = call_start(join_create(home, loop, room, member, who, user));
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_OK);
    int64_t ban_ttl = call->ban_ttl;
    call_free(call);
    return ban_ttl;
}

static void leave_make(struct call *call)
{
    broker_leave(call->broker, call->room, call->member);
    call_done(call);
}

static void leave(struct home *home, size_t loop, const char *room, const char *member)
{
    struct call *call = call_create(home, loop, room, leave_make);
    call->member = member;
    call_start(call);
    call_wait(call);
    call_free(call);
}

static void looked(void *arg, const struct room_view *view)
{
    struct call *call = arg;
    snapshot_keep(call, &view->history);
    call->readers = view->readers;
    call->publishers = view->publishers;
    call->users = view->users;
    snprintf(call->clients, sizeof call->clients, "%.*s", (int)view->clients.length,
             view->clients.at);
    call_done(call);
}

static void look_make(struct call *call)
{
    broker_look(call->broker, call->room, call->skip, call->limit, looked, call);
}

static struct call *look(struct home *home, size_t loop, const char *room, uint64_t skip,
                         uint64_t limit)
{
    struct call *call = call_create(home, loop, room, look_make);
    call->skip = skip;
    call->limit = limit;
    call_start(call);
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_OK);
    return call;
}

static void banned(void *arg, enum broker_status status)
{
    struct call *call = arg;
    call->status = status;
    call_done(call);
}

static void ban_make(struct call *call)
{
    broker_ban(call->broker, call->ban, call->message, banned, call);
}

static enum broker_status ban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                              const char *who, int64_t seconds)
{
    struct call *call = call_create(home, loop, room, ban_make);
    int64_t expires_ms = seconds == BAN_FOR_EVER ? BAN_FOR_EVER : clock_wall_ms() + seconds * 1000;
    call->ban = ban_create(call->room, kind, text_of(who), expires_ms);
    call->message = message_by(call->room, "judge", NULL, "rmUserMsg");
    call_start(call);
    call_wait(call);
    enum broker_status status = call->status;
    call_free(call);
    return status;
}

static void ban_ttl_make(struct call *call)
{
    call->ban_ttl = broker_ban_ttl(call->broker, call->room, call->sub, call->name);
    call_done(call);
}

static int64_t ban_ttl(struct home *home, size_t loop, const char *room, const char *who)
{
    struct call *call = call_create(home, loop, room, ban_ttl_make);
    call->sub = call->name = text_of(who);
    call_start(call);
    call_wait(call);
    int64_t ttl = call->ban_ttl;
    call_free(call);
    return ttl;
}

/* Events number 1, 2, … count were heard on that loop, and nothing else. */
static void heard_exactly(struct home *home, size_t loop, size_t count)
{
    struct ear *ear = &home->ears[loop];
    wait_until(home, NULL, &ear->count, count);
    pthread_mutex_lock(&home->lock);
    ck_assert_uint_eq(ear->count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(ear->heard[i]->offset, i + 1);
    pthread_mutex_unlock(&home->lock);
}

static const struct message *heard(struct home *home, size_t loop, size_t i)
{
    wait_until(home, NULL, &home->ears[loop].count, i + 1);
    pthread_mutex_lock(&home->lock);
    const struct message *message = home->ears[loop].heard[i];
    pthread_mutex_unlock(&home->lock);
    return message;
}

static void messages_are(const struct call *call, uint64_t first, uint64_t last)
{
    ck_assert_uint_eq(call->count, last + 1 - first);
    for (size_t i = 0; i < call->count; i++)
        ck_assert_uint_eq(call->messages[i]->offset, first + i);
}

/* ---- numbers and order ---- */

START_TEST(offsets_are_one_two_three_whoever_speaks_on_whatever_loop)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        for (uint64_t i = 1; i <= 30; i++) {
            struct published result = say(home, i % LOOPS, "room", "alice", "hi", NULL);
            ck_assert_int_eq(result.status, BROKER_OK);
            ck_assert_uint_eq(result.at.offset, i);
            ck_assert_uint_eq(strlen(result.id), UUID_LENGTH);
        }
        ck_assert_uint_eq(say(home, 0, "other", "alice", "hi", NULL).at.offset, 1);
        home_close(home);
    }
}
END_TEST

START_TEST(what_one_loop_says_keeps_its_order_also_while_the_room_is_being_loaded)
{
    enum { ROOMS = 30, EACH = 40 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        for (int r = 0; r < ROOMS; r++) {
            char room[24];
            bool given[LOOPS * EACH] = {0};
            struct call *calls[LOOPS][EACH];
            snprintf(room, sizeof room, "room %d", r);
            for (size_t k = 0; k < EACH; k++)
                for (size_t i = 0; i < LOOPS; i++)
                    calls[i][k] = say_start(home, i, room, "alice", "hi", NULL);
            for (size_t i = 0; i < LOOPS; i++) {
                uint64_t last = 0;
                for (size_t k = 0; k < EACH; k++) {
                    struct published result = said(calls[i][k]);
                    ck_assert_int_eq(result.status, BROKER_OK);
                    ck_assert_uint_gt(result.at.offset, last);
                    ck_assert_uint_le(result.at.offset, LOOPS * EACH);
                    last = result.at.offset;
                    ck_assert(!given[last - 1]);
                    given[last - 1] = true;
                }
            }
        }
        home_close(home);
    }
}
END_TEST

/* ---- one order for everybody ---- */

enum { FLOOD = 600, IN_FLIGHT = 6 }; /* from each of two loops */

struct flood {
    struct letter letter;
    struct home *home;
    size_t loop, begun, ended;
    struct name *room;
};

/* The third loop: subscribes again as soon as it has its answer, now and then as one that had left
 * the room in between. What it was told, by snapshots and by events, it keeps by offset. */
struct restless {
    struct letter letter;
    struct home *home;
    struct name *room;
    struct broker *broker;
    struct position since;
    uint64_t last;
    unsigned rounds;
    bool away, done;
    atomic_uint wrong;
    char ids[2 * FLOOD + 1][UUID_LENGTH + 1];
} restless;

static void flood_said(void *arg, const struct published *result);

static void flood_go(struct flood *flood)
{
    while (flood->begun < FLOOD && flood->begun - flood->ended < IN_FLIGHT) {
        const struct publication what = {
            message_by(flood->room, "alice", "hi", NULL), {NULL, 0}, true};
        flood->begun++;
        broker_publish(embedded_broker(flood->home->embedded, flood->loop), &what, flood_said,
                       flood);
    }
}

static void flood_said(void *arg, const struct published *result)
{
    struct flood *flood = arg;
    if (result->status != BROKER_OK)
        atomic_fetch_add(&restless.wrong, 1);
    flood->ended++;
    flood_go(flood);
}

static void flood_arrives(struct letter *letter)
{
    flood_go((struct flood *)letter);
}

static void restless_takes(const struct message *message)
{
    if (message->offset != restless.last + 1 || message->offset > 2 * FLOOD) {
        atomic_fetch_add(&restless.wrong, 1);
        return;
    }
    restless.last = message->offset;
    memcpy(restless.ids[message->offset], message->fields.id.at, UUID_LENGTH);
}

static void restless_subscribed(void *arg, const struct snapshot *snapshot);

static void restless_goes(void)
{
    restless.away = restless.rounds++ % 2;
    if (restless.away)
        broker_readers(restless.broker, restless.room, 0);
    restless.since.offset = restless.last;
    broker_subscribe(restless.broker, restless.room, &restless.since, restless_subscribed, NULL);
}

static void restless_subscribed(void *arg, const struct snapshot *snapshot)
{
    bool first = !*restless.since.epoch;
    if (snapshot->status != BROKER_OK || snapshot->recovered == first ||
        snapshot->at.offset != restless.since.offset + snapshot->count ||
        (!first && !restless.away && snapshot->at.offset != restless.last))
        atomic_fetch_add(&restless.wrong, 1);
    for (size_t i = 0; i < snapshot->count; i++) { /* some had come as events in the meantime */
        uint64_t offset = snapshot->messages[i]->offset;
        if (offset != restless.since.offset + 1 + i)
            atomic_fetch_add(&restless.wrong, 1);
        if (offset > restless.last)
            restless_takes(snapshot->messages[i]);
    }
    if (restless.last != snapshot->at.offset)
        atomic_fetch_add(&restless.wrong, 1);
    restless.since = snapshot->at;
    broker_readers(restless.broker, restless.room, 1);
    if (restless.last < 2 * FLOOD && !atomic_load(&restless.wrong)) {
        restless_goes();
        return;
    }
    pthread_mutex_lock(&restless.home->lock);
    restless.done = true;
    pthread_cond_broadcast(&restless.home->news);
    pthread_mutex_unlock(&restless.home->lock);
}

static void restless_arrives(struct letter *letter)
{
    restless.broker = embedded_broker(restless.home->embedded, LOOPS - 1);
    restless_goes();
}

static void flood_heard(void *arg, struct message *message)
{
    struct ear *ear = arg;
    if (ear == &ear->home->ears[LOOPS - 1])
        restless_takes(message);
    else
        ear_hears(arg, message);
}

START_TEST(every_loop_sees_the_same_order_while_two_publish_and_one_comes_and_goes)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        struct flood floods[2];
        home->on_event = flood_heard;
        home_run(home);
        memset(&restless, 0, sizeof restless);
        restless.letter.deliver = restless_arrives;
        restless.home = home;
        restless.room = name_create(text_of("flood"));
        for (size_t i = 0; i < 2; i++) {
            call_free(subscribe(home, i, "flood", (struct position){0}));
            readers(home, i, "flood", 1);
        }
        loop_post(home->loops[LOOPS - 1], &restless.letter);
        for (size_t i = 0; i < 2; i++) {
            floods[i] = (struct flood){{.deliver = flood_arrives}, home, i, 0, 0, restless.room};
            loop_post(home->loops[i], &floods[i].letter);
        }
        wait_until(home, &restless.done, NULL, 0);
        ck_assert_uint_eq(atomic_load(&restless.wrong), 0);
        for (size_t i = 0; i < 2; i++) {
            heard_exactly(home, i, 2 * FLOOD);
            for (size_t k = 0; k < 2 * FLOOD; k++)
                ck_assert(text_is(heard(home, i, k)->fields.id, restless.ids[k + 1]));
        }
        struct name *room = restless.room;
        home_close(home);
        name_unref(room);
    }
}
END_TEST

START_TEST(a_loop_without_readers_hears_nothing_more)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        say_many(home, "room", 2);
        readers(home, 1, "room", 0);
        say_many(home, "room", 2);
        heard_exactly(home, 0, 4);
        heard_exactly(home, 2, 4);
        heard_exactly(home, 1, 2);
        home_close(home);
    }
}
END_TEST

/* ---- resuming ---- */

START_TEST(resume_gives_exactly_the_rest)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 9);
        struct position since = say(home, 1, "room", "alice", "hi", NULL).at;
        for (since.offset = 0; since.offset <= 10; since.offset++) {
            struct call *call = subscribe(home, since.offset % LOOPS, "room", since);
            ck_assert(call->recovered);
            ck_assert_uint_eq(call->at.offset, 10);
            ck_assert_str_eq(call->at.epoch, since.epoch);
            messages_are(call, since.offset + 1, 10);
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(resume_from_too_old_or_ahead_or_another_epoch_is_not_recovered)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        home->conf.history.size = 5;
        home_run(home);
        say_many(home, "room", 9);
        struct position at = say(home, 1, "room", "alice", "hi", NULL).at;
        struct position too_old = at, oldest = at, ahead = at, other = at;
        too_old.offset = 4;
        oldest.offset = 5;
        ahead.offset = 11;
        strcpy(other.epoch, "another");
        const struct {
            struct position since;
            bool recovered;
        } cases[] = {{too_old, false},
                     {ahead, false},
                     {other, false},
                     {{.epoch = ""}, false},
                     {oldest, true}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct call *call = subscribe(home, i % LOOPS, "room", cases[i].since);
            ck_assert_int_eq(call->recovered, cases[i].recovered);
            messages_are(call, 6, 10);
            ck_assert_uint_eq(call->at.offset, 10);
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(resume_goes_on_after_a_restart)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    say_many(home, "room", 4);
    struct position since = say(home, 1, "room", "alice", "hi", NULL).at;
    home_reopen(home);
    since.offset = 3;
    struct call *call = subscribe(home, 2, "room", since);
    ck_assert(call->recovered);
    messages_are(call, 4, 5);
    call_free(call);
    ck_assert_uint_eq(say(home, 0, "room", "alice", "hi", NULL).at.offset, 6);
    home_close(home);
}
END_TEST

START_TEST(memory_begins_a_new_epoch_at_each_start)
{
    struct home *home = home_open(DURABILITY_MEMORY);
    struct position since = say(home, 0, "room", "alice", "hi", NULL).at;
    ck_assert_uint_eq(strlen(since.epoch), 16);
    home_reopen(home);
    struct call *call = subscribe(home, 0, "room", since);
    ck_assert(!call->recovered);
    ck_assert_str_ne(call->at.epoch, since.epoch);
    ck_assert_uint_eq(call->count, 0);
    ck_assert_uint_eq(call->at.offset, 0);
    call_free(call);
    home_close(home);
}
END_TEST

/* ---- saying it twice ---- */

START_TEST(a_repeated_client_id_is_answered_as_the_first)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct published first = say(home, 0, "room", "alice", "one", "alice:1");
        for (size_t i = 0; i < LOOPS; i++) {
            struct published again = say(home, i, "room", "alice", "one", "alice:1");
            ck_assert_int_eq(again.status, BROKER_OK);
            ck_assert_uint_eq(again.at.offset, first.at.offset);
            ck_assert_str_eq(again.id, first.id);
        }
        ck_assert_uint_eq(say(home, 0, "room", "alice", "two", "alice:2").at.offset, 2);
        ck_assert_uint_eq(say(home, 0, "other", "alice", "one", "alice:1").at.offset, 1);
        home_close(home);
    }
}
END_TEST

START_TEST(a_client_id_repeated_while_the_first_is_under_way_is_answered_as_that)
{
    enum { TIMES = 40 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[TIMES];
        listen_on_all_loops(home, "room");
        for (size_t i = 0; i < TIMES; i++)
            calls[i] = say_start(home, i % LOOPS, "room", "alice", "one", "alice:1");
        char id[UUID_LENGTH + 1] = "";
        for (size_t i = 0; i < TIMES; i++) {
            struct published result = said(calls[i]);
            ck_assert_int_eq(result.status, BROKER_OK);
            ck_assert_uint_eq(result.at.offset, 1);
            if (!*id)
                strcpy(id, result.id);
            ck_assert_str_eq(result.id, id);
        }
        ck_assert_uint_eq(say(home, 0, "room", "alice", "two", NULL).at.offset, 2);
        for (size_t i = 0; i < LOOPS; i++)
            heard_exactly(home, i, 2);
        home_close(home);
    }
}
END_TEST

START_TEST(a_client_id_is_known_after_a_restart)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct published first = say(home, 0, "room", "alice", "one", "alice:1");
    say_many(home, "room", 2);
    home_reopen(home);
    struct published again = say(home, 1, "room", "alice", "one", "alice:1");
    ck_assert_int_eq(again.status, BROKER_OK);
    ck_assert_uint_eq(again.at.offset, 1);
    ck_assert_str_eq(again.id, first.id);
    ck_assert_uint_eq(say(home, 1, "room", "alice", "one", "alice:2").at.offset, 4);
    home_close(home);
}
END_TEST

/* ---- bans ---- */

static void alice_is_banned(struct home *home)
{
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, 3);
    ck_assert(call->messages[0]->removed);
    ck_assert_ptr_null(call->messages[0]->fields.msg.at);
    ck_assert(!call->messages[1]->removed);
    ck_assert(text_is(call->messages[1]->fields.msg, "good"));
    ck_assert(text_is(call->messages[2]->fields.ev, "rmUserMsg"));
    call_free(call);
    for (size_t i = 0; i < LOOPS; i++) {
        int64_t ttl = ban_ttl(home, i, "room", "alice");
        ck_assert_int_gt(ttl, 0);
        ck_assert_int_le(ttl, 1000);
        ck_assert_int_eq(ban_ttl(home, i, "room", "bob"), 0);
        ck_assert_int_eq(ban_ttl(home, i, "other", "alice"), 0);
        struct published refused = say(home, i, "room", "alice", "bad", NULL);
        ck_assert_int_eq(refused.status, BROKER_BANNED);
        ck_assert_int_gt(refused.ban_ttl, 0);
        ck_assert_int_le(refused.ban_ttl, 1000);
    }
}

START_TEST(a_ban_is_in_force_everywhere_and_removes_what_was_said)
{
    EACH_DURABILITY(durability)
    {
        for (enum ban_kind kind = BAN_NAME; kind <= BAN_SUB; kind++) {
            struct home *home = home_open(durability);
            listen_on_all_loops(home, "room");
            say(home, 0, "room", "alice", "bad", NULL);
            say(home, 1, "room", "bob", "good", NULL);
            ck_assert_int_eq(ban(home, 2, "room", kind, "alice", 1000), BROKER_OK);
            alice_is_banned(home);
            for (size_t i = 0; i < LOOPS; i++) {
                heard_exactly(home, i, 3);
                ck_assert(text_is(heard(home, i, 2)->fields.ev, "rmUserMsg"));
            }
            ck_assert_int_eq(say(home, 0, "other", "alice", "hi", NULL).status, BROKER_OK);
            if (durability == DURABILITY_COMMIT) {
                home_reopen(home);
                alice_is_banned(home);
            }
            ck_assert_uint_eq(say(home, 0, "room", "bob", "good", NULL).at.offset, 4);
            home_close(home);
        }
    }
}
END_TEST

START_TEST(a_ban_for_ever_has_no_end_and_your_servers_may_speak_all_the_same)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "alice", BAN_FOR_EVER), BROKER_OK);
        ck_assert_int_eq(ban_ttl(home, 2, "room", "alice"), BAN_FOR_EVER);
        ck_assert_int_eq(say(home, 0, "room", "alice", "hi", NULL).ban_ttl, BAN_FOR_EVER);
        struct call *call = call_create(home, 0, "room", publish_make);
        call->message = message_by(call->room, "alice", "from the server", NULL);
        struct published result = said(call_start(call));
        ck_assert_int_eq(result.status, BROKER_OK);
        ck_assert_uint_eq(result.at.offset, 2);
        home_close(home);
    }
}
END_TEST

START_TEST(who_banned_somebody_stays_on_record_when_banned)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "alice", 1000), BROKER_OK);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "judge", 1000), BROKER_OK);
        for (int again = 0; again <= (durability == DURABILITY_COMMIT); again++) {
            struct call *call = subscribe(home, 0, "room", (struct position){0});
            messages_are(call, 1, 2);
            for (size_t i = 0; i < 2; i++)
                ck_assert(text_is(call->messages[i]->fields.ev, "rmUserMsg"));
            call_free(call);
            if (!again)
                home_reopen(home);
        }
        home_close(home);
    }
}
END_TEST

/* ---- who is there ---- */

static const char *const members[] = {"00000000-0000-4000-8000-000000000001",
                                      "00000000-0000-4000-8000-000000000002",
                                      "00000000-0000-4000-8000-000000000003"};

START_TEST(joining_and_leaving_are_announced_and_counted)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        readers(home, 1, "room", 4);
        ck_assert_int_eq(join(home, 0, "room", members[0], "alice", "{\"n\":1}"), 0);
        ck_assert_int_eq(join(home, 1, "room", members[1], "alice", "{\"n\":2}"), 0);
        ck_assert_int_eq(join(home, 2, "room", members[2], "bob", "{\"n\":3}"), 0);
        struct call *call = look(home, 0, "room", 0, FAR);
        ck_assert_uint_eq(call->readers, 6);
        ck_assert_uint_eq(call->publishers, 3);
        ck_assert_uint_eq(call->users, 2);
        ck_assert_str_eq(call->clients, "[{\"n\":1},{\"n\":2},{\"n\":3}]");
        ck_assert_uint_eq(call->at.offset, 0);
        call_free(call);
        const struct {
            uint64_t skip, limit;
            const char *clients;
        } views[] = {{1, 1, "[{\"n\":2}]"},
                     {2, 9, "[{\"n\":3}]"},
                     {3, 1, "[]"},
                     {0, 0, "[]"},
                     {0, UINT64_MAX, "[{\"n\":1},{\"n\":2},{\"n\":3}]"}};
        for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
            call = look(home, i % LOOPS, "room", views[i].skip, views[i].limit);
            ck_assert_str_eq(call->clients, views[i].clients);
            call_free(call);
        }
        leave(home, 0, "room", members[0]);
        leave(home, 2, "room", members[2]);
        leave(home, 2, "room", members[2]); /* who is not there */
        call = look(home, 1, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 1);
        ck_assert_uint_eq(call->users, 1);
        call_free(call);
        static const char *const users[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":1}",
                                            "{\"n\":3}"};
        say_many(home, "room", 1);
        for (size_t i = 0; i < LOOPS; i++) {
            for (size_t k = 0; k < 5; k++) {
                const struct message *event = heard(home, i, k);
                ck_assert_uint_eq(event->offset, 0);
                ck_assert(text_is(event->fields.ev, k < 3 ? "join" : "leave"));
                ck_assert(text_is(event->fields.user, users[k]));
            }
            ck_assert_uint_eq(heard(home, i, 5)->offset, 1);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(the_banned_are_told_when_they_join_and_not_counted)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        ck_assert_int_eq(ban(home, 0, "room", BAN_NAME, "alice", 1000), BROKER_OK);
        ck_assert_int_gt(join(home, 1, "room", members[0], "alice", "{}"), 0);
        say_many(home, "room", 0);
        ck_assert_uint_eq(say(home, 2, "room", "bob", "hi", NULL).at.offset, 2);
        for (size_t i = 0; i < LOOPS; i++)
            heard_exactly(home, i, 2);
        struct call *call = look(home, 1, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 0);
        ck_assert_str_eq(call->clients, "[]");
        call_free(call);
        home_close(home);
    }
}
END_TEST

static void join_and_leave_make(struct call *call)
{
    join_make(call);
    broker_leave(call->broker, call->room, call->member);
}

START_TEST(who_leaves_while_the_room_is_being_loaded_has_left)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *call = join_create(home, 0, "room", members[0], "alice", "{}");
        call->make = join_and_leave_make;
        call_start(call);
        call_wait(call);
        ck_assert_int_eq(call->status, BROKER_OK);
        call_free(call);
        call = look(home, 0, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 0);
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(look_shows_the_history)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 4);
        struct call *call = look(home, 2, "room", 0, FAR);
        messages_are(call, 1, 4);
        ck_assert_uint_eq(call->at.offset, 4);
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(beyond_the_limit_of_rooms_there_is_no_room)
{
    enum { LIMIT = 6, TRIED = 40 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        home->conf.limits.rooms = LIMIT;
        home_run(home);
        int ok = 0;
        for (int i = 0; i < TRIED; i++) {
            char room[24];
            snprintf(room, sizeof room, "room %d", i);
            enum broker_status status = say(home, 0, room, "alice", "hi", NULL).status;
            ck_assert(status == BROKER_OK || status == BROKER_FULL);
            ok += status == BROKER_OK;
            struct call *call = subscribe(home, 1, room, (struct position){0});
            ck_assert_int_eq(call->status, status);
            call_free(call);
        }
        ck_assert_int_ge(ok, LIMIT);
        ck_assert_int_le(ok, LIMIT + LOOPS); /* each loop has its share, rounded up */
        home_close(home);
    }
}
END_TEST

/* ---- once ---- */

static void onced(void *arg, enum broker_status status)
{
    struct call *call = arg;
    call->status = status;
    call_done(call);
}

static void once_make(struct call *call)
{
    broker_once(call->broker, call->room, clock_wall_ms() + 3600000, onced, call);
}

static struct call *once_start(struct home *home, size_t loop, const char *key)
{
    return call_start(call_create(home, loop, key, once_make));
}

static enum broker_status once(struct home *home, size_t loop, const char *key)
{
    struct call *call = once_start(home, loop, key);
    call_wait(call);
    enum broker_status status = call->status;
    call_free(call);
    return status;
}

static void forget_make(struct call *call)
{
    broker_once_forget(call->broker, call->room);
    call_done(call);
}

static void forget(struct home *home, size_t loop, const char *key)
{
    struct call *call = call_start(call_create(home, loop, key, forget_make));
    call_wait(call);
    call_free(call);
}

START_TEST(of_many_who_ask_on_all_loops_at_once_one_is_the_first)
{
    enum { ASKERS = 8 * LOOPS, KEYS = 20 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[KEYS][ASKERS];
        for (int k = 0; k < KEYS; k++)
            for (int i = 0; i < ASKERS; i++) {
                char key[16];
                snprintf(key, sizeof key, "jti:%d", k);
                calls[k][i] = once_start(home, (size_t)i % LOOPS, key);
            }
        for (int k = 0; k < KEYS; k++) {
            int firsts = 0;
            for (int i = 0; i < ASKERS; i++) {
                call_wait(calls[k][i]);
                firsts += calls[k][i]->status == BROKER_OK;
                ck_assert(calls[k][i]->status == BROKER_OK ||
                          calls[k][i]->status == BROKER_REPEATED);
                call_free(calls[k][i]);
            }
            ck_assert_int_eq(firsts, 1);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(once_is_once_after_a_restart_too)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    for (size_t i = 0; i < LOOPS; i++) {
        char key[] = "jti:0";
        key[4] = (char)('0' + i);
        ck_assert_int_eq(once(home, i, key), BROKER_OK);
    }
    ck_assert_int_eq(once(home, 0, "forgotten"), BROKER_OK);
    forget(home, 0, "forgotten");
    home_reopen(home);
    for (size_t i = 0; i < LOOPS; i++) {
        ck_assert_int_eq(once(home, i, "jti:0"), BROKER_REPEATED);
        ck_assert_int_eq(once(home, i, "jti:1"), BROKER_REPEATED);
        ck_assert_int_eq(once(home, i, "jti:2"), BROKER_REPEATED);
    }
    ck_assert_int_eq(once(home, 0, "forgotten"), BROKER_OK);
    home_close(home);
}
END_TEST

START_TEST(what_is_forgotten_may_be_asked_again_on_any_loop)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        forget(home, 0, "never asked");
        for (size_t i = 0; i < 4 * LOOPS; i++) {
            ck_assert_int_eq(once(home, i % LOOPS, "key"), BROKER_OK);
            ck_assert_int_eq(once(home, (i + 1) % LOOPS, "key"), BROKER_REPEATED);
            forget(home, i % LOOPS, "key");
        }
        home_close(home);
    }
}
END_TEST

START_TEST(what_is_forgotten_on_its_way_to_the_store_was_never_first)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        struct call *first = once_start(home, 0, key), *waits;
        forget(home, 0, key);
        waits = once_start(home, 0, key);
        call_wait(first);
        call_wait(waits);
        /* Who asks before that is settled is told to come again; whoever is the first, is alone. */
        ck_assert(first->status == BROKER_OK || first->status == BROKER_UNAVAILABLE);
        ck_assert(waits->status == BROKER_OK || waits->status == BROKER_UNAVAILABLE);
        ck_assert(first->status != BROKER_OK || waits->status == BROKER_OK);
        ck_assert_int_eq(once(home, 1, key),
                         waits->status == BROKER_OK ? BROKER_REPEATED : BROKER_OK);
        call_free(first);
        call_free(waits);
        forget(home, 0, key);
    }
    home_reopen(home);
    ck_assert_int_eq(once(home, 0, "key 0"), BROKER_OK);
    ck_assert_int_eq(once(home, 0, "key 49"), BROKER_OK);
    home_close(home);
}
END_TEST

START_TEST(beyond_the_limit_of_keys_none_is_taken_and_those_known_stay_known)
{
    enum { LIMIT = 6, TRIED = 40 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        home->conf.limits.replays = LIMIT;
        home_run(home);
        int ok = 0;
        for (int i = 0; i < TRIED; i++) {
            char key[24];
            snprintf(key, sizeof key, "key %d", i);
            enum broker_status status = once(home, 0, key);
            ck_assert(status == BROKER_OK || status == BROKER_FULL);
            ok += status == BROKER_OK;
            ck_assert_int_eq(once(home, 1, key),
                             status == BROKER_OK ? BROKER_REPEATED : BROKER_FULL);
        }
        ck_assert_int_ge(ok, LIMIT);
        ck_assert_int_le(ok, LIMIT + LOOPS); /* each loop has its share, rounded up */
        home_close(home);
    }
}
END_TEST

/* ---- a reload ---- */

static struct config next_conf;

static void use_make(struct call *call)
{
    broker_use(call->broker, &next_conf);
    call_done(call);
}

static void use(struct home *home)
{
    next_conf = home->conf;
    next_conf.history.size = 3;
    next_conf.limits.rooms = 2 * LOOPS;
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = call_start(call_create(home, i, "room", use_make));
        call_wait(call);
        call_free(call);
    }
}

START_TEST(another_configuration_holds_from_then_on)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 9);
        use(home);
        memset(&home->conf, 0, sizeof home->conf); /* nobody looks there any more */
        ck_assert_int_eq(say(home, 0, "room", "alice", "hi", NULL).status, BROKER_OK);
        struct call *call = subscribe(home, 1, "room", (struct position){0});
        ck_assert_uint_eq(call->count, 3);
        ck_assert_uint_eq(call->messages[0]->offset, 8);
        call_free(call);
        int full = 0;
        for (int i = 0; i < 20; i++) {
            char room[24];
            snprintf(room, sizeof room, "room %d", i);
            full += say(home, 0, room, "alice", "hi", NULL).status == BROKER_FULL;
        }
        ck_assert_int_ge(full, 20 - 3 * LOOPS);
        if (durability == DURABILITY_COMMIT) { /* the store keeps no more than that */
            home->conf = next_conf;
            home->conf.history.size = 100;
            home_reopen(home);
            call = subscribe(home, 1, "room", (struct position){0});
            ck_assert_uint_eq(call->count, 3);
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

/* ---- a store that fails ---- */

static struct rlimit sizes;

/* No file may grow beyond what the log of the database has: each commit fails. */
static void disk_full(struct home *home)
{
    char path[128];
    struct stat log;
    snprintf(path, sizeof path, "%s/chatup.db-wal", home->dir);
    ck_assert_int_eq(stat(path, &log), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &sizes);
    struct rlimit less = {(rlim_t)log.st_size, sizes.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &less), 0);
}

static void disk_mended(void)
{
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &sizes), 0);
}

START_TEST(what_cannot_be_stored_is_refused_and_not_announced_and_leaves_no_gap)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    listen_on_all_loops(home, "room");
    say_many(home, "room", 3);
    disk_full(home);
    for (size_t i = 0; i < 2 * LOOPS; i++)
        ck_assert_int_eq(say(home, i % LOOPS, "room", "bob", "lost", "bob:1").status,
                         BROKER_UNAVAILABLE);
    ck_assert_int_eq(say(home, 0, "new room", "bob", "lost", NULL).status, BROKER_UNAVAILABLE);
    ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "alice", 1000), BROKER_UNAVAILABLE);
    for (size_t i = 0; i < LOOPS; i++)
        ck_assert_int_eq(ban_ttl(home, i, "room", "alice"), 0);
    disk_mended();
    struct published result = say(home, 0, "room", "bob", "kept", "bob:1");
    ck_assert_int_eq(result.status, BROKER_OK);
    ck_assert_uint_eq(result.at.offset, 4);
    ck_assert_uint_eq(say(home, 1, "new room", "bob", "kept", NULL).at.offset, 1);
    say_many(home, "room", 1);
    for (size_t i = 0; i < LOOPS; i++) {
        heard_exactly(home, i, 5);
        ck_assert(text_is(heard(home, i, 3)->fields.msg, "kept"));
    }
    home_reopen(home);
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, 5);
    ck_assert(!call->messages[0]->removed);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(what_is_under_way_when_the_store_fails_gets_a_true_answer_and_leaves_no_gap)
{
    enum { ROUNDS = 20, EACH = 45 };
    struct home *home = home_open(DURABILITY_COMMIT);
    uint64_t kept = 3;
    listen_on_all_loops(home, "room");
    say_many(home, "room", kept);
    for (int r = 0; r < ROUNDS; r++) {
        struct call *calls[EACH];
        char ids[EACH][32], stood[EACH][UUID_LENGTH + 1];
        for (size_t i = 0; i < EACH; i++) { /* each is said twice, by another loop */
            snprintf(ids[i], sizeof ids[i], "bob:%d:%zu", r, i % 2 ? i - 1 : i);
            calls[i] = say_start(home, i % LOOPS, "room", "bob", "hi", ids[i]);
            if (i == EACH / 3)
                disk_full(home);
        }
        call_wait(calls[EACH / 2]);
        disk_mended();
        for (size_t i = 0; i < EACH; i++) {
            struct published result = said(calls[i]);
            ck_assert(result.status == BROKER_OK || result.status == BROKER_UNAVAILABLE);
            strcpy(stood[i], result.status == BROKER_OK ? result.id : "");
        }
        for (size_t i = 0; i < EACH; i += 2) {
            bool both = i + 1 < EACH && *stood[i] && *stood[i + 1];
            if (both)
                ck_assert_str_eq(stood[i], stood[i + 1]);
            kept += *stood[i] || (i + 1 < EACH && *stood[i + 1]);
        }
    }
    say_many(home, "room", 1);
    kept++;
    for (size_t i = 0; i < LOOPS; i++)
        heard_exactly(home, i, kept);
    home_reopen(home);
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, kept);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(who_could_not_be_noted_as_the_first_was_not)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    ck_assert_int_eq(once(home, 0, "before"), BROKER_OK);
    disk_full(home);
    struct call *calls[4 * LOOPS];
    for (size_t i = 0; i < 4 * LOOPS; i++)
        calls[i] = once_start(home, i % LOOPS, "key");
    for (size_t i = 0; i < 4 * LOOPS; i++) {
        call_wait(calls[i]);
        ck_assert_int_eq(calls[i]->status, BROKER_UNAVAILABLE);
        call_free(calls[i]);
    }
    ck_assert_int_eq(once(home, 1, "before"), BROKER_REPEATED);
    disk_mended();
    ck_assert_int_eq(once(home, 1, "key"), BROKER_OK);
    ck_assert_int_eq(once(home, 0, "key"), BROKER_REPEATED);
    say_many(home, "room", 3);
    home_close(home);
}
END_TEST

UNIT_MAIN("embedded", offsets_are_one_two_three_whoever_speaks_on_whatever_loop,
          what_one_loop_says_keeps_its_order_also_while_the_room_is_being_loaded,
          every_loop_sees_the_same_order_while_two_publish_and_one_comes_and_goes,
          a_loop_without_readers_hears_nothing_more, resume_gives_exactly_the_rest,
          resume_from_too_old_or_ahead_or_another_epoch_is_not_recovered,
          resume_goes_on_after_a_restart, memory_begins_a_new_epoch_at_each_start,
          a_repeated_client_id_is_answered_as_the_first,
          a_client_id_repeated_while_the_first_is_under_way_is_answered_as_that,
          a_client_id_is_known_after_a_restart,
          a_ban_is_in_force_everywhere_and_removes_what_was_said,
          a_ban_for_ever_has_no_end_and_your_servers_may_speak_all_the_same,
          who_banned_somebody_stays_on_record_when_banned,
          joining_and_leaving_are_announced_and_counted,
          the_banned_are_told_when_they_join_and_not_counted,
          who_leaves_while_the_room_is_being_loaded_has_left, look_shows_the_history,
          another_configuration_holds_from_then_on, beyond_the_limit_of_rooms_there_is_no_room,
          of_many_who_ask_on_all_loops_at_once_one_is_the_first, once_is_once_after_a_restart_too,
          what_is_forgotten_may_be_asked_again_on_any_loop,
          what_is_forgotten_on_its_way_to_the_store_was_never_first,
          beyond_the_limit_of_keys_none_is_taken_and_those_known_stay_known,
          who_could_not_be_noted_as_the_first_was_not,
          what_cannot_be_stored_is_refused_and_not_announced_and_leaves_no_gap,
          what_is_under_way_when_the_store_fails_gets_a_true_answer_and_leaves_no_gap)
