#include "home.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void wait_until(struct home *home, const bool *flag, const size_t *number, size_t wanted)
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

void ear_hears(void *arg, struct message *message)
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

struct broker *home_broker(struct home *home, size_t loop)
{
    return home->redis ? redis_broker(home->redis, loop) : embedded_broker(home->embedded, loop);
}

static void home_make(struct home *home)
{
    struct uuid_source source = {.left = 0};
    struct error err;
    char node[UUID_LENGTH + 1];
    if (!on_redis()) {
        home->embedded = embedded_open(&home->conf, home->loops, LOOPS, &err);
        ck_assert_msg(home->embedded != NULL, "%s", err.text);
        return;
    }
    if (!home->conf.redis.socket) { /* a test may have named another home's */
        redis_process_create(&home->server, false);
        redis_process_start(&home->server, NULL);
        home->conf.redis.socket = home->server.socket;
    }
    uuid_next(&source, node);
    home->redis = redis_open(&home->conf, node, REDIS_SERVER, "", home->loops, LOOPS, &err);
    ck_assert_msg(home->redis != NULL, "%s", err.text);
}

static void probed(void *arg, enum broker_status status, const char *why)
{
    struct call *call = arg;
    call->status = status;
    call_done(call);
}

static void probe_make(struct call *call)
{
    broker_probe(call->broker, probed, call);
}

void settle(struct home *home)
{
    for (bool ok = !home->redis; !ok;) {
        struct call *call = call_start(call_create(home, 0, "unused", probe_make));
        call_wait(call);
        ok = call->status == BROKER_OK;
        call_free(call);
    }
}

void home_run(struct home *home)
{
    for (size_t i = 0; i < LOOPS; i++)
        home->loops[i] = loop_create("loop");
    home_make(home);
    for (size_t i = 0; i < LOOPS; i++) {
        struct broker *broker = home_broker(home, i);
        home->ears[i] = (struct ear){.home = home};
        broker->on_event = home->on_event;
        broker->on_kick = ear_is_kicked;
        broker->up = &home->ears[i];
    }
    if (home->embedded)
        embedded_start(home->embedded);
    for (size_t i = 0; i < LOOPS; i++)
        loop_start(home->loops[i]);
    settle(home);
}

void home_end(struct home *home)
{
    for (size_t i = 0; i < LOOPS; i++) {
        loop_stop(home->loops[i]);
        loop_join(home->loops[i]);
    }
    if (home->embedded)
        embedded_stop(home->embedded);
    for (bool any = true; any;) {
        if (home->redis)
            redis_stop(home->redis);
        any = home->embedded && embedded_drain(home->embedded);
        for (size_t i = 0; i < LOOPS; i++)
            any |= loop_drain(home->loops[i]);
    }
    embedded_close(home->embedded);
    redis_close(home->redis);
    home->embedded = NULL;
    home->redis = NULL;
    for (size_t i = 0; i < LOOPS; i++) {
        loop_destroy(home->loops[i]);
        for (size_t k = 0; k < home->ears[i].count; k++)
            message_unref(home->ears[i].heard[k]);
        free(home->ears[i].heard);
    }
}

/* Made, but not running yet: a test may change its configuration. */
struct home *home_create(enum config_durability durability)
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
    home->conf.limits.plugin_bytes = 64 << 20;
    home->conf.limits.store_bytes = 64 << 20;
    home->conf.redis.host = (char *)"";
    home->conf.redis.servers = home->conf.redis.sentinels = home->conf.redis.masters = (char *)"";
    home->conf.redis.user = home->conf.redis.password = (char *)"";
    home->conf.redis.prefix = (char *)"test";
    home->conf.redis.expire_ms = 3000;
    home->conf.announce = (char *)"";
    home->on_event = ear_hears;
    pthread_mutex_init(&home->lock, NULL);
    pthread_cond_init(&home->news, NULL);
    return home;
}

