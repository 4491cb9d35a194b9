#include "home.h"

#include <signal.h>

/* ---- batches through broker.h, on some loop ---- */

struct keeping {
    struct call call; /* first */
    struct keep what;
    struct chatup_op ops[8];
    int32_t answer_status, happened, answered;
    int64_t number; /* of the last result */
    char value[64];
};

static void kept(void *arg, const struct chatup_answer *answer)
{
    struct keeping *keeping = arg;
    keeping->answer_status = answer->status;
    keeping->happened = answer->happened;
    keeping->answered++;
    if (answer->results) {
        const struct chatup_result *last = &answer->results[answer->count - 1];
        keeping->number = last->number;
        snprintf(keeping->value, sizeof keeping->value, "%.*s", (int)last->value.length,
                 last->value.at ? last->value.at : "");
    }
    call_done(&keeping->call);
}

static void keep_make(struct call *call)
{
    struct keeping *keeping = (struct keeping *)call;
    keeping->what.ops = keeping->ops;
    broker_keep(call->broker, &keeping->what, kept, keeping);
}

static struct keeping *keep_start(struct home *home, size_t loop, bool is_volatile,
                                  const char *group, const struct chatup_op *ops, uint32_t count)
{
    struct keeping *keeping = xcalloc(1, sizeof *keeping);
    struct call *call = call_create(home, loop, "unused", keep_make);
    keeping->call = *call;
    free(call);
    keeping->what = (struct keep){.space = text_of("plugin"),
                                  .group = text_of(group),
                                  .is_volatile = is_volatile,
                                  .count = count};
    memcpy(keeping->ops, ops, count * sizeof *ops);
    call_start(&keeping->call);
    return keeping;
}

static struct keeping keep_end(struct keeping *keeping)
{
    call_wait(&keeping->call);
    struct keeping copy = *keeping;
    call_free(&keeping->call);
    return copy;
}

static struct chatup_text to(const char *string)
{
    return (struct chatup_text){string, strlen(string)};
}

static struct chatup_op add(const char *key, int64_t number)
{
    return (struct chatup_op){.kind = CHATUP_OP_ADD, .key = to(key), .number = number};
}

static int64_t add_now(struct home *home, size_t loop, bool is_volatile, const char *group)
{
    const struct chatup_op op = add("n", 1);
    struct keeping done = keep_end(keep_start(home, loop, is_volatile, group, &op, 1));
    ck_assert_int_eq(done.answer_status, CHATUP_DONE);
    return done.number;
}

START_TEST(one_count_for_all_loops)
{
    enum { EACH = 50 };
    EACH_DURABILITY(durability)
    {
        for (int is_volatile = 0; is_volatile < 2; is_volatile++) {
            struct home *home = home_open(durability);
            struct keeping *all[LOOPS * EACH];
            bool seen[LOOPS * EACH + 1] = {false};
            const struct chatup_op op = add("n", 1);
            for (size_t i = 0; i < LOOPS * EACH; i++)
                all[i] = keep_start(home, i % LOOPS, is_volatile, "group", &op, 1);
            for (size_t i = 0; i < LOOPS * EACH; i++) {
                int64_t number = keep_end(all[i]).number;
                ck_assert_int_ge(number, 1);
                ck_assert_int_le(number, LOOPS * EACH);
                ck_assert(!seen[number]);
                seen[number] = true;
            }
            home_close(home);
        }
    }
}
END_TEST

START_TEST(durable_keys_outlive_the_process_and_volatile_ones_do_not)
{
    if (on_redis()) /* of the embedded store only */
        return;
    struct home *home = home_open(DURABILITY_COMMIT);
    const char *groups[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        for (size_t n = 0; n <= i; n++) {
            add_now(home, n % LOOPS, false, groups[i]);
            add_now(home, n % LOOPS, true, groups[i]);
        }
    home_reopen(home);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(add_now(home, i % LOOPS, false, groups[i]), (int64_t)i + 2);
        ck_assert_int_eq(add_now(home, i % LOOPS, true, groups[i]), 1);
    }
    home_close(home);
}
END_TEST

