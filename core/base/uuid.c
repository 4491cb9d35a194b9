#include "uuid.h"

#include <assert.h>
#include <sys/random.h>

void uuid_next(struct uuid_source *source, char out[UUID_LENGTH + 1])
{
    static const char hex[] = "0123456789abcdef";
    if (source->left < 16) {
        ssize_t got = getrandom(source->pool, sizeof source->pool, 0);
        assert(got == sizeof source->pool);
        source->left = sizeof source->pool;
    }
    source->left -= 16;
    uint8_t *bytes = source->pool + source->left;
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    char *p = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[bytes[i] >> 4];
        *p++ = hex[bytes[i] & 15];
    }
    *p = 0;
}
