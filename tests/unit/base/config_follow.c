#include "config.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct config *load(const char *text)
{
    char path[] = "/tmp/chatup-follow-XXXXXX";
    struct error err = {0};
    FILE *file = fdopen(mkstemp(path), "w");
    fputs(text, file);
    fclose(file);
    struct config *conf = config_load(path, NULL, 0, &err);
    ck_assert_msg(conf != NULL, "%s", err.text);
    unlink(path);
    return conf;
}

/* "" if it may, else the place without the name of the file. */
static const char *follow(const char *now_text, const char *next_text)
{
    static struct error err;
    struct config *now = load(now_text), *next = load(next_text);
    err.text[0] = 0;
    bool may = config_may_follow(now, next, &err);
    ck_assert_int_eq(may, !err.text[0]);
    size_t skip = may ? 0 : strlen(next->path);
    ck_assert_int_eq(strncmp(err.text, next->path, skip), 0);
    config_destroy(now);
    config_destroy(next);
    return err.text + skip;
}

#define STAYS "cannot change while the server runs: restart it, or put it back"
#define KEY   "jwt:\n  keys:\n    - {algorithm: HS256, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n"
#define A     "plugins:\n  - {name: a, config: {x: 1, y: [1, 2]}}\n"

static const struct {
    const char *now, *next, *says;
} cases[] = {
    {"", "", ""},
    {"", KEY, ""},
    {KEY, "", ""},
    {"", "origins: https://example.org\nannounce: http://a\nclient_dir: ''\n", ""},
    {"", "log_level: debug\nlog_format: json\n", ""},
    {"", "history: {size: 1, expire: 1s}\nrooms: {flush_gap: 1s}\n", ""},
    {"", "limits:\n  message_bytes: 100\n  connections: 5\n  rooms: 5\n  dedupe: 1s\n", ""},
    {"", "listen:\n  port: 8080\n", ""}, /* its default, said aloud */
    {"", "listen:\n  port: 1\n", ":2:3: listen.port: " STAYS},
    {"listen:\n  port: 1\n", "", ": listen.port: " STAYS},
    {"", "listen: {address: '::'}\n", ":1:10: listen.address: " STAYS},
    {"threads: 1\n", "origins: a\nthreads: 2\n", ":2:1: threads: " STAYS},
    {"", "data_dir: /x\n", ":1:1: data_dir: " STAYS},
    {"", "durability: memory\n", ":1:1: durability: " STAYS},
    {"", "demo: yes\n", ":1:1: demo: " STAYS},
    {"", "supervise: no\n", ":1:1: supervise: " STAYS},
    {"", "control: /x\n", ":1:1: control: " STAYS},
    {"", "redis:\n  host: x\n", ":2:3: redis.host: " STAYS},
    {A, A, ""},
    {A, "# moved\n\n" A, ""},
    {A, "", ""},
    {"", A, ""},
    {"plugins:\n  - name: a\n", "plugins:\n  - {name: a, config: {}}\n", ""},
};

START_TEST(only_what_is_looked_up_each_time_may_change)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *says = follow(cases[i].now, cases[i].next);
        ck_assert_msg(!strcmp(says, cases[i].says), "%zu: \"%s\" instead of \"%s\"", i, says,
                      cases[i].says);
    }
}
END_TEST

UNIT_MAIN("config_follow", only_what_is_looked_up_each_time_may_change)
