/* chatup plugin info FILE.so: its table, as text or as JSON. */
#include "config.h"
#include "config_value.h"
#include "plugin.h"
#include "plugin_parts.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: chatup plugin info FILE.so [--json]\n"
    "\n"
    "Shows what a plugin says of itself: options, routes, counters, hooks.\n"
    "Its code runs as far as it does when it is loaded, and no further.\n";

static const char *const types[] = {"bool",   "int",  "duration", "size",
                                    "string", "enum", "list",     "map"};

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* ---- JSON: NULL where a text is not UTF-8 ---- */

static json_t *append(json_t *list, json_t *item)
{
    if (list && item && !json_array_append(list, item)) {
        json_decref(item);
        return list;
    }
    json_decref(item);
    json_decref(list);
    return NULL;
}

static json_t *texts_to_json(const char *const *texts)
{
    json_t *list = json_array();
    for (; list && *texts; texts++)
        list = append(list, json_string(*texts));
    return list;
}

static json_t *options_to_json(const struct chatup_option *options, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < count; i++) {
        const struct chatup_option *option = &options[i];
        json_t *json = json_pack("{s:s?,s:s,s:s?,s:s,s:b}", "name", option->name, "type",
                                 types[option->type], "default", option->preset, "help",
                                 or_empty(option->help), "secret", option->flags & CHATUP_SECRET);
        if (option->min || option->max) {
            json_object_set_new(json, "min", json_integer(option->min));
            json_object_set_new(json, "max", json_integer(option->max));
        }
        if (option->child_count &&
            json_object_set_new(json, "children",
                                options_to_json(option->children, option->child_count))) {
            json_decref(json);
            json = NULL;
        }
        if (option->choices)
            json_object_set_new(json, "choices", texts_to_json(option->choices));
        list = append(list, json);
    }
    return list;
}

static const char *access_text(int32_t access)
{
    return access == CHATUP_PUBLIC ? "public" : access == CHATUP_BEARER_JWT ? "bearer" : "body";
}

static const struct {
    uint32_t method;
    const char *name;
} methods[] = {
    {CHATUP_GET, "GET"}, {CHATUP_POST, "POST"}, {CHATUP_PUT, "PUT"}, {CHATUP_DELETE, "DELETE"}};

static json_t *routes_to_json(const struct chatup_plugin *api)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < api->route_count; i++) {
        json_t *names = json_array();
        for (size_t m = 0; m < 4; m++)
            if (api->routes[i].methods & methods[m].method)
                json_array_append_new(names, json_string(methods[m].name));
        list = append(
            list, json_pack("{s:o,s:s,s:s,s:I,s:s?}", "methods", names, "path", api->routes[i].path,
                            "access", access_text(api->routes[i].access), "max_body",
                            (json_int_t)api->routes[i].max_body, "role", api->routes[i].role));
    }
    return list;
}

#define EACH_HOOK(X)                                                                               \
    X(message_in)                                                                                  \
    X(message_out) X(connect) X(auth) X(join) X(leave) X(left) X(state_save) X(state_load) X(drain)

static json_t *hooks_to_json(const struct chatup_plugin *api)
{
    json_t *list = json_array();
#define X(name)                                                                                    \
    if (api->name)                                                                                 \
        json_array_append_new(list, json_string(#name));
    EACH_HOOK(X)
#undef X
    return list;
}

static bool print_json(const struct plugin *plugin)
{
    static const char *const none[] = {NULL};
    const struct chatup_plugin *api = &plugin->api;
    json_t *counters = json_array();
    for (uint32_t i = 0; i < api->counter_count; i++)
        counters = append(counters, json_pack("{s:s,s:s}", "name", api->counters[i].name, "help",
                                              or_empty(api->counters[i].help)));
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:o}", "name", api->name, "version",
                  or_empty(api->version), "summary", or_empty(api->summary), "hash", plugin->hash,
                  "sees_post", (int)(api->flags & CHATUP_SEES_POST), "hooks", hooks_to_json(api),
                  "needs", texts_to_json(api->needs ? api->needs : none), "options",
                  options_to_json(api->options, api->option_count), "routes", routes_to_json(api),
                  "counters", counters);
    if (!json) {
        fprintf(stderr, "chatup plugin info: its table has text that is not UTF-8\n");
        return false;
    }
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    puts("");
    json_decref(json);
    return true;
}

/* ---- text ---- */

