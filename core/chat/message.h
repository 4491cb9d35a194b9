/* message.h: one message or event of a room, with the JSON it becomes.
 *
 * Whoever creates it may give it its offset; from then on it is immutable and counted: any thread
 * may ref, read and unref. */
#pragma once
#include "name.h"
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

struct buffer;

struct message_fields {
    struct text id;   /* a UUID */
    int64_t time_ms;  /* since 1970 */
    struct text user; /* what others may see of who sent it: JSON; absent: null */
    struct text sub;  /* who sent it: identity; may be empty */
    struct text name; /* _public.name; may be empty */
    struct text msg;  /* the text; absent in events */
    struct text ev;   /* the event's name; absent in plain messages */
    struct text data; /* the event's data: JSON; absent if it has none */
};

struct message {
    _Atomic unsigned refs;
    bool removed;    /* a tombstone: the offset stays, the content is gone */
    uint64_t offset; /* in its room's epoch, from 1; 0: an event that is not stored (join, leave) */
    struct name *room;
    struct message_fields fields; /* into json, where it has them as they are; else behind it */
    struct text json;             /* its JSON without the opening brace and the offset */
    char storage[];
};

/* Copies all fields; refs room. NULL without memory for it. */
struct message *message_create(struct name *room, const struct message_fields *fields);
/* What is left of a removed message: its offset, time and id. */
struct message *message_tombstone(const struct message *message);
struct message *message_ref(struct message *message);
void message_unref(struct message *message);

/* {"o":12,"user":{…},"sub":"…","msg":"…","i":"uuid","d":1763890000.123} */
void message_write_json(const struct message *message, struct buffer *out);
