#include "plugin_set.h"
#include "alloc.h"
#include "plugin.h"
#include "running.h"

#include <assert.h>
#include <stdatomic.h>

static const struct plugin *find(const struct plugin_set *set, const char *name)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (!strcmp(set->plugins[i]->name, name))
            return set->plugins[i];
    return NULL;
}

/* What the old one saves, the new one loads: while the old one serves on other threads still. */
static void hand_over(const struct plugin *before, const struct plugin *plugin)
{
    if (!before || !before->api.state_save || !plugin->api.state_load)
        return;
    running_set(before->name, "state_save");
    struct chatup_text state = before->api.state_save(before->self);
    running_set(plugin->name, "state_load");
    if (state.at)
        plugin->api.state_load(plugin->self, state);
    running_set(NULL, NULL);
}

struct plugin_set *plugin_set_load(const struct config *conf, const struct plugin_set *before,
                                   void (*gone)(struct plugin_set *set), void *owner,
                                   struct error *err)
{
    struct plugin_set *set = xcalloc(1, sizeof *set);
    set->plugins = xcalloc(conf->plugin_count, sizeof *set->plugins);
    set->generation = before ? before->generation + 1 : 1;
    set->gone = gone;
    set->owner = owner;
    atomic_init(&set->refs, 1);
    for (size_t i = 0; i < conf->plugin_count; i++) {
        const struct plugin *previous = find(before, conf->plugins[i].name);
        set->plugins[i] = plugin_load(conf, i, previous, err);
        if (!set->plugins[i]) {
            plugin_set_destroy(set);
            return NULL;
        }
        set->plugins[i]->generation = set->generation;
        set->count++;
        hand_over(previous, set->plugins[i]);
    }
    return set;
}

struct plugin_set *plugin_set_ref(struct plugin_set *set)
{
    unsigned before = atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return set;
}

void plugin_set_unref(struct plugin_set *set)
{
    if (set && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1)
        set->gone(set);
}

void plugin_set_destroy(struct plugin_set *set)
{
    if (!set)
        return;
    while (set->count)
        plugin_unload(set->plugins[--set->count]);
    free(set->plugins);
    free(set);
}

bool plugin_set_is_current(const struct plugin_set *set, const struct config *conf)
{
    char hash[65];
    if (set->count != conf->plugin_count)
        return false;
    for (size_t i = 0; i < set->count; i++) {
        const struct plugin *plugin = set->plugins[i];
        if (!config_plugin_same(&plugin->conf->plugins[i], &conf->plugins[i]))
            return false;
        plugin_hash(conf, i, hash);
        if (strcmp(plugin->hash, hash) != 0)
            return false;
    }
    return true;
}
