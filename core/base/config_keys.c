#include "alloc.h"
#include "config_parts.h"
#include "config_value.h"

static const char *const algorithms[] = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                         "PS512", "ES256", "ES384", "ES512", "HS256",
                                         "HS384", "HS512", NULL};

static bool read_key(const struct config *conf, struct config_keys *keys,
                     const struct config_node *entry, struct error *err)
{
    struct config_field fields[] = {
        {"algorithm", NULL}, {"file", NULL}, {"secret", NULL}, {"kid", NULL}};
    const struct config_field *algorithm = &fields[0], *file = &fields[1], *secret = &fields[2];
    const struct config_field *kid = &fields[3];
    int64_t index;
    struct error what;
    if (!config_fields(entry, fields, sizeof fields / sizeof *fields, err))
        return false;
    if (!algorithm->node)
        return config_node_refuse(entry, err, "algorithm is missing, for example RS256");
    if (!config_value_choose(algorithms, algorithm->node->text, &index, &what))
        return config_node_refuse(algorithm->node, err, "%s", what.text);
    if (!file->node == !secret->node)
        return config_node_refuse(entry, err, "needs one of file and secret");
    if (!config_field_text(file->node ? file : secret, err) ||
        (kid->node && !config_field_text(kid, err)))
        return false;
    char *path = file->node ? config_beside(conf, file->node->text) : NULL;
    config_keys_add(keys, algorithms[index], path, secret->node ? secret->node->text : NULL,
                    kid->node ? kid->node->text : NULL);
    free(path);
    return true;
}

bool config_keys_read(const struct config *conf, struct config_keys *keys,
                      const struct config_node *list, struct error *err)
{
    if (list->kind != CONFIG_LIST)
        return config_node_refuse(list, err, "must be a list of {algorithm: …, file: …}");
    const struct config_node *entry;
    list_for_each (entry, &list->children, link)
        if (!read_key(conf, keys, entry, err))
            return false;
    return true;
}

void config_keys_add(struct config_keys *keys, const char *algorithm, const char *file,
                     const char *secret, const char *kid)
{
    keys->at = xrealloc(keys->at, (keys->count + 1) * sizeof *keys->at);
    keys->at[keys->count++] = (struct config_key){
        .algorithm = xstrdup(algorithm),
        .file = file ? xstrdup(file) : NULL,
        .secret = secret ? xstrdup(secret) : NULL,
        .kid = kid ? xstrdup(kid) : NULL,
    };
}

void config_add_key(struct config *conf, const char *algorithm, const char *file)
{
    config_keys_add(&conf->jwt.keys, algorithm, file, NULL, NULL);
}

void config_keys_clear(struct config_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->at[i].algorithm);
        free(keys->at[i].file);
        free(keys->at[i].secret);
        free(keys->at[i].kid);
    }
    free(keys->at);
    *keys = (struct config_keys){0};
}
