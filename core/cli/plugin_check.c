/* chatup plugin check FILE.so: a plugin meets what a server may do to it, and what it had better be
 * ready for: eight loops, texts of no bytes and of a megabyte, services that never answer, answers
 * to ids that are not its own. In a process of its own, so that a crash is a line of the report. */
#include "alloc.h"
#include "buffer.h"
#include "chain.h"
#include "config.h"
#include "desk.h"
#include "message.h"
#include "name.h"
#include "plugin.h"
#include "plugin_parts.h"
#include "running.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOPS = 8, SECONDS = 10 };

static const char usage[] =
    "usage: chatup plugin check FILE.so [--options YAML]\n"
    "\n"
    "Loads a plugin, opens and closes a shard for each of eight loops, and calls its hooks\n"
    "with texts as they come, and as they should not. Says what went wrong, and in which\n"
    "step. Exit code 0 if all went well.\n"
    "\n"
    "  --options YAML  its options, as in chatup.yaml: '{url: \"https://…\"}'\n";

static struct plugin *plugin;
static struct desk desks[LOOPS];
static struct chain *chains[LOOPS];
static int failures;

static void report(bool ok, const char *what)
{
    printf("%s  %s\n", ok ? "ok    " : "FAILED", what);
    fflush(stdout);
    failures += !ok;
}

/* ---- message_in ---- */

static void turn_done(struct turn *turn, enum chain_verdict verdict)
{
}

/* Whatever it answers is right, but for a fault. */
static void say(struct chain *chain, const char *what, const char *msg, size_t length)
{
    struct name *room = name_create(text_of("room"));
    uint64_t before = atomic_load(&plugin->stats->faults);
    char line[160];
    struct turn turn = {
        .event = {.room = {"room", 4},
                  .id = {"6e2a0f3a-9a53-4bd5-a5a4-5a2a7bd6a2c1", 36},
                  .sub = {"u-1", 3},
                  .name = {"Ann", 3},
                  .user = {"{\"name\":\"Ann\"}", 14},
                  .msg = {msg, length},
                  .time_ms = 1700000000000},
        .room = room,
        .max_msg = 16 * 1024,
        .done = turn_done,
    };
    enum chain_verdict verdict = chain_in(chain, &turn);
    bool faulty = atomic_load(&plugin->stats->faults) != before;
    snprintf(line, sizeof line, "message_in: %s%s", what,
             faulty                      ? ": it failed"
             : verdict == CHAIN_DEFERRED ? " (deferred)"
                                         : "");
    report(!faulty, line);
    if (verdict == CHAIN_DEFERRED) { /* it is not answered: the end cancels it */
        struct turn *kept = xmemdup(&turn, sizeof turn);
        turn_moved(kept);
        return;
    }
    turn_finish(&turn);
    name_unref(room);
}

static void try_message_in(struct chain *chain)
{
    static const char nasty[] = "\xf0\x9f\x98\x80\xe2\x80\xae\xcc\x81 {\"a\":1} %s%n ' \\ \x01";
    size_t size = 1024 * 1024;
    char *big = xmalloc(size);
    memset(big, 'x', size);
    say(chain, "an ordinary text", "hello there", 11);
    say(chain, "no bytes", "", 0);
    say(chain, "an event without a text", NULL, 0);
    say(chain, "emoji, direction marks, JSON, format characters", nasty, sizeof nasty - 1);
    say(chain, "a megabyte", big, size);
    say(chain, "as much white space", memset(big, ' ', size), size);
    free(big);
}

/* ---- message_out ---- */

static void try_message_out(struct chain *chain)
{
    struct name *room = name_create(text_of("room"));
    struct message *messages[3];
    char *big = xmalloc(100000);
    memset(big, 'x', 100000);
    const struct text texts[] = {{"hello", 5}, {"", 0}, {big, 100000}};
    for (size_t i = 0; i < 3; i++) {
        messages[i] = message_create(
            room, &(struct message_fields){.id = text_of("6e2a0f3a-9a53-4bd5-a5a4-5a2a7bd6a2c1"),
                                           .user = text_of("{}"),
                                           .msg = texts[i],
                                           .time_ms = 1700000000000});
        messages[i]->offset = i + 1;
    }
    uint64_t before = atomic_load(&plugin->stats->faults);
    struct buffer out = {0};
    chain_out(chain, room, messages, 3, &out);
    report(atomic_load(&plugin->stats->faults) == before, "message_out: a batch of three");
    buffer_finish(&out);
    for (size_t i = 0; i < 3; i++)
        message_unref(messages[i]);
    name_unref(room);
    free(big);
}

/* ---- the child ---- */

static bool open_all(struct error *err)
{
    for (uint32_t i = 0; i < LOOPS; i++) {
        desk_init(&desks[i], NULL, i, LOOPS, NULL);
        chains[i] = chain_create(&plugin, 1, NULL, NULL, &desks[i], err);
        if (!chains[i])
            return false;
    }
    return true;
}

static int check(const char *file, const char *options)
{
    struct error err = {0};
    running_watch_trial(SECONDS);
    struct config *conf = plugin_config(file, options, &err);
    plugin = conf ? plugin_load(conf, 0, NULL, &err) : NULL;
    report(plugin != NULL, plugin ? "loaded: file, symbol, table, options, create" : err.text);
    if (!plugin)
        return 1;
    bool open = open_all(&err);
    report(open, open ? "a shard for each of eight loops" : err.text);
    for (int i = 0; open && i < 2; i++) {
        if (plugin->api.message_in)
            try_message_in(chains[i]);
        if (plugin->api.message_out)
            try_message_out(chains[i]);
    }
    plugin->host.resume(plugin->host.self, 12345, CHATUP_ACCEPT, (struct chatup_text){0},
                        (struct chatup_text){0});
    for (uint32_t i = 0; i < LOOPS; i++)
        chain_destroy(chains[i]);
    report(true, "shards closed, what was open was cancelled");
    for (uint32_t i = 0; open && i < LOOPS; i++) {
        report(!desks[i].used, "nothing was asked for after shard_close");
        if (desks[i].used)
            return 1;
        break;
    }
    plugin_unload(plugin);
    report(true, "destroyed");
    config_destroy(conf);
    alarm(0);
    return failures > 0;
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
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "chatup plugin check: %s\n", strerror(errno));
        return 1;
    }
    if (!child)
        exit(check(file, options));
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    bool ok = WIFEXITED(status) && !WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        printf("FAILED  it ended the process: %s\n", strsignal(WTERMSIG(status)));
    puts(ok ? "the plugin is fine, as far as this can tell" : "the plugin is not fine");
    return ok ? 0 : 1;
}
