/* What a server receives, by the cases of the Autobahn test suite (sections 1 to 9 of its list),
 * each in every split of its bytes. */
#include "websocket.h"
#include "buffer.h"
#include "unit.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define S(string)    string, sizeof(string) - 1

enum { FIN = 0x80, RSV = 0x10, CONT = 0, TEXT = 1, BIN = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { MAX_BYTES = 1 << 25 };

/* ---- sending ---- */

static void add_frame(struct buffer *out, int first, const char *payload, size_t length)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x00, 0x3d};
    unsigned char head[14] = {(unsigned char)first};
    size_t wide = length < 126 ? 0 : length <= 0xffff ? 2 : 8, at = 2 + wide;
    head[1] = (unsigned char)(0x80 | (wide == 0 ? length : wide == 2 ? 126 : 127));
    for (size_t i = 0; i < wide; i++)
        head[2 + i] = (unsigned char)((uint64_t)length >> 8 * (wide - 1 - i));
    memcpy(head + at, mask, 4);
    buffer_bytes(out, head, at + 4);
    unsigned char *to = (unsigned char *)buffer_reserve(out, length);
    for (size_t i = 0; i < length; i++)
        to[i] = (unsigned char)payload[i] ^ mask[i % 4];
    out->length += length;
}

/* ---- receiving ---- */

struct receiver {
    struct websocket_reader reader;
    struct buffer log, message;
    uint64_t max_bytes;
    bool over; /* closed, or wrong */
};

static void note(struct receiver *to, const char *what, struct text payload)
{
    buffer_text(&to->log, what);
    if (payload.length <= 200) {
        buffer_bytes(&to->log, payload.at, payload.length);
    } else { /* big ones by their length, and whether they came whole */
        buffer_text(&to->log, "#");
        buffer_number(&to->log, (int64_t)payload.length);
        for (size_t i = 0; i < payload.length; i++)
            if (payload.at[i] != '*')
                ck_abort_msg("byte %zu of %zu came as %d", i, payload.length, payload.at[i]);
    }
    buffer_text(&to->log, "|");
}

static void note_data(struct receiver *to, const struct websocket_event *event)
{
    if (event->payload.length && event->first != !to->message.length)
        ck_abort_msg("a piece that is not the first says so");
    buffer_bytes(&to->message, event->payload.at, event->payload.length);
    if (!event->last)
        return;
    note(to, event->binary ? "B:" : "T:", (struct text){to->message.at, to->message.length});
    buffer_finish(&to->message);
}

static void note_event(struct receiver *to, const struct websocket_event *event)
{
    switch (event->got) {
    case WEBSOCKET_DATA:
        note_data(to, event);
        break;
    case WEBSOCKET_PING:
        note(to, "ping:", event->payload);
        break;
    case WEBSOCKET_PONG:
        note(to, "pong:", event->payload);
        break;
    default:
        ck_assert(event->got != WEBSOCKET_ERROR || (event->why && *event->why));
        buffer_text(&to->log, event->got == WEBSOCKET_CLOSE ? "close " : "error ");
        buffer_number(&to->log, event->code);
        to->over = true;
    }
}

/* In memory of its own, where a sanitizer sees whoever reads on. */
static void receive(struct receiver *to, const char *bytes, size_t length)
{
    unsigned char *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    for (size_t used = 0; used < length && !to->over;) {
        struct websocket_event event;
        size_t step =
            websocket_read(&to->reader, copy + used, length - used, to->max_bytes, &event);
        if (step > length - used || (!step && event.got == WEBSOCKET_MORE))
            ck_abort_msg("%zu of %zu bytes were used", step, length - used);
        used += step;
        if (event.got != WEBSOCKET_MORE)
            note_event(to, &event);
    }
    free(copy);
}

static void expect_log(struct receiver *to, const char *expected, const char *name, size_t split)
{
    buffer_bytes(&to->log, "", 1);
    ck_assert_msg(!strcmp(to->log.at, expected), "%s, split at %zu: %s instead of %s", name, split,
                  to->log.at, expected);
    buffer_finish(&to->log);
    buffer_finish(&to->message);
    websocket_reader_finish(&to->reader);
    *to = (struct receiver){.max_bytes = to->max_bytes};
}

