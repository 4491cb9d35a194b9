/* chatup check: would the server start with this configuration? Says the first thing that is wrong.
 * It looks, it does not touch: no port is opened, no plugin is run. */
#include "alloc.h"
#include "cli.h"
#include "config.h"
#include "keyring.h"
#include "options.h"
#include "settings.h"

#include <errno.h>
#include <unistd.h>

static const char usage[] =
    "usage: chatup check [-c FILE] [--set path=value]… [--demo] [--no-supervisor]\n"
    "\n"
    "Reads a configuration as `chatup serve` with the same arguments would, and says\n"
    "whether it is right. Exit code 0 if it is, 1 if not.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as listen.port=9000; may be repeated\n"
    "  --demo, --no-supervisor\n"
    "                     as for serve\n";

static bool readable(const struct config *conf, size_t index, const char *file, struct error *err)
{
    if (access(file, R_OK) == 0)
        return true;
    error_set(err, "%s: plugins[%zu]: cannot read %s: %s", conf->path, index, file,
              strerror(errno));
    return false;
}

/* The plugins, without looking into them. */
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

static void print_summary(const struct config *conf, size_t keys, bool demo)
{
    printf("%s: ok (%s port %d, %d thread%s, %zu key%s, %zu plugin%s)\n", conf->path, conf->address,
           conf->port, conf->threads, conf->threads == 1 ? "" : "s", keys, keys == 1 ? "" : "s",
           conf->plugin_count, conf->plugin_count == 1 ? "" : "s");
    if (!keys && !conf->demo && !demo)
        printf("jwt.keys is empty: nobody's token will be accepted\n");
}

int cli_check(int argc, char **argv)
{
    struct cli_options options;
    struct error err = {0};
    int code = cli_options_parse(argc, argv, usage, 0, &options);
    if (code >= 0)
        return code;
    const struct settings_source source = cli_settings_source(&options, false);
    struct settings *settings = settings_load(&source, &err);
    bool ok = settings && plugins_are_there(settings->conf, &err);
    if (ok)
        print_summary(settings->conf, keyring_count(settings->keys), options.demo);
    else
        fprintf(stderr, "%s\n", err.text);
    settings_unref(settings);
    cli_options_finish(&options);
    return ok ? 0 : 1;
}
