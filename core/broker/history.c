#include "history.h"
#include "alloc.h"
#include "bans.h"
#include "message.h"

static struct message **slot(const struct history *history, uint32_t i)
{
    return &history->ring[(history->start + i) % history->room];
}

static void drop_oldest(struct history *history)
{
    history->bytes -= (*slot(history, 0))->json.length;
    message_unref(*slot(history, 0));
    history->start = (history->start + 1) % history->room;
    history->count--;
}

void history_add(struct history *history, struct message *message, uint32_t max, uint64_t max_bytes)
{
    uint64_t bytes = message->json.length;
    while (history->count &&
           (history->count >= max || (max_bytes && history->bytes + bytes > max_bytes)))
        drop_oldest(history);
    if (!max) {
        message_unref(message);
        return;
    }
    if (history->count == history->room) { /* grows as the room does, up to max */
        uint32_t room = history->room ? history->room * 2 : 4;
        struct message **ring = xmalloc(room * sizeof *ring);
        for (uint32_t i = 0; i < history->count; i++)
            ring[i] = *slot(history, i);
        free(history->ring);
        *history = (struct history){
            .ring = ring, .count = history->count, .room = room, .bytes = history->bytes};
    }
    history->count++;
    history->bytes += bytes;
    *slot(history, history->count - 1) = message;
}

void history_expire(struct history *history, int64_t before_ms)
{
    while (history->count && (*slot(history, 0))->fields.time_ms < before_ms)
        drop_oldest(history);
}

/* The old one is dropped; the new one's reference is taken. */
static void replace(struct history *history, struct message **at, struct message *with)
{
    history->bytes -= (*at)->json.length;
    history->bytes += with->json.length;
    message_unref(*at);
    *at = with;
}

uint64_t history_first(const struct history *history)
{
    return history->count ? (*slot(history, 0))->offset : 0;
}

void history_ban(struct history *history, const struct ban *ban)
{
    for (uint32_t i = 0; i < history->count; i++) {
        struct message **at = slot(history, i);
        struct text said_by = ban->kind == BAN_SUB ? (*at)->fields.sub : (*at)->fields.name;
        bool notice = text_is((*at)->fields.ev, "rmUserMsg"); /* who banned whom stays */
        if ((*at)->removed || notice || !text_equal(said_by, ban_who(ban)))
            continue;
        replace(history, at, message_tombstone(*at));
    }
}

struct message **history_after(const struct history *history, uint64_t offset, size_t *count_out)
{
    uint32_t first = 0;
    while (first < history->count && (*slot(history, first))->offset <= offset)
        first++;
    *count_out = history->count - first;
    if (first == history->count)
        return NULL;
    struct message **messages = xmalloc(*count_out * sizeof *messages);
    for (uint32_t i = first; i < history->count; i++)
        messages[i - first] = message_ref(*slot(history, i));
    return messages;
}

bool history_reaches(const struct history *history, uint64_t offset, uint64_t last)
{
    if (offset >= last)
        return offset == last; /* ahead of us: not ours */
    return history->count && (*slot(history, 0))->offset <= offset + 1;
}

void history_finish(struct history *history)
{
    while (history->count)
        drop_oldest(history);
    free(history->ring);
    *history = (struct history){0};
}

void messages_free(struct message **messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        message_unref(messages[i]);
    free(messages);
}
