#include "rate.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000)

START_TEST(a_burst_may_come_at_once_and_then_one_at_a_time)
{
    static const struct rate rates[] = {{1, 1},   {1, 5},        {5, 1},    {10, 3},  {3, 3},
                                        {7, 100}, {1000000, 10}, {50, 500}, {1, 600}, {200, 1}};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct bucket bucket = {0};
        int64_t now = 123 * SECOND, each = SECOND / rates[i].per_second;
        for (uint32_t n = 0; n < rates[i].burst; n++)
            ck_assert_int_eq(bucket_take(&bucket, rates[i], now), 0);
        int64_t wait = bucket_take(&bucket, rates[i], now);
        ck_assert_int_eq(wait, each);
        /* Refused ones cost nothing, and what is told is true to the nanosecond. */
        ck_assert_int_eq(bucket_take(&bucket, rates[i], now + wait - 1), 1);
        ck_assert_int_eq(bucket_take(&bucket, rates[i], now + wait), 0);
        ck_assert_int_eq(bucket_take(&bucket, rates[i], now + wait), each);
        /* A pause fills it, and no more than that. */
        now += 3600 * SECOND;
        uint32_t got = 0;
        while (!bucket_take(&bucket, rates[i], now))
            got++;
        ck_assert_uint_eq(got, rates[i].burst);
    }
}
END_TEST

START_TEST(over_a_long_time_it_is_the_rate_and_a_burst)
{
    struct bucket bucket = {0};
    struct rate rate = {7, 20};
    int64_t taken = 0;
    for (int64_t now = SECOND; now < 101 * SECOND; now += 3000000)
        taken += !bucket_take(&bucket, rate, now);
    ck_assert_int_ge(taken, 20 + 7 * 100 - 2);
    ck_assert_int_le(taken, 20 + 7 * 100 + 1);
}
END_TEST

START_TEST(no_rate_is_no_limit_and_no_burst_is_one)
{
    struct bucket bucket = {0};
    struct rate_table *table = rate_table_create();
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(bucket_take(&bucket, (struct rate){0, 0}, SECOND), 0);
        ck_assert_int_eq(rate_table_take(table, 0, "k", 1, (struct rate){0, 9}, SECOND), 0);
    }
    ck_assert_int_eq(bucket_take(&bucket, (struct rate){1, 0}, SECOND), 0);
    ck_assert_int_eq(bucket_take(&bucket, (struct rate){1, 0}, SECOND), SECOND);
    rate_table_destroy(table);
}
END_TEST

START_TEST(a_limit_that_changes_holds_from_then_on)
{
    struct bucket bucket = {0};
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(bucket_take(&bucket, (struct rate){10, 100}, SECOND), 0);
    ck_assert_int_gt(bucket_take(&bucket, (struct rate){10, 5}, SECOND), 0);
    ck_assert_int_eq(bucket_take(&bucket, (struct rate){10, 200}, SECOND), 0);
    ck_assert_int_eq(bucket_take(&bucket, (struct rate){0, 0}, SECOND), 0);
}
END_TEST

START_TEST(keys_and_kinds_have_buckets_of_their_own)
{
    struct rate_table *table = rate_table_create();
    struct rate rate = {1, 3};
    for (int key = 0; key < 100; key++)
        for (uint8_t kind = 0; kind < 3; kind++)
            for (int n = 0; n < 4; n++)
                ck_assert_int_eq(!rate_table_take(table, kind, &key, sizeof key, rate, 5 * SECOND),
                                 n < 3);
    /* Of no bytes, of a byte NUL, of another length. */
    for (size_t length = 0; length < 4; length++)
        for (int n = 0; n < 4; n++)
            ck_assert_int_eq(!rate_table_take(table, 9, "\0\0\0", length, rate, 5 * SECOND), n < 3);
    rate_table_destroy(table);
}
END_TEST

/* Whoever floods fills two slots of its own; hardly anybody else has both of them. */
START_TEST(a_flood_of_many_is_not_paid_by_others)
{
    struct rate_table *table = rate_table_create();
    struct rate rate = {1, 10};
    int refused = 0;
    for (int key = 0; key < 1000; key++)
        for (int n = 0; n < 20; n++)
            rate_table_take(table, 0, &key, sizeof key, rate, 5 * SECOND);
    for (int key = 1000; key < 11000; key++)
        refused += rate_table_take(table, 0, &key, sizeof key, rate, 5 * SECOND) != 0;
    ck_assert_msg(refused < 50, "%d of 10000", refused);
    rate_table_destroy(table);
}
END_TEST

START_TEST(a_count_stops_at_its_limit_and_goes_down_again)
{
    struct count_table *table = count_table_create();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++)
            ck_assert(count_table_add(table, "a", 1, 5));
        for (int i = 0; i < 50; i++) /* who is refused is not counted */
            ck_assert(!count_table_add(table, "a", 1, 5));
        ck_assert(count_table_add(table, "b", 1, 5));
        count_table_remove(table, "b", 1);
        count_table_remove(table, "a", 1);
        ck_assert(count_table_add(table, "a", 1, 5));
        ck_assert(!count_table_add(table, "a", 1, 5));
        ck_assert(count_table_add(table, "a", 1, UINT32_MAX)); /* without a limit, but counted */
        ck_assert(!count_table_add(table, "a", 1, 6));
        for (int i = 0; i < 6; i++)
            count_table_remove(table, "a", 1);
    }
    ck_assert(!count_table_add(table, "a", 1, 0));
    count_table_destroy(table);
}
END_TEST

/* ---- several threads ---- */

enum { THREADS = 4, EACH = 20000 };

static struct rate_table *shared_rates;
static struct count_table *shared_counts;

static void *take_and_count(void *arg)
{
    long *taken = arg;
    for (int i = 0; i < EACH; i++) {
        *taken += !rate_table_take(shared_rates, 0, "k", 1, (struct rate){1, 10000}, 5 * SECOND);
        if (count_table_add(shared_counts, "k", 1, 3))
            count_table_remove(shared_counts, "k", 1);
    }
    return NULL;
}

START_TEST(threads_share_a_limit)
{
    pthread_t threads[THREADS];
    long taken[THREADS] = {0}, all = 0;
    shared_rates = rate_table_create();
    shared_counts = count_table_create();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_count, &taken[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        all += taken[i];
    }
    ck_assert_int_ge(all, 10000);
    ck_assert_int_lt(all, THREADS * EACH); /* two at the very same time may count as one */
    for (int i = 0; i < 3; i++)
        ck_assert(count_table_add(shared_counts, "k", 1, 3));
    ck_assert(!count_table_add(shared_counts, "k", 1, 3));
    rate_table_destroy(shared_rates);
    count_table_destroy(shared_counts);
}
END_TEST

UNIT_MAIN("rate", a_burst_may_come_at_once_and_then_one_at_a_time,
          over_a_long_time_it_is_the_rate_and_a_burst, no_rate_is_no_limit_and_no_burst_is_one,
          a_limit_that_changes_holds_from_then_on, keys_and_kinds_have_buckets_of_their_own,
          a_flood_of_many_is_not_paid_by_others, a_count_stops_at_its_limit_and_goes_down_again,
          threads_share_a_limit)
