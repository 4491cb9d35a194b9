/* Loading, in the order in which later sources win: defaults, file, CHATUP_* variables, --set. */
#include "config.h"
#include "alloc.h"
#include "config_parts.h"
#include "config_schema.h"
#include "config_value.h"
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

/* ---- the file ---- */

/* Top-level names of the original ChatUp. Ignored with a warning where nothing is lost by it. */
static const struct {
    const char *key;
    bool refused;
    const char *advice;
} old_options[] = {
    {"sticky", false, "one process serves all of a client's connections"},
    {"nginx", false, "chatup serves the readers itself"},
    {"sentry", false, "errors go to standard error"},
    {"msgBufferDelay", false, "how often a room sends is rooms.flush_gap now"},
    {"expireDelay", false, "it has no counterpart here"},
    {"workerRefreshInterval", false, "it has no counterpart here"},
    {"port", true, "is listen.port now"},
    {"hostname", true, "is part of announce now"},
    {"announcedPort", true, "is part of announce now"},
    {"announceSSL", true, "is part of announce now"},
    {"messageHistory", true, "is history now"},
    {"middlewares", true, "is the list plugins now"},
    {"ssl", true, "is tls now, with certificate and key"},
};

static bool read_unknown(const struct config_node *node, const char *path, struct error *err)
{
    struct error what;
    for (size_t i = 0; i < sizeof old_options / sizeof *old_options; i++) {
        if (strcmp(path, old_options[i].key) != 0)
            continue;
        if (old_options[i].refused)
            return config_node_refuse(node, err, "%s", old_options[i].advice);
        config_node_refuse(node, &what, "ignored: %s", old_options[i].advice);
        log_warn("%s", what.text);
        return true;
    }
    config_schema_unknown(path, &what);
    return config_node_refuse(node, err, "%s", what.text);
}

static bool read_list(struct config *conf, const struct config_node *list, const char *path,
                      struct error *err)
{
    static const struct {
        const char *path;
        bool (*read)(struct config *conf, const struct config_node *list, struct error *err);
    } lists[] = {{"channels", config_channels_read}, {"plugins", config_plugins_read}};
    size_t i = 0;
    if (!strcmp(path, "jwt.keys"))
        return config_keys_read(conf, &conf->jwt.keys, list, err);
    if (!strcmp(path, "admin.keys"))
        return config_keys_read(conf, &conf->admin.keys, list, err);
    while (strcmp(lists[i].path, path) != 0) /* each other list of the schema is here */
        i++;
    return lists[i].read(conf, list, err);
}

static bool read_map(struct config *conf, const struct config_node *map, struct error *err);

static bool read_node(struct config *conf, const struct config_node *node, struct error *err)
{
    char path[CONFIG_PATH_SIZE];
    struct error what;
    config_node_path(node, path, sizeof path);
    if (strchr(node->key, '.')) /* would set one option in two ways that do not see each other */
        return config_node_refuse(node, err, "dotted names are for --set, nest it in the file");
    enum config_schema found = config_schema_find(path);
    if (found == SCHEMA_UNKNOWN)
        return read_unknown(node, path, err);
    if (node->kind == CONFIG_NOTHING)
        return true;
    if (found == SCHEMA_OPTION)
        return config_schema_put(conf, path, node->text, &what) ||
               config_node_refuse(node, err, "%s", what.text);
    if (found == SCHEMA_LIST)
        return read_list(conf, node, path, err);
    if (node->kind != CONFIG_MAP)
        return config_node_refuse(node, err, "must be a map of options");
    return read_map(conf, node, err);
}

static bool read_map(struct config *conf, const struct config_node *map, struct error *err)
{
    const struct config_node *node;
    list_for_each (node, &map->children, link)
        if (!read_node(conf, node, err))
            return false;
    return true;
}

static bool read_file(struct config *conf, struct error *err)
{
    FILE *file = fopen(conf->path, "re");
    char *bytes = NULL;
    size_t length = 0;
    if (file) {
        bytes = xmalloc(CONFIG_YAML_MAX_BYTES + 1); /* one more shows that it is too large */
        length = fread(bytes, 1, CONFIG_YAML_MAX_BYTES + 1, file);
    }
    if (!file || ferror(file))
        error_set(err, "%s: cannot read: %s", conf->path, strerror(errno));
    else
        conf->root = config_yaml_read(conf->path, bytes, length, err);
    if (file)
        fclose(file);
    free(bytes);
    return conf->root && read_map(conf, conf->root, err);
}

/* ---- --set path=value ---- */

static bool apply_set(struct config *conf, const char *set, struct error *err)
{
    char path[CONFIG_PATH_SIZE];
    struct error what;
    const char *equals = strchr(set, '=');
    size_t length = equals ? (size_t)(equals - set) : 0;
    if (!length || length >= sizeof path) {
        error_set(err, "--set %.100s: must look like listen.port=8080", set);
        return false;
    }
    memcpy(path, set, length);
    path[length] = 0;
    if (config_schema_put(conf, path, equals + 1, &what))
        return true;
    error_set(err, "--set %.100s: %s", set, what.text);
    return false;
}

