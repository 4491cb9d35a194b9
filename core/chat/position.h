/* position.h: how far somebody has read: an epoch and an offset, on the wire "epoch:offset". */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

enum { EPOCH_MAX = 24 };

struct position {
    char epoch[EPOCH_MAX + 1]; /* letters, digits, - and _; "": nowhere yet */
    uint64_t offset;
};

/* returns false, out untouched, if it is not one. Empty text is "nowhere yet", and
 * so is ":0": of a room that never was, an epoch may not be known. */
bool position_parse(struct text text, struct position *out);
