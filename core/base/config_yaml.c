/* libyaml hands out events; a value is filled into the node that `reader_place` finds for it: the
 * one its key has made, else a new item of the open list, else the root. So there is no recursion
 * on what the file nests, and what has been read hangs in the tree even when the next event fails.
 */
#include "config_yaml.h"
#include "alloc.h"
#include "buffer.h"

#include <assert.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    struct config_node *root;
    struct config_node *open;    /* the list or map that is being read */
    struct config_node *pending; /* a key of it that has no value yet */
    const char *source;
    size_t depth, nodes, bytes, documents;
    struct error *err;
};

/* ---- the tree ---- */

static struct config_node *node_new(enum config_kind kind, char *source)
{
    struct config_node *node = xcalloc(1, sizeof *node);
    node->kind = kind;
    node->source = source;
    node->line = node->column = 1;
    list_init(&node->children);
    list_init(&node->link);
    return node;
}

struct config_node *config_node_create(enum config_kind kind, const char *source)
{
    return node_new(kind, xstrdup(source));
}

void config_node_destroy(struct config_node *node)
{
    if (!node)
        return;
    struct config_node *child, *after;
    list_for_each_safe (child, after, &node->children, link)
        config_node_destroy(child);
    list_remove(&node->link);
    if (!node->parent || node->parent->source != node->source)
        free(node->source);
    free(node->key);
    free(node->text);
    free(node);
}

void config_node_graft(struct config_node *parent, const char *key, struct config_node *tree)
{
    tree->parent = parent;
    tree->index = list_empty(&parent->children)
                      ? 0
                      : list_entry(parent->children.prev, struct config_node, link)->index + 1;
    if (key)
        tree->key = xstrdup(key);
    list_append(&parent->children, &tree->link);
}

struct config_node *config_node_get(const struct config_node *map, const char *key)
{
    struct config_node *child;
    list_for_each (child, &map->children, link)
        if (child->key && !strcmp(child->key, key))
            return child;
    return NULL;
}

struct config_node *config_node_at(const struct config_node *list, size_t index)
{
    struct config_node *child;
    list_for_each (child, &list->children, link)
        if (child->index == index)
            return child;
    return NULL;
}

size_t config_node_path(const struct config_node *node, char *out, size_t size)
{
    if (!node->parent) {
        *out = 0;
        return 0;
    }
    size_t at = config_node_path(node->parent, out, size);
    int added = node->key ? snprintf(out + at, size - at, "%s%s", at ? "." : "", node->key)
                          : snprintf(out + at, size - at, "[%zu]", node->index);
    return added < 0 || (size_t)added >= size - at ? size - 1 : at + (size_t)added;
}

bool config_node_refuse(const struct config_node *node, struct error *err, const char *format, ...)
{
    char path[CONFIG_PATH_SIZE];
    struct error what;
    va_list args;
    va_start(args, format);
    vsnprintf(what.text, sizeof what.text, format, args);
    va_end(args);
    size_t length = config_node_path(node, path, sizeof path);
    error_set(err, "%s:%d:%d: %s%s%s", node->source, node->line, node->column, path,
              length ? ": " : "", what.text);
    for (char *p = err->text; *p; p++) /* a quoted key may hold anything; the message is one line */
        if ((unsigned char)*p < 0x20)
            *p = '?';
    return false;
}

/* ---- from events to nodes ---- */

static bool refuse_event(struct reader *reader, const yaml_event_t *event, const char *what)
{
    error_set(reader->err, "%s:%zu:%zu: %s", reader->source, event->start_mark.line + 1,
              event->start_mark.column + 1, what);
    return false;
}

static struct config_node *reader_add(struct reader *reader, const yaml_event_t *event)
{
    struct config_node *parent = reader->open;
    if (++reader->nodes > CONFIG_YAML_MAX_NODES) {
        refuse_event(reader, event, "too many values in one file");
        return NULL;
    }
    struct config_node *node =
        node_new(CONFIG_NOTHING, parent ? parent->source : xstrdup(reader->source));
    if (parent)
        config_node_graft(parent, NULL, node);
    else
        reader->root = node;
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    return node;
}

/* The node that the value of this event goes into; NULL if it is refused. */
static struct config_node *reader_place(struct reader *reader, const yaml_event_t *event)
{
    struct config_node *node = reader->pending;
    reader->pending = NULL;
    return node ? node : reader_add(reader, event);
}

static bool take_key(struct reader *reader, const yaml_event_t *event)
{
    const char *key = (const char *)event->data.scalar.value;
    if (strlen(key) != event->data.scalar.length)
        return refuse_event(reader, event, "a key must not contain a NUL byte");
    const struct config_node *twin = config_node_get(reader->open, key);
    struct config_node *node = reader_add(reader, event);
    if (!node)
        return false;
    node->key = xstrdup(key);
    if (twin)
        return config_node_refuse(node, reader->err, "written twice, first in line %d", twin->line);
    reader->pending = node;
    return true;
}

/* Length of the variable's name that starts at text; 0 if that is no name. */
static size_t name_length(const char *text, const char *end)
{
    size_t length = 0;
    while (text + length < end &&
           ((text[length] >= 'A' && text[length] <= 'Z') || text[length] == '_' ||
            (length && text[length] >= '0' && text[length] <= '9')))
        length++;
    return length;
}

