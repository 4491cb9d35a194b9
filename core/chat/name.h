/* name.h: the name of a room (a channel, on the wire): UTF-8, 1 to 200 bytes, any characters but
 * NUL. Counted and immutable, with its hash, so that loops pass it about freely. Any thread. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

enum { NAME_MAX_BYTES = 200 };

struct name {
    _Atomic unsigned refs;
    uint16_t length;
    uint64_t hash;
    char at[]; /* NUL-terminated */
};

/* NULL if it is not a name: empty, too long, not UTF-8, or with a NUL. */
struct name *name_create(struct text text);
/* Of no room: the key of something else, of any bytes, up to 64 KiB. */
struct name *name_create_any(struct text text);
struct name *name_ref(struct name *name);
void name_unref(struct name *name);
bool name_equal(const struct name *a, const struct name *b);

static inline struct text name_text(const struct name *name)
{
    return (struct text){name->at, name->length};
}

/* UTF-8 as RFC 3629 has it: shortest forms, no surrogates, up to U+10FFFF. */
bool utf8_valid(struct text text);
