#include "host.h"

#include "buffer.h"
#include "chain.h"
#include "desk.h"
#include "message.h"
#include "plugin_routes.h"

#include <jansson.h>
#include <jwt.h>
#include <time.h>

/* hello and demo, as the host runs them. */

static struct config *conf;
static struct plugin *plugin;
static struct chain *chain;
static struct turn turn;
static struct desk desk; /* of no loop: nothing is answered later */

static void open_plugin(const char *yaml)
{
    struct error err = {""};
    conf = config_of(yaml);
    desk_init(&desk, NULL, 0, 1, NULL);
    plugin = plugin_load(conf, 0, NULL, &err);
    ck_assert_msg(plugin != NULL, "%s", err.text);
    chain = chain_create(&plugin, 1, NULL, NULL, &desk, &err);
    ck_assert_msg(chain != NULL, "%s", err.text);
}

static void close_plugin(void)
{
    turn_finish(&turn);
    chain_destroy(chain);
    desk_finish(&desk);
    plugin_unload(plugin);
    config_destroy(conf);
}

static struct chatup_text lent(const char *string)
{
    return (struct chatup_text){string, strlen(string)};
}

struct called {
    struct route_call call; /* first */
    int status;
    char *body;
};

static void on_answer(struct route_call *call, const struct chatup_response *response,
                      bool timed_out)
{
    struct called *called = (struct called *)call;
    ck_assert_ptr_nonnull(response);
    called->status = response->status;
    called->body = xstrndup(response->body.at, response->body.length);
}

/* Call a route; what it answers is freed by the caller. */
static char *call(const char *path, uint32_t method, const char *body, int status)
{
    size_t index;
    struct text rest;
    uint32_t allowed;
    const struct chatup_route *route =
        plugin_route_find(&plugin, 1, text_of(path), method, &index, &rest, &allowed);
    ck_assert_ptr_nonnull(route);
    struct called called = {
        .call.request = {.method = method, .path = {rest.at, rest.length}, .body = lent(body)},
        .call.answer = on_answer};
    chain_route(chain_shard(chain, 0), route, &called.call);
    ck_assert_ptr_nonnull(called.body);
    ck_assert_int_eq(called.status, status);
    return called.body;
}

/* ---- hello ---- */

#define HELLO "  - {name: hello, public_routes: true, config: {forbidden: spam, hide: moo}}\n"

static void say(const char *name, const char *text, enum chain_verdict verdict,
                const char *published, const char *reply)
{
    turn_finish(&turn);
    turn = (struct turn){.event = {.name = lent(name), .msg = lent(text)}, .max_msg = 4096};
    ck_assert_int_eq(chain_in(chain, &turn), verdict);
    ck_assert_uint_eq(turn.event.msg.length, strlen(published));
    ck_assert_int_eq(memcmp(turn.event.msg.at, published, strlen(published)), 0);
    ck_assert_pstr_eq(turn.reply, reply);
}

START_TEST(hello_greets_corrects_and_rejects)
{
    open_plugin(HELLO);
    say("Ann", "good day", CHAIN_ACCEPT, "good day", NULL);
    say("Ann", "/hello", CHAIN_CONSUME, "/hello", "{\"status\":\"ok\",\"message\":\"Hello, Ann\"}");
    say("A\"n\\n\x01", "/hello", CHAIN_CONSUME, "/hello",
        "{\"status\":\"ok\",\"message\":\"Hello, Ann\"}");
    say("Ann", "/hello there", CHAIN_ACCEPT, "/hello there", NULL);
    say("Ann", "teh cat and teh dogteh", CHAIN_ACCEPT, "the cat and the dogthe", NULL);
    say("Ann", "buy spam", CHAIN_REJECT, "buy spam",
        "{\"status\":\"error\",\"err\":\"rejected\",\"by\":\"hello\"}");
    char *answer = call("/plugin/hello", CHATUP_GET, "", 0);
    ck_assert_str_eq(answer, "{\"hello\":\"world\",\"messages\":6}");
    free(answer);
    close_plugin();
}
END_TEST

START_TEST(a_long_name_is_greeted)
{
    char name[601] = "";
    for (int i = 0; i < 200; i++)
        strcat(name, "\xe2\x82\xac");
    open_plugin(HELLO);
    turn = (struct turn){.event = {.name = lent(name), .msg = lent("/hello")}, .max_msg = 4096};
    ck_assert_int_eq(chain_in(chain, &turn), CHAIN_CONSUME);
    ck_assert_ptr_nonnull(turn.reply);
    close_plugin();
}
END_TEST

