/* Wires over real sockets: what may wait leaves with the turn, in order, and nothing of it is lost
 * whatever the kernel makes of it. Each story with the queue, without, and both over TLS. */
#include "wire.h"
#include "tls.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static struct ev_loop *ev;
static struct send_queue *queue;
static SSL_CTX *server_tls, *client_tls; /* NULL: plain */
static int broken_seen;                  /* how often an owner was told */

/* ---- before and after a story ---- */

static SSL_CTX *server_context(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    ck_assert_int_eq(SSL_CTX_use_certificate(context, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, key), 1);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return context;
}

static void begin(bool with_queue, bool with_tls)
{
    ev = ev_loop_new(EVFLAG_AUTO);
    queue = with_queue ? wire_queue_create() : NULL; /* NULL too where io_uring is forbidden */
    server_tls = with_tls ? server_context() : NULL;
    client_tls = with_tls ? SSL_CTX_new(TLS_client_method()) : NULL;
    broken_seen = 0;
}

static void plain(void)
{
    begin(false, false);
}

static void plain_with_queue(void)
{
    begin(true, false);
}

static void tls(void)
{
    begin(false, true);
}

static void tls_with_queue(void)
{
    begin(true, true);
}

static void end(void)
{
    send_queue_destroy(queue);
    ev_loop_destroy(ev);
    SSL_CTX_free(server_tls);
    SSL_CTX_free(client_tls);
}

/* ---- both ends ---- */

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    if (!wire_flush(io->data)) {
        broken_seen++;
        ev_io_stop(loop, io);
    }
}

static void handshake(struct wire *wire, struct peer *peer)
{
    int client = 0, server = 0;
    wire->ssl = tls_session_create(server_tls, wire);
    peer->ssl = SSL_new(client_tls);
    SSL_set_fd(peer->ssl, peer->fd);
    SSL_set_connect_state(peer->ssl);
    while (client != 1 || server != 1) {
        client = SSL_do_handshake(peer->ssl);
        server = wire_handshake(wire);
        ck_assert_int_ne(server, WIRE_BROKEN);
    }
    char none;
    ck_assert_int_eq(SSL_read(peer->ssl, &none, 1), -1); /* takes the tickets */
}

static void pair_open(struct wire *wire, struct peer *peer)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), little = 4096;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    *peer = (struct peer){socket(AF_INET, SOCK_STREAM, 0), NULL};
    setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    ck_assert_int_eq(connect(peer->fd, (struct sockaddr *)&address, sizeof address), 0);
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    close(listener);
    wire_init(wire, ev, queue, fd, on_io, wire);
    if (server_tls)
        handshake(wire, peer);
}

static void peer_close(struct peer *peer)
{
    SSL_free(peer->ssl);
    close(peer->fd);
}

/* The server's loop runs meanwhile. */
static ssize_t peer_read(struct peer *peer, char *bytes, size_t size)
{
    for (;;) {
        ssize_t got =
            peer->ssl ? SSL_read(peer->ssl, bytes, (int)size) : recv(peer->fd, bytes, size, 0);
        if (got >= 0)
            return got;
        ck_assert_int_eq(errno, EAGAIN);
        ev_run(ev, EVRUN_NOWAIT);
    }
}

static void assert_gets_bytes(struct peer *peer, const void *bytes, size_t length)
{
    char got[4096];
    ck_assert_uint_le(length, sizeof got);
    for (size_t done = 0; done < length;) {
        ssize_t now = peer_read(peer, got + done, length - done);
        ck_assert_int_gt(now, 0);
        done += (size_t)now;
    }
    ck_assert_mem_eq(got, bytes, length);
}

static void assert_gets(struct peer *peer, const char *text)
{
    assert_gets_bytes(peer, text, strlen(text));
}

