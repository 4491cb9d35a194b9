/* The routes between a fake socket and a fake broker. */
#include "unit.h"

#include "../../../core/pipeline.h"
#include "access.h"
#include "alloc.h"
#include "buffer.h"
#include "caller.h"
#include "chain.h"
#include "clock.h"
#include "config.h"
#include "keyring.h"
#include "name.h"
#include "plugin.h"
#include "route.h"
#include "sign.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the pipeline below: it keeps what it is asked, and answers when told ---- */

static struct {
    char text[4096]; /* one line per thing asked */
    size_t count;
    pipeline_posted *posted[8];
    broker_banned *banned;
    void *arg[8];
} asked;

static void note(const char *what, struct text text)
{
    size_t length = strlen(asked.text);
    snprintf(asked.text + length, sizeof asked.text - length, "%s%.*s", what, (int)text.length,
             text.length ? text.at : "");
}

void pipeline_post(struct pipeline *pipeline, const struct post *post, pipeline_posted *done,
                   void *arg)
{
    note("", name_text(post->room));
    note(" msg=", post->msg);
    note(" ev=", post->ev);
    note(" data=", post->data);
    note(" user=", post->user);
    note(" name=", post->name);
    note(" id=", post->client_id);
    note("\n", (struct text){0});
    asked.posted[asked.count] = done;
    asked.arg[asked.count++] = arg;
}

void pipeline_ban(struct pipeline *pipeline, struct name *room, enum ban_kind kind, struct text who,
                  int64_t expires_ms, broker_banned *done, void *arg)
{
    note("", name_text(room));
    note(kind == BAN_NAME ? " name=" : " sub=", who);
    note(expires_ms == BAN_FOR_EVER ? " for ever\n" : " for a while\n", (struct text){0});
    done(arg, BROKER_OK); /* at once is allowed, too */
}

static int histories; /* written */

void pipeline_write_history(struct pipeline *pipeline, const struct name *room,
                            const struct snapshot *history, struct buffer *out)
{
    histories++;
    buffer_text(out, "[]");
}

static enum broker_status look_status;

static void fake_look(struct broker *broker, struct name *room, uint64_t skip, uint64_t limit,
                      broker_looked *done, void *arg)
{
    struct room_view view = {.history = {.status = look_status, .at = {"5f1c", 14}},
                             .readers = 2,
                             .publishers = 1,
                             .users = 1,
                             .clients = text_of("[{\"name\":\"Ann\"}]")};
    done(arg, &view);
}

/* ---- tokens that may be used once ---- */

static enum broker_status once_status;
static char once_asked[256], once_forgotten[256];
static int64_t once_expires_ms;

static void fake_once(struct broker *broker, struct name *name, int64_t expires_ms,
                      broker_onced *done, void *arg)
{
    snprintf(once_asked, sizeof once_asked, "%s", name->at);
    once_expires_ms = expires_ms;
    done(arg, once_status);
}

static void fake_once_forget(struct broker *broker, struct name *name)
{
    snprintf(once_forgotten, sizeof once_forgotten, "%s", name->at);
}

/* ---- a plugin ---- */

static int32_t echo(void *shard, const struct chatup_request *request,
                    struct chatup_response *response)
{
    static char body[512];
    int length = snprintf(body, sizeof body, "%s|%.*s|%.*s|%.*s", (char *)shard,
                          (int)request->path.length, request->path.at, (int)request->query.length,
                          request->query.at ? request->query.at : "", (int)request->body.length,
                          request->body.at ? request->body.at : "");
    response->status = 201;
    response->content_type = (struct chatup_text){"text/plain", 10};
    response->body = (struct chatup_text){body, (size_t)length};
    return CHATUP_ACCEPT;
}

static int32_t split(void *shard, const struct chatup_request *request,
                     struct chatup_response *response)
{
    response->content_type = (struct chatup_text){"a/b\r\nx: y", 9};
    return CHATUP_ACCEPT;
}

static int32_t break_down(void *shard, const struct chatup_request *request,
                          struct chatup_response *response)
{
    return CHATUP_FAULT;
}

