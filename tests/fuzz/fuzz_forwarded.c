/* What proxies say of their clients: as X-Forwarded-For, as Forwarded, and as a PROXY header, which
 * must be the same however it arrives. */
#include "forwarded.h"
#include "fuzz.h"

static void header(struct text text)
{
    struct network trusted[4];
    struct text wrong;
    int count = networks_parse("10.0.0.0/8, ::1, 2001:db8::/33", trusted, 4, &wrong);
    assert(count == 3);
    for (int is_forwarded = 0; is_forwarded < 2; is_forwarded++) {
        struct address client;
        char shown[ADDRESS_TEXT_SIZE];
        if (!forwarded_client(text, is_forwarded, trusted, (size_t)count, &client))
            continue;
        address_format(&client, shown);
        struct address again = {{0}};
        assert(!*shown ||
               (address_parse(text_of(shown), &again) && !memcmp(&client, &again, sizeof client)));
    }
}

static void proxy(const uint8_t *data, size_t size)
{
    struct address client = {{1}}, part_client;
    long used = proxy_header_parse(data, size, &client);
    assert(used >= -1 && used <= (long)size);
    for (size_t length = 0; length < size && length < 300; length++) {
        long part = proxy_header_parse(data, length, &part_client);
        assert(used > 0 ? part == ((long)length < used ? 0 : used) : part == 0 || part == used);
    }
}

static void networks(struct text text)
{
    char list[256];
    struct network found[8];
    struct text wrong;
    if (text.length >= sizeof list)
        return;
    memcpy(list, text.at, text.length);
    list[text.length] = 0;
    int count = networks_parse(list, found, 8, &wrong);
    assert(count <= 8 && (count >= 0 || wrong.length));
    for (int i = 0; i < count; i++)
        assert(found[i].bits <= 128 && networks_contain(&found[i], 1, &found[i].address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size};
    header(text);
    proxy(data, size);
    networks(text);
    return 0;
}