static void assert_gets_nothing(struct peer *peer)
{
    char byte;
    ck_assert(!peer->ssl || !SSL_pending(peer->ssl));
    ck_assert_int_eq(recv(peer->fd, &byte, 1, MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

static void assert_gets_the_end(struct peer *peer)
{
    char byte;
    ck_assert_int_eq(peer_read(peer, &byte, 1), 0);
    ck_assert(!peer->ssl || SSL_get_error(peer->ssl, 0) == SSL_ERROR_ZERO_RETURN);
}

static bool soon(struct wire *wire, const char *text)
{
    return wire_write_soon(wire, text, strlen(text));
}

static bool now(struct wire *wire, const char *text)
{
    return wire_write(wire, text, strlen(text));
}

START_TEST(what_is_written_soon_is_there_when_the_queue_was_submitted)
{
    enum { MANY = SEND_QUEUE_COUNT * 2 + 3 };
    struct wire wires[MANY];
    struct peer peers[MANY];
    for (int i = 0; i < MANY; i++)
        pair_open(&wires[i], &peers[i]);
    for (int i = 0; i < MANY; i++) {
        ck_assert(soon(&wires[i], "hello"));
        ck_assert(wire_is_clear(&wires[i]));
    }
    if (queue)
        assert_gets_nothing(&peers[MANY - 1]);
    send_queue_submit(queue);
    send_queue_submit(queue); /* twice does no harm */
    for (int i = 0; i < MANY; i++) {
        assert_gets(&peers[i], "hello");
        assert_gets_nothing(&peers[i]);
        ck_assert(wire_is_clear(&wires[i]) && !wire_has_unsent(&wires[i]));
        wire_close(&wires[i]);
        peer_close(&peers[i]);
    }
}
END_TEST

START_TEST(what_one_wire_writes_comes_in_its_order)
{
    struct wire wire;
    struct peer peer;
    pair_open(&wire, &peer);
    ck_assert(soon(&wire, "a"));
    ck_assert(soon(&wire, "b"));
    ck_assert(now(&wire, "c"));
    ck_assert(soon(&wire, "d"));
    wire_cork(&wire);
    ck_assert(soon(&wire, "e"));
    ck_assert(now(&wire, "f"));
    ck_assert(wire_uncork_soon(&wire));
    ck_assert(soon(&wire, "g"));
    wire_cork(&wire);
    ck_assert(now(&wire, "h"));
    ck_assert(wire_uncork(&wire));
    ck_assert(soon(&wire, "i"));
    wire_shutdown(&wire);
    assert_gets(&peer, "abcdefghi");
    assert_gets_the_end(&peer);
    wire_close(&wire);
    peer_close(&peer);
}
END_TEST

START_TEST(a_close_sends_what_waits)
{
    struct wire wire;
    struct peer peer;
    pair_open(&wire, &peer);
    ck_assert(soon(&wire, "goodbye"));
    wire_close(&wire);
    assert_gets(&peer, "goodbye");
    peer_close(&peer);
    send_queue_submit(queue);
}
END_TEST

/* What is written: numbers of four bytes, in order. */
struct numbers {
    struct wire wire;
    struct peer peer;
    uint32_t written, read;
};

enum { NUMBERS = 700 };

static const uint32_t *numbers_from(uint32_t first)
{
    static uint32_t block[NUMBERS];
    for (uint32_t i = 0; i < NUMBERS; i++)
        block[i] = first + i;
    return block;
}

/* Until the socket has cut one of them. */
static void numbers_fill(struct numbers *numbers, void (*write)(struct numbers *numbers))
{
    pair_open(&numbers->wire, &numbers->peer);
    do
        write(numbers);
    while (wire_is_clear(&numbers->wire));
    ck_assert(wire_has_unsent(&numbers->wire));
    ck_assert_int_gt(numbers->wire.progress_ms, 0);
}

static void numbers_write(struct numbers *numbers)
{
    ck_assert(wire_write_soon(&numbers->wire, numbers_from(numbers->written),
                              NUMBERS * sizeof(uint32_t)));
    numbers->written += NUMBERS;
}

static void numbers_write_and_submit(struct numbers *numbers)
{
    numbers_write(numbers);
    send_queue_submit(queue);
}

static void numbers_write_and_cork(struct numbers *numbers)
{
    numbers_write(numbers);
    wire_cork(&numbers->wire);
    numbers_write(numbers);
    ck_assert(wire_uncork_soon(&numbers->wire));
}

static void numbers_end(struct numbers *numbers)
{
    send_queue_submit(queue);
    for (; numbers->read < numbers->written; numbers->read += NUMBERS)
        assert_gets_bytes(&numbers->peer, numbers_from(numbers->read), NUMBERS * sizeof(uint32_t));
    ck_assert(wire_is_clear(&numbers->wire));
    assert_gets_nothing(&numbers->peer);
    wire_close(&numbers->wire);
    peer_close(&numbers->peer);
}

START_TEST(what_the_kernel_does_not_take_is_kept_and_follows)
{
    void (*const ways[])(struct numbers *) = {numbers_write, numbers_write_and_submit,
                                              numbers_write_and_cork};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct numbers numbers = {.written = 0};
        numbers_fill(&numbers, ways[i]);
        for (int more = 0; more < 20; more++)
            ways[i](&numbers);
        numbers_end(&numbers);
    }
}
END_TEST

/* TLS 1.3 lets the peer have keys changed at any time, which is answered in between. */
START_TEST(keys_may_change_while_something_is_kept)
{
    struct numbers numbers = {.written = 0};
    int plenty = 1 << 20;
    char none;
    numbers_fill(&numbers, numbers_write);
    setsockopt(numbers.wire.io.fd, SOL_SOCKET, SO_SNDBUF, &plenty, sizeof plenty);
    if (numbers.peer.ssl) {
        ck_assert(SSL_key_update(numbers.peer.ssl, SSL_KEY_UPDATE_REQUESTED));
        ck_assert_int_eq(SSL_do_handshake(numbers.peer.ssl), 1);
        ck_assert_int_eq(wire_read(&numbers.wire, &none, 1), WIRE_AGAIN);
    }
    numbers_write(&numbers);
    numbers_end(&numbers);
}
END_TEST

START_TEST(a_wire_whose_peer_is_gone_says_so_and_harms_no_other)
{
    struct wire wire, other;
    struct peer peer, other_peer;
    struct linger at_once = {1, 0};
    pair_open(&wire, &peer);
    pair_open(&other, &other_peer);
    setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    peer_close(&peer);
    bool taken = soon(&wire, "is anybody there?");
    ck_assert_int_eq(taken, queue != NULL);
    ck_assert(soon(&other, "yes"));
    send_queue_submit(queue);
    if (taken) { /* then the owner is called, and finds it broken */
        ck_assert(wire_has_unsent(&wire));
        ev_run(ev, EVRUN_NOWAIT);
        ck_assert_int_eq(broken_seen, 1);
    }
    assert_gets(&other_peer, "yes");
    wire_close(&wire);
    wire_close(&wire);
    wire_close(&other);
    peer_close(&other_peer);
}
END_TEST

START_TEST(a_corked_wire_sends_nothing_before_it_is_uncorked)
{
    struct wire wire;
    struct peer peer;
    pair_open(&wire, &peer);
    wire_cork(&wire);
    ck_assert(soon(&wire, "one"));
    ck_assert(now(&wire, "two"));
    send_queue_submit(queue);
    assert_gets_nothing(&peer);
    ck_assert(wire_uncork_soon(&wire));
    send_queue_submit(queue);
    assert_gets(&peer, "onetwo");
    wire_cork(&wire);
    ck_assert(wire_uncork_soon(&wire)); /* of nothing */
    send_queue_submit(queue);
    assert_gets_nothing(&peer);
    wire_close(&wire);
    peer_close(&peer);
}
END_TEST

START_TEST(more_than_the_queue_has_room_for_goes_by_itself)
{
    struct wire wires[SEND_QUEUE_COUNT];
    struct peer peers[SEND_QUEUE_COUNT];
    char block[SEND_QUEUE_WRITE_MAX + 1];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < SEND_QUEUE_COUNT; i++) {
        pair_open(&wires[i], &peers[i]);
        ck_assert(wire_write_soon(&wires[i], block, 1200)); /* together more than its bytes */
    }
    ck_assert(wire_write_soon(&wires[0], block, sizeof block)); /* too long to be copied */
    send_queue_submit(queue);
    for (int i = 0; i < SEND_QUEUE_COUNT; i++) {
        assert_gets_bytes(&peers[i], block, 1200);
        wire_close(&wires[i]);
        peer_close(&peers[i]);
    }
}
END_TEST

/* The ring is taken from under the queue when it is full: what a kernel without memory would do. */
START_TEST(a_queue_that_the_kernel_refuses_hands_back_what_was_in_it)
{
    enum { MANY = SEND_QUEUE_COUNT + 1 };
    struct wire wires[MANY];
    struct peer peers[MANY];
    if (!queue)
        return;
    for (int i = 0; i < MANY; i++)
        pair_open(&wires[i], &peers[i]);
    for (int i = 0; i < SEND_QUEUE_COUNT; i++)
        ck_assert(soon(&wires[i], "first"));
    for (int fd = 3; fd < wires[0].io.fd; fd++) {
        char path[64], what[64] = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, what, sizeof what - 1) > 0 && strstr(what, "io_uring"))
            dup2(peers[0].fd, fd);
    }
    ck_assert(soon(&wires[MANY - 1], "first")); /* at once, from now on */
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(wire_is_clear(&wires[i]), i == MANY - 1);
    assert_gets(&peers[MANY - 1], "first");
    for (int i = 0; i < MANY; i++)
        ck_assert(soon(&wires[i], "second"));
    send_queue_submit(queue);
    for (int i = 0; i < MANY; i++) {
        assert_gets(&peers[i], i < MANY - 1 ? "firstsecond" : "second");
        assert_gets_nothing(&peers[i]);
        wire_close(&wires[i]);
        peer_close(&peers[i]);
    }
}
END_TEST

int main(void)
{
    const TTest *stories[] = {what_is_written_soon_is_there_when_the_queue_was_submitted,
                              what_one_wire_writes_comes_in_its_order,
                              a_close_sends_what_waits,
                              what_the_kernel_does_not_take_is_kept_and_follows,
                              keys_may_change_while_something_is_kept,
                              a_wire_whose_peer_is_gone_says_so_and_harms_no_other,
                              a_corked_wire_sends_nothing_before_it_is_uncorked,
                              more_than_the_queue_has_room_for_goes_by_itself,
                              a_queue_that_the_kernel_refuses_hands_back_what_was_in_it};
    const struct {
        const char *name;
        void (*begin)(void);
    } ways[] = {{"with a queue", plain_with_queue},
                {"without", plain},
                {"TLS with a queue", tls_with_queue},
                {"TLS without", tls}};
    Suite *suite = suite_create("wire");
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        TCase *tcase = tcase_create(ways[w].name);
        tcase_set_timeout(tcase, 60);
        tcase_add_checked_fixture(tcase, ways[w].begin, end);
        for (size_t i = 0; i < sizeof stories / sizeof *stories; i++)
            tcase_add_test(tcase, stories[i]);
        suite_add_tcase(suite, tcase);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