/* Append text with ${NAME} replaced. Once: what a variable holds is not looked at again. */
static bool expand(const struct config_node *node, const char *text, size_t length,
                   struct buffer *out, struct error *err)
{
    const char *end = text + length;
    while (text < end) {
        size_t left = (size_t)(end - text);
        if (left >= 3 && !memcmp(text, "$${", 3)) {
            buffer_bytes(out, "${", 2);
            text += 3;
        } else if (left >= 2 && !memcmp(text, "${", 2)) {
            size_t name = name_length(text + 2, end);
            if (!name || text + 2 + name == end || text[2 + name] != '}')
                return config_node_refuse(node, err,
                                          "${ must be followed by a variable's name in upper case "
                                          "and }; write $${ for a plain ${");
            char variable[128];
            if (name >= sizeof variable)
                return config_node_refuse(node, err, "${%.*s…}: the name is too long", 20,
                                          text + 2);
            memcpy(variable, text + 2, name);
            variable[name] = 0;
            const char *value = getenv(variable);
            if (!value)
                return config_node_refuse(node, err, "${%s} is not set in the environment",
                                          variable);
            if (out->length + strlen(value) > CONFIG_YAML_MAX_BYTES)
                return config_node_refuse(node, err, "too long with its variables filled in");
            buffer_text(out, value);
            text += 2 + name + 1;
        } else {
            buffer_bytes(out, text++, 1);
        }
    }
    return true;
}

static bool take_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    struct config_node *node = reader_place(reader, event);
    if (!node)
        return false;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        (!length || !strcmp(text, "~") || !strcmp(text, "null")))
        return true; /* CONFIG_NOTHING */
    if (memchr(text, 0, length))
        return config_node_refuse(node, reader->err, "must not contain a NUL byte");
    struct buffer expanded = {0};
    bool ok = expand(node, text, length, &expanded, reader->err);
    reader->bytes += expanded.length;
    if (ok && reader->bytes > CONFIG_YAML_MAX_BYTES)
        ok = config_node_refuse(node, reader->err, "too long with its variables filled in");
    if (ok) {
        node->kind = CONFIG_SCALAR;
        node->text = xstrndup(expanded.at ? expanded.at : "", expanded.length);
    }
    buffer_finish(&expanded);
    return ok;
}

static bool take_start(struct reader *reader, const yaml_event_t *event, enum config_kind kind)
{
    if (reader->depth == CONFIG_YAML_MAX_DEPTH)
        return refuse_event(reader, event, "nested too deeply");
    struct config_node *node = reader_place(reader, event);
    if (!node)
        return false;
    node->kind = kind;
    reader->open = node;
    reader->depth++;
    return true;
}

static bool take_end(struct reader *reader)
{
    assert(reader->open); /* libyaml sends no end without its start */
    reader->open = reader->open->parent;
    reader->depth--;
    return true;
}

static bool has_anchor_or_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return event->type == YAML_ALIAS_EVENT;
    }
}

static bool take(struct reader *reader, const yaml_event_t *event)
{
    bool key_expected = reader->open && reader->open->kind == CONFIG_MAP && !reader->pending;
    if (has_anchor_or_tag(event)) /* aliases of aliases grow a small file into gigabytes */
        return refuse_event(reader, event,
                            "anchors (&), aliases (*) and tags (!) are not supported; "
                            "quote a text that begins so");
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return !reader->documents++ ||
               refuse_event(reader, event, "a second document (---); there must be one only");
    case YAML_SCALAR_EVENT:
        return key_expected ? take_key(reader, event) : take_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (key_expected)
            return refuse_event(reader, event, "a key must be a text, not a list or map");
        return take_start(reader, event,
                          event->type == YAML_MAPPING_START_EVENT ? CONFIG_MAP : CONFIG_LIST);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return take_end(reader);
    default:
        return true;
    }
}

/* What libyaml could not read, and where. Of a wrong byte it tells the offset only. */
static bool refuse_syntax(struct reader *reader, const char *bytes, size_t length)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    size_t line = parser->problem_mark.line + 1, column = parser->problem_mark.column + 1;
    if (parser->error == YAML_READER_ERROR) {
        line = column = 1;
        for (size_t i = 0; i < parser->problem_offset && i < length; i++) {
            column = bytes[i] == '\n' ? 1 : column + 1;
            line += bytes[i] == '\n';
        }
    }
    if (parser->context)
        error_set(reader->err, "%s:%zu:%zu: %s, %s from line %zu", reader->source, line, column,
                  problem, parser->context, parser->context_mark.line + 1);
    else
        error_set(reader->err, "%s:%zu:%zu: %s", reader->source, line, column, problem);
    return false;
}

struct config_node *config_yaml_read(const char *source, const char *bytes, size_t length,
                                     struct error *err)
{
    struct reader reader = {.source = source, .err = err};
    if (length > CONFIG_YAML_MAX_BYTES) {
        error_set(err, "%s: larger than 1MiB", source);
        return NULL;
    }
    if (!yaml_parser_initialize(&reader.parser))
        alloc_checked(NULL);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, length);
    bool ok = true, end = false;
    while (ok && !end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader.parser, &event)) {
            ok = refuse_syntax(&reader, bytes, length);
            break;
        }
        ok = take(&reader, &event);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&reader.parser);
    if (!ok) {
        config_node_destroy(reader.root);
        return NULL;
    }
    if (!reader.root)
        reader.root = config_node_create(CONFIG_NOTHING, source);
    if (reader.root->kind == CONFIG_NOTHING)
        reader.root->kind = CONFIG_MAP;
    if (reader.root->kind != CONFIG_MAP) {
        config_node_refuse(reader.root, err,
                           "must be a map of options, one \"name: value\" a line");
        config_node_destroy(reader.root);
        return NULL;
    }
    return reader.root;
}
