/* load.h: what was asked for, and the scenarios. Each prints one line of JSON about its run and
 * returns whether all was as it must be: no gap, no duplicate, nobody lost. */
#pragma once
#include "net.h"
#include "process.h"

struct options {
    const struct dialect *dialect;
    const char *host, *token;
    int port, pid, sources;
    bool tls;
    unsigned readers; /* connections that read; of each room, in `rooms` */
    unsigned rooms;
    unsigned publishers;
    unsigned window;      /* messages under way per room, or unanswered per publisher */
    unsigned idle_rooms;  /* beside the others, each with a reader and without a message */
    unsigned backlog;     /* messages that a room has already, or that readers have missed */
    unsigned bytes;       /* of a text */
    double rate;          /* messages per second and room; 0: as many as the window lets */
    double seconds, warm; /* of measuring, and before it */
};

typedef bool scenario(const struct options *options, struct net *net);
scenario run_fanout; /* fanout.c: publishers speak, all readers get it */
scenario run_idle;   /* connect.c: memory of those who do nothing */
scenario run_connect;
scenario run_storm; /* readers come back for what they have missed */
scenario run_say;   /* say.c: publishers alone */

/* The line: begin, fields of the run, and what all runs have in common at the end. */
void line_begin(const char *name, const struct options *options);
void line_number(const char *key, double value);
bool line_end(struct net *net, int64_t missing);

/* Rooms with names of their own; free() them. */
struct room *rooms_create(unsigned n);

/* Memory that each of n costs the server. */
double usage_kb_each(struct usage before, struct usage after, unsigned n);

/* Open what holds the idle rooms, and tell their memory. Returns rooms that must live as long as
 * the net, free() them; NULL if that fails. */
struct room *rooms_hold(const struct options *options, struct net *net, double *kb_each_out);
unsigned holders_of(const struct options *options); /* connections that it takes */

/* Publish so many into each room, with the publishers that it has; false if it does not answer. */
bool rooms_fill(struct net *net, struct room *rooms, unsigned n_rooms, unsigned messages,
                unsigned bytes);

/* Let the server come to rest. */
void settle(struct net *net, unsigned ms);
