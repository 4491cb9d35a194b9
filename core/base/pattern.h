/* pattern.h: a pattern that names channels, in the YAML's rules and in the claims of tokens.
 *
 *   *      any bytes, also none      {sub}  the identity of whoever asks, byte by byte
 *   \* \{ \\  these characters themselves; anything else stands for itself
 *
 * It is held against the whole name, byte by byte. What a match costs grows with the length of
 * the name and of the pattern, never with their product. Immutable once made: any thread. */
#pragma once
#include "error.h"
#include "text.h"
#include <stdbool.h>

/* What \* and {sub} stand for counts as one byte: a pattern can name any channel. */
enum { PATTERN_BYTES_MAX = 200 };

struct pattern {
    char *at; /* * and {sub} as bytes that no UTF-8 has */
    size_t length;
    bool has_sub;
};

/*   source   copied
 *   returns  false with the bare sentence in `what` ("must be …") and nothing to finish */
bool pattern_init(struct pattern *pattern, struct text source, struct error *what);
void pattern_finish(struct pattern *pattern);

/*   sub  what {sub} stands for; empty: a pattern with {sub} does not match */
bool pattern_matches(const struct pattern *pattern, struct text name, struct text sub);
/* Whether there is any sub with which it would. */
bool pattern_could_match(const struct pattern *pattern, struct text name);
/* Whether it matches some names that begin with prefix by a wildcard, without spelling prefix out:
 * "*" and "us*" reach over "user:", "user:*" does not. */
bool pattern_reaches_over(const struct pattern *pattern, struct text prefix);
