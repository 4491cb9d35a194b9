/* plugin_parts.h: what the files of `chatup plugin` share. */
#pragma once
#include "error.h"
#include <stdbool.h>

struct config;
struct json_t;
struct plugin;

/* A configuration with one plugin, of that file, and its options as YAML (NULL: none). Eight loops.
 *   returns  destroyed by the caller; NULL with err */
struct config *plugin_config(const char *file, const char *options, struct error *err);

int plugin_info(int argc, char **argv);
int plugin_check(int argc, char **argv);
int plugin_new(int argc, char **argv);
int plugin_list(int argc, char **argv); /* control.c: a running server is asked */
/* What it answered, as tables. */
void plugin_list_print(const struct json_t *answer);
