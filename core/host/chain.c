/* Chains: one per loop and generation of plugins, made by a start or a reload and ended when
 * nothing of theirs is open; and the call of a hook, which is timed, and whose faults are counted.
 */
#include "alloc.h"
#include "chain_parts.h"
#include "clock.h"
#include "config.h"
#include "name.h"
#include "plugin.h"
#include "running.h"
#include "tags.h"

#include <assert.h>
#include <jansson.h>

/* ---- the chain ---- */

static bool shard_start(struct shard *shard, struct error *err)
{
    const struct chatup_plugin *api = &shard->plugin->api;
    shard->self = shard->plugin->self;
    running_set(shard->plugin->name, "shard_open");
    if (api->shard_open)
        shard->self = api->shard_open(shard->plugin->self, &shard->loop);
    running_set(NULL, NULL);
    if (shard->self)
        return true;
    error_set(err, "plugin %s: could not open its shard for loop %u of %u", shard->plugin->name,
              (unsigned)shard->loop.index + 1, (unsigned)shard->loop.count);
    return false;
}

struct chain *chain_create(struct plugin *const *plugins, size_t count, chain_hook *first,
                           void *first_arg, struct desk *desk, struct error *err)
{
    struct chain *chain = xcalloc(1, sizeof *chain + count * sizeof *chain->shards);
    chain->first = first;
    chain->first_arg = first_arg;
    chain->desk = desk;
    list_append(&desk->chains, &chain->link);
    for (; chain->count < count; chain->count++) {
        struct plugin *plugin = plugins[chain->count];
        struct shard *shard = &chain->shards[chain->count];
        shard->plugin = plugin;
        shard->chain = chain;
        shard->desk = desk;
        shard->loop = (struct chatup_loop){
            .size = sizeof shard->loop, .index = desk->index, .count = desk->count, .self = shard};
        list_init(&shard->pendings);
        list_init(&shard->fd_watches);
        list_init(&shard->key_watches);
        plugin->desks[desk->index] = desk;
        if (!shard_start(shard, err)) {
            shard_unwatch_fds(shard);
            shard_unwatch_keys(shard);
            shard->closed = true; /* nothing to tell it */
            while (!list_empty(&shard->pendings)) {
                struct pending *pending = list_entry(shard->pendings.next, struct pending, link);
                pending->cancel(pending);
            }
            chain_destroy(chain);
            return NULL;
        }
        chain->has_out |= plugin->api.message_out != NULL;
        chain->out.max_msg = (size_t)plugin->conf->limits.message_bytes;
    }
    return chain;
}

void chain_set_max_msg(struct chain *chain, size_t bytes)
{
    chain->out.max_msg = bytes;
    for (size_t i = 0; i < chain->count; i++)
        chain->shards[i].plugin->max_msg = bytes;
}

/* What it waits for is told, newest request last; then it is told that it ends. */
static void shard_end(struct shard *shard)
{
    shard_unwatch_fds(shard);
    shard_unwatch_keys(shard);
    while (!list_empty(&shard->pendings)) {
        struct pending *pending = list_entry(shard->pendings.next, struct pending, link);
        pending->cancel(pending);
    }
    running_set(shard->plugin->name, "shard_close");
    if (shard->plugin->api.shard_close)
        shard->plugin->api.shard_close(shard->self);
    running_set(NULL, NULL);
    shard->closed = true;
    shard_unwatch_fds(shard); /* what shard_close itself asked for, against the rules */
    shard_unwatch_keys(shard);
    while (!list_empty(&shard->pendings)) {
        struct pending *pending = list_entry(shard->pendings.next, struct pending, link);
        pending->cancel(pending);
    }
}

static void chain_free(struct chain *chain)
{
    void (*gone)(void *) = chain->gone;
    void *arg = chain->gone_arg;
    list_remove(&chain->link);
    free(chain->out.views);
    free(chain->out.items);
    free(chain);
    if (gone)
        gone(arg);
}

static size_t posts_of(const struct chain *chain)
{
    size_t posts = 0;
    for (size_t i = 0; i < chain->count; i++)
        posts += atomic_load(&chain->shards[i].posts);
    return posts;
}

void chain_destroy(struct chain *chain)
{
    if (!chain)
        return;
    if (chain->retired)
        ev_timer_stop(loop_ev(chain->desk->loop), &chain->deadline);
    for (size_t i = chain->count; i--;)
        if (!chain->shards[i].closed)
            shard_end(&chain->shards[i]);
    if (posts_of(chain)) /* letters to it are still on their way; the last one ends it */
        chain->retired = true;
    else if (!chain->looking)
        chain_free(chain);
}

void chains_end(struct desk *desk, const struct chain *but)
{
    struct chain *chain, *after;
    list_for_each_safe (chain, after, &desk->chains, link)
        if (chain != but)
            chain_destroy(chain);
}

