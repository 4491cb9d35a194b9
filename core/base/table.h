/* table.h: an intrusive hash table: the struct that is kept holds the link. Doubles when full,
 * halves when nearly empty, so that a burst of rooms does not cost memory for ever. Its owner's
 * thread only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_link {
    struct table_link *next;
    uint64_t hash;
};

struct table { /* zero-initialised is empty */
    struct table_link **buckets;
    size_t mask, count;
    size_t walk_on; /* the bucket where table_walk_on goes on */
    bool walking;   /* it keeps its size meanwhile */
};

typedef bool table_match(const struct table_link *link, const void *key);

/* Eight bytes at a time by folded multiplication, as wyhash (Wang Yi) does; with a seed of the
 * process, so that clients cannot choose names that collide, and one of the table's. Means nothing
 * outside the process. */
uint64_t table_hash(uint64_t seed, const void *bytes, size_t length);

struct table_link *table_find(const struct table *table, uint64_t hash, table_match *match,
                              const void *key);
/* link->hash is set by the call; the caller has made sure that the key is new. */
void table_add(struct table *table, struct table_link *link, uint64_t hash);
void table_remove(struct table *table, struct table_link *link);
/* Calls visit for each, in no order; visit may remove the one it is given, and must not add. */
void table_walk(struct table *table, void (*visit)(struct table_link *link, void *arg), void *arg);
/* The same for the next part of it, so that looking after many costs no long turn: a sixteenth, or
 * 1024 buckets if that is more. Each is met again within 16 calls, if the table keeps its size. */
void table_walk_on(struct table *table, void (*visit)(struct table_link *link, void *arg),
                   void *arg);
/* Frees the buckets, not what was kept. */
void table_finish(struct table *table);
