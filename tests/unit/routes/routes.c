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
#include "limiter.h"
#include "message.h"
#include "name.h"
#include "plugin.h"
#include "plugin_set.h"
#include "route.h"
#include "sign.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the pipeline below: it keeps what it is asked, and answers when told ---- */

static struct {
    char text[4096]; /* one line per thing asked */
    size_t count;
    pipeline_posted *posted[8];
    void *arg[8];
} asked;

static void note(const char *what, struct text text)
{
    size_t length = strlen(asked.text);
    snprintf(asked.text + length, sizeof asked.text - length, "%s%.*s", what, (int)text.length,
             text.length ? text.at : "");
}

void pipeline_post(struct pipeline *pipeline, struct speaker *speaker, const struct post *post,
                   pipeline_posted *done, void *arg)
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

static const char *said; /* what a say is answered */

void pipeline_say(struct pipeline *pipeline, struct speaker *speaker, struct user *user,
                  const struct address *address, struct name *room, struct text msg,
                  struct text client_id, pipeline_said *done, void *arg)
{
    note("", name_text(room));
    note(" says=", msg);
    note(" id=", client_id);
    note("\n", (struct text){0});
    done(arg, text_of(said));
}

int64_t limiter_take(struct limiter *limiter, const struct config *conf, enum limited what,
                     struct bucket *own, const struct address *address, const struct user *user)
{
    return 0;
}

static size_t hidden_pages; /* so many a plugin hides wholly */
static int histories;       /* written */

size_t pipeline_write_history(struct pipeline *of, const struct name *room,
                              const struct snapshot *history, bool newest_first, struct buffer *out)
{
    histories++;
    buffer_text(out, newest_first ? "[]" : "[ ]");
    if (!hidden_pages)
        return history->count;
    hidden_pages--;
    return 0;
}

/* ---- the broker, the same ---- */

static void note_person(const struct name *room, enum ban_kind kind, struct text who)
{
    static const char *const kinds[] = {" name=", " sub=", " address="};
    note("", room ? name_text(room) : text_of("(everywhere)"));
    if (who.length)
        note(kinds[kind], who);
}

static struct ban *listed_ban;
static enum broker_status moderated_status;

static void fake_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    note_person(ban->room, ban->kind, ban->who);
    note(ban->expires_ms == BAN_FOR_EVER ? " for ever" : " for a while", (struct text){0});
    if (ban->reason.length)
        note(": ", ban->reason);
    note("\n", (struct text){0});
    ban_unref(ban);
    done(arg, moderated_status, 7); /* at once is allowed, too */
}

static void fake_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    note_person(ban->room, ban->kind, ban->who);
    note(" unban\n", (struct text){0});
    ban_unref(ban);
    done(arg, moderated_status, 1);
}

static void fake_kick(struct broker *broker, const struct kick *kick, broker_moderated *done,
                      void *arg)
{
    note_person(kick->room, kick->kind, kick->who);
    note(kick->ban ? " ban\n" : " kick\n", (struct text){0});
    done(arg, moderated_status, 0);
}

static void fake_remove(struct broker *broker, const struct removal *removal,
                        broker_moderated *done, void *arg)
{
    char offset[32];
    snprintf(offset, sizeof offset, " offset=%d", (int)removal->offset);
    note_person(removal->room, removal->kind, removal->who);
    if (removal->id.length)
        note(" i=", removal->id);
    if (removal->offset)
        note(offset, (struct text){0});
    note("\n", (struct text){0});
    done(arg, moderated_status, 2);
}

static int64_t fake_ban_ttl(struct broker *broker, const struct name *room,
                            const struct identity *who, struct text *reason_out)
{
    char from[ADDRESS_TEXT_SIZE];
    address_format(&who->address, from);
    return text_is(who->name, "Mallory") || !strcmp(from, "192.0.2.66") ? BAN_FOR_EVER : 0;
}

static void fake_list(struct broker *broker, const struct bans_asked *what, broker_listed *done,
                      void *arg)
{
    char page[64];
    snprintf(page, sizeof page, " %d %d\n", (int)what->skip, (int)what->limit);
    note("", what->room         ? name_text(what->room)
             : what->everywhere ? text_of("(everywhere)")
                                : text_of("(all)"));
    note(page, (struct text){0});
    done(arg, &listed_ban, listed_ban ? 1 : 0, 12);
}

