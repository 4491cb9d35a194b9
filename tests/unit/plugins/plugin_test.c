#include "unit.h"

#include <chatup/bus.h>
#include <chatup/loop.h>
#include <chatup/store.h>
#include <chatup/test.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELLO TEST_PLUGINS "/hello.so"

static char why[600];
static struct chatup_test *test;

static void done(void)
{
    ck_assert_uint_eq(chatup_test_mistakes(test), 0);
    chatup_test_close(test);
}

static bool logged(const char *line)
{
    return strstr(chatup_test_log(test), line) != NULL;
}

/* ---- hello, as it is built for the server ---- */

static void open_hello(const char *yaml)
{
    test = chatup_test_open(HELLO, yaml, 2, why, sizeof why);
    ck_assert_msg(test != NULL, "%s", why);
}

START_TEST(a_message_is_accepted_edited_rejected_or_answered)
{
    open_hello("{forbidden: darn}");
    const struct chatup_test_said *said =
        chatup_test_say(test, 0, "lobby", "u1", "Ann", "over teh hill");
    ck_assert_int_eq(said->verdict, CHATUP_ACCEPT);
    ck_assert_str_eq(said->msg, "over the hill");
    said = chatup_test_say(test, 1, "lobby", "u1", "Ann", "darn teh");
    ck_assert_int_eq(said->verdict, CHATUP_REJECT);
    ck_assert_str_eq(said->msg, "darn teh");
    ck_assert_ptr_null(said->reply);
    said = chatup_test_say(test, 0, "lobby", "u1", "Ann", "/hello");
    ck_assert_int_eq(said->verdict, CHATUP_CONSUME);
    ck_assert_str_eq(said->reply, "{\"status\":\"ok\",\"message\":\"Hello, Ann\"}");
    done();
}
END_TEST

START_TEST(readers_get_what_message_out_makes_of_a_batch)
{
    open_hello("hide: secret");
    const struct chatup_test_shown *shown =
        chatup_test_out(test, 0, "lobby", "a secret", "nothing", "", NULL);
    ck_assert_int_eq(shown->verdict, CHATUP_ACCEPT);
    ck_assert_uint_eq(shown->count, 3);
    ck_assert_str_eq(shown->msgs[0], "a ***");
    ck_assert_str_eq(shown->msgs[1], "nothing");
    ck_assert_str_eq(shown->msgs[2], "");
    done();
}
END_TEST

