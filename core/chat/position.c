#include "position.h"

/* Positions come back to the client, in JSON and in lists with commas: nothing in them may be
 * taken for something else. */
static bool is_epoch_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_';
}

bool position_parse(struct text text, struct position *out)
{
    struct position parsed = {.offset = 0};
    const char *colon = text.length ? memchr(text.at, ':', text.length) : NULL;
    if (!text.length || text_is(text, ":0")) {
        *out = parsed;
        return true;
    }
    if (!colon || colon == text.at || colon - text.at > EPOCH_MAX)
        return false;
    for (const char *p = text.at; p < colon; p++)
        if (!is_epoch_char(*p))
            return false;
    memcpy(parsed.epoch, text.at, (size_t)(colon - text.at));
    const char *digit = colon + 1, *end = text.at + text.length;
    if (digit == end || end - digit > 18) /* 18 digits always fit */
        return false;
    for (; digit < end; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
        parsed.offset = parsed.offset * 10 + (uint64_t)(*digit - '0');
    }
    *out = parsed;
    return true;
}
