/* exchange.h: an HTTP request that has come whole, and its answer: the socket is taken away from
 * libwebsockets for that time, and ends with it.
 *
 * Why: while an answer is awaited or written, bytes of the client make libwebsockets 4.1 spin, and
 * a body pipelined behind another request makes it loop for ever (docs/decisions.md).
 * Its server's loop only. */
#pragma once
#include "buffer.h"
#include "list.h"
#include <ev.h>
#include <stdbool.h>

struct server;

struct exchange {
    struct list in_server;
    struct server *server;
    ev_io readable, writable;
    struct buffer answer;
    size_t written, discarded;
    bool answered;
    int64_t deadline_ms; /* monotonic: of the next progress, once answered */
};

/* fd is taken. Lives until it is answered and the client has read it, or not in time. */
struct exchange *exchange_open(struct server *server, int fd);
/* answer is taken: the whole of it, head and body. */
void exchange_answer(struct exchange *exchange, struct buffer *answer);
/* Once a second. */
void exchange_tick(struct exchange *exchange, int64_t now_ms);
/* At once, whatever is missing. One that is not answered yet stays until it is. */
void exchange_end(struct exchange *exchange);
