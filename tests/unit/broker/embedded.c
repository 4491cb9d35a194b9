#include "unit.h"

#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "embedded.h"
#include "embedded_parts.h"
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
    char kicks[256]; /* one line each */
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

static void ear_is_kicked(void *arg, const struct kick *kick)
{
    static const char *const kinds[] = {"name", "sub", "address"};
    struct ear *ear = arg;
    pthread_mutex_lock(&ear->home->lock);
    size_t length = strlen(ear->kicks);
    snprintf(ear->kicks + length, sizeof ear->kicks - length, "%s %s=%.*s in %s\n",
             kick->ban ? "ban" : "kick", kinds[kick->kind], (int)kick->who.length, kick->who.at,
             kick->room ? kick->room->at : "all");
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
        broker->on_kick = ear_is_kicked;
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
    home->conf.limits.bans = 1000;
    home->conf.rooms.presence_events = 100;
    home->conf.rooms.presence_gap_ms = 50;
    home->conf.limits.store_wait_ms = 60000;
    home->conf.limits.store_bytes = 64 << 20;
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
    snprintf(call->ban_reason, sizeof call->ban_reason, "%.*s", (int)result->ban_reason.length,
             result->ban_reason.length ? result->ban_reason.at : "");
    call_done(call);
}

static void publish_make(struct call *call)
{
    const struct publication what = {.message = call->message,
                                     .client_id = call->client_id,
                                     .address = call->address,
                                     .check_ban = call->check_ban};
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

static void joined(void *arg, enum broker_status status, int64_t ttl, struct text reason)
{
    struct call *call = arg;
    call->status = status;
    call->ban_ttl = ttl;
    snprintf(call->ban_reason, sizeof call->ban_reason, "%.*s", (int)reason.length,
             reason.length ? reason.at : "");
    call_done(call);
}

static void join_make(struct call *call)
{
    broker_join(call->broker, call->room, call->member, text_of(call->user),
                &(struct identity){call->sub, call->name, call->address}, joined, call);
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
    broker_look(call->broker, call->room, &call->asked, looked, call);
}

static struct call *look(struct home *home, size_t loop, const char *room, uint64_t skip,
                         uint64_t limit)
{
    struct call *call = call_create(home, loop, room, look_make);
    call->asked = (struct room_asked){skip, limit, HISTORY_WHOLE};
    call_start(call);
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_OK);
    return call;
}

static void moderated(void *arg, enum broker_status status, uint64_t count)
{
    struct call *call = arg;
    call->status = status;
    call->moderated = count;
    call_done(call);
}

/* returns  the status; *count_out, or NULL */
static enum broker_status moderated_by(struct call *call, uint64_t *count_out)
{
    call_start(call);
    call_wait(call);
    enum broker_status status = call->status;
    if (count_out)
        *count_out = call->moderated;
    call_free(call);
    return status;
}

static void ban_make(struct call *call)
{
    broker_ban(call->broker, call->ban, moderated, call);
}

/*   room  NULL: everywhere */
static struct call *ban_call(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                             const char *who, int64_t seconds)
{
    struct call *call = call_create(home, loop, room ? room : "none", ban_make);
    int64_t now_ms = clock_wall_ms();
    call->ban = ban_create(&(struct ban_fields){
        .room = room ? call->room : NULL,
        .kind = kind,
        .who = text_of(who),
        .expires_ms = seconds == BAN_FOR_EVER ? BAN_FOR_EVER : now_ms + seconds * 1000,
        .created_ms = now_ms,
        .reason = text_of("spam"),
    });
    return call;
}

static enum broker_status ban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                              const char *who, int64_t seconds)
{
    return moderated_by(ban_call(home, loop, room, kind, who, seconds), NULL);
}

static void unban_make(struct call *call)
{
    broker_unban(call->broker, call->ban, moderated, call);
}

static uint64_t unban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                      const char *who)
{
    struct call *call = ban_call(home, loop, room, kind, who, 0);
    uint64_t count;
    call->make = unban_make;
    ck_assert_int_eq(moderated_by(call, &count), BROKER_OK);
    return count;
}

static struct address address_of_text(const char *text)
{
    struct address address = {{0}};
    if (text)
        address_parse(text_of(text), &address);
    return address;
}

static void ban_ttl_make(struct call *call)
{
    struct text reason = {0};
    const struct identity who = {call->sub, call->name, call->address};
    call->ban_ttl = broker_ban_ttl(call->broker, call->room, &who, &reason);
    call_done(call);
}

static int64_t ttl_of(struct home *home, size_t loop, const char *room, const char *who,
                      const char *address)
{
    struct call *call = call_create(home, loop, room, ban_ttl_make);
    call->sub = call->name = text_of(who);
    call->address = address_of_text(address);
    call_start(call);
    call_wait(call);
    int64_t ttl = call->ban_ttl;
    call_free(call);
    return ttl;
}

static int64_t banned_for(struct home *home, size_t loop, const char *room, const char *who)
{
    return ttl_of(home, loop, room, who, NULL);
}

static void remove_make(struct call *call)
{
    call->removal.room = call->everywhere ? NULL : call->room;
    broker_remove(call->broker, &call->removal, moderated, call);
}

/*   room  NULL: everywhere */
static uint64_t removes(struct home *home, size_t loop, const char *room, struct removal removal)
{
    struct call *call = call_create(home, loop, room ? room : "none", remove_make);
    call->everywhere = !room;
    uint64_t count;
    call->removal = removal;
    ck_assert_int_eq(moderated_by(call, &count), BROKER_OK);
    return count;
}

static void kick_make(struct call *call)
{
    broker_kick(call->broker, &call->kick, moderated, call);
}

static void listed(void *arg, struct ban *const *bans, size_t count, uint64_t total)
{
    struct call *call = arg;
    call->moderated = total;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(call->list);
        snprintf(call->list + length, sizeof call->list - length, "%.*s in %s\n",
                 (int)bans[i]->who.length, bans[i]->who.at,
                 bans[i]->room ? bans[i]->room->at : "all");
    }
    call_done(call);
}

