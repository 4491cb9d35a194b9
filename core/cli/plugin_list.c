/* chatup plugin list: what a running server says of its plugins, as two tables, both in the order
 * of the chain: how each is loaded, and what its hooks did. */
#include "plugin_parts.h"

#include <jansson.h>
#include <stdio.h>

static const char *text_at(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static long long number_at(const json_t *json, const char *key)
{
    return (long long)json_integer_value(json_object_get(json, key));
}

static void print_plugins(const json_t *plugins)
{
    size_t i;
    const json_t *plugin;
    printf("  # %-20s %-10s %-9s %-8s %10s %10s %10s  %-12s file\n", "plugin", "version", "state",
           "on_error", "faults", "slow", "left out", "sha256");
    json_array_foreach(plugins, i, plugin)
    {
        printf("%3zu %-20s %-10s %-9s %-8s %10lld %10lld %10lld  %-12.12s %s\n", i + 1,
               text_at(plugin, "name"), text_at(plugin, "version"), text_at(plugin, "state"),
               text_at(plugin, "on_error"), number_at(plugin, "faults"), number_at(plugin, "slow"),
               number_at(plugin, "off"), text_at(plugin, "hash"), text_at(plugin, "file"));
    }
}

static void print_hooks(size_t number, const json_t *plugin)
{
    static const char *const columns[] = {"calls", "accept", "reject", "consume", "defer", "fault"};
    const char *name;
    const json_t *hook;
    json_object_foreach(json_object_get(plugin, "hooks"), name, hook)
    {
        long long calls = number_at(hook, "calls");
        printf("%3zu %-20s %-12s", number, text_at(plugin, "name"), name);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            printf(" %9lld", number_at(hook, columns[c]));
        printf(" %9lld ns\n", calls ? number_at(hook, "ns") / calls : 0);
    }
}

void plugin_list_print(const json_t *answer)
{
    size_t i;
    const json_t *plugin, *plugins = json_object_get(answer, "plugins");
    printf("generation %lld\n", number_at(answer, "generation"));
    if (!json_array_size(plugins)) {
        puts("no plugins");
        return;
    }
    print_plugins(plugins);
    printf("\n  # %-20s %-12s %9s %9s %9s %9s %9s %9s %12s\n", "plugin", "hook", "calls", "accept",
           "reject", "consume", "defer", "fault", "on average");
    json_array_foreach(plugins, i, plugin) print_hooks(i + 1, plugin);
}