static const struct chatup_route plugin_routes[] = {
    {CHATUP_GET | CHATUP_POST, CHATUP_PUBLIC, "/echo", 8, echo},
    {CHATUP_POST, CHATUP_BODY_JWT, "", 0, echo},
    {CHATUP_GET, CHATUP_PUBLIC, "/split", 0, split},
    {CHATUP_GET, CHATUP_PUBLIC, "/fail", 0, break_down},
};

/* ---- one request ---- */

static char key_file[] = "/tmp/chatup-routes-XXXXXX";
static char no_dir[] = "", here[] = "127.0.0.1";
static struct config conf = {.address = here, .announce = no_dir, .client_dir = no_dir};
static struct config_key key = {.file = key_file};
static struct pipeline pipeline;

static struct answer {
    int count, status;
    char type[128], body[4096], headers[1024];
} answer;

static void fake_reply(struct request *request, int status, const char *content_type,
                       struct text body, const char *headers)
{
    answer.count++;
    answer.status = status;
    snprintf(answer.type, sizeof answer.type, "%s", content_type);
    snprintf(answer.body, sizeof answer.body, "%.*s", (int)body.length, body.length ? body.at : "");
    snprintf(answer.headers, sizeof answer.headers, "%s", headers ? headers : "");
    free(request); /* as net/http.c may, when the client has left */
}

static struct request *request_to(const char *path, const char *rest)
{
    struct request *request = xcalloc(1, sizeof *request);
    *request = (struct request){.pipeline = &pipeline,
                                .method = METHOD_POST,
                                .path = text_of(path),
                                .rest = text_of(rest),
                                .reply = fake_reply};
    answer.count = 0;
    return request;
}

static void setup(void)
{
    static const struct broker_home home = {
        .look = fake_look, .once = fake_once, .once_forget = fake_once_forget};
    static struct broker broker = {.home = &home};
    static struct plugin plugin = {.name = "demo", .conf = &conf, .self = (void *)"shard"};
    static struct plugin *plugins[] = {&plugin};
    static char algorithm[] = "HS256", audience[] = "chatup-admin";
    struct error err;
    int fd = mkstemp(key_file);
    ck_assert_int_eq(write(fd, "0123456789abcdef0123456789abcdef", 32), 32);
    close(fd);
    key.algorithm = algorithm;
    conf.jwt.keys = (struct config_keys){&key, 1};
    conf.admin.audience = audience;
    conf.legacy_tokens = true;
    conf.limits.message_bytes = 64;
    conf.limits.token_bytes = 512;
    plugin.api.routes = plugin_routes;
    plugin.api.route_count = 4;
    pipeline = (struct pipeline){.conf = &conf,
                                 .port = 8080,
                                 .plugins = plugins,
                                 .plugin_count = 1,
                                 .worker_id = "chatUp:chatServer:1",
                                 .broker = &broker};
    pipeline.keys = keyring_load(&conf, &err);
    pipeline.access = access_load(&conf, &err);
    once_status = BROKER_OK;
    *once_asked = *once_forgotten = 0;
    pipeline.admin_keys = keyring_load_admin(&conf, &err);
    pipeline.chain = chain_create(plugins, 1, NULL, NULL, 0, 1, &err);
    ck_assert(pipeline.admin_keys && pipeline.chain);
}

static void finish(void)
{
    chain_destroy(pipeline.chain);
    access_destroy((struct access *)pipeline.access);
    keyring_destroy((struct keyring *)pipeline.keys);
    keyring_destroy((struct keyring *)pipeline.admin_keys);
    unlink(key_file);
}

/* A token with that payload, a newline behind it. */
static char *token(const char *json)
{
    struct error err;
    json_t *payload = json_loads(json, 0, NULL);
    char *bare = sign_token(key_file, "HS256", NULL, payload, &err), *text = NULL;
    ck_assert_ptr_nonnull(bare);
    ck_assert_int_gt(asprintf(&text, "%s\n", bare), 0);
    free(bare);
    json_decref(payload);
    return text;
}

static void send_signed(void (*route)(struct request *), const char *json, const char *idempotency)
{
    char *body = token(json);
    struct request *request = request_to("", "");
    request->body = text_of(body);
    request->idempotency_key = text_of(idempotency);
    memset(&asked, 0, sizeof asked);
    route(request);
    free(body); /* while it is answered: what was asked has been copied by then */
}

