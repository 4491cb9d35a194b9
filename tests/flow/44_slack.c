/* 44_slack: the plugin against a stand-in for Slack, which answers as Slack may: well, slowly, with
 * 429 and 500, not at all, and by closing. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the stand-in: one connection at a time, one answer each ---- */

enum { REQUESTS_MAX = 64 };

struct slack {
    int fd, port;
    const char *const *answers; /* the last one is repeated. "": nothing; "close": it closes */
    char *bodies[REQUESTS_MAX];
    atomic_int count;
    pthread_t thread;
};

static void read_request(int fd, char *out, size_t size)
{
    size_t length = 0, wanted = 0;
    ssize_t got;
    *out = 0;
    while (length < size - 1 && (got = recv(fd, out + length, size - 1 - length, 0)) > 0) {
        out[length += (size_t)got] = 0;
        const char *body = strstr(out, "\r\n\r\n"), *header = strcasestr(out, "content-length:");
        if (body && header)
            wanted = (size_t)(body + 4 - out) + (size_t)atoi(header + 15);
        if (wanted && length >= wanted)
            return;
    }
}

static void answer_with(int fd, const char *answer)
{
    char text[400];
    int length =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", answer);
    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) < 0)
        shutdown(fd, SHUT_RDWR);
}

static void *slack_run(void *arg)
{
    struct slack *slack = arg;
    int fd, held[REQUESTS_MAX], holds = 0;
    size_t next = 0;
    char *request = malloc(65536);
    while ((fd = accept(slack->fd, NULL, NULL)) >= 0) {
        read_request(fd, request, 65536);
        const char *body = strstr(request, "\r\n\r\n");
        const char *answer = slack->answers[next];
        if (slack->answers[next + 1])
            next++;
        if (slack->count < REQUESTS_MAX)
            slack->bodies[slack->count] = strdup(body ? body + 4 : "");
        slack->count++;
        if (!*answer && holds < REQUESTS_MAX) {
            held[holds++] = fd;
            continue;
        }
        if (strcmp(answer, "close") != 0)
            answer_with(fd, answer);
        close(fd);
    }
    while (holds)
        close(held[--holds]);
    free(request);
    return NULL;
}

static struct slack *slack_start(const char *const *answers)
{
    struct slack *slack = calloc(1, sizeof *slack);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    slack->answers = answers;
    slack->fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(slack->fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(slack->fd, 64), 0);
    getsockname(slack->fd, (struct sockaddr *)&address, &size);
    slack->port = ntohs(address.sin_port);
    pthread_create(&slack->thread, NULL, slack_run, slack);
    return slack;
}

static void slack_stop(struct slack *slack)
{
    shutdown(slack->fd, SHUT_RDWR);
    pthread_join(slack->thread, NULL);
    close(slack->fd);
}

static void slack_wait(struct slack *slack, int count)
{
    for (int64_t deadline = deadline_in(30); slack->count < count;) {
        ck_assert_msg(now_ms() < deadline, "Slack was asked %d times", (int)slack->count);
        pause_ms(5);
    }
}

static struct server *server_with(const struct slack *slack, const char *options)
{
    return server_start(
            .yaml = textf(
                "plugins:\n  - name: slack\n    config:\n      url: http://127.0.0.1:%d/hook\n"
                "      triggers: [\"#help\"]\n      %s\n",
                slack->port, options));
}

static void wait_counted(struct server *server, const char *line)
{
    for (int64_t deadline = deadline_in(30); !strstr(http_get(server, "/metrics")->body, line);) {
        ck_assert_msg(now_ms() < deadline, "not counted: %s", line);
        pause_ms(10);
    }
}

/* ---- stories ---- */

START_TEST(what_has_a_trigger_goes_there_and_nothing_else)
{
    static const char *const answers[] = {"200 OK", NULL};
    struct slack *slack = slack_start(answers);
    struct server *server = server_with(slack, "pretext: \"in {room.name}:\"");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    assert_json(publisher_say(ann, "\"please\" #HELP me", NULL),
                "{\"status\":\"ok\",\"message\":\"messageRedirected\"}");
    publisher_say_ok(ann, "help yourself");
    slack_wait(slack, 1);
    assert_json(json_of(slack->bodies[0]),
                "{\"username\":\"Ann\",\"pretext\":\"in lobby:\",\"text\":\"\\\"please\\\" #HELP "
                "me\",\"fallback\":\"\\\"please\\\" #HELP me\"}");
    reader_wait_message(reader, "lobby", "help yourself");
    assert_json(texts_of(reader_account(reader, "lobby")->messages), "[\"help yourself\"]");
    wait_counted(server, "chatup_plugin_slack_sent 1\n");
    slack_stop(slack);

    slack = slack_start(answers);
    server = server_with(slack, "mode: observe");
    ck_assert_int_eq(publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "#help"), 1);
    slack_wait(slack, 1);
    slack_stop(slack);
}
END_TEST

