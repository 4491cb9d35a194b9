/* 22_access: who may read and list what, over HTTP, by the rules of the YAML and by claims. */
#include "client.h"
#include "flow.h"
#include "token.h"

/* A token of a user with that sub; claims: further ones, with a comma in front, or "". */
static char *token_with(const char *sub, const char *claims)
{
    return token_for("{\"sub\":\"%s\",\"_public\":{\"name\":\"Ann\"}%s}", sub, claims);
}

static void post(struct server *server, const char *channel, const char *text)
{
    char *token = token_for("[{\"channel\":\"%s\",\"msg\":\"%s\"}]", channel, text);
    ck_assert_int_eq(http_post(server, "/post", token)->status, 200);
}

/*   token  NULL: a guest */
static struct http_answer *call_as(struct server *server, const char *token, const char *method,
                                   const char *target)
{
    return http_call(server, method, target,
                     token ? textf("Authorization: Bearer %s\r\n", token) : NULL, NULL);
}

static void assert_messages(struct server *server, const char *token, const char *target,
                            const char *texts)
{
    struct http_answer *answer = call_as(server, token, "GET", target);
    ck_assert_msg(answer->status == 200, "%s%s", answer->head, answer->body);
    assert_json(texts_of(answer->json), texts);
}

static void assert_forbidden(struct server *server, const char *token, const char *method,
                             const char *target)
{
    struct http_answer *answer = call_as(server, token, method, target);
    ck_assert_msg(answer->status == 403, "%s %s: %s%s", method, target, answer->head, answer->body);
    assert_error(answer->json, token ? "forbidden" : "unauthorized");
}

START_TEST(a_notification_for_one_user_is_read_by_that_user_alone)
{
    struct server *server = server_start(.threads = 2);
    char *ann = token_with("42", ",\"channels\":{\"user:42\":[\"read\",\"history\"]}");
    char *bob = token_with("43", ",\"channels\":{\"user:43\":[\"read\",\"history\"]}");
    post(server, "user:42", "you have won");
    post(server, "news", "somebody has won");
    assert_messages(server, ann, "/messages/user:42", "[\"you have won\"]");
    assert_forbidden(server, bob, "GET", "/messages/user:42");
    assert_forbidden(server, NULL, "GET", "/messages/user:42");
    assert_forbidden(server, ann, "GET", "/stats/user:42");
    assert_messages(server, NULL, "/messages/news", "[\"somebody has won\"]");
    assert_messages(server, bob, "/messages/news", "[\"somebody has won\"]");

    struct http_answer *join = call_as(server, ann, "POST", "/join/user:42");
    ck_assert_int_eq(join->status, 200);
    assert_json(texts_of(get_array(join->json, "messages")), "[\"you have won\"]");
    assert_forbidden(server, bob, "POST", "/join/user:42");
    assert_forbidden(server, NULL, "POST", "/join/user:42");
}
END_TEST

START_TEST(a_forbidden_room_looks_the_same_whether_it_exists_or_not)
{
    static const struct {
        const char *method, *path;
    } ways[] = {{"GET", "/messages"}, {"GET", "/stats"}, {"POST", "/join"}};
    struct server *server = server_start();
    char *bob = token_with("43", ""), *tokens[] = {NULL, bob};
    post(server, "private:here", "x");
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        for (size_t j = 0; j < COUNT_OF(tokens); j++) {
            struct http_answer *here =
                call_as(server, tokens[j], ways[i].method, textf("%s/private:here", ways[i].path));
            struct http_answer *nowhere =
                call_as(server, tokens[j], ways[i].method, textf("%s/private:away", ways[i].path));
            ck_assert_str_eq(here->body, nowhere->body);
            ck_assert_int_eq(here->status, 403);
            ck_assert_int_eq(nowhere->status, here->status);
            ck_assert_uint_eq(strlen(here->head), strlen(nowhere->head));
        }
    }
}
END_TEST

