/* The batches of chatup/store.h, as stories. On Redis (CHATUP_TEST_HOME) they are run through a
 * broker, and its clock is what it is: those that set it have a story of their own there. */
#include "keyed.h"
#include "home.h"

#include <stdio.h>
#include <string.h>

enum { NOW = 1000000, MAX = 1 << 20 };

static struct keyed *keyed;
static int64_t now_ms;

static struct home *home; /* on Redis */

static void begin(void)
{
    if (on_redis())
        home = home_open(DURABILITY_COMMIT);
    keyed = keyed_create();
    now_ms = NOW;
}

static void end(void)
{
    ck_assert_uint_eq(keyed_bytes(keyed, (struct text){"nobody", 6}), 0);
    keyed_destroy(keyed);
    if (home)
        home_close(home);
}

static struct chatup_text text(const char *string)
{
    return (struct chatup_text){string, string ? strlen(string) : 0};
}

static char *bytes_write(char *to, struct chatup_text bytes)
{
    for (size_t i = 0; i < bytes.length; i++)
        to += sprintf(to, bytes.at[i] >= ' ' && bytes.at[i] <= '~' ? "%c" : "\\x%02x",
                      (unsigned char)bytes.at[i]);
    return to;
}

/* "ok number ttl value members" of each op, and a ! where nothing happened. */
static const char *results_of(const struct chatup_answer *answer)
{
    static char line[20000];
    char *to = line;
    *line = 0;
    for (uint32_t i = 0; i < answer->count; i++) {
        const struct chatup_result *result = &answer->results[i];
        to += sprintf(to, "%s%d", i ? " | " : "", (int)result->ok);
        if (result->number)
            to += sprintf(to, " n%lld", (long long)result->number);
        if (result->ttl_ms)
            to += sprintf(to, " t%lld", (long long)result->ttl_ms);
        if (result->value.at) {
            to = bytes_write(to + sprintf(to, " '"), result->value);
            *to++ = '\'';
        }
        for (uint32_t m = 0; m < result->count; m++) {
            *to++ = m ? ',' : ' ';
            to = bytes_write(to, result->members[m]);
        }
    }
    strcpy(to, answer->happened ? "" : " !");
    return line;
}

static void run_in(const char *group, const struct chatup_op *ops, uint32_t count, uint64_t max,
                   keyed_changed *changed, void *arg, struct keyed_outcome *out)
{
    keyed_run(keyed, (struct text){"p", 1}, (struct text){group, strlen(group)}, ops, count, now_ms,
              max, changed, arg, out);
}

struct asked {        /* of a broker */
    struct call call; /* first */
    struct keep what;
    const char *line;
};

static void asked_answered(void *arg, const struct chatup_answer *answer)
{
    struct asked *asked = arg;
    asked->line = answer->status == CHATUP_DONE ? results_of(answer) : "not done";
    call_done(&asked->call);
}

static void asked_make(struct call *call)
{
    struct asked *asked = (struct asked *)call;
    broker_keep(call->broker, &asked->what, asked_answered, asked);
}

static const char *ask(const char *group, const struct chatup_op *ops, uint32_t count)
{
    struct asked asked;
    struct call *call = call_create(home, 0, "unused", asked_make);
    asked = (struct asked){
        .call = *call,
        .what = {.space = text_of("p"), .group = text_of(group), .ops = ops, .count = count}};
    free(call);
    call_start(&asked.call);
    call_wait(&asked.call);
    name_unref(asked.call.room);
    return asked.line;
}

static const char *batch(const char *group, const struct chatup_op *ops, uint32_t count)
{
    struct keyed_outcome out;
    if (home)
        return ask(group, ops, count);
    run_in(group, ops, count, MAX, NULL, NULL, &out);
    const char *line = results_of(&out.answer);
    keyed_outcome_finish(&out);
    return line;
}

/* The clock of Redis moves: what is left to live may be somewhat less. */
static bool same_results(const char *got, const char *expected, int64_t more_ms)
{
    enum { LESS_MS = 30000 };
    while (home && *got && *expected) {
        if (got[0] == ' ' && got[1] == 't' && expected[0] == ' ' && expected[1] == 't') {
            char *got_end, *expected_end;
            int64_t left = strtoll(got + 2, &got_end, 10);
            int64_t most = strtoll(expected + 2, &expected_end, 10);
            if (left > most + more_ms || left < most - LESS_MS)
                return false;
            got = got_end;
            expected = expected_end;
        } else if (*got++ != *expected++) {
            return false;
        }
    }
    return !strcmp(got, expected);
}