START_TEST(a_route_answers_and_what_is_not_one_is_refused_as_the_server_would)
{
    open_hello(NULL);
    chatup_test_say(test, 1, "lobby", "u1", "Ann", "hi");
    const struct chatup_test_answer *answer = chatup_test_route(test, 0, CHATUP_GET, "?x=1", NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(answer->content_type, "application/json");
    ck_assert_str_eq(answer->body, "{\"hello\":\"world\",\"messages\":1}");
    ck_assert_int_eq(chatup_test_route(test, 0, CHATUP_POST, "", "x")->status, 405);
    ck_assert_int_eq(chatup_test_route(test, 0, CHATUP_GET, "/no", NULL)->status, 404);
    done();
}
END_TEST

START_TEST(options_are_refused_in_the_words_of_the_server)
{
    ck_assert_ptr_null(chatup_test_open(HELLO, "forbiden: x", 1, why, sizeof why));
    ck_assert_msg(strstr(why, "did you mean \"forbidden\"?") != NULL, "%s", why);
    ck_assert_ptr_null(chatup_test_open("./nowhere.so", NULL, 1, why, sizeof why));
    ck_assert_msg(strstr(why, "nowhere.so") != NULL, "%s", why);
}
END_TEST

/* ---- a plugin that does what the text of a message says ---- */

enum { GREETING };
static const struct chatup_option options[] = {
    {.name = "greeting", .type = CHATUP_STRING, .preset = "hi", .help = "what it says"}};

enum { SEEN };
static const struct chatup_counter counters[] = {{"seen", "messages"}};

struct puppet {
    const struct chatup_host *host;
    const struct chatup_loop_service *loop;
    const struct chatup_store *store;
    const struct chatup_bus *bus;
    const struct chatup_routes *routes;
    struct chatup_text greeting;
    char state[40];
};

struct shard {
    struct puppet *puppet;
    const struct chatup_loop *loop;
    uint64_t open; /* what was asked for last */
    int pipe[2];
    pthread_t thread;
};

/* What happened, as the test sees it. */
static int64_t sum, members, cancelled, timed_out, left, senders_left, fired, cancelled_call,
    batch_status, late_call;
static bool watched_there;
static int pipe_end;
static char came[20], inherited[40];

static struct chatup_text text(const char *string)
{
    return (struct chatup_text){string, strlen(string)};
}

static bool is(struct chatup_text a, const char *b)
{
    return a.length == strlen(b) && !memcmp(a.at, b, a.length);
}

static void on_counted(void *arg, void *id, const struct chatup_answer *answer)
{
    struct shard *shard = arg;
    const struct chatup_text none = {NULL, 0};
    batch_status = answer->status;
    if (answer->status == CHATUP_DONE)
        sum = answer->results[0].number;
    shard->puppet->host->resume(shard->puppet->host->self, (uint64_t)(uintptr_t)id,
                                answer->status == CHATUP_DONE ? CHATUP_ACCEPT : CHATUP_FAULT,
                                text("counted"), none);
}

static int32_t count(struct shard *shard, struct chatup_event *event)
{
    struct chatup_op op = {.kind = CHATUP_OP_ADD, .key = text("n"), .number = 1};
    uint64_t id = shard->puppet->host->defer(event, 2000);
    shard->puppet->store->run(shard->loop, CHATUP_VOLATILE, event->room, &op, 1, on_counted,
                              (void *)(uintptr_t)id);
    return CHATUP_DEFER;
}

static void on_call(void *shard, void *arg, int32_t status)
{
    if (status == CHATUP_DONE)
        fired++;
    else if (shard)
        cancelled_call++;
    else
        late_call++;
}

static void on_changed(void *arg, void *nothing, const struct chatup_result *result)
{
    watched_there = result->ok == 1;
    members = result->count;
}

static void on_ready(void *arg, void *nothing, int32_t fd, uint32_t events)
{
    struct shard *shard = arg;
    ck_assert_int_gt(read(fd, came, sizeof came - 1), 0);
    shard->puppet->loop->watch(shard->loop, fd, 0, NULL, NULL);
}

static void *post_from_a_thread(void *arg)
{
    struct shard *shard = arg;
    const struct chatup_text none = {NULL, 0};
    shard->puppet->loop->post(shard->loop, on_call, NULL);
    shard->puppet->host->resume(shard->puppet->host->self, shard->open, CHATUP_CONSUME, none,
                                text("{\"by\":\"thread\"}"));
    return NULL;
}

static void ignore(void *shard, void *arg, const struct chatup_answer *answer)
{
}

static int32_t on_message_in(void *arg, struct chatup_event *event)
{
    struct shard *shard = arg;
    struct puppet *puppet = shard->puppet;
    const struct chatup_text none = {NULL, 0};
    const struct chatup_host *host = puppet->host;
    host->count(host->self, SEEN, 1);
    if (is(event->msg, "count"))
        return count(shard, event);
    if (is(event->msg, "wait")) {
        shard->open = host->defer(event, 500);
        return CHATUP_DEFER;
    }
    if (is(event->msg, "resume")) {
        host->resume(host->self, shard->open, CHATUP_REJECT, none, text("{\"no\":1}"));
        host->resume(host->self, shard->open, CHATUP_ACCEPT, none, none);
    }
    if (is(event->msg, "rename"))
        host->resume(host->self, shard->open, CHATUP_ACCEPT, text("{\"name\":\"S.\"}"), none);
    if (host->has_tag(event, "vip", 3))
        host->tag(event, "seen", 4);
    if (is(event->msg, "tag and fail")) {
        host->tag(event, "lost", 4);
        return CHATUP_FAULT;
    }
    if (is(event->msg, "timer"))
        shard->open = puppet->loop->timer(shard->loop, 100, on_call, NULL);
    if (is(event->msg, "cancel"))
        puppet->loop->timer_cancel(shard->loop, shard->open);
    if (is(event->msg, "pipe"))
        puppet->loop->watch(shard->loop, shard->pipe[0], CHATUP_READ, on_ready, NULL);
    if (is(event->msg, "thread"))
        ck_assert_int_eq(pthread_create(&shard->thread, NULL, post_from_a_thread, shard), 0);
    if (is(event->msg, "join"))
        ck_assert_int_eq(pthread_join(shard->thread, NULL), 0);
    if (is(event->msg, "watch"))
        puppet->store->watch(shard->loop, 0, text("g"), text("words"), on_changed, NULL);
    if (is(event->msg, "word")) {
        struct chatup_op op = {
            .kind = CHATUP_OP_SET_ADD, .key = text("words"), .value = event->name, .ttl_ms = 1000};
        puppet->store->run(shard->loop, 0, text("g"), &op, 1, ignore, NULL);
    }
    if (is(event->msg, "speak")) {
        struct chatup_publication what = {
            .size = sizeof what, .room = event->room, .msg = puppet->greeting};
        puppet->bus->publish(shard->loop, &what, NULL, NULL);
        puppet->bus->ban(shard->loop, none, CHATUP_BY_SUB, event->sub, 60, text("rude"), NULL,
                         NULL);
        puppet->bus->kick(shard->loop, event->room, CHATUP_BY_NAME, event->name, NULL, NULL);
    }
    if (is(event->msg, "edit and fail")) {
        host->set_msg(event, "edited", 6);
        return CHATUP_FAULT;
    }
    if (is(event->msg, "nonsense"))
        return 77;
    if (is(event->msg, "bare defer"))
        return CHATUP_DEFER;
    return CHATUP_ACCEPT;
}

static void on_cancelled(void *shard, uint64_t id, int32_t status)
{
    if (status == CHATUP_TIMEOUT)
        timed_out++;
    else if (status == CHATUP_LEFT)
        left++;
    else
        cancelled++;
}

static void on_left(void *shard, uint64_t id)
{
    senders_left++;
}

static int32_t on_connect(void *arg, struct chatup_visit *visit)
{
    struct shard *shard = arg;
    if (visit->way == CHATUP_WAY_LP) {
        shard->open = shard->puppet->host->defer_visit(visit, 500);
        return CHATUP_DEFER;
    }
    return is(visit->address, "192.0.2.1") || !visit->origin.at ? CHATUP_REJECT
           : visit->user_agent.at                               ? CHATUP_ACCEPT
                                                                : CHATUP_CONSUME;
}

static int32_t on_auth(void *arg, struct chatup_visit *visit)
{
    struct shard *shard = arg;
    const struct chatup_host *host = shard->puppet->host;
    if (is(visit->name, "Slow")) {
        shard->open = host->defer_visit(visit, 500);
        return CHATUP_DEFER;
    }
    if (host->visit_has_tag(visit, "vip", 3) && host->tag_visit(visit, "known", 5))
        return CHATUP_FAULT;
    if (is(visit->name, "Ann"))
        return host->set_user(visit, "{\"name\":\"A.\"}", 13) ? CHATUP_FAULT : CHATUP_ACCEPT;
    return host->set_visit_reply(visit, "{\"err\":\"who\"}", 13) ? CHATUP_FAULT : CHATUP_REJECT;
}

static int32_t on_join(void *arg, struct chatup_visit *visit)
{
    struct shard *shard = arg;
    if (shard->puppet->host->tag_visit(visit, "late", 4) != -1)
        return CHATUP_FAULT;
    if (is(visit->room, "slow")) {
        shard->open = shard->puppet->host->defer_visit(visit, 500);
        return CHATUP_DEFER;
    }
    return is(visit->room, "quiet") ? CHATUP_CONSUME : CHATUP_ACCEPT;
}

static int32_t on_later(void *arg, const struct chatup_request *request,
                        struct chatup_response *response)
{
    struct shard *shard = arg;
    shard->open = shard->puppet->routes->later(request, 1000);
    return CHATUP_DEFER;
}

static int32_t on_now(void *arg, const struct chatup_request *request,
                      struct chatup_response *response)
{
    struct shard *shard = arg;
    struct chatup_response answer = {
        .size = sizeof answer, .status = 202, .body = text("{\"ok\":1}")};
    shard->puppet->routes->respond(shard->puppet->host->self, shard->open, &answer);
    shard->puppet->routes->respond(shard->puppet->host->self, shard->open, &answer);
    return CHATUP_ACCEPT;
}

static const struct chatup_route routes[] = {
    {CHATUP_POST, CHATUP_BODY_JWT, "/later", 10, on_later},
    {CHATUP_POST, CHATUP_PUBLIC, "/now", 0, on_now},
};

static void *create(const struct chatup_host *host)
{
    struct puppet *puppet = calloc(1, sizeof *puppet);
    puppet->host = host;
    puppet->loop = host->service(host->self, CHATUP_LOOP);
    puppet->store = host->service(host->self, CHATUP_STORE);
    puppet->bus = host->service(host->self, CHATUP_BUS);
    puppet->routes = host->service(host->self, CHATUP_ROUTES);
    puppet->greeting = host->option(host->self, GREETING).text;
    if (is(puppet->greeting, "rude")) {
        host->refuse(host->self, GREETING, "is not said here", 16);
        free(puppet);
        return NULL;
    }
    return puppet;
}

static void *shard_open(void *puppet, const struct chatup_loop *loop)
{
    struct shard *shard = calloc(1, sizeof *shard);
    shard->puppet = puppet;
    shard->loop = loop;
    ck_assert_int_eq(pipe(shard->pipe), 0);
    pipe_end = shard->pipe[1];
    return shard;
}

static void shard_close(void *arg)
{
    struct shard *shard = arg;
    close(shard->pipe[0]);
    close(shard->pipe[1]);
    shard->puppet->loop->post(shard->loop, on_call, NULL); /* the last moment */
    free(shard);
}

static struct chatup_text state_save(void *arg)
{
    struct puppet *puppet = arg;
    snprintf(puppet->state, sizeof puppet->state, "said %.*s", (int)puppet->greeting.length,
             puppet->greeting.at);
    return text(puppet->state);
}

static void state_load(void *puppet, struct chatup_text state)
{
    snprintf(inherited, sizeof inherited, "%.*s", (int)state.length, state.at);
}

static const char *const needs[] = {CHATUP_LOOP, CHATUP_STORE, CHATUP_BUS, CHATUP_ROUTES, NULL};
static const struct chatup_plugin puppet_plugin = {
    .size = sizeof puppet_plugin,
    .name = "puppet",
    .version = "1",
    .summary = "does what it is told",
    .options = options,
    .option_count = 1,
    .counters = counters,
    .counter_count = 1,
    .routes = routes,
    .route_count = 2,
    .needs = needs,
    .create = create,
    .destroy = free,
    .shard_open = shard_open,
    .shard_close = shard_close,
    .message_in = on_message_in,
    .cancelled = on_cancelled,
    .left = on_left,
    .connect = on_connect,
    .auth = on_auth,
    .join = on_join,
    .state_save = state_save,
    .state_load = state_load,
};

static void open_puppet(uint32_t loops)
{
    test = chatup_test_open_linked(&puppet_plugin, NULL, loops, why, sizeof why);
    ck_assert_msg(test != NULL, "%s", why);
}

static const struct chatup_test_said *say(uint32_t loop, const char *what)
{
    return chatup_test_say(test, loop, "lobby", "u1", "Ann", what);
}

START_TEST(a_deferral_is_resumed_once_and_what_comes_later_is_counted)
{
    open_puppet(1);
    const struct chatup_test_said *said = say(0, "wait");
    ck_assert_int_eq(said->verdict, CHATUP_DEFER);
    ck_assert_uint_ne(said->id, 0);
    say(0, "resume");
    ck_assert_int_eq(said->verdict, CHATUP_DEFER);
    chatup_test_run(test);
    ck_assert_int_eq(said->verdict, CHATUP_REJECT);
    ck_assert_str_eq(said->reply, "{\"no\":1}");
    ck_assert_uint_eq(chatup_test_late(test), 1);
    ck_assert_uint_eq(chatup_test_count(test, "seen"), 2);
    ck_assert_uint_eq(chatup_test_count(test, "no such"), 0);
    done();
}
END_TEST

START_TEST(a_deferral_without_resume_times_out_when_its_time_is_over)
{
    open_puppet(1);
    const struct chatup_test_said *said = say(0, "wait");
    chatup_test_advance(test, 499);
    ck_assert_int_eq(said->verdict, CHATUP_DEFER);
    chatup_test_advance(test, 1);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_int_eq(timed_out, 1);
    say(0, "resume");
    chatup_test_run(test);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_uint_eq(chatup_test_late(test), 2);
    done();
}
END_TEST

START_TEST(a_deferral_that_is_open_at_the_end_is_cancelled)
{
    open_puppet(1);
    const struct chatup_test_said *said = say(0, "wait");
    chatup_test_stop(test);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_int_eq(cancelled, 1);
    done();
}
END_TEST

START_TEST(a_batch_happens_when_the_test_runs_and_is_one_store_for_all_loops)
{
    open_puppet(3);
    const struct chatup_test_said *said[3];
    for (uint32_t i = 0; i < 3; i++)
        said[i] = say(i, "count");
    ck_assert_uint_eq(chatup_test_batches(test), 0);
    chatup_test_run(test);
    ck_assert_int_eq(sum, 3);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_int_eq(said[i]->verdict, CHATUP_ACCEPT);
        ck_assert_str_eq(said[i]->msg, "counted");
    }
    done();
}
END_TEST

