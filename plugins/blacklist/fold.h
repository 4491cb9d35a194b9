/* fold.h: texts as people read them: without case, accents, and what cannot be seen. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct folded { /* one symbol: a character of the folded text, and where it is from */
    uint32_t code;
    uint32_t begin,
        end; /* bytes of the text: of its character, with the invisible ones behind it */
};

/* Fold valid UTF-8: compatibility forms (UAX #15), case (UAX #44), no accents, nothing that is
 * invisible; each stretch of white space is one ' '.
 *   out      room for FOLDED_MAX(length) symbols
 *   returns  how many there are */
#define FOLDED_MAX(length) (3 * (length) + 1)
size_t fold(const char *text, size_t length, struct folded *out);
/* Whether each byte of it is one symbol, fold_ascii of it: no need to fold such a text. */
int fold_is_plain(const char *text, size_t length);
static inline uint32_t fold_ascii(uint32_t code)
{
    return code >= 'A' && code <= 'Z' ? code + 'a' - 'A' : code;
}
/* Vowel signs and the like: they belong to the letter before them. */
int fold_is_mark(uint32_t code);
/* Letters, their marks and digits, of scripts that put spaces between words. */
int fold_is_word(uint32_t code);
