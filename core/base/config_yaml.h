/* config_yaml.h: a YAML document as a tree of nodes that know their place. Only for config*.c.
 *
 * What a configuration can do without is refused, because it hides what the file says or grows
 * without bound: aliases, tags, a second document, a key written twice, deep nesting.
 * A tree belongs to its reader; a grafted one to its new parent. Not shared while it changes. */
#pragma once
#include "error.h"
#include "list.h"
#include <stdbool.h>

/* Bytes of a document, and again of it with ${NAME} expanded. */
#define CONFIG_YAML_MAX_BYTES ((size_t)1024 * 1024)
#define CONFIG_YAML_MAX_NODES 10000
#define CONFIG_YAML_MAX_DEPTH 16
#define CONFIG_PATH_SIZE      256 /* room for a path in a message; a longer one is cut */

enum config_kind {
    CONFIG_NOTHING, /* no value: "key:", "key: ~" or "key: null"; its option keeps the default */
    CONFIG_SCALAR,
    CONFIG_LIST,
    CONFIG_MAP,
};

struct config_node {
    enum config_kind kind;
    char *key;  /* in a map, else NULL */
    char *text; /* of a scalar, ${NAME} expanded, without NUL inside; else NULL */
    struct list children;
    struct list link; /* among the parent's children */
    struct config_node *parent;
    size_t index;     /* among them, from 0 */
    char *source;     /* name of the document; owned by the document's topmost node */
    int line, column; /* of the key, in a list of the value, from 1 */
};

/* Read one document, NULL with err if it is refused. An empty one is an empty map. */
struct config_node *config_yaml_read(const char *source, const char *bytes, size_t length,
                                     struct error *err);
struct config_node *config_node_create(enum config_kind kind, const char *source);
void config_node_destroy(struct config_node *node);
/* Make tree (taken) the last child of parent; key for a map, NULL for a list. */
void config_node_graft(struct config_node *parent, const char *key, struct config_node *tree);

/* The child with that key, or in that position; NULL if there is none. */
struct config_node *config_node_get(const struct config_node *map, const char *key);
struct config_node *config_node_at(const struct config_node *list, size_t index);
/* plugins[1].config.rules; returns its length */
size_t config_node_path(const struct config_node *node, char *out, size_t size);
/* err = "source:line:column: path: what". Always false, so that a caller returns it. */
__attribute__((format(printf, 3, 4))) bool config_node_refuse(const struct config_node *node,
                                                              struct error *err, const char *format,
                                                              ...);
