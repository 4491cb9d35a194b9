/* chatup plugin check FILE.so: a plugin meets what a server may do to it, and what it had better be
 * ready for. In a process of its own, so that its crash, its exit and its endless loop are lines of
 * the report: the parent knows by shared memory how far it came.
 *
 * One generation after the other, each with services of another mood; each gets the state of the
 * one before, the last one a state that it does not know. */
#include "plugin_check.h"
#include "alloc.h"
#include "chain.h"
#include "config.h"
#include "loop.h"
#include "plugin.h"
#include "plugin_parts.h"
#include "running.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS = 10, DRAIN_MS = 300 };

static const char usage[] =
    "usage: chatup plugin check FILE.so [--options YAML]\n"
    "\n"
    "Looks at a plugin's symbols, loads it, opens and closes a shard for each of eight loops,\n"
    "and calls its hooks and routes with texts as they come, and as they should not; with\n"
    "services that work, refuse, time out and never answer. Says what went wrong, and in which\n"
    "step; each has ten seconds. Exit code 0 if all went well.\n"
    "\n"
    "  --options YAML  its options, as in chatup.yaml: '{url: \"http://localhost:9/\"}'.\n"
    "                  Its sockets are its own, and real: name servers of yours only\n";

/* ---- what the other files call ---- */

void check_step(struct check *check, const char *format, ...)
{
    static const char *const moods[] = {
        "", "services refuse: ", "services time out: ", "services are silent: "};
    struct check_progress *progress = check->progress;
    int at = snprintf(progress->step, sizeof progress->step, "%s", moods[check->mode]);
    va_list args;
    va_start(args, format);
    vsnprintf(progress->step + at, sizeof progress->step - (size_t)at, format, args);
    va_end(args);
    progress->steps++;
    alarm(SECONDS);
}

void check_report(struct check *check, bool ok, const char *format, ...)
{
    va_list args;
    if (!ok)
        check->progress->failures++;
    if (ok && check->quiet)
        return;
    printf("%s  ", ok ? "ok    " : "FAILED");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    puts("");
    fflush(stdout); /* all that it was, if it crashes next */
}

static void turn_once(struct check *check)
{
    for (size_t i = 0; i < CHECK_LOOPS; i++)
        ev_run(loop_ev(check->loops[i]), EVRUN_NOWAIT);
}

void check_turn(struct check *check, const bool *done, int ms)
{
    enum { ROUNDS = 8 }; /* an answer asks the next question, and so on */
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int round = 0; round < ROUNDS; round++)
        turn_once(check);
    for (; done && !*done && ms > 0 && check->mode == CHECK_WORKS; ms--) {
        nanosleep(&pause, NULL);
        turn_once(check);
    }
}

/* ---- a generation ---- */

static bool open_all(struct check *check, struct error *err)
{
    for (uint32_t i = 0; i < CHECK_LOOPS; i++) {
        check->chains[i] = chain_create(&check->plugin, 1, NULL, NULL, &check->desks[i], err);
        if (!check->chains[i])
            return false;
    }
    check_turn(check, NULL, 0);
    return true;
}

static void one_gone(void *arg)
{
    ++*(unsigned *)arg;
}

/* As a reload does it; where services are silent, as the end of a server does: at once. */
static void close_all(struct check *check)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    unsigned open = 0, gone = 0;
    check_step(check, "drain, shard_close");
    for (uint32_t i = 0; i < CHECK_LOOPS; i++) {
        if (!check->chains[i])
            continue;
        open++;
        if (check->mode != CHECK_SILENT) {
            running_set(check->plugin->name, "drain");
            chain_retire(check->chains[i], DRAIN_MS, one_gone, &gone);
            running_set(NULL, NULL);
        } else {
            chain_destroy(check->chains[i]);
            gone++;
        }
        check->chains[i] = NULL;
    }
    for (int ms = 0; gone < open && ms < 2 * DRAIN_MS; ms++) {
        turn_once(check);
        nanosleep(&pause, NULL);
    }
    check_services_release(check);
    check_turn(check, NULL, 0);
    unsigned left = 0;
    for (uint32_t i = 0; i < CHECK_LOOPS; i++)
        left += check->desks[i].used + !list_empty(&check->desks[i].chains);
    check_report(check, !left,
                 left ? "something was asked for in or after shard_close"
                      : "drained, all shards closed, what was open was cancelled");
}

static void state_load(struct check *check, const char *bytes, size_t length)
{
    if (!bytes || !check->plugin->api.state_load)
        return;
    char *copy = xmemdup(bytes, length);
    check_step(check, "state_load");
    running_set(check->plugin->name, "state_load");
    check->plugin->api.state_load(check->plugin->self, (struct chatup_text){copy, length});
    running_set(NULL, NULL);
    free(copy);
    check_report(check, true, "state_load");
}

static char *state_save(struct check *check, size_t *length_out)
{
    if (!check->plugin->api.state_save)
        return NULL;
    check_step(check, "state_save");
    running_set(check->plugin->name, "state_save");
    struct chatup_text state = check->plugin->api.state_save(check->plugin->self);
    running_set(NULL, NULL);
    check_report(check, true, "state_save");
    *length_out = state.length;
    return state.at ? xmemdup(state.at, state.length) : NULL;
}

/*   state, length  of the generation before; NULL: none. Then of this one: the caller frees it
 *   returns        false: the next ones would fare no better */
