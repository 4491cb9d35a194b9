#include "websocket.h"
#include "flow.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

enum { HANDSHAKE_SECONDS = 20, CLOSE_SECONDS = 20 };

/* ---- handshake ---- */

static char *accept_for(const char *key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length;
    char *what = textf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    char *text = malloc(64);
    EVP_Digest(what, strlen(what), digest, &length, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)text, digest, (int)length);
    free(what);
    return text;
}

struct websocket *websocket_open(struct server *server, const char *target, int receive_bytes,
                                 struct http_answer **refused)
{
    unsigned char nonce[16];
    char key[32];
    RAND_bytes(nonce, sizeof nonce);
    EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce);
    char *request = textf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: %s\r\n\r\n",
                          target, server->port, key);
    struct stream *stream = stream_open(server->port, receive_bytes);
    stream_send(stream, request, strlen(request));
    free(request);
    struct http_answer *answer = http_receive(stream, false, deadline_in(HANDSHAKE_SECONDS));
    ck_assert_msg(answer != NULL, "closed without an answer to an upgrade at %.200s", target);
    if (answer->status != 101) {
        ck_assert_msg(refused != NULL, "no websocket at %.200s: %s%s", target, answer->head,
                      answer->body);
        *refused = answer;
        stream_cut(stream);
        return NULL;
    }
    char *accept = http_header(answer, "Sec-WebSocket-Accept"), *expected = accept_for(key);
    ck_assert_str_eq(accept, expected);
    ck_assert_ptr_null(http_header(answer, "Sec-WebSocket-Extensions"));
    free(accept);
    free(expected);
    free(answer->head);
    free(answer->body);
    free(answer);
    struct websocket *ws = calloc(1, sizeof *ws);
    ws->stream = stream;
    return ws;
}

/* ---- sending ---- */

char *websocket_frame(bool final, int opcode, const void *bytes, size_t length, size_t *size_out)
{
    unsigned char *frame = malloc(length + 14), *p = frame, mask[4];
    RAND_bytes(mask, sizeof mask);
    *p++ = (unsigned char)((final ? 0x80 : 0) | opcode);
    int wide = length < 126 ? 0 : length < 65536 ? 2 : 8;
    *p++ = (unsigned char)(0x80 | (wide == 0 ? (int)length : wide == 2 ? 126 : 127));
    for (int i = wide - 1; i >= 0; i--)
        *p++ = (unsigned char)(length >> 8 * i);
    memcpy(p, mask, sizeof mask);
    p += sizeof mask;
    for (size_t i = 0; i < length; i++)
        *p++ = ((const unsigned char *)bytes)[i] ^ mask[i % 4];
    *size_out = (size_t)(p - frame);
    return (char *)frame;
}

bool websocket_send_frame(struct websocket *ws, bool final, int opcode, const void *bytes,
                          size_t length)
{
    size_t size;
    char *frame = websocket_frame(final, opcode, bytes, length, &size);
    bool sent = !ws->close_code && stream_send(ws->stream, frame, size);
    free(frame);
    return sent;
}

bool websocket_send(struct websocket *ws, const char *text)
{
    return websocket_send_frame(ws, true, WS_TEXT, text, strlen(text));
}

/* ---- receiving ---- */

struct frame {
    bool final;
    int opcode;
    size_t head, length;
};

/* Look at the next frame; false if it is not all there yet. */
static bool frame_peek(const struct websocket *ws, struct frame *frame)
{
    const unsigned char *p = (const unsigned char *)stream_at(ws->stream);
    size_t available = stream_available(ws->stream);
    if (available < 2)
        return false;
    ck_assert_msg(!(p[0] & 0x70) && !(p[1] & 0x80), "a frame of the server with RSV bits or mask");
    size_t wide = p[1] < 126 ? 0 : p[1] == 126 ? 2 : 8;
    *frame = (struct frame){.final = p[0] & 0x80, .opcode = p[0] & 15, .head = 2 + wide};
    if (available < frame->head)
        return false;
    frame->length = wide ? 0 : p[1];
    for (size_t i = 0; i < wide; i++)
        frame->length = frame->length << 8 | p[2 + i];
    return available >= frame->head + frame->length;
}