/* Ways to write a name that must all end at the same rule. */
START_TEST(no_spelling_of_a_private_name_gets_around_its_rule)
{
    static const char *const targets[] = {
        "/messages/user:42",         "/messages/user%3A42",         "/messages/%75ser:42",
        "/messages?channel=user:42", "/messages?channel=user%3a42", "/messages//user:42",
        "/messages/./user:42",       "/messages/x/../user:42",
    };
    struct server *server = server_start();
    post(server, "user:42", "secret");
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct http_answer *answer = http_get(server, targets[i]);
        ck_assert_msg(!strstr(answer->body, "secret"), "%s: %s", targets[i], answer->body);
    }
    /* Two channels named: the path's counts, and is the one that was asked about. */
    struct http_answer *answer = http_get(server, "/messages/lobby?channel=user:42");
    ck_assert_msg(!strstr(answer->body, "secret"), "%s", answer->body);
    assert_forbidden(server, NULL, "GET", "/messages/user:42?channel=lobby");
}
END_TEST

START_TEST(a_token_comes_by_header_or_by_query)
{
    struct server *server = server_start();
    char *ann = token_with("42", ",\"channels\":[\"user:42\"]"), *bob = token_with("43", "");
    post(server, "user:42", "x");
    struct {
        int status;
        const char *headers, *target;
    } ways[] = {
        {200, textf("Authorization: Bearer %s\r\n", ann), "/messages/user:42"},
        {200, textf("authorization: bearer  %s \r\n", ann), "/messages/user:42"},
        {200, NULL, textf("/messages/user:42?token=%s", ann)},
        {200, NULL, textf("/messages?token=%s&channel=user:42", ann)},
        {200, "Authorization: Basic YTpi\r\n", textf("/messages/user:42?token=%s", ann)},
        {403, textf("Authorization: Bearer %s\r\n", bob), textf("/messages/user:42?token=%s", ann)},
        {403, "Authorization: Basic YTpi\r\n", "/messages/user:42"},
        {403, textf("Authorization: %s\r\n", ann), "/messages/user:42"},
        {401, "Authorization: Bearer\r\n", "/messages/user:42"},
        {401, "Authorization: Bearer x\r\n", "/messages/lobby"},
        {401, NULL, "/messages/lobby?token=x.y.z"},
        {401, NULL, "/messages/lobby?token="},
        {401, NULL, textf("/messages/lobby?token=%s", token_for("{\"_public\":{},\"exp\":1}"))},
        {401, NULL, textf("/messages/lobby?token=%s", token_for("{\"sub\":\"42\"}"))},
        {401, NULL, textf("/messages/lobby?token=%s", token_for("[{\"channel\":\"a\"}]"))},
        {401, NULL, textf("/messages/lobby?token=%s", token_with("42", ",\"channels\":\"*\""))},
        {401, NULL, textf("/messages/lobby?token=%s", token_with("42", ",\"roles\":\"staff\""))},
        {200, NULL, "/messages/lobby"},
    };
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct http_answer *answer =
            http_call(server, "GET", ways[i].target, ways[i].headers, NULL);
        ck_assert_msg(answer->status == ways[i].status, "%zu, %.60s: %s%s", i, ways[i].target,
                      answer->head, answer->body);
        if (answer->status == 401)
            ck_assert_ptr_nonnull(http_header(answer, "WWW-Authenticate"));
    }
    /* What a token said must not be found where logs are read. */
    server_stop(server);
    ck_assert_ptr_null(strstr(file_read(server->log), ann));
}
END_TEST

