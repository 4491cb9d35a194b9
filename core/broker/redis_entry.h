/* redis_entry.h: a message as Redis keeps and announces it: epoch:offset:blob. The blob is
 *
 *   kind time target id user sub name msg ev data who\n…
 *
 * a letter, milliseconds since 1970, an offset, and the lengths in bytes of what follows the line,
 * -1 for what is absent. Scripts read it too (redis/common.lua). Any thread. */
#pragma once
#include "message.h"
#include "position.h"

enum redis_entry_kind {
    ENTRY_MESSAGE = 'm',    /* or event */
    ENTRY_TOMBSTONE = 't',  /* a removed one: time and id alone are left */
    ENTRY_RM_MESSAGE = 'r', /* an event: the message at offset target is removed */
    ENTRY_RM_BY_NAME = 'n', /* an event: what who said, by _public.name, */
    ENTRY_RM_BY_SUB = 's',  /* or by identity */
};

struct redis_entry {
    enum redis_entry_kind kind;
    struct position at;
    uint64_t target;
    struct text who; /* lent by what was read */
};

/* The blob: Redis adds epoch and offset. */
void redis_blob_write(const struct message_fields *fields, const struct redis_entry *entry,
                      struct buffer *out);
/* returns  a message of that room, with its offset; NULL: it is no entry, or there is no memory */
struct message *redis_entry_read(struct text text, struct name *room, struct redis_entry *out);
