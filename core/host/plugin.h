/* plugin.h: one loaded plugin. Home of dlopen.
 *
 * The file is copied first and the copy opened: replacing the original never touches running code,
 * and a second load gets the new one. Created and destroyed on the main thread, while no chain
 * uses it; read-only between, but for the count of its faults. */
#pragma once
#include "config.h"
#include "error.h"

#include <chatup/plugin.h>

struct plugin {
    const struct config *conf;
    size_t index;     /* in conf->plugins */
    const char *name; /* its name in the YAML */
    enum config_on_error on_error;
    int copy; /* the private copy of its file, in memory; -1 until there is one */
    char copy_path[48];
    void *so;
    struct chatup_plugin api; /* what it exports, up to min(its size, ours); the rest is zero */
    struct chatup_host host;
    struct config_value *values; /* of its options */
    void *self;                  /* what its create returned */
    char refusal[256];           /* what it said in create */
    uint32_t refused_option;
    bool refused;
    _Atomic uint64_t faults; /* of all its hooks and routes, on all loops */
    _Atomic uint64_t faults_logged;
    _Atomic int64_t fault_logged_ms; /* clock_mono_ms; 0: never */
};

/* Load plugin index of conf: copy, open, check, options, create. conf outlives the plugin.
 *   returns  NULL with err: which plugin, what is wrong, what to do */
struct plugin *plugin_load(const struct config *conf, size_t index, struct error *err);
void plugin_unload(struct plugin *plugin);
/* Count a fault and log it: at most one line per plugin and second, with the count. Any thread.
 *   where  "message_in", or the path of a route */
void plugin_fault(struct plugin *plugin, const char *where, int32_t verdict);
