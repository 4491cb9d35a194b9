#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct address *address)
{
    return !memcmp(address->bytes, v4_prefix, sizeof v4_prefix);
}

struct address address_of(const struct sockaddr *from)
{
    struct address address = {{0}};
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        memcpy(address.bytes, v4_prefix, sizeof v4_prefix);
        memcpy(address.bytes + 12, &v4->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(address.bytes, &v6->sin6_addr, 16);
    }
    return address;
}

bool address_parse(struct text text, struct address *out)
{
    char string[ADDRESS_TEXT_SIZE];
    struct address address;
    if (text.length == 0 || text.length >= sizeof string || memchr(text.at, 0, text.length))
        return false;
    memcpy(string, text.at, text.length);
    string[text.length] = 0;
    memcpy(address.bytes, v4_prefix, sizeof v4_prefix);
    if (inet_pton(AF_INET, string, address.bytes + 12) != 1 &&
        inet_pton(AF_INET6, string, address.bytes) != 1)
        return false;
    *out = address;
    return true;
}

void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    out[0] = 0;
    if (is_v4(address))
        inet_ntop(AF_INET, address->bytes + 12, out, ADDRESS_TEXT_SIZE);
    else if (address_is_known(address))
        inet_ntop(AF_INET6, address->bytes, out, ADDRESS_TEXT_SIZE);
}

bool address_is_known(const struct address *address)
{
    static const struct address unknown;
    return memcmp(address, &unknown, sizeof unknown) != 0;
}

struct address address_site(const struct address *address)
{
    struct address site = *address;
    if (!is_v4(address))
        memset(site.bytes + 8, 0, 8);
    return site;
}

static void write_site(const struct address *address, char out[ADDRESS_SITE_SIZE])
{
    struct address site = address_site(address);
    if (is_v4(address)) {
        address_format(address, out);
    } else {
        inet_ntop(AF_INET6, site.bytes, out, ADDRESS_TEXT_SIZE);
        strcat(out, "/64");
    }
}

void address_site_format(const struct address *address, char out[ADDRESS_SITE_SIZE])
{
    out[0] = 0;
    if (address_is_known(address))
        write_site(address, out);
}

bool address_site_parse(struct text text, char out[ADDRESS_SITE_SIZE])
{
    struct address address;
    bool has_bits = text.length > 3 && !memcmp(text.at + text.length - 3, "/64", 3);
    if (has_bits)
        text.length -= 3;
    const char *zone = text.length ? memchr(text.at, '%', text.length) : NULL;
    if (zone)
        text.length = (size_t)(zone - text.at);
    if (!address_parse(text, &address) || ((has_bits || zone) && is_v4(&address)))
        return false;
    write_site(&address, out);
    return true;
}

static bool network_parse(struct text text, struct network *out)
{
    const char *slash = memchr(text.at, '/', text.length);
    struct text host = {text.at, slash ? (size_t)(slash - text.at) : text.length};
    if (!address_parse(host, &out->address))
        return false;
    unsigned width = is_v4(&out->address) && !memchr(host.at, ':', host.length) ? 32 : 128;
    unsigned bits = 0;
    size_t digits = slash ? text.length - host.length - 1 : 0;
    for (size_t i = 0; i < digits; i++) {
        if (slash[1 + i] < '0' || slash[1 + i] > '9' || i == 3)
            return false;
        bits = bits * 10 + (unsigned)(slash[1 + i] - '0');
    }
    if (slash && (!digits || bits > width))
        return false;
    out->bits = 128 - width + (slash ? bits : width);
    return true;
}

int networks_parse(const char *list, struct network *out, size_t max, struct text *wrong)
{
    size_t count = 0;
    for (const char *p = list + strspn(list, ", "); *p; p += strspn(p, ", ")) {
        struct network network;
        *wrong = (struct text){p, strcspn(p, ", ")};
        if (count == max || !network_parse(*wrong, &network))
            return -1;
        out[count++] = network;
        p += wrong->length;
    }
    return (int)count;
}

bool networks_contain(const struct network *networks, size_t count, const struct address *address)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *a = networks[i].address.bytes, *b = address->bytes;
        unsigned bytes = networks[i].bits / 8, rest = networks[i].bits % 8;
        if (!memcmp(a, b, bytes) && (!rest || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0))
            return true;
    }
    return false;
}
