/* A connection goes through its phases in one direction, but that HEAD, BODY and ANSWER repeat with
 * each request. Whatever was read and not looked at waits in conn->in; nothing is freed before the
 * end of the turn, so that any code may drop any connection. */
#include "connection.h"
#include "access.h"
#include "alloc.h"
#include "caller.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "forwarded.h"
#include "frame.h"
#include "http.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "reading.h"
#include "room.h"
#include "server.h"
#include "tls.h"
#include "user.h"

#include <errno.h>
#include <sys/socket.h>

static const struct config *conf_of(const struct connection *conn)
{
    return server_pipeline(conn->server)->conf;
}

/* ---- ending ---- */

void connection_drop(struct connection *conn)
{
    if (conn->phase == PHASE_DEAD)
        return;
    conn->phase = PHASE_DEAD;
    conn->out.state = SUBSCRIBER_CLOSING;
    wire_close(&conn->wire);
    server_bury(conn->server, conn);
}

void connection_finish(struct connection *conn)
{
    bool was_websocket = conn->phase == PHASE_WEBSOCKET;
    if (conn->phase == PHASE_DEAD)
        return;
    if (!wire_uncork(&conn->wire)) {
        connection_drop(conn);
        return;
    }
    conn->phase = PHASE_LINGER;
    subscriber_close(&conn->out, CLOSE_UNAVAILABLE); /* its queue is dropped */
    buffer_finish(&conn->in);
    conn->deadline_ms = was_websocket ? clock_mono_ms() + CLOSE_GRACE_MS : 0;
    if (!wire_is_clear(&conn->wire))
        return;
    wire_shutdown(&conn->wire);
    conn->deadline_ms =
        clock_mono_ms() + (server_is_closing(conn->server) ? LAST_LINGER_MS : LINGER_MS);
    if (conn->pauses & PAUSE_ENDED)
        connection_drop(conn);
    else /* unread, what still comes would reset the connection under the answer */
        connection_resume(conn, PAUSE_INPUT | PAUSE_SAYS | PAUSE_FRAMES);
}

void connection_free(struct connection *conn)
{
    struct server *server = conn->server;
    wire_close(&conn->wire);
    http_on_closed(conn);
    publisher_on_closed(conn);
    subscriber_socket_on_closed(conn);
    stream_on_closed(conn);
    reading_destroy(conn->reading);
    pipeline_leave(server_pipeline(server), &conn->out);
    subscriber_finish(&conn->out);
    buffer_finish(&conn->in);
    buffer_finish(&conn->message);
    websocket_reader_finish(&conn->frames);
    free(conn->pong);
    free(conn->tags);
    user_unref(conn->user);
    limiter_disconnect(server_pipeline(server)->limiter, &conn->counted_as);
    list_remove(&conn->in_server);
    free(conn);
    count_down(COUNT_connections_now);
    server_uncount(server);
}

static void websocket_go_away(struct connection *conn, const char *reason)
{
    if (conn->publisher)
        publisher_leave(conn, reason);
    else
        websocket_close(conn, 1001, reason);
}

void connection_go_away(struct connection *conn)
{
    switch (conn->phase) {
    case PHASE_WEBSOCKET:
        websocket_go_away(conn, "going away");
        break;
    case PHASE_STREAM:
        stream_end(conn, 1001, "going away");
        break;
    case PHASE_BODY:
    case PHASE_ANSWER: /* it still gets its answer */
        conn->keep_alive = false;
        if (conn->request && conn->request->opens && conn->request->request.left)
            conn->request->request.left(&conn->request->request); /* that is 503 */
        break;
    case PHASE_PROXY:
    case PHASE_TLS:
    case PHASE_HEAD:
        connection_drop(conn);
        break;
    default:
        break;
    }
}

bool connection_send_away(struct connection *conn, unsigned after_ms)
{
    char reason[64];
    if ((conn->phase != PHASE_WEBSOCKET && conn->phase != PHASE_STREAM) ||
        conn->pauses & PAUSE_LEAVING)
        return false;
    snprintf(reason, sizeof reason, "going away; reconnect in %u ms", after_ms);
    if (conn->phase == PHASE_WEBSOCKET)
        websocket_go_away(conn, reason);
    else
        stream_end(conn, 1001, reason);
    return true;
}

/* ---- reading ---- */

