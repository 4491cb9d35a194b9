/* chatup-raw: the least a server can do, to hold others against. It upgrades /ws/ROOM and
 * /pub/ROOM, and sends what a publisher says to the room's readers: no tokens, no names, no
 * history, no answers, no time-outs, no plugins. send      one send(2) per message and reader
 *   coalesce  what a room got in one turn of the loop leaves as one send(2) per reader
 * What a reader's socket does not take waits in memory, without a limit. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024, EVENTS = 256, TABLE = 1 << 14, NAME_BYTES = 64 };

struct buffer {
    char *data;
    size_t have, size;
};

struct conn {
    int fd;
    bool upgraded, publishes;
    struct room *room;
    struct conn *next, **link; /* among the room's readers */
    struct buffer in;          /* a head or a frame that is not all here */
    struct buffer out;         /* what the kernel did not take */
};

struct room {
    struct room *next; /* in the table */
    struct conn *readers;
    struct buffer pending; /* frames of this turn */
    struct room *next_due;
    char name[NAME_BYTES];
};

struct server {
    int epoll, listener;
    bool coalesces;
    struct room *table[TABLE];
    struct room *due;
    char data[READ_BYTES];
};

static void buffer_add(struct buffer *buffer, const void *data, size_t length)
{
    if (buffer->have + length > buffer->size) {
        buffer->size = (buffer->have + length) * 2;
        buffer->data = realloc(buffer->data, buffer->size);
        assert(buffer->data);
    }
    memcpy(buffer->data + buffer->have, data, length);
    buffer->have += length;
}

static void buffer_drop(struct buffer *buffer, size_t length)
{
    buffer->have -= length;
    if (buffer->have) {
        memmove(buffer->data, buffer->data + length, buffer->have);
    } else {
        free(buffer->data);
        memset(buffer, 0, sizeof *buffer);
    }
}

/* ---- connections ---- */

static void conn_watch(struct server *server, struct conn *conn, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    epoll_ctl(server->epoll, how, conn->fd, &event);
}

