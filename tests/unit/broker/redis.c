/* What is about Redis and how it is used: keys, what is lost on the way, what comes back. */
#include "home.h"
#include "redis_parts.h"

#include <signal.h>
#include <unistd.h>

static const char *const keeps_all[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

/* On a server that keeps what it has when it is killed. */
static struct home *home_that_keeps(void)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    redis_process_create(&home->server, false);
    redis_process_start(&home->server, keeps_all);
    home->conf.redis.socket = home->server.socket;
    return home;
}

/* ---- names ---- */

START_TEST(no_two_rooms_share_a_key)
{
    static const char *const parts[] = {"meta",  "history", "said",  "readers",
                                        "order", "members", "users", "crowd"};
    char name[64];
    struct home *home = home_open(DURABILITY_COMMIT);
    ck_assert_int_eq(say(home, 0, "room", "alice", "hi", "first").status, BROKER_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "%s:room", parts[i]);
        ck_assert_msg(say(home, 0, name, "alice", "hi", "first").status == BROKER_OK, "%s", name);
        snprintf(name, sizeof name, "%s:late", parts[i]);
        ck_assert_msg(say(home, 0, name, "alice", "hi", "first").status == BROKER_OK, "%s", name);
    }
    struct published late = say(home, 0, "late", "alice", "hi", "first");
    ck_assert_int_eq(late.status, BROKER_OK);
    ck_assert_uint_eq(late.at.offset, 1);
    home_close(home);
}
END_TEST

/* ---- the limit of rooms ---- */

START_TEST(a_room_whose_history_is_gone_makes_room_for_another)
{
    enum { LIMIT = 3, ROUNDS = 4 };
    char name[24], rooms[64];
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.rooms = LIMIT;
    home->conf.history.expire_ms = 20;
    home_run(home);
    for (int i = 0; i < ROUNDS * LIMIT; i++) {
        struct published result = {.status = BROKER_FULL};
        snprintf(name, sizeof name, "room-%d", i);
        for (int64_t end_ms = clock_mono_ms() + 10000;
             result.status == BROKER_FULL && clock_mono_ms() < end_ms;)
            result = say(home, 0, name, "alice", "hi", NULL);
        ck_assert_msg(result.status == BROKER_OK, "room %d: %d", i, result.status);
    }
    redis_process_ask(&home->server, "SCARD test:rooms", rooms, sizeof rooms);
    ck_assert_int_le(atoi(rooms + 1), LIMIT);
    home_close(home);
}
END_TEST

START_TEST(a_room_that_was_looked_at_before_is_one_too_many_all_the_same)
{
    enum { LIMIT = 3 };
    char name[24];
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.rooms = LIMIT;
    home_run(home);
    for (int i = 0; i < LIMIT; i++) {
        snprintf(name, sizeof name, "room-%d", i);
        ck_assert_int_eq(say(home, 0, name, "alice", "hi", NULL).status, BROKER_OK);
    }
    call_free(look(home, 0, "looked-at", 0, FAR));
    call_free(subscribe(home, 0, "heard", (struct position){0}));
    static const char *const beyond[] = {"looked-at", "heard", "new"};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        ck_assert_int_eq(say(home, 0, beyond[i], "alice", "hi", NULL).status, BROKER_FULL);
        struct call *call = look(home, 0, beyond[i], 0, FAR);
        ck_assert_uint_eq(call->count, 0);
        ck_assert_uint_eq(call->at.offset, 0);
        call_free(call);
    }
    for (int i = 0; i < LIMIT; i++) {
        snprintf(name, sizeof name, "room-%d", i);
        ck_assert_uint_eq(say(home, 0, name, "alice", "hi", NULL).at.offset, 2);
    }
    home_close(home);
}
END_TEST

/* ---- who is there, while Redis is away ---- */

static const char *const members[] = {"00000000-0000-4000-8000-000000000001",
                                      "00000000-0000-4000-8000-000000000002"};

