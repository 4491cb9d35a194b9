/* plugin_options.h: a plugin's table of options as the reader of the configuration knows such
 * tables, and what that has read as the plugin sees it. For the server, and for
 * libchatup-plugin-test. */
#pragma once
#include <chatup/plugin.h>
#include <stddef.h>

struct config_option;
struct config_value;

/* Points into from. */
struct config_option *plugin_options_convert(const struct chatup_option *from, size_t count);
void plugin_options_free(struct config_option *options, size_t count);
/* Points into from. */
struct chatup_value *plugin_values_convert(const struct config_value *from, size_t count);
/* Takes NULL. */
void plugin_values_free(struct chatup_value *values, size_t count);
