#include "forwarded.h"

#include <strings.h>

/* "192.0.2.1", "192.0.2.1:4711", "[2001:db8::1]", "[2001:db8::1]:4711", "2001:db8::1". */
static bool node_parse(struct text text, struct address *out)
{
    if (text.length && *text.at == '[') {
        const char *end = memchr(text.at, ']', text.length);
        return end && address_parse((struct text){text.at + 1, (size_t)(end - text.at - 1)}, out);
    }
    const char *colon = memchr(text.at, ':', text.length);
    if (colon && !memchr(colon + 1, ':', text.length - (size_t)(colon + 1 - text.at)))
        text.length = (size_t)(colon - text.at);
    return address_parse(text, out);
}

/* A value in one element of Forwarded: for="[2001:db8::1]:4711";proto=https
 *   name  with its = */
static struct text value_of(struct text element, const char *name)
{
    size_t name_length = strlen(name);
    while (element.length) {
        const char *semicolon = memchr(element.at, ';', element.length);
        size_t length = semicolon ? (size_t)(semicolon - element.at) : element.length;
        struct text pair = text_trimmed((struct text){element.at, length}, " \t");
        if (pair.length > name_length && !strncasecmp(pair.at, name, name_length)) {
            struct text value = {pair.at + name_length, pair.length - name_length};
            if (value.length >= 2 && *value.at == '"' && value.at[value.length - 1] == '"')
                value = (struct text){value.at + 1, value.length - 2};
            return value;
        }
        size_t step = semicolon ? length + 1 : length;
        element.at += step;
        element.length -= step;
    }
    return (struct text){"", 0};
}

/* As forwarded_client; *element_out: the one that names it. */
static bool client_find(struct text header, bool is_forwarded, const struct network *trusted,
                        size_t trusted_count, struct address *out, struct text *element_out)
{
    bool found = false;
    size_t end = header.length;
    for (bool more = header.at != NULL; more;) {
        size_t start = end;
        while (start && header.at[start - 1] != ',')
            start--;
        struct text element = text_trimmed((struct text){header.at + start, end - start}, " \t");
        struct address address;
        if (!node_parse(is_forwarded ? value_of(element, "for=") : element, &address))
            break;
        *out = address;
        *element_out = element;
        found = true;
        if (!networks_contain(trusted, trusted_count, &address))
            break;
        more = start > 0;
        end = start ? start - 1 : 0;
    }
    return found;
}

bool forwarded_client(struct text header, bool is_forwarded, const struct network *trusted,
                      size_t trusted_count, struct address *out)
{
    struct text element;
    return client_find(header, is_forwarded, trusted, trusted_count, out, &element);
}

bool forwarded_is_secure(struct text header, const struct network *trusted, size_t trusted_count)
{
    struct address client;
    struct text element;
    if (!client_find(header, true, trusted, trusted_count, &client, &element))
        return false;
    element = value_of(element, "proto=");
    return element.length == 5 && !strncasecmp(element.at, "https", 5);
}

/* ---- the PROXY protocol ---- */

/* "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n" */
static long version_1(const char *bytes, size_t length, struct address *out)
{
    enum { LINE_MAX = 107 };
    const char *lf = memchr(bytes, '\n', length < LINE_MAX ? length : LINE_MAX);
    if (!lf)
        return length < LINE_MAX ? 0 : -1;
    if (lf == bytes || lf[-1] != '\r')
        return -1;
    struct text rest = {bytes + 6, (size_t)(lf - 1 - bytes) - 6};
    long used = lf + 1 - bytes;
    if (rest.length >= 7 && !strncmp(rest.at, "UNKNOWN", 7))
        return used;
    if (rest.length < 5 || (strncmp(rest.at, "TCP4 ", 5) && strncmp(rest.at, "TCP6 ", 5)))
        return -1;
    rest = (struct text){rest.at + 5, rest.length - 5};
    const char *space = memchr(rest.at, ' ', rest.length);
    if (!space || !address_parse((struct text){rest.at, (size_t)(space - rest.at)}, out))
        return -1;
    return used;
}

long proxy_header_parse(const unsigned char *bytes, size_t length, struct address *out)
{
    static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
    enum { V2_HEAD = 16, INET = 1, INET6 = 2 };
    size_t n = length < sizeof signature ? length : sizeof signature;
    if (length && bytes[0] == 'P') {
        n = length < 6 ? length : 6;
        if (memcmp(bytes, "PROXY ", n) != 0)
            return -1;
        return length < 6 ? 0 : version_1((const char *)bytes, length, out);
    }
    if (memcmp(bytes, signature, n) != 0)
        return -1;
    if (length < V2_HEAD)
        return 0;
    size_t body = (size_t)bytes[14] << 8 | bytes[15];
    if (bytes[12] >> 4 != 2 || (bytes[12] & 15) > 1)
        return -1;
    if (length < V2_HEAD + body)
        return 0;
    bool is_local = (bytes[12] & 15) == 0;
    int family = bytes[13] >> 4;
    if (!is_local && family == INET && body >= 12) {
        *out = (struct address){{0}};
        out->bytes[10] = out->bytes[11] = 0xff;
        memcpy(out->bytes + 12, bytes + V2_HEAD, 4);
    } else if (!is_local && family == INET6 && body >= 36) {
        memcpy(out->bytes, bytes + V2_HEAD, 16);
    }
    return (long)(V2_HEAD + body);
}