#define ANSWERED(code, text)                                                                       \
    do {                                                                                           \
        ck_assert_int_eq(answer.count, 1);                                                         \
        ck_assert_str_eq(answer.body, text);                                                       \
        ck_assert_int_eq(answer.status, code);                                                     \
    } while (0)

/* ---- what they prove ---- */

START_TEST(join_tells_where_who_and_what)
{
    setup();
    struct request *request = request_to("/join/lobby", "lobby");
    request->host = text_of("chat.example.org:81");
    route_join(request);
    ANSWERED(200, "{\"host\":\"http://chat.example.org:81\",\"id\":\"chatUp:chatServer:1\","
                  "\"channel\":{\"subCount\":2,\"pubCount\":1},\"epoch\":\"5f1c\",\"offset\":14,"
                  "\"messages\":[]}");
    finish();
}
END_TEST

START_TEST(join_refuses_what_it_cannot_trust)
{
    setup();
    struct request *request = request_to("/join/lobby", "lobby");
    request->host = text_of("evil/\"");
    route_join(request);
    ANSWERED(400, "{\"status\":\"error\",\"err\":\"Wrong Host\"}");
    request = request_to("/join/lobby", "lobby");
    request->body = text_of("{\"worker\":{\"id\":\"chatUp:chatServer:1\"}}");
    route_join(request);
    ANSWERED(418, "{\"error\":\"No workers available\"}");
    static const char *const bodies[] = {"{", "[]", "\xff", " ", "\"x\"", "{\"\xc3\":1}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        request = request_to("/join/lobby", "lobby");
        request->body = text_of(bodies[i]);
        route_join(request);
        ck_assert_int_eq(answer.count, 1);
        ck_assert_int_eq(answer.status, 400);
        ck_assert_ptr_nonnull(strstr(answer.body, "\"err\":\"Wrong format"));
    }
    route_join(request_to("/join", ""));
    ANSWERED(400, "{\"status\":\"error\",\"err\":\"Wrong channel: 1 to 200 bytes of UTF-8\"}");
    look_status = BROKER_FULL;
    route_join(request_to("/join/lobby", "lobby"));
    look_status = BROKER_OK;
    ANSWERED(503, "{\"status\":\"error\",\"err\":\"tooManyRooms\"}");
    finish();
}
END_TEST

static void stats(const char *query, size_t length)
{
    struct request *request = request_to("/stats", "");
    request->query = (struct text){query, length};
    route_stats(request);
}

START_TEST(stats_caps_its_limit_and_wants_numbers)
{
    setup();
    stats("limits=7\0channel=a/b\0limit=99999999999999999999999\0skip=3", 57);
    ANSWERED(200, "{\"subCount\":2,\"pubCount\":1,\"users\":1,\"limit\":1000,\"skip\":3,"
                  "\"clients\":[{\"name\":\"Ann\"}]}");
    stats("channel=a", 9);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"limit\":50,\"skip\":0"));
    static const char *const wrong[] = {"limit=-1", "limit=", "limit", "skip=x", "skip=1.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        stats(wrong[i], strlen(wrong[i]));
        ck_assert_int_eq(answer.status, 400);
    }
    finish();
}
END_TEST

