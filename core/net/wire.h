/* wire.h: the bytes of one connection, plain or over TLS. What the kernel does not take at once is
 * kept, and sent as soon as it does: the owner asks wire_is_clear before it writes more. What may
 * wait for the end of the turn (the _soon functions) leaves together with that of other wires.
 *
 * One watcher; its loop only. */
#pragma once
#include "buffer.h"
#include "send_queue.h"
#include <ev.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct wire {
    ev_io io; /* data: the owner's */
    struct ev_loop *ev;
    struct send_queue *queue; /* the loop's */
    SSL *ssl;                 /* owned; NULL: plain */
    struct buffer rest;
    size_t rest_at;
    size_t sealed;       /* TLS: so much of the rest, at its beginning, is of records already */
    int64_t progress_ms; /* monotonic: since when the kernel takes nothing of the rest */
    bool reading, read_wants_write, write_wants_read, corked;
    bool soon;   /* what is put now may wait for the end of the turn */
    bool queued; /* a write of it is in the queue */
};

enum wire_status { WIRE_AGAIN = -1, WIRE_BROKEN = -2 }; /* and 0: the peer has ended */

/* The queue in which the wires of a loop leave what may wait: the owner of the loop submits it at
 * the end of each turn. NULL: there is none to be had, and nothing waits. */
struct send_queue *wire_queue_create(void);

/* fd is taken, queue is borrowed; for TLS the owner sets ssl then. on_io is called for both
 * directions, until wire_close. */
void wire_init(struct wire *wire, struct ev_loop *ev, struct send_queue *queue, int fd,
               void (*on_io)(struct ev_loop *, ev_io *, int), void *owner);
/* Let go of the socket: at once, whatever is unsent. Twice does no harm. */
void wire_close(struct wire *wire);
/* No more is sent: the peer sees the end behind what was written. */
void wire_shutdown(struct wire *wire);

/* Go on with the TLS handshake. returns 1: done (at once if plain), or a wire_status. */
int wire_handshake(struct wire *wire);
/* returns  how many bytes, or a wire_status */
ssize_t wire_read(struct wire *wire, void *bytes, size_t size);
/* Whether bytes wait that no event of the socket will tell of. */
bool wire_has_unread(const struct wire *wire);
/* Take all of them. false: the connection is broken. */
bool wire_write(struct wire *wire, const void *bytes, size_t length);
/* The same, by the end of the turn. If it turns out to be broken then, on_io is called for writing,
 * and wire_flush tells. */
bool wire_write_soon(struct wire *wire, const void *bytes, size_t length);
/* Whether wire_flush has something to do, or to tell. */
bool wire_has_unsent(const struct wire *wire);
/* Send what was kept, after an event for writing. false: broken. */
bool wire_flush(struct wire *wire);
/* From here on what is written is kept, and sent by wire_uncork; not if it is not clear. Several
 * small writes are one system call, or one record of TLS, so. */
void wire_cork(struct wire *wire);
bool wire_uncork(struct wire *wire);      /* false: broken */
bool wire_uncork_soon(struct wire *wire); /* by the end of the turn, as wire_write_soon */

static inline bool wire_is_clear(const struct wire *wire)
{
    return !wire->rest.length || wire->corked;
}

/* For tls.c: bytes for the socket as they are. As of send(2), errno included. */
ssize_t wire_put(struct wire *wire, const void *bytes, size_t length);

/* Whether the peer's kernel has everything, and nothing of the peer waits to be read. */
bool wire_is_delivered(const struct wire *wire);

/* Whether on_io is told that there is something to read. */
void wire_want_read(struct wire *wire, bool on);