void connection_pause(struct connection *conn, enum connection_pause why)
{
    conn->pauses |= why;
    if (conn->phase != PHASE_DEAD)
        wire_want_read(&conn->wire, false);
}

void connection_resume(struct connection *conn, enum connection_pause why)
{
    bool paused = conn->pauses & why;
    conn->pauses &= (uint8_t)~why;
    if (!paused || conn->pauses || conn->phase == PHASE_DEAD)
        return;
    wire_want_read(&conn->wire, true);
    connection_process(conn);
}

static void websocket_process(struct connection *conn)
{
    struct buffer waiting = conn->in;
    if (conn->pauses & (PAUSE_SAYS | PAUSE_FRAMES) || !waiting.length)
        return;
    conn->in = (struct buffer){0};
    size_t used = websocket_take(conn, (unsigned char *)waiting.at, waiting.length);
    if (used < waiting.length && conn->phase != PHASE_DEAD)
        buffer_bytes(&conn->in, waiting.at + used, waiting.length - used);
    if (conn->in.failed)
        connection_drop(conn);
    buffer_finish(&waiting);
}

void connection_process(struct connection *conn)
{
    if (conn->processing)
        return; /* further up the stack somebody is at it */
    conn->processing = true;
    for (bool more = true; more;) {
        switch (conn->phase) {
        case PHASE_HEAD:
        case PHASE_BODY:
            more = http_process(conn);
            break;
        case PHASE_WEBSOCKET:
            websocket_process(conn);
            more = false;
            break;
        default:
            more = false;
        }
    }
    conn->processing = false;
    if (conn->pauses & PAUSE_ENDED && conn->phase != PHASE_ANSWER && conn->phase != PHASE_LINGER) {
        connection_drop(conn); /* what is missing will not come, and nobody listens */
        return;
    }
    bool full = (conn->phase == PHASE_ANSWER || conn->phase == PHASE_STREAM) &&
                conn->in.length > CONNECTION_INPUT_MAX;
    if (full)
        connection_pause(conn, PAUSE_INPUT);
    else if (conn->pauses & PAUSE_INPUT)
        connection_resume(conn, PAUSE_INPUT);
}

static void connection_take(struct connection *conn, unsigned char *bytes, size_t length)
{
    if (conn->phase == PHASE_LINGER) {
        enum { DISCARD_KIB = 16 * 1024 }; /* a body that was refused may be on its way */
        conn->discarded_kib = (uint16_t)(conn->discarded_kib + (length + 1023) / 1024);
        if (conn->discarded_kib > DISCARD_KIB)
            connection_drop(conn);
        return;
    }
    size_t used = 0;
    if (conn->phase == PHASE_WEBSOCKET && !conn->in.length && !conn->processing) {
        conn->processing = true;
        used = websocket_take(conn, bytes, length);
        conn->processing = false;
    } else if (conn->phase == PHASE_HEAD && !conn->in.length) {
        conn->deadline_ms = clock_mono_ms() + conf_of(conn)->limits.header_ms;
    }
    if (conn->phase == PHASE_DEAD || conn->phase == PHASE_LINGER)
        return;
    buffer_bytes(&conn->in, bytes + used, length - used);
    if (conn->in.failed)
        connection_drop(conn);
    else
        connection_process(conn);
}

/* The peer has sent its last. Requests that it sent before still get their answers. */
static void connection_on_end(struct connection *conn)
{
    bool answered = conn->phase == PHASE_ANSWER && !(conn->request && conn->request->opens);
    connection_pause(conn, PAUSE_ENDED);
    if (!answered && (conn->phase != PHASE_LINGER || wire_is_clear(&conn->wire)))
        connection_drop(conn);
}

static void connection_read(struct connection *conn)
{
    size_t size;
    unsigned char *scratch = server_scratch(conn->server, &size);
    do {
        ssize_t got = wire_read(&conn->wire, scratch, size);
        if (got == WIRE_AGAIN)
            return;
        if (got == 0)
            connection_on_end(conn);
        else if (got < 0)
            connection_drop(conn);
        if (got <= 0)
            return;
        conn->heard_ms = clock_mono_ms();
        conn->pinged = false;
        connection_take(conn, scratch, (size_t)got);
    } while (conn->phase != PHASE_DEAD && !conn->pauses && wire_has_unread(&conn->wire));
}

/* ---- beginning ---- */

