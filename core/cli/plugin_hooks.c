/* What a check says to a plugin: what comes every day, and what should not come, and does. Texts
 * are copies of their exact length, so that a sanitizer sees who reads on. */
#include "alloc.h"
#include "buffer.h"
#include "chain.h"
#include "config.h"
#include "message.h"
#include "name.h"
#include "plugin.h"
#include "plugin_check.h"

#include <string.h>

enum { BIG = 1024 * 1024, PATIENCE_MS = 500 };

static const char id[] = "6e2a0f3a-9a53-4bd5-a5a4-5a2a7bd6a2c1";
static const char nasty[] =
    "\xf0\x9f\x98\x80\xe2\x80\xae\xcc\x81\xe2\x80\x8d {\"a\":1} %s%n ' \\ \x01";

static const struct {
    const char *what, *at;
    size_t length;
    char fill; /* of BIG bytes, where at is NULL */
} texts[] = {
    {"an ordinary text", "hello there", 11, 0},
    {"no bytes", "", 0, 0},
    {"emoji, direction marks, JSON, format characters", nasty, sizeof nasty - 1, 0},
    {"a megabyte", NULL, BIG, 'x'},
    {"a megabyte of white space", NULL, BIG, ' '},
    {"an event without a text", NULL, 0, 0},
};

static char *text_copy(size_t i)
{
    char *copy = xmalloc(texts[i].length);
    if (texts[i].at)
        return memcpy(copy, texts[i].at, texts[i].length);
    return memset(copy, texts[i].fill, texts[i].length);
}

static struct chatup_text lent(const char *text)
{
    return (struct chatup_text){text, strlen(text)};
}

/* Faults are no failure where services fail: on_error is for that. */
static uint64_t faults(const struct check *check)
{
    return check->mode == CHECK_WORKS ? atomic_load(&check->plugin->stats->faults) : 0;
}

/* ---- message_in ---- */

struct said {
    struct turn turn; /* first */
    char *msg;
    bool over, left; /* left: nobody looks any more */
};

static void said_free(struct said *said)
{
    turn_finish(&said->turn);
    name_unref(said->turn.room);
    free(said->msg);
    free(said);
}

static void said_done(struct turn *turn, enum chain_verdict verdict)
{
    struct said *said = (struct said *)turn;
    said->over = true;
    if (said->left)
        said_free(said);
}

static void say(struct check *check, struct chain *chain, size_t i, uint32_t flags, const char *sub)
{
    struct said *said = xcalloc(1, sizeof *said);
    uint64_t before = faults(check);
    said->msg = text_copy(i);
    said->turn = (struct turn){
        .event = {.size = sizeof said->turn.event,
                  .flags = flags,
                  .room = lent("room"),
                  .id = lent(id),
                  .sub = lent(sub),
                  .name = lent(*sub ? "Ann" : ""),
                  .user = lent("{\"name\":\"Ann\"}"),
                  .time_ms = 1700000000000},
        .room = name_create(text_of("room")),
        .max_msg = (size_t)check->plugin->conf->limits.message_bytes,
        .done = said_done,
    };
    if (texts[i].length || texts[i].at)
        said->turn.event.msg = (struct chatup_text){said->msg, texts[i].length};
    else
        said->turn.event.ev = lent("wave");
    const char *from = flags ? ", from POST" : *sub ? "" : ", from nobody";
    check_step(check, "message_in: %s%s", texts[i].what, from);
    bool deferred = chain_in(chain, &said->turn) == CHAIN_DEFERRED;
    said->over = !deferred;
    if (deferred)
        turn_moved(&said->turn);
    check_turn(check, &said->over, PATIENCE_MS);
    if (!said->over) {
        check_step(check, "message_in: %s%s, left", texts[i].what, from);
        turn_left(&said->turn);
        check_turn(check, NULL, 0);
    }
    bool well = faults(check) == before;
    check_report(check, well, "message_in: %s%s%s", texts[i].what, from,
                 !well         ? ": it failed"
                 : !said->over ? " (deferred, not resumed yet)"
                 : deferred    ? " (deferred)"
                               : "");
    said->left = true;
    if (said->over)
        said_free(said);
}