START_TEST(a_batch_fails_on_order_and_a_timeout_is_one_that_happened)
{
    open_puppet(1);
    chatup_test_store_fails(test, 1, CHATUP_UNAVAILABLE);
    const struct chatup_test_said *said = say(0, "count");
    chatup_test_run(test);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_str_eq(said->msg, "count");
    ck_assert_int_eq(batch_status, CHATUP_UNAVAILABLE);
    chatup_test_store_fails(test, 1, CHATUP_TIMEOUT);
    say(0, "count");
    chatup_test_run(test);
    ck_assert_int_eq(batch_status, CHATUP_TIMEOUT);
    say(0, "count");
    chatup_test_run(test);
    ck_assert_int_eq(batch_status, CHATUP_DONE);
    ck_assert_int_eq(sum, 2);
    done();
}
END_TEST

START_TEST(a_store_that_holds_answers_when_it_is_let_go_or_with_the_end)
{
    open_puppet(1);
    chatup_test_store_holds(test, 1);
    const struct chatup_test_said *said = say(0, "count");
    chatup_test_advance(test, 2000);
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_int_eq(timed_out, 1);
    chatup_test_store_holds(test, 0);
    chatup_test_run(test);
    ck_assert_int_eq(sum, 1);
    ck_assert_uint_eq(chatup_test_late(test), 1);
    chatup_test_store_holds(test, 1);
    say(0, "count");
    chatup_test_stop(test);
    ck_assert_int_eq(batch_status, CHATUP_CANCELLED);
    done();
}
END_TEST