START_TEST(what_fails_is_tried_again_in_order_and_the_loop_goes_on)
{
    static const char *const answers[] = {"500 Oh", "close",  "429 Slowly\r\nretry-after: 1",
                                          "200 OK", "200 OK", NULL};
    struct slack *slack = slack_start(answers);
    struct server *server = server_with(slack, "timeout: 2s");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say(ann, "#help one", NULL);
    publisher_say(ann, "#help two", NULL);
    for (int64_t deadline = deadline_in(60); slack->count < 5;) { /* everybody is served */
        publisher_say_ok(ann, "x");
        ck_assert(now_ms() < deadline);
        pause_ms(5);
    }
    for (int i = 0; i < 4; i++)
        assert_contains(slack->bodies[i], "#help one");
    assert_contains(slack->bodies[4], "#help two");
    wait_counted(server, "chatup_plugin_slack_sent 2\n");
    wait_counted(server, "chatup_plugin_slack_retried 3\n");
    slack_stop(slack);
}
END_TEST

START_TEST(what_is_given_up_is_told_and_the_queue_has_an_end)
{
    static const char *const silent[] = {"", NULL}, *const refusing[] = {"404 No", NULL};
    struct slack *slack = slack_start(silent);
    struct server *server = server_with(slack, "timeout: 300ms\n      attempts: 1\n      queue: 2");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say(ann, "#help one", NULL);
    publisher_say(ann, "#help two", NULL);
    assert_json(publisher_say(ann, "#help three", NULL),
                "{\"status\":\"error\",\"err\":\"slackBusy\"}");
    wait_counted(server, "chatup_plugin_slack_dropped 2\n");
    wait_counted(server, "chatup_plugin_slack_refused 1\n");
    assert_contains(file_read(server->log), "a message did not reach Slack: Timeout was reached");
    ck_assert_ptr_null(strstr(file_read(server->log), "/hook"));
    slack_stop(slack);

    slack = slack_start(refusing);
    server = server_with(slack, "");
    publisher_say(publisher_enter(server, "Ann", "lobby"), "#help", NULL);
    wait_counted(server, "chatup_plugin_slack_dropped 1\n");
    assert_contains(file_read(server->log), "it answered 404 ok, 1 times");
    slack_stop(slack);
}
END_TEST

START_TEST(wrong_options_are_refused_without_showing_the_secret)
{
    static const struct {
        const char *options, *says;
    } bad[] = {
        {"url: ftp://secret.example\n      triggers: [x]", "must begin with https://"},
        {"url: https://secret.example\n      triggers: []", "triggers: must have 1 to 100 items"},
        {"url: https://secret.example", "triggers: is missing"},
        {"url: https://secret.example\n      triggers: [x]\n      pretext: \"{room.nam}\"",
         "{room.nam} is no field"},
        {"url: https://secret.example\n      triggers: [x]\n      username: \"a {msg\"",
         "{msg is not closed"},
        {"url: https://secret.example\n      triggers: [x]\n      mode: both",
         "mode: must be redirect or observe"},
        {"url: https://secret.example\n      triggers: [[x]]", "triggers[0]: must be a string"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *said = serve_refused(&(struct server_options){
            .yaml = textf("plugins:\n  - name: slack\n    config:\n      %s\n", bad[i].options)});
        assert_contains(said, bad[i].says);
        ck_assert_ptr_null(strstr(said, "secret.example"));
    }
}
END_TEST

FLOW_MAIN("slack", what_has_a_trigger_goes_there_and_nothing_else,
          what_fails_is_tried_again_in_order_and_the_loop_goes_on,
          what_is_given_up_is_told_and_the_queue_has_an_end,
          wrong_options_are_refused_without_showing_the_secret)
