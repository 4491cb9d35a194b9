/* 21_tokens: whose tokens are believed, for what, and how often. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ADMIN_SECRET "the secret of the servers, 0123456789abcdef012"
#define HS256        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

/* {"aud","exp","jti","items"}; items is JSON. */
static char *once_with(const char *secret, const char *jti, const char *items)
{
    return token_sign(HS256,
                      textf("{\"aud\":\"chatup-admin\",\"exp\":%lld,\"jti\":\"%s\",\"items\":%s}",
                            (long long)time(NULL) + 600, jti, items),
                      secret);
}

static char *once(const char *jti, const char *items)
{
    return once_with(TOKEN_SECRET, jti, items);
}

static char *say_in(const char *channel, const char *msg)
{
    return textf("[{\"channel\":\"%s\",\"msg\":\"%s\"}]", channel, msg);
}

static void posted(struct server *server, const char *path, const char *token, int status,
                   const char *err)
{
    struct http_answer *answer = http_post(server, path, token);
    ck_assert_msg(answer->status == status, "%d, not %d: %s", answer->status, status, answer->body);
    if (err)
        assert_error(answer->json, err);
    else
        ck_assert_str_eq(answer->body, "OK");
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

/* ---- once ---- */

START_TEST(a_servers_token_works_once)
{
    struct server *server = server_start(.threads = 2);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    char *post = once("p-1", say_in("news", "welcome"));
    char *ban = once("b-1", "[{\"name\":\"Ann\",\"channel\":\"lobby\",\"expire\":60}]");
    posted(server, "/post", post, 200, NULL);
    for (int i = 0; i < 4; i++) /* whichever loop takes it */
        posted(server, "/post", post, 409, "replayed");
    publisher_say_ok(ann, "hi");
    posted(server, "/ban", ban, 200, NULL);
    posted(server, "/ban", ban, 409, "replayed");
    posted(server, "/post", ban, 409, "replayed");
    assert_error(publisher_say(ann, "x", NULL), "banned");
    posted(server, "/post", once("p-2", say_in("news", "again")), 200, NULL);
    assert_json(texts_of(http_get(server, "/messages/news")->json), "[\"again\",\"welcome\"]");
}
END_TEST

START_TEST(of_eight_at_once_one_is_done)
{
    enum { ROUNDS = 10, CALLS = 8 };
    struct server *server = server_start(.threads = 2);
    for (int round = 0; round < ROUNDS; round++) {
        char *request = http_text(server, "POST", "/post", NULL,
                                  once(textf("r-%d", round), say_in("news", textf("%d", round))));
        struct stream *streams[CALLS];
        int ok = 0, replayed = 0;
        for (int i = 0; i < CALLS; i++)
            streams[i] = stream_open(server->port, 0);
        for (int i = 0; i < CALLS; i++)
            ck_assert(stream_send(streams[i], request, strlen(request)));
        for (int i = 0; i < CALLS; i++) {
            struct http_answer *answer = http_receive(streams[i], false, deadline_in(20));
            ck_assert_ptr_nonnull(answer);
            ok += answer->status == 200;
            replayed += answer->status == 409;
            stream_cut(streams[i]);
        }
        ck_assert_int_eq(ok, 1);
        ck_assert_int_eq(replayed, CALLS - 1);
    }
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/news")->json), ROUNDS);
}
END_TEST

START_TEST(a_used_token_stays_used_after_kill_9)
{
    struct server *server = server_start(.threads = 2);
    char *tokens[8];
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        tokens[i] = once(textf("t-%zu", i), say_in("news", "x"));
        posted(server, "/post", tokens[i], 200, NULL);
    }
    server_kill(server);
    server_restart(server);
    for (size_t i = 0; i < COUNT_OF(tokens); i++)
        posted(server, "/post", tokens[i], 409, "replayed");
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/news")->json), COUNT_OF(tokens));
    posted(server, "/post", once("t-new", say_in("news", "x")), 200, NULL);
}
END_TEST

