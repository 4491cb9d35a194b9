/* error.h: one sentence that says what went wrong, where, and what to do about it.
 * Low layers fill it, whoever decides what follows reports it once. Any thread. */
#pragma once
#include <stdarg.h>
#include <stdio.h>

struct error {
    char text[512]; /* empty while all is well */
};

__attribute__((format(printf, 2, 3))) static inline void error_set(struct error *err,
                                                                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
}
