/* One libwebsockets context per loop, one protocol for everything: a connection's kind decides.
 *
 * libwebsockets' own timers only run while its sockets are busy; the tick below wakes it once a
 * second. What concerns websockets (pings, silence, stalls) is done here, in the same tick. */
#include "server.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "connection.h"
#include "exchange.h"
#include "frame.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    struct pipeline *pipeline;
    const struct route *routes;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct list connections, exchanges;
    size_t count, max;
    int listen_fd;
    ev_io acceptable;
    ev_timer tick;
    int64_t refusal_logged_ms;
    bool closing;
    void (*gone)(void *arg);
    void *gone_arg;
};

enum { ACCEPTS_PER_TURN = 64, CLOSE_GRACE_S = 5 };

struct pipeline *server_pipeline(const struct server *server)
{
    return server->pipeline;
}

const struct route *server_routes(const struct server *server)
{
    return server->routes;
}

bool server_origin_allowed(const struct server *server, const char *origin, char *out, size_t size)
{
    const char *allowed = server->pipeline->conf->origins;
    if (!strcmp(allowed, "*")) {
        snprintf(out, size, "*");
        return true;
    }
    out[0] = 0;
    if (!origin)
        return true; /* not a page */
    size_t length = strlen(origin);
    for (const char *p = allowed; *p;) { /* a list, separated by commas and spaces */
        size_t n = strcspn(p, ", ");
        if (n == length && n && !strncmp(p, origin, n)) {
            snprintf(out, size, "%s", origin);
            return true;
        }
        p += n;
        p += strspn(p, ", ");
    }
    return false;
}

struct list *server_exchanges(struct server *server)
{
    return &server->exchanges;
}

void server_uncount(struct server *server)
{
    server->count--;
    if (server->closing && !server->count && server->gone) {
        server->gone(server->gone_arg);
        server->gone = NULL;
    }
}

/* ---- connections ---- */

static void connection_free(struct connection *conn)
{
    struct server *server = conn->server;
    http_on_closed(conn);
    publisher_on_closed(conn);
    subscriber_socket_on_closed(conn);
    pipeline_leave(conn->server->pipeline, &conn->out);
    subscriber_finish(&conn->out);
    list_remove(&conn->in_server);
    buffer_finish(&conn->in);
    free(conn);
    server_uncount(server);
}

/* libwebsockets shuts a connection down that it closes in the ordinary way, but not one whose time
 * is over: so the copy of the descriptor goes on. */
static void connection_kill(struct connection *conn)
{
    lws_rx_flow_control(conn->wsi, 0);
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(conn->server->context); /* its timers run when it is woken */
}

int connection_detach(struct connection *conn)
{
    int fd = dup(lws_get_socket_fd(conn->wsi)); /* dup: ThreadSanitizer follows it, not fcntl */
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return -1;
    loop_forget_fd(conn->server->pipeline->loop, lws_get_socket_fd(conn->wsi));
    conn->detached = true;
    conn->server->count++; /* the exchange's */
    connection_kill(conn);
    return fd;
}

void connection_close(struct connection *conn, uint16_t code, const char *reason)
{
    if (conn->close_code)
        return;
    conn->close_code = code;
    conn->close_reason = reason;
    conn->out.state = SUBSCRIBER_CLOSING;
    lws_callback_on_writable(conn->wsi);
    /* On a full socket the close frame cannot arrive. */
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_CLOSE_SEND, CLOSE_GRACE_S);
}

static struct connection *connection_of(struct subscriber *out)
{
    return list_entry(out, struct connection, out);
}

static bool socket_writable(struct subscriber *out)
{
    return !lws_partial_buffered(connection_of(out)->wsi);
}

static bool socket_write(struct subscriber *out, const struct frame *frame)
{
    return lws_write(connection_of(out)->wsi, frame->at, frame->length, LWS_WRITE_RAW) >= 0;
}

static void socket_want_writable(struct subscriber *out)
{
    lws_callback_on_writable(connection_of(out)->wsi);
}

static void socket_admitted(struct subscriber *out)
{
    struct connection *conn = connection_of(out);
    conn->admission_awaited = false;
    subscriber_socket_continue(conn);
}

static void socket_close(struct subscriber *out, enum close_reason why)
{
    static const char *const reasons[] = {[CLOSE_TOO_SLOW] = "too slow",
                                          [CLOSE_UNAVAILABLE] = "unavailable",
                                          [CLOSE_BROKEN] = "broken"};
    connection_close(connection_of(out), 1013, reasons[why]);
}

static const struct subscriber_socket websocket = {
    socket_writable, socket_write, socket_want_writable, socket_admitted, socket_close};

