/* chatup-load: puts load on a server with websockets, counts what comes back, and reads in /proc
 * what that cost the server. One scenario per run, one line of JSON. */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage[] =
    "usage: chatup-load SCENARIO --dialect NAME --port N --pid N [OPTION]...\n"
    "\n"
    "  fanout   readers in one room, or in each of many, and a publisher per room\n"
    "  idle     memory of readers and publishers that do nothing\n"
    "  connect  upgrades of readers, or of publishers, with or without a backlog\n"
    "  storm    readers come back for --backlog messages that they have missed (chatup)\n"
    "  say      publishers alone (chatup)\n"
    "\n"
    "  --dialect NAME    chatup, plain, socketio, nchan or original\n"
    "  --host ADDRESS    of the server (127.0.0.1)\n"
    "  --port N\n"
    "  --pid N           process whose CPU and memory, with its children's, are told\n"
    "  --token T[,T]...  of publishers, in turn (chatup); without it they are upgraded, no more\n"
    "  --sources N       loopback addresses to come from (8)\n"
    "  --readers N       with --rooms, of each room in fanout (1000)\n"
    "  --rooms N         (1)\n"
    "  --idle-rooms N    with nothing but one reader; fanout, idle (chatup; 0)\n"
    "  --publishers N    (0; say: 1)\n"
    "  --rate N          messages per second and room; 0: as many as --window lets (0)\n"
    "  --window N        messages under way per room, or unanswered per publisher (128)\n"
    "  --backlog N       (0)\n"
    "  --bytes N         of a text (120)\n"
    "  --tls             speak TLS, with any certificate\n"
    "  --seconds N       of measuring (3), --warm N of doing the same before it (1)\n";

/* ---- the line ---- */

void line_begin(const char *name, const struct options *options)
{
    printf("{\"scenario\":\"%s\",\"dialect\":\"%s\",\"bytes\":%u", name, options->dialect->name,
           options->bytes);
}

void line_number(const char *key, double value)
{
    printf(",\"%s\":%.10g", key, value == value && value - value == 0 ? value : -1);
}

bool line_end(struct net *net, int64_t missing)
{
    const struct count *count = &net->count;
    if (count->latency.count) {
        line_number("p50_ms", (double)histogram_at(&count->latency, 0.50) / 1e6);
        line_number("p99_ms", (double)histogram_at(&count->latency, 0.99) / 1e6);
        line_number("max_ms", (double)count->latency.max_ns / 1e6);
    }
    line_number("gaps", (double)count->gaps);
    line_number("duplicates", (double)count->duplicates);
    line_number("missing", (double)missing);
    line_number("closed", net->closed);
    line_number("errors", (double)net->errors);
    printf("}\n");
    if (net->errors)
        fprintf(stderr, "chatup-load: %s\n", net->first_error);
    return !count->gaps && !count->duplicates && !missing && !net->closed && !net->errors;
}

/* ---- what scenarios share ---- */

double usage_kb_each(struct usage before, struct usage after, unsigned n)
{
    return ((double)after.rss_bytes - (double)before.rss_bytes) / 1000 / n;
}

struct room *rooms_create(unsigned n)
{
    struct room *rooms = calloc(n, sizeof *rooms);
    for (unsigned i = 0; i < n; i++) /* of this run alone: a server may serve several */
        snprintf(rooms[i].name, sizeof rooms[i].name, "%d-%u", (int)getpid(), i);
    return rooms;
}

unsigned holders_of(const struct options *options)
{
    return (options->idle_rooms + ROOMS_HELD - 1) / ROOMS_HELD;
}

struct room *rooms_hold(const struct options *options, struct net *net, double *kb_each_out)
{
    enum { AT_ONCE = 10, SETTLE_MS = 1500 };
    unsigned n = holders_of(options);
    struct room *holders = rooms_create(n);
    for (unsigned i = 0; i < n; i++)
        snprintf(holders[i].name, sizeof holders[i].name, "%d-idle-%u", (int)getpid(), i);
    settle(net, SETTLE_MS);
    struct usage before = process_usage(options->pid);
    if (!net_open_all(net, HOLDER, holders, n, n, AT_ONCE))
        return NULL;
    settle(net, SETTLE_MS);
    *kb_each_out = usage_kb_each(before, process_usage(options->pid), n * ROOMS_HELD);
    return holders;
}

