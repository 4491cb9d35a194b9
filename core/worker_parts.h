/* worker_parts.h: what the files worker*.c share, and nobody else sees: worker.c builds a server
 * and takes it apart, worker_acts.c has what can be asked of one that runs. */
#pragma once
#include "control.h"
#include "error.h"
#include "list.h"
#include <ev.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct brokers;
struct limiter;
struct loop;
struct pipeline;
struct plugin_set;
struct server;
struct settings;
struct trial;

struct worker {
    struct settings *settings; /* a reference: in force. Control's loop only, once that runs */
    struct plugin_set *set;    /* a reference: in force. Control's loop only, once that runs */
    struct loop **loops;
    struct pipeline *pipelines;
    struct server **servers;
    struct brokers *brokers;
    struct limiter *limiter;
    size_t count;
    int port;
    _Atomic int64_t drain_ms; /* drain_time, for the main thread */
    char id[64];
    char host[300]; /* what clients connect to if the configuration does not say */
    sem_t gone;

    /* A thread of its own: files are read and checked on it, while the others serve. */
    struct loop *control_loop;
    struct control *control; /* NULL: no socket, SIGHUP only */
    ev_timer tick;           /* once a second */
    uint64_t ticks;
    size_t given_back;  /* bytes of unused heap whose pages the system has */
    int64_t started_ms; /* clock_mono_ms */
    bool closing;       /* no reload begins any more */
    struct {
        bool running;
        struct list asked;   /* calls that get the answer of the one that runs */
        struct list waiting; /* calls that came later, for the next one */
        bool again;          /* there is a next one */
        struct trial *trial; /* of its plugins, while it is under way */
        struct settings *next;
        struct plugin_set *next_set; /* a reference; NULL: the plugins stay */
        uint64_t done, refused;
        int64_t at_ms;    /* clock_wall_ms of the last one; 0: never */
        struct error err; /* of the last one; empty: it went well */
    } reload;
};

/* What the control socket offers; arg is the worker. */
extern const struct control_verb worker_verbs[];

/* Descriptors for the clients that the configuration says we take. */
void worker_raise_files(const struct settings *settings);
/* Load the plugins of settings, of which the set keeps a reference. NULL with err. */
struct plugin_set *worker_load_plugins(struct worker *worker, struct settings *settings,
                                       const struct plugin_set *before, struct error *err);
/* Load the settings again, soon. Any thread. */
void worker_reload_soon(struct worker *worker);
