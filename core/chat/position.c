#include "position.h"

bool position_parse(struct text text, struct position *out)
{
    struct position parsed = {.offset = 0};
    const char *colon = text.length ? memchr(text.at, ':', text.length) : NULL;
    if (!text.length) {
        *out = parsed;
        return true;
    }
    if (!colon || colon == text.at || colon - text.at > EPOCH_MAX)
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
    for (const char *p = parsed.epoch; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    *out = parsed;
    return true;
}