static void message_append(struct websocket *ws, const char *bytes, size_t length)
{
    if (ws->length + length >= ws->capacity) {
        ws->capacity = (ws->length + length + 1) * 2;
        ws->message = realloc(ws->message, ws->capacity);
    }
    memcpy(ws->message + ws->length, bytes, length);
    ws->length += length;
    ws->message[ws->length] = 0;
}

static void closed(struct websocket *ws, const char *payload, size_t length)
{
    const unsigned char *p = (const unsigned char *)payload;
    websocket_send_frame(ws, true, WS_CLOSE, payload, length < 2 ? 0 : 2);
    ws->close_code = length < 2 ? 1005 : p[0] << 8 | p[1];
    if (length > 2)
        memcpy(ws->close_reason, payload + 2, length - 2);
}

/* true if a text is complete. */
static bool frame_handle(struct websocket *ws, const struct frame *frame)
{
    const char *payload = stream_at(ws->stream) + frame->head;
    switch (frame->opcode) {
    case WS_CONTINUATION:
    case WS_TEXT:
        ck_assert_msg(ws->in_fragments == (frame->opcode == WS_CONTINUATION),
                      "fragments of the server out of order");
        if (!ws->in_fragments)
            ws->length = 0;
        message_append(ws, payload, frame->length);
        ws->in_fragments = !frame->final;
        return frame->final;
    case WS_PING:
        ck_assert_msg(frame->final && frame->length < 126, "a wrong ping of the server");
        websocket_send_frame(ws, true, WS_PONG, payload, frame->length);
        return false;
    case WS_PONG:
        return false;
    case WS_CLOSE:
        ck_assert_msg(frame->final && frame->length < 126, "a wrong close of the server");
        closed(ws, payload, frame->length);
        return false;
    default:
        ck_abort_msg("a frame of the server with opcode %d", frame->opcode);
    }
}

enum websocket_got websocket_receive(struct websocket *ws, int64_t deadline)
{
    struct frame frame;
    while (!ws->close_code) {
        if (frame_peek(ws, &frame)) {
            bool complete = frame_handle(ws, &frame);
            stream_take(ws->stream, frame.head + frame.length);
            if (complete)
                return WS_GOT_TEXT;
            continue;
        }
        switch (stream_receive(ws->stream, deadline)) {
        case STREAM_MORE:
            break;
        case STREAM_ENDED:
            ws->close_code = 1006;
            break;
        case STREAM_LATE:
            return WS_GOT_LATE;
        }
    }
    return WS_GOT_CLOSE;
}

void websocket_expect_close(struct websocket *ws, int code)
{
    int64_t deadline = deadline_in(CLOSE_SECONDS);
    enum websocket_got got;
    while ((got = websocket_receive(ws, deadline)) == WS_GOT_TEXT)
        ;
    ck_assert_msg(got == WS_GOT_CLOSE, "not closed");
    ck_assert_msg(ws->close_code == code, "closed with %d \"%s\", not with %d", ws->close_code,
                  ws->close_reason, code);
}

void websocket_close(struct websocket *ws)
{
    static const char normal[] = {3, (char)0xe8}; /* 1000 */
    int64_t deadline = deadline_in(CLOSE_SECONDS);
    enum websocket_got got = WS_GOT_CLOSE;
    if (websocket_send_frame(ws, true, WS_CLOSE, normal, sizeof normal))
        while ((got = websocket_receive(ws, deadline)) == WS_GOT_TEXT)
            ;
    ck_assert_msg(got == WS_GOT_CLOSE, "the server does not answer a close");
    websocket_cut(ws);
}

void websocket_cut(struct websocket *ws)
{
    stream_cut(ws->stream);
    free(ws->message);
    free(ws);
}
