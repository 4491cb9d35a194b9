#include "stream.h"
#include "flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_SECONDS = 20, RECEIVE_BYTES = 64 * 1024 };

static const char *source;
static int secure_port;
static SSL_CTX *authority;

void stream_come_from(const char *address)
{
    source = address;
}

void stream_trust(int port, const char *file)
{
    SSL_CTX_free(authority);
    authority = NULL;
    secure_port = file ? port : 0;
    if (!file)
        return;
    authority = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_options(authority, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(authority,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(authority, SSL_VERIFY_PEER, NULL);
    ck_assert_int_eq(SSL_CTX_load_verify_file(authority, file), 1);
}

struct stream *stream_open_plain(int port, int receive_bytes)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct stream *stream = calloc(1, sizeof *stream);
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(stream->fd, 0);
    if (receive_bytes)
        setsockopt(stream->fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (source) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(source)};
        ck_assert_int_eq(bind(stream->fd, (struct sockaddr *)&from, sizeof from), 0);
    }
    ck_assert_msg(connect(stream->fd, (struct sockaddr *)&address, sizeof address) == 0,
                  "cannot connect to port %d: %s", port, strerror(errno));
    return stream;
}

static bool ready(struct stream *stream, short events, int64_t deadline)
{
    struct pollfd fd = {.fd = stream->fd, .events = events};
    int64_t left = deadline - now_ms();
    return poll(&fd, 1, left > 0 ? (int)left : 0) > 0;
}

void stream_secure(struct stream *stream)
{
    int64_t deadline = deadline_in(SEND_SECONDS);
    int done;
    fcntl(stream->fd, F_SETFL, fcntl(stream->fd, F_GETFL) | O_NONBLOCK);
    stream->ssl = SSL_new(authority);
    ck_assert_int_eq(SSL_set_fd(stream->ssl, stream->fd), 1);
    SSL_set1_host(stream->ssl, "127.0.0.1");
    while ((done = SSL_connect(stream->ssl)) != 1) {
        int why = SSL_get_error(stream->ssl, done);
        ck_assert_msg(why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE, "no TLS: %d %s",
                      why, ERR_error_string(ERR_peek_last_error(), NULL));
        ck_assert_msg(ready(stream, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline),
                      "no TLS in time");
    }
}

struct stream *stream_open(int port, int receive_bytes)
{
    struct stream *stream = stream_open_plain(port, receive_bytes);
    if (port == secure_port)
        stream_secure(stream);
    return stream;
}

/* What a call of openssl returned, as send and recv would have. */
static ssize_t ssl_result(struct stream *stream, int result)
{
    if (result > 0)
        return result;
    int why = SSL_get_error(stream->ssl, result);
    ERR_clear_error();
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t send_some(struct stream *stream, const char *bytes, size_t length)
{
    if (stream->ssl)
        return ssl_result(stream, SSL_write(stream->ssl, bytes, (int)length));
    return send(stream->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t receive_some(struct stream *stream, char *bytes, size_t size)
{
    if (stream->ssl)
        return ssl_result(stream, SSL_read(stream->ssl, bytes, (int)size));
    return recv(stream->fd, bytes, size, MSG_DONTWAIT);
}

bool stream_send(struct stream *stream, const void *bytes, size_t length)
{
    const char *at = bytes;
    int64_t deadline = deadline_in(SEND_SECONDS);
    while (length && !stream->ended) {
        ssize_t sent = send_some(stream, at, length);
        if (sent >= 0) {
            at += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            ck_assert_msg(ready(stream, POLLOUT, deadline), "the server takes nothing");
        } else if (errno != EINTR) {
            return false; /* what it said before it left can still be read */
        }
    }
    return !length;
}

static void make_room(struct stream *stream)
{
    if (stream->start == stream->end)
        stream->start = stream->end = 0;
    if (stream->start > stream->capacity / 2) { /* rarely: moved bytes are paid by taken ones */
        memmove(stream->data, stream->data + stream->start, stream->end - stream->start);
        stream->end -= stream->start;
        stream->start = 0;
    }
    if (stream->capacity - stream->end <= RECEIVE_BYTES) {
        stream->capacity = (stream->capacity + RECEIVE_BYTES) * 2;
        stream->data = realloc(stream->data, stream->capacity);
    }
}

enum stream_got stream_receive(struct stream *stream, int64_t deadline)
{
    while (!stream->ended) {
        make_room(stream);
        ssize_t got = receive_some(stream, stream->data + stream->end, RECEIVE_BYTES);
        if (got > 0) {
            stream->end += (size_t)got;
            stream->data[stream->end] = 0;
            return STREAM_MORE;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            stream->ended = true;
        else if (!ready(stream, POLLIN, deadline))
            return STREAM_LATE;
    }
    return STREAM_ENDED;
}

const char *stream_at(const struct stream *stream)
{
    return stream->data ? stream->data + stream->start : "";
}

size_t stream_available(const struct stream *stream)
{
    return stream->end - stream->start;
}

void stream_take(struct stream *stream, size_t length)
{
    stream->start += length;
}

bool stream_is_closed_by(struct stream *stream, int64_t deadline)
{
    enum stream_got got;
    while ((got = stream_receive(stream, deadline)) == STREAM_MORE)
        stream_take(stream, stream_available(stream));
    return got == STREAM_ENDED;
}

void stream_half_close(struct stream *stream)
{
    shutdown(stream->fd, SHUT_WR);
}

void stream_cut(struct stream *stream)
{
    SSL_free(stream->ssl);
    close(stream->fd);
    free(stream->data);
    free(stream);
}

void stream_reset(struct stream *stream)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    stream_cut(stream);
}