/* ---- message_out ---- */

static void show(struct check *check, struct chain *chain)
{
    struct name *room = name_create(text_of("room"));
    enum { COUNT = sizeof texts / sizeof *texts };
    struct message *messages[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        char *copy = text_copy(i);
        struct message_fields fields = {
            .id = text_of(id), .user = text_of("{}"), .time_ms = 1700000000000};
        if (texts[i].length || texts[i].at)
            fields.msg = (struct text){copy, texts[i].length};
        else
            fields.ev = text_of("wave");
        messages[i] = alloc_checked(message_create(room, &fields));
        messages[i]->offset = i + 1;
        free(copy);
    }
    uint64_t before = faults(check);
    struct buffer out = {0};
    check_step(check, "message_out: a batch");
    chain_out(chain, room, messages, COUNT, &out);
    check_turn(check, NULL, 0);
    check_report(check, faults(check) == before, "message_out: a batch of such messages");
    buffer_finish(&out);
    for (size_t i = 0; i < COUNT; i++)
        message_unref(messages[i]);
    name_unref(room);
}

/* ---- connect, auth, join, leave ---- */

struct coming {
    struct visit visit; /* first */
    bool over;
};

static void coming_done(struct visit *visit, enum chain_verdict verdict)
{
    ((struct coming *)visit)->over = true;
}

/* What is not resumed within a moment is left. */
static void come(struct check *check, struct chain *chain, const struct chatup_visit *who,
                 enum chain_verdict (*stage)(struct chain *, struct visit *), const char *name,
                 const char *what)
{
    struct coming coming = {.visit = {.visit = *who, .done = coming_done}};
    uint64_t before = faults(check);
    check_step(check, "%s: %s", name, what);
    bool deferred = stage(chain, &coming.visit) == CHAIN_DEFERRED;
    coming.over = !deferred;
    check_turn(check, &coming.over, PATIENCE_MS);
    if (!coming.over) {
        check_step(check, "%s: %s, who leaves", name, what);
        visit_left(&coming.visit);
        check_turn(check, NULL, 0);
    }
    bool well = faults(check) == before;
    check_report(check, well, "%s: %s%s", name, what,
                 !well          ? ": it failed"
                 : !coming.over ? " (deferred, and left before it was resumed)"
                 : deferred     ? " (deferred)"
                                : "");
    visit_finish(&coming.visit);
}

static void open_one(struct check *check, struct chain *chain)
{
    const struct chatup_text none = {NULL, 0}, address = lent("2001:db8::1");
    const struct chatup_visit page = {.sub = lent(""),
                                      .name = lent(""),
                                      .address = address,
                                      .path = lent("/ws/room"),
                                      .origin = lent("https://chat.example"),
                                      .user_agent = lent(nasty),
                                      .way = CHATUP_WAY_WS};
    const struct chatup_visit bare = {.sub = lent(""),
                                      .name = lent(""),
                                      .address = lent(""),
                                      .path = none,
                                      .way = 99}; /* a newer chatup's */
    if (!check->plugin->api.connect)
        return;
    come(check, chain, &page, chain_connect, "connect", "a page");
    come(check, chain, &bare, chain_connect, "connect", "who says nothing of itself");
}

static void visit(struct check *check, struct chain *chain, const char *sub, const char *name,
                  const char *user)
{
    const struct chatup_plugin *api = &check->plugin->api;
    struct chatup_visit who = {
        .sub = lent(sub), .name = lent(name), .user = lent(user), .address = lent("127.0.0.1")};
    const char *what = *sub ? "a user" : "a user without identity and name";
    if (api->auth)
        come(check, chain, &who, chain_auth, "auth", what);
    who.room = lent("room");
    if (api->join)
        come(check, chain, &who, chain_join, "join", what);
    if (!api->leave)
        return;
    uint64_t before = faults(check);
    struct visit leaving = {.visit = who};
    check_step(check, "leave: %s", what);
    chain_leave(chain, &leaving);
    check_turn(check, NULL, 0);
    check_report(check, faults(check) == before, "leave: %s", what);
    visit_finish(&leaving);
}

