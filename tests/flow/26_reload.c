/* 26_reload: a server goes over to another configuration while it serves. Nobody is dropped, and
 * what is wrong changes nothing. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OTHER_SECRET "another secret of the flow tests, 012345678901234"
#define OTHER_KEY    "    - algorithm: HS256\n      secret: \"" OTHER_SECRET "\"\n"

/* ---- its file, and the command ---- */

static void config_put(struct server *server, const char *text)
{
    FILE *file = fopen(server->config, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

/* text with the first `what` in it replaced. */
static char *with(const char *text, const char *what, const char *by)
{
    const char *at = strstr(text, what);
    ck_assert_msg(at != NULL, "%s is not in:\n%s", what, text);
    return textf("%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
}

static void reload(struct server *server, const char *text)
{
    config_put(server, text);
    struct run run = chatup("reload", "-c", server->config);
    ck_assert_msg(run.code == 0, "%s", run.err);
    ck_assert_str_eq(run.out, "reloaded\n");
}

static void reload_refused(struct server *server, const char *text, const char *says)
{
    config_put(server, text);
    struct run run = chatup("reload", "-c", server->config);
    ck_assert_msg(run.code == 1, "it went well:\n%s", text);
    assert_contains(run.err, says);
    ck_assert_str_eq(run.out, "");
}

static json_t *status(struct server *server)
{
    json_t *now = server_ask(server, "status\n");
    ck_assert(json_is_true(json_object_get(now, "ok")));
    return now;
}

static const char *announced(struct server *server)
{
    return get_string(http_post(server, "/join/lobby", "")->json, "host");
}

/* ---- nobody is dropped ---- */

enum { ROOMS = 5, READERS_EACH = 10, RELOADS = 20, WINDOW = 50, SAYS_MAX = 20000 };

struct flood {
    struct server *server;
    char *room;
    _Atomic int answered;
    int sent;
    atomic_bool *stop;
    pthread_t thread;
};

static void *flood_run(void *arg)
{
    struct flood *flood = arg;
    struct publisher *ann = publisher_enter(flood->server, "Ann", flood->room);
    while (flood->sent > flood->answered || !*flood->stop) {
        while (!*flood->stop && flood->sent < SAYS_MAX && flood->sent - flood->answered < WINDOW) {
            char *text = textf("%d", flood->sent++);
            ck_assert_int_ne(publisher_send_say(ann, text, text), 0);
            free(text);
        }
        if (flood->sent == flood->answered)
            break;
        json_t *frame = publisher_receive(ann);
        ck_assert_msg(frame != NULL, "the publisher was dropped");
        json_t *reply = json_object_get(frame, "reply");
        ck_assert_msg(json_object_get(reply, "offset"), "say was answered %s", json_text(reply));
        flood->answered++;
    }
    publisher_close(ann);
    return NULL;
}

START_TEST(reloads_drop_nobody_and_lose_nothing)
{
    struct server *server = server_start(.threads = 2, .yaml = "history:\n"
                                                               "  size: 100000\n"
                                                               "rooms:\n"
                                                               "  flush_gap: 20ms\n"
                                                               "limits:\n"
                                                               "  queue_bytes: 256MiB\n"
                                                               "  stall: 1d\n");
    char *text = file_read(server->config);
    struct reader *readers[ROOMS][READERS_EACH];
    struct flood floods[ROOMS];
    atomic_bool stop = false;
    for (int i = 0; i < ROOMS; i++) {
        floods[i] = (struct flood){.server = server, .room = textf("room-%d", i), .stop = &stop};
        for (int k = 0; k < READERS_EACH; k++)
            readers[i][k] = reader_open(server, floods[i].room);
        pthread_create(&floods[i].thread, NULL, flood_run, &floods[i]);
    }
    for (int i = 0; i < RELOADS; i++) {
        int before = floods[0].answered; /* they run while we reload */
        config_put(server, with(with(text, "20ms", textf("%dms", i * 7 % 30)), "256MiB",
                                textf("%dMiB", 256 + i)));
        assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
        for (int64_t deadline = deadline_in(20);
             floods[0].answered == before && before < SAYS_MAX && now_ms() < deadline;)
            pause_ms(1);
    }
    stop = true;
    for (int i = 0; i < ROOMS; i++)
        pthread_join(floods[i].thread, NULL);
    for (int i = 0; i < ROOMS; i++) {
        ck_assert_int_gt(floods[i].sent, 0);
        for (int k = 0; k < READERS_EACH; k++) {
            struct account *account = reader_account(readers[i][k], floods[i].room);
            reader_wait_offset(readers[i][k], floods[i].room, floods[i].sent);
            account_expect_clean(account);
            ck_assert_uint_eq(account->first_frames, 1);
            ck_assert_uint_eq(json_array_size(account->messages), (size_t)floods[i].sent);
        }
    }
    ck_assert_int_eq(get_int(status(server), "reloads"), RELOADS);
}
END_TEST

START_TEST(memory_stays_where_it_is)
{
    enum { WARM = 60, COUNTED = 200, GROWTH_KIB = 2048 };
    struct server *server = server_start(.threads = 2, .keys = OTHER_KEY);
    uint64_t before = 0;
    for (int i = 0; i < WARM + COUNTED; i++) {
        if (i == WARM)
            before = server_rss_kib(server);
        struct run run = chatup("reload", "-c", server->config);
        ck_assert_msg(run.code == 0, "%s", run.err);
    }
    uint64_t after = server_rss_kib(server);
    if (flow_slow() == 1) /* sanitizers keep what was freed; they look for leaks themselves */
        ck_assert_msg(after < before + GROWTH_KIB, "%d KiB became %d", (int)before, (int)after);
    ck_assert_int_eq(get_int(status(server), "reloads"), WARM + COUNTED);
}
END_TEST

/* ---- what changes ---- */

START_TEST(keys_come_and_go)
{
    struct server *server = server_start(.threads = 2);
    char *text = file_read(server->config);
    char *other = token_sign("{\"alg\":\"HS256\"}",
                             "{\"sub\":\"b\",\"_public\":{\"name\":\"Bea\"}}", OTHER_SECRET);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    assert_error(publisher_ask(publisher_connect(server), "auth", json_string(other)), "Wrong JWT");

    char *both = with(text, "  keys:\n", "  keys:\n" OTHER_KEY);
    reload(server, both);
    struct publisher *bea = publisher_open(server, other);
    publisher_join(bea, "lobby");
    publisher_say_ok(bea, "I am new");
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "I am not");

    reload(server, with(both, TOKEN_SECRET, "none that anybody has, 0123456789abcdefghij"));
    for (int i = 0; i < 4; i++) /* on every loop */
        assert_error(
            publisher_ask(publisher_connect(server), "auth", json_string(token_user("Ann", NULL))),
            "Wrong JWT");
    char *post = token_for("[{\"channel\":\"lobby\",\"msg\":\"x\"}]");
    ck_assert_int_ne(http_post(server, "/post", post)->status, 200);
    publisher_say_ok(ann, "I was here before");
    publisher_say_ok(bea, "so was I");
}
END_TEST

START_TEST(who_came_with_a_key_that_is_gone_stays_until_the_token_ends)
{
    struct server *server = server_start(.threads = 2);
    char *text = file_read(server->config);
    long long end = (long long)time(NULL) + 8;
    char *token = token_for("{\"sub\":\"a\",\"_public\":{\"name\":\"Ann\"},\"exp\":%lld}", end);
    struct publisher *ann = publisher_open(server, token);
    publisher_join(ann, "lobby");
    reload(server, with(text, TOKEN_SECRET, "none that anybody has, 0123456789abcdefghij"));
    publisher_say_ok(ann, "I was here before");
    websocket_expect_close(ann->ws, 1008);
    ck_assert_str_eq(ann->ws->close_reason, "token expired");
    ck_assert_int_ge((long long)time(NULL), end);
}
END_TEST

START_TEST(limits_origins_history_and_log_change)
{
    struct server *server = server_start(.threads = 2, .yaml = "announce: http://one.example\n"
                                                               "origins: https://one.example\n"
                                                               "log_format: text\n"
                                                               "history:\n  size: 50\n"
                                                               "limits:\n  message_bytes: 1000\n");
    char *text = file_read(server->config), *long_text = text_repeat("x", 500);
    static const char origin[] = "Origin: https://two.example\r\n";
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < 20; i++)
        publisher_say_ok(ann, long_text);
    ck_assert_str_eq(announced(server), "http://one.example");

    text = with(text, "http://one", "http://two");
    text = with(text, "https://one", "https://two");
    text = with(text, "size: 50", "size: 3");
    text = with(text, "message_bytes: 1000", "message_bytes: 100");
    text = with(text, "log_format: text", "log_format: json");
    reload(server, text);
    ck_assert_str_eq(announced(server), "http://two.example");
    struct http_answer *answer = http_call(server, "GET", "/stats/lobby", origin, NULL);
    ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Origin"), "https://two.example");
    assert_error(publisher_say(ann, long_text, NULL), "messageTooLong");
    for (int i = 0; i < 4; i++)
        publisher_say_ok(ann, textf("%d", i));
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"3\",\"2\",\"1\"]");
    char *log = file_read(server->log), *line = strstr(log, "\"msg\":\"reloaded");
    ck_assert_msg(line != NULL, "no line of JSON in the log:\n%s", log);
    while (line > log && line[-1] != '\n')
        line--;
    line[strcspn(line, "\n")] = 0;
    json_t *json = json_of(line);
    ck_assert_str_eq(get_string(json, "level"), "info");
    ck_assert_str_eq(get_string(json, "loop"), "control");

    server_kill(server); /* the store keeps as little */
    server_restart(server);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"3\",\"2\",\"1\"]");
}
END_TEST

