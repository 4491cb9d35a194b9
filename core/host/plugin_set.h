/* plugin_set.h: the plugins of one configuration: a generation. Made as a whole by the start and by
 * each reload that changes something of them, and used by one chain per loop, each of which holds a
 * reference. Its plugins are read-only, so any thread may look at them. */
#pragma once
#include "error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct plugin;

struct plugin_set {
    struct plugin **plugins; /* count of them, in YAML order */
    size_t count;
    uint64_t generation; /* 1, 2 … */
    _Atomic unsigned refs;
    void (*gone)(struct plugin_set *set); /* the last reference is */
    void *owner;                          /* for gone */
};

/* Load all plugins of conf, which outlives the set.
 *   before   the generation that it replaces, or NULL: what was counted of plugins with the same
 *            name goes on, and their state is handed over
 *   gone     called with the last reference's end, on that thread, and destroys it, now or later
 *   returns  one reference; NULL with err, and what was loaded is unloaded */
struct plugin_set *plugin_set_load(const struct config *conf, const struct plugin_set *before,
                                   void (*gone)(struct plugin_set *set), void *owner,
                                   struct error *err);
struct plugin_set *plugin_set_ref(struct plugin_set *set);
void plugin_set_unref(struct plugin_set *set);
void plugin_set_destroy(struct plugin_set *set);
/* Whether conf says the same about plugins as the set's, and their files are what they were. */
bool plugin_set_is_current(const struct plugin_set *set, const struct config *conf);