static void list_make(struct call *call)
{
    broker_list_bans(call->broker, &call->listed, listed, call);
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
        const struct publication what = {.message = message_by(flood->room, "alice", "hi", NULL),
                                         .check_ban = true};
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
        int64_t ttl = banned_for(home, i, "room", "alice");
        ck_assert_int_gt(ttl, 0);
        ck_assert_int_le(ttl, 1000);
        ck_assert_int_eq(banned_for(home, i, "room", "bob"), 0);
        ck_assert_int_eq(banned_for(home, i, "other", "alice"), 0);
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
        ck_assert_int_eq(banned_for(home, 2, "room", "alice"), BAN_FOR_EVER);
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

START_TEST(what_tells_of_a_removal_is_not_removed)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *event = call_create(home, 0, "room", publish_make);
        event->message = message_by(event->room, "judge", NULL, "rmUserMsg");
        ck_assert_int_eq(said(call_start(event)).status, BROKER_OK);
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

/* Its history, oldest first: x for a tombstone, the text, or the event and its data; also by
 * resuming after the first message, which must be possible. */
static void history_is(struct home *home, size_t loop, const char *room, const char *expected)
{
    struct call *call = subscribe(home, loop, room, (struct position){0});
    char is[512] = "";
    for (size_t i = 0; i < call->count; i++) {
        const struct message_fields *fields = &call->messages[i]->fields;
        size_t length = strlen(is);
        ck_assert_uint_eq(call->messages[i]->offset, i + 1);
        if (call->messages[i]->removed)
            snprintf(is + length, sizeof is - length, "x\n");
        else
            snprintf(is + length, sizeof is - length, "%.*s%.*s %.*s\n", (int)fields->msg.length,
                     fields->msg.length ? fields->msg.at : "", (int)fields->ev.length,
                     fields->ev.length ? fields->ev.at : "", (int)fields->data.length,
                     fields->data.length ? fields->data.at : "");
    }
    ck_assert_str_eq(is, expected);
    struct position since = call->at;
    since.offset = 1;
    struct call *resumed = subscribe(home, loop, room, since);
    ck_assert(resumed->recovered);
    ck_assert_uint_eq(resumed->count, call->count - 1);
    for (size_t i = 0; i < resumed->count; i++)
        ck_assert_int_eq(resumed->messages[i]->removed, call->messages[i + 1]->removed);
    call_free(resumed);
    call_free(call);
}

START_TEST(a_ban_everywhere_holds_in_every_room_and_removes_in_those_that_have_something)
{
    enum { ROOMS = 250, QUIET = 20 }; /* more than are looked at in one go */
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        char room[24];
        uint64_t removed;
        for (int i = 0; i < ROOMS; i++) {
            snprintf(room, sizeof room, "room %d", i);
            say(home, i % LOOPS, room, "alice", "bad", NULL);
            say(home, i % LOOPS, room, "bob", "good", NULL);
        }
        for (int i = 0; i < QUIET; i++) {
            snprintf(room, sizeof room, "quiet %d", i);
            say(home, i % LOOPS, room, "bob", "good", NULL);
        }
        if (durability == DURABILITY_COMMIT) { /* none of them is in memory, nor would they fit */
            home->conf.limits.rooms = LOOPS;
            home_reopen(home);
        }
        struct call *call = ban_call(home, 1, NULL, BAN_SUB, "alice", 1000);
        ck_assert_int_eq(moderated_by(call, &removed), BROKER_OK);
        ck_assert_uint_eq(removed, ROOMS);
        for (size_t i = 0; i < LOOPS; i++) {
            ck_assert_int_gt(banned_for(home, i, "room 7", "alice"), 0);
            ck_assert_int_gt(banned_for(home, i, "never heard of", "alice"), 0);
            ck_assert_int_eq(banned_for(home, i, "room 7", "bob"), 0);
        }
        if (durability == DURABILITY_COMMIT) {
            home->conf.limits.rooms = 1000;
            home_reopen(home);
        }
        for (int i = 0; i < ROOMS; i += 10) {
            snprintf(room, sizeof room, "room %d", i);
            history_is(home, 0, room, "x\ngood \nrmUserMsg \"alice\"\n");
        }
        history_is(home, 0, "quiet 3", "good \n");
        ck_assert_int_eq(say(home, 2, "quiet 3", "alice", "hi", NULL).status, BROKER_BANNED);
        home_close(home);
    }
}
END_TEST

