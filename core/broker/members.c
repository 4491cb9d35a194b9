#include "members.h"
#include "alloc.h"
#include "buffer.h"

void members_init(struct members *members)
{
    *members = (struct members){0};
    list_init(&members->in_order);
}

void members_finish(struct members *members)
{
    while (!list_empty(&members->in_order))
        members_remove(members, list_entry(members->in_order.next, struct member, in_order));
    table_finish(&members->table);
}

static uint64_t id_hash(const char *id)
{
    return table_hash(0, id, 36);
}

static bool member_is(const struct table_link *link, const void *id)
{
    return !memcmp(list_entry(link, struct member, link)->id, id, 36);
}

struct member *members_add(struct members *members, const char id[37], struct text user,
                           struct text sub, struct text name)
{
    struct member *member = xmalloc(sizeof *member + user.length + sub.length + name.length);
    memcpy(member->id, id, sizeof member->id);
    char *at = member->storage;
    struct text *const to[] = {&member->user, &member->sub, &member->name};
    const struct text from[] = {user, sub, name};
    for (int i = 0; i < 3; i++) {
        *to[i] = (struct text){at, from[i].length};
        if (from[i].length)
            memcpy(at, from[i].at, from[i].length);
        at += from[i].length;
    }
    table_add(&members->table, &member->link, id_hash(id));
    list_append(&members->in_order, &member->in_order);
    return member;
}

struct member *members_find(struct members *members, const char id[37])
{
    struct table_link *link = table_find(&members->table, id_hash(id), member_is, id);
    return link ? list_entry(link, struct member, link) : NULL;
}

void members_remove(struct members *members, struct member *member)
{
    table_remove(&members->table, &member->link);
    list_remove(&member->in_order);
    free(member);
}

struct person {
    struct table_link link;
    struct text sub;
};

static bool person_is(const struct table_link *link, const void *sub)
{
    return text_equal(list_entry(link, struct person, link)->sub, *(const struct text *)sub);
}

uint64_t members_people(const struct members *members)
{
    size_t used = 0;
    uint64_t alone = 0;
    struct table seen = {0};
    struct person *people = xmalloc(members->table.count * sizeof *people);
    const struct member *member;
    list_for_each (member, &members->in_order, in_order) {
        uint64_t hash = table_hash(0, member->sub.at, member->sub.length);
        if (!member->sub.length) {
            alone++;
        } else if (!table_find(&seen, hash, person_is, &member->sub)) {
            people[used].sub = member->sub;
            table_add(&seen, &people[used++].link, hash);
        }
    }
    table_finish(&seen);
    free(people);
    return used + alone;
}

void members_write(const struct members *members, uint64_t skip, uint64_t limit, struct buffer *out)
{
    uint64_t i = 0;
    const struct member *member;
    buffer_text(out, "[");
    list_for_each (member, &members->in_order, in_order) {
        if (i >= skip && i - skip < limit) {
            if (i > skip)
                buffer_text(out, ",");
            buffer_bytes(out, member->user.at, member->user.length);
        }
        i++;
    }
    buffer_text(out, "]");
}