bool rooms_fill(struct net *net, struct room *rooms, unsigned n_rooms, unsigned messages,
                unsigned bytes)
{
    enum { IN_ONE_GO = 10 };
    for (unsigned said = 0; said < messages;) {
        unsigned n = messages - said < IN_ONE_GO ? messages - said : IN_ONE_GO;
        uint64_t wanted = net->replies + (uint64_t)n * n_rooms;
        for (unsigned i = 0; i < n_rooms; i++) {
            for (unsigned j = 0; j < n; j++)
                conn_say(net, rooms[i].publisher, bytes);
            conn_flush(net, rooms[i].publisher);
        }
        for (int turns = 0; net->replies < wanted; turns++) {
            if (turns > 100000 || net->errors || net->closed)
                return false;
            net_turn(net, 100);
        }
        said += n;
    }
    return true;
}

void settle(struct net *net, unsigned ms)
{
    uint64_t until = clock_ns() + ms * 1000000ull;
    while (clock_ns() < until)
        net_turn(net, 20);
}

/* ---- options ---- */

static const struct {
    const char *name;
    scenario *run;
} scenarios[] = {
    {"fanout", run_fanout}, {"idle", run_idle}, {"connect", run_connect},
    {"storm", run_storm},   {"say", run_say},
};

static _Noreturn void wrong(const char *why, const char *what)
{
    fprintf(stderr, "chatup-load: %s: %s\n\n%s", why, what, usage);
    exit(2);
}

static double number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !(value >= 0 && value <= 1e9))
        wrong("not a number", text);
    return value;
}

static void options_read(struct options *options, int argc, char **argv)
{
    static const char *const names[] = {
        "dialect",    "host", "port",   "pid",     "token", "sources", "readers", "rooms",
        "publishers", "rate", "window", "backlog", "bytes", "seconds", "warm",    "idle-rooms"};
    enum { N = sizeof names / sizeof *names };
    unsigned *numbers[N] = {
        [6] = &options->readers,    [7] = &options->rooms,    [8] = &options->publishers,
        [10] = &options->window,    [11] = &options->backlog, [12] = &options->bytes,
        [15] = &options->idle_rooms};
    double *reals[N] = {[9] = &options->rate, [13] = &options->seconds, [14] = &options->warm};
    int *ints[N] = {[2] = &options->port, [3] = &options->pid, [5] = &options->sources};
    struct option known[N + 2] = {0};
    for (int i = 0; i < N; i++)
        known[i] = (struct option){names[i], required_argument, NULL, 256 + i};
    known[N] = (struct option){"tls", no_argument, NULL, 256 + N};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c < 256)
            wrong("wrong options", "see below");
        int i = c - 256;
        if (i == N) {
            options->tls = true;
            continue;
        }
        if (i == 0 && !(options->dialect = dialect_find(optarg)))
            wrong("no such dialect", optarg);
        if (i == 1)
            options->host = optarg;
        if (i == 4)
            options->token = optarg;
        if (numbers[i])
            *numbers[i] = (unsigned)number(optarg);
        if (reals[i])
            *reals[i] = number(optarg);
        if (ints[i])
            *ints[i] = (int)number(optarg);
    }
    if (!options->dialect || !options->port || !options->pid || !options->sources ||
        !options->rooms || !options->window || options->bytes < MARK_MAX)
        wrong("something is missing or too small", "see below");
    if (options->idle_rooms && !options->dialect->target[HOLDER])
        wrong("no idle rooms for this dialect", options->dialect->name);
}

int main(int argc, char **argv)
{
    struct options options = {.host = "127.0.0.1",
                              .sources = 8,
                              .readers = 1000,
                              .rooms = 1,
                              .window = 128,
                              .bytes = 120,
                              .seconds = 3,
                              .warm = 1};
    if (argc < 2 || !strcmp(argv[1], "--help")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    options_read(&options, argc - 1, argv + 1);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(argv[1], scenarios[i].name))
            continue;
        struct net net = {.dialect = options.dialect,
                          .host = options.host,
                          .port = options.port,
                          .token = options.token,
                          .tls = options.tls,
                          .sources = options.sources};
        net_begin(&net, options.rooms * (options.readers + 1) + options.readers +
                            options.publishers + holders_of(&options) + 8);
        bool good = scenarios[i].run(&options, &net);
        net_end(&net);
        return good ? 0 : 1;
    }
    wrong("no such scenario", argv[1]);
}
