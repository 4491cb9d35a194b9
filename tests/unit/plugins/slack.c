/* The whole plugin, under a host of the test's own and against a web server in a thread. The clock
 * is the test's: it stands while there is something to do, and goes on by a millisecond where there
 * is not (libcurl has a clock of its own, and asks again when it was called too early). */
#include "unit.h"

#include <chatup/loop.h>
#include <chatup/plugin.h>

#include <arpa/inet.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the web server: one connection after the other, answers as told ---- */

#define OK           "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
#define KEEP         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define ANSWER(line) "HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#define SILENCE      "silence"
#define HANG_UP      "hang up"

enum { MOST = 32 };
static struct server {
    int listener, held[MOST];
    pthread_t thread;
    const char *answers[MOST]; /* then OK for ever */
    char *requests[MOST];      /* whole; written before requested says so */
    atomic_int connected, requested;
} server;

static char *read_request(int fd)
{
    char *text = calloc(1, 64 * 1024);
    size_t length = 0;
    for (;;) {
        ssize_t n = read(fd, text + length, 64 * 1024 - 1 - length);
        if (n <= 0) {
            free(text);
            return NULL;
        }
        length += (size_t)n;
        char *body = strstr(text, "\r\n\r\n"), *announced = strstr(text, "Content-Length: ");
        if (body && announced && strlen(body + 4) >= strtoul(announced + 16, NULL, 10))
            return text;
    }
}

static void *serve(void *arg)
{
    int fd, held = 0;
    while ((fd = accept(server.listener, NULL, NULL)) >= 0) {
        bool keep = true;
        server.connected++;
        while (keep) {
            char *request = read_request(fd);
            if (!request)
                break;
            int i = server.requested;
            const char *answer = server.answers[i] ? server.answers[i] : OK;
            server.requests[i] = request;
            server.requested++; /* before the answer: who got it finds the request here */
            keep = !strcmp(answer, KEEP);
            if (!strcmp(answer, SILENCE)) {
                server.held[held++] = dup(fd);
            } else if (strcmp(answer, HANG_UP) != 0) {
                ssize_t n = write(fd, answer, strlen(answer));
                ck_assert_int_eq(n, (ssize_t)strlen(answer));
            }
        }
        close(fd);
    }
    while (held)
        close(server.held[--held]);
    return NULL;
}

static void server_begin(char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(server.listener, 16), 0);
    getsockname(server.listener, (struct sockaddr *)&address, &length);
    snprintf(url, size, "http://127.0.0.1:%d/secret/path", ntohs(address.sin_port));
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void server_end(void)
{
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    for (int i = 0; i < MOST; i++)
        free(server.requests[i]);
}

/* A string of the JSON that was posted by request i; valid until the next call. */
static const char *posted(int i, const char *key)
{
    static char value[1000];
    ck_assert_int_lt(i, server.requested);
    json_t *json = json_loads(strstr(server.requests[i], "\r\n\r\n") + 4, 0, NULL);
    ck_assert_ptr_nonnull(json_object_get(json, key));
    snprintf(value, sizeof value, "%s", json_string_value(json_object_get(json, key)));
    json_decref(json);
    return value;
}

/* ---- a name server that takes its time ---- */

static atomic_int looked_up, names_held;

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **result)
{
    looked_up++;
    while (names_held)
        poll(NULL, 0, 1);
    return EAI_NONAME;
}

/* ---- the loop service ---- */

static struct loop {
    int64_t now;
    uint64_t last_id;
    struct timer {
        uint64_t id; /* 0: free */
        int64_t delay, due;
        chatup_called *call;
        void *arg;
    } timers[MOST];
    struct pollfd fds[MOST]; /* fd -1: free */
    struct {
        chatup_ready *call;
        void *arg;
    } watches[MOST];
    void *shard;
    int holds;
} loop;

static int64_t mono_ms(void)
{
    return loop.now;
}

static uint64_t timer(const struct chatup_loop *unused, int64_t delay, chatup_called *call,
                      void *arg)
{
    struct timer *free_one = loop.timers;
    while (free_one->id)
        free_one++;
    *free_one = (struct timer){++loop.last_id, delay, loop.now + delay, call, arg};
    return loop.last_id;
}

