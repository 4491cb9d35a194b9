/* host.h: what the tests of the host have in common: a chatup.yaml of plugins out of TEST_PLUGINS,
 * and what went to the log. Each test runs in a process of its own, in a directory of its own. */
#pragma once
#include "alloc.h"
#include "config.h"
#include "plugin.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
}

static inline char *read_all(const char *path, size_t *length_out)
{
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    char *bytes = xcalloc(1, 8 * 1024 * 1024);
    *length_out = fread(bytes, 1, 8 * 1024 * 1024 - 1, file);
    fclose(file);
    return bytes;
}

static inline void enter_directory(void)
{
    char directory[] = "/tmp/chatup-unit-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static inline void leave_directory(void)
{
    char directory[256], command[300];
    ck_assert_ptr_nonnull(getcwd(directory, sizeof directory));
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(strncmp(directory, "/tmp/chatup-unit-", 17), 0);
    ck_assert_int_eq(system(command), 0);
}

/* The list of plugins is lines of "  - {name: …}"; messages show its first as chatup.yaml:3:5. */
static inline struct config *config_of(const char *plugins)
{
    static char yaml[16 * 1024];
    static const char *const sets[] = {"threads=2"};
    struct error err = {""};
    int length = snprintf(yaml, sizeof yaml, "plugins_dir: " TEST_PLUGINS "\n%s%s",
                          *plugins ? "plugins:\n" : "", plugins);
    write_file("chatup.yaml", yaml, (size_t)length);
    struct config *conf = config_load("chatup.yaml", sets, 1, &err);
    ck_assert_msg(conf != NULL, "%s", err.text);
    return conf;
}

/* Standard error, from here to log_end, which returns it; freed by the caller. */
static inline int log_begin(void)
{
    int saved = dup(STDERR_FILENO), file = open("log", O_CREAT | O_TRUNC | O_WRONLY, 0600);
    ck_assert_int_ge(dup2(file, STDERR_FILENO), 0);
    close(file);
    return saved;
}

static inline char *log_end(int saved)
{
    size_t length;
    dup2(saved, STDERR_FILENO);
    close(saved);
    return read_all("log", &length);
}

/* UNIT_MAIN with a directory around each test. */
#define HOST_MAIN(name, ...) UNIT_MAIN_IN(name, enter_directory, leave_directory, __VA_ARGS__)
