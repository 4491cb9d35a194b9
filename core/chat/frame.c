#include "frame.h"
#include "alloc.h"

struct frame *frame_create(struct text payload)
{
    enum { FIN_TEXT = 0x81, LENGTH_16 = 126, LENGTH_64 = 127 };
    struct frame *frame = xmalloc(sizeof *frame + FRAME_PRE + 10 + payload.length);
    unsigned char *p = frame->at = frame->storage + FRAME_PRE;
    int length_bytes = payload.length < LENGTH_16 ? 0 : payload.length <= 0xffff ? 2 : 8;
    *p++ = FIN_TEXT;
    *p++ = length_bytes == 0   ? (unsigned char)payload.length
           : length_bytes == 2 ? LENGTH_16
                               : LENGTH_64;
    for (int i = length_bytes - 1; i >= 0; i--)
        *p++ = (unsigned char)((unsigned long long)payload.length >> (8 * i));
    memcpy(p, payload.at, payload.length);
    frame->length = (size_t)(p - frame->at) + payload.length;
    frame->refs = 1;
    return frame;
}

struct frame *frame_ref(struct frame *frame)
{
    frame->refs++;
    return frame;
}

void frame_unref(struct frame *frame)
{
    if (frame && --frame->refs == 0)
        free(frame);
}