static void end_timer(struct timer *one, int32_t status)
{
    struct timer was = *one;
    one->id = 0;
    was.call(loop.shard, was.arg, status);
}

static void timer_cancel(const struct chatup_loop *unused, uint64_t id)
{
    ck_assert_uint_ne(id, 0);
    for (struct timer *one = loop.timers; one < loop.timers + MOST; one++)
        if (one->id == id)
            end_timer(one, CHATUP_CANCELLED);
}

static void watch(const struct chatup_loop *unused, int32_t fd, uint32_t events, chatup_ready *call,
                  void *arg)
{
    int i = 0, place = -1;
    for (; i < MOST && loop.fds[i].fd != fd; i++)
        if (loop.fds[i].fd < 0 && place < 0)
            place = i;
    if (i == MOST)
        i = place;
    loop.fds[i].fd = events ? fd : -1;
    loop.fds[i].events =
        (short)((events & CHATUP_READ ? POLLIN : 0) | (events & CHATUP_WRITE ? POLLOUT : 0));
    loop.watches[i].call = call;
    loop.watches[i].arg = arg;
}

static void hold(const struct chatup_loop *unused, int32_t more)
{
    loop.holds += more;
    ck_assert_int_ge(loop.holds, 0);
}

static void pump(void)
{
    bool idle = true;
    for (struct timer *one = loop.timers; one < loop.timers + MOST; one++)
        if (one->id && one->due <= loop.now) {
            end_timer(one, CHATUP_DONE);
            idle = false;
        }
    struct pollfd fds[MOST];
    memcpy(fds, loop.fds, sizeof fds);
    if (poll(fds, MOST, idle ? 1 : 0) > 0)
        for (int i = 0; i < MOST; i++) {
            short got = fds[i].fd >= 0 ? fds[i].revents : 0;
            if (!got || loop.fds[i].fd != fds[i].fd) /* another one's call ended this watch */
                continue;
            ck_assert(!(got & POLLNVAL)); /* closed before the watch was ended */
            loop.watches[i].call(loop.shard, loop.watches[i].arg, fds[i].fd,
                                 (got & (POLLIN | POLLHUP | POLLERR) ? CHATUP_READ : 0u) |
                                     (got & (POLLOUT | POLLERR) ? CHATUP_WRITE : 0u));
            idle = false;
        }
    if (idle)
        loop.now++;
}

#define PUMP_UNTIL(condition)                                                                      \
    while (!(condition))                                                                           \
    pump()

static int open_timers(void)
{
    int count = 0;
    for (int i = 0; i < MOST; i++)
        count += loop.timers[i].id != 0;
    return count;
}

static int open_watches(void)
{
    int count = 0;
    for (int i = 0; i < MOST; i++)
        count += loop.fds[i].fd >= 0;
    return count;
}

/* The delay of the one timer there is. */
static int64_t waiting(void)
{
    ck_assert_int_eq(open_timers(), 1);
    for (int i = 0; i < MOST; i++)
        if (loop.timers[i].id)
            return loop.timers[i].delay;
    return -1;
}

/* ---- the host ---- */

enum { SENT, RETRIED, DROPPED, REFUSED };
enum { URL, TRIGGERS, MODE, PRETEXT, USERNAME, QUEUE, ATTEMPTS, TIMEOUT, OPTIONS };

static const struct chatup_plugin *plugin;
static struct chatup_value values[OPTIONS];
static uint64_t counts[4];
static char logged[16 * 1024], reply[1000], refusal[200], url[100];
static uint32_t refused_option;
static void *self;

static void host_log(void *host, int32_t level, const char *text, size_t length)
{
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%.*s\n", (int)length, text);
}

static struct chatup_value host_option(void *host, uint32_t i)
{
    return values[i];
}

static void host_refuse(void *host, uint32_t i, const char *why, size_t length)
{
    refused_option = i;
    snprintf(refusal, sizeof refusal, "%.*s", (int)length, why);
}

