/* chatup serve, worker and dispatcher: a server, in one process or in several. */
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

static const char worker_usage[] =
    "usage: chatup worker [-c FILE] [--set path=value]… [--use-container-ip] [--demo]\n"
    "                     [--no-supervisor]\n"
    "\n"
    "Runs the sockets of a server of several processes, on Redis: who reads and who speaks.\n"
    "Dispatchers send clients to `announce`, or else to this machine's name and listen.port.\n"
    "SIGTERM, Ctrl-C and `chatup drain` send them to other workers within drain_time, then end "
    "it.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as redis.host=10.0.0.5; may be repeated\n"
    "  --use-container-ip announce the address of this host's name, as in containers\n"
    "  --demo             hand out tokens to anybody, on a loopback address only\n"
    "  --no-supervisor    do not start again what crashes; without it a small second process\n"
    "                     does, except under systemd and with `supervise: false`\n";

static const char dispatcher_usage[] =
    "usage: chatup dispatcher [-c FILE] [--set path=value]… [--demo] [--no-supervisor]\n"
    "\n"
    "Runs the HTTP API of a server of several processes, on Redis: it tells clients which worker\n"
    "to connect to, and takes what your servers have to say. There may be any number of them.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as redis.host=10.0.0.5; may be repeated\n"
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

static int serve(int argc, char **argv, const char *usage_text, enum role role)
{
    struct cli_options options;
    struct error err = {0};
    int code = cli_options_parse(argc, argv, usage_text, 0, &options);
    if (code >= 0)
        return code;
    struct settings_source source = cli_settings_source(&options, true);
    source.role = role;
    struct settings *settings = settings_load(&source, &err);
    code = 1;
    if (settings) {
        const struct config *conf = settings->conf;
        bool alone = options.no_supervisor || !conf->supervise || systemd_runs_us();
        code = alone ? serve_alone(settings, &err) : supervisor_serve(settings, &err);
    }
    if (err.text[0])
        fprintf(stderr, "chatup %s: %s\n", argv[0], err.text);
    cli_options_finish(&options);
    return code;
}

int cli_serve(int argc, char **argv)
{
    return serve(argc, argv, usage, ROLE_SERVE);
}

int cli_worker(int argc, char **argv)
{
    return serve(argc, argv, worker_usage, ROLE_WORKER);
}

int cli_dispatcher(int argc, char **argv)
{
    return serve(argc, argv, dispatcher_usage, ROLE_DISPATCHER);
}