START_TEST(hello_without_options_rejects_and_hides_nothing)
{
    open_plugin("  - {name: hello, public_routes: true}\n");
    say("Ann", "buy spam", CHAIN_ACCEPT, "buy spam", NULL);
    close_plugin();
}
END_TEST

START_TEST(hello_hides_a_word_from_readers)
{
    struct buffer json = {0};
    struct name *room = name_create(text_of("lobby"));
    struct message_fields fields = {.id = text_of("i"), .msg = text_of("a moo, moomoo")};
    struct message *message = message_create(room, &fields);
    open_plugin(HELLO);
    ck_assert_uint_eq(chain_out(chain, room, &message, 1, &json), 1);
    buffer_bytes(&json, "", 1);
    ck_assert_str_eq(json.at, "{\"user\":null,\"msg\":\"a ***, ******\",\"i\":\"i\",\"d\":0.000}");
    buffer_finish(&json);
    message_unref(message);
    name_unref(room);
    close_plugin();
}
END_TEST

/* ---- demo ---- */

#define KEY "0123456789abcdef0123456789abcdef"

static void open_demo(const char *ttl)
{
    char yaml[200];
    write_file("demo.key", KEY "\n", sizeof KEY);
    snprintf(yaml, sizeof yaml,
             "  - {name: demo, public_routes: true, config: {key_file: demo.key%s}}\n", ttl);
    open_plugin(yaml);
}

/* The claims of the token that the route answers with, freed by the caller. */
static jwt_t *token_from(const char *path, const char *body)
{
    jwt_t *jwt = NULL;
    char *answer = call(path, CHATUP_POST, body, 0);
    json_t *json = json_loads(answer, 0, NULL);
    const char *token = json_string_value(json_object_get(json, "token"));
    ck_assert_msg(token != NULL, "%s", answer);
    ck_assert_int_eq(jwt_decode(&jwt, token, (const unsigned char *)KEY, sizeof KEY - 1), 0);
    ck_assert_int_eq(jwt_get_alg(jwt), JWT_ALG_HS256);
    json_decref(json);
    free(answer);
    return jwt;
}

static jwt_t *token_of(const char *body)
{
    return token_from("/plugin/demo/token", body);
}

START_TEST(demo_signs_what_servers_sign)
{
    open_demo("");
    jwt_t *jwt = token_from("/plugin/demo/admin", "{\"items\":[{\"channel\":\"a\"}]}");
    jwt_t *other = token_from("/plugin/demo/admin", "{\"items\":{}}");
    char *items = jwt_get_grants_json(jwt, "items");
    long lives = jwt_get_grant_int(jwt, "exp") - time(NULL);
    ck_assert_str_eq(items, "[{\"channel\":\"a\"}]");
    ck_assert_str_eq(jwt_get_grant(jwt, "aud"), "chatup-admin");
    ck_assert_int_gt(lives, 0);
    ck_assert_int_le(lives, 60);
    ck_assert_uint_eq(strlen(jwt_get_grant(jwt, "jti")), 32);
    ck_assert_str_ne(jwt_get_grant(jwt, "jti"), jwt_get_grant(other, "jti"));
    free(items);
    jwt_free(jwt);
    jwt_free(other);
    free(call("/plugin/demo/admin", CHATUP_POST, "[]", 400));
    free(call("/plugin/demo/admin", CHATUP_POST, "{\"items\":7}", 400));
    close_plugin();
}
END_TEST

START_TEST(demo_signs_who_somebody_says_to_be)
{
    open_demo("");
    time_t before = time(NULL);
    jwt_t *jwt = token_of("{\"name\":\" Ann \\\"A\\\" Grün\\n\"}");
    char *shown = jwt_get_grants_json(jwt, "_public");
    ck_assert_str_eq(jwt_get_grant(jwt, "sub"), "demo:Ann \"A\" Grün");
    ck_assert_str_eq(jwt_get_grant(jwt, "name"), "Ann \"A\" Grün");
    json_t *public = json_loads(shown, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(public, "name")), "Ann \"A\" Grün");
    ck_assert_uint_eq(json_object_size(public), 1);
    long iat = jwt_get_grant_int(jwt, "iat");
    ck_assert_int_ge(iat, before);
    ck_assert_int_le(iat, time(NULL));
    ck_assert_int_eq(jwt_get_grant_int(jwt, "exp"), iat + 12 * 60 * 60);
    json_decref(public);
    free(shown);
    jwt_free(jwt);
    close_plugin();
}
END_TEST

