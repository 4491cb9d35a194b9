#include "history.h"
#include "alloc.h"
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
        struct message **ring = malloc(room * sizeof *ring);
        if (!ring && history->count) { /* as if max were what it has room for */
            drop_oldest(history);
            history_add(history, message, max, max_bytes);
            return;
        }
        alloc_checked(ring);
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

uint64_t history_first(const struct history *history)
{
    return history->count ? (*slot(history, 0))->offset : 0;
}

/* Who was away learns from the events what they have to remove: those stay. */
bool history_may_remove(const struct message *message)
{
    struct text ev = message->fields.ev;
    return !message->removed && !text_is(ev, "rmUserMsg") && !text_is(ev, "rmMsg");
}

static bool said_by(const struct message *message, enum ban_kind kind, struct text who)
{
    const struct message_fields *fields = &message->fields;
    return history_may_remove(message) &&
           text_equal(kind == BAN_SUB ? fields->sub : fields->name, who);
}

static void empty(struct history *history, struct message **at)
{
    struct message *tombstone = message_tombstone(*at);
    history->bytes -= (*at)->json.length;
    history->bytes += tombstone->json.length;
    message_unref(*at);
    *at = tombstone;
}

size_t history_remove_said(struct history *history, enum ban_kind kind, struct text who)
{
    size_t count = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        struct message **at = slot(history, i);
        if (!said_by(*at, kind, who))
            continue;
        empty(history, at);
        count++;
    }
    return count;
}

bool history_has_said(const struct history *history, enum ban_kind kind, struct text who)
{
    for (uint32_t i = 0; i < history->count; i++)
        if (said_by(*slot(history, i), kind, who))
            return true;
    return false;
}

static struct message **find(const struct history *history, struct text id, uint64_t offset)
{
    for (uint32_t i = 0; i < history->count; i++) {
        struct message **at = slot(history, i);
        if (id.length ? text_equal((*at)->fields.id, id) : (*at)->offset == offset)
            return at;
    }
    return NULL;
}

const struct message *history_find(const struct history *history, struct text id, uint64_t offset)
{
    struct message **at = find(history, id, offset);
    return at ? *at : NULL;
}

bool history_remove(struct history *history, uint64_t offset)
{
    struct message **at = find(history, (struct text){0}, offset);
    if (!at || !history_may_remove(*at))
        return false;
    empty(history, at);
    return true;
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

static bool is_part(const struct message *message, const struct history_part *part)
{
    return !message->removed && message->offset > part->after && message->offset < part->before;
}

struct message **history_page(const struct history *history, const struct history_part *part,
                              size_t *count_out)
{
    size_t found = 0, count = 0;
    for (uint32_t i = 0; i < history->count; i++)
        found += is_part(*slot(history, i), part);
    *count_out = found < part->max ? found : (size_t)part->max;
    size_t skip = part->oldest ? 0 : found - *count_out;
    struct message **messages = xmalloc(*count_out * sizeof *messages);
    for (uint32_t i = 0; count < *count_out; i++) {
        struct message *message = *slot(history, i);
        if (!is_part(message, part))
            continue;
        if (skip)
            skip--;
        else
            messages[count++] = message_ref(message);
    }
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
