#include "flow.h"
#include "server.h"

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { TEST_SECONDS = 100, LOG_TAIL_BYTES = 12000 };

/* Each test is a process that ends right after it: its own leaks are no news. The servers do not
 * inherit this, theirs are looked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* ---- fixtures ---- */

static char dir[PATH_MAX];

const char *flow_dir(void)
{
    return dir;
}

/* In the parent, before the test's process is forked. */
static void dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/chatup-flow-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* In the test's process, only reached if the test went well. */
static void test_end(void)
{
    server_stop_all();
    FILE *mark = fopen(textf("%s/passed", dir), "w");
    ck_assert_ptr_nonnull(mark);
    fclose(mark);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    remove(path);
    return 0;
}

static void logs_show(void)
{
    struct dirent *entry;
    DIR *folder = opendir(dir);
    while (folder && (entry = readdir(folder))) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".log") != 0)
            continue;
        char *log = file_read(textf("%s/%s", dir, entry->d_name));
        size_t size = log ? strlen(log) : 0;
        fprintf(stderr, "---- %s, the end of it ----\n%s\n", entry->d_name,
                size > LOG_TAIL_BYTES ? log + size - LOG_TAIL_BYTES
                : log                 ? log
                                      : "");
        free(log);
    }
    if (folder)
        closedir(folder);
}

/* In the parent, whatever became of the test. Check has killed what it left running. */
static void dir_remove(void)
{
    bool failed = access(textf("%s/passed", dir), F_OK) != 0;
    if (failed)
        logs_show();
    if (failed && getenv("FLOW_KEEP"))
        fprintf(stderr, "kept: %s\n", dir);
    else /* again while a dying server still makes files */
        for (int i = 0; i < 100 && access(dir, F_OK) == 0; i++, pause_ms(10))
            nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int flow_run(const char *name, const TTest **tests, size_t count)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < count; i++) {
        TCase *tcase = tcase_create(tests[i]->name);
        tcase_set_timeout(tcase, TEST_SECONDS * flow_slow());
        tcase_add_unchecked_fixture(tcase, dir_make, dir_remove);
        tcase_add_checked_fixture(tcase, NULL, test_end);
        tcase_add_test(tcase, tests[i]);
        suite_add_tcase(suite, tcase);
    }
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_FORK);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- time ---- */

double flow_slow(void)
{
    const char *factor = getenv("FLOW_SLOW");
    double slow = factor ? atof(factor) : 1;
    return slow >= 1 ? slow : 1;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t deadline_in(double seconds)
{
    return now_ms() + (int64_t)(seconds * flow_slow() * 1000);
}

void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* ---- text and JSON ---- */

char *textf(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    return text;
}

char *text_repeat(const char *what, size_t times)
{
    size_t length = strlen(what);
    char *text = calloc(1, length * times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(text + i * length, what, length);
    return text;
}

char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    size_t length = 0, capacity = 4096, got;
    char *text = malloc(capacity);
    while ((got = fread(text + length, 1, capacity - length - 1, file)) > 0) {
        length += got;
        if (capacity - length < 2)
            text = realloc(text, capacity *= 2);
    }
    fclose(file);
    text[length] = 0;
    return text;
}

bool has_sanitizer_report(const char *log)
{
    static const char *const marks[] = {"AddressSanitizer", "ThreadSanitizer", "LeakSanitizer",
                                        "MemorySanitizer", "runtime error:"};
    for (size_t i = 0; log && i < COUNT_OF(marks); i++)
        if (strstr(log, marks[i]))
            return true;
    return false;
}

char *json_text(const json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    return text ? text : textf("(nothing)");
}

json_t *json_of(const char *text)
{
    json_error_t why;
    json_t *json = text ? json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why) : NULL;
    ck_assert_msg(json != NULL, "not JSON: %s", text ? text : "(nothing)");
    return json;
}

const char *get_string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    ck_assert_msg(text != NULL, "no string \"%s\" in %s", key, json_text(object));
    return text;
}

int64_t get_int(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    ck_assert_msg(json_is_integer(number), "no integer \"%s\" in %s", key, json_text(object));
    return json_integer_value(number);
}

json_t *get_array(const json_t *object, const char *key)
{
    json_t *array = json_object_get(object, key);
    ck_assert_msg(json_is_array(array), "no array \"%s\" in %s", key, json_text(object));
    return array;
}
