/* words.h: thousands of words, looked for in one pass over a text. Immutable once built, and
 * counted: any thread. */
#pragma once
#include <chatup/plugin.h>

enum word_kind { WORD_BLOCK = 1, WORD_MUTE = 2 };

struct word {
    struct chatup_text text; /* folded as the texts are: fold.h */
    int kind;                /* enum word_kind */
};

struct words;

/* Aho and Corasick, "Efficient string matching", 1975; edges in one hash table. A word of nothing
 * visible is left out. Copies.
 *   returns  one reference; NULL without memory for it */
struct words *words_build(const struct word *list, size_t count);
struct words *words_ref(struct words *words);
void words_unref(struct words *words);

struct hit { /* bytes of the text */
    size_t begin, end;
    int kind;
};

/* Whole words only: where a word begins or ends with a letter or digit, the text has none beside
 * it.
 *   hits     room for max of them, in the order of their ends; may overlap
 *   returns  how many were written; WORDS_NO_MEMORY */
#define WORDS_NO_MEMORY ((size_t)-1)
size_t words_find(const struct words *words, const char *text, size_t length, struct hit *hits,
                  size_t max);
