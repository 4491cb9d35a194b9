/* options.h: what the commands that read a configuration take, so that the arguments which `chatup
 * serve` gets can be tried with `chatup check` first. */
#pragma once
#include "settings.h"
#include <stdbool.h>
#include <stddef.h>

struct cli_options {
    /* -c FILE, else $CHATUP_CONFIG, conf/chatup.yaml if there is one, /etc/chatup/chatup.yaml */
    const char *config;
    const char **sets; /* --set path=value, in their order; points into argv */
    size_t set_count;
    bool demo;
    bool no_supervisor;
    bool use_container_ip; /* of worker */
    bool plugins;          /* of check */
    char **arguments;      /* what is no option; points into argv */
};

/* Parse argv[1..]; argv[0] is the command's name, for messages.
 *   arguments  how many it takes that are no options: so many there are then
 *   usage    printed by --help, and its first line after what cannot be understood
 *   returns  -1 to go on, with out filled; else the exit code: 0 after --help, 2 for misuse */
int cli_options_parse(int argc, char **argv, const char *usage, int arguments,
                      struct cli_options *out);
/* Where settings come from, by these options.
 *   serve  what --demo needs is made too */
struct settings_source cli_settings_source(const struct cli_options *options, bool serve);
/* After -1. */
void cli_options_finish(struct cli_options *options);
