/* word.h: looking at text eight or sixteen bytes at a time. Says whether one of them is such, not
 * which. Blocks are vectors of the compiler (GCC and Clang): without instructions for them they are
 * compiled to others. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t word_at(const void *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline bool word_is_ascii(uint64_t word)
{
    return !(word & UINT64_C(0x8080808080808080));
}

enum { BLOCK = 16 };
typedef uint8_t block __attribute__((vector_size(BLOCK)));

static inline block block_at(const void *bytes)
{
    block all;
    memcpy(&all, bytes, sizeof all);
    return all;
}

/* marks: of comparisons */
static inline bool block_any(block marks)
{
    uint64_t halves[2];
    memcpy(halves, &marks, sizeof halves);
    return halves[0] | halves[1];
}

/* What a string of JSON (RFC 8259) cannot have as it is: controls, quotes, backslashes. */
static inline block block_escaped(block all)
{
    return (block)(all < 0x20) | (block)(all == '"') | (block)(all == '\\');
}
