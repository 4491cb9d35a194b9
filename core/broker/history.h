/* history.h: the last messages of a room, oldest first, offsets without a gap. Its owner's loop
 * only; the messages are counted and immutable. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ban;
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
/* Empty what the banned one said; who they had banned themselves stays. */
void history_ban(struct history *history, const struct ban *ban);
/* A new array of new references to all after offset, oldest first; *count_out of them; NULL if
 * none. */
struct message **history_after(const struct history *history, uint64_t offset, size_t *count_out);
/* Whether everything after offset, up to last, is in it. */
bool history_reaches(const struct history *history, uint64_t offset, uint64_t last);
void history_finish(struct history *history);

void messages_free(struct message **messages, size_t count);
