/* One listening socket and all connections of a loop. What concerns time is done in one tick a
 * second, by walking the connections. */
#include "server.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "connection.h"
#include "counters.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64, SCRATCH_BYTES = 64 * 1024 };

struct server {
    struct pipeline *pipeline;
    const struct route *routes;
    struct list connections, dead, due;
    size_t count;
    int listen_fd, descriptors_max;
    ev_io acceptable;
    ev_timer tick;
    struct turn_end at_turn_end;
    struct send_queue *send_queue; /* NULL: there is none */
    int64_t refusal_logged_ms;
    struct {
        ev_timer timer;
        int64_t began_ms, over_ms;
        size_t count, sent_away; /* then; since then */
    } drain;
    bool closing;
    void (*gone)(void *arg);
    void *gone_arg;
    unsigned char scratch[SCRATCH_BYTES];
};

struct pipeline *server_pipeline(const struct server *server)
{
    return server->pipeline;
}

const struct route *server_routes(const struct server *server)
{
    return server->routes;
}

bool server_is_closing(const struct server *server)
{
    return server->closing;
}

struct send_queue *server_send_queue(const struct server *server)
{
    return server->send_queue;
}

unsigned char *server_scratch(struct server *server, size_t *size_out)
{
    *size_out = sizeof server->scratch;
    return server->scratch;
}

bool server_origin_allowed(const struct server *server, struct text origin, char *out, size_t size)
{
    const char *allowed = server->pipeline->conf->origins;
    if (!strcmp(allowed, "*")) {
        snprintf(out, size, "*");
        return true;
    }
    out[0] = 0;
    if (!origin.at)
        return true;                     /* not a page */
    for (const char *p = allowed; *p;) { /* a list, separated by commas and spaces */
        size_t n = strcspn(p, ", ");
        if (n && text_equal((struct text){p, n}, origin) && n < size) {
            memcpy(out, p, n);
            out[n] = 0;
            return true;
        }
        p += n;
        p += strspn(p, ", ");
    }
    return false;
}

/* ---- connections ---- */

void server_count(struct server *server, struct connection *conn)
{
    list_append(&server->connections, &conn->in_server);
    list_init(&conn->due);
    server->count++;
}

void server_bury(struct server *server, struct connection *conn)
{
    list_remove(&conn->in_server);
    list_remove(&conn->due);
    list_append(&server->dead, &conn->in_server);
}

void server_answer_later(struct server *server, struct connection *conn)
{
    list_remove(&conn->due);
    list_append(&server->due, &conn->due);
}

void server_uncount(struct server *server)
{
    server->count--;
    if (server->closing && !server->count && server->gone) {
        server->gone(server->gone_arg);
        server->gone = NULL;
    }
}

static void on_turn_end(void *arg)
{
    struct server *server = arg;
    while (!list_empty(&server->due)) {
        struct connection *conn = list_entry(server->due.next, struct connection, due);
        list_remove(&conn->due);
        if (conn->publisher)
            publisher_answer(conn);
        else
            stream_answer(conn);
        connection_uncork(conn);
    }
    send_queue_submit(server->send_queue);
    while (!list_empty(&server->dead))
        connection_free(list_entry(server->dead.next, struct connection, in_server));
}

/* Somebody is to go: who speaks or reads there. */
static void on_kick(void *arg, const struct kick *kick)
{
    struct server *server = arg;
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server)
        connection_kick(conn, kick);
}

/* Connections inherit them from the socket that listens: no system call for each. */
static void set_options(struct server *server)
{
    int one = 1, unheard_ms = (int)server->pipeline->conf->limits.idle_ms;
    setsockopt(server->listen_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(server->listen_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
}

static void on_settings(void *arg)
{
    struct server *server = arg;
    struct connection *conn, *after;
    set_options(server);
    list_for_each_safe (conn, after, &server->connections, in_server)
        connection_recheck(conn);
}

/* ---- accepting ---- */

static void refuse(struct server *server, int fd, const char *why)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\n"
        "connection: close\r\n\r\n";
    char request[4096];
    if (!server->pipeline->tls) {
        /* Unread, the request would reset the connection under the answer. */
        ssize_t got = recv(fd, request, sizeof request, 0);
        got = send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
        (void)got; /* it is closed all the same */
    }
    close(fd);
    int64_t now_ms = clock_mono_ms();
    if (now_ms - server->refusal_logged_ms > 10000) {
        log_warn("connections are refused: %s", why);
        server->refusal_logged_ms = now_ms;
    }
}

static void admit(struct server *server, int fd, const struct sockaddr *from)
{
    static const char *const reasons[] = {
        [LIMITER_FULL] = "limits.connections is reached",
        [LIMITER_ADDRESS] = "limits.connections_per_address is reached by one address",
        [LIMITER_HANDSHAKES] = "limits.handshakes_per_address is reached by one address"};
    struct pipeline *pipeline = server->pipeline;
    struct address address = address_of(from);
    if (fd >= server->descriptors_max) {
        count_up(COUNT_refused_descriptors);
        refuse(server, fd, "only limits.reserved_files are left of the open files");
        return;
    }
    enum limiter_verdict verdict = limiter_connect(pipeline->limiter, pipeline->conf, &address);
    if (verdict != LIMITER_OK) {
        refuse(server, fd, reasons[verdict]);
        return;
    }
    connection_open(server, fd, &address);
}

static void on_acceptable(struct ev_loop *ev, ev_io *io, int events)
{
    struct server *server = io->data;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        int fd = accept4(server->listen_fd, (struct sockaddr *)&from, &length,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(server, fd, (struct sockaddr *)&from);
        } else {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                /* It would be told again at once; the tick starts it. */
                ev_io_stop(ev, io);
                log_error("accept: %s; raise the limit of open files or lower limits.connections",
                          strerror(errno));
            }
            return;
        }
    }
}

