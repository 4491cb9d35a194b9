/* A connection goes from CONNECTING (the kernel's part) by HANDSHAKE (our upgrade is sent, a head
 * is awaited) and HELLO (what the dialect says before all else) to READY. One big buffer serves all
 * reads; what a read cuts, parser and tally of its connection remember. */
#include "net.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, EVENTS = 512, SILENCE_SECONDS = 20 };

/* ---- output ---- */

static void out_room(struct conn *conn, size_t more)
{
    if (conn->out_have + more <= conn->out_size)
        return;
    conn->out_size = (conn->out_have + more) * 2;
    conn->out = realloc(conn->out, conn->out_size);
    assert(conn->out);
}

static void out_add(struct conn *conn, const void *data, size_t length)
{
    out_room(conn, length);
    memcpy(conn->out + conn->out_have, data, length);
    conn->out_have += length;
}

static void out_frame(struct conn *conn, enum ws_opcode opcode, const char *text, size_t length)
{
    unsigned char head[WS_HEAD_MAX];
    out_add(conn, head, ws_head(head, opcode, length));
    out_add(conn, text, length);
}

static void watch(struct net *net, struct conn *conn, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    epoll_ctl(net->epoll, how, conn->fd, &event);
}

static void conn_close(struct net *net, struct conn *conn)
{
    if (conn->state == CONN_CLOSED)
        return;
    net->ready -= conn->state == CONN_READY;
    net->closed++;
    conn->state = CONN_CLOSED;
    tls_close(conn->tls);
    close(conn->fd);
}

