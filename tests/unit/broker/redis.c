/* What is about Redis and how it is used: keys, what is lost on the way, what comes back. */
#include "home.h"

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

UNIT_MAIN("redis", no_two_rooms_share_a_key, a_room_whose_history_is_gone_makes_room_for_another,
          a_room_that_was_looked_at_before_is_one_too_many_all_the_same)
