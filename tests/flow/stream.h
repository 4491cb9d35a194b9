/* stream.h: a TCP connection to the server, with deadlines. What http.h and websocket.h stand on.
 */
#pragma once
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
    int fd;
    char *data; /* data[start] to data[end - 1] was received and is not yet taken; NUL behind it */
    size_t start, end, capacity;
    bool ended; /* by the other side, or broken */
    SSL *ssl;   /* NULL: plain */
};

/*   receive_bytes  size of the kernel's receive buffer, for readers that are to be slow; 0: default
 */
struct stream *stream_open(int port, int receive_bytes);
struct stream *stream_open_plain(int port, int receive_bytes);
/* From now on stream_open speaks TLS with that port, and trusts this authority only.
 *   authority  PEM file; NULL: plain again */
void stream_trust(int port, const char *authority);
/* TLS from now on, with whom stream_trust named. */
void stream_secure(struct stream *stream);
/* From now on all come from this address of the loopback network; NULL: from 127.0.0.1. */
void stream_come_from(const char *address);
/* false: the connection is gone. The test fails if nothing is taken for a long time. */
bool stream_send(struct stream *stream, const void *bytes, size_t length);

enum stream_got { STREAM_MORE, STREAM_ENDED, STREAM_LATE };
/* Wait for more bytes. */
enum stream_got stream_receive(struct stream *stream, int64_t deadline);
const char *stream_at(const struct stream *stream);
size_t stream_available(const struct stream *stream);
void stream_take(struct stream *stream, size_t length);

/* The server closes, sooner or later; what it says before does not matter. */
bool stream_is_closed_by(struct stream *stream, int64_t deadline);
void stream_half_close(struct stream *stream); /* nothing more will be sent */
void stream_cut(struct stream *stream);        /* close, without a word, and free */
void stream_reset(struct stream *stream);      /* the same with RST */