static void proceed_to_head(struct connection *conn)
{
    conn->phase = PHASE_HEAD;
    conn->deadline_ms = clock_mono_ms() + conf_of(conn)->limits.header_ms;
}

static void handshake(struct connection *conn)
{
    int done = wire_handshake(&conn->wire);
    if (done == 1) {
        proceed_to_head(conn);
        if (wire_has_unread(&conn->wire))
            connection_read(conn);
    } else if (done != WIRE_AGAIN) {
        count_up(COUNT_tls_failures);
        connection_drop(conn);
    }
}

static bool start_tls(struct connection *conn)
{
    SSL_CTX *context = server_pipeline(conn->server)->tls;
    if (!context) {
        proceed_to_head(conn);
        return true;
    }
    conn->wire.ssl = tls_session_create(context, &conn->wire);
    conn->phase = PHASE_TLS;
    conn->secure = true;
    return conn->wire.ssl != NULL;
}

bool connection_count_as_client(struct connection *conn)
{
    struct pipeline *pipeline = server_pipeline(conn->server);
    if (!memcmp(&conn->client, &conn->counted_as, sizeof conn->client))
        return true;
    if (limiter_move(pipeline->limiter, pipeline->conf, &conn->counted_as, &conn->client) !=
        LIMITER_OK)
        return false;
    conn->counted_as = conn->client;
    return true;
}

void connection_count_as_peer(struct connection *conn)
{
    struct pipeline *pipeline = server_pipeline(conn->server);
    if (!memcmp(&conn->peer, &conn->counted_as, sizeof conn->peer))
        return;
    if (limiter_move(pipeline->limiter, pipeline->conf, &conn->counted_as, &conn->peer) ==
        LIMITER_OK)
        conn->counted_as = conn->peer;
}

/* Peeked at first, so that not a byte of what follows it is taken: that may be TLS. */
static void proxy_read(struct connection *conn)
{
    unsigned char bytes[1024];
    size_t had = conn->in.length;
    ssize_t got = recv(conn->wire.io.fd, bytes, sizeof bytes, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || had + (size_t)got > 64 * 1024) {
        connection_drop(conn);
        return;
    }
    buffer_bytes(&conn->in, bytes, (size_t)got);
    long used = proxy_header_parse((unsigned char *)conn->in.at, conn->in.length, &conn->client);
    if (used < 0) {
        count_up(COUNT_bad_requests);
        log_warn("a trusted proxy sent no PROXY header; turn off listen.proxy_protocol, or make it "
                 "send one");
        connection_drop(conn);
        return;
    }
    size_t take = used ? (size_t)used - had : (size_t)got;
    if (recv(conn->wire.io.fd, bytes, take, 0) != (ssize_t)take) {
        connection_drop(conn);
        return;
    }
    if (!used)
        return;
    buffer_finish(&conn->in);
    conn->peer = conn->client; /* whom nobody need believe what it says of others */
    if (!connection_count_as_client(conn) || !start_tls(conn))
        connection_drop(conn);
}

/* ---- events of the socket ---- */

static void on_clear(struct connection *conn)
{
    switch (conn->phase) {
    case PHASE_ANSWER:
        if (!conn->request)
            http_answered(conn);
        break;
    case PHASE_WEBSOCKET:
        websocket_on_clear(conn);
        break;
    case PHASE_STREAM:
        stream_on_clear(conn);
        break;
    case PHASE_LINGER:
        connection_finish(conn);
        break;
    default:
        break;
    }
}

static void on_io(struct ev_loop *ev, ev_io *io, int events)
{
    struct connection *conn = io->data;
    bool unsent = wire_has_unsent(&conn->wire);
    if (unsent && !wire_flush(&conn->wire)) {
        connection_drop(conn);
        return;
    }
    if (unsent && wire_is_clear(&conn->wire))
        on_clear(conn);
    if (conn->phase == PHASE_DEAD || (conn->pauses && conn->phase != PHASE_TLS))
        return;
    if (conn->phase == PHASE_PROXY)
        proxy_read(conn);
    else if (conn->phase == PHASE_TLS)
        handshake(conn);
    else if (events & EV_READ || conn->wire.ssl)
        connection_read(conn);
}

void connection_write(struct connection *conn, const void *bytes, size_t length)
{
    if (conn->phase != PHASE_DEAD && !wire_write(&conn->wire, bytes, length))
        connection_drop(conn);
}

