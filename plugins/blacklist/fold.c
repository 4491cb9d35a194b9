#include "fold.h"

#include <string.h>

struct range {
    uint32_t low, high;
};

struct mapping {
    uint32_t from, to[3]; /* 0: no more */
};

#include "fold_table.h"

/* Letters before this one (of Europe, Hebrew, Arabic) have accents only. */
#define FIRST_WITH_VOWEL_SIGNS 0x700

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

int fold_is_mark(uint32_t code)
{
    return code >= 0x300 && in_ranges(range_marks, COUNT(range_marks), code);
}

/* What cannot be seen belongs to what is in front. */
static void extend(struct folded *out, size_t count, uint32_t end)
{
    for (size_t i = count; i-- && out[i].begin == out[count - 1].begin;)
        out[i].end = end;
}

/* Behind what is no letter of such a script, a vowel sign of India is but one more accent: else it
 * would hide the end of a word. Returns how many there are then. */
static size_t put(struct folded *out, size_t count, struct folded symbol)
{
    if (fold_is_mark(symbol.code) && (!count || out[count - 1].code < FIRST_WITH_VOWEL_SIGNS)) {
        extend(out, count, symbol.end);
        return count;
    }
    out[count] = symbol;
    return count + 1;
}

/* A syllable of Hangul is up to three letters: it may be written either way (UAX #15). */
static const uint32_t *syllable_of(uint32_t code, uint32_t letters[3])
{
    if (code < 0xac00 || code > 0xd7a3)
        return NULL;
    code -= 0xac00;
    letters[0] = 0x1100 + code / (21 * 28);
    letters[1] = 0x1161 + code / 28 % 21;
    letters[2] = code % 28 ? 0x11a7 + code % 28 : 0;
    return letters;
}

static int is_invisible(uint32_t code)
{
    return code < 0x80 ? code < ' ' || code == 0x7f
                       : in_ranges(range_ignored, COUNT(range_ignored), code);
}

static int is_space(uint32_t code)
{
    return code < 0x80 ? code == ' ' || (code >= '\t' && code <= '\r')
                       : in_ranges(range_spaces, COUNT(range_spaces), code);
}

static uint64_t eight_at(const char *text)
{
    uint64_t eight;
    memcpy(&eight, text, sizeof eight);
    return eight;
}

/* The first eight of nine. Which bytes of a word are less than n, or zero: Mycroft, 1987. */
static int eight_are_plain(const char *text)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
    uint64_t eight = eight_at(text);
    uint64_t pairs = (eight ^ ones * ' ') | (eight_at(text + 1) ^ ones * ' '); /* 0: two of ' ' */
    return !((eight | (eight - ones * ' ') | (eight + ones) | ((pairs - ones) & ~pairs)) & high);
}

int fold_is_plain(const char *text, size_t length)
{
    size_t i = 0;
    while (length - i > 8 && eight_are_plain(text + i))
        i += 8;
    for (; i < length; i++)
        if ((unsigned char)(text[i] - ' ') > '~' - ' ' ||
            (text[i] == ' ' && i && text[i - 1] == ' '))
            return 0;
    return 1;
}

size_t fold(const char *text, size_t length, struct folded *out)
{
    const unsigned char *p = (const unsigned char *)text, *start = p, *end = p + length;
    size_t count = 0;
    while (p < end) {
        struct folded symbol = {.begin = (uint32_t)(p - start)};
        uint32_t code = decode(&p, end), letters[3];
        symbol.end = (uint32_t)(p - start);
        if (is_space(code)) {
            symbol.code = ' ';
            if (count && out[count - 1].code == ' ')
                out[count - 1].end = symbol.end;
            else
                out[count++] = symbol;
            continue;
        }
        if (is_invisible(code)) {
            extend(out, count, symbol.end);
            continue;
        }
        const uint32_t *to = code < 0x80 ? NULL : syllable_of(code, letters);
        if (!to && code >= 0x80)
            to = mapping_of(code);
        symbol.code = fold_ascii(code);
        if (!to)
            count = put(out, count, symbol);
        for (int i = 0; to && i < 3 && to[i]; i++) {
            symbol.code = to[i];
            count = put(out, count, symbol);
        }
    }
    return count;
}