START_TEST(what_is_said_while_a_ban_everywhere_comes_does_not_stay)
{
    enum { SAYS = 300 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[SAYS];
        char room[24];
        for (int i = 0; i < SAYS; i++) {
            snprintf(room, sizeof room, "room %d", i % 5);
            calls[i] = say_start(home, i % LOOPS, room, "alice", "bad", NULL);
        }
        ck_assert_int_eq(ban(home, 2, NULL, BAN_NAME, "alice", 1000), BROKER_OK);
        for (int i = 0; i < SAYS; i++)
            said(calls[i]);
        for (int i = 0; i < 5; i++) {
            snprintf(room, sizeof room, "room %d", i);
            struct call *call = look(home, 0, room, 0, 0);
            for (size_t k = 0; k < call->count; k++)
                ck_assert(text_is(call->messages[k]->fields.ev, "rmUserMsg"));
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(who_is_unbanned_speaks_again_and_what_was_removed_stays_removed)
{
    EACH_DURABILITY(durability)
    {
        for (int everywhere = 0; everywhere < 2; everywhere++) {
            struct home *home = home_open(durability);
            const char *where = everywhere ? NULL : "room";
            say(home, 0, "room", "alice", "bad", NULL);
            ck_assert_uint_eq(unban(home, 0, where, BAN_SUB, "alice"), 0);
            ck_assert_int_eq(ban(home, 0, where, BAN_SUB, "alice", 1000), BROKER_OK);
            ck_assert_uint_eq(unban(home, 1, where, BAN_NAME, "alice"), 0); /* another kind */
            ck_assert_uint_eq(unban(home, 1, everywhere ? "room" : NULL, BAN_SUB, "alice"), 0);
            ck_assert_int_eq(say(home, 2, "room", "alice", "bad", NULL).status, BROKER_BANNED);
            ck_assert_uint_eq(unban(home, 1, where, BAN_SUB, "alice"), 1);
            ck_assert_uint_eq(unban(home, 2, where, BAN_SUB, "alice"), 0);
            if (durability == DURABILITY_COMMIT)
                home_reopen(home);
            for (size_t i = 0; i < LOOPS; i++)
                ck_assert_int_eq(banned_for(home, i, "room", "alice"), 0);
            ck_assert_int_eq(say(home, 2, "room", "alice", "back", NULL).status, BROKER_OK);
            history_is(home, 0, "room", "x\nrmUserMsg \"alice\"\nback \n");
            home_close(home);
        }
    }
}
END_TEST

static struct call *say_from(struct home *home, const char *address)
{
    struct call *call = call_create(home, 1, "room", publish_make);
    call->message = message_by(call->room, "alice", "hi", NULL);
    call->address = address_of_text(address);
    call->check_ban = true;
    call_start(call);
    call_wait(call);
    return call;
}

START_TEST(a_ban_by_address_is_of_all_who_come_from_there)
{
    static const struct {
        const char *address;
        bool banned;
    } cases[] = {
        {"192.0.2.7", true},
        {"::ffff:192.0.2.7", true},
        {"192.0.2.8", false},
        {"2001:db8::1", true},
        {"2001:db8::2:3:4:5", true},
        {"2001:db8:0:1::1", false},
        {"2001:DB8:0::99", true},
        {NULL, false},
        {"", false},
        {"nonsense", false},
    };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        char id[37];
        ck_assert_int_eq(ban(home, 0, "room", BAN_ADDRESS, "192.0.2.7", 1000), BROKER_OK);
        ck_assert_int_eq(ban(home, 0, NULL, BAN_ADDRESS, "2001:db8::/64", 2000), BROKER_OK);
        if (durability == DURABILITY_COMMIT)
            home_reopen(home);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct call *call = say_from(home, cases[i].address);
            ck_assert_int_eq(call->published.status, cases[i].banned ? BROKER_BANNED : BROKER_OK);
            ck_assert_str_eq(call->ban_reason, cases[i].banned ? "spam" : "");
            call_free(call);
            ck_assert_int_eq(ttl_of(home, 0, "room", "bob", cases[i].address) > 0, cases[i].banned);
            snprintf(id, sizeof id, "00000000-0000-4000-8000-%012zu", i);
            call = call_create(home, 2, "room", join_make);
            call->member = id;
            call->user = "{}";
            call->address = address_of_text(cases[i].address);
            call_start(call);
            call_wait(call);
            ck_assert_int_eq(call->ban_ttl > 0, cases[i].banned);
            ck_assert_str_eq(call->ban_reason, cases[i].banned ? "spam" : "");
            call_free(call);
        }
        ck_assert_int_gt(ttl_of(home, 0, "other", "bob", "2001:db8::1"), 1000);
        ck_assert_int_eq(ttl_of(home, 0, "other", "bob", "192.0.2.7"), 0);
        struct call *call = look(home, 0, "room", 0, 0);
        ck_assert_uint_eq(call->count, 5); /* messages; no event tells of an address */
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(of_several_bans_the_longest_counts)
{
    struct home *home = home_open(DURABILITY_MEMORY);
    ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "alice", 1000), BROKER_OK);
    ck_assert_int_eq(ban(home, 0, "room", BAN_NAME, "alice", 3000), BROKER_OK);
    ck_assert_int_eq(ban(home, 0, NULL, BAN_SUB, "alice", 2000), BROKER_OK);
    ck_assert_int_gt(banned_for(home, 1, "room", "alice"), 2000);
    ck_assert_uint_eq(unban(home, 1, "room", BAN_NAME, "alice"), 1);
    ck_assert_int_gt(banned_for(home, 1, "room", "alice"), 1000);
    ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "alice", BAN_FOR_EVER), BROKER_OK);
    ck_assert_int_eq(banned_for(home, 1, "room", "alice"), BAN_FOR_EVER);
    ck_assert_int_gt(banned_for(home, 1, "other", "alice"), 1000);
    home_close(home);
}
END_TEST

START_TEST(there_are_no_more_bans_than_the_limit_says)
{
    enum { LIMIT = 5, AT_ONCE = 20 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        struct call *calls[AT_ONCE];
        char who[AT_ONCE][16];
        int ok = 0;
        home->conf.limits.bans = LIMIT;
        home_run(home);
        for (size_t i = 0; i < AT_ONCE; i++) {
            snprintf(who[i], sizeof who[i], "user %zu", i);
            calls[i] =
                call_start(ban_call(home, i % LOOPS, i % 2 ? NULL : "room", BAN_SUB, who[i], 1000));
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            call_wait(calls[i]);
            ck_assert(calls[i]->status == BROKER_OK || calls[i]->status == BROKER_FULL_BANS);
            ok += calls[i]->status == BROKER_OK;
            call_free(calls[i]);
        }
        ck_assert_int_eq(ok, LIMIT);
        for (size_t i = 0; i < AT_ONCE; i++)
            unban(home, 0, i % 2 ? NULL : "room", BAN_SUB, who[i]);
        ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "short", 0), BROKER_OK); /* has ended */
        for (size_t i = 0; i < LIMIT; i++)
            ck_assert_int_eq(ban(home, i % LOOPS, "room", BAN_SUB, who[i], 1000), BROKER_OK);
        ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "one more", 1000), BROKER_FULL_BANS);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, who[2], 9999), BROKER_OK); /* the same */
        ck_assert_int_gt(banned_for(home, 2, "room", who[2]), 1000);
        home_close(home);
    }
}
END_TEST

static void list_is(struct home *home, size_t loop, const char *room, bool everywhere,
                    uint64_t skip, uint64_t limit, uint64_t total, const char *expected)
{
    struct call *call = call_create(home, loop, room ? room : "none", list_make);
    call->listed = (struct bans_asked){room ? call->room : NULL, everywhere, skip, limit};
    call_start(call);
    call_wait(call);
    ck_assert_str_eq(call->list, expected);
    ck_assert_uint_eq(call->moderated, total);
    call_free(call);
}

