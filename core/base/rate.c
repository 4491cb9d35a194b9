#include "rate.h"
#include "alloc.h"
#include "table.h"

#include <stdatomic.h>
#include <sys/random.h>

enum { ROWS = 2, SLOTS = 1 << 16 };

/* When the bucket will be full after one more; *wait_out as bucket_take returns it. */
static int64_t next_full(int64_t full_at_ns, struct rate rate, int64_t now_ns, int64_t *wait_out)
{
    int64_t each = 1000000000 / rate.per_second;
    int64_t start = full_at_ns > now_ns ? full_at_ns : now_ns;
    int64_t over = start + each - now_ns - each * (rate.burst ? rate.burst : 1);
    *wait_out = over > 0 ? over : 0;
    return start + each;
}

int64_t bucket_take(struct bucket *bucket, struct rate rate, int64_t now_ns)
{
    int64_t wait = 0;
    if (!rate.per_second)
        return 0;
    int64_t full = next_full(bucket->full_at_ns, rate, now_ns, &wait);
    if (!wait)
        bucket->full_at_ns = full;
    return wait;
}

static uint64_t seed_draw(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        abort();
    return seed;
}

/* Two slots out of one hash of 64 bits. */
static size_t slot_of(uint64_t hash, int row)
{
    return (size_t)(hash >> (row * 32)) % SLOTS;
}

/* ---- rates ---- */

struct rate_table {
    uint64_t seed;
    _Atomic int64_t full_at_ns[ROWS][SLOTS];
};

struct rate_table *rate_table_create(void)
{
    struct rate_table *table = xcalloc(1, sizeof *table); /* pages that nobody touches cost none */
    table->seed = seed_draw();
    return table;
}

void rate_table_destroy(struct rate_table *table)
{
    free(table);
}

int64_t rate_table_take(struct rate_table *table, uint8_t kind, const void *key, size_t length,
                        struct rate rate, int64_t now_ns)
{
    int64_t wait, least = INT64_MAX;
    if (!rate.per_second)
        return 0;
    /* High bits: those of a key's first byte would undo a small difference. */
    uint64_t hash = table_hash(table->seed ^ kind * 0x9e3779b97f4a7c15u, key, length);
    for (int row = 0; row < ROWS; row++) {
        int64_t full = table->full_at_ns[row][slot_of(hash, row)];
        if (full < least)
            least = full; /* the other one is somebody else's too */
    }
    int64_t full = next_full(least, rate, now_ns, &wait);
    for (int row = 0; row < ROWS && !wait; row++) {
        _Atomic int64_t *slot = &table->full_at_ns[row][slot_of(hash, row)];
        int64_t was = *slot;
        while (was < full && !atomic_compare_exchange_weak(slot, &was, full))
            ; /* two threads at the very same time may both take the last one */
    }
    return wait;
}

/* ---- counts ---- */

struct count_table {
    uint64_t seed;
    _Atomic uint32_t counts[ROWS][SLOTS];
};

struct count_table *count_table_create(void)
{
    struct count_table *table = xcalloc(1, sizeof *table);
    table->seed = seed_draw();
    return table;
}

void count_table_destroy(struct count_table *table)
{
    free(table);
}

bool count_table_add(struct count_table *table, const void *key, size_t length, uint32_t max)
{
    uint64_t hash = table_hash(table->seed, key, length);
    uint32_t least = UINT32_MAX;
    for (int row = 0; row < ROWS; row++) {
        uint32_t count = table->counts[row][slot_of(hash, row)]++;
        if (count < least)
            least = count;
    }
    if (least < max)
        return true;
    count_table_remove(table, key, length);
    return false;
}

void count_table_remove(struct count_table *table, const void *key, size_t length)
{
    uint64_t hash = table_hash(table->seed, key, length);
    for (int row = 0; row < ROWS; row++)
        table->counts[row][slot_of(hash, row)]--;
}