static void leave_make(struct call *call)
{
    broker_leave(call->broker, call->room, call->member);
    call_done(call);
}

static void readers_make(struct call *call)
{
    broker_readers(call->broker, call->room, call->readers_here);
    call_done(call);
}

static void do_now(struct home *home, size_t loop, const char *room, const char *member,
                   void (*make)(struct call *))
{
    struct call *call = call_create(home, loop, room, make);
    call->member = member;
    call_start(call);
    call_wait(call);
    call_free(call);
}

static void wait_there(struct home *home, const char *room, uint64_t publishers, uint64_t nreaders)
{
    struct call *call;
    int64_t end_ms = clock_mono_ms() + WAIT_S * 1000;
    for (bool all = false; !all; call_free(call)) {
        call = look(home, 0, room, 0, FAR);
        all = call->publishers == publishers && call->readers == nreaders;
        ck_assert_msg(all || clock_mono_ms() < end_ms, "%d publishers, %d readers",
                      (int)call->publishers, (int)call->readers);
    }
}

START_TEST(who_leaves_while_redis_is_away_has_left_when_it_is_back)
{
    struct home *home = home_that_keeps();
    home_run(home);
    call_free(subscribe(home, 2, "room", (struct position){0}));
    readers(home, 2, "room", 1);
    ck_assert_int_eq(join(home, 0, "room", members[0], "alice", "{}"), 0);
    ck_assert_int_eq(join(home, 1, "room", members[1], "bob", "{}"), 0);
    wait_there(home, "room", 2, 1);
    redis_process_kill(&home->server);
    do_now(home, 0, "room", members[0], leave_make);
    do_now(home, 2, "room", NULL, readers_make);
    redis_process_start(&home->server, keeps_all);
    settle(home);
    wait_there(home, "room", 1, 0);
    home_close(home);
}
END_TEST

START_TEST(who_came_in_too_late_is_out_again)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.store_wait_ms = 300;
    home_run(home);
    kill(home->server.pid, SIGSTOP);
    struct call *call = call_start(join_create(home, 0, "room", members[0], "alice", "{}"));
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_UNKNOWN);
    call_free(call);
    kill(home->server.pid, SIGCONT); /* and it comes in */
    settle(home);
    wait_there(home, "room", 0, 0);
    home_close(home);
}
END_TEST

START_TEST(who_comes_again_as_redis_does_stays)
{
    enum { ROUNDS = 5 };
    struct home *home = home_that_keeps();
    home_run(home);
    ck_assert_int_eq(join(home, 0, "room", members[0], "alice", "{}"), 0);
    for (int round = 0; round < ROUNDS; round++) {
        enum broker_status status = BROKER_UNAVAILABLE;
        redis_process_kill(&home->server);
        do_now(home, 0, "room", members[0], leave_make);
        redis_process_start(&home->server, keeps_all);
        while (status != BROKER_OK) {
            struct call *call = join_create(home, 0, "room", members[0], "alice", "{}");
            call_wait(call_start(call));
            status = call->status;
            call_free(call);
        }
        settle(home); /* what is told is told by then */
        wait_there(home, "room", 1, 0);
    }
    do_now(home, 0, "room", members[0], leave_make);
    wait_there(home, "room", 0, 0);
    home_close(home);
}
END_TEST

/* ---- the dead ---- */

/* A number, as Redis answers it. */
static int ask_number(struct home *home, const char *command)
{
    char reply[64];
    redis_process_ask(&home->server, command, reply, sizeof reply);
    ck_assert_msg(reply[0] == ':', "%s: %s", command, reply);
    return atoi(reply + 1);
}

static void wait_number(struct home *home, const char *command, int wanted)
{
    int64_t end_ms = clock_mono_ms() + WAIT_S * 1000;
    for (int number = wanted + 1; number != wanted;) {
        number = ask_number(home, command);
        ck_assert_msg(number == wanted || clock_mono_ms() < end_ms, "%s: %d", command, number);
    }
}