static void results_are(const char *got, const char *expected)
{
    ck_assert_msg(same_results(got, expected, 0), "%s, instead of %s", got, expected);
}

#define BATCH_IN(group, expected, ...)                                                             \
    do {                                                                                           \
        const struct chatup_op ops_[] = {__VA_ARGS__};                                             \
        results_are(batch(group, ops_, sizeof ops_ / sizeof *ops_), expected);                     \
    } while (0)
#define BATCH(expected, ...) BATCH_IN("g", expected, __VA_ARGS__)

#define GET(k)                                                                                     \
    {                                                                                              \
        .kind = CHATUP_OP_GET, .key = text(k)                                                      \
    }
#define SET(k, v)                                                                                  \
    {                                                                                              \
        .kind = CHATUP_OP_SET, .key = text(k), .value = text(v)                                    \
    }
#define ADD(k, n)                                                                                  \
    {                                                                                              \
        .kind = CHATUP_OP_ADD, .key = text(k), .number = (n)                                       \
    }
#define DELETE(k)                                                                                  \
    {                                                                                              \
        .kind = CHATUP_OP_DELETE, .key = text(k)                                                   \
    }
#define MEMBERS(k)                                                                                 \
    {                                                                                              \
        .kind = CHATUP_OP_MEMBERS, .key = text(k)                                                  \
    }
#define SADD(k, v)                                                                                 \
    {                                                                                              \
        .kind = CHATUP_OP_SET_ADD, .key = text(k), .value = text(v)                                \
    }
#define SREM(k, v)                                                                                 \
    {                                                                                              \
        .kind = CHATUP_OP_SET_REMOVE, .key = text(k), .value = text(v)                             \
    }
#define ABSENT(k)                                                                                  \
    {                                                                                              \
        .kind = CHATUP_OP_ABSENT, .flags = CHATUP_MUST, .key = text(k)                             \
    }
#define WINDOW(k, n, p)                                                                            \
    {                                                                                              \
        .kind = CHATUP_OP_WINDOW, .flags = CHATUP_MUST, .key = text(k), .number = (n),             \
        .period_ms = (p)                                                                           \
    }

START_TEST(texts_numbers_and_sets_are_what_was_done_to_them)
{
    BATCH("0", GET("a"));
    BATCH("1 | 1 'x' | 1 | 1 'y'", SET("a", "x"), GET("a"), SET("a", "y"), GET("a"));
    BATCH("1 n5 | 1 n3", ADD("n", 5), ADD("n", -2));
    BATCH("1 | 1 | 0 | 1 n2 a,b", SADD("s", "b"), SADD("s", "a"), SADD("s", "b"), MEMBERS("s"));
    BATCH("1 | 0 | 1 n1 b", SREM("s", "a"), SREM("s", "a"), MEMBERS("s"));
    BATCH("1 | 1", SREM("s", "b"), MEMBERS("s"));
    BATCH("0", DELETE("s"));
    BATCH("1 | 0 | 0", DELETE("a"), DELETE("a"), GET("a"));
    BATCH("1 | 1 ''", SET("e", ""), GET("e"));
}
END_TEST

START_TEST(another_type_is_an_error_of_that_op_alone)
{
    BATCH("1 n1", ADD("n", 1));
    BATCH("-1 | -1 | -1 | 1 n2", GET("n"), SADD("n", "x"),
          {.kind = CHATUP_OP_WINDOW, .key = text("n"), .number = 1, .period_ms = 1000},
          ADD("n", 1));
    BATCH("1 | 1 'x'", SET("n", "x"), GET("n"));
    BATCH("1 n9223372036854775807", ADD("big", INT64_MAX));
    BATCH("-1", ADD("big", 1));
}
END_TEST

START_TEST(a_must_that_is_not_ok_stops_all)
{
    BATCH("1", SET("a", "x"));
    BATCH("0 | 1 !", ABSENT("a"), SET("b", "y"));
    BATCH("0", GET("b"));
    /* A rule that refuses leaves the counts of the others alone. */
    BATCH("1 n1 | 1 n1 t60000", WINDOW("w1", 5, 60000), WINDOW("w2", 1, 60000));
    BATCH("1 n1 | 0 n1 t60000 !", WINDOW("w1", 5, 60000), WINDOW("w2", 1, 60000));
    BATCH("1 n2", WINDOW("w1", 5, 60000));
}
END_TEST