static enum broker_status look_status;

static void fake_look(struct broker *broker, struct name *room, const struct room_asked *what,
                      broker_looked *done, void *arg)
{
    char part[128];
    const struct history_part *history = &what->history;
    snprintf(part, sizeof part, "after %lld before %lld max %lld%s\n", (long long)history->after,
             (long long)history->before, (long long)history->max, history->oldest ? " oldest" : "");
    note(part, (struct text){0});
    struct room_view view = {.history = {.status = look_status, .at = {"5f1c", 14}},
                             .readers = 2,
                             .publishers = 1,
                             .users = 1,
                             .clients = text_of("[{\"name\":\"Ann\"}]")};
    struct message first = {.offset = 5}, last = {.offset = 9}, *both[] = {&first, &last};
    if (history->max == 2) {
        view.history.messages = both;
        view.history.count = 2;
    }
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

void speaker_init(struct speaker *speaker)
{
}

void speaker_left(struct speaker *speaker)
{
    ck_abort(); /* nobody does, here */
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
static struct desk pipeline_desk;

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
    static const struct broker_home home = {.look = fake_look,
                                            .ban = fake_ban,
                                            .unban = fake_unban,
                                            .kick = fake_kick,
                                            .remove = fake_remove,
                                            .list_bans = fake_list,
                                            .ban_ttl = fake_ban_ttl,
                                            .once = fake_once,
                                            .once_forget = fake_once_forget};
    static struct broker broker = {.home = &home};
    static struct plugin plugin = {.name = "demo", .conf = &conf, .self = (void *)"shard"};
    static struct plugin *plugins[] = {&plugin};
    static struct desk *desks[1];
    static struct plugin_set set = {.plugins = plugins, .count = 1, .refs = 1};
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
    conf.limits.json_depth = 4;
    plugin.api.routes = plugin_routes;
    plugin.api.route_count = 4;
    plugin.desks = desks;
    plugin.loops = 1;
    plugin.stats = xcalloc(1, sizeof *plugin.stats + sizeof *plugin.stats->hooks);
    desk_init(&pipeline_desk, NULL, 0, 1, NULL);
    pipeline = (struct pipeline){.conf = &conf,
                                 .port = 8080,
                                 .set = &set,
                                 .worker_id = "chatUp:chatServer:1",
                                 .broker = &broker};
    pipeline.keys = keyring_load(&conf, &err);
    pipeline.access = access_load(&conf, &err);
    once_status = BROKER_OK;
    *once_asked = *once_forgotten = 0;
    pipeline.admin_keys = keyring_load_admin(&conf, &err);
    pipeline.chain = chain_create(plugins, 1, NULL, NULL, &pipeline_desk, &err);
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

START_TEST(a_ban_keeps_from_reading_where_guests_may_not_read)
{
    void (*const shown[])(struct request *) = {route_join, route_messages, route_stats};
    static const char ann[] = "{\"_public\":{\"name\":\"Ann\"},\"channels\":[\"*\"]}",
                      mallory[] = "{\"_public\":{\"name\":\"Mallory\"},\"channels\":[\"*\"]}",
                      stranger[] = "{\"_public\":{\"name\":\"Mallory\"}}";
    setup();
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        ask_private(shown[i], ann);
        ck_assert_int_eq(answer.status, 200);
        ask_private(shown[i], mallory);
        ANSWERED(403, "{\"status\":\"error\",\"err\":\"banned\"}");
        ask_private(shown[i], stranger); /* who has no right here learns nothing */
        ANSWERED(403, "{\"status\":\"error\",\"err\":\"forbidden\"}");
        struct request *request = request_to("", "lobby"); /* who may come as a guest anyway */
        strcpy(request->address, "192.0.2.66");
        shown[i](request);
        ck_assert_int_eq(answer.status, 200);
        struct request *banned = request_to("", "private:x");
        char *text = token(ann), *header = NULL;
        ck_assert_int_gt(asprintf(&header, "Bearer %.*s", (int)strcspn(text, "\n"), text), 0);
        banned->authorization = text_of(header);
        strcpy(banned->address, "192.0.2.66");
        shown[i](banned);
        ANSWERED(403, "{\"status\":\"error\",\"err\":\"banned\"}");
        free(header);
        free(text);
    }
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
        {BROKER_OK, BROKER_UNKNOWN, true, 503, "{\"status\":\"error\",\"err\":\"unknown\"}"},
        {BROKER_UNAVAILABLE, BROKER_UNKNOWN, false, 503,
         "{\"status\":\"error\",\"err\":\"unavailable\"}"},
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

START_TEST(a_wrong_item_publishes_nothing)
{
    static const struct {
        const char *items, *where;
    } posts[] = {
        {"[1]", "[0]: an object expected"},
        {"[{\"channel\":\"a\"}]", "[0].msg: missing, and so is ev"},
        {"[{\"msg\":\"x\"}]", "[0].channel: missing"},
        {"[{\"channel\":\"\",\"msg\":\"x\"}]", "[0].channel: 1 to 200 bytes of UTF-8 expected"},
        {"[{\"channel\":\"a\",\"msg\":\"x\"},{\"channel\":\"a\",\"msg\":1}]",
         "[1].msg: a text expected"},
    };
    setup();
    for (size_t i = 0; i < sizeof posts / sizeof *posts; i++) {
        char expected[200];
        snprintf(expected, sizeof expected,
                 "{\"status\":\"error\",\"err\":\"Wrong JWT content: %s\"}", posts[i].where);
        send_signed(route_post, posts[i].items, NULL);
        ANSWERED(400, expected);
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

static void pub(const char *body, const char *idempotency)
{
    char *text = token("{\"sub\":\"42\",\"_public\":{}}");
    char *bearer = NULL;
    text[strcspn(text, "\n")] = 0;
    ck_assert_int_gt(asprintf(&bearer, "Bearer %s", text), 0);
    struct request *request = request_to("/pub", "");
    request->body = text_of(body);
    request->authorization = text_of(bearer);
    if (idempotency)
        request->idempotency_key = text_of(idempotency);
    memset(&asked, 0, sizeof asked);
    route_say(request);
    free(bearer);
    free(text);
}

START_TEST(the_status_of_a_say_follows_from_its_answer)
{
    static const struct {
        const char *said;
        int status;
        const char *headers;
    } cases[] = {
        {"{\"status\":\"ok\",\"offset\":1}", 200, ""},
        {"{\"whatever\":\"a plugin says\"}", 200, ""},
        {"\"ok\"", 200, ""},
        {"{\"status\":\"error\",\"err\":\"rejected\"}", 422, ""},
        {"{\"status\":\"error\",\"err\":\"of a plugin\"}", 422, ""},
        {"{\"status\":\"error\"}", 422, ""},
        {"{\"status\":\"error\",\"err\":\"banned\",\"ttl\":3}", 403, ""},
        {"{\"status\":\"error\",\"err\":\"unavailable\"}", 503, ""},
        {"{\"status\":\"error\",\"err\":\"tooManyRooms\"}", 503, ""},
        {"{\"status\":\"error\",\"err\":\"pluginUnavailable\"}", 503, ""},
        {"{\"status\":\"error\",\"err\":\"rateLimited\",\"ttw\":2.1}", 429, "retry-after: 3\r\n"},
        {"{\"status\":\"error\",\"err\":\"rateLimited\",\"ttw\":2}", 429, "retry-after: 2\r\n"},
        {"{\"status\":\"error\",\"err\":\"rateLimited\",\"ttw\":-1e99}", 429, "retry-after: 0\r\n"},
    };
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        said = cases[i].said;
        pub("{\"room\":\"lobby\",\"msg\":\"hi\"}", NULL);
        ANSWERED(cases[i].status, cases[i].said);
        ck_assert_str_eq(answer.headers, cases[i].headers);
    }
    finish();
}
END_TEST

START_TEST(a_say_has_a_client_id_of_its_own_or_the_header)
{
    setup();
    said = "{}";
    pub("{\"room\":\"lobby\",\"msg\":\"hi\"}", NULL);
    ck_assert_str_eq(asked.text, "lobby says=hi id=\n");
    pub("{\"channel\":\"a/b\",\"msg\":\"hi\"}", "k");
    ck_assert_str_eq(asked.text, "a/b says=hi id=k\n");
    pub("{\"room\":\"lobby\",\"channel\":\"x\",\"msg\":\"hi\",\"cid\":\"c\"}", "k");
    ck_assert_str_eq(asked.text, "lobby says=hi id=c\n");
    pub("{\"room\":\"lobby\",\"msg\":\"hi\"}", "");
    ANSWERED(400, "{\"status\":\"error\",\"err\":\"Wrong format\"}");
    finish();
}
END_TEST

/* ---- moderation ---- */

#define UUID "7f9c5f0e-3c2f-4e0b-9a55-0d2f6f6f4b11"
#define B201                                                                                       \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                          \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                          \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

START_TEST(moderation_asks_the_broker_for_what_the_items_say)
{
    static const struct {
        void (*route)(struct request *);
        const char *items, *asked, *answer;
    } cases[] = {
        {route_ban,
         "[{\"name\":\"m\",\"channel\":\"a\",\"expire\":30},{\"sub\":\"u\",\"channel\":\"a\"},"
         "{\"sub\":\"u\",\"channel\":\"a\",\"expire\":0,\"reason\":\"\\\"spam\\\"\"},"
         "{\"sub\":\"u\",\"everywhere\":true,\"expire\":0.0001,\"x\":1}]",
         "a name=m for a while\na sub=u for ever\na sub=u for ever: \"spam\"\n"
         "(everywhere) sub=u for a while\n",
         "OK"},
        {route_ban,
         "[{\"address\":\"192.0.2.7\",\"channel\":\"a\"},"
         "{\"address\":\"::ffff:192.0.2.7\",\"channel\":\"a\"},"
         "{\"address\":\"2001:DB8::1:2:3:4\",\"channel\":\"a\",\"everywhere\":false},"
         "{\"address\":\"2001:db8::/64\",\"everywhere\":true},"
         "{\"address\":\"fe80::1%eth0\",\"everywhere\":true}]",
         "a address=192.0.2.7 for ever\na address=192.0.2.7 for ever\n"
         "a address=2001:db8::/64 for ever\n(everywhere) address=2001:db8::/64 for ever\n"
         "(everywhere) address=fe80::/64 for ever\n",
         "OK"},
        {route_ban, "[]", "", "OK"},
        {route_unban, "[{\"name\":\"m\",\"channel\":\"a\"},{\"sub\":\"u\",\"everywhere\":true}]",
         "a name=m unban\n(everywhere) sub=u unban\n", "{\"status\":\"ok\",\"unbanned\":2}"},
        {route_kick,
         "[{\"name\":\"m\",\"channel\":\"a\"},{\"address\":\"::1\",\"everywhere\":true}]",
         "a name=m kick\n(everywhere) address=::/64 kick\n", "OK"},
        {route_remove,
         "[{\"channel\":\"a\",\"i\":\"" UUID "\"},{\"channel\":\"a\",\"offset\":12},"
         "{\"channel\":\"a\",\"name\":\"m\"},{\"everywhere\":true,\"sub\":\"u\"}]",
         "a i=" UUID "\na offset=12\na name=m\n(everywhere) sub=u\n",
         "{\"status\":\"ok\",\"removed\":8}"},
        {route_bans, "[{}]", "(all) 0 50\n", "{\"total\":12,\"limit\":50,\"skip\":0,\"bans\":[]}"},
        {route_bans, "[{\"channel\":\"a\",\"limit\":2,\"skip\":3}]", "a 3 2\n",
         "{\"total\":12,\"limit\":2,\"skip\":3,\"bans\":[]}"},
        {route_bans, "[{\"everywhere\":true,\"limit\":99999}]", "(everywhere) 0 1000\n",
         "{\"total\":12,\"limit\":1000,\"skip\":0,\"bans\":[]}"},
    };
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_signed(cases[i].route, cases[i].items, NULL);
        ck_assert_str_eq(asked.text, cases[i].asked);
        ANSWERED(200, cases[i].answer);
    }
    finish();
}
END_TEST

START_TEST(a_ban_is_listed_as_it_can_be_sent_back)
{
    setup();
    struct name *room = name_create(text_of("a\"b"));
    const struct {
        struct ban_fields fields;
        const char *listed;
    } cases[] = {
        {{room, BAN_SUB, text_of("u"), 1763890030001, 1763890000000, text_of("spam")},
         "{\"sub\":\"u\",\"channel\":\"a\\\"b\",\"created\":1763890000.000,"
         "\"expires\":1763890030.001,\"reason\":\"spam\"}"},
        {{NULL, BAN_ADDRESS, text_of("::/64"), BAN_FOR_EVER, 1763890000000, {0}},
         "{\"address\":\"::/64\",\"everywhere\":true,\"created\":1763890000.000,\"expires\":-1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[512];
        snprintf(expected, sizeof expected, "{\"total\":12,\"limit\":50,\"skip\":0,\"bans\":[%s]}",
                 cases[i].listed);
        listed_ban = ban_create(&cases[i].fields);
        send_signed(route_bans, "[{}]", NULL);
        ANSWERED(200, expected);
        ban_unref(listed_ban);
    }
    listed_ban = NULL;
    name_unref(room);
    finish();
}
END_TEST

START_TEST(wrong_moderation_is_told_where_and_does_nothing)
{
    static const struct {
        void (*route)(struct request *); /* NULL: /ban, /unban and /kick */
        const char *items, *err;
    } cases[] = {
        {NULL, "[5]", "[0]: an object expected"},
        {NULL, "[[]]", "[0]: an object expected"},
        {NULL, "[{}]", "[0].name: missing, and so are sub and address"},
        {NULL, "[{\"channel\":\"a\"}]", "[0].name: missing, and so are sub and address"},
        {NULL, "[{\"name\":\"m\"}]", "[0].channel: missing, and so is \\\"everywhere\\\": true"},
        {NULL, "[{\"name\":\"m\",\"everywhere\":false}]",
         "[0].channel: missing, and so is \\\"everywhere\\\": true"},
        {NULL, "[{\"name\":\"m\",\"everywhere\":1}]", "[0].everywhere: true expected"},
        {NULL, "[{\"name\":\"m\",\"everywhere\":true,\"channel\":\"a\"}]",
         "[0].channel: not together with everywhere"},
        {NULL, "[{\"name\":\"m\",\"channel\":5}]", "[0].channel: 1 to 200 bytes of UTF-8 expected"},
        {NULL, "[{\"name\":\"m\",\"channel\":\"\"}]",
         "[0].channel: 1 to 200 bytes of UTF-8 expected"},
        {NULL, "[{\"name\":\"m\",\"channel\":\"" B201 "\"}]",
         "[0].channel: 1 to 200 bytes of UTF-8 expected"},
        {NULL, "[{\"name\":\"\",\"channel\":\"a\"}]", "[0].name: 1 to 256 bytes expected"},
        {NULL, "[{\"sub\":5,\"channel\":\"a\"}]", "[0].sub: 1 to 256 bytes expected"},
        {NULL, "[{\"name\":\"m\",\"sub\":\"m\",\"channel\":\"a\"}]",
         "[0].sub: one of name, sub and address is enough"},
        {NULL, "[{\"address\":\"192.0.2\",\"channel\":\"a\"}]",
         "[0].address: an IPv4 or IPv6 address expected"},
        {NULL, "[{\"address\":\"2001:db8::/32\",\"channel\":\"a\"}]",
         "[0].address: an IPv4 or IPv6 address expected"},
        {NULL, "[{\"address\":\"localhost\",\"channel\":\"a\"}]",
         "[0].address: an IPv4 or IPv6 address expected"},
        {NULL, "[{\"name\":\"m\",\"channel\":\"a\"},{\"name\":\"n\"}]",
         "[1].channel: missing, and so is \\\"everywhere\\\": true"},
        {route_ban, "[{\"name\":\"m\",\"channel\":\"a\",\"expire\":-1}]",
         "[0].expire: 0 or more seconds expected, ten years at most"},
        {route_ban, "[{\"name\":\"m\",\"channel\":\"a\",\"expire\":\"1\"}]",
         "[0].expire: 0 or more seconds expected, ten years at most"},
        {route_ban, "[{\"name\":\"m\",\"channel\":\"a\",\"expire\":1e300}]",
         "[0].expire: 0 or more seconds expected, ten years at most"},
        {route_ban, "[{\"name\":\"m\",\"channel\":\"a\",\"reason\":\"" B201 "\"}]",
         "[0].reason: a text of at most 200 bytes expected"},
        {route_ban, "[{\"name\":\"m\",\"channel\":\"a\",\"reason\":1}]",
         "[0].reason: a text of at most 200 bytes expected"},
        {route_remove, "[{\"channel\":\"a\"}]", "[0].name: missing, and so are sub and address"},
        {route_remove, "[{\"channel\":\"a\",\"i\":5}]", "[0].i: the id of a message expected"},
        {route_remove, "[{\"channel\":\"a\",\"i\":\"x\"}]", "[0].i: the id of a message expected"},
        {route_remove, "[{\"channel\":\"a\",\"offset\":0}]",
         "[0].offset: a whole number from 1 on expected"},
        {route_remove, "[{\"channel\":\"a\",\"offset\":1.5}]",
         "[0].offset: a whole number from 1 on expected"},
        {route_remove, "[{\"channel\":\"a\",\"offset\":1,\"i\":\"" UUID "\"}]",
         "[0].offset: not together with i"},
        {route_remove, "[{\"everywhere\":true,\"offset\":1}]",
         "[0].channel: missing; a message is in one only"},
        {route_remove, "[{\"channel\":\"a\",\"address\":\"::1\"}]",
         "[0].address: messages do not know theirs; ban it, remove by name or sub"},
        {route_bans, "[]", ""},
        {route_bans, "[{},{}]", ""},
        {route_bans, "[5]", ""},
        {route_bans, "[{\"channel\":\"\"}]", "[0].channel: 1 to 200 bytes of UTF-8 expected"},
        {route_bans, "[{\"limit\":-1}]", "[0].limit: a whole number from 0 on expected"},
        {route_bans, "[{\"channel\":\"a\",\"skip\":\"1\"}]",
         "[0].skip: a whole number from 0 on expected"},
    };
    static void (*const all[])(struct request *) = {route_ban, route_unban, route_kick};
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < (cases[i].route ? 1 : 3); k++) {
            char expected[256];
            snprintf(expected, sizeof expected,
                     "{\"status\":\"error\",\"err\":\"Wrong JWT content: %s\"}",
                     *cases[i].err ? cases[i].err : "one object in the array expected");
            send_signed(cases[i].route ? cases[i].route : all[k], cases[i].items, NULL);
            ANSWERED(400, expected);
            ck_assert_str_eq(asked.text, "");
        }
    }
    finish();
}
END_TEST

START_TEST(moderation_says_what_failed)
{
    static const struct {
        enum broker_status status;
        const char *err;
    } cases[] = {{BROKER_FULL_BANS, "tooManyBans"},
                 {BROKER_FULL, "tooManyRooms"},
                 {BROKER_UNAVAILABLE, "unavailable"},
                 {BROKER_UNKNOWN, "unknown"}};
    static void (*const all[])(struct request *) = {route_ban, route_unban, route_kick,
                                                    route_remove};
    setup();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            char expected[64];
            moderated_status = cases[i].status;
            send_signed(all[k], "[{\"name\":\"m\",\"channel\":\"a\"}]", NULL);
            snprintf(expected, sizeof expected, "{\"status\":\"error\",\"err\":\"%s\"}",
                     cases[i].err);
            ANSWERED(503, expected);
        }
    }
    moderated_status = BROKER_OK;
    finish();
}
END_TEST

