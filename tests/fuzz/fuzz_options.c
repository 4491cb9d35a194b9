/* The options of a plugin: any YAML below config:, against a table with every type. */
#include "config.h"
#include "fuzz.h"
#include "log.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const words[] = {"one", "two", NULL};
static const struct config_option item = {.type = CONFIG_STRING, .min = 1, .max = 20};
static const struct config_option fields[] = {
    {.name = "messages", .type = CONFIG_INT, .min = 1, .max = 100},
    {.name = "per", .type = CONFIG_DURATION, .preset = "10s"},
};
static const struct config_option rule = {
    .type = CONFIG_MAPPING, .children = fields, .child_count = 2};
static const struct config_option options[] = {
    {.name = "on", .type = CONFIG_BOOL, .preset = "yes"},
    {.name = "number", .type = CONFIG_INT, .preset = "1", .min = -5, .max = 5},
    {.name = "wait", .type = CONFIG_DURATION, .preset = "1s"},
    {.name = "size", .type = CONFIG_SIZE, .preset = "1KiB"},
    {.name = "text", .type = CONFIG_STRING, .preset = "", .max = 40},
    {.name = "word", .type = CONFIG_ENUM, .preset = "one", .choices = words},
    {.name = "list",
     .type = CONFIG_SEQUENCE,
     .preset = "[]",
     .max = 5,
     .children = &item,
     .child_count = 1},
    {.name = "rules",
     .type = CONFIG_SEQUENCE,
     .preset = "[]",
     .max = 3,
     .children = &rule,
     .child_count = 1},
};
enum { COUNT = sizeof options / sizeof *options };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char before[] = "plugins:\n  - name: x\n    config:\n      ";
    char path[64];
    struct error err = {.text = ""};
    struct config_value values[COUNT] = {{0}};
    int fd = memfd_create("chatup.yaml", 0);
    log_set(LOG_ERROR, LOG_TEXT);
    if (fd < 0 || write(fd, before, sizeof before - 1) < 0)
        abort();
    for (size_t i = 0; i < size; i++) /* each line below config */
        if (write(fd, &data[i], 1) < 0 || (data[i] == '\n' && write(fd, "      ", 6) < 0))
            abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct config *conf = config_load(path, NULL, 0, &err);
    if (conf && conf->plugin_count) {
        if (config_options(conf, 0, options, COUNT, values, &err)) {
            assert(values[1].number >= -5 && values[1].number <= 5);
            assert(values[4].text && strlen(values[4].text) <= 40);
            assert(values[5].number == 0 || values[5].number == 1);
            assert(values[6].count <= 5 && values[7].count <= 3);
            for (size_t i = 0; i < values[7].count; i++)
                assert(values[7].items[i].count == 2 && values[7].items[i].items[0].number >= 1);
            config_values_finish(values, COUNT);
        } else {
            assert(!strncmp(err.text, path, strlen(path))); /* it names the place */
        }
    }
    config_destroy(conf);
    close(fd);
    return 0;
}
