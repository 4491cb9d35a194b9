#include "message.h"
#include "alloc.h"
#include "buffer.h"
#include "counters.h"

#include <stdatomic.h>

enum { JSON_AROUND = 96 }; /* names of the fields, punctuation, the time */

/* Where a text is in the JSON; 0: it has been escaped, or is not there. */
struct places {
    size_t id, user, sub, msg, ev, data;
};

static size_t write_json(struct buffer *out, struct text json)
{
    size_t at = out->length;
    buffer_bytes(out, json.at, json.length);
    return at;
}

static size_t write_string(struct buffer *out, struct text text)
{
    size_t at = out->length + 1;
    buffer_json_string(out, text);
    return out->length == at + text.length + 1 ? at : 0;
}

static void write_rest(const struct message_fields *fields, struct buffer *out,
                       struct places *places)
{
    buffer_text(out, "\"user\":");
    places->user = write_json(out, fields->user.at ? fields->user : (struct text){"null", 4});
    if (fields->sub.length) {
        buffer_text(out, ",\"sub\":");
        places->sub = write_string(out, fields->sub);
    }
    if (fields->msg.at) {
        buffer_text(out, ",\"msg\":");
        places->msg = write_string(out, fields->msg);
    }
    if (fields->ev.at) {
        buffer_text(out, ",\"ev\":");
        places->ev = write_string(out, fields->ev);
    }
    if (fields->data.at) {
        buffer_text(out, ",\"data\":");
        places->data = write_json(out, fields->data);
    }
    buffer_text(out, ",\"i\":");
    places->id = write_string(out, fields->id);
    int thousandths = (int)(fields->time_ms % 1000);
    char rest[] = {'.', (char)('0' + thousandths / 100), (char)('0' + thousandths / 10 % 10),
                   (char)('0' + thousandths % 10), '}'};
    buffer_text(out, ",\"d\":");
    buffer_number(out, fields->time_ms / 1000);
    buffer_bytes(out, rest, sizeof rest);
}

static size_t size_beside(struct text text, size_t place)
{
    return place ? 0 : text.length;
}

/* A field is where the JSON has it, else copied behind. */
static struct text keep(const struct message *message, char **to, struct text from, size_t place)
{
    if (!from.at)
        return from;
    if (place)
        return (struct text){message->json.at + place, from.length};
    char *copy = *to;
    if (from.length)
        memcpy(copy, from.at, from.length);
    *to += from.length;
    return (struct text){copy, from.length};
}

struct message *message_create(struct name *room, const struct message_fields *from)
{
    struct buffer json = {0};
    struct places at = {0};
    buffer_reserve(&json, from->id.length + from->user.length + from->sub.length +
                              from->msg.length + from->ev.length + from->data.length + JSON_AROUND);
    write_rest(from, &json, &at);
    size_t beside = size_beside(from->id, at.id) + size_beside(from->user, at.user) +
                    size_beside(from->sub, at.sub) + size_beside(from->msg, at.msg) +
                    size_beside(from->ev, at.ev) + size_beside(from->data, at.data) +
                    from->name.length;
    struct message *message = json.failed ? NULL : malloc(sizeof *message + json.length + beside);
    if (!message) {
        count_up(COUNT_failed_allocations);
        buffer_finish(&json);
        return NULL;
    }
    atomic_init(&message->refs, 1);
    message->removed = false;
    message->offset = 0;
    message->room = name_ref(room);
    message->json = (struct text){memcpy(message->storage, json.at, json.length), json.length};
    buffer_finish(&json);
    char *to = message->storage + message->json.length;
    message->fields = (struct message_fields){
        .id = keep(message, &to, from->id, at.id),
        .time_ms = from->time_ms,
        .user = keep(message, &to, from->user, at.user),
        .sub = keep(message, &to, from->sub, at.sub),
        .name = keep(message, &to, from->name, 0),
        .msg = keep(message, &to, from->msg, at.msg),
        .ev = keep(message, &to, from->ev, at.ev),
        .data = keep(message, &to, from->data, at.data),
    };
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
