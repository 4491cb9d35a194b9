/* Frames of a client. However the bytes arrive, the same messages must come out. The first byte
 * says how large a message may be, the second how the bytes are cut. */
#include "alloc.h"
#include "buffer.h"
#include "fuzz.h"
#include "websocket.h"

/* What came out, as text. */
struct record {
    struct buffer all, message;
    bool over;
};

static void take(struct record *record, const struct websocket_event *event)
{
    static const char *const names[] = {[WEBSOCKET_DATA] = "data",
                                        [WEBSOCKET_PING] = "ping",
                                        [WEBSOCKET_PONG] = "pong",
                                        [WEBSOCKET_CLOSE] = "close",
                                        [WEBSOCKET_ERROR] = "error"};
    if (event->got == WEBSOCKET_MORE)
        return;
    if (event->got == WEBSOCKET_DATA) {
        assert(!event->first || !record->message.length);
        buffer_bytes(&record->message, event->payload.at, event->payload.length);
        if (!event->last)
            return;
        buffer_text(&record->all, event->binary ? "binary " : "text ");
        buffer_bytes(&record->all, record->message.at, record->message.length);
        buffer_finish(&record->message);
    } else {
        buffer_text(&record->all, names[event->got]);
        buffer_number(&record->all, event->code);
        buffer_text(&record->all, event->why ? event->why : "");
        if (event->got != WEBSOCKET_ERROR)
            buffer_bytes(&record->all, event->payload.at, event->payload.length);
    }
    buffer_text(&record->all, "\n");
    record->over = event->got == WEBSOCKET_CLOSE || event->got == WEBSOCKET_ERROR;
}

/* cut: 0: not at all; else pieces of 1 to cut bytes. shrink: the limit does, as by a reload. */
static struct record read_all(const uint8_t *data, size_t size, uint64_t max_bytes, unsigned cut,
                              bool shrink)
{
    struct websocket_reader reader = {0};
    struct record record = {.over = false};
    const uint64_t largest = max_bytes;
    size_t at = 0;
    for (unsigned seed = cut; at < size && !record.over;) {
        size_t piece = cut ? 1 + (seed = seed * 1103515245 + 12345) / 65536 % cut : size;
        piece = piece < size - at ? piece : size - at;
        unsigned char *bytes = xmemdup(data + at, piece);
        for (size_t used = 0; used < piece && !record.over;) {
            struct websocket_event event;
            size_t got = websocket_read(&reader, bytes + used, piece - used, max_bytes, &event);
            assert(got <= piece - used && (got || event.got != WEBSOCKET_MORE));
            used += got;
            take(&record, &event);
            assert(record.message.length <= largest);
            max_bytes = shrink ? max_bytes / 2 : max_bytes;
        }
        free(bytes);
        at += piece;
    }
    websocket_reader_finish(&reader);
    return record;
}

static void same(const struct buffer *a, const struct buffer *b)
{
    assert(text_equal((struct text){a->at, a->length}, (struct text){b->at, b->length}));
}

static void record_finish(struct record *record)
{
    buffer_finish(&record->all);
    buffer_finish(&record->message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t limits[] = {65535, 125, 126, 300, 0, 4096, 8, 1000};
    if (size < 2)
        return 0;
    uint64_t max_bytes = limits[data[0] % 8];
    unsigned cuts[] = {1, 2 + data[1] % 200};
    data += 2;
    size -= 2;
    struct record whole = read_all(data, size, max_bytes, 0, false);
    for (size_t i = 0; i < 2; i++) {
        struct record cut = read_all(data, size, max_bytes, cuts[i], false);
        same(&whole.all, &cut.all);
        if (!whole.over)
            same(&whole.message, &cut.message);
        record_finish(&cut);
    }
    struct record shrunk = read_all(data, size, max_bytes, cuts[1], true);
    record_finish(&shrunk);
    record_finish(&whole);
    return 0;
}