static void messages(const char *query, size_t length)
{
    struct request *request = request_to("/messages/a", "a");
    request->query = (struct text){query, length};
    memset(&asked, 0, sizeof asked);
    route_messages(request);
}

START_TEST(pages_of_the_history_are_asked_for_by_offset)
{
#define QUERY(text) text, sizeof text - 1
    static const struct {
        const char *query;
        size_t length;
        const char *asked, *answer;
    } good[] = {
        {QUERY(""), "after 0 before -1 max -1\n", "[]"},
        {QUERY("limit=7"), "after 0 before -1 max 7\n", "[]"},
        {QUERY("limit=5000"), "after 0 before -1 max 1000\n", "[]"},
        {QUERY("before=12"), "after 0 before 12 max 1000\n", "[]"},
        {QUERY("before=12\0limit=3"), "after 0 before 12 max 3\n", "[]"},
        {QUERY("after=0\0limit=3"), "after 0 before -1 max 3 oldest\n", "[ ]"},
        {QUERY("after=99999999999999999999999"),
         "after 9223372036854775807 before -1 max 1000 oldest\n", "[ ]"},
    };
    static const struct {
        const char *query;
        size_t length;
        const char *err;
    } bad[] = {
        {QUERY("before=x"), "Wrong before: not a number"},
        {QUERY("before="), "Wrong before: not a number"},
        {QUERY("before=-1"), "Wrong before: not a number"},
        {QUERY("after=1.5"), "Wrong after: not a number"},
        {QUERY("after=5f1c:12"), "Wrong after: not a number"},
        {QUERY("limit=0"), "Wrong limit: 1 or more"},
        {QUERY("limit=+5"), "Wrong limit: not a number"},
        {QUERY("before=3\0after=1"), "Wrong after: not together with before"},
    };
    setup();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        messages(good[i].query, good[i].length);
        ck_assert_str_eq(asked.text, good[i].asked);
        ANSWERED(200, good[i].answer);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char expected[128];
        messages(bad[i].query, bad[i].length);
        snprintf(expected, sizeof expected, "{\"status\":\"error\",\"err\":\"%s\"}", bad[i].err);
        ANSWERED(400, expected);
        ck_assert_str_eq(asked.text, "");
    }
    finish();
}
END_TEST

