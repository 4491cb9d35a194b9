/* One publisher and some readers in each room. Either each room gets `rate` messages a second, or
 * as many as it takes: half a window is sent whenever no more than half a window is under way, and
 * a message is under way until all readers have it. Every server gets the same load that way, and
 * none is driven into dropping readers.
 * With idle rooms it is measured twice: before they are there, and with them. */
#include "load.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { AT_ONCE = 200, STALL_SECONDS = 10 };

struct fanout {
    struct net *net;
    const struct options *options;
    struct room *rooms;
    uint64_t started_ns, due; /* when pacing began; messages that were due since then */
    uint64_t held;            /* of them, not sent, since the window was full */
};

/* on_delivery has no argument of its own. */
static const struct options *flat_out;

static uint64_t under_way(const struct room *room)
{
    return room->sent - room->delivered / room->readers;
}

static void refill(struct net *net, struct room *room)
{
    if (under_way(room) > flat_out->window / 2)
        return;
    while (under_way(room) < flat_out->window)
        conn_say(net, room->publisher, flat_out->bytes);
    conn_flush(net, room->publisher);
}

/* Send what is due. The rooms take turns, so that their messages are spread evenly. */
static void pace(struct fanout *fanout)
{
    const struct options *options = fanout->options;
    double seconds = (double)(clock_ns() - fanout->started_ns) / 1e9;
    uint64_t due = (uint64_t)(seconds * options->rate * options->rooms);
    for (; fanout->due < due; fanout->due++) {
        struct room *room = &fanout->rooms[fanout->due % options->rooms];
        if (under_way(room) >= options->window) {
            fanout->held++;
            continue;
        }
        conn_say(fanout->net, room->publisher, options->bytes);
        conn_flush(fanout->net, room->publisher);
    }
}

static void speak(struct fanout *fanout, double seconds)
{
    struct net *net = fanout->net;
    uint64_t until = clock_ns() + (uint64_t)(seconds * 1e9);
    while (clock_ns() < until && !net->closed) {
        if (fanout->options->rate > 0)
            pace(fanout);
        net_turn(net, 1);
    }
}

/* Messages that were sent and did not come. */
static uint64_t missing(struct fanout *fanout)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < fanout->options->rooms; i++) {
        struct room *room = &fanout->rooms[i];
        uint64_t expected = room->sent * room->readers;
        sum += expected > room->delivered ? expected - room->delivered : 0;
    }
    return sum;
}

static void drain(struct fanout *fanout)
{
    uint64_t last = clock_ns(), delivered = fanout->net->count.messages;
    while (missing(fanout) && clock_ns() - last < STALL_SECONDS * 1000000000ull) {
        net_turn(fanout->net, 10);
        if (fanout->net->count.messages != delivered)
            last = clock_ns();
        delivered = fanout->net->count.messages;
    }
}

static double own_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct cost {
    double seconds, deliveries, cpu, load_cpu;
};

static double cost_each(const struct cost *cost)
{
    return cost->cpu * 1e6 / cost->deliveries;
}

static struct cost measure(struct fanout *fanout)
{
    struct net *net = fanout->net;
    const struct options *options = fanout->options;
    if (options->rate <= 0) {
        flat_out = options;
        net->on_delivery = refill;
        for (unsigned i = 0; i < options->rooms; i++)
            refill(net, &fanout->rooms[i]);
    }
    fanout->started_ns = clock_ns();
    fanout->due = 0;
    speak(fanout, options->warm);
    count_begin(&net->count);
    struct usage before = process_usage(options->pid);
    uint64_t begun = clock_ns();
    double own = own_cpu();
    speak(fanout, options->seconds);
    net->on_delivery = NULL;
    drain(fanout);
    return (struct cost){
        .seconds = (double)(clock_ns() - begun) / 1e9,
        .deliveries = (double)net->count.messages,
        .cpu = process_usage(options->pid).cpu_seconds - before.cpu_seconds,
        .load_cpu = own_cpu() - own,
    };
}

bool run_fanout(const struct options *options, struct net *net)
{
    struct fanout fanout = {.net = net, .options = options, .rooms = rooms_create(options->rooms)};
    struct room *held = NULL;
    double kb_per_idle_room = 0;
    if (!net_open_all(net, READER, fanout.rooms, options->rooms, options->rooms * options->readers,
                      AT_ONCE) ||
        !net_open_all(net, PUBLISHER, fanout.rooms, options->rooms, options->rooms, AT_ONCE))
        return false;
    settle(net, 300);
    struct cost without = {0}, cost;
    struct count count = {0};
    if (options->idle_rooms) {
        without = measure(&fanout);
        count = net->count;
        if (!(held = rooms_hold(options, net, &kb_per_idle_room)))
            return false;
    }
    cost = measure(&fanout);
    net->count.gaps += count.gaps;
    net->count.duplicates += count.duplicates;

    line_begin(options->rooms > 1 ? "rooms" : "fanout", options);
    line_number("readers", options->readers);
    line_number("rooms", options->rooms);
    line_number("rate", options->rate);
    line_number("window", options->window);
    line_number("seconds", cost.seconds);
    line_number("deliveries", cost.deliveries);
    line_number("deliveries_per_second", cost.deliveries / cost.seconds);
    line_number("server_cpu", cost.cpu);
    line_number("cpu_us_per_delivery", cost_each(&cost));
    if (options->idle_rooms) {
        line_number("idle_rooms", options->idle_rooms);
        line_number("kb_per_idle_room", kb_per_idle_room);
        line_number("cpu_us_without", cost_each(&without));
        line_number("times_without", cost_each(&cost) / cost_each(&without));
    }
    line_number("load_cpu", cost.load_cpu);
    line_number("held", (double)fanout.held);
    line_number("rss_mb", (double)process_usage(options->pid).rss_bytes / 1e6);
    bool good = line_end(net, (int64_t)missing(&fanout));
    free(held);
    free(fanout.rooms);
    return good;
}