/* Whatever is missing of it, and when Redis takes nothing new. */
START_TEST(what_a_dead_process_left_behind_is_cleared_in_the_end)
{
    static const char *const dead = "00000000-0000-4000-8000-00000000dead";
    char command[256];
    struct home *home = home_open(DURABILITY_COMMIT);
    snprintf(command, sizeof command, "SADD test:node:members:%s %sroom %sroom", dead, members[0],
             members[1]); /* of the second one there is nothing else */
    ck_assert_int_eq(ask_number(home, command), 2);
    snprintf(command, sizeof command, "HSET test:room:members:room %s \"%s 5 5 alicealice{}\"",
             members[0], dead);
    ck_assert_int_eq(ask_number(home, command), 1);
    snprintf(command, sizeof command, "ZADD test:room:order:room 1 %s", members[0]);
    ck_assert_int_eq(ask_number(home, command), 1);
    ck_assert_int_eq(ask_number(home, "HSET test:room:users:room alice 1"), 1);
    ck_assert_int_eq(ask_number(home, "HSET test:room:crowd:room c 1"), 1); /* which ends */
    snprintf(command, sizeof command, "SADD test:nodes %s", dead);
    ck_assert_int_eq(ask_number(home, command), 1);
    redis_process_ask(&home->server, "CONFIG SET maxmemory 1", NULL, 0);
    snprintf(command, sizeof command, "SISMEMBER test:nodes %s", dead);
    wait_number(home, command, 0);
    ck_assert_int_eq(ask_number(home, "HLEN test:room:members:room"), 0);
    ck_assert_int_eq(ask_number(home, "ZCARD test:room:order:room"), 0);
    ck_assert_int_eq(ask_number(home, "HLEN test:room:users:room"), 0);
    home_close(home);
}
END_TEST

/* ---- bans ---- */

static bool was_kicked(struct home *home, size_t loop, const char *line)
{
    pthread_mutex_lock(&home->lock);
    bool found = strstr(home->ears[loop].kicks, line);
    pthread_mutex_unlock(&home->lock);
    return found;
}

/* They read on where a token is needed, or else nobody would cut them off. */
START_TEST(who_was_banned_while_a_process_was_cut_off_is_cut_off_there_in_the_end)
{
    char path[128];
    struct home *home = home_open(DURABILITY_COMMIT), *other = home_create(DURABILITY_COMMIT);
    ck_assert_int_eq(ban(home, 0, "room", BAN_NAME, "early", 1000), BROKER_OK);
    snprintf(path, sizeof path, "%s/way", other->dir);
    ck_assert_int_eq(symlink(home->server.socket, path), 0);
    other->conf.redis.socket = path;
    home_run(other);
    ck_assert_int_eq(unlink(path), 0);
    redis_process_ask(&home->server, "CLIENT KILL TYPE normal", NULL, 0);
    redis_process_ask(&home->server, "CLIENT KILL TYPE pubsub", NULL, 0);
    settle(home);
    ck_assert_int_eq(ban(home, 0, "room", BAN_NAME, "late", 1000), BROKER_OK);
    ck_assert_int_eq(banned_for(other, 0, "room", "late"), 0);
    ck_assert_int_eq(symlink(home->server.socket, path), 0);
    settle(other);
    for (size_t i = 0; i < LOOPS; i++)
        for (int64_t end_ms = clock_mono_ms() + WAIT_S * 1000;
             !was_kicked(other, i, "ban name=late in room\n");)
            ck_assert_msg(clock_mono_ms() < end_ms, "loop %zu was not told", i);
    for (size_t i = 0; i < LOOPS; i++) { /* once each */
        const char *kicks = other->ears[i].kicks, *early = strstr(kicks, "name=early");
        ck_assert_ptr_nonnull(early);
        ck_assert_ptr_null(strstr(early + 1, "name=early"));
    }
    home_close(home);
    ck_assert_int_eq(unlink(path), 0);
    home_close(other);
}
END_TEST

