#include "frame.h"
#include "counters.h"
#include "name.h"

#include <stdlib.h>

struct frame *frame_create(struct text payload)
{
    enum { FIN_TEXT = 0x81, LENGTH_16 = 126, LENGTH_64 = 127 };
    struct frame *frame = payload.at ? malloc(sizeof *frame + 10 + payload.length) : NULL;
    if (!frame) {
        count_up(COUNT_failed_allocations);
        return NULL;
    }
    unsigned char *p = frame->at = frame->storage;
    int length_bytes = payload.length < LENGTH_16 ? 0 : payload.length <= 0xffff ? 2 : 8;
    *p++ = FIN_TEXT;
    *p++ = length_bytes == 0   ? (unsigned char)payload.length
           : length_bytes == 2 ? LENGTH_16
                               : LENGTH_64;
    for (int i = length_bytes - 1; i >= 0; i--)
        *p++ = (unsigned char)((unsigned long long)payload.length >> (8 * i));
    memcpy(p, payload.at, payload.length);
    frame->length = (size_t)(p - frame->at) + payload.length;
    frame->json = (struct text){(char *)p, payload.length};
    frame->refs = 1;
    frame->room = NULL;
    frame->is_news = true;
    return frame;
}

struct frame *frame_create_in(struct text payload, struct name *room, const struct position *upto,
                              bool is_news)
{
    struct frame *frame = frame_create(payload);
    if (!frame)
        return NULL;
    frame->room = name_ref(room);
    frame->upto = *upto;
    frame->is_news = is_news;
    return frame;
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
