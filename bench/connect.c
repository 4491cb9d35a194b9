/* What a connection costs: to be there (idle), to come (connect), to come back (storm). */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE = 100, SETTLE_MS = 1500 };

bool run_idle(const struct options *options, struct net *net)
{
    struct room *rooms = rooms_create(options->rooms), *held = NULL;
    double kb_per_idle_room = 0;
    if (options->idle_rooms && !(held = rooms_hold(options, net, &kb_per_idle_room)))
        return false;
    settle(net, SETTLE_MS);
    struct usage before = process_usage(options->pid);
    bool good = !options->readers ||
                net_open_all(net, READER, rooms, options->rooms, options->readers, AT_ONCE);
    settle(net, SETTLE_MS);
    struct usage between = process_usage(options->pid);
    good = good && (!options->publishers || net_open_all(net, PUBLISHER, rooms, options->rooms,
                                                         options->publishers, AT_ONCE));
    settle(net, SETTLE_MS);
    struct usage after = process_usage(options->pid);
    if (good) {
        line_begin("idle", options);
        line_number("readers", options->readers);
        line_number("publishers", options->publishers);
        line_number("rss_mb_before", (double)before.rss_bytes / 1e6);
        line_number("idle_rooms", options->idle_rooms);
        if (options->idle_rooms)
            line_number("kb_per_idle_room", kb_per_idle_room);
        if (options->readers)
            line_number("kb_per_reader", usage_kb_each(before, between, options->readers));
        if (options->publishers)
            line_number("kb_per_publisher", usage_kb_each(between, after, options->publishers));
        good = line_end(net, 0);
    }
    free(held);
    free(rooms);
    return good;
}

/* Open readers in three steps: does the last third cost what the first did? */
bool run_connect(const struct options *options, struct net *net)
{
    struct room *rooms = rooms_create(options->rooms);
    enum role role = options->publishers ? PUBLISHER : READER;
    unsigned n = options->publishers ? options->publishers : options->readers;
    double cpu[4] = {0};
    if (options->backlog &&
        (!net_open_all(net, PUBLISHER, rooms, options->rooms, options->rooms, AT_ONCE) ||
         !rooms_fill(net, rooms, options->rooms, options->backlog, options->bytes)))
        return false;
    uint64_t begun = clock_ns();
    for (int i = 0; i < 3; i++) {
        cpu[i] = process_usage(options->pid).cpu_seconds;
        if (!net_open_all(net, role, rooms, options->rooms, n / 3, AT_ONCE))
            return false;
    }
    cpu[3] = process_usage(options->pid).cpu_seconds;
    line_begin("connect", options);
    line_number("connections", n / 3 * 3);
    line_number("publishers", options->publishers);
    line_number("backlog", options->backlog);
    line_number("seconds", (double)(clock_ns() - begun) / 1e9);
    line_number("server_cpu", cpu[3] - cpu[0]);
    line_number("upgrades_per_cpu_second", n / 3 * 3 / (cpu[3] - cpu[0]));
    line_number("first_third", n / 3 / (cpu[1] - cpu[0]));
    line_number("last_third", n / 3 / (cpu[3] - cpu[2]));
    uint64_t expected = role == READER ? (uint64_t)(n / 3 * 3) * options->backlog : 0;
    bool good = line_end(net, (int64_t)(expected - net->count.messages));
    free(rooms);
    return good;
}

/* Readers take their position and go; `backlog` messages are said; all come back at once. */
bool run_storm(const struct options *options, struct net *net)
{
    struct room *rooms = rooms_create(options->rooms);
    unsigned readers = options->readers;
    double first = process_usage(options->pid).cpu_seconds;
    if (!net_open_all(net, READER, rooms, options->rooms, readers, AT_ONCE))
        return false;
    first = process_usage(options->pid).cpu_seconds - first;
    net_drop(net);
    settle(net, SETTLE_MS);
    if (!net_open_all(net, PUBLISHER, rooms, options->rooms, options->rooms, AT_ONCE) ||
        !rooms_fill(net, rooms, options->rooms, options->backlog, options->bytes))
        return false;
    net->resume = true;
    count_begin(&net->count);
    struct usage before = process_usage(options->pid);
    uint64_t begun = clock_ns();
    if (!net_open_all(net, READER, rooms, options->rooms, readers, readers))
        return false;
    double elapsed = (double)(clock_ns() - begun) / 1e9;
    struct usage after = process_usage(options->pid);
    settle(net, SETTLE_MS);
    double again = after.cpu_seconds - before.cpu_seconds;
    line_begin("storm", options);
    line_number("readers", readers);
    line_number("rooms", options->rooms);
    line_number("missed", options->backlog);
    line_number("seconds", elapsed);
    line_number("server_cpu", again);
    line_number("server_cpu_without", first);
    line_number("times_the_upgrades", again / first);
    line_number("unrecovered", net->unrecovered);
    line_number("rss_mb_before", (double)before.rss_bytes / 1e6);
    line_number("rss_mb", (double)after.rss_bytes / 1e6);
    bool good =
        line_end(net, (int64_t)((uint64_t)readers * options->backlog - net->count.messages));
    free(rooms);
    return good && !net->unrecovered;
}