START_TEST(timers_fire_at_their_time_once_and_are_cancelled_with_the_shard)
{
    open_puppet(2);
    say(0, "timer");
    chatup_test_advance(test, 99);
    ck_assert_int_eq(fired, 0);
    chatup_test_advance(test, 1);
    ck_assert_int_eq(fired, 1);
    say(0, "cancel");
    ck_assert_int_eq(cancelled_call, 0);
    say(1, "timer");
    say(1, "cancel");
    ck_assert_int_eq(cancelled_call, 1);
    say(1, "timer");
    chatup_test_stop(test);
    ck_assert_int_eq(cancelled_call, 2);
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(late_call, 2);
    done();
}
END_TEST

START_TEST(threads_post_and_resume_and_are_waited_for)
{
    open_puppet(2);
    const struct chatup_test_said *said = say(1, "wait");
    say(1, "thread");
    while (said->verdict == CHATUP_DEFER || !fired)
        ck_assert(chatup_test_wait(test, 10000));
    ck_assert_int_eq(said->verdict, CHATUP_CONSUME);
    ck_assert_str_eq(said->reply, "{\"by\":\"thread\"}");
    say(1, "join");
    done();
}
END_TEST

START_TEST(a_descriptor_is_watched_until_the_plugin_has_enough)
{
    open_puppet(1);
    say(0, "pipe");
    chatup_test_run(test);
    ck_assert_str_eq(came, "");
    ck_assert_int_eq(write(pipe_end, "ready", 5), 5);
    chatup_test_run(test);
    ck_assert_str_eq(came, "ready");
    done();
}
END_TEST

