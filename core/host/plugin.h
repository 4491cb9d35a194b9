/* plugin.h: one loaded plugin. Home of dlopen.
 *
 * The file is copied first and the copy opened: replacing the original never touches running code,
 * and a second load gets the new one. Created and destroyed on one thread, while no chain uses it;
 * read-only between, but for what it counts. */
#pragma once
#include "config.h"
#include "error.h"

#include <chatup/routes.h>

struct desk;

#define HOOKS(X) X(message_in) X(message_out) X(connect) X(auth) X(join) X(leave) X(route)
#define X(name)  HOOK_##name,
enum hook { HOOKS(X) HOOK_COUNT };
#undef X
const char *hook_name(enum hook hook);

/* Bucket i counts calls that took less than 2^(i + 7) ns: from 128 ns to half a second, and more.
 */
enum { HOOK_BUCKETS = 24, HOOK_VERDICTS = 5 };

struct hook_stats { /* of one hook on one loop, which alone writes it. Any thread reads */
    _Atomic uint64_t calls, ns, verdicts[HOOK_VERDICTS], buckets[HOOK_BUCKETS];
};

/* What is counted of a plugin. The generations of a plugin share it: a reload resets no counter. */
struct plugin_stats {
    _Atomic unsigned refs;
    _Atomic uint64_t faults;      /* of all its hooks and routes, on all loops */
    _Atomic uint64_t slow;        /* calls over the budget */
    _Atomic uint64_t off;         /* times that it was left out, on a loop */
    _Atomic int64_t off_until_ms; /* the last of them; monotonic */
    _Atomic uint64_t *counters;
    uint32_t counter_count;
    size_t loops;
    struct hook_stats hooks[][HOOK_COUNT]; /* loops of them */
};

struct plugin {
    const struct config *conf;
    size_t index;     /* in conf->plugins */
    const char *name; /* its name in the YAML */
    enum config_on_error on_error;
    uint64_t generation; /* of the set that it is loaded with; 0 until it is in one */
    int copy;            /* the private copy of its file, in memory; -1 until there is one */
    char copy_path[48];
    char hash[65]; /* SHA-256 of the file, hexadecimal */
    void *so;
    struct chatup_plugin api; /* what it exports, up to min(its size, ours); the rest is zero */
    struct chatup_host host;
    struct config_value *values;        /* of its options */
    struct chatup_value *option_values; /* the same, as it sees them */
    void *self;                         /* what its create returned */
    char refusal[256];                  /* what it said in create */
    uint32_t refused_option;
    bool refused;
    _Atomic size_t max_msg; /* limits.message_bytes, as it is now */
    struct plugin_stats *stats;
    struct desk **desks; /* loops of them, as far as they have a shard */
    uint32_t loops;
    _Atomic uint64_t faults_logged;
    _Atomic int64_t fault_logged_ms, slow_logged_ms; /* clock_mono_ms; 0: never */
};

/* Load plugin index of conf: copy, open, check, options, create. conf outlives the plugin.
 *   before   its previous generation, or NULL: what was counted goes on
 *   returns  NULL with err: which plugin, what is wrong, what to do */
struct plugin *plugin_load(const struct config *conf, size_t index, const struct plugin *before,
                           struct error *err);
/* The same up to its table: nothing of it is called but chatup_plugin_v1. */
struct plugin *plugin_peek(const struct config *conf, size_t index, struct error *err);
void plugin_unload(struct plugin *plugin);
/* Where the file of plugin index of conf is; out is used only if the configuration does not say. */
const char *plugin_file(const struct config *conf, size_t index, char *out, size_t size);
/* The SHA-256 of the file that plugin index of conf would be loaded from; "" if it cannot be read.
 */
void plugin_hash(const struct config *conf, size_t index, char out[65]);

/* ---- what it does ---- */

/* Count a fault and log it: at most one line per plugin and second, with the count. Any thread.
 *   where  "message_in", or the path of a route */
void plugin_fault(struct plugin *plugin, const char *where, int32_t verdict);
/* It is left out on this loop for so long. */
void plugin_switched_off(struct plugin *plugin, enum hook hook, int64_t ms);
/* A hook has returned on that loop, so many clock_ticks later; warns if it took too long. */
void plugin_note(struct plugin *plugin, uint32_t loop, enum hook hook, int32_t verdict,
                 int64_t ticks);
