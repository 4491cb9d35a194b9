#include "fold.h"

struct range {
    uint32_t low, high;
};

struct mapping {
    uint32_t from, to[3]; /* 0: no more */
};

#include "fold_table.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static int in_ranges(const struct range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle].high)
            low = middle + 1;
        else if (code < ranges[middle].low)
            high = middle;
        else
            return 1;
    }
    return 0;
}

static const uint32_t *mapping_of(uint32_t code)
{
    size_t low = 0, high = COUNT(mappings);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (mappings[middle].from == code)
            return mappings[middle].to;
        if (mappings[middle].from < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static uint32_t decode(const unsigned char **p, const unsigned char *end)
{
    uint32_t first = *(*p)++;
    uint32_t code = first < 0x80   ? first
                    : first < 0xe0 ? first & 0x1f
                    : first < 0xf0 ? first & 0xf
                                   : first & 7;
    while (*p < end && (**p & 0xc0) == 0x80)
        code = code << 6 | (*(*p)++ & 0x3f);
    return code;
}

int fold_is_word(uint32_t code)
{
    if (code < 0x80)
        return (code >= 'a' && code <= 'z') || (code >= '0' && code <= '9');
    return in_ranges(range_words, COUNT(range_words), code);
}

size_t fold(const char *text, size_t length, struct folded *out)
{
    const unsigned char *p = (const unsigned char *)text, *start = p, *end = p + length;
    size_t count = 0;
    while (p < end) {
        struct folded symbol = {.begin = (uint32_t)(p - start)};
        uint32_t code = decode(&p, end);
        symbol.end = (uint32_t)(p - start);
        if (code >= 0x80 && in_ranges(range_ignored, COUNT(range_ignored), code)) {
            for (size_t i = count; i-- && out[i].begin == out[count - 1].begin;)
                out[i].end = symbol.end; /* it belongs to what is in front */
            continue;
        }
        if (code == ' ' || (code >= '\t' && code <= '\r') ||
            (code >= 0x80 && in_ranges(range_spaces, COUNT(range_spaces), code))) {
            if (count && out[count - 1].code == ' ') {
                out[count - 1].end = symbol.end;
                continue;
            }
            symbol.code = ' ';
            out[count++] = symbol;
            continue;
        }
        const uint32_t *to = code < 0x80 ? NULL : mapping_of(code);
        symbol.code = code >= 'A' && code <= 'Z' ? code + 'a' - 'A' : code;
        if (!to)
            out[count++] = symbol;
        for (int i = 0; to && i < 3 && to[i]; i++) {
            symbol.code = to[i];
            out[count++] = symbol;
        }
    }
    return count;
}