/* ---- the history ---- */

START_TEST(what_is_too_old_is_shown_to_nobody_while_the_room_goes_on)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct call *call = call_create(home, 0, "room", publish_make);
    call->message = message_create(
        call->room,
        &(struct message_fields){.id = text_of("00000000-0000-4000-8000-000000000001"),
                                 .time_ms = clock_wall_ms() - home->conf.history.expire_ms - 1,
                                 .sub = text_of("alice"),
                                 .name = text_of("alice"),
                                 .msg = text_of("old")});
    ck_assert_int_eq(said(call_start(call)).status, BROKER_OK);
    ck_assert_uint_eq(say(home, 0, "room", "alice", "new", NULL).at.offset, 2);
    call = look(home, 0, "room", 0, FAR);
    messages_are(call, 2, 2);
    ck_assert_uint_eq(call->at.offset, 2);
    call_free(call);
    call = subscribe(home, 1, "room", (struct position){0});
    messages_are(call, 2, 2);
    call_free(call);
    home_close(home);
}
END_TEST

/* ---- two servers ---- */

START_TEST(a_server_that_lost_its_bans_has_them_again_whoever_finds_it)
{
    enum { ROOMS = 20, MANY = 2500 };
    char servers[256], name[24], reply[64];
    static const char many[] = "EVAL \"for i = 1, 2500 do redis.call('HSET', 'test:bans', "
                               "'n:-1:x' .. i, '-1 1 spam') end\" 0";
    struct redis_process second;
    struct home *home = home_that_keeps();
    redis_process_create(&second, false);
    redis_process_start(&second, NULL);
    snprintf(servers, sizeof servers, "%s, %s", home->server.socket, second.socket);
    home->conf.redis.servers = servers;
    home_run(home);
    ck_assert_int_eq(ban(home, 0, NULL, BAN_NAME, "alice", 1000), BROKER_OK);
    ck_assert_int_eq(ban(home, 0, NULL, BAN_NAME, "carol", 1000), BROKER_OK);
    for (int round = 0; round < 2; round++) {
        home_end(home);
        if (!round) {
            redis_process_kill(&second);
            redis_process_start(&second, NULL); /* empty */
        } else {                                /* of long ago: somebody else has ended it */
            redis_process_ask(&second, "HSET test:bans n:-1:bob \"-1 1 spam\"", NULL, 0);
            redis_process_ask(&home->server, many, NULL, 0);
        }
        home_run(home);
        redis_process_ask(&second, "HLEN test:bans", reply, sizeof reply);
        ck_assert_int_eq(atoi(reply + 1), round ? MANY + 2 : 2);
        for (int i = 0; i < ROOMS; i++) {
            snprintf(name, sizeof name, "room-%d", i);
            ck_assert_int_eq(say(home, i % LOOPS, name, "alice", "hi", NULL).status, BROKER_BANNED);
            ck_assert_int_eq(say(home, i % LOOPS, name, "carol", "hi", NULL).status, BROKER_BANNED);
            ck_assert_int_eq(say(home, i % LOOPS, name, "bob", "hi", NULL).status, BROKER_OK);
        }
    }
    home_close(home);
    redis_process_destroy(&second);
}
END_TEST

/* ---- rooms in which nobody said anything ---- */

static void long_not_read_make(struct call *call)
{
    struct redis *redis = redis_of(call->broker);
    redis_room_find(redis, call->room)->read_ms -= 3600 * 1000;
    call_done(call);
}