static const void *host_service(void *host, const char *name)
{
    static const struct chatup_loop_service service = {
        .size = sizeof service,
        .wall_ms = mono_ms,
        .mono_ms = mono_ms,
        .timer = timer,
        .timer_cancel = timer_cancel,
        .watch = watch,
        .hold = hold,
    };
    ck_assert_str_eq(name, CHATUP_LOOP);
    return &service;
}

static void host_count(void *host, uint32_t i, uint64_t more)
{
    ck_assert_uint_lt(i, plugin->counter_count);
    counts[i] += more;
}

static int32_t host_set_reply(struct chatup_event *event, const char *json, size_t length)
{
    snprintf(reply, sizeof reply, "%.*s", (int)length, json);
    return 0;
}

static const struct chatup_host host = {
    .size = sizeof host,
    .log = host_log,
    .option = host_option,
    .refuse = host_refuse,
    .service = host_service,
    .count = host_count,
    .set_reply = host_set_reply,
};

static struct chatup_value string(const char *text)
{
    return (struct chatup_value){.text = {text, strlen(text)}};
}

static void begin(void)
{
    static struct chatup_value trigger = {.text = {"#help", 5}};
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    server_begin(url, sizeof url);
    plugin = chatup_plugin_v1();
    loop.now = 1000;
    for (int i = 0; i < MOST; i++)
        loop.fds[i].fd = -1;
    values[URL] = string(url);
    values[TRIGGERS] = (struct chatup_value){.items = &trigger, .count = 1};
    values[PRETEXT] = string(plugin->options[PRETEXT].preset);
    values[USERNAME] = string(plugin->options[USERNAME].preset);
    values[QUEUE].number = 10;
    values[ATTEMPTS].number = 5;
    values[TIMEOUT].number = 10 * 1000;
}

static void open_plugin(void)
{
    static const struct chatup_loop its_loop = {.size = sizeof its_loop, .count = 1};
    self = plugin->create(&host);
    ck_assert_msg(self != NULL, "%s", refusal);
    loop.shard = plugin->shard_open(self, &its_loop);
    ck_assert_ptr_nonnull(loop.shard);
}

/* As the host does it: what is open is cancelled before. */
static void close_plugin(void)
{
    for (struct timer *one = loop.timers; one < loop.timers + MOST; one++)
        if (one->id)
            end_timer(one, CHATUP_CANCELLED);
    if (loop.shard)
        plugin->shard_close(loop.shard);
    loop.shard = NULL;
    ck_assert_int_eq(open_timers(), 0);
    ck_assert_int_eq(open_watches(), 0);
    ck_assert_int_eq(loop.holds, 0);
    if (self)
        plugin->destroy(self);
    self = NULL;
    ck_assert_ptr_null(strstr(logged, "secret"));
}

static void end(void)
{
    close_plugin();
    server_end();
}

static int32_t say(const char *text)
{
    struct chatup_event event = {
        .size = sizeof event,
        .room = {"lobby", 5},
        .sub = {"a-1", 3},
        .name = {"Ann", 3},
        .msg = {text, text ? strlen(text) : 0},
    };
    *reply = '\0';
    return plugin->message_in(loop.shard, &event);
}

static void ck_logged(const char *what)
{
    ck_assert_msg(strstr(logged, what) != NULL, "not logged: %s, but:\n%s", what, logged);
}

/* ---- what it does ---- */

START_TEST(a_message_with_a_trigger_is_posted_and_not_published)
{
    open_plugin();
    ck_assert_int_eq(say("<!channel> #HELP \"me\""), CHATUP_CONSUME);
    ck_assert_str_eq(reply, "{\"status\":\"ok\",\"message\":\"messageRedirected\"}");
    PUMP_UNTIL(counts[SENT] == 1);
    ck_assert_int_eq(strncmp(server.requests[0], "POST /secret/path HTTP/1.1\r\n", 28), 0);
    ck_assert_ptr_nonnull(strstr(server.requests[0], "Content-Type: application/json\r\n"));
    ck_assert_str_eq(posted(0, "username"), "Ann");
    ck_assert_str_eq(posted(0, "pretext"), "New message in lobby");
    ck_assert_str_eq(posted(0, "text"), "&lt;!channel&gt; #HELP \"me\"");
    ck_assert_str_eq(posted(0, "fallback"), "&lt;!channel&gt; #HELP \"me\"");
    ck_assert_str_eq(logged, "");
}
END_TEST