static struct connection *connection_open(struct server *server, struct lws *wsi)
{
    struct connection *conn = xcalloc(1, sizeof *conn);
    conn->server = server;
    conn->wsi = wsi;
    conn->heard_ms = clock_mono_ms();
    subscriber_init(&conn->out, &websocket, (size_t)server->pipeline->conf->limits.queue_bytes);
    list_append(&server->connections, &conn->in_server);
    server->count++;
    lws_set_opaque_user_data(wsi, conn);
    return conn;
}

static void connection_upgraded(struct connection *conn)
{
    conn->established = true;
    conn->opened_ms = clock_mono_ms();
    if (conn->kind == CONNECTION_PUBLISHER)
        publisher_on_open(conn);
    else
        subscriber_socket_on_open(conn);
    if (conn->server->closing)
        connection_close(conn, 1001, "going away");
}

static int connection_on_writable(struct connection *conn)
{
    if (conn->close_code) {
        lws_close_reason(conn->wsi, conn->close_code,
                         (unsigned char *)(uintptr_t)conn->close_reason,
                         strlen(conn->close_reason));
        return -1;
    }
    subscriber_on_writable(&conn->out, clock_mono_ms());
    subscriber_socket_continue(conn);
    return 0;
}

static void connection_on_receive(struct connection *conn, const void *bytes, size_t length)
{
    const struct config *conf = conn->server->pipeline->conf;
    size_t max = (size_t)conf->limits.message_bytes * 2;
    bool first_frame = conn->kind == CONNECTION_SUBSCRIBER && !conn->subscribed;
    if (first_frame)
        max = (size_t)conf->limits.body_bytes;
    if (max < (size_t)conf->limits.token_bytes + 256)
        max = (size_t)conf->limits.token_bytes + 256;
    if (max < 65536)
        max = 65536;
    if (conn->close_code || (conn->kind == CONNECTION_SUBSCRIBER && !first_frame))
        return;
    if (conn->in.length + length > max) {
        connection_close(conn, 1009, "frame too big");
        return;
    }
    buffer_bytes(&conn->in, bytes, length);
    if (!lws_is_final_fragment(conn->wsi) || lws_remaining_packet_payload(conn->wsi))
        return;
    struct buffer message = conn->in; /* an idle connection keeps no buffer */
    conn->in = (struct buffer){0};
    struct text text = {message.at ? message.at : "", message.length};
    if (conn->kind == CONNECTION_PUBLISHER)
        publisher_on_message(conn, text, lws_frame_is_binary(conn->wsi));
    else
        subscriber_socket_on_message(conn, text);
    buffer_finish(&message);
}

/* ---- libwebsockets ---- */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t length)
{
    /* Not the per-session data: an upgrade replaces that. */
    struct connection *conn = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        if (!conn)
            return -1;
        return reason == LWS_CALLBACK_HTTP ? http_on_request(conn, in, length)
                                           : http_on_upgrade(conn);
    case LWS_CALLBACK_HTTP_BODY:
        return conn ? http_on_body(conn, in, length) : -1;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return conn ? http_on_body_complete(conn) : -1;
    case LWS_CALLBACK_ESTABLISHED:
        if (!conn)
            return -1;
        connection_upgraded(conn);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        conn->heard_ms = clock_mono_ms();
        connection_on_receive(conn, in, length);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        conn->heard_ms = clock_mono_ms();
        conn->pinged = false;
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return conn ? connection_on_writable(conn) : 0;
    case LWS_CALLBACK_WSI_DESTROY:
        if (conn) {
            lws_set_opaque_user_data(wsi, NULL);
            connection_free(conn);
        }
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "chatup", .callback = on_event, .rx_buffer_size = 1024},
    {.name = NULL},
};

/* ---- accept ---- */

static void refuse(struct server *server, int fd, const char *why)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\n"
        "connection: close\r\n\r\n";
    if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        /* it is closed all the same */
    }
    close(fd);
    int64_t now_ms = clock_mono_ms();
    if (now_ms - server->refusal_logged_ms > 10000) {
        log_warn("connections are refused: %s", why);
        server->refusal_logged_ms = now_ms;
    }
}

static void on_acceptable(struct ev_loop *ev, ev_io *io, int events)
{
    struct server *server = io->data;
    int one = 1;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                /* It would be told again at once; the tick starts it. */
                ev_io_stop(ev, io);
                log_error("accept: %s; raise the limit of open files or lower limits.connections",
                          strerror(errno));
            }
            return;
        }
        if (server->count >= server->max) {
            refuse(server, fd, "limits.connections is reached");
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct lws *wsi =
            lws_adopt_descriptor_vhost(server->vhost, LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET,
                                       (lws_sock_file_fd_type){.sockfd = fd}, "chatup", NULL);
        if (wsi)
            connection_open(server, wsi);
        else /* libwebsockets has closed it */
            log_warn("a connection could not be taken over");
    }
}

/* ---- once a second ---- */