/* At once, in pieces of each size up to 7, and in two at every place. */
static void expect_max(const char *name, const struct buffer *bytes, uint64_t max_bytes,
                       const char *expected)
{
    struct receiver to = {.max_bytes = max_bytes};
    for (size_t split = 0; split <= bytes->length; split++) {
        receive(&to, bytes->at, split);
        receive(&to, bytes->at + split, bytes->length - split);
        expect_log(&to, expected, name, split);
    }
    for (size_t piece = 1; piece <= 7; piece++) {
        for (size_t at = 0; at < bytes->length; at += piece)
            receive(&to, bytes->at + at, piece < bytes->length - at ? piece : bytes->length - at);
        expect_log(&to, expected, name, piece);
    }
}

static void expect(const char *name, const struct buffer *bytes, const char *expected)
{
    expect_max(name, bytes, MAX_BYTES, expected);
}

/* ---- frames in a row ---- */

#define A16  "****************"
#define A125 A16 A16 A16 A16 A16 A16 A16 "*************"

static const struct {
    const char *name;
    struct {
        int first;
        const char *payload;
        size_t length;
    } frames[8];
    const char *expected;
} cases[] = {
    {"1.1.1", {{FIN | TEXT, S("")}}, "T:|"},
    {"1.1.2", {{FIN | TEXT, S(A125)}}, "T:" A125 "|"},
    {"1.1.3", {{FIN | TEXT, S(A125 "*")}}, "T:" A125 "*|"},
    {"1.1.4", {{FIN | TEXT, S(A125 "**")}}, "T:" A125 "**|"},
    {"1.1.5", {{FIN | TEXT, S(A125 "***")}}, "T:" A125 "***|"},
    {"1.2.1", {{FIN | BIN, S("")}}, "B:|"},
    {"1.2.2", {{FIN | BIN, S(A125)}}, "B:" A125 "|"},
    {"1.2.3", {{FIN | BIN, S(A125 "*")}}, "B:" A125 "*|"},
    {"1.2.4", {{FIN | BIN, S(A125 "**")}}, "B:" A125 "**|"},
    {"1.2.5", {{FIN | BIN, S(A125 "***")}}, "B:" A125 "***|"},

    {"2.1", {{FIN | PING, S("")}}, "ping:|"},
    {"2.2", {{FIN | PING, S("Hello, world!")}}, "ping:Hello, world!|"},
    {"2.3", {{FIN | PING, S("\x01\xff\xfe\xfd\xfc\xfb")}}, "ping:\x01\xff\xfe\xfd\xfc\xfb|"},
    {"2.4", {{FIN | PING, S(A125)}}, "ping:" A125 "|"},
    {"2.5", {{FIN | PING, S(A125 "*")}}, "error 1002"},
    {"2.7", {{FIN | PONG, S("")}, {FIN | PING, S("a")}}, "pong:|ping:a|"},
    {"2.8", {{FIN | PONG, S("unsolicited")}}, "pong:unsolicited|"},
    {"2.9",
     {{FIN | PONG, S("unsolicited")}, {FIN | PING, S("ping")}},
     "pong:unsolicited|ping:ping|"},
    {"2.10",
     {{FIN | PING, S("1")}, {FIN | PING, S("2")}, {FIN | PING, S("3")}, {FIN | PING, S("4")}},
     "ping:1|ping:2|ping:3|ping:4|"},

    {"3.1", {{FIN | RSV | TEXT, S("x")}}, "error 1002"},
    {"3.2",
     {{FIN | TEXT, S("a")}, {FIN | RSV * 2 | TEXT, S("b")}, {FIN | PING, S("")}},
     "T:a|error 1002"},
    {"3.3", {{FIN | TEXT, S("a")}, {FIN | RSV * 3 | TEXT, S("b")}}, "T:a|error 1002"},
    {"3.4", {{FIN | TEXT, S("a")}, {FIN | RSV * 4 | TEXT, S("b")}}, "T:a|error 1002"},
    {"3.5", {{FIN | RSV * 5 | BIN, S("b")}}, "error 1002"},
    {"3.6", {{FIN | RSV * 6 | PING, S("b")}}, "error 1002"},
    {"3.7", {{FIN | RSV * 7 | CLOSE, S("")}}, "error 1002"},

    {"4.1.1", {{FIN | 3, S("")}}, "error 1002"},
    {"4.1.2", {{FIN | 4, S("reserved")}}, "error 1002"},
    {"4.1.3", {{FIN | TEXT, S("a")}, {FIN | 5, S("")}, {FIN | PING, S("")}}, "T:a|error 1002"},
    {"4.1.4", {{FIN | TEXT, S("a")}, {FIN | 6, S("x")}}, "T:a|error 1002"},
    {"4.1.5", {{FIN | TEXT, S("a")}, {FIN | 7, S("x")}}, "T:a|error 1002"},
    {"4.2.1", {{FIN | 11, S("")}}, "error 1002"},
    {"4.2.2", {{FIN | 12, S("reserved")}}, "error 1002"},
    {"4.2.3", {{FIN | TEXT, S("a")}, {FIN | 13, S("")}}, "T:a|error 1002"},
    {"4.2.4", {{FIN | TEXT, S("a")}, {FIN | 14, S("x")}}, "T:a|error 1002"},
    {"4.2.5", {{FIN | TEXT, S("a")}, {FIN | 15, S("x")}}, "T:a|error 1002"},
    {"3 without FIN", {{TEXT, S("a")}, {3, S("")}}, "error 1002"},

    {"5.1", {{PING, S("a")}, {FIN | CONT, S("b")}}, "error 1002"},
    {"5.2", {{PONG, S("a")}, {FIN | CONT, S("b")}}, "error 1002"},
    {"a close in fragments", {{CLOSE, S("\x03\xe8")}}, "error 1002"},
    {"5.3", {{TEXT, S("a")}, {FIN | CONT, S("b")}}, "T:ab|"},
    {"5.6", {{TEXT, S("a")}, {FIN | PING, S("p")}, {FIN | CONT, S("b")}}, "ping:p|T:ab|"},
    {"5.9", {{FIN | CONT, S("x")}, {FIN | TEXT, S("a")}}, "error 1002"},
    {"5.12", {{CONT, S("x")}, {FIN | TEXT, S("a")}}, "error 1002"},
    {"5.13", {{CONT, S("")}, {FIN | TEXT, S("a")}}, "error 1002"},
    {"5.15",
     {{TEXT, S("a")}, {FIN | CONT, S("b")}, {CONT, S("c")}, {FIN | TEXT, S("d")}},
     "T:ab|error 1002"},
    {"5.16", {{CONT, S("x")}, {TEXT, S("a")}, {FIN | CONT, S("b")}}, "error 1002"},
    {"5.17", {{FIN | CONT, S("x")}, {TEXT, S("a")}, {FIN | CONT, S("b")}}, "error 1002"},
    {"5.18", {{TEXT, S("a")}, {FIN | TEXT, S("b")}}, "error 1002"},
    {"5.18 binary", {{TEXT, S("a")}, {FIN | BIN, S("b")}}, "error 1002"},
    {"5.19",
     {{TEXT, S("1")},
      {CONT, S("2")},
      {FIN | PING, S("p")},
      {CONT, S("3")},
      {CONT, S("4")},
      {FIN | PING, S("q")},
      {FIN | CONT, S("5")}},
     "ping:p|ping:q|T:12345|"},
    {"empty fragments",
     {{TEXT, S("")}, {CONT, S("")}, {CONT, S("a")}, {CONT, S("")}, {FIN | CONT, S("")}},
     "T:a|"},
    {"nothing in fragments", {{BIN, S("")}, {CONT, S("")}, {FIN | CONT, S("")}}, "B:|"},
    {"one after the other",
     {{TEXT, S("a")}, {FIN | CONT, S("b")}, {FIN | BIN, S("c")}, {BIN, S("d")}, {FIN, S("e")}},
     "T:ab|B:c|B:de|"},
    {"a close within a message", {{TEXT, S("a")}, {FIN | CLOSE, S("\x03\xe8")}}, "close 1000"},

    {"6.1.1", {{FIN | TEXT, S("")}}, "T:|"},
    {"6.1.2", {{TEXT, S("")}, {CONT, S("")}, {FIN | CONT, S("")}}, "T:|"},
    {"6.1.3", {{TEXT, S("")}, {CONT, S("middle")}, {FIN | CONT, S("")}}, "T:middle|"},
    {"6.2.2", {{TEXT, S("\xce\xba\xe1")}, {FIN | CONT, S("\xbd\xb9")}}, "T:\xce\xba\xe1\xbd\xb9|"},
    {"6.2.3",
     {{TEXT, S("\xce")}, {CONT, S("\xba\xe1")}, {CONT, S("\xbd")}, {FIN | CONT, S("\xb9")}},
     "T:\xce\xba\xe1\xbd\xb9|"},
    {"6.2.3 with a ping in a letter",
     {{TEXT, S("\xce")}, {FIN | PING, S("\xba")}, {FIN | CONT, S("\xba")}},
     "ping:\xba|T:\xce\xba|"},
    {"6.3.1",
     {{FIN | TEXT, S("\xce\xba\xed\xa0\x80"
                     "edited")}},
     "error 1007"},
    {"6.3.2", {{TEXT, S("\xed")}, {CONT, S("\xa0")}, {FIN | CONT, S("\x80")}}, "error 1007"},
    {"6.4.1",
     {{TEXT, S("\xce\xba")}, {CONT, S("\xf4\x90\x80\x80")}, {FIN | CONT, S("edited")}},
     "error 1007"},
    {"6.4.2",
     {{TEXT, S("\xce\xba\xf4")}, {CONT, S("\x90")}, {FIN | CONT, S("\x80\x80")}},
     "error 1007"},
    {"half a letter at the end", {{TEXT, S("\xce")}, {FIN | CONT, S("")}}, "error 1007"},
    {"a letter over two messages",
     {{FIN | TEXT, S("\xce")}, {FIN | TEXT, S("\xba")}},
     "error 1007"},
    {"bytes are no text", {{BIN, S("\xff\xfe")}, {FIN | CONT, S("\xce")}}, "B:\xff\xfe\xce|"},
    {"text after bytes", {{FIN | BIN, S("\xce")}, {FIN | TEXT, S("a")}}, "B:\xce|T:a|"},

    {"7.1.3", {{FIN | CLOSE, S("\x03\xe8")}, {FIN | PING, S("")}}, "close 1000"},
    {"7.1.5", {{TEXT, S("a")}, {FIN | CLOSE, S("")}, {FIN | CONT, S("b")}}, "close 1005"},
    {"7.3.1", {{FIN | CLOSE, S("")}}, "close 1005"},
    {"7.3.2", {{FIN | CLOSE, S("a")}}, "error 1002"},
    {"7.3.3", {{FIN | CLOSE, S("\x03\xe8")}}, "close 1000"},
    {"7.3.4", {{FIN | CLOSE, S("\x03\xe8Hello World!")}}, "close 1000"},
    {"7.3.5",
     {{FIN | CLOSE, S("\x03\xe8" A16 A16 A16 A16 A16 A16 A16 "***********")}},
     "close 1000"},
    {"7.3.6", {{FIN | CLOSE, S("\x03\xe8" A125)}}, "error 1002"},
    {"7.5.1", {{FIN | CLOSE, S("\x03\xe8\xce\xba\xed\xa0\x80")}}, "error 1007"},
    {"half a letter in the reason", {{FIN | CLOSE, S("\x03\xe8\xce")}}, "error 1007"},
    {"letters in the reason", {{FIN | CLOSE, S("\x03\xe8\xce\xba")}}, "close 1000"},
};