static void chain_try(struct letter *letter)
{
    struct chain *chain = (struct chain *)((char *)letter - offsetof(struct chain, look));
    chain->looking = false;
    bool closed = !chain->count || chain->shards[0].closed;
    size_t open = 0;
    for (size_t i = 0; i < chain->count; i++)
        open += chain->shards[i].open + (chain->shards[i].held > 0);
    if (closed ? !posts_of(chain) : !open && !posts_of(chain))
        chain_destroy(chain);
}

void chain_look(struct chain *chain)
{
    if (!chain->retired || chain->looking || !chain->desk->loop)
        return;
    chain->looking = true;
    chain->look.deliver = chain_try;
    loop_post(chain->desk->loop, &chain->look);
}

static void on_deadline(struct ev_loop *ev, ev_timer *timer, int events)
{
    chain_destroy(timer->data);
}

void chain_retire(struct chain *chain, int64_t drain_ms, void (*gone)(void *arg), void *arg)
{
    chain->retired = true;
    chain->gone = gone;
    chain->gone_arg = arg;
    ev_timer_init(&chain->deadline, on_deadline, (double)drain_ms / 1000, 0);
    chain->deadline.data = chain;
    ev_timer_start(loop_ev(chain->desk->loop), &chain->deadline);
    for (size_t i = 0; i < chain->count; i++) {
        const struct shard *shard = &chain->shards[i];
        running_set(shard->plugin->name, "drain");
        if (shard->plugin->api.drain)
            shard->plugin->api.drain(shard->self);
        running_set(NULL, NULL);
    }
    chain_look(chain);
}

struct shard *chain_shard(struct chain *chain, size_t i)
{
    assert(i < chain->count);
    return &chain->shards[i];
}

/* ---- a call of a hook ---- */

/* A plugin that fails all the time is left out for a while: each call would cost, and say nothing
 * new. */
enum { FAULTS_IN_A_ROW = 20, OFF_MS = 30000 };

bool shard_is_off(struct shard *shard)
{
    if (!shard->off_until_ms)
        return false;
    if (clock_mono_ms() < shard->off_until_ms)
        return true;
    shard->off_until_ms = 0; /* once more; the first fault switches it off again */
    shard->faults_in_row = FAULTS_IN_A_ROW - 1;
    return false;
}

void shard_fault(struct shard *shard, enum hook hook, const char *where, int32_t verdict)
{
    plugin_fault(shard->plugin, where, verdict);
    if (++shard->faults_in_row < FAULTS_IN_A_ROW || shard->off_until_ms)
        return;
    shard->off_until_ms = clock_mono_ms() + OFF_MS;
    plugin_switched_off(shard->plugin, hook, OFF_MS);
}

/* Between begin and end a plugin runs, and whoever looks at a crash is told so. */
int64_t hook_begin(struct shard *shard, enum hook hook)
{
    running_set(shard->plugin->name, hook_name(hook));
    return clock_ticks();
}

void hook_end(struct shard *shard, enum hook hook, int64_t began, int32_t verdict)
{
    running_set(NULL, NULL);
    plugin_note(shard->plugin, shard->desk->index, hook, verdict, clock_ticks() - began);
    if (verdict >= CHATUP_ACCEPT && verdict <= CHATUP_DEFER)
        shard->faults_in_row = 0;
}

/* ---- edits ---- */

bool is_text(const char *at, size_t length, size_t max)
{
    return length <= max && (at || !length) && (!length || utf8_valid((struct text){at, length}));
}

static bool is_json_object(const char *at, size_t length)
{
    json_error_t why;
    json_t *json = at ? json_loadb(at, length, JSON_ALLOW_NUL, &why) : NULL;
    bool is = json_is_object(json);
    json_decref(json);
    return is;
}

/* The old text may be what the new one is made of: copy first. */
void stage(char **staged, size_t *staged_length, const char *at, size_t length)
{
    char *copy = xstrndup(length ? at : "", length);
    free(*staged);
    *staged = copy;
    *staged_length = length;
}

int32_t stage_object(char **staged, size_t *staged_length, const char *json, size_t length)
{
    if (length > TURN_REPLY_MAX || !is_json_object(json, length))
        return -1;
    stage(staged, staged_length, json, length);
    return 0;
}

int32_t stage_tag(char **staged, const char *tags, const char *tag, size_t length)
{
    char *more = tags_with(*staged ? *staged : tags, (struct text){tag, length});
    if (!more)
        return -1;
    free(*staged);
    *staged = more;
    return 0;
}

void tags_take(const char **tags, char **own, char **staged)
{
    if (!*staged)
        return;
    free(*own);
    *tags = *own = *staged;
    *staged = NULL;
}

void chain_offer(struct chatup_host *host)
{
    deferral_offer(host);
    turn_offer(host);
    visit_offer(host);
    batch_offer(host);
}
