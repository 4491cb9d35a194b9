/* uuid.h: random identifiers (RFC 9562, version 4). A source is one loop's: it asks the kernel for
 * many at a time. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { UUID_LENGTH = 36 };

struct uuid_source {
    uint8_t pool[512];
    size_t left;
};

/* Writes 36 characters and a NUL. */
void uuid_next(struct uuid_source *source, char out[UUID_LENGTH + 1]);