/* ---- once a second ---- */

/* Descriptors are given from below: a number beyond this says that the reserve is being used. */
static int descriptors_max(const struct config *conf)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return (int)limit.rlim_cur - (int)conf->limits.reserved_files;
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct server *server = timer->data;
    int64_t now_ms = clock_mono_ms();
    server->descriptors_max = descriptors_max(server->pipeline->conf); /* a reload may have more */
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server)
        connection_tick(conn, now_ms);
    if (!server->closing && !ev_is_active(&server->acceptable))
        ev_io_start(ev, &server->acceptable);
}

/* ---- draining ---- */

/* So many are to be gone by now. */
static void on_drain(struct ev_loop *ev, ev_timer *timer, int events)
{
    enum { RECONNECT_MAX_MS = 1000 };
    struct server *server = timer->data;
    int64_t gone_ms = clock_mono_ms() - server->drain.began_ms, over_ms = server->drain.over_ms;
    size_t due = gone_ms >= over_ms
                     ? SIZE_MAX
                     : (size_t)((double)server->drain.count * (double)gone_ms / (double)over_ms);
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server) {
        if (server->drain.sent_away >= due)
            break;
        unsigned after_ms = (unsigned)server->drain.sent_away * 337 % RECONNECT_MAX_MS; /* spread */
        if (connection_send_away(conn, after_ms))
            server->drain.sent_away++;
    }
}

void server_drain(struct server *server, int64_t over_ms)
{
    enum { STEP_MS = 50 };
    server->pipeline->draining = true;
    server->drain.began_ms = clock_mono_ms();
    server->drain.over_ms = over_ms;
    server->drain.count = server->count;
    ev_timer_init(&server->drain.timer, on_drain, 0, STEP_MS / 1000.0);
    server->drain.timer.data = server;
    ev_timer_start(loop_ev(server->pipeline->loop), &server->drain.timer);
}

/* ---- life ---- */

static struct send_queue *make_send_queue(const struct config *conf)
{
    static bool told;
    struct send_queue *queue = conf->io_uring ? wire_queue_create() : NULL;
    if (conf->io_uring && !queue && !told) {
        log_info("without io_uring (%s): each message to a client is a system call of its own",
                 strerror(errno));
        told = true;
    }
    return queue;
}

struct server *server_create(struct pipeline *pipeline, const struct route *routes, int listen_fd)
{
    struct server *server = xcalloc(1, sizeof *server);
    struct ev_loop *ev = loop_ev(pipeline->loop);
    server->pipeline = pipeline;
    server->routes = routes;
    server->listen_fd = listen_fd;
    server->descriptors_max = descriptors_max(pipeline->conf);
    server->send_queue = make_send_queue(pipeline->conf);
    list_init(&server->connections);
    list_init(&server->dead);
    list_init(&server->due);
    pipeline->on_kick = on_kick;
    pipeline->on_settings = on_settings;
    pipeline->net = server;
    set_options(server);
    server->at_turn_end = (struct turn_end){.run = on_turn_end, .arg = server};
    loop_on_turn_end(pipeline->loop, &server->at_turn_end);
    ev_io_init(&server->acceptable, on_acceptable, listen_fd, EV_READ);
    server->acceptable.data = server;
    ev_io_start(ev, &server->acceptable);
    ev_timer_init(&server->drain.timer, on_drain, 0, 0);
    ev_timer_init(&server->tick, on_tick, 1, 1);
    server->tick.data = server;
    ev_timer_start(ev, &server->tick);
    return server;
}

void server_close(struct server *server, void (*gone)(void *arg), void *arg)
{
    ev_io_stop(loop_ev(server->pipeline->loop), &server->acceptable);
    ev_timer_stop(loop_ev(server->pipeline->loop), &server->drain.timer);
    server->closing = true;
    if (!server->count) {
        gone(arg);
        return;
    }
    server->gone = gone;
    server->gone_arg = arg;
    ev_timer_stop(loop_ev(server->pipeline->loop), &server->tick);
    ev_timer_set(&server->tick, 0.02, 0.02); /* not to keep whoever waits for us */
    ev_timer_start(loop_ev(server->pipeline->loop), &server->tick);
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server)
        connection_go_away(conn);
}

void server_end(struct server *server)
{
    struct ev_loop *ev = loop_ev(server->pipeline->loop);
    ev_io_stop(ev, &server->acceptable);
    ev_timer_stop(ev, &server->tick);
    ev_timer_stop(ev, &server->drain.timer);
    server->gone = NULL;
    struct connection *conn, *after;
    list_for_each_safe (conn, after, &server->connections, in_server)
        connection_drop(conn);
    on_turn_end(server);
}

void server_destroy(struct server *server)
{
    if (!server)
        return;
    server_end(server);
    send_queue_destroy(server->send_queue);
    close(server->listen_fd);
    free(server);
}
