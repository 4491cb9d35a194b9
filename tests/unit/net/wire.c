/* Wires over real sockets: what may wait leaves with the turn, in order, and nothing of it is lost
 * whatever the kernel makes of it. Each story with the queue, and without. */
#include "wire.h"
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ev_loop *ev;
static struct send_queue *queue;
static int events_seen;

static void begin(void)
{
    ev = ev_loop_new(EVFLAG_AUTO);
    queue = NULL;
    events_seen = 0;
}

static void end(void)
{
    send_queue_destroy(queue);
    ev_loop_destroy(ev);
}

/* Where io_uring is forbidden, the stories are still true. */
static void with_queue(void)
{
    begin();
    queue = wire_queue_create();
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    events_seen |= events;
    ev_break(loop, EVBREAK_ALL);
}

static void pair_open(struct wire *wire, int *peer)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), little = 4096;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    *peer = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(*peer, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    ck_assert_int_eq(connect(*peer, (struct sockaddr *)&address, sizeof address), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    close(listener);
    wire_init(wire, ev, queue, fd, NULL, on_io, NULL);
}

static void assert_gets(int peer, const char *text)
{
    char got[256] = {0};
    ck_assert_int_eq(recv(peer, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
    ck_assert_str_eq(got, text);
}

static void assert_gets_nothing(int peer)
{
    char byte;
    ck_assert_int_eq(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
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
    int peers[MANY];
    for (int i = 0; i < MANY; i++)
        pair_open(&wires[i], &peers[i]);
    for (int i = 0; i < MANY; i++) {
        ck_assert(soon(&wires[i], "hello"));
        ck_assert(wire_is_clear(&wires[i]));
    }
    if (queue)
        assert_gets_nothing(peers[MANY - 1]);
    send_queue_submit(queue);
    send_queue_submit(queue); /* twice does no harm */
    for (int i = 0; i < MANY; i++) {
        assert_gets(peers[i], "hello");
        assert_gets_nothing(peers[i]);
        ck_assert(wire_is_clear(&wires[i]) && !wire_has_unsent(&wires[i]));
        wire_close(&wires[i]);
        close(peers[i]);
    }
}
END_TEST

START_TEST(what_one_wire_writes_comes_in_its_order)
{
    struct wire wire;
    int peer;
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
    assert_gets(peer, "abcdefghi");
    char byte;
    ck_assert_int_eq(recv(peer, &byte, 1, 0), 0);
    wire_close(&wire);
    close(peer);
}
END_TEST

START_TEST(a_close_sends_what_waits)
{
    struct wire wire;
    int peer;
    pair_open(&wire, &peer);
    ck_assert(soon(&wire, "goodbye"));
    wire_close(&wire);
    assert_gets(peer, "goodbye");
    close(peer);
    send_queue_submit(queue);
}
END_TEST

/* Numbers of four bytes in order, in writes that the socket cuts anywhere. */
START_TEST(what_the_kernel_does_not_take_is_kept_and_follows)
{
    enum { NUMBERS = 700, WRITES = 40 };
    struct wire wire;
    int peer;
    uint32_t next = 0, expected = 0, block[NUMBERS];
    pair_open(&wire, &peer);
    for (int i = 0; i < WRITES; i++) {
        for (int k = 0; k < NUMBERS; k++)
            block[k] = next++;
        ck_assert(wire_write_soon(&wire, block, sizeof block));
        if (i % 3)
            send_queue_submit(queue);
    }
    send_queue_submit(queue);
    ck_assert(!wire_is_clear(&wire));
    ck_assert(wire_has_unsent(&wire));
    ck_assert_int_gt(wire.progress_ms, 0);
    while (expected < next) {
        uint32_t got;
        if (!wire_is_clear(&wire)) {
            events_seen = 0;
            ev_run(ev, EVRUN_NOWAIT);
            if (events_seen & EV_WRITE)
                ck_assert(wire_flush(&wire));
        }
        if (recv(peer, &got, sizeof got, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)sizeof got)
            continue;
        recv(peer, &got, sizeof got, 0);
        ck_assert_uint_eq(got, expected++);
    }
    ck_assert(wire_is_clear(&wire));
    assert_gets_nothing(peer);
    wire_close(&wire);
    close(peer);
}
END_TEST

START_TEST(a_wire_whose_peer_is_gone_says_so_and_harms_no_other)
{
    struct wire wire, other;
    int peer, other_peer;
    struct linger at_once = {1, 0};
    pair_open(&wire, &peer);
    pair_open(&other, &other_peer);
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(peer);
    bool taken = soon(&wire, "is anybody there?");
    ck_assert(soon(&other, "yes"));
    send_queue_submit(queue);
    if (taken) { /* then the owner is called, and finds it broken */
        ev_run(ev, 0);
        ck_assert_int_ne(events_seen & EV_WRITE, 0);
        ck_assert(wire_has_unsent(&wire));
        ck_assert(!wire_flush(&wire));
        ck_assert(!soon(&wire, "hello?"));
        ck_assert(!now(&wire, "hello?"));
    }
    assert_gets(other_peer, "yes");
    wire_close(&wire);
    wire_close(&wire);
    wire_close(&other);
    close(other_peer);
}
END_TEST

START_TEST(a_corked_wire_sends_nothing_before_it_is_uncorked)
{
    struct wire wire;
    int peer;
    pair_open(&wire, &peer);
    wire_cork(&wire);
    ck_assert(soon(&wire, "one"));
    ck_assert(now(&wire, "two"));
    send_queue_submit(queue);
    assert_gets_nothing(peer);
    ck_assert(wire_uncork_soon(&wire));
    send_queue_submit(queue);
    assert_gets(peer, "onetwo");
    wire_cork(&wire);
    ck_assert(wire_uncork_soon(&wire)); /* of nothing */
    send_queue_submit(queue);
    assert_gets_nothing(peer);
    wire_close(&wire);
    close(peer);
}
END_TEST

START_TEST(more_than_the_queue_has_room_for_goes_by_itself)
{
    struct wire wires[SEND_QUEUE_COUNT];
    int peers[SEND_QUEUE_COUNT];
    char block[SEND_QUEUE_WRITE_MAX + 1];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < SEND_QUEUE_COUNT; i++) {
        pair_open(&wires[i], &peers[i]);
        ck_assert(wire_write_soon(&wires[i], block, 1200)); /* together more than its bytes */
    }
    ck_assert(wire_write_soon(&wires[0], block, sizeof block)); /* too long to be copied */
    send_queue_submit(queue);
    for (int i = 0; i < SEND_QUEUE_COUNT; i++) {
        char got[1200];
        ck_assert_int_eq(recv(peers[i], got, sizeof got, MSG_WAITALL), (ssize_t)sizeof got);
        ck_assert_mem_eq(got, block, sizeof got);
        wire_close(&wires[i]);
        close(peers[i]);
    }
}
END_TEST

/* The ring is taken from under the queue: what a kernel without memory would do. */
START_TEST(a_queue_that_the_kernel_refuses_hands_back_what_was_in_it)
{
    if (!queue)
        return;
    struct wire wire;
    int peer;
    pair_open(&wire, &peer);
    ck_assert(soon(&wire, "first"));
    for (int fd = 3; fd < wire.io.fd; fd++) {
        char path[64], what[64] = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, what, sizeof what - 1) > 0 && strstr(what, "io_uring"))
            dup2(peer, fd);
    }
    send_queue_submit(queue);
    ck_assert(!wire_is_clear(&wire));
    ev_run(ev, 0);
    ck_assert(wire_flush(&wire));
    assert_gets(peer, "first");
    ck_assert(soon(&wire, "second")); /* at once, from now on */
    assert_gets(peer, "second");
    wire_close(&wire);
    close(peer);
}
END_TEST

#define STORIES                                                                                    \
    what_is_written_soon_is_there_when_the_queue_was_submitted,                                    \
        what_one_wire_writes_comes_in_its_order, a_close_sends_what_waits,                         \
        what_the_kernel_does_not_take_is_kept_and_follows,                                         \
        a_wire_whose_peer_is_gone_says_so_and_harms_no_other,                                      \
        a_corked_wire_sends_nothing_before_it_is_uncorked,                                         \
        more_than_the_queue_has_room_for_goes_by_itself,                                           \
        a_queue_that_the_kernel_refuses_hands_back_what_was_in_it

int main(void)
{
    const TTest *stories[] = {STORIES};
    struct {
        const char *name;
        void (*begin)(void);
    } ways[] = {{"with a queue", with_queue}, {"without", begin}};
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
