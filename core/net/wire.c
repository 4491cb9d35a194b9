#include "wire.h"
#include "clock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void watch(struct wire *wire)
{
    bool writing = wire->rest.length || wire->read_wants_write;
    int events = (wire->reading || wire->write_wants_read ? EV_READ : 0) | (writing ? EV_WRITE : 0);
    if (events == (wire->io.events & (EV_READ | EV_WRITE)) && (!events || ev_is_active(&wire->io)))
        return;
    ev_io_stop(wire->ev, &wire->io);
    ev_io_set(&wire->io, wire->io.fd, events);
    if (events)
        ev_io_start(wire->ev, &wire->io);
}

/* ---- what waits ---- */

/* What the kernel did not take. */
static bool keep(struct wire *wire, const char *bytes, size_t length)
{
    if (!wire->rest.length && !wire->corked)
        wire->progress_ms = clock_mono_ms();
    buffer_bytes(&wire->rest, bytes, length);
    if (wire->rest.failed) {
        wire->rest_at = 0;
        return false;
    }
    if (!wire->corked)
        watch(wire);
    return true;
}

/* There is no rest yet: whatever else is done with a wire, it is settled before. After an error,
 * the next try meets it again. */
static void on_sent(void *sender, const char *bytes, size_t length, ssize_t result)
{
    struct wire *wire = sender;
    size_t sent = result > 0 ? (size_t)result : 0;
    wire->queued = false;
    if (sent == length)
        return;
    if (!keep(wire, bytes + sent, length - sent))
        ev_feed_event(wire->ev, &wire->io, EV_WRITE);
    else if (wire->ssl)
        wire->sealed = length - sent;
}

struct send_queue *wire_queue_create(void)
{
    return send_queue_create(on_sent);
}

/* Before anything else is done with the socket. */
static void settle(struct wire *wire)
{
    if (wire->queued)
        send_queue_submit(wire->queue);
}

/* ---- its life ---- */

void wire_init(struct wire *wire, struct ev_loop *ev, struct send_queue *queue, int fd,
               void (*on_io)(struct ev_loop *, ev_io *, int), void *owner)
{
    *wire = (struct wire){.ev = ev, .queue = queue};
    ev_io_init(&wire->io, on_io, fd, 0);
    wire->io.data = owner;
    wire_want_read(wire, true);
}

void wire_close(struct wire *wire)
{
    if (wire->io.fd < 0)
        return;
    settle(wire);
    if (wire->rest.length) { /* the kernel need not keep what nobody takes */
        struct linger at_once = {1, 0};
        setsockopt(wire->io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    ev_io_stop(wire->ev, &wire->io);
    SSL_free(wire->ssl);
    wire->ssl = NULL;
    close(wire->io.fd);
    wire->io.fd = -1;
    buffer_finish(&wire->rest);
    wire->corked = false;
}

void wire_shutdown(struct wire *wire)
{
    settle(wire);
    if (wire->ssl && SSL_is_init_finished(wire->ssl))
        SSL_shutdown(wire->ssl); /* its alert; the answer is not waited for */
    ERR_clear_error();
    shutdown(wire->io.fd, SHUT_WR);
}

bool wire_is_delivered(const struct wire *wire)
{
    int unread = 0, unsent = 0;
    return wire_is_clear(wire) && !ioctl(wire->io.fd, FIONREAD, &unread) && !unread &&
           !ioctl(wire->io.fd, SIOCOUTQ, &unsent) && !unsent;
}

void wire_want_read(struct wire *wire, bool on)
{
    wire->reading = on;
    watch(wire);
    if (on && wire_has_unread(wire))
        ev_feed_event(wire->ev, &wire->io, EV_READ);
}

/* What a failed call of openssl means. Its queue is left empty: it is one for all connections of
 * the thread. */
static int ssl_status(struct wire *wire, int result, bool is_write)
{
    int why = SSL_get_error(wire->ssl, result);
    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_WANT_READ:
        wire->write_wants_read = is_write;
        break;
    case SSL_ERROR_WANT_WRITE:
        wire->read_wants_write = !is_write;
        break;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return WIRE_BROKEN;
    }
    watch(wire);
    return WIRE_AGAIN;
}

int wire_handshake(struct wire *wire)
{
    if (!wire->ssl)
        return 1;
    wire->read_wants_write = false;
    int result = SSL_do_handshake(wire->ssl);
    watch(wire);
    return result == 1 ? 1 : ssl_status(wire, result, false);
}

ssize_t wire_read(struct wire *wire, void *bytes, size_t size)
{
    if (wire->ssl) {
        wire->read_wants_write = false;
        int got = SSL_read(wire->ssl, bytes, (int)size);
        watch(wire);
        return got > 0 ? got : ssl_status(wire, got, false);
    }
    ssize_t got = recv(wire->io.fd, bytes, size, 0);
    if (got >= 0)
        return got;
    return errno == EAGAIN || errno == EINTR ? WIRE_AGAIN : WIRE_BROKEN;
}

bool wire_has_unread(const struct wire *wire)
{
    return wire->ssl && SSL_has_pending(wire->ssl);
}

ssize_t wire_put(struct wire *wire, const void *bytes, size_t length)
{
    settle(wire);
    if (wire->rest.failed || wire->sealed) { /* nothing can follow that, or not yet */
        errno = wire->rest.failed ? ENOMEM : EAGAIN;
        return -1;
    }
    wire->queued = wire->soon && send_queue_add(wire->queue, wire->io.fd, bytes, length, wire);
    return wire->queued ? (ssize_t)length : send(wire->io.fd, bytes, length, MSG_NOSIGNAL);
}

/* returns  how many were taken, perhaps none, or WIRE_BROKEN */
static ssize_t taken(ssize_t sent)
{
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : WIRE_BROKEN;
}

static ssize_t send_some(struct wire *wire, const char *bytes, size_t length)
{
    if (!wire->ssl)
        return taken(wire_put(wire, bytes, length));
    wire->write_wants_read = false;
    int sent = SSL_write(wire->ssl, bytes, length > 1 << 20 ? 1 << 20 : (int)length);
    if (sent > 0)
        return sent;
    return ssl_status(wire, sent, true) == WIRE_AGAIN ? 0 : WIRE_BROKEN;
}

/* The beginning of the rest, if it is in records already. */
static ssize_t send_sealed(struct wire *wire)
{
    ssize_t sent =
        taken(send(wire->io.fd, wire->rest.at + wire->rest_at, wire->sealed, MSG_NOSIGNAL));
    if (sent > 0)
        wire->sealed -= (size_t)sent;
    return sent;
}

/* TLS takes a record at a time: go on until it takes none. */
static ssize_t send_all(struct wire *wire, const char *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t sent = send_some(wire, bytes + done, length - done);
        if (sent < 0)
            return sent;
        done += (size_t)sent;
        if (!sent || !wire->ssl)
            break;
    }
    return (ssize_t)done;
}

