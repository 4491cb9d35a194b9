/* demo.h: what `--demo` adds to a configuration: a key made at the first start, kept in data_dir,
 * the plugin that hands out tokens signed with it, and the blacklist. Main thread, before anything
 * runs. */
#pragma once
#include "error.h"
#include <stdbool.h>

struct config;

/* Refused on an address that others can reach: anybody would get a token. */
bool demo_prepare(struct config *conf, struct error *err);
