/* chatup: one binary, several commands. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static int cli_version(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") != 0) {
        fprintf(stderr, "chatup version: takes no arguments\n");
        return 2;
    }
    puts(argc > 1 ? "usage: chatup version\n\nPrints the version." : "chatup " CHATUP_VERSION);
    return 0;
}

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", "run a whole server in one process", cli_serve},
    {"dispatcher", "run the HTTP API alone, one of several processes on Redis", cli_dispatcher},
    {"worker", "run the sockets alone, one of several processes on Redis", cli_worker},
    {"check", "check a configuration", cli_check},
    {"reload", "make a running server read its configuration again", cli_reload},
    {"status", "show how a running server does", cli_status},
    {"drain", "make a running server send its clients elsewhere, and end", cli_drain},
    {"backup", "copy what a running server stores", cli_backup},
    {"plugin", "show, check, list or begin plugins", cli_plugin},
    {"keygen", "make a key to sign tokens with", cli_keygen},
    {"token", "sign a token", cli_token},
    {"version", "print the version", cli_version},
};

static void usage(FILE *to)
{
    fputs("usage: chatup COMMAND [OPTION]…\n\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].what);
    fputs("\nchatup COMMAND --help tells more.\n", to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        if (argc < 3 || argv[2][0] == '-') {
            usage(stdout);
            return 0;
        }
        argv[1] = argv[2]; /* chatup help COMMAND is chatup COMMAND --help */
        argv[2] = (char *)"--help";
        argc = 3;
    } else if (!strcmp(argv[1], "--version")) {
        argv[1] = (char *)"version";
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "chatup: %s: no such command; see chatup --help\n", argv[1]);
    return 2;
}
