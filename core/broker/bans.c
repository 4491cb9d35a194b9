#include "bans.h"
#include "address.h"
#include "alloc.h"

#include <stdatomic.h>

struct entry {
    struct table_link link;
    struct list in_order;
    struct ban *ban;
};

struct key {
    const struct name *room;
    enum ban_kind kind;
    struct text who;
};

/* ---- one ban ---- */

static struct text keep(char **at, struct text from)
{
    char *copy = *at;
    if (from.length)
        memcpy(copy, from.at, from.length);
    *at += from.length;
    return (struct text){copy, from.length};
}

struct ban *ban_create(const struct ban_fields *fields)
{
    struct ban *ban = xmalloc(sizeof *ban + fields->who.length + fields->reason.length);
    char *at = ban->storage;
    atomic_init(&ban->refs, 1);
    ban->kind = fields->kind;
    ban->expires_ms = fields->expires_ms;
    ban->created_ms = fields->created_ms;
    ban->room = fields->room ? name_ref(fields->room) : NULL;
    ban->who = keep(&at, fields->who);
    ban->reason = keep(&at, fields->reason);
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

int64_t ban_ttl(const struct ban *ban, int64_t now_ms)
{
    if (ban->expires_ms == BAN_FOR_EVER)
        return BAN_FOR_EVER;
    return ban->expires_ms > now_ms ? (ban->expires_ms - now_ms + 999) / 1000 : 0;
}

bool identity_is(const struct identity *identity, enum ban_kind kind, struct text who)
{
    char site[ADDRESS_SITE_SIZE];
    if (kind == BAN_ADDRESS) {
        address_site_format(&identity->address, site);
        return who.length && text_is(who, site);
    }
    return who.length && text_equal(kind == BAN_SUB ? identity->sub : identity->name, who);
}

/* ---- the table ---- */

static struct key key_of(const struct ban *ban)
{
    return (struct key){ban->room, ban->kind, ban->who};
}

static bool same_room(const struct name *a, const struct name *b)
{
    return a && b ? name_equal(a, b) : a == b;
}

static bool entry_is(const struct table_link *link, const void *arg)
{
    const struct ban *ban = list_entry(link, struct entry, link)->ban;
    const struct key *key = arg;
    return ban->kind == key->kind && same_room(ban->room, key->room) &&
           text_equal(ban->who, key->who);
}

static uint64_t key_hash(const struct key *key)
{
    return table_hash((key->room ? key->room->hash : 0) + key->kind, key->who.at, key->who.length);
}

static struct entry *entry_find(const struct bans *bans, const struct key *key)
{
    struct table_link *link = table_find(&bans->table, key_hash(key), entry_is, key);
    return link ? list_entry(link, struct entry, link) : NULL;
}

static void entry_drop(struct bans *bans, struct entry *entry)
{
    table_remove(&bans->table, &entry->link);
    list_remove(&entry->in_order);
    bans->by_address -= entry->ban->kind == BAN_ADDRESS;
    ban_unref(entry->ban);
    free(entry);
}

void bans_init(struct bans *bans)
{
    *bans = (struct bans){.next_end_ms = INT64_MAX};
    list_init(&bans->in_order);
}

void bans_finish(struct bans *bans)
{
    while (!list_empty(&bans->in_order))
        entry_drop(bans, list_entry(bans->in_order.next, struct entry, in_order));
    table_finish(&bans->table);
}

void bans_put(struct bans *bans, struct ban *ban)
{
    struct key key = key_of(ban);
    bans_lift(bans, ban);
    struct entry *entry = xmalloc(sizeof *entry);
    entry->ban = ban_ref(ban);
    table_add(&bans->table, &entry->link, key_hash(&key));
    list_append(&bans->in_order, &entry->in_order);
    bans->by_address += ban->kind == BAN_ADDRESS;
    if (ban->expires_ms != BAN_FOR_EVER && ban->expires_ms < bans->next_end_ms)
        bans->next_end_ms = ban->expires_ms;
}

struct ban *bans_same(const struct bans *bans, const struct ban *ban)
{
    struct key key = key_of(ban);
    struct entry *entry = entry_find(bans, &key);
    return entry ? entry->ban : NULL;
}

bool bans_lift(struct bans *bans, const struct ban *ban)
{
    struct key key = key_of(ban);
    struct entry *entry = entry_find(bans, &key);
    if (entry)
        entry_drop(bans, entry);
    return entry;
}

/* The one of both that lasts longer; either may be NULL. */
static struct ban *longer(struct ban *a, struct ban *b)
{
    if (!a || !b)
        return a ? a : b;
    if (a->expires_ms == BAN_FOR_EVER || b->expires_ms == BAN_FOR_EVER)
        return a->expires_ms == BAN_FOR_EVER ? a : b;
    return a->expires_ms >= b->expires_ms ? a : b;
}

struct ban *bans_find(const struct bans *bans, const struct name *room,
                      const struct identity *identity, int64_t now_ms)
{
    char site[ADDRESS_SITE_SIZE] = "";
    if (!bans->table.count) /* the usual case costs nothing */
        return NULL;
    if (bans->by_address)
        address_site_format(&identity->address, site);
    const struct text who[] = {
        [BAN_NAME] = identity->name, [BAN_SUB] = identity->sub, [BAN_ADDRESS] = text_of(site)};
    struct ban *found = NULL;
    for (enum ban_kind kind = BAN_NAME; kind <= BAN_ADDRESS; kind++) {
        for (int everywhere = 0; everywhere < 2 && who[kind].length; everywhere++) {
            const struct key key = {everywhere ? NULL : room, kind, who[kind]};
            struct entry *entry = entry_find(bans, &key);
            if (entry && ban_ttl(entry->ban, now_ms))
                found = longer(found, entry->ban);
        }
    }
    return found;
}

int64_t bans_ttl(const struct bans *bans, const struct name *room, const struct identity *identity,
                 int64_t now_ms, struct text *reason_out)
{
    const struct ban *ban = bans_find(bans, room, identity, now_ms);
    if (!ban)
        return 0;
    *reason_out = ban->reason;
    return ban_ttl(ban, now_ms);
}

void bans_expire(struct bans *bans, int64_t now_ms)
{
    struct entry *entry, *after;
    if (now_ms < bans->next_end_ms)
        return;
    bans->next_end_ms = INT64_MAX;
    list_for_each_safe (entry, after, &bans->in_order, in_order) {
        int64_t end_ms = entry->ban->expires_ms;
        if (end_ms == BAN_FOR_EVER)
            continue;
        if (end_ms <= now_ms)
            entry_drop(bans, entry);
        else if (end_ms < bans->next_end_ms)
            bans->next_end_ms = end_ms;
    }
}

struct ban **bans_list(const struct bans *bans, const struct bans_asked *asked, size_t *count_out,
                       uint64_t *total_out)
{
    uint64_t total = 0, most = bans->table.count < asked->limit ? bans->table.count : asked->limit;
    struct ban **list = xmalloc(most * sizeof *list);
    size_t count = 0;
    const struct entry *entry;
    list_for_each (entry, &bans->in_order, in_order) {
        const struct name *room = entry->ban->room;
        if ((asked->everywhere && room) || (asked->room && !same_room(room, asked->room)))
            continue;
        if (total++ >= asked->skip && count < most)
            list[count++] = ban_ref(entry->ban);
    }
    *count_out = count;
    *total_out = total;
    return list;
}
