/* chatup check: would the server start with this configuration? Says the first thing that is wrong.
 * It looks, it does not touch: no port is opened, no plugin is run. */
#include "alloc.h"
#include "cli.h"
#include "config.h"
#include "keyring.h"
#include "options.h"

#include <errno.h>
#include <unistd.h>

static const char usage[] =
    "usage: chatup check [-c FILE] [--set path=value]… [--demo]\n"
    "\n"
    "Reads a configuration as `chatup serve` with the same arguments would, and says\n"
    "whether it is right. Exit code 0 if it is, 1 if not.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as listen.port=9000; may be repeated\n"
    "  --demo             as for serve\n";

/* Whatever is in the files of keys, a server would read it the same way, and warn of the same. */
static bool keys_are_good(const struct config *conf, size_t *count_out, struct error *err)
{
    struct keyring *users, *admins;
    struct error why;
    if (!keyrings_load(conf, &users, &admins, &why)) {
        error_set(err, "%.160s: %.340s", conf->path, why.text);
        return false;
    }
    *count_out = keyring_count(users);
    keyring_destroy(users);
    keyring_destroy(admins);
    return true;
}

static bool readable(const struct config *conf, size_t index, const char *file, struct error *err)
{
    if (access(file, R_OK) == 0)
        return true;
    error_set(err, "%s: plugins[%zu]: cannot read %s: %s", conf->path, index, file,
              strerror(errno));
    return false;
}

/* The plugins that the configuration names, without running them. */
static bool plugins_are_there(const struct config *conf, struct error *err)
{
    for (size_t i = 0; i < conf->plugin_count; i++) {
        const struct config_plugin *plugin = &conf->plugins[i];
        size_t size = strlen(conf->plugins_dir) + strlen(plugin->name) + sizeof "/.so";
        char *path = xmalloc(size);
        snprintf(path, size, "%s/%s.so", conf->plugins_dir, plugin->name);
        bool ok = readable(conf, i, plugin->file ? plugin->file : path, err);
        free(path);
        if (!ok)
            return false;
    }
    return true;
}

static void print_summary(const struct config *conf, size_t keys)
{
    printf("%s: ok (%s port %d, %d thread%s, %zu key%s, %zu plugin%s)\n", conf->path, conf->address,
           conf->port, conf->threads, conf->threads == 1 ? "" : "s", keys, keys == 1 ? "" : "s",
           conf->plugin_count, conf->plugin_count == 1 ? "" : "s");
    if (!keys && !conf->demo)
        printf("jwt.keys is empty: nobody's token will be accepted\n");
}

int cli_check(int argc, char **argv)
{
    struct cli_options options;
    struct error err = {0};
    size_t keys = 0;
    int code = cli_options_parse(argc, argv, usage, &options);
    if (code >= 0)
        return code;
    struct config *conf = config_load(options.config, options.sets, options.set_count, &err);
    bool ok = conf && keys_are_good(conf, &keys, &err) && plugins_are_there(conf, &err);
    if (ok) {
        conf->demo |= options.demo;
        print_summary(conf, keys);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    config_destroy(conf);
    cli_options_finish(&options);
    return ok ? 0 : 1;
}
