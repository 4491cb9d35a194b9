/* options.h: what the commands that read a configuration take, so that the arguments which `chatup
 * serve` gets can be tried with `chatup check` first. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct cli_options {
    /* -c FILE, else $CHATUP_CONFIG, conf/chatup.yaml if there is one, /etc/chatup/chatup.yaml */
    const char *config;
    const char **sets; /* --set path=value, in their order; points into argv */
    size_t set_count;
    bool demo;
};

/* Parse argv[1..]; argv[0] is the command's name, for messages.
 *   usage    printed by --help, and its first line after what cannot be understood
 *   returns  -1 to go on, with out filled; else the exit code: 0 after --help, 2 for misuse */
int cli_options_parse(int argc, char **argv, const char *usage, struct cli_options *out);
/* After -1. */
void cli_options_finish(struct cli_options *options);
