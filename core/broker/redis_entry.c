#include "redis_entry.h"
#include "buffer.h"

#include <ctype.h>

enum { FIELDS = 8 };

void redis_blob_write(const struct message_fields *fields, const struct redis_entry *entry,
                      struct buffer *out)
{
    const struct text all[FIELDS] = {fields->id,  fields->user, fields->sub,  fields->name,
                                     fields->msg, fields->ev,   fields->data, entry->who};
    buffer_bytes(out, &(char){(char)entry->kind}, 1);
    buffer_text(out, " ");
    buffer_number(out, fields->time_ms);
    buffer_text(out, " ");
    buffer_number(out, (int64_t)entry->target);
    for (int i = 0; i < FIELDS; i++) {
        buffer_text(out, " ");
        buffer_number(out, all[i].at ? (int64_t)all[i].length : -1);
    }
    buffer_text(out, "\n");
    for (int i = 0; i < FIELDS; i++)
        if (all[i].at)
            buffer_bytes(out, all[i].at, all[i].length);
}

/* ---- reading ---- */

/* A number, and the one character that ends it. false: it is none. */
static bool take_number(struct text *text, char end, int64_t *out)
{
    bool negative = text->length && *text->at == '-';
    size_t i = negative;
    int64_t number = 0;
    for (; i < text->length && i < 18 && isdigit((unsigned char)text->at[i]); i++)
        number = number * 10 + (text->at[i] - '0');
    if (i == (size_t)negative || i >= text->length || text->at[i] != end)
        return false;
    *out = negative ? -number : number;
    *text = (struct text){text->at + i + 1, text->length - i - 1};
    return true;
}

static bool take_epoch(struct text *text, char out[EPOCH_MAX + 1])
{
    const char *colon = text->length ? memchr(text->at, ':', text->length) : NULL;
    size_t length = colon ? (size_t)(colon - text->at) : EPOCH_MAX + 1;
    if (length > EPOCH_MAX)
        return false;
    memcpy(out, text->at, length);
    out[length] = 0;
    *text = (struct text){colon + 1, text->length - length - 1};
    return true;
}

static bool take_field(struct text *text, int64_t length, struct text *out)
{
    if (length > (int64_t)text->length)
        return false;
    *out = length < 0 ? (struct text){0} : (struct text){text->at, (size_t)length};
    if (length > 0)
        *text = (struct text){text->at + length, text->length - (size_t)length};
    return true;
}

struct message *redis_entry_read(struct text text, struct name *room, struct redis_entry *out)
{
    struct redis_entry entry = {0};
    struct message_fields fields = {0};
    struct text *const all[FIELDS] = {&fields.id,  &fields.user, &fields.sub,  &fields.name,
                                      &fields.msg, &fields.ev,   &fields.data, &entry.who};
    int64_t lengths[FIELDS], offset, target;
    if (!take_epoch(&text, entry.at.epoch) || !take_number(&text, ':', &offset) ||
        text.length < 2 || !memchr("mtrns", text.at[0], 5) || text.at[1] != ' ')
        return NULL;
    entry.kind = (enum redis_entry_kind)text.at[0];
    text = (struct text){text.at + 2, text.length - 2};
    if (!take_number(&text, ' ', &fields.time_ms) || !take_number(&text, ' ', &target))
        return NULL;
    for (int i = 0; i < FIELDS; i++)
        if (!take_number(&text, i < FIELDS - 1 ? ' ' : '\n', &lengths[i]))
            return NULL;
    for (int i = 0; i < FIELDS; i++)
        if (!take_field(&text, lengths[i], all[i]))
            return NULL;
    if (text.length || !fields.id.at || offset < 0)
        return NULL;
    struct message *message = message_create(room, &fields);
    if (!message)
        return NULL;
    message->offset = entry.at.offset = (uint64_t)offset;
    message->removed = entry.kind == ENTRY_TOMBSTONE;
    entry.target = (uint64_t)target;
    *out = entry;
    return message;
}
