#include "log.h"
#include "loop.h"
#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what is written to standard error between begin and end ---- */

static int captured, saved;
static int64_t now_ms = 5000;

static int64_t clock_of_the_test(void)
{
    return now_ms;
}

static void begin(void)
{
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    captured = memfd_create("stderr", MFD_CLOEXEC);
    fcntl(captured, F_SETFL,
          O_APPEND); /* as a log file is opened: lines of two threads do not mix */
    dup2(captured, STDERR_FILENO);
}

static char *end(void)
{
    off_t size = lseek(captured, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    ck_assert_int_eq(pread(captured, text, (size_t)size, 0), size);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(captured);
    return text;
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static json_t *json_line(const char *line)
{
    json_error_t err;
    json_t *json = json_loads(line, 0, &err);
    ck_assert_msg(json_is_object(json), "%s: %s", err.text, line);
    return json;
}

static void set_up(void)
{
    log_set_clock(clock_of_the_test);
    log_set(LOG_INFO, LOG_TEXT);
}

/* ---- text ---- */

START_TEST(a_line_has_time_level_text_and_fields)
{
    begin();
    log_event(LOG_WARN,
              LOG_FIELDS({"room", text_of("lobby")}, {"user", text_of("Ann B")},
                         {"plugin", {NULL, 0}}, {"connection", text_of("")}),
              "%d lost", 3);
    char *log = end();
    ck_assert_uint_eq(strlen("2026-01-01T00:00:00.000Z"), 24);
    ck_assert_ptr_eq(strchr(log, ' '), log + 24);
    ck_assert_str_eq(log + 24, " warn  3 lost room=lobby user=\"Ann B\" connection=\"\"\n");
    free(log);
}
END_TEST

START_TEST(lines_above_the_level_are_not_written)
{
    begin();
    log_debug("nobody wants to know");
    log_info("one");
    log_set(LOG_ERROR, LOG_TEXT);
    log_warn("not this one");
    log_error("two");
    char *log = end();
    ck_assert_uint_eq(lines_of(log), 2);
    ck_assert_ptr_nonnull(strstr(log, " info  one\n"));
    ck_assert_ptr_nonnull(strstr(log, " error two\n"));
    free(log);
}
END_TEST

static void speak_arrives(struct letter *letter)
{
    log_info("here");
}

START_TEST(the_loop_is_told)
{
    struct letter speak = {.deliver = speak_arrives};
    struct loop *loop = loop_create("loop-7");
    begin();
    loop_post(loop, &speak);
    loop_drain(loop);
    char *log = end();
    ck_assert_ptr_nonnull(strstr(log, " info  here loop=loop-7\n"));
    free(log);
    loop_destroy(loop);
}
END_TEST

/* ---- hostile text ---- */

#define BAD "\xef\xbf\xbd"

/* What is given, and what a message, a value and JSON make of it. */
static const struct {
    struct text given;
    const char *message, *value, *json;
} hostile[] = {
    {{"a\nb", 3}, "a b", "\"a\\u000ab\"", "a\nb"},
    {{"\x1b[31m", 5}, " [31m", "\"\\u001b[31m\"", "\x1b[31m"},
    {{"say \"x\\\"", 8}, "say \"x\\\"", "\"say \\\"x\\\\\\\"\"", "say \"x\\\""},
    {{"\xff\xfe", 2}, BAD BAD, "\"" BAD BAD "\"", BAD BAD},
    {{"\xc0\xaf", 2}, BAD BAD, "\"" BAD BAD "\"", BAD BAD},                 /* overlong */
    {{"\xed\xa0\x80", 3}, BAD BAD BAD, "\"" BAD BAD BAD "\"", BAD BAD BAD}, /* surrogate */
    {{"\xf4\x90\x80\x80", 4}, BAD BAD BAD BAD, "\"" BAD BAD BAD BAD "\"", BAD BAD BAD BAD},
    {{"\xe2\x82", 2}, BAD BAD, "\"" BAD BAD "\"", BAD BAD},    /* cut short */
    {{"\xc2\x9b", 2}, " ", "\"\\u009b\"", "\xc2\x9b"},         /* CSI */
    {{"\xe2\x80\xa8", 3}, " ", "\"\\u2028\"", "\xe2\x80\xa8"}, /* a line's end */
    {{"\xe2\x80\xae", 3}, " ", "\"\\u202e\"", "\xe2\x80\xae"}, /* right to left */
    {{"J\xc3\xbcrgen", 7}, "J\xc3\xbcrgen", "\"J\xc3\xbcrgen\"", "J\xc3\xbcrgen"},
    {{"a=b", 3}, "a=b", "\"a=b\"", "a=b"},
    {{"\xf0\x9f\x98\x80", 4}, "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80"},
};

START_TEST(hostile_text_stays_in_its_line)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct text given = hostile[i].given;
        char expected[256];
        begin();
        log_event(LOG_INFO, LOG_FIELDS({"user", given}), "%.*s", (int)given.length, given.at);
        char *log = end();
        snprintf(expected, sizeof expected, " info  %s user=%s\n", hostile[i].message,
                 hostile[i].value);
        ck_assert_msg(!strcmp(log + 24, expected), "%zu: %s instead of %s", i, log + 24, expected);
        free(log);
        now_ms += 20000;
    }
}
END_TEST