START_TEST(other_messages_and_events_pass)
{
    open_plugin();
    ck_assert_int_eq(say("help"), CHATUP_ACCEPT);
    ck_assert_int_eq(say(NULL), CHATUP_ACCEPT);
    ck_assert_int_eq(open_timers(), 0);
    ck_assert_str_eq(reply, "");
}
END_TEST

START_TEST(observed_messages_are_published_too)
{
    values[MODE].number = 1;
    open_plugin();
    ck_assert_int_eq(say("#help"), CHATUP_ACCEPT);
    ck_assert_str_eq(reply, "");
    PUMP_UNTIL(counts[SENT] == 1);
    ck_assert_str_eq(posted(0, "text"), "#help");
}
END_TEST

START_TEST(messages_go_one_by_one_over_one_connection_and_leave_nothing_open)
{
    server.answers[0] = server.answers[1] = server.answers[2] = KEEP;
    open_plugin();
    say("#help 1");
    say("#help 2");
    say("#help 3");
    ck_assert_int_eq(loop.holds, 1); /* a reload waits for them, */
    PUMP_UNTIL(counts[SENT] == 3);
    ck_assert_int_eq(loop.holds, 0);
    ck_assert_str_eq(posted(0, "text"), "#help 1");
    ck_assert_str_eq(posted(1, "text"), "#help 2");
    ck_assert_str_eq(posted(2, "text"), "#help 3");
    ck_assert_int_eq(server.connected, 1);
    ck_assert_int_eq(open_timers(), 0); /* and for nothing else */
    ck_assert_int_eq(open_watches(), 0);
}
END_TEST

START_TEST(a_server_that_fails_is_asked_again_and_order_is_kept)
{
    server.answers[0] = ANSWER("500 Oops");
    open_plugin();
    say("#help 1");
    say("#help 2");
    PUMP_UNTIL(counts[RETRIED] == 1);
    int64_t delay = waiting();
    ck_assert(delay >= 500 && delay <= 1000);
    ck_logged("attempt 1 of 5: it answered 500; ");
    loop.now += delay;
    PUMP_UNTIL(counts[SENT] == 2);
    ck_assert_int_eq(server.requested, 3);
    ck_assert_str_eq(posted(1, "text"), "#help 1");
    ck_assert_str_eq(posted(2, "text"), "#help 2");
}
END_TEST

START_TEST(a_server_that_says_nothing_or_hangs_up_is_asked_again)
{
    server.answers[0] = SILENCE;
    server.answers[1] = HANG_UP;
    open_plugin();
    say("#help");
    PUMP_UNTIL(server.requested == 1);
    loop.now += values[TIMEOUT].number;
    PUMP_UNTIL(counts[RETRIED] == 1);
    ck_logged("attempt 1 of 5: Timeout was reached; ");
    loop.now += waiting();
    PUMP_UNTIL(counts[RETRIED] == 2);
    loop.now += waiting();
    PUMP_UNTIL(counts[SENT] == 1);
    ck_assert_int_eq(server.requested, 3);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_asked_less_and_less_often_and_then_not_again)
{
    char nowhere[100];
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, but nobody listens */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    getsockname(fd, (struct sockaddr *)&address, &length);
    snprintf(nowhere, sizeof nowhere, "http://127.0.0.1:%d/secret", ntohs(address.sin_port));
    values[URL] = string(nowhere);
    values[ATTEMPTS].number = 9;
    open_plugin();
    say("#help");
    for (uint64_t i = 1; i < 9; i++) {
        int64_t most = i < 7 ? 1000 << (i - 1) : 60 * 1000;
        PUMP_UNTIL(counts[RETRIED] == i);
        ck_assert(waiting() >= most / 2 && waiting() <= most);
        loop.now += waiting();
    }
    PUMP_UNTIL(counts[DROPPED] == 1);
    ck_logged("a message did not reach Slack: Couldn't connect to server, 9 times");
    ck_assert_int_eq(open_timers(), 0);
    say("#help"); /* and whoever comes next does not begin at once */
    ck_assert(waiting() >= 30 * 1000 && waiting() <= 60 * 1000);
    close(fd);
}
END_TEST