START_TEST(channel_rules_change)
{
    struct server *server = server_start(.threads = 2, .yaml = "channels: []\n");
    char *text = file_read(server->config);
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "one");
    for (int i = 0; i < 10; i++) { /* whatever is freed and made meanwhile */
        reload(server, text);
        reload(server, with(text, "channels: []",
                            "channels:\n"
                            "  - pattern: lobby\n"
                            "    read: anyone\n"
                            "    history: nobody\n"
                            "    join: token\n"
                            "    say: nobody\n"));
        assert_error(publisher_say(ann, "two", NULL), "forbidden");
        ck_assert_int_eq(http_get(server, "/messages/lobby")->status, 403);
        reload(server, text);
        publisher_say_ok(ann, "three");
        ck_assert_int_eq(http_get(server, "/messages/lobby")->status, 200);
    }
    reader_wait_offset(reader, "lobby", 11); /* whom it does not concern goes on */
    account_expect_clean(reader_account(reader, "lobby"));
    struct reader *other = reader_open(server, "hall");
    reload(server, with(text, "channels: []",
                        "channels:\n"
                        "  - pattern: lobby\n"
                        "    read: token\n"));
    websocket_expect_close(reader->ws, 1008);
    ck_assert_str_eq(reader->ws->close_reason, "forbidden");
    publisher_say_ok(publisher_enter(server, "Bob", "hall"), "four");
    reader_wait_offset(other, "hall", 1);
}
END_TEST