START_TEST(what_could_not_be_stored_may_be_sent_again)
{
    struct server *server = server_start(.threads = 2);
    char *token = once("p-1", say_in("news", "one"));
    posted(server, "/post", once("p-0", say_in("news", "zero")), 200, NULL);
    server_disk_full(server, true);
    for (int i = 0; i < 4; i++)
        posted(server, "/post", token, 503, "unavailable");
    posted(server, "/post", once("p-0", say_in("news", "zero")), 409, "replayed");
    server_disk_full(server, false);
    int64_t deadline = deadline_in(20);
    int status;
    while ((status = http_post(server, "/post", token)->status) == 503) {
        ck_assert_msg(now_ms() < deadline, "it never stores again");
        pause_ms(50);
    }
    ck_assert_int_eq(status, 200);
    posted(server, "/post", token, 409, "replayed");
    assert_json(texts_of(http_get(server, "/messages/news")->json), "[\"one\",\"zero\"]");
}
END_TEST

START_TEST(memory_of_used_tokens_is_bounded)
{
    struct server *server = server_start(.yaml = "limits:\n  replays: 3\n");
    for (int i = 0; i < 3; i++)
        posted(server, "/post", once(textf("t-%d", i), say_in("news", "x")), 200, NULL);
    for (int i = 3; i < 6; i++)
        posted(server, "/post", once(textf("t-%d", i), say_in("news", "x")), 503, "tooManyReplays");
    posted(server, "/post", once("t-0", say_in("news", "x")), 409, "replayed");
    ck_assert_uint_eq(json_array_size(http_get(server, "/messages/news")->json), 3);
}
END_TEST

/* ---- whose ---- */

START_TEST(lists_are_taken_as_the_original_signs_them_and_warned_of_once)
{
    struct server *server = server_start();
    char *list = token_for("%s", say_in("news", "x"));
    posted(server, "/post", list, 200, NULL);
    posted(server, "/post", list, 200, NULL); /* what the warning is about */
    char *log = file_read(server->log);
    ck_assert_uint_eq(count_of(log, "legacy_tokens"), 1);
    assert_contains(log, "can repeat it for ever");
    assert_contains(log, "admin.keys is empty");
}
END_TEST

START_TEST(without_legacy_tokens_only_what_expires_is_taken)
{
    static const char why[] =
        "Wrong JWT content: without aud, exp and jti, and legacy_tokens is false";
    struct server *server = server_start(.yaml = "legacy_tokens: false\n");
    posted(server, "/post", token_for("%s", say_in("news", "x")), 400, why);
    posted(server, "/ban", token_for("[{\"name\":\"Ann\",\"channel\":\"lobby\"}]"), 400, why);
    posted(server, "/post", once("p-1", say_in("news", "x")), 200, NULL);
    posted(server, "/ban", token_user("Ann", NULL), 403, "Wrong JWT content");
    ck_assert_uint_eq(count_of(file_read(server->log), "legacy_tokens"), 0);
}
END_TEST