static bool try_generation(struct check *check, const struct config *conf, char **state,
                           size_t *length)
{
    struct error err = {0};
    check_step(check, "options, create");
    check->plugin = plugin_load(conf, 0, NULL, &err);
    check_report(check, check->plugin, "%s", check->plugin ? "options, create" : err.text);
    if (!check->plugin)
        return false;
    state_load(check, *state, *length);
    check_services_begin(check);
    for (uint32_t i = 0; i < CHECK_LOOPS; i++)
        desk_init(&check->desks[i], check->loops[i], i, CHECK_LOOPS, &check->ups[i]);
    check_step(check, "shard_open");
    bool open = open_all(check, &err);
    check_report(check, open, "%s", open ? "a shard for each of eight loops" : err.text);
    if (open) {
        bool quiet = check->quiet;
        check_hooks(check, 0);
        check->quiet = true;
        check_hooks(check, CHECK_LOOPS - 1);
        check->quiet = quiet;
    }
    free(*state);
    *state = state_save(check, length);
    close_all(check);
    check_step(check, "destroy");
    plugin_unload(check->plugin);
    check->plugin = NULL;
    check_services_end(check);
    for (uint32_t i = 0; i < CHECK_LOOPS; i++)
        desk_finish(&check->desks[i]);
    check_report(check, true, "destroyed");
    return open;
}

/* ---- the child ---- */

static bool try_file(struct check *check, const struct config *conf)
{
    struct error err = {0};
    check_step(check, "loading");
    struct plugin *plugin = plugin_peek(conf, 0, &err);
    check_report(check, plugin, "%s", plugin ? "file, chatup_plugin_v1, table" : err.text);
    if (plugin)
        check_symbols(check, conf->plugins[0].file, plugin->so);
    bool ok = plugin;
    plugin_unload(plugin);
    return ok;
}

static void try_generations(struct check *check, const struct config *conf)
{
    static const char *const moods[] = {NULL, "with services that refuse",
                                        "with services that time out",
                                        "with services that never answer, closed at once"};
    static const char unknown[] = "{\"version\":99,\"\xc3\xa9\":[";
    char *state = NULL;
    size_t length = 0;
    for (unsigned mode = 0; mode < CHECK_MODES; mode++) {
        unsigned before = check->progress->failures;
        check->mode = mode;
        check->quiet = mode != CHECK_WORKS;
        if (mode == CHECK_MODES - 1 && state) {
            free(state);
            length = sizeof unknown - 1;
            state = xmemdup(unknown, length);
        }
        bool on = try_generation(check, conf, &state, &length);
        if (check->quiet && check->progress->failures == before)
            printf("ok      all of it again %s\n", moods[mode]);
        if (!on)
            break;
    }
    free(state);
}

static void child(struct check_progress *progress, const char *file, const char *options)
{
    struct error err = {0};
    struct check check = {.progress = progress};
    running_watch_trial(SECONDS);
    struct config *conf = plugin_config(file, options, &err);
    if (!conf)
        check_report(&check, false, "%s", err.text);
    for (size_t i = 0; i < CHECK_LOOPS; i++)
        check.loops[i] = loop_create("check");
    if (conf && try_file(&check, conf))
        try_generations(&check, conf);
    for (size_t i = 0; i < CHECK_LOOPS; i++) {
        while (loop_drain(check.loops[i]))
            ;
        loop_destroy(check.loops[i]);
    }
    config_destroy(conf);
    alarm(0);
    progress->finished = true;
}

/* ---- the parent ---- */

/* Its own alarm comes first, unless it is beyond that.
 *   returns  false: it was, and is no more */
static bool wait_for(pid_t pid, const struct check_progress *progress, int *status_out)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    enum { PAUSES = (SECONDS + 5) * 50 };
    unsigned seen = progress->steps;
    for (int i = 0; i < PAUSES; i++) {
        pid_t ended = waitpid(pid, status_out, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR))
            return true;
        if (seen != progress->steps)
            i = 0;
        seen = progress->steps;
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, status_out, 0);
    return false;
}

static int conclude(const struct check_progress *progress, bool in_time, int status)
{
    if (!in_time)
        printf("FAILED  it did not come back: %s\n", progress->step);
    else if (WIFSIGNALED(status))
        printf("FAILED  it ended the process (%s): %s\n", strsignal(WTERMSIG(status)),
               progress->step);
    else if (!progress->finished)
        printf("FAILED  the process ended, or it had no answer in time: %s\n", progress->step);
    else if (WEXITSTATUS(status))
        printf("FAILED  the process ended with code %d at last\n", WEXITSTATUS(status));
    bool ok = in_time && WIFEXITED(status) && !WEXITSTATUS(status) && progress->finished &&
              !progress->failures;
    puts(ok ? "the plugin is fine, as far as this can tell" : "the plugin is not fine");
    return ok ? 0 : 1;
}

static int check_file(const char *file, const char *options)
{
    struct check_progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    fflush(stdout);
    pid_t pid = progress == MAP_FAILED ? -1 : fork();
    if (pid < 0) {
        fprintf(stderr, "chatup plugin check: %s\n", strerror(errno));
        return 1;
    }
    if (!pid) {
        child(progress, file, options);
        exit(0);
    }
    bool in_time = wait_for(pid, progress, &status);
    int code = conclude(progress, in_time, status);
    munmap(progress, sizeof *progress);
    return code;
}

int plugin_check(int argc, char **argv)
{
    const char *file = NULL, *options = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--options") && i + 1 < argc)
            options = argv[++i];
        else if (argv[i][0] != '-' && !file)
            file = argv[i];
        else
            file = NULL, i = argc;
    }
    if (!file) {
        fputs(usage, stderr);
        return 2;
    }
    return check_file(file, options);
}