/* Whoever may read makes as many as they like. */
START_TEST(a_room_that_is_only_read_lives_in_redis_while_somebody_reads_and_not_for_long)
{
    enum { SOON_MS = 10 * 60 * 1000 };
    static const char *const left = "PTTL test:room:meta:room";
    struct home *home = home_open(DURABILITY_COMMIT);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    readers(home, 0, "room", 1);
    int first_ms = ask_number(home, left);
    ck_assert_int_gt(first_ms, 0);
    ck_assert_int_le(first_ms, SOON_MS);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ask_number(home, "PEXPIRE test:room:meta:room 20000"), 1);
        if (i)
            do_now(home, 0, "room", NULL, long_not_read_make);
        else
            call_free(subscribe(home, 1, "room", (struct position){0}));
        for (int64_t end_ms = clock_mono_ms() + 10000; ask_number(home, left) <= 20000;)
            ck_assert_int_lt(clock_mono_ms(), end_ms);
    }
    say_many(home, "room", 1);
    ck_assert_int_eq(ask_number(home, "EXISTS test:room:meta:room"), 1);
    char reply[64];
    redis_process_ask(&home->server, left, reply, sizeof reply);
    ck_assert_int_gt(strtoll(reply + 1, NULL, 10), SOON_MS);
    ck_assert_ptr_nonnull(heard(home, 0, 0));
    home_close(home);
}
END_TEST

/* ---- how long a history lives ---- */

/* Not each message has to say so: l of the meta knows until when it does. */
START_TEST(a_history_lives_as_long_as_it_must_after_its_last_message)
{
    enum { HOUR_MS = 3600 * 1000 };
    static const char *const known[] = {"HSET test:room:meta:room l 1",
                                        "HSET test:room:meta:room l 99999999999999"};
    static const char *const left = "PTTL test:room:history:room";
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.history.expire_ms = HOUR_MS;
    home_run(home);
    say_many(home, "room", 2);
    ck_assert_int_gt(ask_number(home, left), HOUR_MS);
    ck_assert_int_le(ask_number(home, left), HOUR_MS + HOUR_MS / 16);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ask_number(home, known[i]);
        ck_assert_int_eq(ask_number(home, "PEXPIRE test:room:history:room 20000"), 1);
        say_many(home, "room", 1);
        ck_assert_int_gt(ask_number(home, left), HOUR_MS);
        ck_assert_int_gt(ask_number(home, "PTTL test:room:meta:room"), HOUR_MS);
    }
    home_close(home);
}
END_TEST

/* ---- epochs ---- */

/* What it has lost it lost before: how it keeps it now says nothing of that. */
START_TEST(a_server_that_is_made_to_keep_all_has_lost_what_it_had_lost_before)
{
    static const char *const keeps_most[] = {"--appendonly", "yes", "--appendfsync", "everysec",
                                             NULL};
    struct home *home = home_create(DURABILITY_COMMIT);
    redis_process_create(&home->server, false);
    redis_process_start(&home->server, keeps_most);
    home->conf.redis.socket = home->server.socket;
    home_run(home);
    say_many(home, "room", 2);
    redis_process_ask(&home->server, "CONFIG SET appendonly no", NULL, 0); /* so it is lost */
    struct published lost = say(home, 0, "room", "alice", "lost", NULL);
    ck_assert_uint_eq(lost.at.offset, 3);
    redis_process_kill(&home->server);
    redis_process_start(&home->server, keeps_all);
    settle(home);
    struct published after = say(home, 0, "room", "alice", "after", NULL);
    ck_assert_int_eq(after.status, BROKER_OK);
    ck_assert_str_ne(after.at.epoch, lost.at.epoch);
    redis_process_kill(&home->server);
    redis_process_start(&home->server, keeps_all);
    settle(home);
    struct published last = say(home, 0, "room", "alice", "last", NULL);
    ck_assert_str_eq(last.at.epoch, after.at.epoch); /* it keeps all now */
    ck_assert_uint_eq(last.at.offset, after.at.offset + 1);
    home_close(home);
}
END_TEST

/* ---- many who come ---- */

struct arrivals { /* one after the other, for a while */
    struct call call;
    int64_t end_ms;
    size_t served, refused;
};

