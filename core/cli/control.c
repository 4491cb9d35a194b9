/* chatup reload, status, backup: ask a running server over its control socket. The configuration
 * says where that is. */
#include "control.h"
#include "alloc.h"
#include "cli.h"
#include "config.h"
#include "options.h"
#include "plugin_parts.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WHERE                                                                                      \
    "\n"                                                                                           \
    "The server is found by its control socket: give the same configuration as it has.\n"          \
    "\n"                                                                                           \
    "  -c, --config FILE  default: $CHATUP_CONFIG, else conf/chatup.yaml if there is one,\n"       \
    "                     else /etc/chatup/chatup.yaml\n"                                          \
    "  --set path=value   as the server was given, such as data_dir=/var/lib/chatup\n"

static const char reload_usage[] =
    "usage: chatup reload [-c FILE] [--set path=value]…\n"
    "\n"
    "Makes a running server read its configuration again: keys, origins, limits and\n"
    "most others. No client is dropped. If the file is wrong, or changes what only a\n"
    "restart can change, all stays as it was, the reason is printed, and the exit code\n"
    "is 1. SIGHUP does the same, and says so in the log only.\n" WHERE;

static const char drain_usage[] =
    "usage: chatup drain [-c FILE] [--set path=value]…\n"
    "\n"
    "Makes a running server take no more clients, send those it has to others within drain_time,\n"
    "and end, as SIGTERM does. On the embedded broker there are no others: they come back when\n"
    "it is started again.\n"
    "\n"
    "  -c, --config FILE  the configuration of that server; it says where its socket is\n"
    "  --set path=value   such as data_dir=/var/lib/chatup, if the server was given it so\n";

static const char status_usage[] = "usage: chatup status [-c FILE] [--set path=value]…\n"
                                   "\n"
                                   "Prints how a running server does, as JSON.\n" WHERE;

static const char plugins_usage[] =
    "usage: chatup plugin list [-c FILE] [--set path=value]…\n"
    "\n"
    "Shows the plugins of a running server, in the order of the chain, and what they did.\n"
    "\n"
    "  -c, --config FILE, --set path=value\n"
    "                     as the server was given\n";

static const char backup_usage[] =
    "usage: chatup backup [-c FILE] [--set path=value]… BACKUP\n"
    "\n"
    "Makes a running server write a copy of all that it stores to the new file BACKUP.\n" WHERE;

/* ---- the socket ---- */

static bool refuse(struct error *err, const char *path)
{
    int why = errno;
    if (why == ENOENT || why == ECONNREFUSED)
        error_set(err,
                  "no server is running with this configuration: nobody answers on %s; if the file "
                  "was given another data_dir or control since the start, --set the old one",
                  path);
    else if (why == EACCES || why == EPERM)
        error_set(err, "%s: no permission: be the user that the server runs as", path);
    else
        error_set(err, "%s: %s", path, strerror(why));
    return false;
}

/* Send request, a line; what comes until the end is the answer, to be freed. */
static bool ask(const char *path, const char *request, char **answer_out, struct error *err)
{
    enum { ANSWER_MAX = 1024 * 1024 };
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address) &&
              send(fd, request, strlen(request), MSG_NOSIGNAL) >= 0;
    if (!ok) {
        refuse(err, path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    char *answer = xcalloc(1, ANSWER_MAX + 1);
    size_t length = 0;
    ssize_t got;
    while (length < ANSWER_MAX && (got = recv(fd, answer + length, ANSWER_MAX - length, 0)) > 0)
        length += (size_t)got;
    close(fd);
    *answer_out = answer;
    return true;
}

static bool call(const char *path, const char *request, json_t **answer_out, struct error *err)
{
    char *line;
    if (!ask(path, request, &line, err))
        return false;
    json_t *answer = json_loads(line, 0, NULL);
    free(line);
    if (json_is_true(json_object_get(answer, "ok"))) {
        *answer_out = answer;
        return true;
    }
    const char *why = json_string_value(json_object_get(answer, "err"));
    error_set(err, "%s", why ? why : "the server ended before it answered; see its log");
    json_decref(answer);
    return false;
}

/* ---- the commands ---- */

static void say_reloaded(const json_t *answer)
{
    puts("reloaded");
}

static void say_draining(const json_t *answer)
{
    puts("draining");
}

static void say_status(const json_t *answer)
{
    json_object_del((json_t *)answer, "ok");
    json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    puts("");
}

static void say_backup(const json_t *answer)
{
    puts("backed up");
}

/* The server has another working directory. */
static bool request_make(char *out, size_t size, const char *verb, const char *file,
                         struct error *err)
{
    char here[PATH_MAX] = "";
    if (!file)
        return snprintf(out, size, "%s\n", verb) > 0;
    if (*file != '/' && !getcwd(here, sizeof here)) {
        error_set(err, "%s: %s", file, strerror(errno));
        return false;
    }
    if (!*file || strchr(file, '\n') ||
        snprintf(out, size, "%s %s%s%s\n", verb, here, *file == '/' ? "" : "/", file) >=
            (int)size) {
        error_set(err, "the name of the file is empty, too long, or has a newline in it");
        return false;
    }
    return true;
}

static int control_command(int argc, char **argv, const char *verb, const char *usage,
                           bool has_file, void (*say)(const json_t *answer))
{
    struct cli_options options;
    struct error err = {0};
    char path[CONTROL_PATH_MAX + 1], request[CONTROL_LINE_MAX];
    json_t *answer = NULL;
    int code = cli_options_parse(argc, argv, usage, has_file, &options);
    if (code >= 0)
        return code;
    struct config *conf = config_load(options.config, options.sets, options.set_count, &err);
    bool ok =
        conf && control_path(conf, path, &err) &&
        request_make(request, sizeof request, verb, has_file ? options.arguments[0] : NULL, &err) &&
        call(path, request, &answer, &err);
    if (ok)
        say(answer);
    else
        fprintf(stderr, "chatup %s: %s\n", argv[0], err.text);
    json_decref(answer);
    config_destroy(conf);
    cli_options_finish(&options);
    return ok ? 0 : 1;
}

int cli_reload(int argc, char **argv)
{
    return control_command(argc, argv, "reload", reload_usage, false, say_reloaded);
}

int cli_status(int argc, char **argv)
{
    return control_command(argc, argv, "status", status_usage, false, say_status);
}

int cli_drain(int argc, char **argv)
{
    return control_command(argc, argv, "drain", drain_usage, false, say_draining);
}

int cli_backup(int argc, char **argv)
{
    return control_command(argc, argv, "backup", backup_usage, true, say_backup);
}

int plugin_list(int argc, char **argv)
{
    argv[0] = (char *)"plugin list"; /* for messages */
    return control_command(argc, argv, "plugins", plugins_usage, false, plugin_list_print);
}
