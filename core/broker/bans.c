#include "bans.h"
#include "alloc.h"
#include "list.h"

#include <stdatomic.h>

struct entry {
    struct table_link link;
    struct ban *ban;
};

struct key {
    const struct name *room;
    enum ban_kind kind;
    struct text who;
};

struct ban *ban_create(struct name *room, enum ban_kind kind, struct text who, int64_t expires_ms)
{
    struct ban *ban = xmalloc(sizeof *ban + who.length);
    atomic_init(&ban->refs, 1);
    ban->kind = kind;
    ban->expires_ms = expires_ms;
    ban->room = name_ref(room);
    ban->length = who.length;
    memcpy(ban->who, who.at, who.length);
    return ban;
}

struct ban *ban_ref(struct ban *ban)
{
    atomic_fetch_add_explicit(&ban->refs, 1, memory_order_relaxed);
    return ban;
}

void ban_unref(struct ban *ban)
{
    if (ban && atomic_fetch_sub_explicit(&ban->refs, 1, memory_order_acq_rel) == 1) {
        name_unref(ban->room);
        free(ban);
    }
}

static bool entry_is(const struct table_link *link, const void *arg)
{
    const struct ban *ban = list_entry(link, struct entry, link)->ban;
    const struct key *key = arg;
    return ban->kind == key->kind && name_equal(ban->room, key->room) &&
           text_equal(ban_who(ban), key->who);
}

static uint64_t key_hash(const struct key *key)
{
    return table_hash(key->room->hash + key->kind, key->who.at, key->who.length);
}

static struct entry *bans_find(const struct bans *bans, const struct key *key)
{
    struct table_link *link = table_find(&bans->table, key_hash(key), entry_is, key);
    return link ? list_entry(link, struct entry, link) : NULL;
}

static void entry_drop(struct bans *bans, struct entry *entry)
{
    table_remove(&bans->table, &entry->link);
    ban_unref(entry->ban);
    free(entry);
}

void bans_put(struct bans *bans, struct ban *ban)
{
    struct key key = {ban->room, ban->kind, ban_who(ban)};
    struct entry *entry = bans_find(bans, &key);
    if (entry)
        entry_drop(bans, entry);
    entry = xmalloc(sizeof *entry);
    entry->ban = ban_ref(ban);
    table_add(&bans->table, &entry->link, key_hash(&key));
}

void bans_drop(struct bans *bans, const struct ban *ban)
{
    struct entry *entry = bans_find(bans, &(struct key){ban->room, ban->kind, ban_who(ban)});
    if (entry && entry->ban == ban)
        entry_drop(bans, entry);
}

static int64_t key_ttl(const struct bans *bans, const struct key *key, int64_t now_ms)
{
    struct entry *entry = key->who.length ? bans_find(bans, key) : NULL;
    if (!entry)
        return 0;
    int64_t expires_ms = entry->ban->expires_ms;
    if (expires_ms == BAN_FOR_EVER)
        return BAN_FOR_EVER;
    return expires_ms > now_ms ? (expires_ms - now_ms + 999) / 1000 : 0;
}

int64_t bans_ttl(const struct bans *bans, const struct name *room, struct text sub,
                 struct text name, int64_t now_ms)
{
    if (!bans->table.count) /* the usual case costs nothing */
        return 0;
    int64_t by_sub = key_ttl(bans, &(struct key){room, BAN_SUB, sub}, now_ms);
    int64_t by_name = key_ttl(bans, &(struct key){room, BAN_NAME, name}, now_ms);
    if (by_sub == BAN_FOR_EVER || by_name == BAN_FOR_EVER)
        return BAN_FOR_EVER;
    return by_sub > by_name ? by_sub : by_name;
}

struct expiry {
    struct bans *bans;
    int64_t now_ms;
};

static void entry_expire(struct table_link *link, void *arg)
{
    struct entry *entry = list_entry(link, struct entry, link);
    const struct expiry *expiry = arg;
    int64_t expires_ms = entry->ban->expires_ms;
    if (expires_ms != BAN_FOR_EVER && expires_ms <= expiry->now_ms)
        entry_drop(expiry->bans, entry);
}

void bans_expire(struct bans *bans, int64_t now_ms)
{
    table_walk(&bans->table, entry_expire, &(struct expiry){bans, now_ms});
}

static void entry_free(struct table_link *link, void *arg)
{
    entry_drop(arg, list_entry(link, struct entry, link));
}

void bans_finish(struct bans *bans)
{
    table_walk(&bans->table, entry_free, bans);
    table_finish(&bans->table);
}