/* A room that needs a token from now on is one that a ban keeps out of. */
START_TEST(who_is_banned_reads_no_more_where_a_token_is_needed_now)
{
    struct server *server = server_start(.threads = 2, .yaml = "channels: []\n");
    char *text = file_read(server->config);
    char *ban = token_for("[{\"sub\":\"u-66\",\"channel\":\"lobby\"}]");
    ck_assert_int_eq(http_post(server, "/ban", ban)->status, 200);
    struct reader *mallory =
        reader_open_path(server, textf("/ws/lobby?token=%s", token_user("Mallory", "u-66")), 1);
    struct reader *ann =
        reader_open_path(server, textf("/ws/lobby?token=%s", token_user("Ann", "u-1")), 1);
    reload(server, with(text, "channels: []", "channels: [{pattern: lobby, read: token}]"));
    websocket_expect_close(mallory->ws, 1008);
    ck_assert_str_eq(mallory->ws->close_reason, "banned");
    publisher_say_ok(publisher_enter(server, "Bob", "lobby"), "x");
    reader_wait_message(ann, "lobby", "x");
}
END_TEST

START_TEST(sighup_reloads_too)
{
    struct server *server = server_start(.threads = 2, .yaml = "announce: http://one.example\n");
    char *text = file_read(server->config);
    config_put(server, with(text, "http://one", "http://two"));
    ck_assert_str_eq(announced(server), "http://one.example");
    kill(server->pid, SIGHUP);
    for (int64_t deadline = deadline_in(20); get_int(status(server), "reloads") < 1; pause_ms(5))
        ck_assert_int_lt(now_ms(), deadline);
    ck_assert_str_eq(announced(server), "http://two.example");

    config_put(server, "nonsense: 1\n");
    kill(server->pid, SIGHUP);
    for (int64_t deadline = deadline_in(20); get_int(status(server), "reloads_refused") < 1;
         pause_ms(5))
        ck_assert_int_lt(now_ms(), deadline);
    assert_contains(file_read(server->log), ":1:1: nonsense: unknown option");
    ck_assert_str_eq(announced(server), "http://two.example");
}
END_TEST