START_TEST(what_could_not_be_stored_never_was)
{
    if (on_redis()) /* of the embedded store only */
        return;
    struct home *home = home_open(DURABILITY_COMMIT);
    ck_assert_int_eq(add_now(home, 0, false, "group"), 1);
    disk_full(home);
    char big[4000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    const struct chatup_op ops[] = {add("n", 1),
                                    {.kind = CHATUP_OP_SET, .key = to("big"), .value = to(big)}};
    for (int i = 0; i < 5; i++) {
        struct keeping failed = keep_end(keep_start(home, 1, false, "group", ops, 2));
        ck_assert_int_eq(failed.answer_status, CHATUP_UNAVAILABLE);
        ck_assert_int_eq(add_now(home, 2, true, "group"), i + 1); /* needs no disk */
    }
    disk_mended();
    ck_assert_int_eq(add_now(home, 1, false, "group"), 2);
    home_reopen(home);
    ck_assert_int_eq(add_now(home, 1, false, "group"), 3);
    home_close(home);
}
END_TEST

/* ---- watches ---- */

struct watching {
    struct call call; /* first */
    struct keep where;
    struct broker_watch *watch;
    _Atomic int64_t number, times;
};

static void changed(void *arg, const struct chatup_result *result)
{
    struct watching *watching = arg;
    watching->number = result->ok ? result->number : -1;
    watching->times++;
}

static void watch_make(struct call *call)
{
    struct watching *watching = (struct watching *)call;
    watching->watch = broker_watch(call->broker, &watching->where, text_of("n"), changed, watching);
    call_done(call);
}

static void unwatch_make(struct call *call)
{
    struct watching *watching = (struct watching *)call;
    broker_unwatch(call->broker, watching->watch);
    call_done(call);
}

static void unwatch_and_watch_make(struct call *call)
{
    struct watching *watching = (struct watching *)call;
    broker_unwatch(call->broker, watching->watch);
    watch_make(call);
}

static void watching_does(struct watching *watching, void (*make)(struct call *))
{
    watching->call.done = false;
    watching->call.make = make;
    call_start(&watching->call);
    call_wait(&watching->call);
}

/* The key "n" of that group. */
static struct watching *watch_start(struct home *home, size_t loop, const char *group)
{
    struct watching *watching = xcalloc(1, sizeof *watching);
    struct call *call = call_create(home, loop, "unused", NULL);
    *watching = (struct watching){.call = *call, .number = -2};
    watching->where = (struct keep){.space = text_of("plugin"), .group = text_of(group)};
    free(call);
    watching_does(watching, watch_make);
    return watching;
}

static void watch_end(struct watching *watching)
{
    watching_does(watching, unwatch_make);
    call_free(&watching->call);
}

static void wait_number(const struct watching *watching, int64_t number)
{
    int64_t deadline = clock_mono_ms() + WAIT_S * 1000;
    while (watching->number != number) {
        ck_assert_msg(clock_mono_ms() < deadline, "it is %d", (int)watching->number);
        sched_yield();
    }
}

START_TEST(who_watches_hears_what_a_key_is_and_the_last_change)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct watching *watching[LOOPS];
    for (size_t i = 0; i < LOOPS; i++) {
        watching[i] = watch_start(home, i, "group");
        wait_number(watching[i], -1); /* it is not there */
    }
    for (int n = 1; n <= 40; n++)
        add_now(home, (size_t)n % LOOPS, false, "group");
    for (size_t i = 0; i < LOOPS; i++)
        wait_number(watching[i], 40);
    for (size_t i = 0; i < LOOPS; i++)
        watching_does(watching[i], unwatch_make);
    int64_t heard = watching[1]->times;
    add_now(home, 1, false, "group");
    ck_assert_int_eq(watching[1]->times, heard);
    for (size_t i = 0; i < LOOPS; i++)
        call_free(&watching[i]->call);
    home_close(home);
}
END_TEST

static void keep_now(struct home *home, size_t loop, const char *group, struct chatup_op op)
{
    op.key = to("n");
    struct keeping done = keep_end(keep_start(home, loop, false, group, &op, 1));
    ck_assert_int_eq(done.answer_status, CHATUP_DONE);
}

START_TEST(who_watches_hears_that_a_key_is_gone_when_its_time_is_over)
{
    struct home *home = home_open(DURABILITY_MEMORY);
    struct watching *number = watch_start(home, 0, "number"), *set = watch_start(home, 1, "set"),
                    *window = watch_start(home, 2, "window");
    wait_number(number, -1);
    wait_number(set, -1);
    wait_number(window, -1);
    keep_now(home, 0, "number",
             (struct chatup_op){.kind = CHATUP_OP_ADD, .number = 7, .ttl_ms = 1500});
    wait_number(number, 7);
    keep_now(home, 0, "window",
             (struct chatup_op){.kind = CHATUP_OP_WINDOW, .number = 5, .period_ms = 1500});
    wait_number(window, 0); /* as of GET: it is there */
    struct chatup_op member = {.kind = CHATUP_OP_SET_ADD, .value = to("a")};
    keep_now(home, 0, "set", member);
    wait_number(set, 1);
    member.ttl_ms = 100; /* the same member: only the time changes */
    keep_now(home, 0, "set", member);
    wait_number(set, -1);
    wait_number(number, -1);
    wait_number(window, -1);
    watch_end(number);
    watch_end(set);
    watch_end(window);
    home_close(home);
}
END_TEST

START_TEST(who_watches_anew_misses_nothing)
{
    struct home *home = home_open(DURABILITY_MEMORY);
    struct watching *watching = watch_start(home, 0, "group"), *other;
    for (int n = 1; n <= 100; n++) {
        watching_does(watching, unwatch_and_watch_make);
        ck_assert_int_eq(add_now(home, 1, false, "group"), n);
        wait_number(watching, n);
        if (n % 10)
            continue;
        other = watch_start(home, 0, "group"); /* which goes, and leaves that one alone */
        wait_number(other, n);
        watch_end(other);
    }
    watch_end(watching);
    home_close(home);
}
END_TEST

/* ---- on Redis ---- */

