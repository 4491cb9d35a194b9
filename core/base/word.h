/* word.h: looking at text eight bytes at a time (Mycroft, 1987; "Bit Twiddling Hacks", Anderson:
 * which bytes of a word are zero, or less than n). Says whether there is one, not where. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WORD_ONES UINT64_C(0x0101010101010101)
#define WORD_HIGH UINT64_C(0x8080808080808080)

static inline uint64_t word_at(const void *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline bool word_is_ascii(uint64_t word)
{
    return !(word & WORD_HIGH);
}

static inline bool word_has(uint64_t word, unsigned char byte)
{
    uint64_t zero = word ^ WORD_ONES * byte;
    return (zero - WORD_ONES) & ~zero & WORD_HIGH;
}

/* Of ASCII only. */
static inline bool word_has_control(uint64_t word)
{
    return (word - WORD_ONES * 0x20) & ~word & WORD_HIGH;
}

/* ASCII that a string of JSON (RFC 8259) has as it is. */
static inline bool word_is_unescaped(uint64_t word)
{
    return word_is_ascii(word) && !word_has_control(word) && !word_has(word, '"') &&
           !word_has(word, '\\');
}