START_TEST(a_bearer_token_is_what_follows_the_scheme)
{
    static const struct {
        const char *header, *token;
    } cases[] = {
        {NULL, NULL},
        {"", NULL},
        {"Bearer a.b.c", "a.b.c"},
        {"bearer a", "a"},
        {"BEARER  a", "a"},
        {" Bearer\ta \t", "a"},
        {"Bearer", ""},
        {"Bearer  ", ""},
        {"Bearera", NULL},
        {"Bear", NULL},
        {"Basic YTpi", NULL},
        {"a.b.c", NULL},
        {"Bearer a b", "a b"},
        {"Digest Bearer a", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text token = bearer_token(text_of(cases[i].header));
        ck_assert_int_eq(token.at != NULL, cases[i].token != NULL);
        ck_assert(text_is(token, cases[i].token));
    }
    ck_assert(text_is(caller_token(text_of("Bearer a"), text_of("token=b")), "a"));
    ck_assert(text_is(caller_token(text_of("Basic a"), text_of("token=b")), "b"));
    ck_assert(text_is(caller_token((struct text){0}, text_of("token=b")), "b"));
    ck_assert(text_is(caller_token((struct text){0}, text_of("token")), ""));
    ck_assert_ptr_null(caller_token((struct text){0}, text_of("tokens=b")).at);
}
END_TEST

/* A request for private:x with the token of this payload, NULL: without one. */
static void ask_private(void (*route)(struct request *), const char *payload)
{
    struct request *request = request_to("", "private:x");
    char *text = payload ? token(payload) : NULL, *header = NULL;
    if (text)
        ck_assert_int_gt(asprintf(&header, "Bearer %.*s", (int)strcspn(text, "\n"), text), 0);
    request->authorization = text_of(header);
    histories = 0;
    route(request);
    free(header);
    free(text);
}

START_TEST(what_is_shown_depends_on_the_rights_of_the_caller)
{
    static const struct {
        const char *rights; /* in the claim channels */
        int join, messages, stats;
    } cases[] = {{"[\"*\"]", 200, 200, 200},
                 {"[\"read\"]", 200, 403, 403},
                 {"[\"history\"]", 403, 200, 403},
                 {"[\"users\"]", 403, 403, 200},
                 {"[\"say\"]", 403, 403, 403},
                 {"[\"join\"]", 403, 403, 403},
                 {"[]", 403, 403, 403}};
    void (*const shown[])(struct request *) = {route_join, route_messages, route_stats};
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int expected[] = {cases[i].join, cases[i].messages, cases[i].stats};
        char payload[128];
        snprintf(payload, sizeof payload, "{\"_public\":{},\"channels\":{\"private:*\":%s}}",
                 cases[i].rights);
        for (size_t j = 0; j < 3; j++) {
            ask_private(shown[j], payload);
            ck_assert_msg(answer.status == expected[j], "%s, %zu: %d", cases[i].rights, j,
                          answer.status);
            if (answer.status == 403)
                ANSWERED(403, "{\"status\":\"error\",\"err\":\"forbidden\"}");
            ask_private(shown[j], NULL);
            ANSWERED(403, "{\"status\":\"error\",\"err\":\"unauthorized\"}");
        }
    }
    ask_private(route_join, "{\"_public\":{},\"channels\":[\"private:x\"]}");
    ck_assert_int_eq(histories, 1);
    ask_private(route_join, "{\"_public\":{},\"channels\":{\"private:x\":[\"read\"]}}");
    ck_assert_int_eq(histories, 0);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"offset\":14,\"messages\":[]"));
    finish();
}
END_TEST

START_TEST(a_wrong_token_is_refused_where_none_is_needed)
{
    static const struct {
        const char *token, *err;
    } cases[] = {{"token=", "Wrong format"},
                 {"token=a.b", "Wrong format"},
                 {"token=a.b.c", "Wrong format"},
                 {"token=eyJhbGciOiJub25lIn0.e30.", "Wrong JWT"}};
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[128];
        struct request *request = request_to("", "lobby");
        request->query = text_of(cases[i].token);
        route_messages(request);
        snprintf(body, sizeof body, "{\"status\":\"error\",\"err\":\"%s\"}", cases[i].err);
        ANSWERED(401, body);
        ck_assert_str_eq(answer.headers, "www-authenticate: Bearer error=\"invalid_token\"\r\n");
    }
    ask_private(route_messages, "{\"_public\":{},\"channels\":1}");
    ANSWERED(401, "{\"status\":\"error\",\"err\":\"Wrong JWT content\"}");
    ask_private(route_messages, "[]");
    ANSWERED(401, "{\"status\":\"error\",\"err\":\"Wrong JWT content\"}");
    conf.limits.token_bytes = 64;
    ask_private(route_messages, "{\"_public\":{},\"channels\":[\"private:x\"]}");
    ANSWERED(401, "{\"status\":\"error\",\"err\":\"Wrong format\"}");
    finish();
}
END_TEST

