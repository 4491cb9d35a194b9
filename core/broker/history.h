/* history.h: the last messages of a room, oldest first, offsets without a gap. Its owner's loop
 * only; the messages are counted and immutable. */
#pragma once
#include "bans.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;

struct history { /* zero-initialised is empty */
    struct message **ring;
    uint32_t start, count, room;
    uint64_t bytes; /* of the messages' JSON */
};

/* Takes the reference; drops the oldest beyond max, and beyond max_bytes (0: any), but never the
 * newest for its size. */
void history_add(struct history *history, struct message *message, uint32_t max,
                 uint64_t max_bytes);
/* The offset of the oldest; 0 if it is empty. */
uint64_t history_first(const struct history *history);
/* Drop what is older than that. */
void history_expire(struct history *history, int64_t before_ms);
/* Empty what that person said (BAN_NAME or BAN_SUB). What tells of a removal is never emptied.
 *   returns  how many messages */
size_t history_remove_said(struct history *history, enum ban_kind kind, struct text who);
/* Whether there is anything to empty. */
bool history_has_said(const struct history *history, enum ban_kind kind, struct text who);
/* A message by its id if that is not empty, else by its offset; NULL: not there. A tombstone, too.
 */
const struct message *history_find(const struct history *history, struct text id, uint64_t offset);
/* Not removed yet, and not what tells of a removal. */
bool history_may_remove(const struct message *message);
/* Empty that message.
 *   returns  whether it was there and may be removed */
bool history_remove(struct history *history, uint64_t offset);
/* A new array of new references to all after offset, oldest first; *count_out of them; NULL if
 * none. */
struct message **history_after(const struct history *history, uint64_t offset, size_t *count_out);
struct history_part { /* messages with an offset between both, removed ones left out; at most */
    uint64_t after, before, max;
    bool oldest; /* if there are more: the oldest of them, else the newest */
};
#define HISTORY_WHOLE                                                                              \
    (struct history_part)                                                                          \
    {                                                                                              \
        .before = UINT64_MAX, .max = UINT64_MAX                                                    \
    }
/* The same of those; oldest first. */
struct message **history_page(const struct history *history, const struct history_part *part,
                              size_t *count_out);
/* Whether everything after offset, up to last, is in it. */
bool history_reaches(const struct history *history, uint64_t offset, uint64_t last);
void history_finish(struct history *history);

void messages_free(struct message **messages, size_t count);
