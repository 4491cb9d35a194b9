/* config_parts.h: the steps of config_load that have a file of their own. Only for config*.c. */
#pragma once
#include "config.h"
#include "config_yaml.h"

enum { CONFIG_NETWORKS_MAX = 64 }; /* of one option */

/* config_keys.c: the lists jwt.keys and admin.keys */
bool config_keys_read(const struct config *conf, struct config_keys *keys,
                      const struct config_node *list, struct error *err);
void config_keys_add(struct config_keys *keys, const char *algorithm, const char *file,
                     const char *secret, const char *kid);
void config_keys_clear(struct config_keys *keys);

/* config_channels.c: the list channels */
bool config_channels_read(struct config *conf, const struct config_node *list, struct error *err);
void config_channels_clear(struct config *conf);

/* config_plugins.c: the list plugins */
bool config_plugins_read(struct config *conf, const struct config_node *list, struct error *err);
void config_plugins_clear(struct config *conf);

/* config_env.c: the CHATUP_* variables of the original ChatUp, over what the file says */
bool config_env_apply(struct config *conf, struct error *err);

/* ---- what both lists need, in config.c ---- */

struct config_field {
    const char *name;
    const struct config_node *node; /* NULL if it is absent or has no value */
};

/* The fields of one entry of a list; anything else in it is refused. */
bool config_fields(const struct config_node *entry, struct config_field *fields, size_t count,
                   struct error *err);
/* A string with something in it. */
bool config_field_text(const struct config_field *field, struct error *err);
/* A file named in the YAML is relative to the directory that the YAML is in. To be freed. */
char *config_beside(const struct config *conf, const char *file);