START_TEST(with_admin_keys_the_keys_of_users_are_for_users)
{
    struct server *server =
        server_start(.yaml = "admin:\n  audience: mine\n  keys:\n    - algorithm: HS256\n"
                             "      secret: \"" ADMIN_SECRET "\"\n");
    static const char ban[] = "[{\"name\":\"Ann\",\"channel\":\"lobby\"}]";
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    posted(server, "/ban", token_for("%s", ban), 401, "Wrong JWT");
    posted(server, "/ban", once("b-1", ban), 401, "Wrong JWT");
    posted(server, "/ban", token_user("Ann", NULL), 401, "Wrong JWT");
    publisher_say_ok(ann, "still here");
    posted(server, "/ban", once_with(ADMIN_SECRET, "b-1", ban), 403,
           "Wrong JWT content: aud does not name admin.audience");
    struct publisher *bob = publisher_connect(server);
    char *forged = token_sign(HS256, "{\"_public\":{\"name\":\"Bob\"}}", ADMIN_SECRET);
    assert_error(publisher_ask(bob, "auth", json_string(forged)), "Wrong JWT");
    publisher_say_ok(ann, "still here");
    char *claims = textf("{\"aud\":\"mine\",\"exp\":%lld,\"jti\":\"b-2\",\"items\":%s}",
                         (long long)time(NULL) + 60, ban);
    posted(server, "/ban", token_sign(HS256, claims, ADMIN_SECRET), 200, NULL);
    assert_error(publisher_say(ann, "x", NULL), "banned");
    posted(server, "/post", token_sign(HS256, say_in("lobby", "x"), ADMIN_SECRET), 200, NULL);
}
END_TEST

static const char *refusal_of(struct server *server, const char *token)
{
    struct publisher *publisher = publisher_connect(server);
    json_t *reply = publisher_ask(publisher, "auth", json_string(token));
    const char *err = json_string_value(json_object_get(reply, "err"));
    return err ? strdup(err) : "";
}

START_TEST(audience_issuer_and_leeway_are_checked_of_users)
{
    struct server *server =
        server_start(.keys = "  audience: chat\n  issuer: https://id.example\n  leeway: 1m\n");
    int64_t now = time(NULL);
#define USER(more) "{\"_public\":{\"name\":\"Ann\"}" more "}"
#define OURS       ",\"aud\":[\"chat\",\"shop\"],\"iss\":\"https://id.example\""
    ck_assert_str_eq(refusal_of(server, token_for(USER(OURS))), "");
    ck_assert_str_eq(refusal_of(server, token_for(USER(""))), "Wrong JWT");
    ck_assert_str_eq(refusal_of(server, token_for(USER(",\"aud\":\"chat\""))), "Wrong JWT");
    ck_assert_str_eq(
        refusal_of(server, token_for(USER(",\"aud\":\"shop\",\"iss\":\"https://id.example\""))),
        "Wrong JWT");
    ck_assert_str_eq(refusal_of(server, token_for(USER(OURS ",\"exp\":%lld"), (long long)now - 10)),
                     "");
    ck_assert_str_eq(
        refusal_of(server, token_for(USER(OURS ",\"exp\":%lld"), (long long)now - 100)),
        "Wrong JWT");
    ck_assert_str_eq(refusal_of(server, token_for(USER(OURS ",\"iat\":%lld"), (long long)now + 10)),
                     "");
    ck_assert_str_eq(
        refusal_of(server, token_for(USER(OURS ",\"iat\":%lld"), (long long)now + 300)),
        "Wrong JWT");
    posted(server, "/post", once("p-1", say_in("news", "x")), 200, NULL); /* of users only */
}
END_TEST

START_TEST(a_name_that_is_two_names_is_nobody_without_sub)
{
    struct server *server = server_start();
    ck_assert_str_eq(
        refusal_of(server, token_for("{\"name\":\"Ann\",\"_public\":{\"name\":\"Bob\"}}")),
        "Wrong JWT content");
    ck_assert_str_eq(
        refusal_of(server,
                   token_for("{\"sub\":\"u\",\"name\":\"Ann\",\"_public\":{\"name\":\"Bob\"}}")),
        "");
}
END_TEST

/* ---- keys ---- */

static char *made(struct run run)
{
    ck_assert_msg(run.code == 0, "%s", run.err);
    run.out[strcspn(run.out, "\n")] = 0;
    return run.out;
}

