/* metrics.c: GET /metrics: the counters, as Prometheus reads them (text format 0.0.4). Only for
 * networks of metrics_from: they tell how busy a site is. */
#include "address.h"
#include "buffer.h"
#include "config.h"
#include "counters.h"
#include "pipeline.h"
#include "plugin.h"
#include "plugin_set.h"
#include "route.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *help;
} metrics[] = {
#define X(name, help) {#name, help},
    COUNTERS(X)
#undef X
};

static bool is_gauge(const char *name)
{
    static const char suffix[] = "_now";
    size_t length = strlen(name);
    return length > sizeof suffix - 1 && !strcmp(name + length - (sizeof suffix - 1), suffix);
}

static void write_metric(struct buffer *out, size_t index)
{
    const char *name = metrics[index].name;
    buffer_text(out, "# HELP chatup_");
    buffer_text(out, name);
    buffer_text(out, " ");
    buffer_text(out, metrics[index].help);
    buffer_text(out, "\n# TYPE chatup_");
    buffer_text(out, name);
    buffer_text(out, is_gauge(name) ? " gauge\nchatup_" : " counter\nchatup_");
    buffer_text(out, name);
    buffer_text(out, " ");
    buffer_number(out, (int64_t)atomic_load_explicit(&counters[index], memory_order_relaxed));
    buffer_text(out, "\n");
}

/* ---- plugins ---- */

static uint64_t read_cell(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* name{plugin="…",hook="…",loop="…"…} value */
static void write_sample(struct buffer *out, const char *name, const struct plugin *plugin,
                         enum hook hook, size_t loop, const char *more, double value)
{
    char line[320];
    snprintf(line, sizeof line,
             "chatup_plugin_%s{plugin=\"%s\",hook=\"%s\",loop=\"%zu\"%s} %.17g\n", name,
             plugin->name, hook_name(hook), loop, more, value);
    buffer_text(out, line);
}

static void write_hook(struct buffer *out, const struct plugin *plugin, enum hook hook, size_t loop,
                       const char *what)
{
    static const char *const verdicts[HOOK_VERDICTS] = {"accept", "reject", "consume", "defer",
                                                        "fault"};
    const struct hook_stats *stats = &plugin->stats->hooks[loop][hook];
    char label[64];
    if (!read_cell(&stats->calls))
        return;
    if (!strcmp(what, "verdicts")) {
        for (size_t i = 0; i < HOOK_VERDICTS; i++) {
            snprintf(label, sizeof label, ",verdict=\"%s\"", verdicts[i]);
            if (read_cell(&stats->verdicts[i]))
                write_sample(out, "verdicts", plugin, hook, loop, label,
                             (double)read_cell(&stats->verdicts[i]));
        }
        return;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < HOOK_BUCKETS; i++) {
        sum += read_cell(&stats->buckets[i]);
        if (i + 1 < HOOK_BUCKETS)
            snprintf(label, sizeof label, ",le=\"%.9g\"", (double)(128ULL << i) / 1e9);
        else
            snprintf(label, sizeof label, ",le=\"+Inf\"");
        write_sample(out, "seconds_bucket", plugin, hook, loop, label, (double)sum);
    }
    write_sample(out, "seconds_sum", plugin, hook, loop, "", (double)read_cell(&stats->ns) / 1e9);
    write_sample(out, "seconds_count", plugin, hook, loop, "", (double)sum);
}

static void write_hooks(struct buffer *out, const struct plugin_set *set, const char *what)
{
    for (size_t p = 0; p < set->count; p++)
        for (size_t loop = 0; loop < set->plugins[p]->stats->loops; loop++)
            for (int hook = 0; hook < HOOK_COUNT; hook++)
                write_hook(out, set->plugins[p], (enum hook)hook, loop, what);
}

static void write_type(struct buffer *out, const char *name, const char *type, const char *help)
{
    char line[520];
    snprintf(line, sizeof line,
             "# HELP chatup_plugin%.150s %.150s\n# TYPE chatup_plugin%.150s %s\n", name, help, name,
             type);
    buffer_text(out, line);
}

static void write_total(struct buffer *out, const char *name, const char *type, const char *help,
                        const struct plugin_set *set, size_t offset)
{
    char line[160];
    write_type(out, name, type, help);
    for (size_t i = 0; i < set->count; i++) {
        const struct plugin_stats *stats = set->plugins[i]->stats;
        snprintf(line, sizeof line, "chatup_plugin%s{plugin=\"%s\"} %llu\n", name,
                 set->plugins[i]->name,
                 (unsigned long long)read_cell(
                     (const _Atomic uint64_t *)((const char *)stats + offset)));
        buffer_text(out, line);
    }
}

/* What a plugin counts itself: chatup_plugin_<plugin>_<counter>. A name has no - there. */
static void write_own(struct buffer *out, const struct plugin *plugin)
{
    for (uint32_t i = 0; i < plugin->api.counter_count; i++) {
        const struct chatup_counter *counter = &plugin->api.counters[i];
        char name[160], line[480];
        snprintf(name, sizeof name, "_%s_%s", plugin->name, counter->name);
        for (char *p = name; *p; p++)
            if (*p == '-')
                *p = '_';
        write_type(out, name, "counter", counter->help ? counter->help : "");
        snprintf(line, sizeof line, "chatup_plugin%.160s %llu\n", name,
                 (unsigned long long)read_cell(&plugin->stats->counters[i]));
        buffer_text(out, line);
    }
}

static void write_plugins(struct buffer *out, const struct plugin_set *set)
{
    char line[96];
    write_type(out, "_generation_now", "gauge",
               "generation of the plugins: reloads that changed them");
    snprintf(line, sizeof line, "chatup_plugin_generation_now %llu\n",
             (unsigned long long)set->generation);
    buffer_text(out, line);
    write_total(out, "_faults", "counter", "times that a hook or route failed", set,
                offsetof(struct plugin_stats, faults));
    write_total(out, "_slow", "counter", "calls that took more than 5 ms", set,
                offsetof(struct plugin_stats, slow));
    write_total(out, "_off", "counter", "times that a loop left it out for failing", set,
                offsetof(struct plugin_stats, off));
    write_type(out, "_verdicts", "counter", "what its hooks answered");
    write_hooks(out, set, "verdicts");
    write_type(out, "_seconds", "histogram", "how long its hooks took");
    write_hooks(out, set, "seconds");
    for (size_t i = 0; i < set->count; i++)
        write_own(out, set->plugins[i]);
}

void route_metrics(struct request *request)
{
    const struct config_networks *from = &request->pipeline->conf->metrics_networks;
    struct address address;
    struct buffer out = {0};
    if (!address_parse(text_of(request->address), &address) ||
        !networks_contain(from->networks, from->count, &address)) {
        request_reply_error(request, 403, "forbidden");
        return;
    }
    for (size_t i = 0; i < COUNTER_COUNT; i++)
        write_metric(&out, i);
    if (request->pipeline->set)
        write_plugins(&out, request->pipeline->set);
    request->reply(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                   (struct text){out.at, out.length}, "cache-control: no-store\r\n");
    buffer_finish(&out);
}