START_TEST(post_publishes_all_in_order_and_answers_once)
{
    setup();
    send_signed(route_post,
                "[{\"channel\":\"a\",\"msg\":\"hi\",\"user\":{\"name\":\"S\"},\"x\":1},"
                "{\"channel\":\"b\",\"ev\":\"score\",\"data\":{\"home\": 2}}]",
                "k");
    ck_assert_str_eq(asked.text, "a msg=hi ev= data= user={\"name\":\"S\"} name=S id=post\x1fk\x1f"
                                 "0\n"
                                 "b msg= ev=score data={\"home\":2} user= name= id=post\x1fk\x1f"
                                 "1\n");
    asked.posted[1](asked.arg[1], BROKER_OK, false);
    ck_assert_int_eq(answer.count, 0);
    asked.posted[0](asked.arg[0], BROKER_OK, false);
    ANSWERED(200, "OK");
    send_signed(route_post, "[]", NULL);
    ANSWERED(200, "OK");
    finish();
}
END_TEST

START_TEST(post_says_what_failed)
{
    static const struct {
        enum broker_status first, second;
        bool rejected;
        int status;
        const char *body;
    } cases[] = {
        {BROKER_OK, BROKER_UNKNOWN, true, 503, "{\"status\":\"error\",\"err\":\"unavailable\"}"},
        {BROKER_FULL, BROKER_OK, false, 503, "{\"status\":\"error\",\"err\":\"tooManyRooms\"}"},
        {BROKER_OK, BROKER_OK, true, 422, "{\"status\":\"error\",\"err\":\"rejected\"}"},
    };
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_signed(route_post,
                    "[{\"channel\":\"a\",\"msg\":\"\"},{\"channel\":\"a\",\"ev\":\"e\"}]", NULL);
        asked.posted[0](asked.arg[0], cases[i].first, cases[i].rejected);
        asked.posted[1](asked.arg[1], cases[i].second, false);
        ANSWERED(cases[i].status, cases[i].body);
    }
    finish();
}
END_TEST

START_TEST(a_wrong_item_publishes_and_bans_nothing)
{
    static const char *const posts[] = {
        "[1]", "[{\"channel\":\"a\"}]", "[{\"msg\":\"x\"}]", "[{\"channel\":\"\",\"msg\":\"x\"}]",
        "[{\"channel\":\"a\",\"msg\":\"x\"},{\"channel\":\"a\",\"msg\":1}]"};
    static const char *const bans[] = {
        "[{}]",
        "[{\"channel\":\"a\"}]",
        "[{\"channel\":\"a\",\"name\":\"\"}]",
        "[{\"channel\":\"a\",\"name\":\"m\",\"sub\":\"m\"}]",
        "[{\"channel\":\"a\",\"name\":\"m\",\"expire\":-1}]",
        "[{\"channel\":\"a\",\"name\":\"m\"},{\"channel\":\"a\",\"name\":\"m\",\"expire\":\"1\"}]",
        "[{\"channel\":\"a\",\"name\":\"m\",\"expire\":1e300}]"};
    setup();
    for (size_t i = 0; i < sizeof posts / sizeof *posts; i++) {
        send_signed(route_post, posts[i], NULL);
        ANSWERED(400, "{\"status\":\"error\",\"err\":\"Wrong JWT content\"}");
        ck_assert_str_eq(asked.text, "");
    }
    for (size_t i = 0; i < sizeof bans / sizeof *bans; i++) {
        send_signed(route_ban, bans[i], NULL);
        ANSWERED(400, "{\"status\":\"error\",\"err\":\"Wrong JWT content\"}");
        ck_assert_str_eq(asked.text, "");
    }
    send_signed(route_post,
                "[{\"channel\":\"a\",\"ev\":\"x\",\"data\":"
                "\"0123456789012345678901234567890123456789012345678901234567890123\"}]",
                NULL);
    ANSWERED(400, "{\"status\":\"error\",\"err\":\"messageTooLong\",\"max\":64}");
    send_signed(route_post, "[]", "");
    ck_assert_int_eq(answer.status, 400);
    finish();
}
END_TEST

START_TEST(bans_are_for_a_while_or_for_ever)
{
    setup();
    send_signed(
        route_ban,
        "[{\"name\":\"m\",\"channel\":\"a\",\"expire\":30},{\"sub\":\"u\",\"channel\":\"a\"},"
        "{\"sub\":\"u\",\"channel\":\"a\",\"expire\":0},"
        "{\"sub\":\"u\",\"channel\":\"a\",\"expire\":0.0001}]",
        NULL);
    ck_assert_str_eq(asked.text, "a name=m for a while\na sub=u for ever\na sub=u for ever\n"
                                 "a sub=u for a while\n");
    ANSWERED(200, "OK");
    finish();
}
END_TEST

