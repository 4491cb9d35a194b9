#include "alloc.h"
#include "config_parts.h"
#include "config_value.h"

static const char *const algorithms[] = {"RS256", "RS384", "RS512", "ES256", "ES384",
                                         "ES512", "HS256", "HS384", "HS512", NULL};

static bool read_key(struct config *conf, const struct config_node *entry, struct error *err)
{
    struct config_field fields[] = {{"algorithm", NULL}, {"file", NULL}, {"secret", NULL}};
    const struct config_field *algorithm = &fields[0], *file = &fields[1], *secret = &fields[2];
    int64_t index;
    struct error what;
    if (!config_fields(entry, fields, 3, err))
        return false;
    if (!algorithm->node)
        return config_node_refuse(entry, err, "algorithm is missing, for example RS256");
    if (!config_value_choose(algorithms, algorithm->node->text, &index, &what))
        return config_node_refuse(algorithm->node, err, "%s", what.text);
    if (!file->node == !secret->node)
        return config_node_refuse(entry, err, "needs one of file and secret");
    if (!config_field_text(file->node ? file : secret, err))
        return false;
    char *path = file->node ? config_beside(conf, file->node->text) : NULL;
    config_keys_add(conf, algorithms[index], path, secret->node ? secret->node->text : NULL);
    free(path);
    return true;
}

bool config_keys_read(struct config *conf, const struct config_node *list, struct error *err)
{
    if (list->kind != CONFIG_LIST)
        return config_node_refuse(list, err, "must be a list of {algorithm: …, file: …}");
    const struct config_node *entry;
    list_for_each (entry, &list->children, link)
        if (!read_key(conf, entry, err))
            return false;
    return true;
}

void config_keys_add(struct config *conf, const char *algorithm, const char *file,
                     const char *secret)
{
    conf->keys = xrealloc(conf->keys, (conf->key_count + 1) * sizeof *conf->keys);
    conf->keys[conf->key_count++] = (struct config_key){
        .algorithm = xstrdup(algorithm),
        .file = file ? xstrdup(file) : NULL,
        .secret = secret ? xstrdup(secret) : NULL,
    };
}

void config_add_key(struct config *conf, const char *algorithm, const char *file)
{
    config_keys_add(conf, algorithm, file, NULL);
}

void config_keys_clear(struct config *conf)
{
    for (size_t i = 0; i < conf->key_count; i++) {
        free(conf->keys[i].algorithm);
        free(conf->keys[i].file);
        free(conf->keys[i].secret);
    }
    free(conf->keys);
    conf->keys = NULL;
    conf->key_count = 0;
}