struct home *home_open(enum config_durability durability)
{
    struct home *home = home_create(durability);
    home_run(home);
    return home;
}

void home_reopen(struct home *home)
{
    home_end(home);
    home_run(home);
}

void home_close(struct home *home)
{
    static const char *const files[] = {"chatup.db", "chatup.db-wal", "chatup.db-shm", "lock"};
    char path[128];
    home_end(home);
    if (home->server.pid)
        redis_process_destroy(&home->server);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", home->dir, files[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(home->dir), 0);
    pthread_mutex_destroy(&home->lock);
    pthread_cond_destroy(&home->news);
    free(home);
}

static void call_arrives(struct letter *letter)
{
    struct call *call = (struct call *)letter;
    call->broker = home_broker(call->home, call->loop);
    call->make(call);
}

struct call *call_create(struct home *home, size_t loop, const char *room,
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

struct call *call_start(struct call *call)
{
    loop_post(call->home->loops[call->loop], &call->letter);
    return call;
}

void call_done(struct call *call)
{
    pthread_mutex_lock(&call->home->lock);
    call->done = true;
    pthread_cond_broadcast(&call->home->news);
    pthread_mutex_unlock(&call->home->lock);
}

void call_wait(struct call *call)
{
    wait_until(call->home, &call->done, NULL, 0);
}

void call_free(struct call *call)
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

void publish_make(struct call *call)
{
    const struct publication what = {.message = call->message,
                                     .client_id = call->client_id,
                                     .address = call->address,
                                     .check_ban = call->check_ban};
    broker_publish(call->broker, &what, publish_done, call);
}

struct message *message_by(struct name *room, const char *who, const char *msg, const char *ev)
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

struct call *say_start(struct home *home, size_t loop, const char *room, const char *who,
                       const char *msg, const char *client_id)
{
    struct call *call = call_create(home, loop, room, publish_make);
    call->message = message_by(call->room, who, msg, NULL);
    call->client_id = text_of(client_id);
    call->check_ban = true;
    return call_start(call);
}

struct published said(struct call *call)
{
    call_wait(call);
    struct published result = call->published;
    call_free(call);
    return result;
}

struct published say(struct home *home, size_t loop, const char *room, const char *who,
                     const char *msg, const char *client_id)
{
    return said(say_start(home, loop, room, who, msg, client_id));
}

void say_many(struct home *home, const char *room, size_t count)
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

struct call *subscribe(struct home *home, size_t loop, const char *room, struct position since)
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

void readers(struct home *home, size_t loop, const char *room, uint32_t count)
{
    struct call *call = call_create(home, loop, room, readers_make);
    call->readers_here = count;
    call_start(call);
    call_wait(call);
    call_free(call);
    settle(home);
}

void listen_on_all_loops(struct home *home, const char *room)
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

void join_make(struct call *call)
{
    broker_join(call->broker, call->room, call->member, text_of(call->user),
                &(struct identity){call->sub, call->name, call->address}, joined, call);
}

struct call *join_create(struct home *home, size_t loop, const char *room, const char *member,
                         const char *who, const char *user)
{
    struct call *call = call_create(home, loop, room, join_make);
    call->member = member;
    call->user = user;
    call->sub = call->name = text_of(who);
    return call;
}

int64_t join(struct home *home, size_t loop, const char *room, const char *member, const char *who,
             const char *user)
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

void leave(struct home *home, size_t loop, const char *room, const char *member)
{
    struct call *call = call_create(home, loop, room, leave_make);
    call->member = member;
    call_start(call);
    call_wait(call);
    call_free(call);
    settle(home);
}

void looked(void *arg, const struct room_view *view)
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

void look_make(struct call *call)
{
    broker_look(call->broker, call->room, &call->asked, looked, call);
}

struct call *look(struct home *home, size_t loop, const char *room, uint64_t skip, uint64_t limit)
{
    struct call *call = call_create(home, loop, room, look_make);
    call->asked = (struct room_asked){skip, limit, HISTORY_WHOLE};
    call_start(call);
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_OK);
    return call;
}