void connection_write_soon(struct connection *conn, const void *bytes, size_t length)
{
    if (conn->phase != PHASE_DEAD && !wire_write_soon(&conn->wire, bytes, length))
        connection_drop(conn);
}

void connection_cork(struct connection *conn)
{
    if (conn->phase != PHASE_DEAD)
        wire_cork(&conn->wire);
}

void connection_uncork(struct connection *conn)
{
    if (conn->phase != PHASE_DEAD && !wire_uncork_soon(&conn->wire))
        connection_drop(conn);
}

void connection_write_buffer(struct connection *conn, struct buffer *bytes)
{
    if (bytes->failed)
        connection_drop(conn);
    else
        connection_write(conn, bytes->at, bytes->length);
    buffer_finish(bytes);
}

void connection_set_user(struct connection *conn, struct user *user)
{
    user_unref(conn->user);
    conn->user = user;
    conn->user_changes++;
    conn->expiry_told = false;
}

/* ---- rooms write to it ---- */

static struct connection *connection_of(struct subscriber *out)
{
    return list_entry(out, struct connection, out);
}

static bool socket_writable(struct subscriber *out)
{
    return wire_is_clear(&connection_of(out)->wire);
}

static bool socket_write(struct subscriber *out, const struct frame *frame)
{
    struct connection *conn = connection_of(out);
    return wire_write_soon(&conn->wire, frame->at, frame->length);
}

static void socket_admitted(struct subscriber *out)
{
    reading_admitted(connection_of(out));
}

static void socket_close(struct subscriber *out, enum close_reason why)
{
    static const char *const reasons[] = {[CLOSE_TOO_SLOW] = "too slow",
                                          [CLOSE_UNAVAILABLE] = "unavailable",
                                          [CLOSE_BROKEN] = "broken"};
    struct connection *conn = connection_of(out);
    if (why == CLOSE_BROKEN) {
        connection_drop(conn);
        return;
    }
    if (why == CLOSE_TOO_SLOW) {
        count_up(COUNT_slow_readers);
        connection_log(conn, LOG_INFO, "reader closed", reasons[why]);
    }
    websocket_close(conn, 1013, reasons[why]);
}

static const struct subscriber_socket websocket = {socket_writable, socket_write, socket_admitted,
                                                   socket_close};

void connection_init_out(struct connection *conn)
{
    subscriber_finish(&conn->out);
    subscriber_init(&conn->out, &websocket, (size_t)conf_of(conn)->limits.queue_bytes);
}

void connection_open(struct server *server, int fd, const struct address *peer)
{
    struct pipeline *pipeline = server_pipeline(server);
    const struct config *conf = pipeline->conf;
    static _Atomic uint64_t ids;
    struct connection *conn = xcalloc(1, sizeof *conn);
    conn->id = ++ids;
    conn->server = server;
    conn->peer = conn->client = conn->counted_as = *peer;
    conn->heard_ms = clock_mono_ms();
    conn->deadline_ms = conn->heard_ms + conf->limits.header_ms;
    subscriber_init(&conn->out, &websocket, (size_t)conf->limits.queue_bytes);
    wire_init(&conn->wire, loop_ev(pipeline->loop), server_send_queue(server), fd, on_io, conn);
    server_count(server, conn);
    count_up(COUNT_connections_now);
    count_up(COUNT_connections);
    if (conf->proxy_protocol && networks_contain(conf->trusted.networks, conf->trusted.count, peer))
        conn->phase = PHASE_PROXY;
    else if (!start_tls(conn))
        connection_drop(conn);
}

/* ---- the log ---- */

void connection_log(const struct connection *conn, enum log_level level, const char *what,
                    const char *why)
{
    char id[24];
    struct text user = {0};
    snprintf(id, sizeof id, "%llu", (unsigned long long)conn->id);
    if (conn->user)
        user = text_of(conn->user->sub);
    log_event(level, LOG_FIELDS({"connection", text_of(id)}, {"user", user}), "%s: %s", what, why);
}

/* ---- moderation ---- */

static bool is_about(const struct connection *conn, enum ban_kind kind, struct text who)
{
    struct identity identity = {.address = conn->client};
    if (conn->user) {
        identity.sub = text_of(conn->user->sub);
        identity.name = text_of(conn->user->name);
    }
    return identity_is(&identity, kind, who);
}

