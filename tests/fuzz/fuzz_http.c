/* The head of a request, and what is decoded of its target. However the bytes arrive, the answer
 * must be the same. */
#include "buffer.h"
#include "fuzz.h"
#include "http_head.h"
#include "route.h"
#include "url.h"
#include "websocket.h"

enum { MAX_BYTES = 2048 };

static void within(struct text part, const uint8_t *data, size_t size)
{
    const char *begin = (const char *)data;
    assert(!part.at || (part.at >= begin && part.at + part.length <= begin + size));
}

static void target(const struct http_head *head)
{
    struct buffer path = {0}, query = {0};
    url_decode(head->path, false, &path);
    assert(path.length <= head->path.length && (!path.length || !memchr(path.at, 0, path.length)));
    if (url_decode_query(head->query, &query)) {
        struct text arguments = {query.at, query.length};
        struct text token = query_argument(arguments, "token");
        assert(!token.length || !memchr(token.at, 0, token.length));
        query_argument(arguments, "channels");
        query_argument(arguments, "");
    }
    buffer_finish(&path);
    buffer_finish(&query);
}

/* The beginnings of what was read: they must go on until the end is there. */
static void beginnings(const uint8_t *data, size_t size, long whole)
{
    size_t step = size / 64 + 1;
    struct http_head head;
    const char *why;
    for (size_t length = 0; length < size; length += step) {
        long part = http_head_parse((const char *)data, length, MAX_BYTES, &head, &why);
        if (whole > 0)
            assert(part == ((long)length < whole ? 0 : whole));
        else if (whole == 0)
            assert(part == 0);
        else
            assert(part <= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head;
    const char *why = NULL;
    char accept[WEBSOCKET_ACCEPT_SIZE];
    long used = http_head_parse((const char *)data, size, MAX_BYTES, &head, &why);
    assert(used <= (long)size && used > -600 && (used >= 0 || (used <= -400 && why)));
    beginnings(data, size, used);
    if (used <= 0)
        return 0;
    const struct text parts[] = {
        head.query,           head.host,           head.origin,        head.authorization,
        head.idempotency_key, head.last_event_id,  head.websocket_key, head.forwarded,
        head.forwarded_for,   head.forwarded_proto};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        within(parts[i], data, size);
    if (!text_is(head.path, "/")) /* of http://host it is ours */
        within(head.path, data, size);
    assert(head.content_length >= -1 && head.path.length > 0);
    target(&head);
    websocket_accept(head.websocket_key, accept);
    return 0;
}