START_TEST(hostile_text_leaves_json_whole)
{
    log_set(LOG_INFO, LOG_JSON);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct text given = hostile[i].given;
        begin();
        log_event(LOG_INFO, LOG_FIELDS({"user", given}), "%.*s", (int)given.length, given.at);
        char *log = end();
        ck_assert_uint_eq(lines_of(log), 1);
        json_t *json = json_line(log);
        ck_assert_str_eq(json_string_value(json_object_get(json, "msg")), hostile[i].json);
        ck_assert_str_eq(json_string_value(json_object_get(json, "user")), hostile[i].json);
        ck_assert_str_eq(json_string_value(json_object_get(json, "level")), "info");
        json_decref(json);
        free(log);
        now_ms += 20000;
    }
}
END_TEST

/* Every byte, in every field, as long as can be: one line, which a pipe takes in one piece. */
START_TEST(the_longest_line_fits)
{
    char big[5000];
    struct text text = {big, sizeof big - 1};
    for (int shape = LOG_TEXT; shape <= LOG_JSON; shape++)
        for (int byte = 1; byte < 256; byte += 9) {
            memset(big, byte, sizeof big - 1);
            big[sizeof big - 1] = 0;
            log_set(LOG_INFO, (enum log_format)shape);
            begin();
            log_event(LOG_INFO,
                      LOG_FIELDS({"room", text}, {"user", text}, {"connection", text},
                                 {"plugin", text}, {"a", text}, {"b", text}, {"c", text},
                                 {"too many", text}),
                      "%s", big);
            char *log = end();
            ck_assert_uint_eq(lines_of(log), 1);
            ck_assert_uint_le(strlen(log), 4096);
            if (shape == LOG_JSON)
                json_decref(json_line(log));
            free(log);
            now_ms += 20000;
        }
}
END_TEST

/* ---- floods ---- */

static void flood(int from, int to)
{
    for (int i = from; i < to; i++)
        log_warn("refused %d", i);
}

START_TEST(a_flood_is_counted_and_told_once)
{
    begin();
    flood(0, 1000);
    log_warn("another place may speak");
    log_tick(); /* too early */
    now_ms += 9999;
    log_tick();
    flood(1000, 1001);
    char *log = end();
    ck_assert_uint_eq(lines_of(log), 11);
    ck_assert_ptr_nonnull(strstr(log, "refused 9\n"));
    ck_assert_ptr_null(strstr(log, "refused 10"));
    ck_assert_ptr_nonnull(strstr(log, "another place"));
    free(log);

    begin();
    now_ms += 1;
    log_tick();
    log_tick();
    log = end();
    ck_assert_str_eq(log + 24, " warn  refused 10: 991 times more in 10 s\n");
    free(log);

    begin();
    flood(0, 12); /* anew */
    log_finish();
    log_finish();
    log = end();
    ck_assert_uint_eq(lines_of(log), 11);
    ck_assert_ptr_nonnull(strstr(log, "refused 10: 2 times more in 10 s\n"));
    free(log);
}
END_TEST

START_TEST(the_next_line_tells_what_was_held_back_before_it)
{
    log_set(LOG_INFO, LOG_JSON);
    begin();
    for (int i = 0; i < 60; i++) {
        if (i == 50)
            now_ms += 10000;
        log_info("again");
    }
    char *log = end(), *more = strstr(log, "\"more\":");
    ck_assert_uint_eq(lines_of(log), 10 + 1 + 10);
    ck_assert_ptr_nonnull(more);
    ck_assert_int_eq(atoi(more + 7), 40);
    free(log);
}
END_TEST

enum { THREADS = 4, LINES_EACH = 5000 };

static void *flood_run(void *arg)
{
    for (int i = 0; i < LINES_EACH; i++)
        log_info("from many threads");
    return NULL;
}

START_TEST(many_threads_may_flood_one_place)
{
    pthread_t threads[THREADS];
    begin();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, flood_run, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_finish();
    char *log = end(), expected[80];
    snprintf(expected, sizeof expected, "from many threads: %d times more in 10 s\n",
             THREADS * LINES_EACH - 10);
    ck_assert_uint_eq(lines_of(log), 11);
    ck_assert_ptr_nonnull(strstr(log, expected));
    free(log);
}
END_TEST

UNIT_MAIN_IN("log", set_up, NULL, a_line_has_time_level_text_and_fields,
             lines_above_the_level_are_not_written, the_loop_is_told,
             hostile_text_stays_in_its_line, hostile_text_leaves_json_whole, the_longest_line_fits,
             a_flood_is_counted_and_told_once, the_next_line_tells_what_was_held_back_before_it,
             many_threads_may_flood_one_place)