bool wire_write(struct wire *wire, const void *bytes, size_t length)
{
    ssize_t sent = 0;
    settle(wire);
    if (wire->io.fd < 0 || wire->rest.failed)
        return false;
    if (!wire->rest.length && !wire->corked)
        sent = send_all(wire, bytes, length);
    if (sent < 0)
        return false;
    return (size_t)sent == length || keep(wire, (const char *)bytes + sent, length - (size_t)sent);
}

bool wire_write_soon(struct wire *wire, const void *bytes, size_t length)
{
    bool plain = !wire->ssl && !wire->queued && !wire->corked && !wire->rest.length;
    if (plain && wire->io.fd >= 0 && !wire->rest.failed) { /* nearly always: the short way */
        wire->queued = send_queue_add(wire->queue, wire->io.fd, bytes, length, wire);
        if (wire->queued)
            return true;
    }
    wire->soon = true;
    bool ok = wire_write(wire, bytes, length);
    wire->soon = false;
    return ok;
}

void wire_cork(struct wire *wire)
{
    settle(wire);
    wire->corked |= wire->io.fd >= 0 && !wire->rest.length;
}

bool wire_uncork(struct wire *wire)
{
    settle(wire);
    if (!wire->corked)
        return true;
    wire->corked = false;
    wire->progress_ms = clock_mono_ms();
    if (!wire_flush(wire))
        return false;
    if (wire->rest.length)
        watch(wire);
    return true;
}

bool wire_uncork_soon(struct wire *wire)
{
    if (!wire->corked)
        return true;
    wire->corked = false;
    if (!wire->rest.length) /* nothing was said */
        return !wire->rest.failed;
    struct buffer all = wire->rest;
    wire->rest = (struct buffer){0};
    bool ok = wire_write_soon(wire, all.at, all.length);
    buffer_finish(&all);
    return ok;
}

bool wire_has_unsent(const struct wire *wire)
{
    return wire->rest.failed || wire->rest.length > wire->rest_at;
}

bool wire_flush(struct wire *wire)
{
    size_t length = wire->rest.length - wire->rest_at;
    if (!length)
        return !wire->rest.failed;
    ssize_t sent =
        wire->sealed ? send_sealed(wire) : send_all(wire, wire->rest.at + wire->rest_at, length);
    if (sent < 0)
        return false;
    wire->rest_at += (size_t)sent;
    if (sent)
        wire->progress_ms = clock_mono_ms();
    if (wire->rest_at == wire->rest.length) {
        buffer_finish(&wire->rest);
        wire->rest_at = 0;
        watch(wire);
    }
    return true;
}