static void arrival_served(void *arg, const struct snapshot *snapshot)
{
    struct arrivals *arrivals = arg;
    struct call *call = &arrivals->call;
    arrivals->served += snapshot->status == BROKER_OK;
    arrivals->refused += snapshot->status != BROKER_OK;
    if (clock_mono_ms() < arrivals->end_ms)
        broker_subscribe(call->broker, call->room, &call->since, arrival_served, call);
    else
        call_done(call);
}

static void arrivals_make(struct call *call)
{
    broker_subscribe(call->broker, call->room, &call->since, arrival_served, call);
}

static struct arrivals *arrivals_start(struct home *home, int64_t end_ms)
{
    struct arrivals *arrivals = xcalloc(1, sizeof *arrivals);
    struct call *call = call_create(home, 0, "room", arrivals_make);
    arrivals->call = *call;
    arrivals->end_ms = end_ms;
    free(call);
    call_start(&arrivals->call);
    return arrivals;
}

/* Each has waited for a moment only, though there always was somebody who waited. */
START_TEST(who_comes_while_others_come_is_not_taken_for_one_who_has_waited_as_long)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.store_wait_ms = 500;
    home_run(home);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    int64_t end_ms = clock_mono_ms() + 3000;
    struct arrivals *arrivals[2];
    kill(home->server.pid, SIGSTOP); /* so that the second comes while the first waits */
    for (size_t i = 0; i < 2; i++) {
        arrivals[i] = arrivals_start(home, end_ms);
        banned_for(home, 0, "room", "nobody"); /* when that is answered, it has come */
        banned_for(home, 0, "room", "nobody");
    }
    kill(home->server.pid, SIGCONT);
    for (size_t i = 0; i < 2; i++) {
        call_wait(&arrivals[i]->call);
        ck_assert_uint_gt(arrivals[i]->served, 10);
        ck_assert_uint_eq(arrivals[i]->refused, 0);
        call_free(&arrivals[i]->call);
    }
    home_close(home);
}
END_TEST

/* As after Redis was away for longer than redis.expire: one is back earlier than the other. */
START_TEST(who_is_back_first_does_not_take_the_others_for_dead)
{
    static const char forget[] =
        "EVAL \"for _, n in ipairs(redis.call('SMEMBERS', 'test:nodes')) do "
        "redis.call('DEL', 'test:node:' .. n) end\" 0";
    static const char count[] =
        "EVAL \"local alive = 0 for _, n in ipairs(redis.call('SMEMBERS', 'test:nodes')) do "
        "alive = alive + redis.call('EXISTS', 'test:node:' .. n) end return alive\" 0";
    char path[128];
    struct home *home = home_open(DURABILITY_COMMIT), *other = home_create(DURABILITY_COMMIT);
    snprintf(path, sizeof path, "%s/way", other->dir);
    ck_assert_int_eq(symlink(home->server.socket, path), 0);
    other->conf.redis.socket = path;
    home_run(other);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    readers(home, 0, "room", 1);
    ck_assert_int_eq(join(other, 0, "room", members[0], "alice", "{}"), 0);
    ck_assert(text_is(heard(home, 0, 0)->fields.ev, "join"));
    wait_number(home, count, 2);
    ck_assert_int_eq(unlink(path), 0);
    redis_process_ask(&home->server, "CLIENT KILL TYPE normal", NULL, 0);
    redis_process_ask(&home->server, "CLIENT KILL TYPE pubsub", NULL, 0);
    redis_process_ask(&home->server, forget, NULL, 0);
    wait_number(home, count, 1);
    settle(home); /* what it did at once would be done */
    settle(home);
    ck_assert_int_eq(symlink(home->server.socket, path), 0);
    wait_number(home, count, 2);
    settle(other);
    say_many(home, "room", 1);
    ck_assert_uint_eq(heard(home, 0, 1)->offset, 1); /* nobody has left */
    home_close(home);
    ck_assert_int_eq(unlink(path), 0);
    home_close(other);
}
END_TEST

/* ---- what waits ---- */

