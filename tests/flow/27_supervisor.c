/* 27_supervisor: a worker process that dies is started again, and clients go on as if it had only
 * been slow. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char yaml[] = "history:\n"
                           "  size: 100000\n"
                           "limits:\n"
                           "  queue_bytes: 256MiB\n"
                           "  dedupe_entries: 1000000\n";

static struct server *start(const char *more)
{
    unsetenv("INVOCATION_ID"); /* the tests themselves may run in a service */
    unsetenv("NOTIFY_SOCKET");
    return server_start(.threads = 2, .supervised = true, .yaml = more);
}

/* Of the worker that serves now: not `before`. Asked of the server itself. */
static pid_t worker_pid(struct server *server, pid_t before)
{
    for (int64_t deadline = deadline_in(30);; pause_ms(5)) {
        json_t *status = server_ask(server, "status\n");
        pid_t pid = status ? (pid_t)get_int(status, "pid") : 0;
        if (pid && pid != before)
            return pid;
        ck_assert_msg(now_ms() < deadline, "no worker serves");
    }
}

static void wait_gone(pid_t pid)
{
    for (int64_t deadline = deadline_in(20); kill(pid, 0) == 0; pause_ms(2))
        ck_assert_msg(now_ms() < deadline, "process %d is still there", (int)pid);
    ck_assert_int_eq(errno, ESRCH);
}

static void wait_log(struct server *server, const char *says)
{
    for (int64_t deadline = deadline_in(30);; pause_ms(5)) {
        char *log = file_read(server->log);
        bool said = strstr(log, says) != NULL;
        free(log);
        if (said)
            return;
        ck_assert_msg(now_ms() < deadline, "the log does not say: %s", says);
    }
}

/* ---- kill -9 under load ---- */

enum { ROUNDS = 3, PUBLISHERS = 3, SAYS = 3000, WINDOW = 50 };

struct speaker {
    struct server *server;
    int index, sent, answered;
    _Atomic int done; /* says answered, for who kills */
    int lives;        /* connections that it needed */
    pthread_t thread;
};

/* A client as it should be: what was not answered is said again, with its client id. */
static void *speaker_run(void *arg)
{
    struct speaker *speaker = arg;
    struct publisher *ann = NULL;
    while (speaker->answered < SAYS) {
        if (!ann) {
            ann = publisher_enter(speaker->server, textf("Ann %d", speaker->index), "lobby");
            speaker->sent = speaker->answered;
            speaker->lives++;
        }
        bool open = true;
        while (open && speaker->sent < SAYS && speaker->sent - speaker->answered < WINDOW) {
            char *text = textf("%d-%d", speaker->index, speaker->sent);
            open = publisher_send_say(ann, text, text);
            speaker->sent++;
            free(text);
        }
        json_t *frame = publisher_receive(ann);
        if (!frame) {
            publisher_cut(ann);
            ann = NULL;
            continue;
        }
        json_t *reply = json_object_get(frame, "reply");
        ck_assert_msg(json_object_get(reply, "offset"), "say was answered %s", json_text(reply));
        speaker->done = ++speaker->answered;
    }
    publisher_close(ann);
    return NULL;
}

START_TEST(kill_9_of_the_worker_under_load_loses_nothing)
{
    struct server *server = start(yaml);
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    struct speaker speakers[PUBLISHERS];
    int port = server->port;
    pid_t supervisor = server->pid, worker = worker_pid(server, 0);
    ck_assert_int_ne(worker, supervisor);
    for (int i = 0; i < PUBLISHERS; i++) {
        speakers[i] = (struct speaker){.server = server, .index = i};
        pthread_create(&speakers[i].thread, NULL, speaker_run, &speakers[i]);
    }
    for (int round = 1; round <= ROUNDS; round++) {
        reader_wait_offset(reader, "lobby", round * 1500);
        kill(worker, SIGKILL);
        while (reader_next(reader))
            ;
        worker = worker_pid(server, worker);
        reader_resume(reader);
        ck_assert_uint_eq(account->recovered, (size_t)round);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(speakers[i].thread, NULL);
    reader_wait_offset(reader, "lobby", PUBLISHERS * SAYS);
    account_expect_clean(account);
    ck_assert_uint_eq(json_array_size(account->messages), PUBLISHERS * SAYS); /* none twice */
    ck_assert(server_is_alive(server));
    ck_assert_int_eq(server->pid, supervisor);
    ck_assert_int_eq(get_int(server_ask(server, "status\n"), "port"), port);
}
END_TEST

START_TEST(who_connects_while_there_is_no_worker_waits)
{
    struct server *server = start(NULL);
    pid_t worker = worker_pid(server, 0);
    for (int i = 0; i < 3; i++) {
        kill(worker, SIGKILL);
        wait_gone(worker);
        ck_assert_int_eq(http_get(server, "/stats/lobby")->status, 200);
        worker = worker_pid(server, worker);
    }
}
END_TEST

START_TEST(a_worker_that_dies_again_and_again_is_given_more_and_more_time)
{
    struct server *server = start(NULL);
    pid_t worker = 0;
    char *log = NULL;
    for (int64_t deadline = deadline_in(60); !log || !strstr(log, "again in 4 s");) {
        ck_assert_int_lt(now_ms(), deadline);
        worker = worker_pid(server, worker); /* as soon as there is one */
        kill(worker, SIGKILL);
        wait_log(server, textf("the worker process %d was ended by signal 9", (int)worker));
        free(log);
        log = file_read(server->log);
    }
    const char *first = strstr(log, "again in 0 s"), *second = strstr(log, "again in 1 s");
    ck_assert(first && second && first < second && second < strstr(log, "again in 2 s"));
    worker_pid(server, worker); /* the pause ends */
}
END_TEST

/* ---- the end, and signals ---- */

START_TEST(the_worker_dies_with_its_supervisor)
{
    struct server *server = start(NULL);
    pid_t worker = worker_pid(server, 0);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "kept");
    server_kill(server); /* the one that we started */
    server_restart(server);
    wait_gone(worker);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"kept\"]");
}
END_TEST

