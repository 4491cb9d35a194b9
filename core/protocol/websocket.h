/* websocket.h: frames that clients send (RFC 6455, section 5), read strictly and in pieces, as they
 * come. What the server sends is built in frame.h. Pure, but for the state it is given. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

enum { WEBSOCKET_ACCEPT_SIZE = 29, WEBSOCKET_CONTROL_MAX = 125 };

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; false if that is not 16 bytes of base64. */
bool websocket_accept(struct text key, char out[WEBSOCKET_ACCEPT_SIZE]);

/* UTF-8 (RFC 3629), checked in pieces. Zeroed at the start of a text. */
struct utf8_state {
    uint8_t more, low, high; /* bytes that must follow, and the next one's range */
};
bool utf8_continue(struct utf8_state *state, const void *bytes, size_t length);

struct websocket_reader { /* zeroed at the start */
    uint64_t left;        /* of the frame's payload */
    uint64_t message_bytes;
    unsigned char head[14], head_length;
    unsigned char mask[4];
    uint8_t opcode, message_opcode; /* of the frame; of the message it belongs to, 0: none */
    bool in_payload, final;
    uint8_t mask_at, control_length;
    struct utf8_state utf8;
    unsigned char *control; /* of a control frame that comes in pieces; websocket_reader_finish */
};

enum websocket_got {
    WEBSOCKET_MORE, /* all was read */
    WEBSOCKET_DATA, /* a piece of a message */
    WEBSOCKET_PING,
    WEBSOCKET_PONG,
    WEBSOCKET_CLOSE, /* code, 1005 without one, is what the answer should repeat */
    WEBSOCKET_ERROR  /* code and why: close with these */
};

struct websocket_event {
    enum websocket_got got;
    struct text payload; /* unmasked in place */
    bool first, last;    /* WEBSOCKET_DATA: of its message */
    bool binary;
    uint16_t code;
    const char *why;
};

/* Read up to the next event. bytes are changed.
 *   max_bytes  of a message; more is an error, 1009
 *   returns    how many bytes were read */
size_t websocket_read(struct websocket_reader *reader, unsigned char *bytes, size_t length,
                      uint64_t max_bytes, struct websocket_event *event);
void websocket_reader_finish(struct websocket_reader *reader);

/* A close frame, or a pong, in out.
 *   returns  its length */
size_t websocket_write_close(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], uint16_t code,
                             const char *reason);
size_t websocket_write_pong(unsigned char out[2 + WEBSOCKET_CONTROL_MAX], struct text payload);