/* Of whom it is only known that the socket is broken: the next read tells, and frees. */
static void conn_send(struct server *server, struct conn *conn, const char *data, size_t length)
{
    if (!conn->out.have) {
        ssize_t n = send(conn->fd, data, length, MSG_NOSIGNAL);
        if (n == (ssize_t)length || (n < 0 && errno != EAGAIN))
            return;
        n = n < 0 ? 0 : n;
        data += n;
        length -= (size_t)n;
        conn_watch(server, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    buffer_add(&conn->out, data, length);
}

static void conn_writable(struct server *server, struct conn *conn)
{
    ssize_t n = send(conn->fd, conn->out.data, conn->out.have, MSG_NOSIGNAL);
    buffer_drop(&conn->out, n > 0 ? (size_t)n : errno == EAGAIN ? 0 : conn->out.have);
    if (!conn->out.have)
        conn_watch(server, conn, EPOLL_CTL_MOD, EPOLLIN);
}

static void conn_free(struct conn *conn)
{
    if (conn->link) {
        *conn->link = conn->next;
        if (conn->next)
            conn->next->link = conn->link;
    }
    close(conn->fd);
    free(conn->in.data);
    free(conn->out.data);
    free(conn);
}

static void accept_all(struct server *server)
{
    int fd, on = 1;
    while ((fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *conn = calloc(1, sizeof *conn);
        conn->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conn_watch(server, conn, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* ---- rooms ---- */

static struct room *room_named(struct server *server, const char *name, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    struct room **slot = &server->table[hash % TABLE];
    for (struct room *room = *slot; room; room = room->next)
        if (strlen(room->name) == length && !memcmp(room->name, name, length))
            return room;
    struct room *room = calloc(1, sizeof *room);
    memcpy(room->name, name, length);
    room->next = *slot;
    return *slot = room;
}

static void room_speak(struct server *server, struct room *room, const char *text, size_t length)
{
    unsigned char head[4] = {0x81, (unsigned char)length};
    size_t n = 2;
    if (length > 125) {
        head[1] = 126;
        head[n++] = (unsigned char)(length >> 8);
        head[n++] = (unsigned char)length;
    }
    if (!room->pending.have && server->coalesces) {
        room->next_due = server->due;
        server->due = room;
    }
    buffer_add(&room->pending, head, n);
    buffer_add(&room->pending, text, length);
    if (server->coalesces)
        return;
    for (struct conn *reader = room->readers; reader; reader = reader->next)
        conn_send(server, reader, room->pending.data, room->pending.have);
    room->pending.have = 0;
}

static void rooms_flush(struct server *server)
{
    for (struct room *room = server->due; room; room = room->next_due) {
        for (struct conn *reader = room->readers; reader; reader = reader->next)
            conn_send(server, reader, room->pending.data, room->pending.have);
        room->pending.have = 0;
    }
    server->due = NULL;
}

/* ---- what clients send ---- */

static bool head_answer(struct server *server, struct conn *conn, const char *head, size_t length)
{
    char text[200], accept[32];
    unsigned char digest[EVP_MAX_MD_SIZE];
    const char *key = memmem(head, length, "Sec-WebSocket-Key: ", 19);
    const char *name = !strncmp(head, "GET /ws/", 8)    ? head + 8
                       : !strncmp(head, "GET /pub/", 9) ? head + 9
                                                        : NULL;
    size_t name_length = name ? strcspn(name, " ?\r") : 0;
    if (!key || !name_length || name_length >= NAME_BYTES)
        return false;
    int n = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    EVP_Digest(text, (size_t)n, digest, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)accept, digest, 20);
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
    conn->upgraded = true;
    conn->publishes = head[5] == 'p';
    conn->room = room_named(server, name, name_length);
    if (!conn->publishes) {
        conn->next = conn->room->readers;
        conn->link = &conn->room->readers;
        if (conn->next)
            conn->next->link = &conn->next;
        conn->room->readers = conn;
    }
    conn_send(server, conn, text, (size_t)n);
    return true;
}

/* Take one frame off, of at most 64 KB; 0 if it is not all here. */
static size_t frame_take(struct server *server, struct conn *conn, char *data, size_t length)
{
    size_t head = 2, payload = length > 1 ? data[1] & 0x7f : 0;
    if (payload == 126 && length > 3) {
        payload = (size_t)(unsigned char)data[2] << 8 | (unsigned char)data[3];
        head = 4;
    }
    if (length < head + 4 + payload || length < 6)
        return 0;
    const char *mask = data + head;
    char *text = data + head + 4;
    for (size_t i = 0; i < payload; i++)
        text[i] ^= mask[i & 3];
    if (conn->publishes && (data[0] & 15) == 1)
        room_speak(server, conn->room, text, payload);
    return head + 4 + payload;
}

static bool conn_take(struct server *server, struct conn *conn, char *data, size_t length)
{
    size_t at = 0;
    if (!conn->upgraded) {
        char *end = memmem(data, length, "\r\n\r\n", 4);
        if (end && !head_answer(server, conn, data, (size_t)(end - data)))
            return false;
        at = end ? (size_t)(end - data) + 4 : 0;
    }
    for (size_t n = 1; conn->upgraded && at < length && n; at += n)
        n = frame_take(server, conn, data + at, length - at);
    if (data == conn->in.data)
        buffer_drop(&conn->in, at);
    else if (at < length)
        buffer_add(&conn->in, data + at, length - at);
    return true;
}

static void conn_readable(struct server *server, struct conn *conn)
{
    ssize_t n = recv(conn->fd, server->data, READ_BYTES, 0);
    bool good = n > 0;
    if (n < 0 && errno == EAGAIN)
        return;
    if (good && conn->in.have) {
        buffer_add(&conn->in, server->data, (size_t)n);
        good = conn_take(server, conn, conn->in.data, conn->in.have);
    } else if (good) {
        good = conn_take(server, conn, server->data, (size_t)n);
    }
    if (!good)
        conn_free(conn);
}

/* ---- the loop ---- */

static void listen_at(struct server *server, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(server->listener, (struct sockaddr *)&at, sizeof at) ||
        listen(server->listener, 4096)) {
        perror("chatup-raw");
        exit(1);
    }
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event);
}

int main(int argc, char **argv)
{
    if (argc != 3 || (strcmp(argv[1], "send") && strcmp(argv[1], "coalesce"))) {
        fputs("usage: chatup-raw send|coalesce PORT\n", stderr);
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct server *server = calloc(1, sizeof *server);
    server->coalesces = !strcmp(argv[1], "coalesce");
    listen_at(server, atoi(argv[2]));
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(server->epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (!conn) {
                accept_all(server);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                conn_writable(server, conn);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                conn_readable(server, conn);
        }
        rooms_flush(server);
    }
}