START_TEST(keys_expire)
{
    if (home) /* the one in memory only */
        return;
    BATCH("1 | 1 t500 'x'",
          {.kind = CHATUP_OP_SET_NEW, .key = text("a"), .value = text("x"), .ttl_ms = 500},
          GET("a"));
    now_ms += 499;
    BATCH("0 t1", {.kind = CHATUP_OP_SET_NEW, .key = text("a"), .ttl_ms = 500});
    BATCH("0 t1 !", ABSENT("a"));
    now_ms += 1;
    BATCH("1", ABSENT("a"));
    BATCH("1", {.kind = CHATUP_OP_SET_NEW, .key = text("a"), .value = text("y"), .ttl_ms = 500});
    BATCH("1 n1 t100", {.kind = CHATUP_OP_ADD, .key = text("n"), .number = 1, .ttl_ms = 100});
    BATCH("1 n2 t100", ADD("n", 1)); /* keeps what it has */
    now_ms += 100;
    BATCH("1 n1", ADD("n", 1)); /* anew, and for ever */
    now_ms += 1000;
    keyed_expire(keyed, now_ms, NULL, NULL);
    BATCH("0 | 1 n2", GET("a"), ADD("n", 1));
}
END_TEST

START_TEST(a_window_slides)
{
    if (home) /* the one in memory only */
        return;
    for (int i = 0; i < 3; i++, now_ms += 100)
        BATCH(i == 0 ? "1 n1" : i == 1 ? "1 n2" : "1 n3 t800", WINDOW("w", 3, 1000));
    BATCH("0 n3 t700 !", WINDOW("w", 3, 1000));
    now_ms += 700; /* the first is out, to the millisecond */
    BATCH("1 n3 t100", WINDOW("w", 3, 1000));
    BATCH("0 n3 t100 !", WINDOW("w", 3, 1000));
    now_ms += 5000;
    BATCH("1 n1", WINDOW("w", 3, 1000));
}
END_TEST

START_TEST(a_clock_that_is_set_back_keeps_a_window_full_no_longer_than_its_period)
{
    const struct chatup_op window = WINDOW("w", 2, 1000);
    if (home)
        return;
    BATCH("1 n1", window);
    BATCH("1 n2 t1000", window);
    now_ms -= 60000;
    BATCH("0 n2 t1000 !", window);
    now_ms += 1000;
    BATCH("1 n1", window);
    now_ms -= 500; /* also where there is room */
    BATCH("1 n2 t1000", window);
    BATCH("0 n2 t1000 !", window);
}
END_TEST

START_TEST(groups_and_plugins_do_not_see_each_other)
{
    const struct chatup_op get[] = {GET("a")};
    struct keyed_outcome out;
    BATCH_IN("g", "1", SET("a", "x"));
    BATCH_IN("h", "0", GET("a"));
    BATCH_IN("g:1:a", "0", GET("a"));
    BATCH_IN("g", "1 'x'", GET("a"));
    keyed_run(keyed, (struct text){"q", 1}, (struct text){"g", 1}, get, 1, now_ms, MAX, NULL, NULL,
              &out);
    ck_assert_str_eq(results_of(&out.answer), "0");
    keyed_outcome_finish(&out);
}
END_TEST

START_TEST(what_is_taken_back_never_was)
{
    if (home) /* the one in memory only */
        return;
    BATCH("1 | 1 | 1 | 1 n7", SET("a", "x"), SADD("s", "m"), SADD("s", "o"), ADD("n", 7));
    uint64_t bytes = keyed_bytes(keyed, (struct text){"p", 1});
    const struct chatup_op ops[] = {SET("a", "y"),         DELETE("a"),    ADD("a", 3),
                                    SADD("s", "n"),        SREM("s", "m"), SREM("s", "o"),
                                    SREM("s", "n"),        SADD("t", "1"), ADD("n", 1),
                                    WINDOW("w", 10, 1000), DELETE("n"),    SET("new", "z")};
    struct keyed_outcome out;
    run_in("g", ops, sizeof ops / sizeof *ops, MAX, NULL, NULL, &out);
    ck_assert_int_eq(out.answer.happened, 1);
    keyed_take_back(keyed, &out);
    keyed_outcome_finish(&out);
    ck_assert_uint_eq(keyed_bytes(keyed, (struct text){"p", 1}), bytes);
    BATCH("1 'x' | 1 n2 m,o | 1 | 0 | 1 n8", GET("a"), MEMBERS("s"), MEMBERS("t"), GET("new"),
          ADD("n", 1));
}
END_TEST

