#include "home.h"

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

/* ---- rooms ---- */

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

UNIT_MAIN("embedded_limits", beyond_the_limit_of_rooms_there_is_no_room,
          fewer_bytes_hold_from_then_on_in_memory_and_on_disk,
          another_configuration_holds_from_then_on,
          without_a_store_a_forgotten_room_leaves_a_floor_for_the_next,
          a_room_in_use_forgets_what_is_too_old,
          a_history_stays_within_its_bytes_in_memory_and_on_disk)
