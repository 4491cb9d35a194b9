/* 33_original: what the original ChatUp got wrong, as those who used it met it. Only what no other
 * test is about: docs/compatibility.md has the whole list. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <signal.h>

static struct http_answer *post(struct server *server, const char *path, const char *items)
{
    struct http_answer *answer = http_post(server, path, token_for("%s", items));
    ck_assert_msg(answer->status == 200, "%s %s: %s%s", path, items, answer->head, answer->body);
    return answer;
}

/* A request without an id, and with values that are no objects: there, one such frame of a
 * stranger ended the process. */
START_TEST(who_wants_no_answer_does_not_end_the_process)
{
    static const char *const frames[] = {
        "{\"auth\":1}",          "{\"join\":1}",
        "{\"say\":1}",           "{\"say\":{\"msg\":null}}",
        "{\"id\":1,\"auth\":1}", "{\"id\":2,\"join\":{\"room\":{}}}",
        "{\"id\":3,\"say\":1}",
    };
    struct server *server = server_start();
    struct publisher *stranger = publisher_connect(server);
    for (size_t i = 0; i < COUNT_OF(frames); i++) {
        websocket_send(stranger->ws, frames[i]);
        json_t *frame = publisher_receive(stranger);
        ck_assert_msg(frame, "%s ends the connection", frames[i]);
        ck_assert_str_eq(get_string(json_object_get(frame, "reply"), "status"), "error");
    }
    ck_assert(server_is_alive(server));
    publisher_enter(server, "Ann", "lobby");
}
END_TEST

/* There, the event of a ban had no id, so everything else without one was taken for the same. */
START_TEST(after_a_ban_who_comes_and_goes_is_told_as_before)
{
    struct server *server = server_start();
    struct reader *early = reader_open(server, "lobby");
    post(server, "/ban", "[{\"name\":\"mallory\",\"channel\":\"lobby\",\"expire\":60}]");
    struct reader *late = reader_open(server, "lobby");
    struct reader *readers[] = {early, late};
    struct publisher *bob = publisher_enter(server, "Bob", "lobby");
    publisher_close(bob);
    post(server, "/ban", "[{\"name\":\"trudy\",\"channel\":\"lobby\",\"expire\":60}]");
    for (size_t i = 0; i < COUNT_OF(readers); i++) {
        struct account *account = reader_account(readers[i], "lobby");
        const char *join = get_string(reader_wait_event(readers[i], "lobby", "join"), "i");
        const char *leave = get_string(reader_wait_event(readers[i], "lobby", "leave"), "i");
        ck_assert_str_ne(join, leave);
        reader_wait_offset(readers[i], "lobby", 2);
        ck_assert_uint_eq(json_array_size(account->messages), 2);
        json_t *first = json_array_get(account->messages, 0);
        json_t *second = json_array_get(account->messages, 1);
        ck_assert_str_eq(get_string(first, "data"), "mallory");
        ck_assert_str_eq(get_string(second, "data"), "trudy");
        ck_assert_str_ne(get_string(first, "i"), get_string(second, "i"));
        account_expect_clean(account);
    }
}
END_TEST

/* The additional channels of its README: a page reads its room and a channel of its user's own.
 * There, they were announced under another name than they were read by, and anybody could. */
START_TEST(an_additional_channel_brings_what_is_posted_to_it)
{
    struct server *server = server_start(.threads = 2);
    const char *channels = "[\"lobby\",\"user:42\",\"news\"]";
    struct websocket *ws = websocket_open(
        server,
        textf("/ws?channels=%s&token=%s", url_encode(channels),
              token_for("{\"sub\":\"42\",\"_public\":{},\"channels\":[\"user:42\"]}")),
        0, NULL);
    struct reader *reader = reader_create(server, json_of(channels));
    reader->ws = ws;
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(reader_next(reader));
    post(server, "/post",
         "[{\"channel\":\"user:42\",\"ev\":\"notification\",\"data\":{\"mails\":3}},"
         "{\"channel\":\"news\",\"msg\":\"for all\"},{\"channel\":\"lobby\",\"msg\":\"here\"}]");
    reader_wait_message(reader, "news", "for all");
    reader_wait_message(reader, "lobby", "here");
    reader_wait_offset(reader, "user:42", 1);
    json_t *event = json_array_get(reader_account(reader, "user:42")->messages, 0);
    ck_assert_str_eq(get_string(event, "ev"), "notification");
    assert_json(json_object_get(event, "data"), "{\"mails\":3}");
}
END_TEST