START_TEST(bans_are_listed_oldest_first_on_every_loop)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        ban(home, 0, "a", BAN_SUB, "one", 1000);
        ban(home, 1, "b", BAN_NAME, "two", 1000);
        ban(home, 2, NULL, BAN_SUB, "three", BAN_FOR_EVER);
        ban(home, 2, "a", BAN_ADDRESS, "192.0.2.7", 1000);
        ban(home, 2, "a", BAN_SUB, "over", 0);
        if (durability == DURABILITY_COMMIT)
            home_reopen(home);
        for (size_t i = 0; i < LOOPS; i++) {
            list_is(home, i, NULL, false, 0, 50, 4,
                    "one in a\ntwo in b\nthree in all\n192.0.2.7 in a\n");
            list_is(home, i, NULL, false, 1, 2, 4, "two in b\nthree in all\n");
            list_is(home, i, NULL, false, 9, 2, 4, "");
            list_is(home, i, NULL, false, 0, 0, 4, "");
            list_is(home, i, "a", false, 0, 50, 2, "one in a\n192.0.2.7 in a\n");
            list_is(home, i, "a", false, 1, UINT64_MAX, 2, "192.0.2.7 in a\n");
            list_is(home, i, NULL, true, 0, 50, 1, "three in all\n");
            list_is(home, i, "c", false, 0, 50, 0, "");
        }
        home_close(home);
    }
}
END_TEST

START_TEST(every_loop_is_told_of_a_kick_and_of_a_ban)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        for (int everywhere = 0; everywhere < 2; everywhere++) {
            struct call *call = call_create(home, 1, "room", kick_make);
            call->kick = (struct kick){
                .room = everywhere ? NULL : call->room, .kind = BAN_SUB, .who = text_of("alice")};
            ck_assert_int_eq(moderated_by(call, NULL), BROKER_OK);
        }
        ban(home, 2, "room", BAN_NAME, "bob", 1000);
        ban(home, 2, NULL, BAN_ADDRESS, "::/64", 1000);
        unban(home, 2, NULL, BAN_ADDRESS, "::/64");
        for (size_t i = 0; i < LOOPS; i++)
            ck_assert_str_eq(home->ears[i].kicks,
                             "kick sub=alice in room\nkick sub=alice in all\n"
                             "ban name=bob in room\nban address=::/64 in all\n");
        home_close(home);
    }
}
END_TEST

/* ---- removal ---- */

START_TEST(a_removed_message_is_gone_for_who_comes_and_who_resumes)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        char told[256];
        listen_on_all_loops(home, "room");
        struct published one = say(home, 0, "room", "alice", "one", "alice:1");
        struct published two = say(home, 1, "room", "alice", "two", NULL);
        say(home, 1, "room", "bob", "three", NULL);
        ck_assert_uint_eq(removes(home, 2, "room", (struct removal){.id = text_of(one.id)}), 1);
        ck_assert_uint_eq(removes(home, 2, "room", (struct removal){.offset = 2}), 1);
        ck_assert_uint_eq(removes(home, 2, "room", (struct removal){.offset = 2}), 0);
        ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.id = text_of(one.id)}), 0);
        ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.offset = 4}), 0); /* rmMsg */
        ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.offset = 99}), 0);
        snprintf(told, sizeof told,
                 "x\nx\nthree \nrmMsg {\"i\":\"%s\",\"o\":1}\nrmMsg {\"i\":\"%s\",\"o\":2}\n",
                 one.id, two.id);
        history_is(home, 0, "room", told);
        for (size_t i = 0; i < LOOPS; i++)
            heard_exactly(home, i, 5);
        if (durability == DURABILITY_COMMIT) {
            home_reopen(home);
            history_is(home, 1, "room", told);
        }
        struct published again = say(home, 2, "room", "alice", "one", "alice:1");
        ck_assert_int_eq(again.status, BROKER_OK);
        ck_assert_uint_eq(again.at.offset, 1);
        ck_assert_str_eq(again.id, one.id);
        history_is(home, 1, "room", told);
        home_close(home);
    }
}
END_TEST

START_TEST(what_a_person_said_is_removed_but_they_may_go_on)
{
    EACH_DURABILITY(durability)
    {
        for (enum ban_kind kind = BAN_NAME; kind <= BAN_SUB; kind++) {
            struct home *home = home_open(durability);
            const struct removal alice = {.kind = kind, .who = text_of("alice")};
            say(home, 0, "room", "alice", "one", NULL);
            say(home, 1, "room", "bob", "two", NULL);
            say(home, 1, "room", "alice", "three", NULL);
            say(home, 2, "other", "alice", "four", NULL);
            ck_assert_uint_eq(removes(home, 2, "room", alice), 2);
            say(home, 0, "room", "alice", "five", NULL);
            history_is(home, 1, "room", "x\ntwo \nx\nrmUserMsg \"alice\"\nfive \n");
            history_is(home, 1, "other", "four \n");
            ck_assert_uint_eq(removes(home, 2, NULL, alice), 2);
            if (durability == DURABILITY_COMMIT)
                home_reopen(home);
            history_is(home, 1, "room",
                       "x\ntwo \nx\nrmUserMsg \"alice\"\nx\nrmUserMsg \"alice\"\n");
            history_is(home, 1, "other", "x\nrmUserMsg \"alice\"\n");
            ck_assert_uint_eq(removes(home, 2, NULL, alice), 0);
            history_is(home, 1, "other", "x\nrmUserMsg \"alice\"\n");
            home_close(home);
        }
    }
}
END_TEST

START_TEST(what_the_history_has_no_more_is_told_as_far_as_it_is_known)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.history.size = 3;
    home_run(home);
    listen_on_all_loops(home, "room");
    struct published one = say(home, 0, "room", "alice", "one", NULL);
    say_many(home, "room", 4);
    ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.id = text_of(one.id)}), 0);
    ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.offset = 2}), 0);
    char told[64];
    snprintf(told, sizeof told, "{\"i\":\"%s\"}", one.id);
    ck_assert(text_is(heard(home, 1, 5)->fields.data, told));
    ck_assert(text_is(heard(home, 1, 6)->fields.data, "{\"o\":2}"));
    home_close(home);
}
END_TEST

START_TEST(what_cannot_be_removed_from_the_disk_stays)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    say(home, 0, "room", "alice", "one", NULL);
    disk_full(home);
    struct call *call = call_create(home, 1, "room", remove_make);
    call->removal = (struct removal){.offset = 1};
    ck_assert_int_eq(moderated_by(call, NULL), BROKER_UNAVAILABLE);
    ck_assert_int_eq(ban(home, 1, NULL, BAN_SUB, "alice", 1000), BROKER_UNAVAILABLE);
    disk_mended();
    history_is(home, 0, "room", "one \n");
    ck_assert_int_eq(say(home, 0, "room", "alice", "two", NULL).status, BROKER_OK);
    ck_assert_uint_eq(removes(home, 1, "room", (struct removal){.offset = 1}), 1);
    home_close(home);
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

