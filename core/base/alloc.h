/* alloc.h: allocation of our own small structs. Out of memory there is a bug of the machine, not
 * of a client: these abort, so no caller checks. What a client sizes is bounded before it is
 * allocated, and goes into buffers, messages and frames, which say when there was no memory for
 * them (buffer.h, message.h, frame.h). Any thread. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *alloc_checked(void *p)
{
    if (!p) {
        fputs("chatup: out of memory\n", stderr);
        abort();
    }
    return p;
}

static inline void *xmalloc(size_t size)
{
    return alloc_checked(malloc(size ? size : 1));
}

static inline void *xcalloc(size_t count, size_t size)
{
    return alloc_checked(calloc(count ? count : 1, size ? size : 1));
}

static inline void *xrealloc(void *p, size_t size)
{
    return alloc_checked(realloc(p, size ? size : 1));
}

static inline void *xmemdup(const void *from, size_t size)
{
    return memcpy(xmalloc(size), from, size);
}

/* A NUL-terminated copy of length bytes. */
static inline char *xstrndup(const char *from, size_t length)
{
    char *copy = memcpy(xmalloc(length + 1), from, length);
    copy[length] = 0;
    return copy;
}

static inline char *xstrdup(const char *from)
{
    return xstrndup(from, strlen(from));
}