static char *write_file(const char *name, const char *text)
{
    char *path = textf("%s/%s", flow_dir(), name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    return path;
}

START_TEST(keys_have_names_and_servers_have_theirs)
{
    char *user = textf("%s/user", flow_dir()), *admin = textf("%s/admin", flow_dir());
    struct run run = chatup("keygen", "--algorithm", "PS256", "--kid", "k-1", "--out", user);
    ck_assert_msg(run.code == 0, "%s", run.err);
    assert_contains(run.out, "      kid: \"k-1\"\n");
    assert_contains(run.out, "--algorithm PS256 --kid k-1 ");
    run = chatup("keygen", "--kid", "k\"1", "--out", admin);
    ck_assert_int_eq(run.code, 2);
    made(chatup("keygen", "--algorithm", "PS512", "--out", admin));
    char *jwks = write_file("keys.json",
                            "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"in-the-set\","
                            "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}");
    struct server *server =
        server_start(.keys = textf("    - {algorithm: PS256, file: \"%s.pub\", kid: k-1}\n"
                                   "  jwks: \"%s\"\n",
                                   user, jwks),
                     .yaml = textf("legacy_tokens: false\nadmin:\n  keys:\n"
                                   "    - {algorithm: PS512, file: \"%s.pub\", kid: a-1}\n",
                                   admin));
    char *key = textf("%s.key", user), *admin_key = textf("%s.key", admin);
    char *secret = write_file("secret", "0123456789abcdef0123456789abcdef");
    const struct {
        const char *key, *algorithm, *kid, *err;
    } all[] = {
        {key, "PS256", "k-1", ""},
        {key, "PS256", "k-2", "Wrong JWT"},
        {key, "PS384", "k-1", "Wrong JWT"},
        {key, "RS256", "k-1", "Wrong JWT"},
        {secret, "HS256", "in-the-set", ""},
        {secret, "HS256", "k-1", "Wrong JWT"},
        {admin_key, "PS512", "a-1", "Wrong JWT"},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        char *token = made(chatup("token", "--key", all[i].key, "--algorithm", all[i].algorithm,
                                  "--kid", all[i].kid, "--name", "Ann", "--expire", "1h"));
        ck_assert_msg(!strcmp(refusal_of(server, token), all[i].err), "%zu", i);
    }
    char *token = made(chatup("token", "--key", admin_key, "--algorithm", "PS512", "--kid", "a-1",
                              "--admin", say_in("news", "from a server")));
    posted(server, "/post", token, 200, NULL);
    posted(server, "/post", token, 409, "replayed");
    token = made(chatup("token", "--key", key, "--algorithm", "PS256", "--kid", "k-1", "--admin",
                        say_in("news", "from a user's key")));
    posted(server, "/post", token, 401, "Wrong JWT");
    assert_json(texts_of(http_get(server, "/messages/news")->json), "[\"from a server\"]");
}
END_TEST

START_TEST(a_wrong_set_of_keys_is_refused_at_the_start_and_by_check)
{
    char *jwks =
        write_file("keys.json", "{\"keys\":[{\"kty\":\"RSA\",\"d\":\"AQAB\",\"n\":\"AQAB\"}]}");
    char *yaml = write_file("bad.yaml", "jwt:\n  jwks: keys.json\n");
    struct run run = chatup("check", "-c", yaml);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, textf("%s: keys[0]: holds a private key", jwks));
    run = chatup("serve", "-c", yaml);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, textf("%s: keys[0]: holds a private key", jwks));
}
END_TEST

FLOW_MAIN("tokens", a_servers_token_works_once, of_eight_at_once_one_is_done,
          a_used_token_stays_used_after_kill_9, what_could_not_be_stored_may_be_sent_again,
          memory_of_used_tokens_is_bounded,
          lists_are_taken_as_the_original_signs_them_and_warned_of_once,
          without_legacy_tokens_only_what_expires_is_taken,
          with_admin_keys_the_keys_of_users_are_for_users,
          audience_issuer_and_leeway_are_checked_of_users,
          a_name_that_is_two_names_is_nobody_without_sub, keys_have_names_and_servers_have_theirs,
          a_wrong_set_of_keys_is_refused_at_the_start_and_by_check)
