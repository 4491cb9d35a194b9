#include "websocket.h"
#include "alloc.h"
#include "word.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

bool websocket_accept(struct text key, char out[WEBSOCKET_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char both[24 + sizeof guid], digest[SHA_DIGEST_LENGTH], plain[20];
    if (key.length != 24 || !text_is((struct text){key.at + 22, 2}, "=="))
        return false;
    if (memchr(key.at, '=', 22)) /* which openssl would take for an A */
        return false;
    memcpy(both, key.at, 24);
    if (EVP_DecodeBlock(plain, both, 24) != 18)
        return false;
    memcpy(both + 24, guid, sizeof guid - 1);
    SHA1(both, 24 + sizeof guid - 1, digest);
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
    return true;
}

/* ---- UTF-8 ---- */

bool utf8_continue(struct utf8_state *state, const void *bytes, size_t length)
{
    const unsigned char *p = bytes, *end = p + length;
    struct utf8_state s = *state;
    for (; p < end; p++) {
        while (!s.more && end - p > 8 && word_is_ascii(word_at(p)))
            p += 8;
        unsigned char c = *p;
        if (s.more) {
            if (c < s.low || c > s.high)
                return false;
            s.more--;
            s.low = 0x80;
            s.high = 0xbf;
        } else if (c >= 0x80) {
            if (c < 0xc2 || c > 0xf4)
                return false;
            s.more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
            s.low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;  /* shortest forms only */
            s.high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf; /* no surrogates, to U+10FFFF */
        }
    }
    *state = s;
    return true;
}

/* ---- frames ---- */

static size_t fail(struct websocket_event *event, size_t used, uint16_t code, const char *why)
{
    event->got = WEBSOCKET_ERROR;
    event->code = code;
    event->why = why;
    return used;
}

/* How long the head is, as far as it is known. */
static size_t head_size(const struct websocket_reader *reader)
{
    if (reader->head_length < 2)
        return 2;
    unsigned length = reader->head[1] & 0x7f;
    return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4;
}

/* The whole head is there: what is wrong with it, or NULL. */
static const char *head_read(struct websocket_reader *reader)
{
    const unsigned char *head = reader->head;
    unsigned length = head[1] & 0x7f, extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    reader->final = head[0] & 0x80;
    reader->opcode = head[0] & 0x0f;
    reader->left = extra ? 0 : length;
    for (unsigned i = 0; i < extra; i++)
        reader->left = reader->left << 8 | head[2 + i];
    memcpy(reader->mask, head + 2 + extra, 4);
    reader->mask_at = 0;
    if (head[0] & 0x70)
        return "reserved bits";
    if ((extra == 2 && reader->left < 126) || (extra == 8 && reader->left <= 0xffff) ||
        reader->left >> 63)
        return "a length in the wrong form";
    if (reader->opcode >= CLOSE)
        return reader->opcode > PONG                                    ? "an unknown opcode"
               : !reader->final || reader->left > WEBSOCKET_CONTROL_MAX ? "a control frame too big"
                                                                        : NULL;
    if (reader->opcode > BINARY)
        return "an unknown opcode";
    if (reader->opcode == CONTINUATION)
        return reader->message_opcode ? NULL : "a continuation of nothing";
    return reader->message_opcode ? "a message within a message" : NULL;
}

static void unmask(struct websocket_reader *reader, unsigned char *bytes, size_t length)
{
    size_t i = 0, at = reader->mask_at;
    for (; i < length && at; i++, at = (at + 1) & 3)
        bytes[i] ^= reader->mask[at];
    uint32_t mask, word;
    memcpy(&mask, reader->mask, 4);
    for (; i + 4 <= length; i += 4) {
        memcpy(&word, bytes + i, 4);
        word ^= mask;
        memcpy(bytes + i, &word, 4);
    }
    for (; i < length; i++, at = (at + 1) & 3)
        bytes[i] ^= reader->mask[at];
    reader->mask_at = (uint8_t)at;
}

static bool close_code_is_good(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static size_t close_read(struct websocket_event *event, size_t used)
{
    struct text payload = event->payload;
    struct utf8_state utf8 = {0};
    event->got = WEBSOCKET_CLOSE;
    event->code = 1005;
    if (!payload.length)
        return used;
    if (payload.length == 1)
        return fail(event, used, 1002, "a close frame of one byte");
    unsigned code = (unsigned)(unsigned char)payload.at[0] << 8 | (unsigned char)payload.at[1];
    if (!close_code_is_good(code))
        return fail(event, used, 1002, "a close code that is none");
    if (!utf8_continue(&utf8, payload.at + 2, payload.length - 2) || utf8.more)
        return fail(event, used, 1007, "not UTF-8");
    event->code = (uint16_t)code;
    return used;
}

/* A control frame, perhaps collected from several pieces. */
static size_t control_read(struct websocket_reader *reader, unsigned char *bytes, size_t take,
                           size_t used, struct websocket_event *event)
{
    event->payload = (struct text){(char *)bytes, take};
    if (reader->left || reader->control_length) {
        if (!reader->control)
            reader->control = xmalloc(WEBSOCKET_CONTROL_MAX);
        memcpy(reader->control + reader->control_length, bytes, take);
        reader->control_length = (uint8_t)(reader->control_length + take);
        event->payload = (struct text){(char *)reader->control, reader->control_length};
    }
    if (reader->left)
        return used;
    reader->in_payload = false;
    reader->control_length = 0;
    if (reader->opcode == CLOSE)
        return close_read(event, used);
    event->got = reader->opcode == PING ? WEBSOCKET_PING : WEBSOCKET_PONG;
    return used;
}

static size_t data_read(struct websocket_reader *reader, unsigned char *bytes, size_t take,
                        size_t used, struct websocket_event *event)
{
    bool last = reader->final && !reader->left;
    if (!reader->left)
        reader->in_payload = false;
    if (reader->message_opcode == TEXT &&
        (!utf8_continue(&reader->utf8, bytes, take) || (last && reader->utf8.more)))
        return fail(event, used, 1007, "not UTF-8");
    event->got = WEBSOCKET_DATA;
    event->payload = (struct text){(char *)bytes, take};
    event->last = last;
    event->binary = reader->message_opcode == BINARY;
    if (last)
        reader->message_opcode = 0;
    return used;
}

size_t websocket_read(struct websocket_reader *reader, unsigned char *bytes, size_t length,
                      uint64_t max_bytes, struct websocket_event *event)
{
    size_t used = 0;
    *event = (struct websocket_event){.got = WEBSOCKET_MORE};
    if (!reader->in_payload) {
        while (reader->head_length < head_size(reader)) {
            if (used == length)
                return used;
            reader->head[reader->head_length++] = bytes[used++];
            if (reader->head_length == 2 && !(reader->head[1] & 0x80))
                return fail(event, used, 1002, "a frame without a mask");
        }
        const char *why = head_read(reader);
        reader->head_length = 0;
        if (why)
            return fail(event, used, 1002, why);
        if (reader->opcode == TEXT || reader->opcode == BINARY) {
            reader->message_opcode = reader->opcode;
            reader->message_bytes = 0;
            reader->utf8 = (struct utf8_state){0};
        }
        if (reader->opcode < CLOSE &&
            (reader->left > max_bytes || reader->message_bytes > max_bytes - reader->left))
            return fail(event, used, 1009, "message too big");
        reader->in_payload = true;
    }
    size_t take = length - used < reader->left ? length - used : (size_t)reader->left;
    if (!take && reader->left)
        return used;
    unsigned char *payload = bytes + used;
    unmask(reader, payload, take);
    reader->left -= take;
    used += take;
    if (reader->opcode >= CLOSE)
        return control_read(reader, payload, take, used, event);
    event->first = !reader->message_bytes;
    reader->message_bytes += take;
    return data_read(reader, payload, take, used, event);
}

void websocket_reader_finish(struct websocket_reader *reader)
{
    free(reader->control);
    reader->control = NULL;
}

static size_t control_write(unsigned char *out, int opcode, const void *payload, size_t length)
{
    out[0] = (unsigned char)(0x80 | opcode);
    out[1] = (unsigned char)length;
    if (length)
        memmove(out + 2, payload, length);
    return 2 + length;
}

size_t websocket_write_close(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], uint16_t code,
                             const char *reason)
{
    unsigned char payload[WEBSOCKET_CONTROL_MAX];
    size_t length = strlen(reason);
    if (code == 1005)
        return control_write(out, CLOSE, NULL, 0);
    if (length > sizeof payload - 2)
        length = sizeof payload - 2;
    payload[0] = (unsigned char)(code >> 8);
    payload[1] = (unsigned char)code;
    memcpy(payload + 2, reason, length);
    return control_write(out, CLOSE, payload, 2 + length);
}

size_t websocket_write_pong(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], struct text payload)
{
    return control_write(out, PONG, payload.at, payload.length);
}
