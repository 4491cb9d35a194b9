/* 09_process: commands, exit codes, signals. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <signal.h>
#include <stdio.h>

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

START_TEST(commands_explain_themselves)
{
    struct run run = chatup("version");
    ck_assert_int_eq(run.code, 0);
    assert_contains(run.out, "0.");
    ck_assert_str_eq(chatup("--version").out, run.out);
    static const char *const commands[] = {"serve",  "check",  "reload", "status",
                                           "backup", "keygen", "token"};
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        run = chatup(commands[i], "--help");
        ck_assert_msg(run.code == 0, "%s --help: %d", commands[i], run.code);
        assert_contains(run.out, textf("usage: chatup %s", commands[i]));
        ck_assert_str_eq(run.err, "");
        ck_assert_str_eq(chatup("help", commands[i]).out, run.out);
        run = chatup(commands[i], "--nonsense");
        ck_assert_msg(run.code == 2, "%s --nonsense: %d", commands[i], run.code);
        assert_contains(run.err, "--nonsense");
    }
    run = chatup("--help");
    ck_assert_int_eq(run.code, 0);
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        assert_contains(run.out, commands[i]);
    run = chatup("nonsense");
    ck_assert_int_eq(run.code, 2);
    assert_contains(run.err, "nonsense");
    ck_assert_int_eq(chatup("help", "nonsense").code, 2);
    run = chatup_run((const char *const[]){NULL});
    ck_assert_int_eq(run.code, 2);
}
END_TEST

START_TEST(check_says_whether_a_configuration_is_right)
{
    struct run run = chatup("check", "-c", "conf/chatup.yaml");
    ck_assert_msg(run.code == 0, "%s", run.err);
    assert_contains(run.out, "ok");
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"listen:\n  prot: 80\n", ":2:3: listen.prot: unknown option, did you mean \"port\"?"},
        {"listen:\n  port: 80000\n", ":2:3: listen.port: must be 0 to 65535"},
        {"\nlimits:\n  idle: 5\n", ":3:3: limits.idle: must be a duration"},
        {"durability: maybe\n", ":1:1: durability: must be commit or memory"},
        {"log_level: error\nredis:\n  servers: \"10.0.0.1\"\n",
         ": redis.servers: \"10.0.0.1\" is no address with a port"},
        {"log_level: error\nredis:\n  sentinels: \"10.0.0.1:26379\"\n",
         ": redis.masters: redis.sentinels are there"},
        {"listen: [\n", "bad.yaml"},
        {"jwt:\n  keys:\n    - algorithm: RS256\n      file: ./none.pub\n", "none.pub"},
    };
    char *path = textf("%s/bad.yaml", flow_dir());
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        FILE *file = fopen(path, "w");
        fputs(bad[i].text, file);
        fclose(file);
        run = chatup("check", "-c", path);
        ck_assert_int_eq(run.code, 1);
        assert_contains(run.err, bad[i].says);
        assert_contains(run.err, path);
        ck_assert_uint_eq(lines_of(run.err), 1);
        run = chatup("serve", "-c", path);
        ck_assert_int_eq(run.code, 1);
        assert_contains(run.err, bad[i].says);
    }
    run = chatup("check", "-c", "conf/chatup.yaml", "--set",
                 "origins=https://a.example, https://b.example/ c.example http://d.example:81");
    ck_assert_int_eq(run.code, 0);
    assert_contains(run.err, "origins: \"https://b.example/\" is not written as browsers do");
    assert_contains(run.err, "\"c.example\"");
    ck_assert(!strstr(run.err, "a.example\"") && !strstr(run.err, "d.example"));
    run = chatup("check", "-c", textf("%s/missing.yaml", flow_dir()));
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, "missing.yaml");
    run = chatup("check", "-c", "conf/chatup.yaml", "--set", "threads=many");
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, "threads");
}
END_TEST

START_TEST(keygen_and_token_make_what_the_server_takes)
{
    static const char *const algorithms[] = {"RS256", "ES256", "HS512"};
    char *keys = textf("%s", "");
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        char *out = textf("%s/%s", flow_dir(), algorithms[i]);
        struct run run = chatup("keygen", "--algorithm", algorithms[i], "--out", out);
        ck_assert_msg(run.code == 0, "%s", run.err);
        keys = textf("%s    - algorithm: %s\n      file: \"%s.%s\"\n", keys, algorithms[i], out,
                     algorithms[i][0] == 'H' ? "secret" : "pub");
    }
    struct server *server = server_start(.keys = keys);
    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        char *key = textf("%s/%s.%s", flow_dir(), algorithms[i],
                          algorithms[i][0] == 'H' ? "secret" : "key");
        struct run run =
            chatup("token", "--key", key, "--algorithm", algorithms[i], "--name", "Ann");
        ck_assert_msg(run.code == 0, "%s", run.err);
        run.out[strcspn(run.out, "\n")] = 0;
        struct publisher *ann = publisher_open(server, run.out);
        publisher_join(ann, "lobby");
        publisher_say_ok(ann, algorithms[i]);
        run = chatup("token", "--key", key, "--algorithm", algorithms[i], "--payload",
                     "[{\"channel\":\"lobby\",\"msg\":\"posted\"}]");
        run.out[strcspn(run.out, "\n")] = 0;
        ck_assert_int_eq(http_post(server, "/post", run.out)->status, 200);
    }
    assert_json(texts_of(http_get(server, "/messages/lobby")->json),
                "[\"posted\",\"HS512\",\"posted\",\"ES256\",\"posted\",\"RS256\"]");
}
END_TEST

/* ---- two of them ---- */