START_TEST(retry_after_pauses_the_queue)
{
    server.answers[0] = "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nConnection: close\r\n"
                        "Content-Length: 12\r\n\r\nrate_limited";
    open_plugin();
    say("#help 1");
    say("#help 2");
    PUMP_UNTIL(counts[RETRIED] == 1);
    ck_assert_int_eq(waiting(), 7000);
    ck_logged("it answered 429 rate_limited; the next in 7000 ms");
    say("#help 3");
    ck_assert_int_eq(waiting(), 7000);
    plugin->drain(loop.shard); /* nor does the end make it shorter */
    ck_assert_int_eq(waiting(), 7000);
    loop.now += 7000;
    PUMP_UNTIL(counts[SENT] == 3);
    ck_assert_str_eq(posted(1, "text"), "#help 1");
}
END_TEST

START_TEST(retry_after_may_be_a_date_and_has_a_limit)
{
    char answer[200], date[60];
    time_t later = time(NULL) + 3600;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
    snprintf(answer, sizeof answer, ANSWER("429 Slow\r\nRetry-After: %s"), date);
    server.answers[0] = answer;
    server.answers[1] = ANSWER("429 Slow\r\nRetry-After: 99999999999999999999");
    server.answers[2] = ANSWER("429 Slow\r\nRetry-After: Thu, 01 Jan 1990 00:00:00 GMT");
    server.answers[3] = ANSWER("429 Slow");
    open_plugin();
    say("#help");
    PUMP_UNTIL(counts[RETRIED] == 1);
    ck_assert_int_eq(waiting(), 5 * 60 * 1000);
    loop.now += waiting();
    for (uint64_t i = 2; i <= 4; i++) { /* not to be understood, over, absent: a time of our own */
        PUMP_UNTIL(counts[RETRIED] == i);
        ck_assert_int_gt(waiting(), 0);
        ck_assert_int_le(waiting(), 5 * 60 * 1000);
        loop.now += waiting();
    }
    PUMP_UNTIL(counts[SENT] == 1);
}
END_TEST

START_TEST(what_is_refused_for_good_is_dropped_and_the_next_goes_on)
{
    server.answers[0] =
        "HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 10\r\n\r\nno_service";
    server.answers[1] = ANSWER("302 Elsewhere\r\nLocation: /other");
    server.answers[2] =
        "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 9\r\n\r\n#help, no";
    open_plugin();
    say("#help 1");
    say("#help 2");
    say("#help 3");
    say("#help 4");
    PUMP_UNTIL(counts[SENT] == 1);
    ck_assert_uint_eq(counts[DROPPED], 3);
    ck_assert_uint_eq(counts[RETRIED], 0);
    ck_assert_int_eq(server.requested, 4);
    ck_assert_str_eq(logged, "a message did not reach Slack: it answered 404 no_service, 1 times\n"
                             "a message did not reach Slack: it answered 302, 1 times\n"
                             "a message did not reach Slack: it answered 400, 1 times\n");
}
END_TEST

START_TEST(who_finds_the_queue_full_is_told)
{
    values[QUEUE].number = 2;
    open_plugin();
    ck_assert_int_eq(say("#help 1"), CHATUP_CONSUME);
    ck_assert_int_eq(say("#help 2"), CHATUP_CONSUME);
    ck_assert_int_eq(say("#help 3"), CHATUP_REJECT);
    ck_assert_str_eq(reply, "{\"status\":\"error\",\"err\":\"slackBusy\"}");
    ck_assert_uint_eq(counts[REFUSED], 1);
    ck_assert_uint_eq(counts[DROPPED], 0);
    PUMP_UNTIL(counts[SENT] == 2);
    ck_assert_int_eq(say("#help 4"), CHATUP_CONSUME);
}
END_TEST

