/* chatup serve: dispatcher and worker in one process, on the embedded broker. */
#include "cli.h"
#include "config.h"
#include "demo.h"
#include "log.h"
#include "options.h"
#include "worker.h"

static const char usage[] =
    "usage: chatup serve [-c FILE] [--set path=value]… [--demo]\n"
    "\n"
    "Runs a whole server in one process: the HTTP API, publishers and subscribers.\n"
    "Prints its URL on standard output when it is ready, its log on standard error.\n"
    "SIGTERM and Ctrl-C end it.\n"
    "\n"
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"
    "                     else /etc/chatup/chatup.yaml\n"
    "  --set path=value   set one option, such as listen.port=9000; may be repeated\n"
    "  --demo             hand out tokens to anybody, on a loopback address only\n";

int cli_serve(int argc, char **argv)
{
    struct cli_options options;
    struct error err;
    int code = cli_options_parse(argc, argv, usage, &options);
    if (code >= 0)
        return code;
    struct config *conf = config_load(options.config, options.sets, options.set_count, &err);
    code = 1;
    if (conf) {
        log_set(conf->log_level, conf->log_format);
        if (!(options.demo || conf->demo) || demo_prepare(conf, &err))
            code = worker_serve(conf, &err);
    }
    if (code)
        fprintf(stderr, "chatup serve: %s\n", err.text);
    config_destroy(conf);
    cli_options_finish(&options);
    return code;
}
