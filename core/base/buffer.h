/* buffer.h: bytes that grow, and JSON (RFC 8259) written by hand into them: encoding a message so
 * is several times cheaper than through a tree. Zero-initialised is empty. Not shared.
 *
 * Clients decide how large they get, so want of memory is no end of the process here: the buffer is
 * empty then, has failed, and takes nothing more until buffer_finish. Whoever uses what was written
 * looks once, at the end. */
#pragma once
#include "text.h"
#include <stdint.h>
#include <string.h>

struct buffer {
    char *at;
    size_t length, room;
    bool failed;
};

void buffer_finish(struct buffer *buffer);
/* What was to be written is not there: as if there were no memory for it. */
void buffer_fail(struct buffer *buffer);
/* Room for size more bytes; returns where they go, NULL if it has failed. Does not change length.
 */
char *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_bytes(struct buffer *buffer, const void *bytes, size_t size);
static inline void buffer_text(struct buffer *buffer, const char *string)
{
    buffer_bytes(buffer, string, strlen(string));
}
/* Drop the first size bytes. */
void buffer_skip(struct buffer *buffer, size_t size);
void buffer_number(struct buffer *buffer, int64_t number);
/* Its decimal digits, written into room. */
enum { NUMBER_MAX = 20 };
struct text number_write(char room[NUMBER_MAX], int64_t number);
/* "…" with everything escaped that JSON, or JSON inside a <script>, wants escaped. */
void buffer_json_string(struct buffer *buffer, struct text text);