void moderated(void *arg, enum broker_status status, uint64_t count)
{
    struct call *call = arg;
    call->status = status;
    call->moderated = count;
    call_done(call);
}

/* returns  the status; *count_out, or NULL */
enum broker_status moderated_by(struct call *call, uint64_t *count_out)
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
struct call *ban_call(struct home *home, size_t loop, const char *room, enum ban_kind kind,
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

enum broker_status ban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
                       const char *who, int64_t seconds)
{
    return moderated_by(ban_call(home, loop, room, kind, who, seconds), NULL);
}

void unban_make(struct call *call)
{
    broker_unban(call->broker, call->ban, moderated, call);
}

uint64_t unban(struct home *home, size_t loop, const char *room, enum ban_kind kind,
               const char *who)
{
    struct call *call = ban_call(home, loop, room, kind, who, 0);
    uint64_t count;
    call->make = unban_make;
    ck_assert_int_eq(moderated_by(call, &count), BROKER_OK);
    return count;
}

struct address address_of_text(const char *text)
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

int64_t ttl_of(struct home *home, size_t loop, const char *room, const char *who,
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

int64_t banned_for(struct home *home, size_t loop, const char *room, const char *who)
{
    return ttl_of(home, loop, room, who, NULL);
}

void remove_make(struct call *call)
{
    call->removal.room = call->everywhere ? NULL : call->room;
    broker_remove(call->broker, &call->removal, moderated, call);
}

/*   room  NULL: everywhere */
uint64_t removes(struct home *home, size_t loop, const char *room, struct removal removal)
{
    struct call *call = call_create(home, loop, room ? room : "none", remove_make);
    call->everywhere = !room;
    uint64_t count;
    call->removal = removal;
    ck_assert_int_eq(moderated_by(call, &count), BROKER_OK);
    return count;
}

void kick_make(struct call *call)
{
    broker_kick(call->broker, &call->kick, moderated, call);
}

void listed(void *arg, struct ban *const *bans, size_t count, uint64_t total)
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

void list_make(struct call *call)
{
    broker_list_bans(call->broker, &call->listed, listed, call);
}

/* Events number 1, 2, … count were heard on that loop, and nothing else. */
void heard_exactly(struct home *home, size_t loop, size_t count)
{
    struct ear *ear = &home->ears[loop];
    wait_until(home, NULL, &ear->count, count);
    pthread_mutex_lock(&home->lock);
    ck_assert_uint_eq(ear->count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(ear->heard[i]->offset, i + 1);
    pthread_mutex_unlock(&home->lock);
}

const struct message *heard(struct home *home, size_t loop, size_t i)
{
    wait_until(home, NULL, &home->ears[loop].count, i + 1);
    pthread_mutex_lock(&home->lock);
    const struct message *message = home->ears[loop].heard[i];
    pthread_mutex_unlock(&home->lock);
    return message;
}

void messages_are(const struct call *call, uint64_t first, uint64_t last)
{
    ck_assert_uint_eq(call->count, last + 1 - first);
    for (size_t i = 0; i < call->count; i++)
        ck_assert_uint_eq(call->messages[i]->offset, first + i);
}

static struct rlimit sizes;

/* No file may grow beyond what the log of the database has: each commit fails. */
void disk_full(struct home *home)
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

void disk_mended(void)
{
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &sizes), 0);
}

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

struct call *once_start(struct home *home, size_t loop, const char *key)
{
    return call_start(call_create(home, loop, key, once_make));
}

enum broker_status once(struct home *home, size_t loop, const char *key)
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

void forget(struct home *home, size_t loop, const char *key)
{
    struct call *call = call_start(call_create(home, loop, key, forget_make));
    call_wait(call);
    call_free(call);
    settle(home);
}