START_TEST(a_data_directory_serves_one_at_a_time)
{
    struct server *server = server_start();
    struct run run = chatup("serve", "-c", server->config, "--set", "log_level=error");
    ck_assert_msg(run.code >= 1 && run.code <= 127, "exit code %d", run.code);
    ck_assert_uint_eq(lines_of(run.err), 1);
    assert_contains(run.err, textf("%s/data", server->dir));
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "undisturbed");
    server_stop(server);
    server_restart(server); /* and it is free again, */
    server_kill(server);
    server_restart(server); /* also after a death */
}
END_TEST

START_TEST(a_port_serves_one_at_a_time)
{
    struct server *server = server_start(.threads = 2);
    struct run run = chatup("serve", "-c", server->config, "--set", "log_level=error", "--set",
                            textf("data_dir=%s/other", server->dir), "--set",
                            textf("listen.port=%d", server->port));
    ck_assert_msg(run.code >= 1 && run.code <= 127, "exit code %d", run.code);
    ck_assert_uint_eq(lines_of(run.err), 1);
    assert_contains(run.err, textf("%d", server->port));
    for (int i = 0; i < 10; i++) /* nobody took connections away */
        ck_assert_int_eq(http_get(server, "/stats/lobby")->status, 200);
}
END_TEST

START_TEST(what_cannot_be_served_is_said_in_one_line)
{
    static const struct {
        const char *yaml, *keys, *says;
    } bad[] = {
        {"nonsense: 1\n", NULL, "nonsense"},
        {"history:\n  size: -1\n", NULL, "history.size"},
        {"limits:\n  message_bytes: 1\n", NULL, "limits.message_bytes"},
        {NULL, "    - algorithm: RS256\n      file: ./none.pub\n", "none.pub"},
        {NULL, "    - algorithm: RS256\n      file: ./chatup.yaml\n", "chatup.yaml"},
        {NULL, "    - algorithm: none\n      secret: x\n", "algorithm"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_contains(
            serve_refused(&(struct server_options){.yaml = bad[i].yaml, .keys = bad[i].keys}),
            bad[i].says);
}
END_TEST

/* ---- the end ---- */

static void ends_with_clients(int signal)
{
    struct server *server = server_start(.threads = 2);
    struct reader *reader = reader_open(server, "lobby");
    struct websocket *no_frame_yet = websocket_open(server, "/ws", 0, NULL);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *no_token_yet = publisher_connect(server);
    publisher_say_ok(ann, "last words");
    reader_wait_message(reader, "lobby", "last words");
    struct stream *half = stream_open(server->port, 0), *keep_alive = stream_open(server->port, 0);
    stream_send(half, "POST /post HTTP/1.1\r\nContent-Le", 31);
    char *request = http_text(server, "GET", "/stats/lobby", NULL, NULL);
    stream_send(keep_alive, request, strlen(request));
    ck_assert_ptr_nonnull(http_receive(keep_alive, false, deadline_in(10)));

    int64_t started = now_ms(), deadline = deadline_in(5);
    server_end(server, signal);
    ck_assert_msg(now_ms() < deadline, "it took %d ms", (int)(now_ms() - started));
    websocket_expect_close(reader->ws, 1001);
    websocket_expect_close(no_frame_yet, 1001);
    websocket_expect_close(ann->ws, 1001);
    websocket_expect_close(no_token_yet->ws, 1001);
    ck_assert(stream_is_closed_by(half, deadline_in(5)));
    ck_assert(stream_is_closed_by(keep_alive, deadline_in(5)));
    server_restart(server);
    assert_json(texts_of(http_get(server, "/messages/lobby")->json), "[\"last words\"]");
}

START_TEST(sigterm_ends_it_with_good_bye)
{
    ends_with_clients(SIGTERM);
}
END_TEST

START_TEST(sigint_ends_it_with_good_bye)
{
    ends_with_clients(SIGINT);
}
END_TEST

START_TEST(a_client_that_does_not_read_does_not_keep_it)
{
    struct server *server = server_start();
    reader_open_stalled(server, "lobby", 4096);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *big = text_repeat("x", 30000);
    wait_stats(server, "lobby", 1, 1, 1);
    for (int i = 0; i < 200; i++)
        publisher_say_ok(ann, big);
    server_stop(server);
    server_restart(server);
    server_stop(server); /* with nobody */
}
END_TEST

FLOW_MAIN("process", commands_explain_themselves, check_says_whether_a_configuration_is_right,
          keygen_and_token_make_what_the_server_takes, a_data_directory_serves_one_at_a_time,
          a_port_serves_one_at_a_time, what_cannot_be_served_is_said_in_one_line,
          sigterm_ends_it_with_good_bye, sigint_ends_it_with_good_bye,
          a_client_that_does_not_read_does_not_keep_it)