START_TEST(only_an_array_signed_by_our_key_counts)
{
    setup();
    send_signed(route_ban, "{\"_public\":{}}", NULL);
    ANSWERED(403, "{\"status\":\"error\",\"err\":\"Wrong JWT content\"}");
    struct request *request = request_to("", "");
    request->body = text_of("  ");
    route_post(request);
    ANSWERED(400, "{\"status\":\"error\",\"err\":\"Wrong format\"}");
    char *text = token("[]");
    char *signature = strrchr(text, '.') + 1;
    *signature = *signature == 'A' ? 'B' : 'A';
    request = request_to("", "");
    request->body = text_of(text);
    route_post(request);
    free(text);
    ANSWERED(401, "{\"status\":\"error\",\"err\":\"Wrong JWT\"}");
    finish();
}
END_TEST

/* now stands for the time, so that "now+60" is a number. */
static char *with_time(const char *json)
{
    char *text = xmalloc(strlen(json) + 1024), *to = text;
    while (*json) {
        if (!strncmp(json, "now", 3)) {
            char *end;
            long long add = strtoll(json + 3, &end, 10);
            to += sprintf(to, "%lld", (long long)(clock_wall_ms() / 1000) + add);
            json = end;
        } else {
            *to++ = *json++;
        }
    }
    *to = 0;
    return text;
}

static void send_at(void (*route)(struct request *), const char *json, const char *idempotency)
{
    char *text = with_time(json);
    send_signed(route, text, idempotency);
    free(text);
}

#define J128                                                                                       \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                             \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define AUD  "\"aud\":\"chatup-admin\","
#define REST "\"exp\":now+60,\"jti\":\"j\",\"items\":[]"

START_TEST(a_servers_token_says_for_whom_until_when_and_which_it_is)
{
    static const struct {
        const char *json;
        int status;
        const char *err; /* behind "Wrong JWT"; NULL: all is well */
    } cases[] = {
        {"{" AUD REST "}", 200, NULL},
        {"{\"aud\":[\"x\",\"chatup-admin\"]," REST "}", 200, NULL},
        {"{" AUD "\"exp\":now+86400,\"jti\":\"j\",\"items\":[]}", 200, NULL},
        {"{" AUD "\"exp\":now+60,\"jti\":\"" J128 "\",\"items\":[]}", 200, NULL},
        {"{" AUD "\"nbf\":now-5,\"iat\":now-5," REST "}", 200, NULL},
        {"{" REST "}", 403, " content: aud does not name admin.audience"},
        {"{\"aud\":\"chatup\"," REST "}", 403, " content: aud does not name admin.audience"},
        {"{\"aud\":[]," REST "}", 403, " content: aud does not name admin.audience"},
        {"{\"aud\":7," REST "}", 403, " content: aud does not name admin.audience"},
        {"{" AUD "\"_public\":{}," REST "}", 403, " content"},
        {"{" AUD "\"exp\":now+60,\"jti\":\"j\"}", 403, " content"},
        {"{" AUD "\"jti\":\"j\",\"items\":[]}", 400, " content: exp is missing"},
        {"{" AUD "\"exp\":now+86403,\"jti\":\"j\",\"items\":[]}", 400,
         " content: exp is more than 24 hours ahead"},
        {"{" AUD "\"exp\":1e300,\"jti\":\"j\",\"items\":[]}", 400,
         " content: exp is more than 24 hours ahead"},
        {"{" AUD "\"exp\":now-60,\"jti\":\"j\",\"items\":[]}", 401, ""},
        {"{" AUD "\"exp\":\"now+60\",\"jti\":\"j\",\"items\":[]}", 401, ""},
        {"{" AUD "\"nbf\":now+60," REST "}", 401, ""},
        {"{" AUD "\"exp\":now+60,\"items\":[]}", 400,
         " content: jti must be a text of 1 to 128 bytes"},
        {"{" AUD "\"exp\":now+60,\"jti\":\"\",\"items\":[]}", 400,
         " content: jti must be a text of 1 to 128 bytes"},
        {"{" AUD "\"exp\":now+60,\"jti\":7,\"items\":[]}", 400,
         " content: jti must be a text of 1 to 128 bytes"},
        {"{" AUD "\"exp\":now+60,\"jti\":\"" J128 "a\",\"items\":[]}", 400,
         " content: jti must be a text of 1 to 128 bytes"},
        {"{" AUD "\"exp\":now+60,\"jti\":\"j\",\"items\":{}}", 400,
         " content: items must be a list"},
        {"{" AUD "\"exp\":now+60,\"jti\":\"j\",\"items\":null}", 400,
         " content: items must be a list"},
        {"{" AUD "\"exp\":now+60,\"jti\":\"j\",\"items\":[1]}", 400, " content"},
    };
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[256] = "OK";
        if (cases[i].err)
            snprintf(expected, sizeof expected, "{\"status\":\"error\",\"err\":\"Wrong JWT%s\"}",
                     cases[i].err);
        send_at(i % 2 ? route_ban : route_post, cases[i].json, NULL);
        ANSWERED(cases[i].status, expected);
    }
    finish();
}
END_TEST

