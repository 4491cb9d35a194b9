/* rate.h: how often something may happen: token buckets, as GCRA (ITU-T I.371) keeps them: one time
 * stamp each, the moment at which the bucket is full again.
 *
 * A bucket of one's own for what has a place to keep it, and a table for everything else (users,
 * addresses): of fixed size, shared by all threads without a lock, for as many keys as there are.
 * Each key has a slot in each of two rows; a flood fills its own two, and another key suffers only
 * if it shares both. Slots are chosen by a seeded hash, so that nobody can aim at one. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate {
    uint32_t per_second; /* 0: no limit */
    uint32_t burst;      /* how many may come at once; at least 1 */
};

struct bucket { /* zeroed: full */
    int64_t full_at_ns;
};

/* Take one. now_ns: monotonic.
 *   returns  0, or how many nanoseconds to wait; then nothing was taken */
int64_t bucket_take(struct bucket *bucket, struct rate rate, int64_t now_ns);

struct rate_table;

struct rate_table *rate_table_create(void);
void rate_table_destroy(struct rate_table *table);
/* kind tells apart what is counted by the same key. Any thread. */
int64_t rate_table_take(struct rate_table *table, uint8_t kind, const void *key, size_t length,
                        struct rate rate, int64_t now_ns);

/* How many of something each key has now, at most too many by the same chance as above. */
struct count_table;

struct count_table *count_table_create(void);
void count_table_destroy(struct count_table *table);
/* One more, unless there are max already. Any thread. */
bool count_table_add(struct count_table *table, const void *key, size_t length, uint32_t max);
void count_table_remove(struct count_table *table, const void *key, size_t length);