START_TEST(a_watched_key_is_told_at_first_after_changes_and_when_it_expires)
{
    open_puppet(2);
    watched_there = true;
    say(0, "watch");
    chatup_test_run(test);
    ck_assert(!watched_there);
    say(1, "word");
    chatup_test_say(test, 1, "lobby", "u2", "Bob", "word");
    chatup_test_run(test);
    ck_assert(watched_there);
    ck_assert_int_eq(members, 2);
    chatup_test_advance(test, 1000);
    ck_assert(!watched_there);
    done();
}
END_TEST

START_TEST(what_is_said_banned_and_kicked_is_in_the_log)
{
    open_puppet(1);
    say(0, "speak");
    ck_assert(!logged("publish"));
    chatup_test_run(test);
    ck_assert(logged("publish lobby: hi\nban * sub u1 60 rude\nkick lobby name Ann\n"));
    done();
}
END_TEST

START_TEST(who_opens_something_is_accepted_refused_or_waits)
{
    static const char page[] = "https://a.example";
    open_puppet(1);
    ck_assert_int_eq(
        chatup_test_connect(test, 0, CHATUP_WAY_PUB, "/pub", NULL, page, "tester")->verdict,
        CHATUP_ACCEPT);
    ck_assert_int_eq(
        chatup_test_connect(test, 0, CHATUP_WAY_PUB, "/pub", "192.0.2.1", page, "tester")->verdict,
        CHATUP_REJECT);
    ck_assert_int_eq(
        chatup_test_connect(test, 0, CHATUP_WAY_WS, "/ws/a", NULL, NULL, NULL)->verdict,
        CHATUP_REJECT);
    const struct chatup_test_visited *visited =
        chatup_test_connect(test, 0, CHATUP_WAY_LP, "/lp/a", NULL, NULL, NULL);
    ck_assert_int_eq(visited->verdict, CHATUP_DEFER);
    say(0, "resume");
    chatup_test_run(test);
    ck_assert_int_eq(visited->verdict, CHATUP_REJECT);
    ck_assert_uint_eq(chatup_test_mistakes(test), 0);
    visited = chatup_test_connect(test, 0, CHATUP_WAY_PUB, "/pub", NULL, page, NULL);
    ck_assert_int_eq(visited->verdict, CHATUP_FAULT);
    ck_assert_uint_eq(chatup_test_mistakes(test), 1);
    chatup_test_close(test);
}
END_TEST

