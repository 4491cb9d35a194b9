/* 31_memory: what clients make large may find no memory: then that request or connection fails, and
 * nothing else. The server's malloc refuses more than 64 KiB at a time (failing_malloc.c). */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <stdio.h>
#include <unistd.h>

enum { BIG = 36000, MANY = 10 };

static const char yaml[] =
    "limits:\n  message_bytes: 128KiB\n  body_bytes: 1MiB\nhistory:\n  size: 50\n";

static char *switch_path(void)
{
    return textf("%s/no-memory", flow_dir());
}

static struct server *start(void)
{
    const char *library = getenv("FAILING_MALLOC_LIBRARY");
    ck_assert_msg(library != NULL, "run the flow tests with ctest");
    setenv("FAILING_MALLOC", switch_path(), 1);
    setenv("LD_PRELOAD", library, 1);
    struct server *server = server_start(.threads = 2, .yaml = yaml);
    unsetenv("LD_PRELOAD");
    return server;
}

static void memory_fails(bool fails)
{
    if (fails)
        fclose(fopen(switch_path(), "w"));
    else
        unlink(switch_path());
}

/* Everybody else is served as ever. */
static void expect_well(struct server *server)
{
    struct reader *reader = reader_open(server, "well");
    struct publisher *ann = publisher_enter(server, "Ann", "well");
    reader_wait_offset(reader, "well", publisher_say_ok(ann, "hello"));
    reader_close(reader);
    publisher_close(ann);
    ck_assert(server_is_alive(server));
}

/* Refused, or the connection is closed: not 200. */
static void expect_refused(struct server *server, const char *request)
{
    struct stream *stream = stream_open(server->port, 0);
    stream_send(stream, request, strlen(request));
    struct http_answer *answer = http_receive(stream, false, deadline_in(20));
    ck_assert_msg(!answer || answer->status >= 400, "answered %s", answer ? answer->head : "");
    stream_cut(stream);
}

START_TEST(a_body_without_memory_is_refused_and_nothing_of_it_published)
{
    struct server *server = start();
    char *text = text_repeat("x", 100 * 1000);
    char *small = token_for("[{\"channel\":\"lobby\",\"msg\":\"small\"}]");
    char *big = token_for("[{\"channel\":\"lobby\",\"msg\":\"%s\"}]", text);
    memory_fails(true);
    expect_refused(server, http_text(server, "POST", "/post", NULL, big));
    expect_refused(server, http_text(server, "POST", "/ban", NULL, big));
    expect_refused(server, http_text(server, "POST", "/join/lobby", NULL, big));
    ck_assert_int_eq(http_post(server, "/post", small)->status, 200);
    expect_well(server);
    memory_fails(false);
    ck_assert_int_eq(http_post(server, "/post", big)->status, 200);
    struct reader *reader = reader_open(server, "lobby");
    ck_assert_uint_eq(json_array_size(reader_account(reader, "lobby")->messages), 2);
}
END_TEST

START_TEST(a_message_without_memory_is_unavailable_or_ends_its_connection)
{
    struct server *server = start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    memory_fails(true);
    /* it is read, but in JSON it is six times as long */
    assert_error(publisher_say(ann, text_repeat("<", BIG), NULL), "unavailable");
    ck_assert_int_eq(publisher_say_ok(ann, "again"), 1);
    /* it cannot even be read */
    publisher_send_say(bob, text_repeat("x", 120 * 1000), NULL);
    websocket_expect_close(bob->ws, 1013);
    ck_assert_int_eq(publisher_say_ok(ann, "and again"), 2);
    expect_well(server);
    memory_fails(false);
    ck_assert_int_eq(publisher_say_ok(ann, text_repeat("<", BIG)), 3);
    reader_wait_offset(reader, "lobby", 3);
    account_expect_clean(reader_account(reader, "lobby"));
}
END_TEST

START_TEST(a_history_without_memory_is_unavailable_to_who_asks_and_whole_later)
{
    struct server *server = start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *away = reader_open(server, "lobby");
    reader_cut(away);
    for (int i = 0; i < MANY; i++)
        publisher_say_ok(ann, text_repeat("x", BIG));
    memory_fails(true);
    struct http_answer *answer = http_get(server, "/messages/lobby");
    ck_assert_int_eq(answer->status, 503);
    assert_error(answer->json, "unavailable");
    ck_assert_int_eq(http_post(server, "/join/lobby", "")->status, 503);
    websocket_expect_close(websocket_open(server, "/ws/lobby", 0, NULL), 1013);
    expect_refused(server, http_text(server, "GET", "/lp/lobby", NULL, NULL));
    struct stream *events = stream_open(server->port, 0);
    char *request = http_text(server, "GET", "/ev/lobby", NULL, NULL);
    stream_send(events, request, strlen(request));
    ck_assert(stream_is_closed_by(events, deadline_in(20)));
    expect_well(server);
    memory_fails(false);
    reader_resume(away);
    reader_wait_offset(away, "lobby", MANY);
    account_expect_clean(reader_account(away, "lobby"));
}
END_TEST

START_TEST(readers_who_miss_a_frame_for_want_of_memory_are_closed_and_resume)
{
    struct server *server = start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    memory_fails(true);
    for (int i = 0; i < MANY; i++) /* at once: they make one frame of more than 64 KiB */
        publisher_send_say(ann, text_repeat("x", BIG / 4), NULL);
    for (int i = 0; i < MANY; i++) {
        const json_t *reply = json_object_get(publisher_receive(ann), "reply");
        ck_assert_str_eq(get_string(reply, "status"), "ok");
    }
    while (reader_account(reader, "lobby")->offset < MANY && reader_next(reader))
        ; /* closed somewhere, or lucky */
    memory_fails(false);
    reader_resume(reader);
    reader_wait_offset(reader, "lobby", MANY);
    account_expect_clean(reader_account(reader, "lobby"));
    expect_well(server);
}
END_TEST

FLOW_MAIN("memory", a_body_without_memory_is_refused_and_nothing_of_it_published,
          a_message_without_memory_is_unavailable_or_ends_its_connection,
          a_history_without_memory_is_unavailable_to_who_asks_and_whole_later,
          readers_who_miss_a_frame_for_want_of_memory_are_closed_and_resume)