static void connection_tick(struct connection *conn, int64_t now_ms)
{
    static const unsigned char ping[] = {0x89, 0};
    const struct config *conf = conn->server->pipeline->conf;
    if (!conn->established || conn->close_code)
        return;
    if (conn->out.stalled_since_ms && now_ms - conn->out.stalled_since_ms > conf->limits.stall_ms) {
        subscriber_close(&conn->out, CLOSE_TOO_SLOW);
        return;
    }
    int64_t silent_ms = now_ms - conn->heard_ms;
    bool waits =
        conn->kind == CONNECTION_PUBLISHER ? !publisher_is_authenticated(conn) : !conn->subscribed;
    if (waits && now_ms - conn->opened_ms > conf->limits.request_ms)
        connection_close(conn, 1008,
                         conn->kind == CONNECTION_PUBLISHER ? "not authenticated in time"
                                                            : "no first frame in time");
    else if (silent_ms > conf->limits.idle_ms)
        connection_kill(conn);
    else if (silent_ms > conf->limits.idle_ms / 2 && !conn->pinged && socket_writable(&conn->out)) {
        unsigned char frame[LWS_PRE + sizeof ping];
        memcpy(frame + LWS_PRE, ping, sizeof ping);
        conn->pinged = lws_write(conn->wsi, frame + LWS_PRE, sizeof ping, LWS_WRITE_RAW) >= 0;
    }
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct server *server = timer->data;
    int64_t now_ms = clock_mono_ms();
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server)
        connection_tick(conn, now_ms);
    struct exchange *exchange, *next;
    list_for_each_safe (exchange, next, &server->exchanges, in_server)
        exchange_tick(exchange, now_ms);
    if (!server->closing && !ev_is_active(&server->acceptable))
        ev_io_start(ev, &server->acceptable);
    lws_cancel_service(server->context);
}

/* ---- life ---- */

static void lws_log(int level, const char *line)
{
    log_line(level == LLL_ERR ? LOG_WARN : LOG_DEBUG, "libwebsockets: %s", line);
}

struct server *server_create(struct pipeline *pipeline, const struct route *routes, int listen_fd,
                             struct error *err)
{
    struct server *server = xcalloc(1, sizeof *server);
    const struct config *conf = pipeline->conf;
    struct ev_loop *ev = loop_ev(pipeline->loop);
    void *foreign_loops[] = {ev};
    static const lws_retry_bo_t no_validity_timers; /* see connection_tick */
    server->pipeline = pipeline;
    server->routes = routes;
    server->listen_fd = listen_fd;
    server->max = (size_t)(conf->limits.connections + conf->threads - 1) / (size_t)conf->threads;
    list_init(&server->connections);
    list_init(&server->exchanges);
    lws_set_log_level(LLL_ERR, lws_log);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = foreign_loops,
        .user = server,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .timeout_secs = (unsigned)(conf->limits.request_ms + 999) / 1000,
        .keepalive_timeout = (int)(conf->limits.idle_ms + 999) / 1000,
        .max_http_header_data = 16384,
        .retry_and_idle_policy = &no_validity_timers,
        .vhost_name = "chatup",
        .server_string = "chatup",
    };
    server->context = lws_create_context(&info);
    if (server->context)
        server->vhost = lws_create_vhost(server->context, &info);
    if (!server->vhost) {
        error_set(err, "libwebsockets: no context could be made; is the package "
                       "libwebsockets-evlib-ev installed?");
        server_destroy(server);
        return NULL;
    }
    ev_io_init(&server->acceptable, on_acceptable, listen_fd, EV_READ);
    server->acceptable.data = server;
    ev_io_start(ev, &server->acceptable);
    ev_timer_init(&server->tick, on_tick, 1, 1);
    server->tick.data = server;
    ev_timer_start(ev, &server->tick);
    return server;
}

void server_close(struct server *server, void (*gone)(void *arg), void *arg)
{
    ev_io_stop(loop_ev(server->pipeline->loop), &server->acceptable);
    server->closing = true;
    if (!server->count) {
        gone(arg);
        return;
    }
    server->gone = gone;
    server->gone_arg = arg;
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server) {
        if (conn->established)
            connection_close(conn, 1001, "going away");
        else
            connection_kill(conn);
    }
    struct exchange *exchange, *next;
    list_for_each_safe (exchange, next, &server->exchanges, in_server)
        exchange_end(exchange);
}

void server_end(struct server *server)
{
    struct ev_loop *ev = loop_ev(server->pipeline->loop);
    ev_io_stop(ev, &server->acceptable);
    ev_timer_stop(ev, &server->tick);
    server->gone = NULL;
    if (server->context)
        lws_context_destroy(server->context);
    server->context = NULL;
}

void server_destroy(struct server *server)
{
    if (!server)
        return;
    server_end(server);
    struct exchange *exchange, *next;
    list_for_each_safe (exchange, next, &server->exchanges, in_server) {
        exchange->answered = true; /* nobody will any more */
        exchange_end(exchange);
    }
    close(server->listen_fd);
    free(server);
}