START_TEST(tags_are_seen_and_given)
{
    open_puppet(1);
    ck_assert_ptr_null(say(0, "hi")->tags);
    ck_assert_ptr_null(chatup_test_auth(test, 0, "u1", "Ann", NULL)->tags);
    chatup_test_tags(test, "staff vip");
    ck_assert_str_eq(say(0, "hi")->tags, "staff vip seen");
    ck_assert_str_eq(chatup_test_auth(test, 0, "u1", "Ann", NULL)->tags, "staff vip known");
    ck_assert_int_eq(chatup_test_join(test, 0, "lobby", "u1", "Ann")->verdict, CHATUP_ACCEPT);
    const struct chatup_test_said *said = say(0, "tag and fail");
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_str_eq(said->tags, "staff vip");
    chatup_test_tags(test, NULL);
    ck_assert_ptr_null(say(0, "hi")->tags);
    done();
}
END_TEST

START_TEST(users_wait_for_a_plugin_that_takes_its_time)
{
    open_puppet(2);
    const struct chatup_test_visited *visited = chatup_test_auth(test, 0, "u3", "Slow", NULL);
    ck_assert_int_eq(visited->verdict, CHATUP_DEFER);
    ck_assert_uint_ne(visited->id, 0);
    say(0, "rename");
    chatup_test_run(test);
    ck_assert_int_eq(visited->verdict, CHATUP_ACCEPT);
    ck_assert_str_eq(visited->user, "{\"name\":\"S.\"}");
    visited = chatup_test_join(test, 1, "slow", "u3", "Slow");
    say(1, "resume"); /* twice: the second one is late */
    chatup_test_run(test);
    ck_assert_int_eq(visited->verdict, CHATUP_REJECT);
    ck_assert_str_eq(visited->reply, "{\"no\":1}");
    ck_assert_uint_eq(chatup_test_late(test), 1);
    visited = chatup_test_join(test, 1, "slow", "u3", "Slow");
    chatup_test_advance(test, 500);
    ck_assert_int_eq(visited->verdict, CHATUP_FAULT);
    ck_assert_int_eq(timed_out, 1);
    const struct chatup_test_said *said = say(1, "wait");
    chatup_test_left(test, said->id);
    ck_assert_int_eq(senders_left, 1);
    say(1, "resume");
    chatup_test_run(test);
    ck_assert_int_eq(said->verdict, CHATUP_REJECT);
    visited = chatup_test_join(test, 1, "slow", "u3", "Slow");
    chatup_test_left(test, visited->id);
    ck_assert_int_eq(left, 1);
    say(1, "resume");
    chatup_test_run(test);
    ck_assert_int_eq(visited->verdict, CHATUP_DEFER);
    visited = chatup_test_join(test, 1, "slow", "u3", "Slow");
    say(1, "rename"); /* who joins has no user to be changed */
    chatup_test_run(test);
    ck_assert_int_eq(visited->verdict, CHATUP_FAULT);
    ck_assert_uint_eq(chatup_test_mistakes(test), 1);
    chatup_test_close(test);
}
END_TEST

