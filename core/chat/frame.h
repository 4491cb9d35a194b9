/* frame.h: what a room sends to its readers: a whole websocket text frame, header included (RFC
 * 6455, section 5.2), encoded once and sent as it is to every reader. Other transports take the
 * JSON out of it, and where it leads to. Counted and immutable; one loop's only. */
#pragma once
#include "buffer.h"
#include "position.h"
#include "text.h"
#include <stddef.h>

struct name;

struct frame {
    unsigned refs;
    size_t length;
    unsigned char *at; /* first byte of the header, in the same block of memory */
    struct text json;  /* the payload */
    struct name *room; /* NULL: of no room */
    struct position
        upto;     /* it speaks up to here; a live frame names no epoch: the last one holds */
    bool is_news; /* false: the first frame for somebody who missed nothing */
};

/* Made where its JSON, of about size bytes, is written: begin in an empty buffer, write it behind
 * that, and end. frame_end takes the buffer's bytes, refs room (NULL: of none) and copies upto;
 * NULL if the buffer has failed, for want of memory. */
void frame_begin(struct buffer *buffer, size_t size);
struct frame *frame_end(struct buffer *buffer, struct name *room, const struct position *upto,
                        bool is_news);
/* Of no room; NULL also without a payload, as of a buffer that has failed. */
struct frame *frame_create(struct text payload);
struct frame *frame_ref(struct frame *frame);
void frame_unref(struct frame *frame);
