#include "frame.h"
#include "name.h"

#include <stdlib.h>

enum { HEADER_MAX = 10, HEAD = sizeof(struct frame) + HEADER_MAX, WASTE_MAX = 4096 };

void frame_begin(struct buffer *buffer, size_t size)
{
    if (buffer_reserve(buffer, HEAD + size))
        buffer->length = HEAD;
}

/* Right before the payload. */
static unsigned char *header_write(unsigned char *payload, size_t length)
{
    enum { FIN_TEXT = 0x81, LENGTH_16 = 126, LENGTH_64 = 127 };
    int length_bytes = length < LENGTH_16 ? 0 : length <= 0xffff ? 2 : 8;
    unsigned char *at = payload - 2 - length_bytes;
    at[0] = FIN_TEXT;
    at[1] = length_bytes == 0 ? (unsigned char)length : length_bytes == 2 ? LENGTH_16 : LENGTH_64;
    for (int i = 1; i <= length_bytes; i++)
        payload[-i] = (unsigned char)((unsigned long long)length >> (8 * (i - 1)));
    return at;
}

struct frame *frame_end(struct buffer *buffer, struct name *room, const struct position *upto,
                        bool is_news)
{
    if (buffer->failed) {
        buffer_finish(buffer);
        return NULL;
    }
    char *all = NULL;
    if (buffer->room - buffer->length > WASTE_MAX) /* it may be queued, and counts as its length */
        all = realloc(buffer->at, buffer->length);
    if (!all)
        all = buffer->at;
    struct frame *frame = (struct frame *)all;
    size_t length = buffer->length - HEAD;
    *buffer = (struct buffer){0};
    frame->refs = 1;
    frame->json = (struct text){all + HEAD, length};
    frame->at = header_write((unsigned char *)all + HEAD, length);
    frame->length = (size_t)(all + HEAD - (char *)frame->at) + length;
    frame->room = room ? name_ref(room) : NULL;
    frame->upto = *upto;
    frame->is_news = is_news;
    return frame;
}

struct frame *frame_create(struct text payload)
{
    struct buffer buffer = {0};
    if (!payload.at)
        return NULL;
    frame_begin(&buffer, payload.length);
    buffer_bytes(&buffer, payload.at, payload.length);
    return frame_end(&buffer, NULL, &(struct position){0}, true);
}

struct frame *frame_ref(struct frame *frame)
{
    frame->refs++;
    return frame;
}

void frame_unref(struct frame *frame)
{
    if (!frame || --frame->refs)
        return;
    name_unref(frame->room);
    free(frame);
}
