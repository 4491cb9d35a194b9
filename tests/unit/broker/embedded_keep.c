#include "home.h"

/* ---- batches through broker.h, on some loop ---- */

struct keeping {
    struct call call; /* first */
    struct keep what;
    struct chatup_op ops[8];
    int32_t answer_status, happened;
    int64_t number; /* of the last result */
    char value[64];
};

static void kept(void *arg, const struct chatup_answer *answer)
{
    struct keeping *keeping = arg;
    keeping->answer_status = answer->status;
    keeping->happened = answer->happened;
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
    struct watching watching[LOOPS];
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = call_create(home, i, "unused", watch_make);
        watching[i] = (struct watching){.call = *call, .number = -2};
        watching[i].where = (struct keep){.space = text_of("plugin"), .group = text_of("group")};
        free(call);
        call_start(&watching[i].call);
        call_wait(&watching[i].call);
        wait_number(&watching[i], -1); /* it is not there */
    }
    for (int n = 1; n <= 40; n++)
        add_now(home, (size_t)n % LOOPS, false, "group");
    for (size_t i = 0; i < LOOPS; i++)
        wait_number(&watching[i], 40);
    for (size_t i = 0; i < LOOPS; i++) {
        watching[i].call.done = false;
        watching[i].call.make = unwatch_make;
        call_start(&watching[i].call);
        call_wait(&watching[i].call);
    }
    int64_t heard = watching[1].times;
    add_now(home, 1, false, "group");
    ck_assert_int_eq(watching[1].times, heard);
    for (size_t i = 0; i < LOOPS; i++)
        name_unref(watching[i].call.room);
    home_close(home);
}
END_TEST

UNIT_MAIN("embedded_keep", one_count_for_all_loops,
          durable_keys_outlive_the_process_and_volatile_ones_do_not,
          what_could_not_be_stored_never_was, who_watches_hears_what_a_key_is_and_the_last_change)
