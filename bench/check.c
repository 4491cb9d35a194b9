/* chatup-load-check: does the generator count right? Streams with a gap, a duplicate, and several
 * messages in a frame, cut into two reads at every byte. bench/run runs it first. */
#include "count.h"
#include "ws.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static char stream[100000];
static size_t stream_length;

/* A frame of a server, with texts of these numbers in JSON. */
static void frame_add(const uint64_t *numbers, size_t n, size_t bytes, uint64_t ns)
{
    static char json[20000];
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        length += (size_t)sprintf(json + length, "{\"o\":%zu,\"msg\":\"", i);
        count_write(json + length, bytes, numbers[i], ns);
        length += bytes;
        length += (size_t)sprintf(json + length, "\",\"i\":\"7f9c\"},");
    }
    unsigned char head[WS_HEAD_MAX];
    size_t size = ws_head(head, WS_TEXT, length) - 4; /* a server does not mask */
    head[1] &= 0x7f;
    memcpy(stream + stream_length, head, size);
    memcpy(stream + stream_length + size, json, length);
    stream_length += size + length;
}

static void read_piecewise(struct count *count, struct tally *tally, struct ws_parser *parser,
                           const char *data, size_t length, uint64_t now_ns)
{
    struct ws_piece piece;
    enum ws_result result;
    while ((result = ws_next(parser, &data, &length, &piece)) == WS_PIECE)
        count_text(count, tally, piece.data, piece.length, now_ns);
    assert(result == WS_MORE);
}

static void cut_at_every_byte(uint64_t messages, uint64_t gaps, uint64_t duplicates)
{
    static struct count count;
    for (size_t cut = 0; cut <= stream_length; cut++) {
        struct tally tally = {0};
        struct ws_parser parser = {0};
        count_begin(&count);
        read_piecewise(&count, &tally, &parser, stream, cut, 1500);
        read_piecewise(&count, &tally, &parser, stream + cut, stream_length - cut, 1500);
        assert(count.messages == messages && count.gaps == gaps && count.duplicates == duplicates);
        assert(count.latency.max_ns == 500 && tally.last == 12);
    }
}

static void byte_by_byte(uint64_t messages)
{
    static struct count count;
    struct tally tally = {0};
    struct ws_parser parser = {0};
    count_begin(&count);
    for (size_t i = 0; i < stream_length; i++)
        read_piecewise(&count, &tally, &parser, stream + i, 1, 1500);
    assert(count.messages == messages);
}

int main(void)
{
    frame_add((uint64_t[]){1}, 1, 60, 1000); /* heads of both sizes */
    frame_add((uint64_t[]){2, 3, 4}, 3, 120, 1000);
    frame_add((uint64_t[]){4, 7, 8, 8, 9}, 5, 120, 1000);
    frame_add((uint64_t[]){10, 11, 12}, 3, MARK_MAX, 1000);
    cut_at_every_byte(12, 2, 2);
    byte_by_byte(12);
    puts("chatup-load counts right");
    return 0;
}