START_TEST(beyond_the_limit_nothing_is_added_and_deleting_goes_on)
{
    if (home) /* the one in memory only */
        return;
    const struct chatup_op add[] = {SADD("s", "0123456789"), SADD("s", "1123456789")};
    const struct chatup_op remove[] = {SREM("s", "0123456789")};
    struct keyed_outcome out;
    run_in("g", add, 2, MAX, NULL, NULL, &out);
    keyed_outcome_finish(&out);
    const struct chatup_op more[] = {SADD("s", "2123456789")};
    run_in("g", more, 1, 100, NULL, NULL, &out);
    ck_assert(out.full && out.answer.status == CHATUP_UNAVAILABLE && !out.answer.results);
    keyed_outcome_finish(&out);
    run_in("g", remove, 1, 100, NULL, NULL, &out);
    ck_assert_int_eq(out.answer.status, CHATUP_DONE);
    keyed_outcome_finish(&out);
    BATCH("1 n1 1123456789", MEMBERS("s"));
}
END_TEST

/* ---- on Redis ---- */

static void wait_batch(const char *expected, const struct chatup_op *ops, uint32_t count)
{
    int64_t deadline = clock_mono_ms() + WAIT_S * 1000;
    while (strcmp(batch("g", ops, count), expected) != 0)
        ck_assert_msg(clock_mono_ms() < deadline, "never %s", expected);
}

START_TEST(keys_expire_and_windows_slide_by_the_clock_of_redis)
{
    const struct chatup_op absent = ABSENT("a"), get = GET("n");
    /* How many are in the window, without taking one. */
    const struct chatup_op inside[] = {ABSENT("there"), WINDOW("w", 2, 1000)};
    if (!home)
        return;
    BATCH("1", {.kind = CHATUP_OP_SET_NEW, .key = text("a"), .value = text("x"), .ttl_ms = 60});
    wait_batch("1", &absent, 1);
    BATCH("1 n1 t60 | 1 n5 t60",
          {.kind = CHATUP_OP_ADD, .key = text("n"), .number = 1, .ttl_ms = 60}, ADD("n", 4));
    wait_batch("0", &get, 1);
    BATCH("1", SET("there", "x"));
    BATCH("1 n1 | 1 n2 t1000 | 0 n2 t1000", WINDOW("w", 2, 1000),
          {.kind = CHATUP_OP_WINDOW, .key = text("w"), .number = 2, .period_ms = 1000},
          {.kind = CHATUP_OP_WINDOW, .key = text("w"), .number = 2, .period_ms = 1000});
    wait_batch("0 | 1 !", inside, 2);
    BATCH("1 n1", WINDOW("w", 2, 1000));
}
END_TEST

/* What is there, or stands in the way, has some time left until it is not. */
START_TEST(the_last_millisecond_is_over_at_its_beginning)
{
    enum { ROUNDS = 20 };
    const struct chatup_op get = GET("a");
    const struct chatup_op window = WINDOW("w", 1, 20);
    if (!home)
        return;
    BATCH("1 n1 t60000", WINDOW("w", 1, 60000)); /* the key lives on */
    for (int i = 0; i < ROUNDS; i++) {
        const char *line;
        BATCH("1", {.kind = CHATUP_OP_SET, .key = text("a"), .value = text("x"), .ttl_ms = 20});
        while (*(line = batch("g", &get, 1)) == '1')
            ck_assert_msg(!strncmp(line, "1 t", 3), "%s", line);
        while (*(line = batch("g", &window, 1)) == '0')
            ck_assert_msg(!strncmp(line, "0 n1 t", 6), "%s", line);
        ck_assert_msg(!strncmp(line, "1 n1 t", 6), "%s", line);
    }
}
END_TEST

/* ---- both at once ---- */

static uint32_t dice_state;

static uint32_t dice(uint32_t sides) /* xorshift32 (Marsaglia) */
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 17;
    dice_state ^= dice_state << 5;
    return dice_state % sides;
}

static struct chatup_text any_text(void)
{
    static const struct chatup_text texts[] = {
        {"", 0},    {"a", 1},        {"b", 1},   {"B", 1},        {"ab", 2},
        {"a\0", 2}, {"\xff\xfe", 2}, {"1:2", 3}, {"\xc3\xa4", 2}, {"-1", 2}};
    return texts[dice(sizeof texts / sizeof *texts)];
}