/* " [1s to 30d]", in the units that the YAML has. */
static void print_range(const struct chatup_option *option)
{
    static const enum config_type kinds[] = {[CHATUP_DURATION] = CONFIG_DURATION,
                                             [CHATUP_SIZE] = CONFIG_SIZE,
                                             [CHATUP_MAP] = CONFIG_INT};
    static const char *const units[] = {
        [CHATUP_STRING] = " bytes", [CHATUP_LIST] = " items", [CHATUP_MAP] = NULL};
    enum config_type kind = kinds[option->type] ? kinds[option->type] : CONFIG_INT;
    const char *unit = units[option->type] ? units[option->type] : "";
    char min[32], max[32];
    if (option->type == CHATUP_BOOL || option->type == CHATUP_ENUM || option->type == CHATUP_MAP ||
        (!option->min && !option->max))
        return;
    config_value_print(kind, option->min, min, sizeof min);
    config_value_print(kind, option->max, max, sizeof max);
    if (option->max == INT64_MAX)
        printf(" [at least %s%s]", min, unit);
    else
        printf(" [%s to %s%s]", min, max, unit);
}

static void print_option(const struct chatup_option *option, int depth, bool is_item)
{
    int left = 24 - 2 * depth;
    bool helps = option->help && *option->help;
    printf("  %*s%-*s %-*s", 2 * depth, "", left, option->name ? option->name : "(each)",
           helps ? 8 : 0, types[option->type]);
    if (helps)
        printf(" %s", option->help);
    for (size_t i = 0; option->choices && option->choices[i]; i++)
        printf("%s%s%s", i ? ", " : " (", option->choices[i], option->choices[i + 1] ? "" : ")");
    print_range(option);
    if (option->flags & CHATUP_SECRET)
        printf(" (secret)");
    if (option->preset)
        printf("; default: %s", *option->preset ? option->preset : "empty");
    else if (!is_item)
        printf("; required");
    puts("");
}

static void print_options(const struct chatup_option *options, uint32_t count, int depth,
                          bool are_items)
{
    for (uint32_t i = 0; i < count; i++) {
        print_option(&options[i], depth, are_items);
        print_options(options[i].children, options[i].child_count, depth + 1,
                      options[i].type == CHATUP_LIST);
    }
}

static bool has_hooks(const struct chatup_plugin *api)
{
#define X(name) api->name ||
    return EACH_HOOK(X) false;
#undef X
}

static void print_text(const struct plugin *plugin)
{
    const struct chatup_plugin *api = &plugin->api;
    printf("%s %s: %s\n", api->name, or_empty(api->version), or_empty(api->summary));
    if (has_hooks(api)) {
        printf("hooks:");
#define X(name)                                                                                    \
    if (api->name)                                                                                 \
        printf(" " #name);
        EACH_HOOK(X)
#undef X
        puts("");
    }
    if (api->needs && api->needs[0]) {
        printf("needs:");
        for (size_t i = 0; api->needs[i]; i++)
            printf(" %s", api->needs[i]);
        puts("");
    }
    if (api->option_count)
        puts("options:");
    print_options(api->options, api->option_count, 0, false);
    if (api->route_count)
        puts("routes:");
    for (uint32_t i = 0; i < api->route_count; i++) {
        printf("  ");
        for (size_t m = 0; m < 4; m++)
            if (api->routes[i].methods & methods[m].method)
                printf("%s ", methods[m].name);
        printf("/plugin/%s%s (%s%s%s)\n", api->name, api->routes[i].path,
               api->routes[i].access == CHATUP_PUBLIC       ? "anyone"
               : api->routes[i].access == CHATUP_BEARER_JWT ? "a server's token in the header"
                                                            : "a server's token as body",
               api->routes[i].role ? ", with the role " : "", or_empty(api->routes[i].role));
    }
    if (api->counter_count)
        puts("counters:");
    for (uint32_t i = 0; i < api->counter_count; i++)
        printf("  %-24s %s\n", api->counters[i].name, or_empty(api->counters[i].help));
}

int plugin_info(int argc, char **argv)
{
    bool json = false;
    const char *file = NULL;
    struct error err = {0};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (argv[i][0] != '-' && !file)
            file = argv[i];
        else
            file = NULL, i = argc;
    }
    if (!file) {
        fputs(usage, stderr);
        return 2;
    }
    struct config *conf = plugin_config(file, NULL, &err);
    struct plugin *plugin = conf ? plugin_peek(conf, 0, &err) : NULL;
    bool ok = plugin != NULL;
    if (plugin && json)
        ok = print_json(plugin);
    else if (plugin)
        print_text(plugin);
    else
        fprintf(stderr, "chatup plugin info: %s\n", err.text);
    plugin_unload(plugin);
    config_destroy(conf);
    return ok ? 0 : 1;
}
