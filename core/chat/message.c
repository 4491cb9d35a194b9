#include "message.h"
#include "alloc.h"
#include "buffer.h"
#include "counters.h"

#include <stdatomic.h>

enum { JSON_AROUND = 96 }; /* names of the fields, punctuation, the time */

static struct text keep(char **at, struct text from)
{
    if (!from.at)
        return from;
    char *copy = *at;
    memcpy(copy, from.at, from.length);
    *at += from.length;
    return (struct text){copy, from.length};
}

static void write_rest(const struct message_fields *fields, struct buffer *out)
{
    buffer_text(out, "\"user\":");
    buffer_bytes(out, fields->user.at ? fields->user.at : "null",
                 fields->user.at ? fields->user.length : 4);
    if (fields->sub.length) {
        buffer_text(out, ",\"sub\":");
        buffer_json_string(out, fields->sub);
    }
    if (fields->msg.at) {
        buffer_text(out, ",\"msg\":");
        buffer_json_string(out, fields->msg);
    }
    if (fields->ev.at) {
        buffer_text(out, ",\"ev\":");
        buffer_json_string(out, fields->ev);
    }
    if (fields->data.at) {
        buffer_text(out, ",\"data\":");
        buffer_bytes(out, fields->data.at, fields->data.length);
    }
    buffer_text(out, ",\"i\":");
    buffer_json_string(out, fields->id);
    int thousandths = (int)(fields->time_ms % 1000);
    char rest[] = {'.', (char)('0' + thousandths / 100), (char)('0' + thousandths / 10 % 10),
                   (char)('0' + thousandths % 10), '}'};
    buffer_text(out, ",\"d\":");
    buffer_number(out, fields->time_ms / 1000);
    buffer_bytes(out, rest, sizeof rest);
}

struct message *message_create(struct name *room, const struct message_fields *fields)
{
    struct buffer json = {0};
    size_t size = fields->id.length + fields->user.length + fields->sub.length +
                  fields->name.length + fields->msg.length + fields->ev.length +
                  fields->data.length;
    buffer_reserve(&json, size + JSON_AROUND); /* it grows only if there is much to escape */
    write_rest(fields, &json);
    size += json.length;
    struct message *message = json.failed ? NULL : malloc(sizeof *message + size);
    if (!message) {
        count_up(COUNT_failed_allocations);
        buffer_finish(&json);
        return NULL;
    }
    atomic_init(&message->refs, 1);
    message->removed = false;
    message->offset = 0;
    message->room = name_ref(room);
    char *at = message->storage;
    message->fields = (struct message_fields){
        .id = keep(&at, fields->id),
        .time_ms = fields->time_ms,
        .user = keep(&at, fields->user),
        .sub = keep(&at, fields->sub),
        .name = keep(&at, fields->name),
        .msg = keep(&at, fields->msg),
        .ev = keep(&at, fields->ev),
        .data = keep(&at, fields->data),
    };
    message->json = keep(&at, (struct text){json.at, json.length});
    buffer_finish(&json);
    return message;
}

struct message *message_tombstone(const struct message *message)
{
    struct message *tombstone =
        alloc_checked(/* it is small */
                      message_create(message->room,
                                     &(struct message_fields){.id = message->fields.id,
                                                              .time_ms = message->fields.time_ms}));
    tombstone->removed = true;
    tombstone->offset = message->offset;
    return tombstone;
}

struct message *message_ref(struct message *message)
{
    atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
    return message;
}

void message_unref(struct message *message)
{
    if (message && atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) == 1) {
        name_unref(message->room);
        free(message);
    }
}

void message_write_json(const struct message *message, struct buffer *out)
{
    buffer_bytes(out, "{", 1);
    if (message->offset) {
        buffer_text(out, "\"o\":");
        buffer_number(out, (int64_t)message->offset);
        buffer_bytes(out, ",", 1);
    }
    buffer_bytes(out, message->json.at, message->json.length);
}
