#include "url.h"
#include "buffer.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool url_decode(struct text text, bool in_query, struct buffer *out)
{
    char *to = buffer_reserve(out, text.length + 1);
    size_t length = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];
        if (c == '+' && in_query) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.length ? hex_digit(text.at[i + 1]) : -1;
            int low = i + 2 < text.length ? hex_digit(text.at[i + 2]) : -1;
            if (high < 0 || low < 0 || !(high | low))
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[length++] = c;
    }
    out->length += length;
    return true;
}

bool url_decode_query(struct text query, struct buffer *out)
{
    while (query.length) {
        const char *end = memchr(query.at, '&', query.length);
        size_t length = end ? (size_t)(end - query.at) : query.length,
               used = length + (end != NULL);
        if (length && out->length)
            buffer_bytes(out, "", 1);
        if (!url_decode((struct text){query.at, length}, true, out))
            return false;
        query = (struct text){query.at + used, query.length - used};
    }
    return true;
}

bool path_is_at(struct text path, const char *name)
{
    size_t length = strlen(name);
    return path.length >= length && !memcmp(path.at, name, length) &&
           (path.length == length || path.at[length] == '/');
}
