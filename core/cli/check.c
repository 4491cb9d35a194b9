/* chatup check: would the server start with this configuration? Says the first thing that is wrong.
 * It looks, it does not touch: no port is opened, and no plugin is run but with --plugins, and then
 * in this process, where what it asks for does not happen. A server that reloads tries them so. */
#include "alloc.h"
#include "chain.h"
#include "cli.h"
#include "config.h"
#include "desk.h"
#include "keyring.h"
#include "options.h"
#include "plugin_set.h"
#include "running.h"
#include "settings.h"
#include "trial.h"

#include <errno.h>
#include <unistd.h>

static const char usage[] =
    "usage: chatup check [-c FILE] [--set path=value]… [--plugins] [--demo] [--no-supervisor]\n"
    "\n"
    "Reads a configuration as `chatup serve` with the same arguments would, and says\n"
    "whether it is right. Exit code 0 if it is, 1 if not.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as listen.port=9000; may be repeated\n"
    "  --plugins          load the plugins too: create, and a shard for each loop\n"
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

/* As a server would, up to the first message. */
static bool plugins_run(const struct config *conf, struct error *err)
{
    struct plugin_set *set = plugin_set_load(conf, NULL, plugin_set_destroy, NULL, err);
    size_t loops = (size_t)conf->threads, opened = 0;
    struct desk *desks = xcalloc(loops, sizeof *desks);
    struct chain **chains = xcalloc(loops, sizeof *chains);
    for (; set && opened < loops; opened++) {
        desk_init(&desks[opened], NULL, (uint32_t)opened, (uint32_t)loops, NULL);
        chains[opened] = chain_create(set->plugins, set->count, NULL, NULL, &desks[opened], err);
        if (!chains[opened])
            break;
    }
    bool ok = set && opened == loops;
    for (size_t i = 0; i < opened; i++) {
        chain_destroy(chains[i]);
        desk_finish(&desks[i]);
    }
    plugin_set_unref(set);
    free(chains);
    free(desks);
    return ok;
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
    const struct settings_source source = cli_settings_source(&options, options.plugins);
    struct settings *settings = settings_load(&source, &err);
    bool ok = settings && plugins_are_there(settings->conf, &err);
    if (ok && options.plugins) {
        running_watch_trial(TRIAL_S);
        ok = plugins_run(settings->conf, &err);
        alarm(0);
    }
    if (ok && options.plugins)
        puts("plugins: ok");
    else if (ok)
        print_summary(settings->conf, keyring_count(settings->keys), options.demo);
    else
        fprintf(stderr, "%s\n", err.text);
    settings_unref(settings);
    cli_options_finish(&options);
    return ok ? 0 : 1;
}