START_TEST(a_servers_token_is_used_once_unless_it_could_not_be_stored)
{
    static const char json[] = "{" AUD "\"exp\":now+60,\"jti\":\"j-1\",\"items\":"
                               "[{\"channel\":\"a\",\"msg\":\"x\"}]}";
    setup();
    send_at(route_post, json, NULL);
    ck_assert_str_eq(once_asked, "jti:j-1");
    ck_assert_int_ge(once_expires_ms, clock_wall_ms() + 50000);
    ck_assert_str_eq(asked.text, "a msg=x ev= data= user= name= id=post\x1fj-1\x1f"
                                 "0\n");
    asked.posted[0](asked.arg[0], BROKER_OK, false);
    ANSWERED(200, "OK");
    ck_assert_str_eq(once_forgotten, "");

    send_at(route_post, json, "k");
    ck_assert_ptr_nonnull(strstr(asked.text, "id=post\x1fk\x1f"));
    asked.posted[0](asked.arg[0], BROKER_UNAVAILABLE, false);
    ANSWERED(503, "{\"status\":\"error\",\"err\":\"unavailable\"}");
    ck_assert_str_eq(once_forgotten, "jti:j-1");

    static const struct {
        enum broker_status status;
        int code;
        const char *body;
    } refusals[] = {
        {BROKER_REPEATED, 409, "{\"status\":\"error\",\"err\":\"replayed\"}"},
        {BROKER_FULL, 503, "{\"status\":\"error\",\"err\":\"tooManyReplays\"}"},
        {BROKER_UNAVAILABLE, 503, "{\"status\":\"error\",\"err\":\"unavailable\"}"},
        {BROKER_UNKNOWN, 503, "{\"status\":\"error\",\"err\":\"unavailable\"}"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        *once_forgotten = 0;
        once_status = refusals[i].status;
        send_at(route_post, json, NULL);
        ANSWERED(refusals[i].code, refusals[i].body);
        ck_assert_str_eq(asked.text, "");
        ck_assert_str_eq(once_forgotten, once_status == BROKER_UNKNOWN ? "jti:j-1" : "");
    }
    finish();
}
END_TEST

START_TEST(without_legacy_tokens_a_bare_list_is_refused)
{
    static const char why[] = "{\"status\":\"error\",\"err\":\"Wrong JWT content: without aud, exp "
                              "and jti, and legacy_tokens is false\"}";
    setup();
    conf.legacy_tokens = false;
    send_signed(route_post, "[]", NULL);
    ANSWERED(400, why);
    send_signed(route_ban, "[{\"name\":\"m\",\"channel\":\"a\"}]", NULL);
    ANSWERED(400, why);
    ck_assert_str_eq(asked.text, "");
    send_signed(route_ban, "{\"_public\":{}}", NULL);
    ANSWERED(403, "{\"status\":\"error\",\"err\":\"Wrong JWT content\"}");
    send_at(route_ban, "{" AUD REST "}", NULL);
    ANSWERED(200, "OK");
    finish();
}
END_TEST

static void call_plugin(const char *path, uint32_t method, const char *body)
{
    struct request *request = request_to(path, "");
    request->method = method;
    request->query = (struct text){"a=1\0b=2", 7};
    request->body = text_of(body);
    route_plugin(request);
}

START_TEST(plugins_answer_and_their_faults_do_not_get_through)
{
    setup();
    call_plugin("/plugin/demo/echo", METHOD_GET, "hi");
    ANSWERED(201, "shard|/echo|a=1&b=2|hi");
    ck_assert_str_eq(answer.type, "text/plain");
    call_plugin("/plugin/demo/echo", METHOD_POST, "123456789");
    ANSWERED(413, "{\"status\":\"error\",\"err\":\"Body too large\"}");
    call_plugin("/plugin/demo/echo", METHOD_PUT, "");
    ck_assert_int_eq(answer.status, 405);
    ck_assert_str_eq(answer.headers, "allow: GET, HEAD, POST, OPTIONS\r\n");
    call_plugin("/plugin/demo/none", METHOD_GET, "");
    ANSWERED(404, "{\"status\":\"error\",\"err\":\"Not found\"}");
    call_plugin("/plugin/demo/split", METHOD_GET, "");
    ANSWERED(500, "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":\"demo\"}");
    call_plugin("/plugin/demo/fail", METHOD_GET, "");
    ANSWERED(500, "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":\"demo\"}");

    char *text = token("{\"a\": 1}");
    call_plugin("/plugin/demo", METHOD_POST, text);
    free(text);
    ANSWERED(201, "shard||a=1&b=2|{\"a\":1}");
    text = token("{\"_public\":{}}");
    call_plugin("/plugin/demo", METHOD_POST, text);
    free(text);
    ck_assert_int_eq(answer.status, 403);
    call_plugin("/plugin/demo", METHOD_POST, "x");
    ck_assert_int_eq(answer.status, 400);
    char *json = with_time("{" AUD "\"exp\":now+60,\"jti\":\"j\",\"items\":{\"a\":2}}");
    text = token(json);
    free(json);
    call_plugin("/plugin/demo", METHOD_POST, text);
    ANSWERED(201, "shard||a=1&b=2|{\"a\":2}");
    once_status = BROKER_REPEATED;
    call_plugin("/plugin/demo", METHOD_POST, text);
    free(text);
    ANSWERED(409, "{\"status\":\"error\",\"err\":\"replayed\"}");
    finish();
}
END_TEST

START_TEST(the_page_is_what_client_dir_holds)
{
    char dir[] = "/tmp/chatup-page-XXXXXX", file[64];
    setup();
    route_page(request_to("/", ""));
    ANSWERED(404, "{\"status\":\"error\",\"err\":\"Not found\"}");
    conf.client_dir = mkdtemp(dir);
    snprintf(file, sizeof file, "%s/index.html", dir);
    FILE *out = fopen(file, "w");
    fputs("<p>", out);
    fclose(out);
    route_page(request_to("/", ""));
    ANSWERED(200, "<p>");
    ck_assert_str_eq(answer.type, "text/html; charset=utf-8");
    ck_assert_ptr_nonnull(strstr(answer.headers, "content-security-policy: default-src 'none'"));
    route_page(request_to("/app.js", ""));
    ck_assert_int_eq(answer.status, 404);
    unlink(file);
    rmdir(dir);
    conf.client_dir = no_dir;
    finish();
}
END_TEST

UNIT_MAIN("routes", join_tells_where_who_and_what, join_refuses_what_it_cannot_trust,
          stats_caps_its_limit_and_wants_numbers, a_bearer_token_is_what_follows_the_scheme,
          what_is_shown_depends_on_the_rights_of_the_caller,
          a_wrong_token_is_refused_where_none_is_needed,
          post_publishes_all_in_order_and_answers_once, post_says_what_failed,
          a_wrong_item_publishes_and_bans_nothing, bans_are_for_a_while_or_for_ever,
          only_an_array_signed_by_our_key_counts,
          a_servers_token_says_for_whom_until_when_and_which_it_is,
          a_servers_token_is_used_once_unless_it_could_not_be_stored,
          without_legacy_tokens_a_bare_list_is_refused,
          plugins_answer_and_their_faults_do_not_get_through, the_page_is_what_client_dir_holds)
