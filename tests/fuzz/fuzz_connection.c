/* One connection to a whole server: one loop, no store, no time. The first byte says what the rest
 * is:
 *   h  bytes, as they are            w  the same, on the websocket of a reader, with masks and all
 *   p  lines, each a text frame of a publisher with a token      r  the same, of a reader's socket
 *   s  a path such as /post, and in the next line the items that a server signs for it
 * In capitals, somebody else speaks in the channel lobby before the connection is closed, and is
 * banned everywhere. However it went, nothing of the connection may be left. */
#include "alloc.h"
#include "buffer.h"
#include "connection.h"
#include "counters.h"
#include "embedded.h"
#include "fuzz.h"
#include "limiter.h"
#include "loop.h"
#include "pipeline.h"
#include "route.h"
#include "server.h"
#include "settings.h"

#include <ctype.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the server ---- */

static struct settings *settings_of(const char *yaml)
{
    static struct settings_source source;
    static char path[64];
    struct error err;
    int fd = memfd_create("chatup.yaml", 0);
    if (fd < 0 || write(fd, yaml, strlen(yaml)) != (ssize_t)strlen(yaml))
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    source.path = path;
    struct settings *settings = settings_load(&source, &err);
    if (!settings) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    close(fd);
    return settings;
}

static struct loop *loop;
static struct server *server;
static struct pipeline pipeline;

static void server_start(void)
{
    struct error err;
    int fd, port;
    signal(SIGPIPE, SIG_IGN);
    struct settings *settings = settings_of(
        "listen: {port: 0}\nthreads: 1\ndurability: memory\nclient_dir: \"\"\nlog_level: error\n"
        "jwt: {keys: [{algorithm: HS256, secret: \"" FUZZ_SECRET "\"}]}\n"
        "history: {size: 5}\nrooms: {flush_gap: 0}\ntrusted_proxies: 127.0.0.1\n"
        "limits: {rooms: 40, dedupe_entries: 10, replays: 50, message_bytes: 300, burst: 10m,\n"
        "  queue_bytes: 16KiB, says_per_connection: 0, says_per_user: 0, says_per_address: 0,\n"
        "  joins_per_connection: 0, joins_per_user: 0, joins_per_address: 0,\n"
        "  frames_per_connection: 0, requests_per_address: 0, handshakes_per_address: 0}\n");
    loop = loop_create("fuzz");
    struct embedded_home *home = embedded_open(settings->conf, &loop, 1, &err);
    pipeline = (struct pipeline){.limiter = limiter_create(),
                                 .worker_id = "fuzz",
                                 .loop = loop,
                                 .broker = embedded_broker(home, 0)};
    pipeline_use(&pipeline, settings);
    settings_unref(settings);
    if (!listen_open("127.0.0.1", 0, 1, &fd, &port, &err) || !pipeline_init(&pipeline, 0, 1, &err))
        abort();
    server = server_create(&pipeline, routes, fd);
}

/* Until it has nothing to do but to wait. */
static void server_run(void)
{
    for (int i = 0; i < 4; i++) {
        ev_run(loop_ev(loop), EVRUN_NOWAIT);
        while (loop_drain(loop))
            ;
    }
}

/* ---- the client ---- */

static void client_send(int fd, const void *bytes, size_t length)
{
    char answer[16384];
    const char *at = bytes;
    for (int patience = 100; length && patience; patience--) {
        ssize_t sent = send(fd, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
        server_run();
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0)
            ;
    }
}

static void client_sends(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

static void client_frame(int fd, struct text text)
{
    unsigned char head[8] = {0x81, 0x80 | 126};
    size_t size = text.length < 126 ? 6 : 8; /* the mask is zero */
    if (text.length > 65535)
        return;
    if (size == 6) {
        head[1] = (unsigned char)(0x80 | text.length);
    } else {
        head[2] = (unsigned char)(text.length >> 8);
        head[3] = (unsigned char)text.length;
    }
    client_send(fd, head, size);
    client_send(fd, text.at, text.length);
}

static void client_upgrade(int fd, const char *path)
{
    client_sends(fd, "GET ");
    client_sends(fd, path);
    client_sends(fd, " HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
}

static void client_lines(int fd, struct text lines)
{
    while (lines.length)
        client_frame(fd, fuzz_part(&lines, '\n'));
}

static char *sign(const char *payload)
{
    return fuzz_sign(text_of("{\"alg\":\"HS256\"}"), text_of(payload));
}

/* {"id":1,"auth":token} */
static void client_authenticate(int fd)
{
    struct buffer json = {0};
    char *token = sign("{\"sub\":\"u\",\"_public\":{\"name\":\"Ann\"}}");
    buffer_text(&json, "{\"id\":1,\"auth\":\"");
    buffer_text(&json, token);
    buffer_text(&json, "\"}");
    client_frame(fd, (struct text){json.at, json.length});
    buffer_finish(&json);
    free(token);
}

static void client_signed(int fd, struct text items)
{
    struct buffer request = {0};
    struct text path = fuzz_part(&items, '\n');
    char *token = fuzz_sign(text_of("{\"alg\":\"HS256\"}"), items);
    buffer_text(&request, "POST ");
    buffer_bytes(&request, path.at, path.length);
    buffer_text(&request, " HTTP/1.1\r\nHost: a\r\nContent-Length: ");
    buffer_number(&request, (int64_t)strlen(token));
    buffer_text(&request, "\r\n\r\n");
    buffer_text(&request, token);
    client_send(fd, request.at, request.length);
    buffer_finish(&request);
    free(token);
}

static void client_talk(int fd, char kind, struct text text)
{
    switch (kind) {
    case 'p':
        client_upgrade(fd, "/pub");
        client_authenticate(fd);
        client_lines(fd, text);
        break;
    case 'r':
        client_upgrade(fd, "/ws");
        client_lines(fd, text);
        break;
    case 'w':
        client_upgrade(fd, "/ws");
        client_send(fd, text.at, text.length);
        break;
    case 's':
        client_signed(fd, text);
        break;
    default:
        client_send(fd, text.at, text.length);
    }
}

/* returns  the client's end */
static int client_connect(void)
{
    struct address loopback;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) ||
        !address_parse(text_of("127.0.0.1"), &loopback))
        abort();
    limiter_connect(pipeline.limiter, pipeline.conf, &loopback);
    connection_open(server, fds[0], &loopback);
    return fds[1];
}

static void others_come(void)
{
    int speaker = client_connect(), moderator = client_connect();
    client_talk(speaker, 'p',
                text_of("{\"id\":2,\"join\":{\"room\":\"lobby\"}}\n"
                        "{\"id\":3,\"say\":{\"msg\":\"hello\"}}\n"
                        "{\"id\":4,\"say\":{\"msg\":\"hello\"}}"));
    client_talk(moderator, 's', text_of("/ban\n[{\"sub\":\"u\",\"expire\":1}]"));
    client_talk(moderator, 's', text_of("/unban\n[{\"sub\":\"u\"}]"));
    close(speaker);
    close(moderator);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (!server)
        server_start();
    int fd = client_connect();
    client_talk(fd, (char)tolower(*data), (struct text){(const char *)data + 1, size - 1});
    if (isupper(*data))
        others_come();
    close(fd);
    for (int patience = 50; patience && counters[COUNT_connections_now]; patience--)
        server_run();
    assert(!counters[COUNT_connections_now]);
    return 0;
}
