#include "members.h"
#include "alloc.h"
#include "buffer.h"

struct person {
    struct table_link link;
    size_t members;
    size_t length;
    char sub[];
};

struct members *members_create(void)
{
    struct members *members = xcalloc(1, sizeof *members);
    list_init(&members->in_order);
    return members;
}

void members_destroy(struct members *members)
{
    if (!members)
        return;
    while (!list_empty(&members->in_order))
        members_remove(members, list_entry(members->in_order.next, struct member, in_order));
    table_finish(&members->table);
    table_finish(&members->people);
    free(members);
}

uint64_t members_count(const struct members *members)
{
    return members ? members->table.count : 0;
}

static uint64_t id_hash(const char *id)
{
    return table_hash(0, id, 36);
}

static bool member_is(const struct table_link *link, const void *id)
{
    return !memcmp(list_entry(link, struct member, link)->id, id, 36);
}

static bool person_is(const struct table_link *link, const void *sub)
{
    const struct person *person = list_entry(link, struct person, link);
    return text_equal((struct text){person->sub, person->length}, *(const struct text *)sub);
}

static struct person *person_enters(struct members *members, struct text sub)
{
    if (!sub.length) {
        members->alone++;
        return NULL;
    }
    uint64_t hash = table_hash(0, sub.at, sub.length);
    struct table_link *link = table_find(&members->people, hash, person_is, &sub);
    if (!link) {
        struct person *person = xmalloc(sizeof *person + sub.length);
        person->members = 0;
        person->length = sub.length;
        memcpy(person->sub, sub.at, sub.length);
        table_add(&members->people, &person->link, hash);
        link = &person->link;
    }
    struct person *person = list_entry(link, struct person, link);
    person->members++;
    return person;
}

static void person_leaves(struct members *members, struct person *person)
{
    if (!person) {
        members->alone--;
    } else if (!--person->members) {
        table_remove(&members->people, &person->link);
        free(person);
    }
}

struct member *members_add(struct members *members, const char id[37], struct text user,
                           struct text sub, struct text name)
{
    struct member *member = xmalloc(sizeof *member + user.length + sub.length + name.length);
    member->person = person_enters(members, sub);
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
    struct table_link *link =
        members ? table_find(&members->table, id_hash(id), member_is, id) : NULL;
    return link ? list_entry(link, struct member, link) : NULL;
}

void members_remove(struct members *members, struct member *member)
{
    table_remove(&members->table, &member->link);
    list_remove(&member->in_order);
    person_leaves(members, member->person);
    free(member);
}

uint64_t members_people(const struct members *members)
{
    return members ? members->people.count + members->alone : 0;
}

void members_write(const struct members *members, uint64_t skip, uint64_t limit, struct buffer *out)
{
    uint64_t i = 0;
    const struct member *member;
    if (!members) {
        buffer_text(out, "[]");
        return;
    }
    buffer_text(out, "[");
    list_for_each (member, &members->in_order, in_order) {
        if (i >= skip) {
            if (i - skip >= limit)
                break;
            if (i > skip)
                buffer_text(out, ",");
            buffer_bytes(out, member->user.at, member->user.length);
        }
        i++;
    }
    buffer_text(out, "]");
}
