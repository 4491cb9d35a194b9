#include "unit.h"

#include "list.h"
#include "table.h"

#include <string.h>

enum { MANY = 5000 };

struct entry {
    struct table_link link;
    int key, visits;
};

static struct entry entries[MANY];

static bool entry_is(const struct table_link *link, const void *key)
{
    return list_entry(link, struct entry, link)->key == *(const int *)key;
}

static struct entry *find(const struct table *table, int key)
{
    struct table_link *link = table_find(table, table_hash(0, &key, sizeof key), entry_is, &key);
    return link ? list_entry(link, struct entry, link) : NULL;
}

static void fill(struct table *table)
{
    for (int i = 0; i < MANY; i++) {
        entries[i] = (struct entry){.key = i};
        table_add(table, &entries[i].link, table_hash(0, &i, sizeof i));
    }
}

START_TEST(an_empty_table_finds_nothing)
{
    struct table table = {0};
    ck_assert_ptr_null(find(&table, 1));
    table_finish(&table);
}
END_TEST

START_TEST(what_was_added_is_found_until_it_is_removed)
{
    struct table table = {0};
    fill(&table);
    ck_assert_uint_eq(table.count, MANY);
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_eq(find(&table, i), &entries[i]);
    ck_assert_ptr_null(find(&table, MANY));
    for (int i = 0; i < MANY; i += 2)
        table_remove(&table, &entries[i].link);
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_eq(find(&table, i), i % 2 ? &entries[i] : NULL);
    table_finish(&table);
    ck_assert_uint_eq(table.count, 0);
}
END_TEST

START_TEST(entries_of_the_same_hash_are_told_apart)
{
    struct table table = {0};
    for (int i = 0; i < 10; i++) {
        entries[i] = (struct entry){.key = i};
        table_add(&table, &entries[i].link, 42);
    }
    table_remove(&table, &entries[4].link);
    for (int i = 0; i < 10; i++)
        ck_assert_ptr_eq(table_find(&table, 42, entry_is, &i), i == 4 ? NULL : &entries[i].link);
    table_finish(&table);
}
END_TEST

START_TEST(it_shrinks_when_nearly_empty)
{
    struct table table = {0};
    fill(&table);
    size_t full = table.mask;
    ck_assert_uint_ge(full + 1, MANY);
    for (int i = 1; i < MANY; i++)
        table_remove(&table, &entries[i].link);
    ck_assert_uint_lt(table.mask, 64);
    ck_assert_ptr_eq(find(&table, 0), &entries[0]);
    table_finish(&table);
}
END_TEST

static void visit(struct table_link *link, void *arg)
{
    struct entry *entry = list_entry(link, struct entry, link);
    entry->visits++;
    if (entry->key % 100)
        table_remove(arg, link);
}

START_TEST(a_walk_meets_each_once_and_may_remove_it)
{
    struct table table = {0};
    table_walk(&table, visit, &table);
    fill(&table);
    table_walk(&table, visit, &table);
    ck_assert_uint_eq(table.count, MANY / 100);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(entries[i].visits, 1);
        ck_assert_ptr_eq(find(&table, i), i % 100 ? NULL : &entries[i]);
    }
    ck_assert_uint_lt(table.mask, 512);
    table_finish(&table);
}
END_TEST

START_TEST(a_walk_in_parts_meets_all_in_sixteen_steps)
{
    struct table table = {0};
    table_walk_on(&table, visit, &table);
    for (int i = 0; i < 16; i++) {
        entries[i] = (struct entry){.key = i * 100};
        table_add(&table, &entries[i].link, (uint64_t)i);
    }
    table_walk_on(&table, visit, &table); /* a small table at once */
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(entries[i].visits, 1);
    table_finish(&table);

    static struct entry many[1 << 16];
    for (int i = 0; i < 1 << 16; i++)
        table_add(&table, &many[i].link, (uint64_t)i);
    for (int step = 1; step <= 16; step++) {
        int met = 0;
        table_walk_on(&table, visit, &table);
        for (int i = 0; i < 1 << 16; i++)
            met += many[i].visits;
        ck_assert_int_eq(met, step * (1 << 12));
    }
    for (int i = 0; i < 1 << 16; i++)
        ck_assert_int_eq(many[i].visits, 1);
    table_finish(&table);
}
END_TEST

START_TEST(the_seed_changes_the_hash_and_low_bits_are_spread)
{
    ck_assert(table_hash(1, "room", 4) == table_hash(1, "room", 4));
    ck_assert(table_hash(1, "room", 4) != table_hash(2, "room", 4));
    int used[16] = {0};
    for (int i = 0; i < 1600; i++)
        used[table_hash(0, &i, sizeof i) & 15]++;
    for (int i = 0; i < 16; i++) {
        ck_assert_int_gt(used[i], 50);
        ck_assert_int_lt(used[i], 200);
    }
}
END_TEST

UNIT_MAIN("table", an_empty_table_finds_nothing, what_was_added_is_found_until_it_is_removed,
          entries_of_the_same_hash_are_told_apart, it_shrinks_when_nearly_empty,
          a_walk_meets_each_once_and_may_remove_it, a_walk_in_parts_meets_all_in_sixteen_steps,
          the_seed_changes_the_hash_and_low_bits_are_spread)
