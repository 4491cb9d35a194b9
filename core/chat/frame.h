/* frame.h: what a room sends to its readers: a whole websocket text frame, header included (RFC
 * 6455, section 5.2), encoded once and sent as it is to every reader. Other transports take the
 * JSON out of it, and where it leads to. Counted and immutable; one loop's only. */
#pragma once
#include "position.h"
#include "text.h"
#include <stddef.h>

struct name;

struct frame {
    unsigned refs;
    size_t length;
    unsigned char *at; /* first byte of the header */
    struct text json;  /* the payload */
    struct name *room; /* NULL: of no room */
    struct position
        upto;     /* it speaks up to here; a live frame names no epoch: the last one holds */
    bool is_news; /* false: the first frame for somebody who missed nothing */
    unsigned char storage[];
};

/* returns NULL without memory for it, or without a payload, as of a buffer that has failed. */
struct frame *frame_create(struct text payload);
/* The same of a room. refs room. */
struct frame *frame_create_in(struct text payload, struct name *room, const struct position *upto,
                              bool is_news);
struct frame *frame_ref(struct frame *frame);
void frame_unref(struct frame *frame);
