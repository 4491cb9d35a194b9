/* The generations of plugins, and how a server goes from one to the next. All on the control loop,
 * but for what happens on each loop in between.
 *
 * First the new set is tried in a process of its own. Then it is loaded here, and every loop opens
 * its shards; only when all of them could is it taken by all. Nobody is disconnected, and a message
 * meets the old set or the new one, never none. The old one goes when its last loop is done with
 * it. */
#include "alloc.h"
#include "config.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "plugin.h"
#include "plugin_set.h"
#include "settings.h"
#include "trial.h"
#include "worker_parts.h"

/* ---- a generation ---- */

struct owner { /* of a set: what it points into, until it is destroyed */
    struct letter letter;
    struct worker *worker;
    struct settings *settings;
    struct plugin_set *set;
};

static void set_goes(struct letter *letter)
{
    struct owner *owner = (struct owner *)letter;
    plugin_set_destroy(owner->set);
    settings_unref(owner->settings);
    free(owner);
}

/* On whatever loop was the last: destroy may take its time, so it is done elsewhere. */
static void set_gone(struct plugin_set *set)
{
    struct owner *owner = set->owner;
    owner->set = set;
    owner->letter.deliver = set_goes;
    loop_post(owner->worker->control_loop, &owner->letter);
}

struct plugin_set *worker_load_plugins(struct worker *worker, struct settings *settings,
                                       const struct plugin_set *before, struct error *err)
{
    struct owner *owner = xcalloc(1, sizeof *owner);
    owner->worker = worker;
    owner->settings = settings_ref(settings);
    struct plugin_set *set = plugin_set_load(settings->conf, before, set_gone, owner, err);
    if (!set) {
        settings_unref(owner->settings);
        free(owner);
    }
    return set;
}