static void member_id(char id[37], unsigned i)
{
    snprintf(id, 37, "00000000-0000-4000-8000-%012u", i % 1000000);
}

static void join_many(struct home *home, const char *room, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char id[37], who[24];
        member_id(id, (unsigned)i);
        snprintf(who, sizeof who, "user %d", i / 2); /* each comes twice */
        join(home, (size_t)i % LOOPS, room, id, who, "{}");
    }
}

static void leave_many(struct home *home, const char *room, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char id[37];
        member_id(id, (unsigned)i);
        leave(home, (size_t)i % LOOPS, room, id);
    }
}

/* What a loop has heard by now, since that many: "join", "leave", or the data of the rest. */
static void heard_is(struct home *home, size_t from, const char *expected)
{
    char is[512] = "";
    struct call *call = look(home, 0, "room", 0, 0); /* it is behind all that was announced */
    call_free(call);
    struct ear *ear = &home->ears[0];
    pthread_mutex_lock(&home->lock);
    for (size_t i = from; i < ear->count; i++) {
        const struct message_fields *fields = &ear->heard[i]->fields;
        bool is_number = text_is(fields->ev, "presence");
        struct text what = is_number ? fields->data : fields->ev;
        size_t length = strlen(is);
        ck_assert_uint_eq(ear->heard[i]->offset, 0);
        snprintf(is + length, sizeof is - length, "%.*s\n", (int)what.length, what.at);
    }
    pthread_mutex_unlock(&home->lock);
    ck_assert_str_eq(is, expected);
}

START_TEST(a_crowded_room_tells_its_number_and_not_who_comes_and_goes)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        home->conf.rooms.presence_events = 8;
        home->conf.rooms.presence_gap_ms = 3600000; /* never over, here */
        home_run(home);
        call_free(subscribe(home, 0, "room", (struct position){0}));
        readers(home, 0, "room", 1);
        join_many(home, "room", 0, 7);
        heard_is(home, 0, "join\njoin\njoin\njoin\njoin\njoin\njoin\njoin\n");
        join_many(home, "room", 8, 199); /* 192 more: one event for now */
        heard_is(home, 8, "{\"pubCount\":9,\"users\":5}\n");
        leave_many(home, "room", 7, 199);
        heard_is(home, 9, "");          /* 7 are left: still crowded, it must not flap */
        leave_many(home, "room", 6, 6); /* 6: not any more */
        join_many(home, "room", 6, 7);
        heard_is(home, 9, "join\njoin\n");
        leave_many(home, "room", 5, 7);
        heard_is(home, 11, "leave\nleave\nleave\n");
        struct call *call = look(home, 1, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 5);
        ck_assert_uint_eq(call->users, 3);
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(a_crowded_room_tells_the_last_number_once_the_gap_is_over)
{
    enum { MANY = 500 };
    struct home *home = home_create(DURABILITY_MEMORY);
    home->conf.rooms.presence_events = 2;
    home->conf.rooms.presence_gap_ms = 20;
    home_run(home);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    readers(home, 0, "room", 1);
    join_many(home, "room", 0, MANY - 1);
    for (size_t i = 2;; i++) { /* waits for each */
        const struct message_fields *fields = &heard(home, 0, i)->fields;
        ck_assert(text_is(fields->ev, "presence"));
        ck_assert_uint_lt(i, MANY); /* far fewer, if the machine does not sleep for seconds */
        if (text_is(fields->data, "{\"pubCount\":500,\"users\":250}"))
            break;
    }
    home_close(home);
}
END_TEST

START_TEST(a_room_whose_presence_is_nobodys_business_tells_nothing)
{
    struct home *home = home_create(DURABILITY_MEMORY);
    home->conf.rooms.presence_events = 0;
    home_run(home);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    readers(home, 0, "room", 1);
    join_many(home, "room", 0, 20);
    leave_many(home, "room", 3, 20);
    heard_is(home, 0, "");
    struct call *call = look(home, 1, "room", 0, FAR);
    ck_assert_uint_eq(call->publishers, 3);
    ck_assert_uint_eq(call->users, 2);
    call_free(call);
    home_close(home);
}
END_TEST

static void later_make(struct call *call)
{
    struct embedded *owner = embedded_of(call->broker);
    embedded_sweep(owner, clock_mono_ms() + 3600000, clock_wall_ms() + 2 * 3600000);
    call->count = 0;
    call->moderated = owner->rooms.count + owner->bans.table.count + !list_empty(&owner->cooling);
    call_done(call);
}

START_TEST(rooms_users_and_bans_that_are_gone_cost_nothing)
{
    enum { ROOMS = 200 };
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.rooms.presence_events = 2;
    home_run(home);
    for (int i = 0; i < ROOMS; i++) {
        char room[24], id[37];
        snprintf(room, sizeof room, "room %d", i);
        join_many(home, room, 0, 5);
        say(home, 1, room, "alice", "hi", NULL);
        call_free(subscribe(home, i % LOOPS, room, (struct position){0}));
        readers(home, i % LOOPS, room, 2);
        readers(home, i % LOOPS, room, 0);
        member_id(id, 0);
        ban(home, 0, room, BAN_SUB, "alice", 1000);
        leave_many(home, room, 0, 5);
    }
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = call_create(home, i, "none", later_make);
        uint64_t left;
        moderated_by(call, &left);
        ck_assert_uint_eq(left, 0);
    }
    struct call *call = look(home, 0, "room 7", 0, 0); /* and the store knows them all the same */
    ck_assert_uint_eq(call->at.offset, 2);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(a_page_of_the_history_has_no_tombstones)
{
    static const struct {
        struct history_part part;
        uint64_t offsets[8];
    } cases[] = {
        {{.before = UINT64_MAX, .max = UINT64_MAX}, {1, 2, 4, 6, 7, 8}},
        {{.before = UINT64_MAX, .max = 3}, {6, 7, 8}},
        {{.before = 6, .max = 2}, {2, 4}},
        {{.before = 2, .max = 2}, {1}},
        {{.before = 1, .max = 2}, {0}},
        {{.before = 0, .max = 2}, {0}},
        {{.before = UINT64_MAX, .max = 2, .oldest = true}, {1, 2}},
        {{.after = 2, .before = UINT64_MAX, .max = 2, .oldest = true}, {4, 6}},
        {{.after = 7, .before = UINT64_MAX, .max = 2, .oldest = true}, {8}},
        {{.after = 8, .before = UINT64_MAX, .max = 2, .oldest = true}, {0}},
        {{.after = 99, .before = UINT64_MAX, .max = 2, .oldest = true}, {0}},
        {{.before = UINT64_MAX}, {0}},
    };
    struct home *home = home_open(DURABILITY_MEMORY);
    say_many(home, "room", 6);
    removes(home, 0, "room", (struct removal){.offset = 3}); /* rmMsg is 7 */
    removes(home, 0, "room", (struct removal){.offset = 5}); /* rmMsg is 8 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct call *call = call_create(home, 1, "room", look_make);
        call->asked.history = cases[i].part;
        call_start(call);
        call_wait(call);
        size_t count = 0;
        for (; cases[i].offsets[count]; count++) {
            ck_assert_uint_lt(count, call->count);
            ck_assert_uint_eq(call->messages[count]->offset, cases[i].offsets[count]);
        }
        ck_assert_uint_eq(call->count, count);
        call_free(call);
    }
    home_close(home);
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
        ck_assert_int_eq(ban(home, 0, "one more", BAN_SUB, "alice", 1000), BROKER_OK);
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

/* next_conf, on every loop. */
static void use(struct home *home)
{
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = call_start(call_create(home, i, "room", use_make));
        call_wait(call);
        call_free(call);
    }
}

