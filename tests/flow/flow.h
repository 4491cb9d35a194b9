/* flow.h: what every flow test has in common. A file lists its tests and ends with
 *   FLOW_MAIN("chat", a_sentence_that_is_proved, another_one)
 * Each test runs in a process of its own (Check's fork mode), with a directory of its own, and may
 * start servers as it likes: what still runs at its end is stopped, and must stop well. The logs of
 * the servers are shown if it fails. Text and JSON that helpers return live until the test ends,
 * unless they say otherwise.
 *   FLOW_SLOW=10   multiplies every deadline, for sanitizers and slow machines
 *   FLOW_KEEP=1    keeps the directory of a test that failed */
#pragma once
#include <check.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FLOW_MAIN(name, ...)                                                                       \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *tests[] = {__VA_ARGS__};                                                      \
        return flow_run(name, tests, sizeof tests / sizeof *tests);                                \
    }
int flow_run(const char *name, const TTest **tests, size_t count);

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* The directory of this test. */
const char *flow_dir(void);

/* ---- time: deadlines are points on the monotonic clock, in milliseconds ---- */
double flow_slow(void); /* FLOW_SLOW, 1 or more */
int64_t now_ms(void);
int64_t deadline_in(double seconds); /* from now, multiplied by FLOW_SLOW */
/* Between two looks at a condition that cannot be waited for. */
void pause_ms(int ms);

/* ---- text and JSON ---- */
__attribute__((format(printf, 1, 2))) char *textf(const char *format, ...);
char *text_repeat(const char *what, size_t times);
char *file_read(const char *path); /* NULL if there is none */
bool has_sanitizer_report(const char *log);

char *json_text(const json_t *json);
json_t *json_of(const char *text); /* fails the test if it is not JSON */
/* Like json_object_get, and the test fails where it is of another type or missing. */
const char *get_string(const json_t *object, const char *key);
int64_t get_int(const json_t *object, const char *key);
json_t *get_array(const json_t *object, const char *key);

#define assert_json(actual, expected)                                                              \
    do {                                                                                           \
        const json_t *json_ = (actual);                                                            \
        const char *expected_ = (expected);                                                        \
        ck_assert_msg(json_equal(json_, json_of(expected_)), "%s is %s, not %s", #actual,          \
                      json_text(json_), expected_);                                                \
    } while (0)
/* {"status":"error","err":err}, and perhaps more */
#define assert_error(actual, err)                                                                  \
    do {                                                                                           \
        const json_t *json_ = (actual);                                                            \
        const char *got_ = json_string_value(json_object_get(json_, "err"));                       \
        const char *status_ = json_string_value(json_object_get(json_, "status"));                 \
        ck_assert_msg(got_ &&status_ && !strcmp(got_, (err)) && !strcmp(status_, "error"),         \
                      "%s is %s, not the error \"%s\"", #actual, json_text(json_), (err));         \
    } while (0)
#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        const char *text_ = (text), *part_ = (part);                                               \
        ck_assert_msg(text_ &&strcasestr(text_, part_), "\"%s\" is not in: %s", part_,             \
                      text_ ? text_ : "(nothing)");                                                \
    } while (0)