/* ---- what does not ---- */

START_TEST(a_wrong_file_changes_nothing)
{
    struct server *server = server_start(.yaml = "announce: http://one.example\n");
    char *text = file_read(server->config), *next = with(text, "http://one", "http://two");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    const struct {
        const char *text, *says;
    } bad[] = {
        {with(next, "threads: 1", "threads: 1\nhistory:\n  sise: 5"), "did you mean \"size\"?"},
        {with(next, "threads: 1", "threads: 1\nhistory:\n  size: -5"), "must be 0 to 100000"},
        {with(next, "      secret: \"" TOKEN_SECRET "\"", "      file: ./none.pub"), "none.pub"},
        {with(next, "algorithm: HS256", "algorithm: RS256"), "chatup.yaml: jwt.keys[0].secret: "},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        config_put(server, bad[i].text); /* the command would stumble over it itself */
        json_t *answer = server_ask(server, "reload\n");
        ck_assert(json_is_false(json_object_get(answer, "ok")));
        assert_contains(get_string(answer, "err"), bad[i].says);
        assert_contains(get_string(json_object_get(status(server), "last_reload"), "err"),
                        bad[i].says);
        config_put(server, text);
        ck_assert_str_eq(announced(server), "http://one.example");
        publisher_say_ok(ann, "undisturbed");
        publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "so are the keys");
    }
    unlink(server->config);
    struct run run = chatup("reload", "-c", server->config);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, server->config);
    reload(server, next);
    ck_assert_str_eq(announced(server), "http://two.example");
}
END_TEST

START_TEST(what_only_a_restart_can_change_is_named)
{
    struct server *server = server_start(.yaml = "announce: http://one.example\n");
    char *text = file_read(server->config), *next = with(text, "http://one", "http://two");
    const struct {
        const char *what, *by, *says;
    } fixed[] = {
        {"address: 127.0.0.1", "address: 127.0.0.2",
         ":2:3: listen.address: cannot change while the server "
         "runs: restart it"},
        {"threads: 1", "threads: 2", ":4:1: threads: cannot change"},
        {"threads: 1", "threads: 1\ndurability: memory", ":5:1: durability: cannot change"},
        {"threads: 1", "threads: 1\nsupervise: no", ":5:1: supervise: cannot change"},
        {"threads: 1",
         "threads: 1\nplugins:\n  - name: demo\n    public_routes: true\n    config: {}",
         ":6:5: plugins[0].config.key_file: is missing, the plugin needs it"},
    };
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        reload_refused(server, with(next, fixed[i].what, fixed[i].by),
                       textf("%s%s", server->config, fixed[i].says));
        ck_assert_str_eq(announced(server), "http://one.example"); /* nothing of it */
    }
    /* The command looks for the server where the new file says it is. */
    char *moved = with(next, "/data\"", "/moved\"");
    reload_refused(server, moved, "--set the old one");
    struct run run =
        chatup("reload", "-c", server->config, "--set", textf("data_dir=%s/data", server->dir));
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, ": data_dir: cannot change");
    json_t *now = status(server);
    ck_assert_int_eq(get_int(now, "reloads"), 0);
    ck_assert_int_eq(get_int(now, "reloads_refused"), COUNT_OF(fixed) + 1);
    reload(server, next);
    ck_assert_str_eq(announced(server), "http://two.example");
}
END_TEST

