/* right.h: what one may do in a channel. As bits: a token's claim may give several at once. */
#pragma once
#include "text.h"
#include <stddef.h>

enum right {
    RIGHT_READ = 1,    /* get what is said and happens from now on */
    RIGHT_JOIN = 2,    /* enter as a publisher */
    RIGHT_SAY = 4,     /* speak there */
    RIGHT_HISTORY = 8, /* get what was said before */
    RIGHT_USERS = 16,  /* list who is there */
};
enum { RIGHT_COUNT = 5, RIGHTS_ALL = 31 };

/* right_names[i] is the YAML's and the claims' word for the bit 1 << i: "read", "join" … */
extern const char *const right_names[RIGHT_COUNT];
/* The bit of a word; 0 if it is none. */
unsigned right_of(struct text word);

static inline size_t right_index(enum right right)
{
    return (size_t)__builtin_ctz(right);
}
