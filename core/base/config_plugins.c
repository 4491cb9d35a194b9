/* The list of plugins, and what a plugin asks about its own options. Entry i of conf->plugins is
 * item i of the list in conf->root, also for those that demo mode adds: messages show its path. */
#include "alloc.h"
#include "buffer.h"
#include "config_parts.h"
#include "config_value.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>

#define NAME_MAX_LENGTH 64
#define PLACE_SIZE      384

static const char *const on_errors[] = {"closed", "open", NULL}; /* as enum config_on_error */

/* ---- the list ---- */

static bool is_name(const char *text)
{
    size_t length = strlen(text);
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return false;
    return length >= 1 && length <= NAME_MAX_LENGTH;
}

static const struct config_node *item_of(const struct config *conf, size_t index)
{
    return config_node_at(config_node_get(conf->root, "plugins"), index);
}

static bool name_is_free(const struct config *conf, const char *name,
                         const struct config_node *entry, struct error *err)
{
    for (size_t i = 0; i < conf->plugin_count; i++) {
        const struct config_node *other = item_of(conf, i);
        if (!strcmp(conf->plugins[i].name, name))
            return config_node_refuse(entry, err,
                                      "the name \"%s\" is taken by plugins[%zu] at %s:%d:%d", name,
                                      i, other->source, other->line, other->column);
    }
    return true;
}

static void add_plugin(struct config *conf, struct config_plugin plugin)
{
    conf->plugins = xrealloc(conf->plugins, (conf->plugin_count + 1) * sizeof *conf->plugins);
    conf->plugins[conf->plugin_count++] = plugin;
}

static bool read_plugin(struct config *conf, const struct config_node *entry, struct error *err)
{
    struct config_field fields[] = {
        {"name", NULL},          {"file", NULL},   {"on_error", NULL},
        {"public_routes", NULL}, {"config", NULL},
    };
    const struct config_node *name, *file, *on_error, *public_routes, *options;
    int64_t policy = ON_ERROR_CLOSED;
    struct config_value public = {0};
    struct error what;
    if (!config_fields(entry, fields, 5, err))
        return false;
    name = fields[0].node, file = fields[1].node, on_error = fields[2].node;
    public_routes = fields[3].node, options = fields[4].node;
    if (!name)
        return config_node_refuse(entry, err, "name is missing");
    if (!name->text || !is_name(name->text))
        return config_node_refuse(name, err, "must be 1 to 64 letters, digits, - and _");
    if (!name_is_free(conf, name->text, entry, err))
        return false;
    if (file && !config_field_text(&fields[1], err))
        return false;
    if (on_error && !config_value_choose(on_errors, on_error->text, &policy, &what))
        return config_node_refuse(on_error, err, "%s", what.text);
    if (public_routes && !config_value_read(&(struct config_option){.type = CONFIG_BOOL},
                                            public_routes->text, &public, &what))
        return config_node_refuse(public_routes, err, "%s", what.text);
    if (options && options->kind != CONFIG_MAP)
        return config_node_refuse(options, err, "must be a map of the plugin's options");
    add_plugin(conf, (struct config_plugin){
                         .name = xstrdup(name->text),
                         .file = file ? config_beside(conf, file->text) : NULL,
                         .on_error = (enum config_on_error)policy,
                         .public_routes = public.number,
                         .config = options,
                     });
    return true;
}

bool config_plugins_read(struct config *conf, const struct config_node *list, struct error *err)
{
    if (list->kind != CONFIG_LIST)
        return config_node_refuse(list, err, "must be a list of {name: …, config: …}");
    const struct config_node *entry;
    list_for_each (entry, &list->children, link)
        if (!read_plugin(conf, entry, err))
            return false;
    return true;
}

bool config_has_plugin(const struct config *conf, const char *name)
{
    for (size_t i = 0; i < conf->plugin_count; i++)
        if (!strcmp(conf->plugins[i].name, name))
            return true;
    return false;
}