START_TEST(fewer_bytes_hold_from_then_on_in_memory_and_on_disk)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 20);
        next_conf = home->conf;
        next_conf.history.bytes = 700;
        use(home);
        say_many(home, "room", 2); /* with the second the disk is told what the first one cost */
        for (int again = 0; again < 2; again++) {
            struct call *call = subscribe(home, 1, "room", (struct position){0});
            ck_assert_uint_ge(call->count, 1);
            ck_assert_uint_le(call->count, 8);
            messages_are(call, 23 - call->count, 22);
            call_free(call);
            if (durability == DURABILITY_COMMIT)
                home_reopen(home); /* with as many bytes as before: but they are gone */
            else
                break;
        }
        home_close(home);
    }
}
END_TEST

START_TEST(another_configuration_holds_from_then_on)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 9);
        next_conf = home->conf;
        next_conf.history.size = 3;
        next_conf.limits.rooms = 2 * LOOPS;
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

/* ---- size, age, and what is forgotten ---- */

static void sweep_make(struct call *call)
{
    embedded_sweep(embedded_of(call->broker), clock_mono_ms() + (int64_t)call->asked.skip,
                   clock_wall_ms() + (int64_t)call->asked.limit);
    call_done(call);
}

/* As if it were so much later. */
static void sweep_all(struct home *home, int64_t mono_ms, int64_t wall_ms)
{
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = call_create(home, i, "any", sweep_make);
        call->asked.skip = (uint64_t)mono_ms;
        call->asked.limit = (uint64_t)wall_ms;
        call_start(call);
        call_wait(call);
        call_free(call);
    }
}

START_TEST(without_a_store_a_forgotten_room_leaves_a_floor_for_the_next)
{
    struct home *home = home_open(DURABILITY_MEMORY);
    say_many(home, "room", 5);
    sweep_all(home, 0, 0);     /* in use a moment ago */
    sweep_all(home, 40000, 0); /* it is the only copy of its messages */
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, 5);
    struct position at = call->at;
    call_free(call);
    readers(home, 0, "room", 0);
    sweep_all(home, 40000, 2 * home->conf.history.expire_ms);
    ck_assert_uint_eq(say(home, 1, "room", "bob", "hi", NULL).at.offset, 6);
    call = subscribe(home, 0, "room", at); /* whom it remembers is told the truth */
    ck_assert(call->recovered);
    messages_are(call, 6, 6);
    call_free(call);
    at.offset = 3;
    call = subscribe(home, 0, "room", at);
    ck_assert(!call->recovered);
    messages_are(call, 6, 6);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(a_room_in_use_forgets_what_is_too_old)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        say_many(home, "room", 5);
        sweep_all(home, 0, home->conf.history.expire_ms + 1000);
        struct call *call = look(home, 0, "room", 0, 0);
        ck_assert_uint_eq(call->count, 0);
        ck_assert_uint_eq(call->at.offset, 5);
        call_free(call);
        ck_assert_uint_eq(say(home, 1, "room", "bob", "hi", NULL).at.offset, 6);
        home_close(home);
    }
}
END_TEST

