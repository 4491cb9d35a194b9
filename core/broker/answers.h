/* answers.h: what was answered to a client id, so that a repetition gets the same answer and is
 * not a second message. An entry is made when the message is numbered, and forgotten if storing it
 * fails. Its owner's loop only. */
#pragma once
#include "list.h"
#include "table.h"
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

struct answer {
    struct table_link link;
    struct list by_age;
    int64_t time_ms;
    uint64_t offset; /* above the room's announced one: still under way */
    char id[37];
    size_t length;
    char client_id[];
};

struct answers {
    struct table table;
    struct list by_age; /* oldest first */
};

struct answers *answers_create(void);
void answers_destroy(struct answers *answers);
/* All but answers_add take NULL: none were given yet. */
bool answers_any(const struct answers *answers);
/* NULL: never heard of. */
struct answer *answers_find(struct answers *answers, struct text client_id);
/* Beyond max the oldest is forgotten. */
void answers_add(struct answers *answers, struct text client_id, uint64_t offset, const char *id,
                 int64_t time_ms, uint32_t max);
void answers_expire(struct answers *answers, int64_t before_ms);
/* Storing failed: offsets above it never were. */
void answers_forget_above(struct answers *answers, uint64_t offset);