void conn_flush(struct net *net, struct conn *conn)
{
    while (conn->state != CONN_CLOSED && conn->out_sent < conn->out_have) {
        const char *data = conn->out + conn->out_sent;
        size_t length = conn->out_have - conn->out_sent;
        ssize_t n = conn->tls ? tls_send(conn->tls, data, length)
                              : send(conn->fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINPROGRESS) {
            if (conn->out_waits)
                watch(net, conn, EPOLL_CTL_MOD, EPOLLIN);
            conn->out_waits = false;
            return;
        }
        if (n < 0 && errno == EAGAIN) {
            if (!conn->out_waits)
                watch(net, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            conn->out_waits = true;
            return;
        }
        if (n < 0)
            return conn_close(net, conn);
        conn->out_sent += (size_t)n;
    }
    conn->out_have = conn->out_sent = 0;
    if (conn->role != PUBLISHER) { /* thousands of them, and nothing more to say */
        free(conn->out);
        conn->out = NULL;
        conn->out_size = 0;
    }
    if (conn->out_waits)
        watch(net, conn, EPOLL_CTL_MOD, EPOLLIN);
    conn->out_waits = false;
}

void conn_say(struct net *net, struct conn *conn, size_t bytes)
{
    const struct dialect *dialect = net->dialect;
    size_t before = strlen(dialect->say[0]), behind = strlen(dialect->say[1]);
    size_t length = before + bytes + behind;
    out_room(conn, length + 300);
    if (dialect->posts) {
        conn->out_have += (size_t)sprintf(conn->out + conn->out_have, "POST ");
        conn->out_have += (size_t)sprintf(conn->out + conn->out_have, dialect->target[PUBLISHER],
                                          conn->room->name);
        conn->out_have +=
            (size_t)sprintf(conn->out + conn->out_have,
                            " HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n", length);
    } else {
        conn->out_have += ws_head((unsigned char *)conn->out + conn->out_have, WS_TEXT, length);
    }
    memcpy(conn->out + conn->out_have, dialect->say[0], before);
    count_write(conn->out + conn->out_have + before, bytes, ++conn->room->sent, clock_ns());
    memcpy(conn->out + conn->out_have + before + bytes, dialect->say[1], behind);
    conn->out_have += length;
    conn->unanswered++;
}

/* ---- opening ---- */

struct conn *net_open(struct net *net, enum role role, struct room *room)
{
    assert(net->n < net->max);
    struct conn *conn = &net->conns[net->n];
    memset(conn, 0, sizeof *conn);
    conn->role = role;
    conn->room = room;
    conn->tally.last = room->known;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    /* 28 000 ports are there for each source address: use several. */
    uint32_t source = INADDR_LOOPBACK + 1 + net->n % (unsigned)net->sources;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)net->port)};
    inet_pton(AF_INET, net->host, &to.sin_addr);
    if (conn->fd < 0 || setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) ||
        bind(conn->fd, (struct sockaddr *)&from, sizeof from)) {
        perror("chatup-load: socket");
        exit(2);
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    net->n++;
    if (connect(conn->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        conn_close(net, conn);
        return conn;
    }
    watch(net, conn, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    conn->out_waits = true;
    return conn;
}

static void connected(struct net *net, struct conn *conn)
{
    const struct dialect *dialect = net->dialect;
    char target[200], request[600];
    conn->state = CONN_HANDSHAKE;
    conn->tls = net->tls ? tls_open(conn->fd) : NULL;
    if (conn->role == PUBLISHER && dialect->posts) {
        conn->state = CONN_READY;
        net->ready++;
        return conn_flush(net, conn);
    }
    int n = snprintf(target, sizeof target, dialect->target[conn->role], conn->room->name);
    if (net->resume && conn->role == READER)
        snprintf(target + n, sizeof target - (size_t)n, "?since=%s", conn->room->since);
    n = snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 target, net->host, net->port);
    out_add(conn, request, (size_t)n);
    conn_flush(net, conn);
}

static void ready_perhaps(struct net *net, struct conn *conn)
{
    bool mute = conn->role == PUBLISHER && net->dialect->acknowledges && !net->token;
    if (!mute && conn->frames < net->dialect->frames_to_ready[conn->role])
        return;
    conn->state = CONN_READY;
    net->ready++;
}

/* Publishers take turns with the tokens, which commas separate. */
static int token_of(const struct net *net, const struct conn *conn, const char **token_out)
{
    size_t count = 1, turn;
    for (const char *p = net->token; (p = strchr(p, ',')); p++)
        count++;
    const char *token = net->token;
    for (turn = (size_t)(conn - net->conns) % count; turn; turn--)
        token = strchr(token, ',') + 1;
    *token_out = token;
    return (int)strcspn(token, ",");
}

/* A holder's first frame: its rooms, named after the one that it was opened for. */
static void rooms_ask(struct net *net, struct conn *conn)
{
    char text[ROOMS_HELD * 40];
    size_t n = (size_t)sprintf(text, "{\"channels\":[");
    for (int i = 0; i < ROOMS_HELD; i++)
        n += (size_t)sprintf(text + n, "%s\"%s-%d\"", i ? "," : "", conn->room->name, i);
    n += (size_t)sprintf(text + n, "]}");
    out_frame(conn, WS_TEXT, text, n);
    conn_flush(net, conn);
}

static void upgraded(struct net *net, struct conn *conn)
{
    conn->state = CONN_HELLO;
    if (conn->role == HOLDER)
        rooms_ask(net, conn);
    if (conn->role == PUBLISHER && net->token) {
        char text[2048];
        const char *token;
        int length = token_of(net, conn, &token);
        int n = snprintf(text, sizeof text, "{\"id\":1,\"auth\":\"%.*s\"}", length, token);
        out_frame(conn, WS_TEXT, text, (size_t)n);
        n = snprintf(text, sizeof text, "{\"id\":2,\"join\":{\"room\":\"%s\"}}", conn->room->name);
        out_frame(conn, WS_TEXT, text, (size_t)n);
        conn_flush(net, conn);
    }
    ready_perhaps(net, conn);
}

/* ---- input ---- */

static bool has(const char *text, size_t length, const char *word)
{
    return memmem(text, length, word, strlen(word));
}

static void error_keep(struct net *net, const char *text, size_t length)
{
    if (!net->errors++)
        snprintf(net->first_error, sizeof net->first_error, "%.*s", (int)length, text);
}

/* Remember the position that a first frame of ChatUp tells. */
static void position_keep(struct net *net, struct conn *conn, const char *text, size_t length)
{
    const char *epoch = memmem(text, length, "\"epoch\":\"", 9);
    const char *offset = memmem(text, length, "\"offset\":", 9);
    if (has(text, length, "\"recovered\":false"))
        net->unrecovered += net->resume;
    if (!epoch || !offset || net->resume || text + length - offset < 30)
        return;
    snprintf(conn->room->since, sizeof conn->room->since, "%.16s:%lu", epoch + 9,
             strtoul(offset + 9, NULL, 10));
}

/* A frame before the connection is ready. */
static void hello_frame(struct net *net, struct conn *conn, const struct ws_piece *piece)
{
    if (piece->first && conn->role == READER && !net->dialect->greeting)
        position_keep(net, conn, piece->data, piece->length);
    if (has(piece->data, piece->length, "\"error\""))
        error_keep(net, piece->data, piece->length);
    if (!piece->last)
        return;
    if (++conn->frames == 1 && net->dialect->greeting) {
        out_frame(conn, WS_TEXT, net->dialect->greeting, strlen(net->dialect->greeting));
        conn_flush(net, conn);
    }
    ready_perhaps(net, conn);
}

static bool is_ping(struct net *net, struct conn *conn, const struct ws_piece *piece)
{
    const char *ping = net->dialect->ping;
    if (piece->opcode == WS_PING) {
        out_frame(conn, WS_PONG, piece->data, piece->last && piece->first ? piece->length : 0);
    } else if (ping && piece->first && piece->last && piece->length == strlen(ping) &&
               !memcmp(piece->data, ping, piece->length)) {
        out_frame(conn, WS_TEXT, net->dialect->pong, strlen(net->dialect->pong));
    } else {
        return piece->opcode == WS_PONG;
    }
    conn_flush(net, conn);
    return true;
}

static void frames_read(struct net *net, struct conn *conn, const char *data, size_t length)
{
    struct ws_piece piece;
    enum ws_result result;
    uint64_t before = net->count.messages;
    unsigned replies = 0;
    while ((result = ws_next(&conn->parser, &data, &length, &piece)) == WS_PIECE) {
        if (piece.opcode == WS_CLOSE) {
            error_keep(net, piece.data, piece.length);
            return conn_close(net, conn);
        }
        if (piece.opcode >= WS_CLOSE && is_ping(net, conn, &piece))
            continue;
        if (conn->role == READER)
            count_text(&net->count, &conn->tally, piece.data, piece.length, net->now_ns);
        if (conn->state == CONN_HELLO) {
            hello_frame(net, conn, &piece);
        } else if (net->dialect->ping && is_ping(net, conn, &piece)) {
            continue;
        } else if (conn->role == PUBLISHER && net->dialect->acknowledges) {
            if (has(piece.data, piece.length, "\"error\""))
                error_keep(net, piece.data, piece.length);
            replies += piece.last;
        }
    }
    if (result == WS_WRONG)
        return conn_close(net, conn);
    if (net->count.messages != before) {
        conn->room->delivered += net->count.messages - before;
        if (net->on_delivery)
            net->on_delivery(net, conn->room);
    }
    if (replies) {
        net->replies += replies;
        conn->unanswered -= replies < conn->unanswered ? replies : conn->unanswered;
        if (net->on_reply)
            net->on_reply(net, conn, replies);
    }
}

/* Take the answer to our upgrade off; what is behind it are frames. */
static void head_read(struct net *net, struct conn *conn, const char *data, size_t length)
{
    static const char end[4] = "\r\n\r\n";
    while (length && conn->newlines < 4) {
        char c = *data++;
        length--;
        if (conn->status_have < 12)
            conn->status[conn->status_have++] = c;
        conn->newlines = c == end[conn->newlines] ? conn->newlines + 1 : c == '\r';
    }
    if (conn->newlines < 4)
        return;
    if (strcmp(conn->status + 8, " 101")) {
        error_keep(net, conn->status, 12);
        return conn_close(net, conn);
    }
    upgraded(net, conn);
    if (conn->state != CONN_CLOSED && length)
        frames_read(net, conn, data, length);
}

static void readable(struct net *net, struct conn *conn)
{
    do {
        ssize_t n = conn->tls ? tls_recv(conn->tls, net->buffer, BUFFER)
                              : recv(conn->fd, net->buffer, BUFFER, 0);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return conn_close(net, conn);
        net->now_ns = clock_ns();
        if (conn->state == CONN_HANDSHAKE)
            head_read(net, conn, net->buffer, (size_t)n);
        else if (conn->role == READER || !net->dialect->posts)
            frames_read(net, conn, net->buffer, (size_t)n);
    } while (conn->tls && conn->state != CONN_CLOSED);
    if (conn->tls && conn->state != CONN_CLOSED && conn->out_have)
        conn_flush(net, conn); /* that may have waited for the handshake */
}

/* ---- the loop ---- */

void net_turn(struct net *net, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(net->epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct conn *conn = events[i].data.ptr;
        if (conn->state == CONN_CONNECTING && events[i].events & (EPOLLOUT | EPOLLERR)) {
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error)
                conn_close(net, conn);
            else
                connected(net, conn);
            continue;
        }
        if (events[i].events & EPOLLOUT && conn->state != CONN_CLOSED)
            conn_flush(net, conn);
        if (events[i].events & ~(uint32_t)EPOLLOUT && conn->state != CONN_CLOSED)
            readable(net, conn);
    }
}