START_TEST(users_are_authenticated_and_join)
{
    open_puppet(1);
    const struct chatup_test_visited *visited = chatup_test_auth(test, 0, "u1", "Ann", NULL);
    ck_assert_int_eq(visited->verdict, CHATUP_ACCEPT);
    ck_assert_str_eq(visited->user, "{\"name\":\"A.\"}");
    visited = chatup_test_auth(test, 0, "u2", "Bob", "{}");
    ck_assert_int_eq(visited->verdict, CHATUP_REJECT);
    ck_assert_str_eq(visited->reply, "{\"err\":\"who\"}");
    ck_assert_int_eq(chatup_test_join(test, 0, "quiet", "u1", "Ann")->verdict, CHATUP_CONSUME);
    ck_assert_int_eq(chatup_test_join(test, 0, "lobby", "u1", "Ann")->verdict, CHATUP_ACCEPT);
    chatup_test_leave(test, 0, "lobby", "u1", "Ann");
    done();
}
END_TEST

START_TEST(a_route_is_answered_later_once_or_in_time_not_at_all)
{
    open_puppet(1);
    const struct chatup_test_answer *answer =
        chatup_test_route(test, 0, CHATUP_POST, "/later", "[]");
    ck_assert_int_eq(answer->status, 0);
    chatup_test_route(test, 0, CHATUP_POST, "/now", NULL);
    chatup_test_run(test);
    ck_assert_int_eq(answer->status, 202);
    ck_assert_str_eq(answer->body, "{\"ok\":1}");
    ck_assert_uint_eq(chatup_test_late(test), 1);
    answer = chatup_test_route(test, 0, CHATUP_POST, "/later", "[]");
    chatup_test_advance(test, 1000);
    ck_assert_int_eq(answer->status, 504);
    answer = chatup_test_route(test, 0, CHATUP_POST, "/later", "[12345678901]");
    ck_assert_int_eq(answer->status, 413);
    done();
}
END_TEST

