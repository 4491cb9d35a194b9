#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[FIELD_COUNT] = {
    [FIELD_ROOM] = "room.name",
    [FIELD_NAME] = "user.name",
    [FIELD_SUB] = "user.sub",
    [FIELD_MSG] = "msg",
};

/* The field whose name begins at, behind a {; length_out is up to its }. FIELD_COUNT: none. */
static int field_at(const char *at, const char *end, size_t *length_out)
{
    const char *close = memchr(at, '}', (size_t)(end - at));
    *length_out = close ? (size_t)(close - at) : (size_t)(end - at);
    for (int i = 0; close && i < FIELD_COUNT; i++)
        if (strlen(names[i]) == *length_out && !memcmp(names[i], at, *length_out))
            return i;
    return FIELD_COUNT;
}

const char *template_check(struct chatup_text text, char *why, size_t size)
{
    const char *at = text.at, *end = at + text.length;
    size_t length;
    while (at < end && (at = memchr(at, '{', (size_t)(end - at)))) {
        if (field_at(++at, end, &length) == FIELD_COUNT) {
            snprintf(why, size, "{%.*s%s: known are {room.name}, {user.name}, {user.sub} and {msg}",
                     (int)(length < 40 ? length : 40), at,
                     at + length < end ? "} is no field" : " is not closed");
            return why;
        }
        at += length + 1;
    }
    return NULL;
}

char *template_fill(struct chatup_text text, const struct chatup_text fields[FIELD_COUNT],
                    size_t *length_out)
{
    const char *end = text.at + text.length;
    char *out = NULL;
    for (int writing = 0; writing < 2; writing++) { /* first its length is found */
        size_t length = 0, name;
        for (const char *at = text.at; at < end; at++) {
            struct chatup_text piece = {at, 1};
            if (*at == '{') {
                piece = fields[field_at(at + 1, end, &name)];
                at += name + 1;
            }
            if (writing && piece.length)
                memcpy(out + length, piece.at, piece.length);
            length += piece.length;
        }
        if (!writing && !(out = malloc(length + 1)))
            return NULL;
        out[length] = 0;
        *length_out = length;
    }
    return out;
}
