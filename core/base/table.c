#include "table.h"
#include "alloc.h"
#include "word.h"

#include <assert.h>
#include <sys/random.h>

enum { TABLE_MIN = 16, PARTS = 16, PART_MIN = 1024 };

/* Drawn before main: clients choose names, and must not know which of them share a bucket. */
static uint64_t process_seed;

__attribute__((constructor)) static void seed_draw(void)
{
    if (getrandom(&process_seed, sizeof process_seed, 0) != sizeof process_seed)
        abort();
}

/* Each bit of both halves depends on all of both numbers. */
static uint64_t multiply_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t table_hash(uint64_t seed, const void *bytes, size_t length)
{
    static const uint64_t odd = 0x9e3779b97f4a7c15u, other = 0xbf58476d1ce4e5b9u;
    const uint8_t *p = bytes, *end = p + length;
    uint64_t hash = seed ^ process_seed, rest = 0;
    for (; end - p >= 8; p += 8)
        hash = multiply_fold(hash ^ word_at(p), odd);
    if (p < end)
        memcpy(&rest, p, (size_t)(end - p));
    hash = multiply_fold(hash ^ rest, odd);
    return multiply_fold(hash ^ length, other);
}

static void table_resize(struct table *table, size_t size)
{
    struct table_link **buckets =
        table->buckets ? calloc(size, sizeof *buckets) : xcalloc(size, sizeof *buckets);
    if (!buckets)
        return; /* it is slower as it is, no more */
    for (size_t i = 0; table->buckets && i <= table->mask; i++)
        for (struct table_link *link = table->buckets[i], *next; link; link = next) {
            next = link->next;
            link->next = buckets[link->hash & (size - 1)];
            buckets[link->hash & (size - 1)] = link;
        }
    free(table->buckets);
    table->buckets = buckets;
    table->mask = size - 1;
}

static void table_shrink(struct table *table)
{
    size_t size = table->mask + 1;
    while (size > TABLE_MIN && table->count < size / 8)
        size /= 2;
    if (size <= table->mask)
        table_resize(table, size);
}

struct table_link *table_find(const struct table *table, uint64_t hash, table_match *match,
                              const void *key)
{
    if (!table->buckets)
        return NULL;
    struct table_link *link = table->buckets[hash & table->mask];
    while (link && !(link->hash == hash && match(link, key)))
        link = link->next;
    return link;
}

void table_add(struct table *table, struct table_link *link, uint64_t hash)
{
    if (!table->buckets)
        table_resize(table, TABLE_MIN);
    else if (table->count > table->mask)
        table_resize(table, (table->mask + 1) * 2);
    link->hash = hash;
    link->next = table->buckets[hash & table->mask];
    table->buckets[hash & table->mask] = link;
    table->count++;
}

void table_remove(struct table *table, struct table_link *link)
{
    struct table_link **at = &table->buckets[link->hash & table->mask];
    while (*at != link) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = link->next;
    table->count--;
    if (!table->walking)
        table_shrink(table);
}

static void walk(struct table *table, size_t from, size_t count,
                 void (*visit)(struct table_link *link, void *arg), void *arg)
{
    table->walking = true;
    for (size_t i = from; table->buckets && i < from + count; i++)
        for (struct table_link *link = table->buckets[i], *next; link; link = next) {
            next = link->next;
            visit(link, arg);
        }
    table->walking = false;
    table_shrink(table);
}

void table_walk(struct table *table, void (*visit)(struct table_link *link, void *arg), void *arg)
{
    walk(table, 0, table->mask + 1, visit, arg);
}

void table_walk_on(struct table *table, void (*visit)(struct table_link *link, void *arg),
                   void *arg)
{
    size_t size = table->mask + 1, count = size / PARTS; /* both are powers of two */
    if (count < PART_MIN)
        count = size < PART_MIN ? size : PART_MIN;
    size_t from = table->walk_on & table->mask & ~(count - 1);
    table->walk_on = from + count;
    walk(table, from, count, visit, arg);
}

void table_finish(struct table *table)
{
    free(table->buckets);
    *table = (struct table){0};
}