START_TEST(a_page_that_a_plugin_hides_is_not_taken_for_the_end)
{
    setup();
    hidden_pages = 2;
    messages(QUERY("before=12\0limit=2"));
    ck_assert_str_eq(asked.text, "after 0 before 12 max 2\nafter 0 before 5 max 2\n"
                                 "after 0 before 5 max 2\n");
    ANSWERED(200, "[]");
    hidden_pages = 1;
    messages(QUERY("after=2\0limit=2"));
    ck_assert_str_eq(asked.text, "after 2 before -1 max 2 oldest\n"
                                 "after 9 before -1 max 2 oldest\n");
    ANSWERED(200, "[ ]");
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
        {"{" AUD "\"exp\":now+60,\"jti\":\"j\",\"items\":[1]}", 400,
         " content: [0]: an object expected"},
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
        ck_assert_str_eq(once_forgotten, ""); /* it is not ours to give back */
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
    snprintf(file, sizeof file, "%s/demo", dir);
    ck_assert_int_eq(mkdir(file, 0700), 0);
    snprintf(file, sizeof file, "%s/demo/index.html", dir);
    FILE *out = fopen(file, "w");
    fputs("<p>", out);
    fclose(out);
    route_page(request_to("/", ""));
    ANSWERED(200, "<p>");
    ck_assert_str_eq(answer.type, "text/html; charset=utf-8");
    ck_assert_ptr_nonnull(strstr(answer.headers, "content-security-policy: default-src 'none'"));
    route_page(request_to("/chatup.js", ""));
    ck_assert_int_eq(answer.status, 404);
    unlink(file);
    *strrchr(file, '/') = 0;
    rmdir(file);
    rmdir(dir);
    conf.client_dir = no_dir;
    finish();
}
END_TEST