static void ends_by(int signal)
{
    struct server *server = start(NULL);
    pid_t worker = worker_pid(server, 0);
    struct reader *reader = reader_open(server, "lobby");
    server_end(server, signal); /* exits with 0 */
    websocket_expect_close(reader->ws, 1001);
    ck_assert_int_eq(kill(worker, 0), -1);
    server_restart(server);
    kill(worker_pid(server, 0), SIGTERM); /* who ends the worker means all of it */
    for (int64_t deadline = deadline_in(20); server_is_alive(server); pause_ms(2))
        ck_assert_int_lt(now_ms(), deadline);
    server_stop(server);
}

START_TEST(sigterm_and_sigint_are_passed_on)
{
    ends_by(SIGTERM);
    ends_by(SIGINT);
}
END_TEST

START_TEST(sighup_is_passed_on)
{
    struct server *server = start("announce: http://one.example\n");
    pid_t worker = worker_pid(server, 0);
    kill(server->pid, SIGHUP);
    wait_log(server, "reloaded");
    ck_assert_int_eq(worker_pid(server, 0), worker);
}
END_TEST

START_TEST(what_cannot_start_is_not_tried_again)
{
    unsetenv("INVOCATION_ID");
    unsetenv("NOTIFY_SOCKET");
    /* The file is right; the worker finds out what is wrong. */
    assert_contains(serve_refused(&(struct server_options){.yaml = "plugins:\n  - name: none\n"}),
                    "plugin none");
    assert_contains(serve_refused(&(struct server_options){
                        .yaml = "plugins:\n  - name: demo\n    config: {}\n"}),
                    "public_routes");
}
END_TEST

START_TEST(a_restart_uses_the_file_as_it_is_and_waits_until_it_is_right)
{
    struct server *server = start("announce: http://one.example\n");
    char *text = file_read(server->config);
    pid_t worker = worker_pid(server, 0);
    FILE *file = fopen(server->config, "w");
    fputs("nonsense: 1\n", file);
    fclose(file);
    kill(worker, SIGKILL);
    wait_log(server, "trying again in");
    char *at = strstr(text, "http://one");
    memcpy(at, "http://two", 10);
    file = fopen(server->config, "w");
    fputs(text, file);
    fclose(file);
    kill(server->pid, SIGHUP); /* no need to wait for long */
    ck_assert_str_eq(get_string(http_post(server, "/join/lobby", "")->json, "host"),
                     "http://two.example");
}
END_TEST

/* ---- systemd ---- */

START_TEST(under_systemd_there_is_no_supervisor_and_it_is_told)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char told[64] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", flow_dir());
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval patience = {.tv_sec = (time_t)(20 * flow_slow())};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    struct server *server = server_start(.supervised = true); /* as far as we are concerned */
    ck_assert_int_gt(recv(fd, told, sizeof told - 1, 0), 0);
    ck_assert_str_eq(told, "READY=1");
    ck_assert_int_eq(worker_pid(server, 0), server->pid);
    server_stop(server);
    memset(told, 0, sizeof told);
    ck_assert_int_gt(recv(fd, told, sizeof told - 1, 0), 0);
    ck_assert_str_eq(told, "STOPPING=1");
    unsetenv("NOTIFY_SOCKET");
    setenv("INVOCATION_ID", "0123456789abcdef0123456789abcdef", 1);
    server_restart(server);
    ck_assert_int_eq(worker_pid(server, 0), server->pid);
}
END_TEST

START_TEST(it_can_be_done_without)
{
    unsetenv("INVOCATION_ID");
    unsetenv("NOTIFY_SOCKET");
    struct server *server = server_start(.yaml = "supervise: false\n", .supervised = true);
    ck_assert_int_eq(worker_pid(server, 0), server->pid);
}
END_TEST

FLOW_MAIN("supervisor", kill_9_of_the_worker_under_load_loses_nothing,
          who_connects_while_there_is_no_worker_waits,
          a_worker_that_dies_again_and_again_is_given_more_and_more_time,
          the_worker_dies_with_its_supervisor, sigterm_and_sigint_are_passed_on,
          sighup_is_passed_on, what_cannot_start_is_not_tried_again,
          a_restart_uses_the_file_as_it_is_and_waits_until_it_is_right,
          under_systemd_there_is_no_supervisor_and_it_is_told, it_can_be_done_without)