START_TEST(frames_are_understood_in_every_split)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buffer bytes = {0};
        for (size_t j = 0; cases[i].frames[j].payload && j < COUNT(cases[i].frames); j++)
            add_frame(&bytes, cases[i].frames[j].first, cases[i].frames[j].payload,
                      cases[i].frames[j].length);
        expect(cases[i].name, &bytes, cases[i].expected);
        buffer_finish(&bytes);
    }
}
END_TEST

/* ---- frames that are none ---- */

START_TEST(wrong_heads_are_refused_in_every_split)
{
    static const struct {
        const char *name, *bytes;
        size_t length;
        const char *expected;
    } heads[] = {
        {"no mask", S("\x81\x01\x61"), "error 1002"},
        {"no mask, empty", S("\x81\x00"), "error 1002"},
        {"no mask, long", S("\x81\x7e\x01\x00"), "error 1002"},
        {"no mask, a ping", S("\x89\x00"), "error 1002"},
        {"16 bits for 125", S("\x81\xfe\x00\x7d\0\0\0\0"), "error 1002"},
        {"16 bits for 0", S("\x81\xfe\x00\x00\0\0\0\0"), "error 1002"},
        {"64 bits for 65535", S("\x81\xff\0\0\0\0\0\0\xff\xff\0\0\0\0"), "error 1002"},
        {"64 bits for 1", S("\x81\xff\0\0\0\0\0\0\0\x01\0\0\0\0"), "error 1002"},
        {"bit 63", S("\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0"), "error 1002"},
        {"all bits", S("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), "error 1002"},
        {"exabytes", S("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), "error 1009"},
        {"a ping of 16 bits", S("\x89\xfe\x00\x7e\0\0\0\0"), "error 1002"},
        {"a ping of exabytes", S("\x89\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), "error 1002"},
        {"a close of 16 bits", S("\x88\xfe\x00\x02\0\0\0\0\x03\xe8"), "error 1002"},
    };
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct buffer bytes = {0};
        buffer_bytes(&bytes, heads[i].bytes, heads[i].length);
        expect(heads[i].name, &bytes, heads[i].expected);
        buffer_finish(&bytes);
    }
}
END_TEST

/* 7.7.* and 7.9.*, and all others. */
START_TEST(close_codes_are_those_that_may_be_sent)
{
    for (unsigned code = 0; code <= 0xffff; code += code < 5100 ? 1 : 997) {
        bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        char payload[2] = {(char)(code >> 8), (char)code}, expected[32];
        struct buffer bytes = {0};
        struct receiver to = {.max_bytes = MAX_BYTES};
        add_frame(&bytes, FIN | CLOSE, payload, 2);
        receive(&to, bytes.at, bytes.length);
        snprintf(expected, sizeof expected, good ? "close %u" : "error 1002", code);
        expect_log(&to, expected, "a code", code);
        buffer_finish(&bytes);
    }
}
END_TEST

/* ---- UTF-8: 6.5.* to 6.23.* ---- */

static const struct {
    const char *bytes;
    size_t good; /* so many of them are in order; the next one is not, or the text ends too early */
} texts[] = {
    {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", 11},
    {"\xce", 1}, /* ends too early: see below */
    {"\xce\xba\xe1", 3},
    {"\xce\xba\xe1\xbd", 4},
    {"\xf0\x9f\x98\x80", 4},
    {"\xf0\x9f\x98", 3},
    /* first and last of each length */
    {"\x01", 1},
    {"\xc2\x80", 2},
    {"\xe0\xa0\x80", 3},
    {"\xf0\x90\x80\x80", 4},
    {"\xf8\x88\x80\x80\x80", 0},
    {"\xfc\x84\x80\x80\x80\x80", 0},
    {"\x7f", 1},
    {"\xdf\xbf", 2},
    {"\xef\xbf\xbf", 3},
    {"\xf4\x8f\xbf\xbf", 4},
    {"\xf4\x90\x80\x80", 1},
    {"\xf7\xbf\xbf\xbf", 0},
    {"\xfb\xbf\xbf\xbf\xbf", 0},
    {"\xfd\xbf\xbf\xbf\xbf\xbf", 0},
    {"\xed\x9f\xbf", 3},
    {"\xee\x80\x80", 3},
    {"\xef\xbf\xbd", 3},
    /* continuations of nothing */
    {"\x80", 0},
    {"\xbf", 0},
    {"\x80\xbf\x80", 0},
    {"a\x80", 1},
    {"\xc2\x80\x80", 2},
    /* what stands alone */
    {"\xc2 ", 1},
    {"\xe1 ", 1},
    {"\xe1\x80 ", 2},
    {"\xf1 ", 1},
    {"\xf1\x80 ", 2},
    {"\xf1\x80\x80 ", 3},
    {"\xc2\xc2", 1},
    {"\xe1\x80\xe1", 2},
    {"\xfe", 0},
    {"\xff", 0},
    /* longer than need be */
    {"\xc0\xaf", 0},
    {"\xc1\xbf", 0},
    {"\xe0\x80\xaf", 1},
    {"\xe0\x9f\xbf", 1},
    {"\xf0\x80\x80\xaf", 1},
    {"\xf0\x8f\xbf\xbf", 1},
    /* surrogates */
    {"\xed\xa0\x80", 1},
    {"\xed\xbf\xbf", 1},
    {"\xed\xa0\x80\xed\xb0\x80", 1},
    /* beyond */
    {"\xf4\xbf\xbf\xbf", 1},
    {"\xf5\x80\x80\x80", 0},
    /* not characters, but UTF-8 */
    {"\xef\xbf\xbe", 3},
    {"\xf0\x9f\xbf\xbf", 4},
    {"\xf3\xaf\xbf\xbe", 4},
};

/* The error comes with the byte that is wrong, not with the end of the message. */
START_TEST(utf8_fails_at_the_first_wrong_byte)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        size_t length = strlen(texts[i].bytes);
        struct buffer bytes = {0};
        struct receiver to = {.max_bytes = MAX_BYTES};
        add_frame(&bytes, TEXT, texts[i].bytes, length);
        for (size_t at = 0; at < bytes.length; at++) {
            receive(&to, bytes.at + at, 1);
            ck_assert_msg(to.over == (at + 1 > 6 + texts[i].good), "text %zu, byte %zu", i, at);
        }
        expect_log(&to, texts[i].good < length ? "error 1007" : "", "a text", i);
        buffer_finish(&bytes);
    }
}
END_TEST

static bool is_whole(const char *bytes, size_t length)
{
    struct utf8_state state = {0};
    return utf8_continue(&state, bytes, length) && !state.more;
}

START_TEST(utf8_is_exactly_the_characters_there_are)
{
    ck_assert(!is_whole(S("\xce")) && !is_whole(S("\xf0\x9f\x98")));
    for (uint32_t code = 0; code < 0x110400; code++) {
        char c[4];
        size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        c[0] = (char)(n == 1 ? code : (0xf00u >> n & 0xff) | code >> 6 * (n - 1));
        for (size_t i = 1; i < n; i++)
            c[i] = (char)(0x80 | (code >> 6 * (n - 1 - i) & 0x3f));
        bool good = code < 0x110000 && (code < 0xd800 || code > 0xdfff);
        if (is_whole(c, n) != good)
            ck_abort_msg("U+%04X", code);
    }
}
END_TEST

/* ---- big ones: 9.* ---- */

static void expect_in_pieces(const char *name, const struct buffer *bytes, const char *expected)
{
    static const size_t pieces[] = {64, 127, 997, 4096, 65536, 1 << 24};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        struct receiver to = {.max_bytes = MAX_BYTES};
        for (size_t at = 0; at < bytes->length; at += pieces[i])
            receive(&to, bytes->at + at,
                    pieces[i] < bytes->length - at ? pieces[i] : bytes->length - at);
        expect_log(&to, expected, name, pieces[i]);
    }
}

START_TEST(big_messages_come_whole_in_frames_of_any_size)
{
    static const size_t sizes[] = {65535, 65536, 65537, 1 << 20, 4 << 20};
    char *payload = malloc(4 << 20), expected[32];
    memset(payload, '*', 4 << 20);
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t frame = 64; frame <= (4 << 20); frame *= 16) {
            struct buffer bytes = {0};
            for (size_t at = 0; at < sizes[i]; at += frame) {
                size_t left = sizes[i] - at, take = frame < left ? frame : left;
                add_frame(&bytes, (take == left ? FIN : 0) | (at ? CONT : BIN), payload, take);
            }
            snprintf(expected, sizeof expected, "B:#%zu|", sizes[i]);
            expect_in_pieces("a big message", &bytes, expected);
            buffer_finish(&bytes);
        }
    free(payload);
}
END_TEST

START_TEST(a_message_of_exactly_the_limit_is_taken_and_a_byte_more_is_not)
{
    static const struct {
        size_t lengths[4];
        const char *expected;
    } messages[] = {
        {{16}, "T:" A16 "|"},       {{17}, "error 1009"},      {{8, 8}, "T:" A16 "|"},
        {{8, 9}, "error 1009"},     {{16, 1}, "error 1009"},   {{1, 15}, "T:" A16 "|"},
        {{15, 1, 1}, "error 1009"}, {{5, 5, 6}, "T:" A16 "|"},
    };
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct buffer bytes = {0};
        for (size_t j = 0; messages[i].lengths[j]; j++) {
            bool last = !messages[i].lengths[j + 1];
            add_frame(&bytes, (last ? FIN : 0) | (j ? CONT : TEXT), A125, messages[i].lengths[j]);
            if (!last) /* control frames do not count */
                add_frame(&bytes, FIN | PONG, "", 0);
        }
        struct receiver to = {.max_bytes = 16};
        for (size_t at = 0; at < bytes.length; at++)
            receive(&to, bytes.at + at, 1);
        char *log = to.log.at, *from;
        buffer_bytes(&to.log, "", 1);
        log = to.log.at;
        while ((from = strstr(log, "pong:|")))
            memmove(from, from + 6, strlen(from + 6) + 1);
        ck_assert_str_eq(log, messages[i].expected);
        buffer_finish(&bytes);
        buffer_finish(&to.log);
        buffer_finish(&to.message);
        websocket_reader_finish(&to.reader);
    }
}
END_TEST

START_TEST(a_limit_that_falls_during_a_message_holds_for_the_rest_of_it)
{
    struct buffer bytes = {0};
    struct receiver to = {.max_bytes = 100};
    add_frame(&bytes, TEXT, A125, 60);
    receive(&to, bytes.at, bytes.length);
    to.max_bytes = 50; /* the configuration was reloaded */
    bytes.length = 0;
    add_frame(&bytes, CONT, A125, 1);
    receive(&to, bytes.at, bytes.length);
    expect_log(&to, "error 1009", "a limit", 50);
    buffer_finish(&bytes);
}
END_TEST

/* ---- the handshake, and what is written ---- */

START_TEST(keys_are_16_bytes_of_base64)
{
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWFh",
        "dGhlIHNhbXBsZSBub25jZ===",
        "========================",
        "AAAA====AAAAAAAAAAAAAA==",
        "dGhlIHNhbXBsZSBub25j-_==",
        "dGhlIHNhbXBsZSBub 5jZQ==",
        "dGhlIHNhbXBsZSBub\0015jZQ==",
        "\xc3\xa9lIHNhbXBsZSBub25jZQ==",
        "                      ==",
    };
    char accept[WEBSOCKET_ACCEPT_SIZE] = "untouched";
    for (size_t i = 0; i < COUNT(wrong); i++)
        ck_assert_msg(!websocket_accept(text_of(wrong[i]), accept), "%s", wrong[i]);
    ck_assert(!websocket_accept((struct text){0}, accept));
    ck_assert(websocket_accept(text_of("dGhlIHNhbXBsZSBub25jZQ=="), accept));
    ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ck_assert(websocket_accept(text_of("+/+/+/+/+/+/+/+/+/+/+w=="), accept));
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
    unsigned char frame[2 + WEBSOCKET_CONTROL_MAX];
    char long_reason[300];
    memset(long_reason, 'x', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = 0;
    ck_assert_uint_eq(websocket_write_close(frame, 1008, "why"), 7);
    ck_assert(!memcmp(frame, "\x88\x05\x03\xf0why", 7));
    ck_assert_uint_eq(websocket_write_close(frame, 1005, "ignored"), 2);
    ck_assert(!memcmp(frame, "\x88\x00", 2));
    ck_assert_uint_eq(websocket_write_close(frame, 1000, long_reason), 127);
    ck_assert_uint_eq(websocket_write_pong(frame, text_of("p")), 3);
    ck_assert(!memcmp(frame, "\x8a\x01p", 3));
    ck_assert_uint_eq(websocket_write_pong(frame, (struct text){long_reason, 125}), 127);
    ck_assert_uint_eq(websocket_write_pong(frame, (struct text){0}), 2);
}
END_TEST

UNIT_MAIN("websocket", frames_are_understood_in_every_split, wrong_heads_are_refused_in_every_split,
          close_codes_are_those_that_may_be_sent, utf8_fails_at_the_first_wrong_byte,
          utf8_is_exactly_the_characters_there_are, big_messages_come_whole_in_frames_of_any_size,
          a_message_of_exactly_the_limit_is_taken_and_a_byte_more_is_not,
          a_limit_that_falls_during_a_message_holds_for_the_rest_of_it, keys_are_16_bytes_of_base64,
          what_is_written_can_be_read)
