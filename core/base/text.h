/* text.h: a piece of UTF-8 that somebody else owns. Not NUL-terminated. at is NULL when absent. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct text {
    const char *at;
    size_t length;
};

static inline struct text text_of(const char *string)
{
    return (struct text){string, string ? strlen(string) : 0};
}

static inline bool text_equal(struct text a, struct text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static inline bool text_is(struct text a, const char *string)
{
    return text_equal(a, text_of(string));
}

/* Without those characters of what at both ends. */
static inline struct text text_trimmed(struct text text, const char *what)
{
    size_t count = strlen(what);
    while (text.length && memchr(what, text.at[text.length - 1], count))
        text.length--;
    while (text.length && memchr(what, *text.at, count)) {
        text.at++;
        text.length--;
    }
    return text;
}
