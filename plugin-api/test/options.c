/* The options of the plugin under test: read by the server's own code, so that what is refused
 * there is refused here, in the same words. */
#include "parts.h"

#include "config.h"
#include "config_parts.h"
#include "loop.h"
#include "plugin_options.h"

/* In the place of core/base/loop.c, which is left out with its libev: the core's log asks. */
const char *loop_name_here(void)
{
    return NULL;
}

struct options {
    struct config *conf; /* one plugin, and nothing else */
    const struct chatup_plugin *api;
    struct config_value *read;
    struct chatup_value *values; /* the same, as the plugin sees them */
};

static bool is_table(const struct chatup_option *from, uint32_t count, int depth, struct error *err)
{
    bool ok = count <= 256 && (from || !count) && depth < 8;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = from[i].name && from[i].type >= CHATUP_BOOL && from[i].type <= CHATUP_MAP &&
             from[i].min <= from[i].max &&
             (from[i].type != CHATUP_ENUM || (from[i].choices && from[i].choices[0])) &&
             (from[i].type != CHATUP_LIST || from[i].child_count == 1) &&
             (from[i].type < CHATUP_LIST ||
              is_table(from[i].children, from[i].child_count, depth + 1, err));
    if (!ok && !err->text[0])
        error_set(err, "the table of options is not as chatup/plugin.h says");
    return ok;
}

struct options *options_read(const struct chatup_plugin *api, const char *yaml, struct error *err)
{
    if (!is_table(api->options, api->option_count, 0, err))
        return NULL;
    struct options *options = xcalloc(1, sizeof *options);
    options->api = api;
    options->conf = xcalloc(1, sizeof *options->conf);
    options->conf->root = config_node_create(CONFIG_MAP, "test");
    options->read = xcalloc(api->option_count, sizeof *options->read);
    struct config_option *table = plugin_options_convert(api->options, api->option_count);
    bool ok = config_add_plugin(options->conf, api->name, true, yaml, err) &&
              config_options(options->conf, 0, table, api->option_count, options->read, err);
    plugin_options_free(table, api->option_count);
    if (ok) {
        options->values = plugin_values_convert(options->read, api->option_count);
        return options;
    }
    options_destroy(options);
    return NULL;
}

struct chatup_value options_get(const struct options *options, uint32_t i)
{
    return options->values[i];
}

void options_place(const struct options *options, uint32_t i, char *out, size_t size)
{
    config_option_place(options->conf, 0, options->api->options[i].name, out, size);
}

void options_destroy(struct options *options)
{
    if (!options)
        return;
    uint32_t count = options->api->option_count;
    plugin_values_free(options->values, count);
    config_values_finish(options->read, count);
    free(options->read);
    config_destroy(options->conf);
    free(options);
}
