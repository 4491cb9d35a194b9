/* Publishers alone: as many says as the server acknowledges. Each connection has `window` of them
 * under way; for each answer the next one leaves. */
#include "load.h"

#include <stdlib.h>

enum { AT_ONCE = 100 };

static const struct options *saying; /* on_reply has no argument of its own */

static void say_on(struct net *net, struct conn *conn, unsigned replies)
{
    while (replies--)
        conn_say(net, conn, saying->bytes);
    conn_flush(net, conn);
}

static void turn_for(struct net *net, double seconds)
{
    uint64_t until = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < until && !net->closed)
        net_turn(net, 100);
}

bool run_say(const struct options *options, struct net *net)
{
    struct room *rooms = rooms_create(options->rooms);
    if (!net_open_all(net, PUBLISHER, rooms, options->rooms, options->publishers, AT_ONCE))
        return false;
    saying = options;
    net->on_reply = say_on;
    for (unsigned i = 0; i < net->n; i++)
        say_on(net, &net->conns[i], options->window);
    turn_for(net, options->warm);
    struct usage before = process_usage(options->pid);
    uint64_t begun = clock_ns(), replies = net->replies;
    turn_for(net, options->seconds);
    double said = (double)(net->replies - replies);
    double elapsed = (double)(clock_ns() - begun) / 1e9;
    double cpu = process_usage(options->pid).cpu_seconds - before.cpu_seconds;
    net->on_reply = NULL;
    uint64_t unanswered = 1;
    for (int i = 0; i < 50 && unanswered && !net->closed; i++) {
        turn_for(net, 0.1);
        unanswered = 0;
        for (unsigned j = 0; j < net->n; j++)
            unanswered += net->conns[j].unanswered;
    }
    line_begin("say", options);
    line_number("publishers", options->publishers);
    line_number("rooms", options->rooms);
    line_number("window", options->window);
    line_number("seconds", elapsed);
    line_number("said", said);
    line_number("server_cpu", cpu);
    line_number("says_per_cpu_second", said / cpu);
    line_number("says_per_second", said / elapsed);
    bool good = line_end(net, (int64_t)unanswered);
    free(rooms);
    return good;
}