/* ---- the control socket ---- */

static char *socket_path(struct server *server)
{
    return textf("%s/data/chatup.sock", server->dir);
}

START_TEST(the_control_socket_is_its_users_alone)
{
    struct server *server = server_start();
    struct stat what;
    ck_assert_int_eq(stat(socket_path(server), &what), 0);
    ck_assert_int_eq(what.st_mode & 0777, 0600);
    server_kill(server); /* it leaves its socket */
    ck_assert_int_eq(stat(socket_path(server), &what), 0);
    struct run run = chatup("status", "-c", server->config);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, "no server is running");
    server_restart(server);
    ck_assert_int_eq(get_int(status(server), "pid"), server->pid);
    run = chatup("status", "-c", server->config);
    ck_assert_int_eq(run.code, 0);
    ck_assert_int_eq(get_int(json_of(run.out), "port"), server->port);
    server_stop(server); /* it leaves nothing */
    ck_assert_int_ne(stat(socket_path(server), &what), 0);
    run = chatup("reload", "-c", server->config);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, "no server is running");
}
END_TEST

START_TEST(a_socket_that_answers_is_not_replaced)
{
    struct server *server = server_start();
    char *control = textf("control: %s\n", socket_path(server));
    struct server *second = server_start(.yaml = control);
    assert_contains(file_read(second->log), "another process answers on");
    ck_assert_int_eq(get_int(status(server), "pid"), server->pid);
    server_stop(second);
    ck_assert_int_eq(get_int(status(server), "pid"), server->pid);
}
END_TEST

START_TEST(the_control_socket_takes_no_nonsense)
{
    struct server *server = server_start();
    static const char *const requests[] = {"explode\n", "\n",         "reload now\n",
                                           "backup\n",  "backup \n",  " reload\n",
                                           "RELOAD\n",  "reload\r\n", "\xff\xfe\x01\n"};
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        int fd = control_open(server);
        ck_assert_int_gt(send(fd, requests[i], strlen(requests[i]), 0), 0);
        json_t *answer = json_of(control_read(fd));
        ck_assert(json_is_false(json_object_get(answer, "ok")));
        get_string(answer, "err");
    }
    int fd = control_open(server);
    char *endless = text_repeat("x", 5000);
    send(fd, endless, strlen(endless), MSG_NOSIGNAL);
    char rest[64];
    ck_assert_int_le(recv(fd, rest, sizeof rest, 0), 0);
    close(fd);
    fd = control_open(server);
    send(fd, "reload\n", 7, MSG_NOSIGNAL);
    close(fd); /* it does not wait for the answer */
    ck_assert_int_eq(get_int(status(server), "pid"), server->pid);
}
END_TEST

START_TEST(many_may_ask_for_a_reload_at_once)
{
    enum { MANY = 20 };
    struct server *server = server_start(.threads = 2);
    int fds[MANY];
    for (int i = 0; i < MANY; i++)
        fds[i] = control_open(server);
    for (int i = 0; i < MANY; i++)
        send(fds[i], "reload\n", 7, MSG_NOSIGNAL);
    for (int i = 0; i < 5; i++)
        kill(server->pid, SIGHUP);
    for (int i = 0; i < MANY; i++)
        assert_json(json_of(control_read(fds[i])), "{\"ok\":true}");
    int end = control_open(server);
    send(end, "reload\n", 7, MSG_NOSIGNAL);
    server_stop(server); /* with one on its way, perhaps */
    close(end);
}
END_TEST

FLOW_MAIN("reload", reloads_drop_nobody_and_lose_nothing, memory_stays_where_it_is,
          keys_come_and_go, who_came_with_a_key_that_is_gone_stays_until_the_token_ends,
          channel_rules_change, limits_origins_history_and_log_change, sighup_reloads_too,
          a_wrong_file_changes_nothing, what_only_a_restart_can_change_is_named,
          the_control_socket_is_its_users_alone, a_socket_that_answers_is_not_replaced,
          the_control_socket_takes_no_nonsense, many_may_ask_for_a_reload_at_once,
          who_is_banned_reads_no_more_where_a_token_is_needed_now)
