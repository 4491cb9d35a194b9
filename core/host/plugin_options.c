#include "plugin_options.h"
#include "alloc.h"
#include "config.h"

struct config_option *plugin_options_convert(const struct chatup_option *from, size_t count)
{
    static const enum config_type types[] = {
        [CHATUP_BOOL] = CONFIG_BOOL,         [CHATUP_INT] = CONFIG_INT,
        [CHATUP_DURATION] = CONFIG_DURATION, [CHATUP_SIZE] = CONFIG_SIZE,
        [CHATUP_STRING] = CONFIG_STRING,     [CHATUP_ENUM] = CONFIG_ENUM,
        [CHATUP_LIST] = CONFIG_SEQUENCE,     [CHATUP_MAP] = CONFIG_MAPPING,
    };
    struct config_option *options = xcalloc(count, sizeof *options);
    for (size_t i = 0; i < count; i++)
        options[i] = (struct config_option){
            .name = from[i].name,
            .type = types[from[i].type],
            .preset = from[i].preset,
            .min = from[i].min,
            .max = from[i].max,
            .choices = from[i].choices,
            .child_count = from[i].child_count,
            .children = from[i].child_count
                            ? plugin_options_convert(from[i].children, from[i].child_count)
                            : NULL,
        };
    return options;
}

void plugin_options_free(struct config_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        plugin_options_free((struct config_option *)options[i].children, options[i].child_count);
    free(options);
}

struct chatup_value *plugin_values_convert(const struct config_value *from, size_t count)
{
    struct chatup_value *values = xcalloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (struct chatup_value){
            .number = from[i].number,
            .text = {from[i].text, from[i].text ? strlen(from[i].text) : 0},
            .items = from[i].count ? plugin_values_convert(from[i].items, from[i].count) : NULL,
            .count = (uint32_t)from[i].count,
        };
    return values;
}

void plugin_values_free(struct chatup_value *values, size_t count)
{
    for (size_t i = 0; values && i < count; i++)
        plugin_values_free((struct chatup_value *)values[i].items, values[i].count);
    free(values);
}