bool config_add_plugin(struct config *conf, const char *name, bool public_routes,
                       const char *config_yaml, struct error *err)
{
    char source[sizeof "options of plugin " + NAME_MAX_LENGTH];
    if (!is_name(name)) {
        error_set(err, "plugin \"%.80s\": a name is 1 to 64 letters, digits, - and _", name);
        return false;
    }
    snprintf(source, sizeof source, "options of plugin %s", name);
    const char *text = config_yaml ? config_yaml : "";
    struct config_node *options = config_yaml_read(source, text, strlen(text), err);
    if (!options)
        return false;

    struct config_node *entry = config_node_create(CONFIG_MAP, source);
    config_node_graft(entry, "config", options);
    if (!name_is_free(conf, name, entry, err)) {
        config_node_destroy(entry);
        return false;
    }
    struct config_node *list = config_node_get(conf->root, "plugins");
    if (!list) {
        list = config_node_create(CONFIG_LIST, source);
        config_node_graft(conf->root, "plugins", list);
    }
    list->kind = CONFIG_LIST; /* "plugins:" without a value is none yet */
    config_node_graft(list, NULL, entry);
    add_plugin(conf, (struct config_plugin){
                         .name = xstrdup(name),
                         .on_error = ON_ERROR_CLOSED,
                         .public_routes = public_routes,
                         .config = options,
                     });
    return true;
}

void config_plugins_clear(struct config *conf)
{
    for (size_t i = 0; i < conf->plugin_count; i++) {
        free(conf->plugins[i].name);
        free(conf->plugins[i].file);
    }
    free(conf->plugins);
    conf->plugins = NULL;
    conf->plugin_count = 0;
}

/* ---- the options of one plugin ---- */

static const struct config_option *option_find(const struct config_option *options, size_t count,
                                               const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static bool only_known(const struct config_node *map, const struct config_option *options,
                       size_t count, struct error *err)
{
    const struct config_node *node;
    list_for_each (node, &map->children, link) {
        if (option_find(options, count, node->key))
            continue;
        struct config_guess guess = config_guess_start(node->key);
        struct error what;
        for (size_t i = 0; i < count; i++)
            config_guess_try(&guess, text_of(options[i].name));
        config_guess_tell(&guess, &what);
        return config_node_refuse(node, err, "%s", what.text);
    }
    return true;
}

void config_values_finish(struct config_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        config_values_finish(values[i].items, values[i].count);
        free(values[i].items);
        free(values[i].text);
    }
}

/* The place of an entry of a map, which need not be there. */
static void place_of(const struct config_node *map, const char *name, char *out, size_t size)
{
    const struct config_node *found = config_node_get(map, name);
    char path[CONFIG_PATH_SIZE];
    config_node_path(map, path, sizeof path);
    snprintf(out, size, "%s:%d:%d: %s.%s", map->source, (found ? found : map)->line,
             (found ? found : map)->column, path, name);
}

static bool read_node(const struct config_option *option, const struct config_node *node,
                      struct config_value *out, struct error *err);

/* What is one scalar. text NULL: it is none. */
static bool read_text(const struct config_option *option, const char *text,
                      struct config_value *out, struct error *what)
{
    if (option->type != CONFIG_ENUM)
        return config_value_read(option, text, out, what);
    int64_t number;
    if (!config_value_choose(option->choices, text, &number, what))
        return false;
    *out = (struct config_value){.number = number, .text = xstrdup(text)};
    return true;
}

static bool count_is_right(const struct config_option *option, const struct config_node *list,
                           struct error *err)
{
    const struct config_node *item;
    int64_t count = 0;
    list_for_each (item, &list->children, link)
        count++;
    if ((!option->min && !option->max) || (count >= option->min && count <= option->max))
        return true;
    if (option->max == INT64_MAX)
        return config_node_refuse(list, err,
                                  "must have at least %" PRId64 " items, and has %" PRId64,
                                  option->min, count);
    return config_node_refuse(list, err,
                              "must have %" PRId64 " to %" PRId64 " items, and has %" PRId64,
                              option->min, option->max, count);
}

static bool read_list(const struct config_option *option, const struct config_node *node,
                      struct config_value *out, struct error *err)
{
    const struct config_node *item;
    if (node->kind != CONFIG_LIST)
        return config_node_refuse(node, err, "must be a list");
    if (!count_is_right(option, node, err))
        return false;
    list_for_each (item, &node->children, link) {
        out->items = xrealloc(out->items, (out->count + 1) * sizeof *out->items);
        if (!read_node(&option->children[0], item, &out->items[out->count], err))
            return false;
        out->count++;
    }
    return true;
}