START_TEST(a_history_stays_within_its_bytes_in_memory_and_on_disk)
{
    EACH_DURABILITY(durability)
    {
        char text[1001];
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        struct home *home = home_create(durability);
        home->conf.history.bytes = 5000; /* four of them */
        home_run(home);
        for (size_t i = 0; i < 20; i++)
            ck_assert_int_eq(say(home, i % LOOPS, "room", "alice", text, NULL).status, BROKER_OK);
        struct call *call = subscribe(home, 0, "room", (struct position){0});
        messages_are(call, 17, 20);
        struct position at = call->at;
        call_free(call);
        for (int again = 0; again < 2; again++) {
            at.offset = 16;
            call = subscribe(home, 1, "room", at);
            ck_assert(call->recovered);
            messages_are(call, 17, 20);
            call_free(call);
            at.offset = 15; /* 16 is gone */
            call = subscribe(home, 1, "room", at);
            ck_assert(!call->recovered);
            messages_are(call, 17, 20);
            call_free(call);
            if (durability == DURABILITY_MEMORY)
                break;
            home_reopen(home);
        }
        if (durability == DURABILITY_COMMIT) { /* it was not only not loaded */
            home->conf.history.bytes = 0;
            home_reopen(home);
            call = subscribe(home, 0, "room", (struct position){0});
            ck_assert_uint_le(call->count, 6);
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

/* ---- health and backup ---- */

static void probed(void *arg, enum broker_status status, const char *why)
{
    struct call *call = arg;
    call->status = status;
    snprintf(call->clients, sizeof call->clients, "%s", why);
    call_done(call);
}

static void probe_make(struct call *call)
{
    broker_probe(call->broker, probed, call);
}

static struct call *probe_start(struct home *home, size_t loop)
{
    return call_start(call_create(home, loop, "any", probe_make));
}

START_TEST(a_probe_goes_well_however_many_ask)
{
    enum { ASKS = 100 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[ASKS];
        for (size_t i = 0; i < ASKS; i++)
            calls[i] = probe_start(home, i % LOOPS);
        for (size_t i = 0; i < ASKS; i++) {
            call_wait(calls[i]);
            ck_assert_int_eq(calls[i]->status, BROKER_OK);
            ck_assert_str_eq(calls[i]->clients, "");
            call_free(calls[i]);
        }
        home_close(home);
    }
}
END_TEST

static void loop_stands_still(struct call *call)
{
    wait_until(call->home, &call->check_ban, NULL, 0);
    call_done(call);
}

START_TEST(a_probe_names_the_loop_that_does_not_answer)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct call *still = call_start(call_create(home, 2, "any", loop_stands_still));
    struct call *call = probe_start(home, 0);
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_UNAVAILABLE);
    ck_assert_str_eq(call->clients, "loop-2: no answer");
    call_free(call);
    pthread_mutex_lock(&home->lock);
    still->check_ban = true;
    pthread_cond_broadcast(&home->news);
    pthread_mutex_unlock(&home->lock);
    call_wait(still);
    call_free(still);
    for (bool ok = false; !ok;) { /* the one that was late comes home; the next goes well */
        call = probe_start(home, 0);
        call_wait(call);
        ok = call->status == BROKER_OK;
        call_free(call);
    }
    home_close(home);
}
END_TEST

struct backed_up {
    struct home *home;
    bool done, ok;
    char why[512];
};

static void backed_up(void *arg, const struct error *err)
{
    struct backed_up *backup = arg;
    pthread_mutex_lock(&backup->home->lock);
    backup->ok = !err;
    snprintf(backup->why, sizeof backup->why, "%s", err ? err->text : "");
    backup->done = true;
    pthread_cond_broadcast(&backup->home->news);
    pthread_mutex_unlock(&backup->home->lock);
}

START_TEST(a_backup_is_made_while_publishing_goes_on_and_can_be_started_from)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct backed_up first = {.home = home}, second = {.home = home}, third = {.home = home};
    char path[128], database[128];
    snprintf(path, sizeof path, "%s/backup", home->dir);
    snprintf(database, sizeof database, "%s/chatup.db", home->dir);
    say_many(home, "room", 500);
    embedded_backup(home->embedded, path, backed_up, &first);
    embedded_backup(home->embedded, path, backed_up, &second);
    say_many(home, "room", 50);
    wait_until(home, &first.done, NULL, 0);
    wait_until(home, &second.done, NULL, 0);
    ck_assert_msg(first.ok, "%s", first.why);
    ck_assert(!second.ok); /* another one is being made, or is there already */
    embedded_backup(home->embedded, path, backed_up, &third);
    wait_until(home, &third.done, NULL, 0);
    ck_assert_ptr_nonnull(strstr(third.why, "is there already"));
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    struct position at = call->at;
    call_free(call);
    home_end(home);
    ck_assert_int_eq(rename(path, database), 0);
    home_run(home);
    call = subscribe(home, 0, "room", at);
    ck_assert(!call->recovered); /* another epoch */
    ck_assert_str_ne(call->at.epoch, at.epoch);
    ck_assert_uint_ge(call->count, 500);
    messages_are(call, 1, call->count);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(a_backup_that_is_not_done_at_the_end_leaves_nothing)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct backed_up backup = {.home = home};
    char path[128];
    snprintf(path, sizeof path, "%s/backup", home->dir);
    say_many(home, "room", 1);
    embedded_backup(home->embedded, path, backed_up, &backup);
    home_end(home); /* with what it has set in motion, or before it */
    ck_assert(backup.done);
    ck_assert_int_eq(access(path, F_OK) == 0, backup.ok);
    unlink(path);
    home_run(home);
    home_close(home);
}
END_TEST

/* ---- a store that fails ---- */

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
        ck_assert_int_eq(banned_for(home, i, "room", "alice"), 0);
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

/* ---- a store that says nothing ---- */

struct standstill {
    struct letter letter;
    struct home *home;
    bool there, go_on;
};

static void store_stands_still(struct letter *letter)
{
    struct standstill *still = (struct standstill *)letter;
    struct home *home = still->home;
    store_turn_begin(home->embedded);
    pthread_mutex_lock(&home->lock);
    still->there = true;
    pthread_cond_broadcast(&home->news);
    pthread_mutex_unlock(&home->lock);
    wait_until(home, &still->go_on, NULL, 0);
}

static void store_goes_on(struct standstill *still)
{
    pthread_mutex_lock(&still->home->lock);
    still->go_on = true;
    pthread_cond_broadcast(&still->home->news);
    pthread_mutex_unlock(&still->home->lock);
}

/* One of each kind, the last two everywhere, all at once. */
static void moderate_expect(struct home *home, const enum broker_status expected[6])
{
    static const struct removal removals[] = {{.offset = 1},
                                              {.kind = BAN_SUB, .who = {"bob", 3}},
                                              {.kind = BAN_SUB, .who = {"alice", 5}},
                                              {.kind = BAN_SUB, .who = {"bob", 3}}};
    struct call *calls[6];
    calls[0] = ban_call(home, 1, "room", BAN_SUB, "alice", 1000);
    calls[1] = ban_call(home, 2, "room", BAN_SUB, "carol", 0);
    calls[1]->make = unban_make;
    for (size_t i = 2; i < 6; i++) {
        calls[i] = call_create(home, 0, i == 2 ? "other" : "room", remove_make);
        calls[i]->everywhere = i > 3;
        calls[i]->removal = removals[i - 2];
    }
    for (size_t i = 0; i < 6; i++)
        call_start(calls[i]);
    for (size_t i = 0; i < 6; i++) {
        call_wait(calls[i]);
        ck_assert_msg(calls[i]->status == expected[i], "%zu: %s, not %s", i,
                      broker_status_text(calls[i]->status), broker_status_text(expected[i]));
        call_free(calls[i]);
    }
}

