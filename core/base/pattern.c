/* A pattern is pieces between stars. The first must begin the name, the last must end it, each of
 * the others is looked for behind the one before it: if it is there at all, its first place is as
 * good as any later one, so nothing is ever tried twice. */
#include "pattern.h"
#include "alloc.h"

#include <string.h>

#define STAR '\xff'
#define SUB  '\xfe'

/* ---- reading ---- */

/* One element of source at *from.
 *   returns  its byte in a pattern; 0 with the sentence in `what` */
static char element_read(struct text source, size_t *from, struct error *what)
{
    static const char placeholder[] = "{sub}";
    const char *at = source.at + *from;
    size_t left = source.length - *from;
    size_t length = 1;
    char element = *at;
    if (*at == '\\') {
        element = left > 1 && strchr("*{\\", at[1]) ? at[1] : 0;
        length = 2;
        if (!element)
            error_set(what, "\\ must stand before *, { or \\");
    } else if (*at == '*') {
        element = STAR;
    } else if (*at == '{') {
        length = sizeof placeholder - 1;
        element = left >= length && !memcmp(at, placeholder, length) ? SUB : 0;
        if (!element)
            error_set(what, "{ must begin {sub}; write \\{ for a plain {");
    } else if (*at == STAR || *at == SUB || !*at) {
        element = 0;
        error_set(what, "must be UTF-8 without NUL");
    }
    *from += length;
    return element;
}

bool pattern_init(struct pattern *pattern, struct text source, struct error *what)
{
    char bytes[PATTERN_BYTES_MAX];
    size_t length = 0, from = 0;
    while (from < source.length && length < sizeof bytes) {
        char element = element_read(source, &from, what);
        if (!element)
            return false;
        bytes[length++] = element;
    }
    if (!length || from < source.length) {
        error_set(what, "must be 1 to %d bytes long", PATTERN_BYTES_MAX);
        return false;
    }
    *pattern = (struct pattern){xmemdup(bytes, length), length, memchr(bytes, SUB, length)};
    return true;
}

void pattern_finish(struct pattern *pattern)
{
    free(pattern->at);
    *pattern = (struct pattern){0};
}

/* ---- matching ---- */

/* The piece with its {sub} filled in, if it has any, in room; absent if that is longer than a name.
 */
static struct text piece_fill(struct text piece, struct text sub, char room[PATTERN_BYTES_MAX])
{
    size_t length = 0;
    if (!memchr(piece.at, SUB, piece.length))
        return piece;
    for (size_t i = 0; i < piece.length; i++) {
        struct text part = piece.at[i] == SUB ? sub : (struct text){piece.at + i, 1};
        if (part.length > PATTERN_BYTES_MAX - length)
            return (struct text){0};
        memcpy(room + length, part.at, part.length);
        length += part.length;
    }
    return (struct text){room, length};
}

/* Take the piece, and whatever a star before it stands for, off the front of name. */
static bool piece_take(struct text *name, struct text piece, bool is_first, bool is_last)
{
    size_t spare = name->length - piece.length;
    if (piece.length > name->length || (is_first && is_last && spare))
        return false;
    const char *found = is_first  ? name->at
                        : is_last ? name->at + spare
                                  : memmem(name->at, name->length, piece.at, piece.length);
    if (!found || memcmp(found, piece.at, piece.length) != 0)
        return false;
    name->length -= (size_t)(found + piece.length - name->at);
    name->at = found + piece.length;
    return true;
}

static bool match(struct text left, struct text name, struct text sub)
{
    char room[PATTERN_BYTES_MAX];
    for (bool is_first = true;; is_first = false) {
        const char *star = memchr(left.at, STAR, left.length);
        size_t length = star ? (size_t)(star - left.at) : left.length;
        struct text piece = piece_fill((struct text){left.at, length}, sub, room);
        if (!piece.at || !piece_take(&name, piece, is_first, !star))
            return false;
        if (!star)
            return true;
        left.length -= length + 1;
        left.at = star + 1;
    }
}

bool pattern_matches(const struct pattern *pattern, struct text name, struct text sub)
{
    return (!pattern->has_sub || sub.length) &&
           match((struct text){pattern->at, pattern->length}, name, sub);
}

bool pattern_could_match(const struct pattern *pattern, struct text name)
{
    char bytes[PATTERN_BYTES_MAX];
    for (size_t i = 0; i < pattern->length; i++)
        bytes[i] = pattern->at[i] == SUB ? STAR : pattern->at[i];
    return match((struct text){bytes, pattern->length}, name, (struct text){0});
}

bool pattern_reaches_over(const struct pattern *pattern, struct text prefix)
{
    for (size_t i = 0; i < prefix.length; i++) {
        if (i == pattern->length)
            return false;
        if (pattern->at[i] == STAR || pattern->at[i] == SUB)
            return true;
        if (pattern->at[i] != prefix.at[i])
            return false;
    }
    return false;
}