START_TEST(edits_of_a_plugin_that_fails_are_thrown_away)
{
    open_puppet(1);
    const struct chatup_test_said *said = say(0, "edit and fail");
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    ck_assert_str_eq(said->msg, "edit and fail");
    done();
}
END_TEST

START_TEST(verdicts_that_there_are_not_are_faults_and_mistakes)
{
    open_puppet(1);
    ck_assert_int_eq(say(0, "nonsense")->verdict, CHATUP_FAULT);
    ck_assert_int_eq(say(0, "bare defer")->verdict, CHATUP_FAULT);
    ck_assert_uint_eq(chatup_test_mistakes(test), 2);
    ck_assert(logged("mistake: message_in returned 77"));
    chatup_test_close(test);
}
END_TEST

START_TEST(an_option_that_the_plugin_refuses_is_named_with_its_place)
{
    ck_assert_ptr_null(
        chatup_test_open_linked(&puppet_plugin, "greeting: rude", 1, why, sizeof why));
    ck_assert_msg(strstr(why, "config.greeting: is not said here") != NULL, "%s", why);
}
END_TEST

START_TEST(a_new_generation_gets_the_state_and_the_old_one_is_ended)
{
    open_puppet(2);
    const struct chatup_test_said *said = say(0, "wait");
    ck_assert_int_eq(chatup_test_reload(test, "greeting: rude", why, sizeof why), -1);
    ck_assert_int_eq(said->verdict, CHATUP_DEFER);
    ck_assert_int_eq(chatup_test_reload(test, "greeting: ho", why, sizeof why), 0);
    ck_assert_str_eq(inherited, "said hi");
    ck_assert_int_eq(said->verdict, CHATUP_FAULT);
    say(1, "speak");
    chatup_test_run(test);
    ck_assert(logged("publish lobby: ho"));
    done();
}
END_TEST

START_TEST(a_shuffle_is_the_same_for_the_same_seed_and_loses_nothing)
{
    for (uint64_t seed = 1; seed < 50; seed++) {
        open_puppet(4);
        chatup_test_shuffle(test, seed);
        for (uint32_t i = 0; i < 40; i++)
            say(i % 4, "count");
        chatup_test_run(test);
        ck_assert_uint_eq(chatup_test_batches(test), 40);
        done();
    }
}
END_TEST

UNIT_MAIN("plugin_test", a_message_is_accepted_edited_rejected_or_answered,
          readers_get_what_message_out_makes_of_a_batch,
          a_route_answers_and_what_is_not_one_is_refused_as_the_server_would,
          options_are_refused_in_the_words_of_the_server,
          a_deferral_is_resumed_once_and_what_comes_later_is_counted,
          a_deferral_without_resume_times_out_when_its_time_is_over,
          a_deferral_that_is_open_at_the_end_is_cancelled,
          a_batch_happens_when_the_test_runs_and_is_one_store_for_all_loops,
          a_batch_fails_on_order_and_a_timeout_is_one_that_happened,
          a_store_that_holds_answers_when_it_is_let_go_or_with_the_end,
          timers_fire_at_their_time_once_and_are_cancelled_with_the_shard,
          threads_post_and_resume_and_are_waited_for,
          a_descriptor_is_watched_until_the_plugin_has_enough,
          a_watched_key_is_told_at_first_after_changes_and_when_it_expires, tags_are_seen_and_given,
          who_opens_something_is_accepted_refused_or_waits,
          what_is_said_banned_and_kicked_is_in_the_log, users_wait_for_a_plugin_that_takes_its_time,
          users_are_authenticated_and_join, a_route_is_answered_later_once_or_in_time_not_at_all,
          edits_of_a_plugin_that_fails_are_thrown_away,
          verdicts_that_there_are_not_are_faults_and_mistakes,
          an_option_that_the_plugin_refuses_is_named_with_its_place,
          a_new_generation_gets_the_state_and_the_old_one_is_ended,
          a_shuffle_is_the_same_for_the_same_seed_and_loses_nothing)