/* There, a batch of more than 32 KB was refused by what delivered it, and lost for all who read. */
START_TEST(a_batch_of_any_size_reaches_who_reads)
{
    enum { SAYS = 2000, WINDOW = 50 };
    struct server *server =
        server_start(.threads = 2, .yaml = "rooms:\n  flush_gap: 500ms\nhistory:\n  size: "
                                           "2000\nlimits:\n  queue_bytes: 8MiB\n");
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    const char *text = text_repeat("x", 250);
    for (int sent = 0, answered = 0; answered < SAYS; answered++) {
        for (; sent < SAYS && sent - answered < WINDOW; sent++)
            publisher_send_say(ann, text, NULL);
        ck_assert_int_eq(get_int(json_object_get(publisher_receive(ann), "reply"), "offset"),
                         answered + 1);
    }
    size_t frames = 0;
    struct account *account = reader_account(reader, "lobby");
    for (; account->offset < SAYS; frames++)
        ck_assert_ptr_nonnull(reader_next(reader));
    account_expect_clean(account);
    ck_assert_uint_eq(json_array_size(account->messages), SAYS);
    ck_assert_uint_lt(frames, SAYS / 10); /* they did come in batches */
}
END_TEST

/* There, one address was served by one process, and a proxy is one address. */
START_TEST(clients_of_one_address_are_spread_over_the_loops)
{
    enum { LOOPS = 3, READERS = 60 };
    struct server *server = server_start(.threads = LOOPS);
    for (int i = 0; i < READERS; i++)
        reader_open(server, "lobby");
    json_t *status = server_ask(server, "status\n");
    ck_assert_int_eq(get_int(status, "rooms"), LOOPS); /* on each loop somebody reads it */
}
END_TEST

/* There, `say` and /post counted in different units. */
START_TEST(all_times_are_of_one_kind)
{
    struct server *server = server_start();
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "first");
    post(server, "/post", "[{\"channel\":\"lobby\",\"msg\":\"second\"}]");
    post(server, "/ban", "[{\"name\":\"x\",\"channel\":\"lobby\",\"expire\":60}]");
    publisher_say_ok(ann, "fourth");
    json_t *messages = http_get(server, "/messages/lobby")->json;
    ck_assert_uint_eq(json_array_size(messages), 4);
    double after = json_number_value(json_object_get(json_array_get(messages, 0), "d"));
    for (size_t i = 1; i < 4; i++) { /* newest first */
        const json_t *d = json_object_get(json_array_get(messages, i), "d");
        ck_assert(json_is_real(d));
        ck_assert_double_le(json_real_value(d), after);
        ck_assert_double_gt(json_real_value(d), after - 1000);
        after = json_real_value(d);
    }
}
END_TEST

/* There, each of them answered the same mistake by another status, and without CORS headers. */
START_TEST(the_same_mistake_has_the_same_answer_everywhere)
{
    static const char *const paths[] = {"/post", "/ban", "/unban", "/bans", "/kick", "/remove"};
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    struct server *server = server_start(.yaml = "limits:\n  body_bytes: 4096\n");
    const struct {
        int status;
        const char *body;
    } mistakes[] = {
        {400, ""},
        {400, "no token"},
        {400, token_for("[5]")},
        {400, token_for("[{\"channel\":5}]")},
        {401, token_sign(header, "[]", "another secret, another secret, no")},
        {403, token_user("Ann", NULL)},
        {413, text_repeat("x", 4097)},
    };
    for (size_t i = 0; i < COUNT_OF(mistakes); i++)
        for (size_t j = 0; j < COUNT_OF(paths); j++) {
            struct http_answer *answer = http_post(server, paths[j], mistakes[i].body);
            ck_assert_msg(answer->status == mistakes[i].status, "%zu, %s: %s%s", i, paths[j],
                          answer->head, answer->body);
            ck_assert_str_eq(get_string(answer->json, "status"), "error");
            ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Origin"), "*");
        }
}
END_TEST

/* There, who came back after a crash was not counted any more. */
START_TEST(who_is_there_is_counted_after_a_crash_too)
{
    unsetenv("INVOCATION_ID");
    unsetenv("NOTIFY_SOCKET");
    struct server *server = server_start(.threads = 2, .supervised = true);
    struct reader *reader = reader_open(server, "lobby");
    publisher_enter(server, "Ann", "lobby");
    wait_stats(server, "lobby", 1, 1, 1);
    kill((pid_t)get_int(server_ask(server, "status\n"), "pid"), SIGKILL);
    while (reader_next(reader))
        ;
    reader_cut(reader);
    reader_resume(reader);
    wait_stats(server, "lobby", 1, 0, 0);
    publisher_enter(server, "Ann", "lobby");
    wait_stats(server, "lobby", 1, 1, 1);
}
END_TEST

FLOW_MAIN("original", who_wants_no_answer_does_not_end_the_process,
          after_a_ban_who_comes_and_goes_is_told_as_before,
          an_additional_channel_brings_what_is_posted_to_it, a_batch_of_any_size_reaches_who_reads,
          clients_of_one_address_are_spread_over_the_loops, all_times_are_of_one_kind,
          the_same_mistake_has_the_same_answer_everywhere,
          who_is_there_is_counted_after_a_crash_too)
