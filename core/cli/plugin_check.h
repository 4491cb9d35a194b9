/* plugin_check.h: what the files of `chatup plugin check` share: one plugin, and the server around
 * it, played by one thread that turns eight loops by hand. */
#pragma once
#include "desk.h"
#include "list.h"
#include <stdbool.h>

struct keyed;
struct loop;
struct plugin;

enum { CHECK_LOOPS = 8 };

enum check_mode {
    CHECK_WORKS,   /* services do what they are asked for */
    CHECK_REFUSES, /* they are unavailable */
    CHECK_LOSES,   /* what happened is unknown */
    CHECK_SILENT,  /* they never answer, and shards are closed in the middle of it */
    CHECK_MODES
};

/* What the parent knows when the child is gone; shared memory. */
struct check_progress {
    char step[200];
    volatile unsigned steps, failures;
    volatile bool finished;
};

struct check_seat { /* a loop, as its desk_up sees it */
    struct check *check;
    struct loop *loop;
};

struct check {
    enum check_mode mode;
    bool quiet; /* of what was reported before, only what goes wrong */
    struct check_progress *progress;
    struct plugin *plugin; /* the generation that is tried */
    struct loop *loops[CHECK_LOOPS];
    struct desk desks[CHECK_LOOPS];
    struct check_seat seats[CHECK_LOOPS];
    struct desk_up ups[CHECK_LOOPS];
    struct chain *chains[CHECK_LOOPS];
    struct keyed *kept;  /* the store; durable and volatile keys are spaces of their own */
    struct list watches; /* of keys */
    struct list held;    /* answers that are not given */
};

/* Name what comes next, which may take ten seconds. */
__attribute__((format(printf, 2, 3))) void check_step(struct check *check, const char *format, ...);
/* One line of the report. */
__attribute__((format(printf, 3, 4))) void check_report(struct check *check, bool ok,
                                                        const char *format, ...);
/* Turn the loops until what follows from the last step has happened; up to ms of real time for
 * *done to become true (NULL: none). */
void check_turn(struct check *check, const bool *done, int ms);

/* ---- plugin_services.c ---- */
void check_services_begin(struct check *check);
/* Give the answers that were held; to shards that are closed by now. */
void check_services_release(struct check *check);
void check_services_end(struct check *check);

/* ---- plugin_hooks.c ---- */
/* Call the hooks and routes of one loop's shard, as they come and as they should not. */
void check_hooks(struct check *check, uint32_t loop);

/* ---- plugin_symbols.c ---- */
/* What the file exports, and whether it brings what it uses; so: it, opened. */
void check_symbols(struct check *check, const char *file, void *so);