UNIT_MAIN("routes", join_tells_where_who_and_what, join_refuses_what_it_cannot_trust,
          stats_caps_its_limit_and_wants_numbers, a_bearer_token_is_what_follows_the_scheme,
          what_is_shown_depends_on_the_rights_of_the_caller,
          a_ban_keeps_from_reading_where_guests_may_not_read,
          a_wrong_token_is_refused_where_none_is_needed,
          post_publishes_all_in_order_and_answers_once, post_says_what_failed,
          a_wrong_item_publishes_nothing, the_status_of_a_say_follows_from_its_answer,
          a_say_has_a_client_id_of_its_own_or_the_header,
          moderation_asks_the_broker_for_what_the_items_say, a_ban_is_listed_as_it_can_be_sent_back,
          wrong_moderation_is_told_where_and_does_nothing, moderation_says_what_failed,
          pages_of_the_history_are_asked_for_by_offset,
          a_page_that_a_plugin_hides_is_not_taken_for_the_end,
          only_an_array_signed_by_our_key_counts,
          a_servers_token_says_for_whom_until_when_and_which_it_is,
          a_servers_token_is_used_once_unless_it_could_not_be_stored,
          without_legacy_tokens_a_bare_list_is_refused,
          plugins_answer_and_their_faults_do_not_get_through, the_page_is_what_client_dir_holds)