/* ---- routes ---- */

struct asked {
    struct route_call call; /* first */
    char *body;
    int status; /* 0: a fault */
    bool over, left;
};

static void asked_free(struct asked *asked)
{
    free(asked->body);
    free(asked);
}

static void asked_answer(struct route_call *call, const struct chatup_response *response,
                         bool timed_out)
{
    struct asked *asked = (struct asked *)call;
    asked->over = true;
    asked->status = !response ? 0 : response->status ? response->status : 200;
    if (asked->left)
        asked_free(asked);
}

static void ask(struct check *check, struct chain *chain, const struct chatup_route *route,
                uint32_t method, const char *what, const char *query, char *body, size_t length)
{
    static const char *const names[] = {[CHATUP_GET] = "GET",
                                        [CHATUP_POST] = "POST",
                                        [CHATUP_PUT] = "PUT",
                                        [CHATUP_DELETE] = "DELETE"};
    struct asked *asked = xcalloc(1, sizeof *asked);
    asked->body = body;
    asked->call.request = (struct chatup_request){
        .method = method, .path = lent(route->path), .query = lent(query), .body = {body, length}};
    asked->call.answer = asked_answer;
    check_step(check, "%s /plugin/%s%s: %s", names[method], check->plugin->name, route->path, what);
    uint64_t before = faults(check);
    chain_route(chain_shard(chain, 0), route, &asked->call);
    check_turn(check, &asked->over, PATIENCE_MS);
    bool well = faults(check) == before && (!asked->over || check->mode != CHECK_WORKS ||
                                            (asked->status >= 200 && asked->status <= 599));
    char answer[32];
    snprintf(answer, sizeof answer, asked->over ? "%d" : "not answered yet", asked->status);
    check_report(check, well, "%s /plugin/%s%s: %s (%s)", names[method], check->plugin->name,
                 route->path, what, asked->over && !asked->status ? "it failed" : answer);
    asked->left = true;
    if (asked->over)
        asked_free(asked);
}

static void ask_all(struct check *check, struct chain *chain, const struct chatup_route *route,
                    uint32_t method)
{
    static const char *const items[] = {"[]", "{}", "[1,\"a\",null,{\"a\":[{}]}]"};
    static const char *const free_form[] = {"", "{", nasty};
    const char *const *bodies = route->access == CHATUP_BODY_JWT ? items : free_form;
    size_t most =
        route->max_body ? route->max_body : (size_t)check->plugin->conf->limits.body_bytes;
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(bodies[i]);
        char what[64];
        snprintf(what, sizeof what, "the body %s",
                 i < 2 && length ? bodies[i]
                 : length        ? "of odd "
                                   "content"
                                 : "of no bytes");
        ask(check, chain, route, method, what, i ? "a=%00&&=&b=%zz" : "",
            xmemdup(bodies[i], length), length);
    }
    if (route->access == CHATUP_BODY_JWT)
        return;
    if (most > BIG)
        most = BIG;
    ask(check, chain, route, method, "as large a body as may be", "",
        memset(xmalloc(most), 'x', most), most);
}

void check_hooks(struct check *check, uint32_t loop)
{
    const struct chatup_plugin *api = &check->plugin->api;
    struct chain *chain = check->chains[loop];
    open_one(check, chain);
    visit(check, chain, "u-1", "Ann", "{\"name\":\"Ann\"}");
    visit(check, chain, "", "", "{}");
    for (size_t i = 0; api->message_in && i < sizeof texts / sizeof *texts; i++) {
        say(check, chain, i, 0, "u-1");
        if (api->flags & CHATUP_SEES_POST)
            say(check, chain, i, CHATUP_FROM_POST, "");
    }
    if (api->message_in)
        say(check, chain, 0, 0, "");
    if (api->message_out)
        show(check, chain);
    for (uint32_t i = 0; i < api->route_count; i++)
        for (uint32_t method = CHATUP_GET; method <= CHATUP_DELETE; method *= 2)
            if (api->routes[i].methods & method)
                ask_all(check, chain, &api->routes[i], method);
}