START_TEST(observed_messages_that_find_the_queue_full_are_counted_and_logged)
{
    values[MODE].number = 1;
    values[QUEUE].number = 1;
    open_plugin();
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(say("#help"), CHATUP_ACCEPT);
    ck_assert_uint_eq(counts[DROPPED], 9);
    ck_assert_str_eq(logged, "1 messages did not reach Slack: 1 are waiting already\n");
    PUMP_UNTIL(counts[SENT] == 1);
    ck_assert_str_eq(logged, "1 messages did not reach Slack: 1 are waiting already\n"
                             "8 messages did not reach Slack: 1 are waiting already\n");
}
END_TEST

START_TEST(a_drain_tries_at_once_and_a_close_drops_what_is_left)
{
    server.answers[0] = server.answers[1] = ANSWER("500 Oops");
    server.answers[3] = SILENCE;
    open_plugin();
    say("#help 1");
    say("#help 2");
    say("#help 3");
    PUMP_UNTIL(counts[RETRIED] == 1);
    loop.now += waiting();
    PUMP_UNTIL(counts[RETRIED] == 2);
    ck_assert_int_ge(waiting(), 1000);
    plugin->drain(loop.shard);
    PUMP_UNTIL(counts[SENT] == 1);
    PUMP_UNTIL(server.requested == 4);
    close_plugin();
    ck_assert_uint_eq(counts[DROPPED], 2);
    ck_logged("2 messages did not reach Slack: the plugin ends\n");
}
END_TEST

START_TEST(a_name_server_that_does_not_answer_stops_nothing)
{
    names_held = 1;
    values[URL] = string("http://held.example/secret");
    open_plugin();
    say("#help");
    PUMP_UNTIL(looked_up == 1);
    loop.now += values[TIMEOUT].number;
    PUMP_UNTIL(counts[RETRIED] == 1); /* given up, while the look-up still waits */
    loop.now += waiting();
    PUMP_UNTIL(looked_up == 2);
    close_plugin(); /* and closed */
    ck_assert_uint_eq(counts[DROPPED], 1);
    names_held = 0;
}
END_TEST

START_TEST(two_generations_live_side_by_side)
{
    open_plugin();
    void *first = self, *first_shard = loop.shard;
    open_plugin();
    say("#help");
    PUMP_UNTIL(counts[SENT] == 1);
    plugin->shard_close(first_shard);
    plugin->destroy(first);
    say("#help");
    PUMP_UNTIL(counts[SENT] == 2);
}
END_TEST

static void ck_refused(uint32_t option, const char *value, const char *why)
{
    struct chatup_value was = values[option];
    values[option] = string(value);
    ck_assert_ptr_null(plugin->create(&host));
    ck_assert_uint_eq(refused_option, option);
    ck_assert_msg(strstr(refusal, why) != NULL, "%s", refusal);
    ck_assert_ptr_null(strstr(refusal, "secret"));
    values[option] = was;
}

START_TEST(wrong_options_are_refused_at_start)
{
    ck_refused(PRETEXT, "{room._name}", "{room.name}");
    ck_refused(USERNAME, "{user.name", "is not closed");
    ck_refused(URL, "ftp://host/secret", "must begin with https://");
    ck_refused(URL, "host/secret", "must begin with https://");
    ck_refused(URL, "https:///secret path", "must begin with https://");
}
END_TEST

UNIT_MAIN_IN("slack", begin, end, a_message_with_a_trigger_is_posted_and_not_published,
             other_messages_and_events_pass, observed_messages_are_published_too,
             messages_go_one_by_one_over_one_connection_and_leave_nothing_open,
             a_server_that_fails_is_asked_again_and_order_is_kept,
             a_server_that_says_nothing_or_hangs_up_is_asked_again,
             a_server_that_is_not_there_is_asked_less_and_less_often_and_then_not_again,
             retry_after_pauses_the_queue, retry_after_may_be_a_date_and_has_a_limit,
             what_is_refused_for_good_is_dropped_and_the_next_goes_on,
             who_finds_the_queue_full_is_told,
             observed_messages_that_find_the_queue_full_are_counted_and_logged,
             a_drain_tries_at_once_and_a_close_drops_what_is_left,
             a_name_server_that_does_not_answer_stops_nothing, two_generations_live_side_by_side,
             wrong_options_are_refused_at_start)