START_TEST(the_ttl_of_demo_is_an_option)
{
    open_demo(", ttl: 5m");
    jwt_t *jwt = token_of("{\"name\":\"Ann\"}");
    ck_assert_int_eq(jwt_get_grant_int(jwt, "exp"), jwt_get_grant_int(jwt, "iat") + 300);
    jwt_free(jwt);
    close_plugin();
}
END_TEST

START_TEST(names_have_1_to_40_visible_characters)
{
    static const struct {
        const char *body, *err;
    } cases[] = {
        {"", "notAnObject"},
        {"[]", "notAnObject"},
        {"{\"name\":\"\xff\"}", "notAnObject"}, /* not UTF-8: no JSON */
        {"{}", "nameMissing"},
        {"{\"name\":7}", "nameMissing"},
        {"{\"name\":\"\"}", "nameMissing"},
        {"{\"name\":\" \\t \"}", "nameMissing"},
        {"{\"name\":\"a\\nb\"}", "nameInvalid"},
        {"{\"name\":\"a\\u0000b\"}", "nameInvalid"},
        {"{\"name\":\"a\\u0085b\"}", "nameInvalid"},
        {"{\"name\":\"\\u200b\"}", "nameInvalid"},
        {"{\"name\":\"a\\u202eb\"}", "nameInvalid"},
        {"{\"name\":\"01234567890123456789012345678901234567890\"}", "nameTooLong"},
    };
    open_demo("");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[100], *answer = call("/plugin/demo/token", CHATUP_POST, cases[i].body, 400);
        snprintf(expected, sizeof expected, "{\"status\":\"error\",\"err\":\"%s\"}", cases[i].err);
        ck_assert_str_eq(answer, expected);
        free(answer);
    }
    char body[400] = "{\"name\":\"";
    for (int i = 0; i < 40; i++)
        strcat(body, "\xf0\x9f\x90\xae");
    strcat(body, "\"}");
    jwt_t *jwt = token_of(body);
    ck_assert_uint_eq(strlen(jwt_get_grant(jwt, "sub")), 165);
    jwt_free(jwt);
    close_plugin();
}
END_TEST

START_TEST(demo_needs_a_key)
{
    static const struct {
        const char *config, *message;
    } cases[] = {
        {"{}", "chatup.yaml:3:5: plugins[0].config.key_file: is missing, the plugin needs it"},
        {"{key_file: nowhere.key}", "chatup.yaml:3:48: plugins[0].config.key_file: plugin demo: "
                                    "cannot read nowhere.key: No such "
                                    "file or directory"},
        {"{key_file: /tmp}", "chatup.yaml:3:48: plugins[0].config.key_file: plugin demo: cannot "
                             "read /tmp: Is a directory"},
        {"{key_file: empty.key}", "chatup.yaml:3:48: plugins[0].config.key_file: plugin demo: "
                                  "empty.key must have 1 byte to 64 "
                                  "KiB"},
        {"{key_file: big.key}", "chatup.yaml:3:48: plugins[0].config.key_file: plugin demo: "
                                "big.key must have 1 byte to 64 KiB"},
    };
    static char big[64 * 1024 + 2];
    write_file("empty.key", "\n", 1);
    write_file("big.key", big, sizeof big);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[200];
        struct error err = {""};
        snprintf(yaml, sizeof yaml, "  - {name: demo, public_routes: true, config: %s}\n",
                 cases[i].config);
        conf = config_of(yaml);
        ck_assert_ptr_null(plugin_load(conf, 0, NULL, &err));
        ck_assert_str_eq(err.text, cases[i].message);
        config_destroy(conf);
    }
}
END_TEST

HOST_MAIN("bundled", hello_greets_corrects_and_rejects, a_long_name_is_greeted,
          hello_without_options_rejects_and_hides_nothing, hello_hides_a_word_from_readers,
          demo_signs_what_servers_sign, demo_signs_who_somebody_says_to_be,
          the_ttl_of_demo_is_an_option, names_have_1_to_40_visible_characters, demo_needs_a_key)
