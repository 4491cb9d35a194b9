/* members.h: the publishers of a room. Its owner's loop only. */
#pragma once
#include "list.h"
#include "table.h"
#include "text.h"
#include <stdint.h>

struct buffer;

struct person; /* one sub, and how many members it is */

struct member {
    struct table_link link;
    struct list in_order;
    char id[37];
    struct person *person;       /* NULL: it has no sub */
    struct text user, sub, name; /* into storage; user is JSON */
    char storage[];
};

struct members {
    struct table table;
    struct table people;
    struct list in_order; /* of arrival */
    uint64_t alone;       /* members without a sub */
};

struct members *members_create(void);
void members_destroy(struct members *members);
/* The others, but those that change something, take NULL: there are none. */
uint64_t members_count(const struct members *members);
struct member *members_add(struct members *members, const char id[37], struct text user,
                           struct text sub, struct text name);
struct member *members_find(struct members *members, const char id[37]);
void members_remove(struct members *members, struct member *member);
/* How many different people they are: by sub; one without a sub counts alone. */
uint64_t members_people(const struct members *members);
/* The JSON array of users skip … skip + limit. */
void members_write(const struct members *members, uint64_t skip, uint64_t limit,
                   struct buffer *out);