static struct chatup_op any_op(void)
{
    static const int64_t numbers[] = {
        1, -1, 7, INT64_MAX, INT64_MIN, (INT64_C(1) << 53) + 1, 0, -INT64_MAX, INT64_C(1) << 62};
    static const char *const keys[] = {"k", "k:", "1:k", "\x01"};
    static const int64_t day_ms = 86400000;
    struct chatup_op op = {.kind = (int32_t)dice(CHATUP_OP_WINDOW + 1),
                           .flags = dice(5) ? 0 : CHATUP_MUST,
                           .key = text(keys[dice(4)]),
                           .value = any_text(),
                           .ttl_ms = (int64_t)dice(3) * day_ms};
    if (op.kind == CHATUP_OP_WINDOW) {
        op.number = 1 + dice(6);
        op.period_ms = (1 + dice(3)) * day_ms;
    } else {
        op.number = numbers[dice(sizeof numbers / sizeof *numbers)];
    }
    if (!dice(4)) /* so that all types are met, and not for long */
        op.kind = CHATUP_OP_DELETE;
    return op;
}

START_TEST(any_batch_has_the_same_results_as_in_memory)
{
    enum { BATCHES = 3000, OPS = 8, SLACK_MS = 30000 };
    static char expected[20000];
    if (!home)
        return;
    for (uint32_t i = 0; i < BATCHES; i++) {
        struct keyed_outcome out;
        struct chatup_op ops[OPS];
        dice_state = 1 + i;
        dice(1); /* small seeds begin alike */
        uint32_t count = 1 + dice(OPS);
        for (uint32_t k = 0; k < count; k++)
            ops[k] = any_op();
        now_ms = clock_wall_ms();
        run_in("any", ops, count, MAX, NULL, NULL, &out);
        strcpy(expected, results_of(&out.answer));
        keyed_outcome_finish(&out);
        const char *got = batch("any", ops, count);
        ck_assert_msg(same_results(got, expected, SLACK_MS), "batch %u: %s, instead of %s", i, got,
                      expected);
    }
}
END_TEST

/* ---- what is to be written, read again ---- */

static struct keyed *copy;

static void write_row(void *arg, enum keyed_change change, const struct keyed_row *row)
{
    char *log = arg;
    static const char *const names[] = {"put", "remove", "delete", "expire"};
    sprintf(log + strlen(log), "%s %.*s %.*s;", names[change], (int)row->at.key.length,
            row->at.key.at, (int)row->member.length, row->member.length ? row->member.at : "");
    if (change == KEYED_PUT)
        keyed_load(copy, row);
}

START_TEST(what_is_written_makes_the_same_keys)
{
    if (home) /* the one in memory only */
        return;
    char log[400] = "";
    const struct chatup_op ops[] = {SET("a", "x"), ADD("n", 2), SADD("s", "m"),
                                    WINDOW("w", 3, 1000), GET("a")};
    struct keyed_outcome out;
    copy = keyed_create();
    run_in("g", ops, 5, MAX, write_row, log, &out);
    keyed_outcome_finish(&out);
    ck_assert_str_eq(log, "delete a ;put a ;put n ;put s m;put w ;");
    struct keyed *first = keyed;
    keyed = copy;
    BATCH("1 'x' | 1 n3 | 1 n1 m | 1 n2", GET("a"), ADD("n", 1), MEMBERS("s"),
          WINDOW("w", 3, 1000));
    keyed_destroy(copy);
    keyed = first;
}
END_TEST

UNIT_MAIN_IN("keyed", begin, end, texts_numbers_and_sets_are_what_was_done_to_them,
             another_type_is_an_error_of_that_op_alone, a_must_that_is_not_ok_stops_all,
             keys_expire, a_window_slides,
             a_clock_that_is_set_back_keeps_a_window_full_no_longer_than_its_period,
             groups_and_plugins_do_not_see_each_other, what_is_taken_back_never_was,
             beyond_the_limit_nothing_is_added_and_deleting_goes_on,
             what_is_written_makes_the_same_keys,
             keys_expire_and_windows_slide_by_the_clock_of_redis,
             the_last_millisecond_is_over_at_its_beginning,
             any_batch_has_the_same_results_as_in_memory)