START_TEST(what_one_process_changes_another_hears)
{
    if (!on_redis())
        return;
    struct home *home = home_open(DURABILITY_COMMIT), *other = home_create(DURABILITY_COMMIT);
    other->conf.redis.socket = home->server.socket;
    home_run(other);
    struct watching *here = watch_start(home, 0, "group"), *there = watch_start(other, 1, "group");
    wait_number(here, -1);
    wait_number(there, -1);
    for (int n = 1; n <= 20; n++) {
        ck_assert_int_eq(add_now(n % 2 ? home : other, 2, false, "group"), n);
        wait_number(here, n);
        wait_number(there, n);
    }
    ck_assert_int_eq(add_now(other, 0, true, "group"), 1); /* another key */
    watch_end(here);
    watch_end(there);
    home_close(other);
    home_close(home);
}
END_TEST

START_TEST(a_redis_that_comes_back_is_read_again)
{
    if (!on_redis())
        return;
    struct home *home = home_open(DURABILITY_COMMIT);
    struct watching *watching = watch_start(home, 0, "group");
    add_now(home, 1, false, "group");
    wait_number(watching, 1);
    redis_process_kill(&home->server);
    struct watching *late = watch_start(home, 1, "group"); /* meanwhile */
    const struct chatup_op op = add("n", 1);
    ck_assert_int_ne(keep_end(keep_start(home, 2, false, "group", &op, 1)).answer_status,
                     CHATUP_DONE);
    redis_process_start(&home->server, NULL); /* empty */
    wait_number(watching, -1);
    wait_number(late, -1);
    settle(home);
    add_now(home, 0, false, "group");
    wait_number(watching, 1);
    wait_number(late, 1);
    watch_end(watching);
    watch_end(late);
    home_close(home);
}
END_TEST

START_TEST(a_redis_that_is_full_takes_nothing_and_still_tells)
{
    if (!on_redis())
        return;
    struct home *home = home_open(DURABILITY_COMMIT);
    const struct chatup_op ops[] = {
        {.kind = CHATUP_OP_SET, .key = to("t"), .value = to("x")},
        {.kind = CHATUP_OP_SET_ADD, .key = to("s"), .value = to("x")},
        {.kind = CHATUP_OP_WINDOW, .key = to("w"), .number = 9, .period_ms = 100000},
        add("n", 1),
        add("n", INT64_MAX - 1),
        {.kind = CHATUP_OP_DELETE, .key = to("n")}};
    enum { COUNT = sizeof ops / sizeof *ops };
    add_now(home, 0, false, "group");
    redis_process_ask(&home->server, "CONFIG SET maxmemory 1", NULL, 0);
    for (size_t i = 0; i < COUNT - 1; i++) {
        struct keeping full = keep_end(keep_start(home, 1, false, "group", &ops[i], 1));
        ck_assert_msg(full.answer_status == CHATUP_UNAVAILABLE, "op %zu: %d", i,
                      full.answer_status);
    }
    struct watching *watching = watch_start(home, 0, "group");
    wait_number(watching, 1);
    struct keeping gone = keep_end(keep_start(home, 1, false, "group", &ops[COUNT - 1], 1));
    ck_assert_int_eq(gone.answer_status, CHATUP_DONE);
    wait_number(watching, -1);
    redis_process_ask(&home->server, "CONFIG SET maxmemory 0", NULL, 0);
    ck_assert_int_eq(add_now(home, 1, false, "group"), 1);
    wait_number(watching, 1);
    watch_end(watching);
    home_close(home);
}
END_TEST

START_TEST(what_is_open_at_the_end_is_answered)
{
    enum { OPEN = 30 };
    if (!on_redis())
        return;
    struct home *home = home_open(DURABILITY_COMMIT);
    struct keeping *open[OPEN];
    const struct chatup_op op = add("n", 1);
    struct watching *watching = watch_start(home, 0, "group");
    wait_number(watching, -1);
    kill(home->server.pid, SIGSTOP);
    for (size_t i = 0; i < OPEN; i++)
        open[i] = keep_start(home, i % LOOPS, false, "group", &op, 1);
    struct watching *late = watch_start(home, 0, "other");
    home_close(home); /* with the watches */
    for (size_t i = 0; i < OPEN; i++) {
        ck_assert(open[i]->call.done);
        ck_assert_int_eq(open[i]->answered, 1);
        ck_assert_int_eq(open[i]->answer_status, CHATUP_TIMEOUT);
        call_free(&open[i]->call);
    }
    ck_assert_int_eq(late->number, -2);
    call_free(&watching->call);
    call_free(&late->call);
}
END_TEST

UNIT_MAIN("embedded_keep", one_count_for_all_loops,
          durable_keys_outlive_the_process_and_volatile_ones_do_not,
          what_could_not_be_stored_never_was, who_watches_hears_what_a_key_is_and_the_last_change,
          who_watches_hears_that_a_key_is_gone_when_its_time_is_over,
          who_watches_anew_misses_nothing, what_one_process_changes_another_hears,
          a_redis_that_comes_back_is_read_again, a_redis_that_is_full_takes_nothing_and_still_tells,
          what_is_open_at_the_end_is_answered)