/* In rooms that need a token, a ban ends reading too. */
static bool reads_there(const struct connection *conn, const struct kick *kick)
{
    const struct access *access = server_pipeline(conn->server)->access;
    const struct membership *member;
    list_for_each (member, &conn->out.memberships, in_subscriber)
        if ((!kick->room || name_equal(kick->room, member->room->name)) &&
            (!kick->ban || !access_allows(access, member->room->name, NULL, RIGHT_READ)))
            return true;
    return false;
}

const char *connection_unwelcome(const struct connection *conn, const struct user *user)
{
    const struct pipeline *pipeline = server_pipeline(conn->server);
    const struct membership *member;
    list_for_each (member, &conn->out.memberships, in_subscriber) {
        const struct name *room = member->room->name;
        if (!access_allows(pipeline->access, room, user, RIGHT_READ))
            return "forbidden";
        if (banned_from_reading(pipeline, room, user, &conn->client))
            return "banned";
    }
    return NULL;
}

void connection_turn_out(struct connection *conn, const char *reason)
{
    if (conn->phase == PHASE_WEBSOCKET)
        websocket_close(conn, 1008, reason);
    else
        stream_end(conn, 1008, reason);
}

void connection_recheck(struct connection *conn)
{
    bool alive = conn->phase == PHASE_WEBSOCKET || conn->phase == PHASE_STREAM;
    const char *why = alive ? connection_unwelcome(conn, conn->user) : NULL;
    if (why)
        connection_turn_out(conn, why);
}

void connection_kick(struct connection *conn, const struct kick *kick)
{
    bool alive = conn->phase == PHASE_WEBSOCKET || conn->phase == PHASE_STREAM;
    if (!alive || !is_about(conn, kick->kind, kick->who))
        return;
    if (!reads_there(conn, kick) && (kick->ban || !publisher_is_in(conn, kick->room)))
        return;
    connection_turn_out(conn, kick->ban ? "banned" : "kicked");
}

/* ---- time ---- */

static void expiry_tick(struct connection *conn)
{
    enum { NOTICE_MS = 60000 };
    if (!conn->user || !conn->user->expires_ms)
        return;
    int64_t left_ms = conn->user->expires_ms - clock_wall_ms();
    if (left_ms > NOTICE_MS)
        return;
    if (!conn->expiry_told) {
        char json[64];
        int64_t seconds = left_ms > 0 ? (left_ms + 999) / 1000 : 0;
        int length = snprintf(json, sizeof json, "{\"expires\":%lld}", (long long)seconds);
        conn->expiry_told = true;
        if (conn->phase == PHASE_WEBSOCKET)
            websocket_send(conn, (struct text){json, (size_t)length});
        else
            stream_tell_expiry(conn, seconds);
    }
    if (left_ms > 0)
        return;
    if (conn->phase == PHASE_WEBSOCKET)
        websocket_close(conn, 1008, "token expired");
    else
        stream_end(conn, 1008, "token expired");
}

/* It takes nothing. A reader is told, should it ever look. */
static void time_out_writing(struct connection *conn)
{
    if (conn->phase == PHASE_WEBSOCKET || conn->phase == PHASE_STREAM)
        subscriber_close(&conn->out, CLOSE_TOO_SLOW);
    else
        connection_drop(conn);
}

void connection_tick(struct connection *conn, int64_t now_ms)
{
    const struct config *conf = conf_of(conn);
    if (conn->pauses & PAUSE_FRAMES)
        connection_resume(conn, PAUSE_FRAMES);
    if (conn->phase == PHASE_WEBSOCKET || conn->phase == PHASE_STREAM) {
        expiry_tick(conn);
    }
    if (!wire_is_clear(&conn->wire) && now_ms - conn->wire.progress_ms > conf->limits.stall_ms) {
        time_out_writing(conn);
        return;
    }
    if (conn->phase == PHASE_LINGER && server_is_closing(conn->server) &&
        wire_is_delivered(&conn->wire)) {
        connection_drop(conn);
        return;
    }
    if (conn->phase == PHASE_WEBSOCKET)
        websocket_tick(conn, now_ms);
    else if (conn->phase == PHASE_STREAM)
        stream_tick(conn, now_ms);
    else if (conn->deadline_ms && now_ms > conn->deadline_ms) {
        if (conn->phase == PHASE_HEAD || conn->phase == PHASE_BODY)
            http_time_out(conn);
        else
            connection_drop(conn);
    }
}
