#include "home.h"

/* ---- once ---- */

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

UNIT_MAIN("embedded_once", of_many_who_ask_on_all_loops_at_once_one_is_the_first,
          once_is_once_after_a_restart_too, what_is_forgotten_may_be_asked_again_on_any_loop,
          what_is_forgotten_on_its_way_to_the_store_was_never_first,
          beyond_the_limit_of_keys_none_is_taken_and_those_known_stay_known)
