/* Whether one configuration can take the place of another while the server runs. Most options are
 * looked at each time they matter; those marked fixed in config_schema.c were used up at the start.
 */
#include "config_parts.h"
#include "config_schema.h"

#include <string.h>

static const struct config_node *node_at(const struct config_node *node, const char *path)
{
    char key[CONFIG_PATH_SIZE];
    while (node && *path) {
        size_t length = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)length, path);
        node = node->kind == CONFIG_MAP ? config_node_get(node, key) : NULL;
        path += length + (path[length] == '.');
    }
    return node;
}

static bool refuse(const struct config *next, const char *path, struct error *err)
{
    static const char why[] = "cannot change while the server runs: restart it, or put it back";
    const struct config_node *node = node_at(next->root, path);
    if (node)
        return config_node_refuse(node, err, "%s", why);
    error_set(err, "%s: %s: %s", next->path, path, why); /* it was taken out */
    return false;
}

/* ---- plugins ---- */

static bool same_text(const char *a, const char *b)
{
    return !a || !b ? a == b : !strcmp(a, b);
}

/* NULL is a map without entries. */
static bool same_tree(const struct config_node *a, const struct config_node *b)
{
    if (!a || !b)
        return (!a || list_empty(&a->children)) && (!b || list_empty(&b->children));
    if (a->kind != b->kind || !same_text(a->key, b->key) || !same_text(a->text, b->text))
        return false;
    const struct list *in_a = a->children.next, *in_b = b->children.next;
    for (; in_a != &a->children && in_b != &b->children; in_a = in_a->next, in_b = in_b->next)
        if (!same_tree(list_entry(in_a, struct config_node, link),
                       list_entry(in_b, struct config_node, link)))
            return false;
    return in_a == &a->children && in_b == &b->children;
}

bool config_plugin_same(const struct config_plugin *a, const struct config_plugin *b)
{
    return same_text(a->name, b->name) && same_text(a->file, b->file) &&
           a->on_error == b->on_error && a->public_routes == b->public_routes &&
           same_tree(a->config, b->config);
}

bool config_may_follow(const struct config *now, const struct config *next, struct error *err)
{
    const char *path = config_schema_fixed(now, next);
    return !path || refuse(next, path, err);
}
