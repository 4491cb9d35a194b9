/* config_schema.h: the list of our own options, in one table. Only for config*.c.
 * To add an option: a field in struct config, a row in config_schema.c, a line in chatup.yaml.
 * It can be reloaded unless its row says fixed: who uses it looks it up each time, or is told in
 * pipeline_use. */
#pragma once
#include "config.h"

enum config_schema {
    SCHEMA_UNKNOWN,
    SCHEMA_OPTION, /* one value: listen.port */
    SCHEMA_GROUP,  /* options below it: listen */
    SCHEMA_LIST,   /* entries with a shape of their own: plugins */
};

enum config_schema config_schema_find(const char *path);
void config_schema_defaults(struct config *conf);
/* Check text (NULL: not a scalar) and set the option.
 *   returns  false with the bare sentence in `what`; the caller knows the place */
bool config_schema_put(struct config *conf, const char *path, const char *text, struct error *what);
/* what = unknown option, did you mean "…"? */
void config_schema_unknown(const char *path, struct error *what);
/* The first option that differs although a reload cannot change it; NULL if there is none. */
const char *config_schema_fixed(const struct config *a, const struct config *b);
/* Frees the strings that defaults and put have set. */
void config_schema_clear(struct config *conf);