START_TEST(what_waits_to_be_stored_is_bounded_for_all_loops_together)
{
    enum { LARGE = 300 * 1024, TRIED = 2 * LOOPS };
    struct home *home = home_create(DURABILITY_COMMIT);
    struct call *calls[TRIED];
    size_t refused = 0;
    char *large = xmalloc(LARGE + 1);
    memset(large, 'x', LARGE);
    large[LARGE] = 0;
    home->conf.limits.store_bytes = 1024 * 1024; /* three of them */
    home_run(home);
    kill(home->server.pid, SIGSTOP);
    for (size_t i = 0; i < TRIED; i++) {
        calls[i] = say_start(home, i % LOOPS, "room", "alice", large, NULL);
        banned_for(home, i % LOOPS, "room", "nobody"); /* it is on its way by then */
    }
    kill(home->server.pid, SIGCONT);
    for (size_t i = 0; i < TRIED; i++) {
        enum broker_status status = said(calls[i]).status;
        ck_assert_int_eq(status, i < 3 ? BROKER_OK : BROKER_UNAVAILABLE);
        refused += status != BROKER_OK;
    }
    ck_assert_uint_eq(refused, TRIED - 3);
    for (size_t i = 0; i < TRIED; i++) /* and then there is room again */
        ck_assert_int_eq(say(home, i % LOOPS, "room", "alice", large, NULL).status, BROKER_OK);
    free(large);
    home_close(home);
}
END_TEST

/* However it promised to keep it. */
START_TEST(a_server_that_has_less_than_a_loop_heard_begins_a_new_epoch)
{
    struct home *home = home_that_keeps();
    home_run(home);
    listen_on_all_loops(home, "room");
    say_many(home, "room", 2);
    struct published lost = say(home, 0, "room", "alice", "lost", NULL);
    for (size_t i = 0; i < LOOPS; i++)
        ck_assert_uint_eq(heard(home, i, 2)->offset, 3);
    redis_process_ask(&home->server, "LPOP test:room:history:room", NULL, 0);
    ck_assert_int_eq(ask_number(home, "HSET test:room:meta:room o 2"), 0);
    redis_process_kill(&home->server);
    redis_process_start(&home->server, keeps_all);
    settle(home);
    struct call *call = subscribe(home, 1, "room", lost.at); /* so it has been read */
    ck_assert_str_ne(call->at.epoch, lost.at.epoch);
    ck_assert(!call->recovered);
    messages_are(call, 1, 2);
    struct published after = say(home, 0, "room", "alice", "after", NULL);
    ck_assert_str_eq(after.at.epoch, call->at.epoch);
    call_free(call);
    home_close(home);
}
END_TEST

UNIT_MAIN("redis", no_two_rooms_share_a_key, a_room_whose_history_is_gone_makes_room_for_another,
          a_room_that_was_looked_at_before_is_one_too_many_all_the_same,
          who_leaves_while_redis_is_away_has_left_when_it_is_back,
          who_came_in_too_late_is_out_again, who_comes_again_as_redis_does_stays,
          what_a_dead_process_left_behind_is_cleared_in_the_end,
          who_was_banned_while_a_process_was_cut_off_is_cut_off_there_in_the_end,
          what_is_too_old_is_shown_to_nobody_while_the_room_goes_on,
          a_server_that_lost_its_bans_has_them_again_whoever_finds_it,
          a_room_that_is_only_read_lives_in_redis_while_somebody_reads_and_not_for_long,
          a_history_lives_as_long_as_it_must_after_its_last_message,
          a_server_that_is_made_to_keep_all_has_lost_what_it_had_lost_before,
          who_comes_while_others_come_is_not_taken_for_one_who_has_waited_as_long,
          who_is_back_first_does_not_take_the_others_for_dead,
          what_waits_to_be_stored_is_bounded_for_all_loops_together,
          a_server_that_has_less_than_a_loop_heard_begins_a_new_epoch)