START_TEST(the_rules_of_the_file_decide_before_ours)
{
    struct server *server = server_start(.threads = 2, .yaml = "channels:\n"
                                                               "  - pattern: 'user:{sub}'\n"
                                                               "    read: token\n"
                                                               "  - pattern: 'staff:*'\n"
                                                               "    read: [role:staff, claim]\n"
                                                               "    history: role:staff\n"
                                                               "    users: role:admin\n"
                                                               "  - pattern: closed\n"
                                                               "    read: nobody\n"
                                                               "  - pattern: new\n"
                                                               "    read: anyone\n"
                                                               "    history: token\n");
    char *plain = token_with("42", ""), *staff = token_with("7", ",\"role\":\"staff\"");
    char *admin = token_with("8", ",\"roles\":[\"admin\",\"staff\"]");
    char *claim = token_with("9", ",\"channels\":[\"staff:*\",\"closed\"]");
    post(server, "user:42", "x");
    post(server, "staff:1", "x");
    post(server, "closed", "x");
    post(server, "new", "x");

    assert_messages(server, plain, "/messages/user:42", "[\"x\"]");
    assert_forbidden(server, staff, "GET", "/messages/user:42");
    assert_forbidden(server, NULL, "GET", "/messages/user:42");

    assert_messages(server, staff, "/messages/staff:1", "[\"x\"]");
    assert_forbidden(server, claim, "GET", "/messages/staff:1");
    assert_forbidden(server, plain, "GET", "/messages/staff:1");
    assert_forbidden(server, staff, "GET", "/stats/staff:1");
    ck_assert_int_eq(call_as(server, admin, "GET", "/stats/staff:1")->status, 200);
    struct http_answer *join = call_as(server, claim, "POST", "/join/staff:1");
    ck_assert_int_eq(join->status, 200);
    assert_json(get_array(join->json, "messages"), "[]"); /* reads, but not what was before */
    ck_assert_int_eq(get_int(join->json, "offset"), 1);

    ck_assert_int_eq(http_get(server, "/messages/closed")->status, 403); /* no token would help */
    assert_forbidden(server, claim, "GET", "/messages/closed");

    assert_forbidden(server, NULL, "GET", "/messages/new");
    assert_messages(server, plain, "/messages/new", "[\"x\"]");
    join = call_as(server, NULL, "POST", "/join/new");
    ck_assert_int_eq(join->status, 200);
    assert_json(get_array(join->json, "messages"), "[]");
}
END_TEST

/* What was decided for the room that could not be entered says nothing about the next one. */
START_TEST(a_join_that_failed_gives_no_right_elsewhere)
{
    if (on_redis()) /* of the embedded broker only */
        return;
    struct server *server = server_start(.yaml = "limits:\n  rooms: 1\n"
                                                 "channels:\n"
                                                 "  - {pattern: news, read: anyone, join: token, "
                                                 "say: nobody}\n");
    reader_open(server, "news");
    struct publisher *ann = publisher_open(server, token_user("Ann", "u-1"));
    static const char join[] = "{\"id\":1,\"join\":{\"room\":\"full\"}}";
    static const char say[] = "{\"id\":2,\"say\":{\"msg\":\"x\"}}";
    size_t joins, says;
    char *first = websocket_frame(true, WS_TEXT, join, strlen(join), &joins);
    char *second = websocket_frame(true, WS_TEXT, say, strlen(say), &says);
    char *both = malloc(joins + says); /* at once: the say finds the join under way */
    memcpy(both, first, joins);
    memcpy(both + joins, second, says);
    stream_send(ann->ws->stream, both, joins + says);
    free(both);
    for (int i = 0; i < 2; i++)
        assert_error(json_object_get(publisher_receive(ann), "reply"), "tooManyRooms");
    publisher_join(ann, "news");
    assert_error(publisher_say(ann, "x", NULL), "forbidden");
}
END_TEST

START_TEST(a_fresh_token_without_the_right_to_join_speaks_no_more)
{
    struct server *server =
        server_start(.yaml = "channels:\n"
                             "  - {pattern: lobby, read: anyone, join: role:a, say: token}\n");
    struct publisher *ann = publisher_open(server, token_with("1", ",\"role\":\"a\""));
    publisher_join(ann, "lobby");
    publisher_say_ok(ann, "x");
    assert_json(publisher_ask(ann, "auth", json_string(token_with("1", ""))), "\"ok\"");
    assert_error(publisher_say(ann, "y", NULL), "forbidden");
}
END_TEST

START_TEST(a_wrong_rule_stops_the_start)
{
    char *line = serve_refused(&(struct server_options){
        .yaml = "channels:\n  - pattern: 'staff:*'\n    read: role:staff\n    jion: token\n"});
    assert_contains(line, "channels[0].jion: unknown option, did you mean \"join\"?");
}
END_TEST

FLOW_MAIN("access", a_notification_for_one_user_is_read_by_that_user_alone,
          a_forbidden_room_looks_the_same_whether_it_exists_or_not,
          no_spelling_of_a_private_name_gets_around_its_rule, a_token_comes_by_header_or_by_query,
          the_rules_of_the_file_decide_before_ours, a_wrong_rule_stops_the_start,
          a_join_that_failed_gives_no_right_elsewhere,
          a_fresh_token_without_the_right_to_join_speaks_no_more)
