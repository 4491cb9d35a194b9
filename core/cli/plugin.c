/* chatup plugin: for those who write plugins, and those who run them. */
#include "alloc.h"
#include "cli.h"
#include "config.h"
#include "plugin_parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"info", "what a plugin is: its options, routes and hooks", plugin_info},
    {"check", "call it as a server would, and worse", plugin_check},
    {"list", "those of a running server, in their order", plugin_list},
    {"new", "begin one of your own", plugin_new},
};

/* The name of the file without directory and .so, as far as it can be one. */
static char *name_of(const char *file)
{
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    size_t length = strcspn(base, ".");
    if (length < 1 || length > 64)
        return xstrdup("plugin");
    char *name = xstrndup(base, length);
    for (char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *p))
            *p = '_';
    return name;
}

struct config *plugin_config(const char *file, const char *options, struct error *err)
{
    static const char *const sets[] = {"threads=8", "durability=memory"};
    struct config *conf = config_load("/dev/null", sets, 2, err);
    char *name = name_of(file);
    if (conf && !config_add_plugin(conf, name, true, options, err)) {
        config_destroy(conf);
        conf = NULL;
    }
    if (conf)
        conf->plugins[0].file = xstrdup(file);
    free(name);
    return conf;
}

static void usage(FILE *to)
{
    fputs("usage: chatup plugin COMMAND [OPTION]…\n\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-6s %s\n", commands[i].name, commands[i].what);
    fputs("\nchatup plugin COMMAND --help tells more.\n", to);
}

int cli_plugin(int argc, char **argv)
{
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (argc < 2 || help) {
        usage(help ? stdout : stderr);
        return help ? 0 : 2;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "chatup plugin: %s: no such command; see chatup plugin --help\n", argv[1]);
    return 2;
}
