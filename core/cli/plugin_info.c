/* chatup plugin info FILE.so: its table, as text or as JSON. */
#include "config.h"
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

/* ---- JSON ---- */

static json_t *options_to_json(const struct chatup_option *options, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        const struct chatup_option *option = &options[i];
        json_t *json = json_pack("{s:s,s:s,s:s?,s:s,s:b}", "name", option->name, "type",
                                 types[option->type], "default", option->preset, "help",
                                 or_empty(option->help), "secret", option->flags & CHATUP_SECRET);
        if (option->min || option->max) {
            json_object_set_new(json, "min", json_integer(option->min));
            json_object_set_new(json, "max", json_integer(option->max));
        }
        if (option->child_count)
            json_object_set_new(json, "children",
                                options_to_json(option->children, option->child_count));
        json_t *choices = json_array();
        for (size_t k = 0; option->choices && option->choices[k]; k++)
            json_array_append_new(choices, json_string(option->choices[k]));
        if (option->choices)
            json_object_set(json, "choices", choices);
        json_decref(choices);
        json_array_append_new(list, json);
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
        json_array_append_new(list, json_pack("{s:o,s:s,s:s}", "methods", names, "path",
                                              api->routes[i].path, "access",
                                              access_text(api->routes[i].access)));
    }
    return list;
}

#define EACH_HOOK(X)                                                                               \
    X(message_in) X(message_out) X(auth) X(join) X(leave) X(state_save) X(state_load) X(drain)

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

static void print_json(const struct plugin *plugin)
{
    const struct chatup_plugin *api = &plugin->api;
    json_t *counters = json_array(), *needs = json_array();
    for (uint32_t i = 0; i < api->counter_count; i++)
        json_array_append_new(counters, json_string(api->counters[i].name));
    for (size_t i = 0; api->needs && api->needs[i]; i++)
        json_array_append_new(needs, json_string(api->needs[i]));
    json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "name", api->name, "version",
                             or_empty(api->version), "summary", or_empty(api->summary), "hash",
                             plugin->hash, "hooks", hooks_to_json(api), "needs", needs, "options",
                             options_to_json(api->options, api->option_count), "routes",
                             routes_to_json(api), "counters", counters);
    json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    puts("");
    json_decref(json);
}

/* ---- text ---- */

static void print_options(const struct chatup_option *options, uint32_t count, int depth)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct chatup_option *option = &options[i];
        int left = 24 - 2 * depth;
        printf("  %*s%-*s %-8s %s", 2 * depth, "", left, option->name, types[option->type],
               or_empty(option->help));
        if (option->choices) {
            printf(" (");
            for (size_t k = 0; option->choices[k]; k++)
                printf("%s%s", k ? ", " : "", option->choices[k]);
            printf(")");
        }
        if (option->min || option->max)
            printf(" [%" PRId64 " to %" PRId64 "%s]", option->min, option->max,
                   option->type == CHATUP_DURATION ? " ms"
                   : option->type == CHATUP_SIZE   ? " bytes"
                                                   : "");
        if (option->flags & CHATUP_SECRET)
            printf(" (secret)");
        if (depth && !option->preset && option->type != CHATUP_MAP)
            puts("");
        else if (option->preset)
            printf("; default: %s\n", *option->preset ? option->preset : "empty");
        else
            puts(depth ? "" : "; required");
        print_options(option->children, option->child_count, depth + 1);
    }
}

static void print_text(const struct plugin *plugin)
{
    const struct chatup_plugin *api = &plugin->api;
    printf("%s %s: %s\n", api->name, or_empty(api->version), or_empty(api->summary));
    printf("hooks:");
#define X(name)                                                                                    \
    if (api->name)                                                                                 \
        printf(" " #name);
    EACH_HOOK(X)
#undef X
    puts("");
    if (api->needs && api->needs[0]) {
        printf("needs:");
        for (size_t i = 0; api->needs[i]; i++)
            printf(" %s", api->needs[i]);
        puts("");
    }
    if (api->option_count)
        puts("options:");
    print_options(api->options, api->option_count, 0);
    if (api->route_count)
        puts("routes:");
    for (uint32_t i = 0; i < api->route_count; i++) {
        printf("  ");
        for (size_t m = 0; m < 4; m++)
            if (api->routes[i].methods & methods[m].method)
                printf("%s ", methods[m].name);
        printf("/plugin/%s%s (%s)\n", api->name, api->routes[i].path,
               api->routes[i].access == CHATUP_PUBLIC       ? "anyone"
               : api->routes[i].access == CHATUP_BEARER_JWT ? "a server's token in the header"
                                                            : "a server's token as body");
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
    if (plugin && json)
        print_json(plugin);
    else if (plugin)
        print_text(plugin);
    else
        fprintf(stderr, "chatup plugin info: %s\n", err.text);
    bool ok = plugin != NULL;
    plugin_unload(plugin);
    config_destroy(conf);
    return ok ? 0 : 1;
}
