/* 53_partition: a worker that cannot reach Redis, and is told so by nobody: its packets just do not
 * come through. A relay stands between the two, which stops passing anything on. */
#include "flood.h"
#include "flow.h"
#include "token.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the relay ---- */

enum { PAIRS_MAX = 64 };

struct relay {
    const struct redis_process *redis;
    int fd, port;
    atomic_bool cut, end;
    pthread_t thread;
    struct {
        int fds[2]; /* of the worker, of Redis */
    } pairs[PAIRS_MAX];
    size_t count;
};

static int redis_connect(const struct redis_process *redis)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", redis->socket);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void relay_accept(struct relay *relay)
{
    int fd = accept4(relay->fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_uint_lt(relay->count, PAIRS_MAX);
    relay->pairs[relay->count].fds[0] = fd;
    relay->pairs[relay->count++].fds[1] = redis_connect(relay->redis);
}

static void relay_pass(struct relay *relay, size_t i, int from)
{
    char bytes[65536];
    int *fds = relay->pairs[i].fds;
    ssize_t got = recv(fds[from], bytes, sizeof bytes, 0);
    for (ssize_t sent = 0, n; got > 0 && sent < got; sent += n)
        if ((n = send(fds[1 - from], bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL)) <= 0)
            got = 0;
    if (got > 0)
        return;
    close(fds[0]);
    close(fds[1]);
    relay->pairs[i] = relay->pairs[--relay->count];
}

static void *relay_run(void *arg)
{
    struct relay *relay = arg;
    while (!relay->end) {
        struct pollfd ready[1 + 2 * PAIRS_MAX] = {{.fd = relay->fd, .events = POLLIN}};
        size_t count = relay->count;
        for (size_t i = 0; i < count; i++)
            for (int k = 0; k < 2; k++)
                ready[1 + 2 * i + (size_t)k] =
                    (struct pollfd){.fd = relay->pairs[i].fds[k], .events = POLLIN};
        if (relay->cut) { /* whoever connects, the system still accepts; nothing else happens */
            pause_ms(5);
            continue;
        }
        poll(ready, 1 + 2 * count, 5);
        for (size_t i = count; i--;) /* from the end: the last takes the place of one that ended */
            for (int k = 0; k < 2; k++)
                if (ready[1 + 2 * i + (size_t)k].revents && i < relay->count) {
                    relay_pass(relay, i, k);
                    break;
                }
        if (ready[0].revents)
            relay_accept(relay);
    }
    return NULL;
}

static struct relay *relay_start(const struct redis_process *redis)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    struct relay *relay = calloc(1, sizeof *relay);
    relay->redis = redis;
    relay->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(relay->fd, (struct sockaddr *)&at, size), 0);
    ck_assert_int_eq(listen(relay->fd, 64), 0);
    ck_assert_int_eq(getsockname(relay->fd, (struct sockaddr *)&at, &size), 0);
    relay->port = ntohs(at.sin_port);
    ck_assert_int_eq(pthread_create(&relay->thread, NULL, relay_run, relay), 0);
    return relay;
}

static void relay_end(struct relay *relay)
{
    relay->end = true;
    pthread_join(relay->thread, NULL);
}

/* ---- the story ---- */

static const char yaml[] = "history:\n"
                           "  size: 100000\n"
                           "  bytes: 0\n"
                           "drain_time: 0s\n"
                           "limits:\n"
                           "  queue_bytes: 256MiB\n"
                           "  store_wait: 1s\n";

static const char *placed(struct server *dispatcher)
{
    struct http_answer *answer = http_post(dispatcher, "/join/lobby", "");
    return answer->status == 200 ? get_string(answer->json, "host") : "";
}

/* Until the dispatcher names that worker again, or names it no more. */
static void wait_named(struct server *dispatcher, const struct server *worker, bool named)
{
    char *host = textf("http://127.0.0.1:%d", worker->port);
    int64_t deadline = deadline_in(30);
    bool found = !named;
    while (found != named) {
        found = false;
        for (int i = 0; i < 6; i++)
            found |= !strcmp(placed(dispatcher), host);
        ck_assert_msg(now_ms() < deadline, "the worker is %s named", named ? "never" : "still");
        pause_ms(20);
    }
}

START_TEST(a_worker_without_redis_keeps_its_readers_and_they_miss_nothing)
{
    struct redis_process *redis = redis_start(NULL);
    struct relay *relay = relay_start(redis);
    struct server *good =
        server_start(.role = "worker", .redis = redis, .threads = 2, .yaml = yaml);
    struct server *lost =
        server_start(.role = "worker", .threads = 2,
                     .yaml = textf("%sredis:\n  host: 127.0.0.1\n  port: %d\n", yaml, relay->port));
    struct server *dispatcher = server_start(.role = "dispatcher", .redis = redis, .yaml = yaml);
    wait_named(dispatcher, lost, true);
    struct reader *reader = reader_open(lost, "lobby"), *other = reader_open(good, "lobby");
    struct publisher *bob = publisher_enter(lost, "Bob", "lobby");
    publisher_say_ok(bob, "before");
    struct flood *flood = flood_start(good, "lobby", "a", false);
    flood->slow = true;
    flood_wait(flood, 100);
    relay->cut = true;
    wait_ready(lost, 503);
    json_t *reply = publisher_say(bob, "lost", "bob-1");
    ck_assert(json_object_get(reply, "offset") == NULL);
    wait_named(dispatcher, lost, false);
    reader_wait_event(other, "lobby", "leave"); /* Bob, as the others see it */
    flood_wait(flood, flood->answered + 500);
    ck_assert(reader_take_arrived(reader)); /* still connected */
    relay->cut = false;
    wait_ready(lost, 200);
    wait_named(dispatcher, lost, true);
    flood_stop(flood);
    reply = publisher_say(bob, "lost", "bob-1"); /* once, wherever the first one went */
    ck_assert_msg(json_object_get(reply, "offset"), "%s", json_text(reply));
    int64_t last = flood->sent + 2;
    struct reader *readers[] = {reader, other};
    for (size_t i = 0; i < 2; i++) {
        struct account *account = reader_account(readers[i], "lobby");
        reader_wait_offset(readers[i], "lobby", last);
        account_expect_clean(account);
        ck_assert_int_eq(account->offset, last);
        ck_assert_uint_eq(account->first_frames, 1);
    }
    wait_stats(dispatcher, "lobby", 2, 1, 1); /* Bob is here again */
    server_stop(lost);
    relay_end(relay);
}
END_TEST

FLOW_MAIN("partition", a_worker_without_redis_keeps_its_readers_and_they_miss_nothing)
