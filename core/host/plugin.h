/* plugin.h: one loaded plugin. Home of dlopen.
 *
 * The file is copied first and the copy opened: replacing the original never touches running code,
 * and a second load gets the new one. Created and destroyed on the main thread, while no chain
 * uses it; read-only between. */
#pragma once
#include "config.h"
#include "error.h"

#include <chatup/plugin.h>

struct plugin {
    const struct config *conf;
    size_t index; /* in conf->plugins */
    const char *name; /* its name in the YAML */
    enum config_on_error on_error;
    void *so;
    struct chatup_plugin api; /* what it exports, up to min(its size, ours); the rest is zero */
    struct chatup_host host;
    struct config_value *values; /* of its options */
    void *self;                  /* what its create returned */
    char refusal[256];           /* what it said in create */
    uint32_t refused_option;
};

/* Load plugin index of conf: copy, open, check, options, create.
 *   returns  NULL with err: which plugin, what is wrong, what to do */
struct plugin *plugin_load(const struct config *conf, size_t index, struct error *err);
void plugin_unload(struct plugin *plugin);
/* Checks of a loaded set: two plugins of one name; routes without public_routes. In plugin_load. */
