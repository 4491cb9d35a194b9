#include "buffer.h"
#include "counters.h"
#include "word.h"

#include <stdlib.h>

void buffer_finish(struct buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct buffer){0};
}

void buffer_fail(struct buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct buffer){.failed = true};
    count_up(COUNT_failed_allocations);
}

/* returns  false: it has failed */
__attribute__((noinline)) static bool grow(struct buffer *buffer, size_t size)
{
    size_t room = buffer->room ? buffer->room : 256;
    if (buffer->failed)
        return false;
    while (room - buffer->length < size)
        room *= 2;
    char *at = realloc(buffer->at, room);
    if (!at) {
        buffer_fail(buffer);
        return false;
    }
    buffer->at = at;
    buffer->room = room;
    return true;
}

static inline bool has_room(struct buffer *buffer, size_t size)
{
    return buffer->room - buffer->length >= size || grow(buffer, size);
}

char *buffer_reserve(struct buffer *buffer, size_t size)
{
    return !buffer->failed && has_room(buffer, size) ? buffer->at + buffer->length : NULL;
}

void buffer_bytes(struct buffer *buffer, const void *bytes, size_t size)
{
    if (!size || !has_room(buffer, size))
        return;
    memcpy(buffer->at + buffer->length, bytes, size);
    buffer->length += size;
}

void buffer_skip(struct buffer *buffer, size_t size)
{
    if (size == buffer->length) { /* an idle owner keeps nothing */
        buffer_finish(buffer);
        return;
    }
    memmove(buffer->at, buffer->at + size, buffer->length - size);
    buffer->length -= size;
}

struct text number_write(char room[NUMBER_MAX], int64_t number)
{
    char *p = room + NUMBER_MAX;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        *--p = '-';
    return (struct text){p, (size_t)(room + NUMBER_MAX - p)};
}

void buffer_number(struct buffer *buffer, int64_t number)
{
    char room[NUMBER_MAX];
    struct text digits = number_write(room, number);
    buffer_bytes(buffer, digits.at, digits.length);
}

/* 0: as it is; 'u': \u00XX; else the letter behind the backslash. '<' too: a frame pasted into a
 * page must not end its script. */
static const char escapes[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',         't',           'n',         'u',
    'u', 'r', 'u', 'u', 'u', 'u', 'u', 'u', 'u',         'u',           'u',         'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', ['"'] = '"', ['\\'] = '\\', ['<'] = 'u', [0x7f] = 'u'};

static bool block_is_plain(block all)
{
    return !block_any(block_escaped(all) | (block)(all == '<') | (block)(all == 0x7f));
}

/* Up to where text, from there on, has nothing to escape. */
static size_t plain_end(struct text text, size_t from)
{
    while (text.length - from >= BLOCK && block_is_plain(block_at(text.at + from)))
        from += BLOCK;
    while (from < text.length && !escapes[(unsigned char)text.at[from]])
        from++;
    return from;
}

void buffer_json_string(struct buffer *buffer, struct text text)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = plain_end(text, 0), i = 0; /* most texts are copied as a whole */
    char *out = buffer_reserve(buffer, plain + (text.length - plain) * 6 + 2);
    char *p = out;
    if (!out)
        return;
    *p++ = '"';
    for (;; plain = plain_end(text, i)) {
        if (plain > i)
            memcpy(p, text.at + i, plain - i);
        p += plain - i;
        i = plain;
        if (i == text.length)
            break;
        unsigned char c = (unsigned char)text.at[i++];
        *p++ = '\\';
        *p++ = escapes[c];
        if (escapes[c] == 'u') {
            *p++ = '0';
            *p++ = '0';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        }
    }
    *p++ = '"';
    buffer->length += (size_t)(p - out);
}