START_TEST(moderation_does_not_wait_for_a_store_that_says_nothing)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.store_wait_ms = 1000;
    home_run(home);
    say(home, 0, "other", "alice", "one", NULL);
    say(home, 0, "room", "alice", "two", NULL);
    say(home, 0, "room", "bob", "three", NULL);
    struct standstill still = {.letter.deliver = store_stands_still, .home = home};
    loop_post(home->embedded->store_loop, &still.letter);
    wait_until(home, &still.there, NULL, 0);
    moderate_expect(home, (enum broker_status[]){BROKER_UNKNOWN, BROKER_UNKNOWN, BROKER_UNKNOWN,
                                                 BROKER_UNKNOWN, BROKER_UNKNOWN,
                                                 BROKER_UNAVAILABLE}); /* it has not begun */
    moderate_expect(home, (enum broker_status[]){BROKER_UNAVAILABLE, BROKER_UNAVAILABLE,
                                                 BROKER_UNAVAILABLE, BROKER_UNAVAILABLE,
                                                 BROKER_UNAVAILABLE, BROKER_UNAVAILABLE});
    store_goes_on(&still);
    while (say(home, 0, "other", "carol", "again", NULL).status != BROKER_OK)
        ; /* until it answers */
    moderate_expect(home, (enum broker_status[6]){BROKER_OK});
    for (size_t i = 0; i < LOOPS; i++)
        ck_assert_int_gt(banned_for(home, i, "room", "alice"), 0);
    home_reopen(home);
    ck_assert_int_gt(banned_for(home, 0, "room", "alice"), 0);
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    ck_assert_uint_ge(call->count, 2);
    for (size_t i = 0; i < call->count; i++)
        ck_assert(!call->messages[i]->fields.msg.length);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(who_gave_up_gives_back_what_it_was_the_first_with_and_nothing_else)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.store_wait_ms = 1000;
    home_run(home);
    ck_assert_int_eq(once(home, 0, "before"), BROKER_OK);
    struct standstill still = {.letter.deliver = store_stands_still, .home = home};
    loop_post(home->embedded->store_loop, &still.letter);
    wait_until(home, &still.there, NULL, 0);
    struct call *calls[2 * LOOPS];
    for (size_t i = 0; i < 2 * LOOPS; i++)
        calls[i] = once_start(home, i % LOOPS, "key");
    for (size_t i = 0; i < 2 * LOOPS; i++) {
        call_wait(calls[i]);
        ck_assert_int_eq(calls[i]->status, BROKER_UNKNOWN);
        call_free(calls[i]);
    }
    store_goes_on(&still);
    while (once(home, 1, "key") != BROKER_OK)
        ; /* until it is back */
    ck_assert_int_eq(once(home, 0, "key"), BROKER_REPEATED);
    ck_assert_int_eq(once(home, 1, "before"), BROKER_REPEATED);
    home_reopen(home);
    ck_assert_int_eq(once(home, 0, "key"), BROKER_REPEATED);
    home_close(home);
}
END_TEST

UNIT_MAIN(
    "embedded", offsets_are_one_two_three_whoever_speaks_on_whatever_loop,
    what_one_loop_says_keeps_its_order_also_while_the_room_is_being_loaded,
    every_loop_sees_the_same_order_while_two_publish_and_one_comes_and_goes,
    a_loop_without_readers_hears_nothing_more, resume_gives_exactly_the_rest,
    resume_from_too_old_or_ahead_or_another_epoch_is_not_recovered, resume_goes_on_after_a_restart,
    memory_begins_a_new_epoch_at_each_start, a_repeated_client_id_is_answered_as_the_first,
    a_client_id_repeated_while_the_first_is_under_way_is_answered_as_that,
    a_client_id_is_known_after_a_restart, a_ban_is_in_force_everywhere_and_removes_what_was_said,
    a_ban_for_ever_has_no_end_and_your_servers_may_speak_all_the_same,
    what_tells_of_a_removal_is_not_removed,
    a_ban_everywhere_holds_in_every_room_and_removes_in_those_that_have_something,
    what_is_said_while_a_ban_everywhere_comes_does_not_stay,
    who_is_unbanned_speaks_again_and_what_was_removed_stays_removed,
    a_ban_by_address_is_of_all_who_come_from_there, of_several_bans_the_longest_counts,
    there_are_no_more_bans_than_the_limit_says, bans_are_listed_oldest_first_on_every_loop,
    every_loop_is_told_of_a_kick_and_of_a_ban,
    a_removed_message_is_gone_for_who_comes_and_who_resumes,
    what_a_person_said_is_removed_but_they_may_go_on,
    what_the_history_has_no_more_is_told_as_far_as_it_is_known,
    what_cannot_be_removed_from_the_disk_stays, joining_and_leaving_are_announced_and_counted,
    a_crowded_room_tells_its_number_and_not_who_comes_and_goes,
    a_crowded_room_tells_the_last_number_once_the_gap_is_over,
    a_room_whose_presence_is_nobodys_business_tells_nothing,
    rooms_users_and_bans_that_are_gone_cost_nothing, a_page_of_the_history_has_no_tombstones,
    the_banned_are_told_when_they_join_and_not_counted,
    who_leaves_while_the_room_is_being_loaded_has_left, look_shows_the_history,
    beyond_the_limit_of_rooms_there_is_no_room,
    of_many_who_ask_on_all_loops_at_once_one_is_the_first, once_is_once_after_a_restart_too,
    what_is_forgotten_may_be_asked_again_on_any_loop,
    what_is_forgotten_on_its_way_to_the_store_was_never_first,
    beyond_the_limit_of_keys_none_is_taken_and_those_known_stay_known,
    fewer_bytes_hold_from_then_on_in_memory_and_on_disk, another_configuration_holds_from_then_on,
    without_a_store_a_forgotten_room_leaves_a_floor_for_the_next,
    a_room_in_use_forgets_what_is_too_old, a_history_stays_within_its_bytes_in_memory_and_on_disk,
    a_probe_goes_well_however_many_ask, a_probe_names_the_loop_that_does_not_answer,
    a_backup_is_made_while_publishing_goes_on_and_can_be_started_from,
    a_backup_that_is_not_done_at_the_end_leaves_nothing,
    what_cannot_be_stored_is_refused_and_not_announced_and_leaves_no_gap,
    what_is_under_way_when_the_store_fails_gets_a_true_answer_and_leaves_no_gap,
    who_could_not_be_noted_as_the_first_was_not,
    moderation_does_not_wait_for_a_store_that_says_nothing,
    who_gave_up_gives_back_what_it_was_the_first_with_and_nothing_else)