/* ---- the whole ---- */

static int core_count(void)
{
    cpu_set_t cores; /* those that a container or taskset leaves us */
    long count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores)
                                                                 : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (int)count;
}

static void make_beside(const struct config *conf, char **file)
{
    char *path = **file ? config_beside(conf, *file) : xstrdup("");
    free(*file);
    *file = path;
}

/* Checked already. */
static void networks_compile(const char *list, struct config_networks *out)
{
    struct network networks[CONFIG_NETWORKS_MAX];
    struct text wrong;
    int count = networks_parse(list, networks, CONFIG_NETWORKS_MAX, &wrong);
    out->count = count > 0 ? (size_t)count : 0;
    out->networks = xmemdup(networks, out->count * sizeof *networks);
}

/* An installation may have been moved, or made below another root: what is not where it was to be
 * is looked for from where the program is. */
static void find_beside_program(char **dir, const char *built_in, const char *from_program)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (access(built_in, F_OK) == 0 || length <= 0)
        return;
    path[length] = 0;
    char *end = strrchr(path, '/') + 1;
    if (snprintf(end, sizeof path - (size_t)(end - path), "%s", from_program) >=
        (int)(sizeof path - (size_t)(end - path)))
        return;
    char *found = realpath(path, NULL);
    if (!found)
        return;
    free(*dir);
    *dir = found;
}

struct config *config_load(const char *path, const char *const *sets, size_t set_count,
                           struct error *err)
{
    struct config *conf = xcalloc(1, sizeof *conf);
    conf->path = xstrdup(path);
    config_schema_defaults(conf);
    find_beside_program(&conf->client_dir, CHATUP_CLIENT_DIR, CHATUP_BIN_TO_CLIENT);
    find_beside_program(&conf->plugins_dir, CHATUP_PLUGINS_DIR, CHATUP_BIN_TO_PLUGINS);
    bool ok = read_file(conf, err) && config_env_apply(conf, err);
    for (size_t i = 0; ok && i < set_count; i++)
        ok = apply_set(conf, sets[i], err);
    if (!ok) {
        config_destroy(conf);
        return NULL;
    }
    if (!conf->threads)
        conf->threads = core_count();
    make_beside(conf, &conf->jwt.jwks);
    make_beside(conf, &conf->tls.certificate);
    make_beside(conf, &conf->tls.key);
    if (!*conf->tls.certificate == !*conf->tls.key) {
        networks_compile(conf->trusted_proxies, &conf->trusted);
        networks_compile(conf->metrics_from, &conf->metrics_networks);
        networks_compile(conf->limits.exempt, &conf->exempt);
        return conf;
    }
    error_set(err, "%s: tls.certificate and tls.key: one without the other", path);
    config_destroy(conf);
    return NULL;
}

void config_destroy(struct config *conf)
{
    if (!conf)
        return;
    config_schema_clear(conf);
    config_keys_clear(&conf->jwt.keys);
    config_keys_clear(&conf->admin.keys);
    config_channels_clear(conf);
    config_plugins_clear(conf);
    config_node_destroy(conf->root);
    free(conf->trusted.networks);
    free(conf->metrics_networks.networks);
    free(conf->exempt.networks);
    free(conf->path);
    free(conf);
}

/* ---- entries of lists ---- */

bool config_fields(const struct config_node *entry, struct config_field *fields, size_t count,
                   struct error *err)
{
    if (entry->kind != CONFIG_MAP)
        return config_node_refuse(entry, err, "must be a map that begins with \"%s: …\"",
                                  fields[0].name);
    const struct config_node *node;
    list_for_each (node, &entry->children, link) {
        struct config_guess guess = config_guess_start(node->key);
        struct error what;
        size_t i = 0;
        for (; i < count && strcmp(fields[i].name, node->key) != 0; i++)
            config_guess_try(&guess, text_of(fields[i].name));
        if (i == count) {
            config_guess_tell(&guess, &what);
            return config_node_refuse(node, err, "%s", what.text);
        }
        if (node->kind != CONFIG_NOTHING)
            fields[i].node = node;
    }
    return true;
}

bool config_field_text(const struct config_field *field, struct error *err)
{
    return (field->node->text && *field->node->text) ||
           config_node_refuse(field->node, err, "must be a string that is not empty");
}

char *config_beside(const struct config *conf, const char *file)
{
    const char *slash = strrchr(conf->path, '/');
    size_t directory = slash && *file != '/' ? (size_t)(slash + 1 - conf->path) : 0;
    size_t size = directory + strlen(file) + 1;
    char *path = xmalloc(size);
    snprintf(path, size, "%.*s%s", (int)directory, conf->path, file);
    return path;
}

bool config_is_loopback(const struct config *conf)
{
    return !strncmp(conf->address, "127.", 4) || !strcmp(conf->address, "::1") ||
           !strcmp(conf->address, "localhost");
}
