#include "exchange.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "loop.h"
#include "pipeline.h"
#include "server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DISCARD_MAX = 256 * 1024, LINGER_MS = 2000 };

static struct ev_loop *ev_of(struct exchange *exchange)
{
    return loop_ev(server_pipeline(exchange->server)->loop);
}

static void exchange_free(struct exchange *exchange)
{
    struct server *server = exchange->server;
    ev_io_stop(ev_of(exchange), &exchange->readable);
    ev_io_stop(ev_of(exchange), &exchange->writable);
    loop_forget_fd(server_pipeline(server)->loop, exchange->readable.fd);
    close(exchange->readable.fd);
    list_remove(&exchange->in_server);
    buffer_finish(&exchange->answer);
    free(exchange);
    server_uncount(server);
}

/* What a client sends behind its request is read and forgotten, within bounds: unread, it would
 * reset the connection under the answer. */
static void on_readable(struct ev_loop *ev, ev_io *io, int events)
{
    struct exchange *exchange = io->data;
    char bytes[4096];
    ssize_t got = recv(io->fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && (exchange->discarded += (size_t)got) < DISCARD_MAX)
        return;
    ev_io_stop(ev, io);
    if (exchange->answered && exchange->written == exchange->answer.length)
        exchange_free(exchange);
}

static void on_writable(struct ev_loop *ev, ev_io *io, int events)
{
    struct exchange *exchange = io->data;
    struct buffer *answer = &exchange->answer;
    const struct config *conf = server_pipeline(exchange->server)->conf;
    ssize_t sent = send(io->fd, answer->at + exchange->written, answer->length - exchange->written,
                        MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        ev_io_start(ev, io);
        return;
    }
    if (sent < 0) {
        exchange_free(exchange);
        return;
    }
    exchange->written += (size_t)sent;
    if (exchange->written < answer->length) {
        exchange->deadline_ms = clock_mono_ms() + conf->limits.stall_ms;
        ev_io_start(ev, io);
        return;
    }
    ev_io_stop(ev, io);
    shutdown(io->fd, SHUT_WR);
    exchange->deadline_ms = clock_mono_ms() + LINGER_MS;
    if (!ev_is_active(&exchange->readable)) /* the client has said all it will */
        exchange_free(exchange);
}

struct exchange *exchange_open(struct server *server, int fd)
{
    struct exchange *exchange = xcalloc(1, sizeof *exchange);
    exchange->server = server;
    ev_io_init(&exchange->readable, on_readable, fd, EV_READ);
    ev_io_init(&exchange->writable, on_writable, fd, EV_WRITE);
    exchange->readable.data = exchange->writable.data = exchange;
    ev_io_start(ev_of(exchange), &exchange->readable);
    list_append(server_exchanges(server), &exchange->in_server);
    return exchange;
}

void exchange_answer(struct exchange *exchange, struct buffer *answer)
{
    exchange->answer = *answer;
    *answer = (struct buffer){0};
    exchange->answered = true;
    exchange->deadline_ms =
        clock_mono_ms() + server_pipeline(exchange->server)->conf->limits.stall_ms;
    on_writable(ev_of(exchange), &exchange->writable, EV_WRITE);
}

void exchange_tick(struct exchange *exchange, int64_t now_ms)
{
    if (exchange->answered && now_ms > exchange->deadline_ms)
        exchange_free(exchange);
}

void exchange_end(struct exchange *exchange)
{
    if (exchange->answered)
        exchange_free(exchange);
}
