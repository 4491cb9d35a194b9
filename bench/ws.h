/* ws.h: the client's side of a websocket, no more of it than a load generator needs.
 * Nothing here owns a socket; conn.h does. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum { WS_HEAD_MAX = 14 };

/* Write the head of a masked frame for a text of `length` bytes; returns the head's length. The
 * mask is zero, which leaves the text as it is: we measure servers, and a server unmasks all the
 * same. */
size_t ws_head(unsigned char head[WS_HEAD_MAX], enum ws_opcode opcode, size_t length);

/* Where a stream of the server's frames is. All zero at its beginning. */
struct ws_parser {
    uint64_t left; /* of the payload of the frame it is in */
    unsigned char head[10];
    uint8_t have; /* bytes of a head that was cut by the end of a read */
    uint8_t opcode;
    bool fin;
    bool inside; /* a head is read, its payload is not, or not all */
};

/* A piece of a frame's payload, in the caller's buffer. */
struct ws_piece {
    const char *data;
    size_t length;
    enum ws_opcode opcode; /* of a message of several frames, 0 from the second one on */
    bool first, last;      /* of its frame */
};

enum ws_result { WS_PIECE, WS_MORE, WS_WRONG };

/* Take the next piece of *data, which moves on: WS_MORE when nothing is left, WS_WRONG when that is
 * not what a server may send. */
enum ws_result ws_next(struct ws_parser *parser, const char **data, size_t *length,
                       struct ws_piece *piece_out);