bool net_open_all(struct net *net, enum role role, struct room *rooms, unsigned n_rooms, unsigned n,
                  unsigned at_once)
{
    unsigned opened = 0, wanted = net->ready + n, last = net->ready, base = net->ready;
    uint64_t last_ns = clock_ns();
    while (net->ready < wanted) {
        for (; opened < n && opened - (net->ready - base) < at_once; opened++) {
            struct room *room = &rooms[opened % n_rooms];
            struct conn *conn = net_open(net, role, room);
            if (role == PUBLISHER)
                room->publisher = conn;
            else
                room->readers++;
        }
        net_turn(net, 100);
        if (net->ready != last) {
            last = net->ready;
            last_ns = clock_ns();
        }
        if (net->closed || clock_ns() - last_ns > SILENCE_SECONDS * 1000000000ull) {
            fprintf(stderr, "chatup-load: %u of %u connections are ready, %u closed: %s\n",
                    net->ready - base, n, net->closed, net->first_error);
            return false;
        }
    }
    return true;
}

void net_begin(struct net *net, unsigned max)
{
    net->epoll = epoll_create1(EPOLL_CLOEXEC);
    net->max = max;
    net->conns = calloc(max, sizeof *net->conns);
    net->buffer = malloc(BUFFER);
    assert(net->epoll >= 0 && net->conns && net->buffer);
    count_begin(&net->count);
}

void net_drop(struct net *net)
{
    struct linger reset = {.l_onoff = 1}; /* no thousands of ports in TIME_WAIT */
    for (unsigned i = 0; i < net->n; i++) {
        if (net->conns[i].state != CONN_CLOSED) {
            tls_close(net->conns[i].tls);
            setsockopt(net->conns[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(net->conns[i].fd);
        }
        free(net->conns[i].out);
    }
    net->n = net->ready = 0;
}

void net_end(struct net *net)
{
    net_drop(net);
    close(net->epoll);
    free(net->conns);
    free(net->buffer);
}