/* A default that is no scalar is YAML as in the file: what is wrong in it has a path, too. */
static bool read_default_tree(const struct config_option *option, struct config_value *out,
                              struct error *what)
{
    struct buffer yaml = {0}; /* a document of ours is a map */
    buffer_text(&yaml, "\"");
    buffer_text(&yaml, option->name);
    buffer_text(&yaml, "\":\n ");
    buffer_text(&yaml, option->preset);
    struct config_node *map = config_yaml_read("default", yaml.at, yaml.length, what);
    bool ok = map && read_node(option, config_node_get(map, option->name), out, what);
    config_node_destroy(map);
    buffer_finish(&yaml);
    return ok;
}

/* place: where the option would have been. */
static bool read_default(const struct config_option *option, const char *place,
                         struct config_value *out, struct error *err)
{
    struct error what = {0};
    const char *why = what.text, *it = "it ";
    bool ok;
    if (!option->preset) {
        error_set(err, "%.440s: is missing, the plugin needs it", place);
        return false;
    }
    if (option->type == CONFIG_SEQUENCE || option->type == CONFIG_MAPPING) {
        ok = read_default_tree(option, out, &what);
        why = strstr(what.text, ": "); /* its line and column are of no file */
        why = why ? why + 2 : what.text;
        it = "";
    } else {
        ok = read_text(option, option->preset, out, &what);
    }
    if (!ok)
        error_set(err, "%.240s: the plugin's own default is wrong: %s%.200s", place, it, why);
    return ok;
}

static bool read_map(const struct config_option *option, const struct config_node *node,
                     struct config_value *out, struct error *err)
{
    if (node->kind != CONFIG_MAP)
        return config_node_refuse(node, err, "must be a map");
    if (!only_known(node, option->children, option->child_count, err))
        return false;
    out->items = xcalloc(option->child_count, sizeof *out->items);
    for (; out->count < option->child_count; out->count++) {
        const struct config_option *child = &option->children[out->count];
        const struct config_node *found = config_node_get(node, child->name);
        struct config_value *value = &out->items[out->count];
        char place[PLACE_SIZE];
        bool is_there = found && found->kind != CONFIG_NOTHING;
        if (!is_there)
            place_of(node, child->name, place, sizeof place);
        if (!(is_there ? read_node(child, found, value, err)
                       : read_default(child, place, value, err)))
            return false;
    }
    return true;
}

/* On failure nothing stays in *out. */
static bool read_node(const struct config_option *option, const struct config_node *node,
                      struct config_value *out, struct error *err)
{
    struct config_value value = {0};
    struct error what;
    bool ok;
    switch (option->type) {
    case CONFIG_SEQUENCE:
        ok = read_list(option, node, &value, err);
        break;
    case CONFIG_MAPPING:
        ok = read_map(option, node, &value, err);
        break;
    default:
        ok = read_text(option, node->text, &value, &what) ||
             config_node_refuse(node, err, "%s", what.text);
    }
    if (ok)
        *out = value;
    else
        config_values_finish(&value, 1);
    return ok;
}

static bool read_option(const struct config *conf, size_t index, const struct config_option *option,
                        struct config_value *value_out, struct error *err)
{
    const struct config_node *map = conf->plugins[index].config;
    const struct config_node *node = map ? config_node_get(map, option->name) : NULL;
    char place[PLACE_SIZE];
    if (node && node->kind != CONFIG_NOTHING)
        return read_node(option, node, value_out, err);
    config_option_place(conf, index, option->name, place, sizeof place);
    return read_default(option, place, value_out, err);
}

bool config_options(const struct config *conf, size_t index, const struct config_option *options,
                    size_t count, struct config_value *values, struct error *err)
{
    assert(index < conf->plugin_count);
    const struct config_node *map = conf->plugins[index].config;
    if (map && !only_known(map, options, count, err))
        return false;
    struct config_value *found = xcalloc(count, sizeof *found);
    size_t done = 0;
    while (done < count && read_option(conf, index, &options[done], &found[done], err))
        done++;
    bool ok = done == count;
    for (size_t i = 0; ok && i < count; i++)
        values[i] = found[i];
    if (!ok)
        config_values_finish(found, done);
    free(found);
    return ok;
}

void config_option_place(const struct config *conf, size_t index, const char *name, char *out,
                         size_t size)
{
    assert(index < conf->plugin_count);
    const struct config_node *map = conf->plugins[index].config;
    const struct config_node *node = map ? config_node_get(map, name) : NULL;
    if (!node)
        node = item_of(conf, index);
    snprintf(out, size, "%s:%d:%d: plugins[%zu].config.%s", node->source, node->line, node->column,
             index, name);
}
