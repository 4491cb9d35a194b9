/* frame.h: a whole websocket text frame, header included (RFC 6455, section 5.2): encoded once,
 * sent as it is to every reader. Counted and immutable; one loop's only. */
#pragma once
#include "text.h"
#include <stddef.h>

struct frame {
    unsigned refs;
    size_t length;
    unsigned char *at; /* first byte of the header; libwebsockets wants LWS_PRE bytes before it */
    unsigned char storage[];
};

enum { FRAME_PRE = 32 }; /* bytes free before at */

struct frame *frame_create(struct text payload);
struct frame *frame_ref(struct frame *frame);
void frame_unref(struct frame *frame);
