/* websocket.h: the client's side of RFC 6455, over a stream. Pings are answered while receiving. */
#pragma once
#include "http.h"

struct websocket {
    struct stream *stream;
    char *message; /* the text received last, or its fragments so far; NUL behind it */
    size_t length, capacity;
    bool in_fragments;
    int close_code; /* 0 while it is open; 1005 close frame without a code; 1006 no close frame */
    char close_reason[126];
};

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* Shake hands. With `refused`, an answer other than 101 goes there and NULL is returned; without
 * it the test fails.
 *   receive_bytes  as of stream_open */
struct websocket *websocket_open(struct server *server, const char *target, int receive_bytes,
                                 struct http_answer **refused);

/* false: the connection is gone. */
bool websocket_send(struct websocket *ws, const char *text);
bool websocket_send_frame(struct websocket *ws, bool final, int opcode, const void *bytes,
                          size_t length);
/* The bytes of a masked frame. */
char *websocket_frame(bool final, int opcode, const void *bytes, size_t length, size_t *size_out);

enum websocket_got { WS_GOT_TEXT, WS_GOT_CLOSE, WS_GOT_LATE };
/* Next whole text: ws->message, until the next call. After WS_GOT_CLOSE see ws->close_code. */
enum websocket_got websocket_receive(struct websocket *ws, int64_t deadline);
/* Receive until the server has closed; the test fails unless with this code. */
void websocket_expect_close(struct websocket *ws, int code);
void websocket_close(struct websocket *ws); /* with 1000, and wait for the answer; and free */
void websocket_cut(struct websocket *ws);   /* without a word; and free */
