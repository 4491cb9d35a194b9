#include "name.h"
#include "alloc.h"
#include "table.h"

#include <assert.h>
#include <stdatomic.h>

bool utf8_valid(struct text text)
{
    if (!text.length) /* at may be NULL */
        return true;
    const unsigned char *p = (const unsigned char *)text.at, *end = p + text.length;
    while (p < end) {
        if (*p < 0x80) {
            p++;
            continue;
        }
        int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
        uint32_t min = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
        if (*p < 0xc2 || *p > 0xf4 || end - p <= more)
            return false;
        uint32_t code = *p++ & (0x3f >> more);
        for (; more; more--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*p & 0x3f);
        }
        if (code < min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
    }
    return true;
}

struct name *name_create(struct text text)
{
    if (text.length < 1 || text.length > NAME_MAX_BYTES || memchr(text.at, 0, text.length) ||
        !utf8_valid(text))
        return NULL;
    return name_create_any(text);
}

struct name *name_create_any(struct text text)
{
    assert(text.length <= UINT16_MAX);
    struct name *name = xmalloc(sizeof *name + text.length + 1);
    atomic_init(&name->refs, 1);
    name->length = (uint16_t)text.length;
    name->hash = table_hash(0, text.at, text.length);
    memcpy(name->at, text.at, text.length);
    name->at[text.length] = 0;
    return name;
}

struct name *name_ref(struct name *name)
{
    atomic_fetch_add_explicit(&name->refs, 1, memory_order_relaxed);
    return name;
}

void name_unref(struct name *name)
{
    if (name && atomic_fetch_sub_explicit(&name->refs, 1, memory_order_acq_rel) == 1)
        free(name);
}

bool name_equal(const struct name *a, const struct name *b)
{
    return a == b ||
           (a->hash == b->hash && a->length == b->length && !memcmp(a->at, b->at, a->length));
}
