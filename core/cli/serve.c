/* chatup serve: dispatcher and worker in one process, on the embedded broker. */
#include "cli.h"
#include "config.h"
#include "options.h"
#include "settings.h"
#include "supervisor.h"
#include "systemd.h"
#include "worker.h"

static const char usage[] =
    "usage: chatup serve [-c FILE] [--set path=value]… [--demo] [--no-supervisor]\n"
    "\n"
    "Runs a whole server in one process: the HTTP API, publishers and subscribers.\n"
    "Prints its URL on standard output when it is ready, its log on standard error.\n"
    "SIGTERM and Ctrl-C end it, SIGHUP makes it read its configuration again.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as listen.port=9000; may be repeated\n"
    "  --demo             hand out tokens to anybody, on a loopback address only\n"
    "  --no-supervisor    do not start again what crashes; without it a small second process\n"
    "                     does, except under systemd and with `supervise: false`\n";

static int serve_alone(struct settings *settings, struct error *err)
{
    struct listening listening;
    if (listening_open(settings->conf, &listening, err))
        return worker_serve(settings, &listening, NULL, NULL, err);
    settings_unref(settings);
    return 1;
}

int cli_serve(int argc, char **argv)
{
    struct cli_options options;
    struct error err = {0};
    int code = cli_options_parse(argc, argv, usage, 0, &options);
    if (code >= 0)
        return code;
    const struct settings_source source = cli_settings_source(&options, true);
    struct settings *settings = settings_load(&source, &err);
    code = 1;
    if (settings) {
        const struct config *conf = settings->conf;
        bool alone = options.no_supervisor || !conf->supervise || systemd_runs_us();
        code = alone ? serve_alone(settings, &err) : supervisor_serve(settings, &err);
    }
    if (err.text[0])
        fprintf(stderr, "chatup serve: %s\n", err.text);
    cli_options_finish(&options);
    return code;
}
