/* A hook sees what the hooks before it left, and stages what it changes beside it. The chain looks
 * at its verdict first, and only then makes the staged edits part of the turn, or of the batch, or
 * forgets them: a plugin that fails half-way leaves no trace.
 *
 * A deferred turn waits as a pending of the shard that deferred it. Its verdict comes as a letter,
 * so that no hook runs inside a hook, and the turn goes on behind that link. */
#include "chain.h"
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "config.h"
#include "desk.h"
#include "message.h"
#include "plugin.h"
#include "running.h"

#include <assert.h>
#include <ev.h>
#include <jansson.h>

struct out_item { /* one message of a batch that is running */
    const struct message *message;
    struct chatup_message view;
    char *msg; /* the accepted edit; NULL: as it is in message */
    size_t msg_length;
    char *staged;
    size_t staged_length;
    bool staged_drop;
};

struct out_batch {
    struct chatup_batch batch; /* first: hooks get a pointer to it */
    size_t count, max_msg;
    size_t room; /* of the arrays, which are kept for the next batch */
    struct out_item *items;
    const struct chatup_message **views; /* what the hooks see: the view in items[i] */
};

struct chain {
    struct list link; /* the desk's */
    chain_hook *first;
    void *first_arg;
    bool has_out; /* one of the plugins has message_out */
    struct out_batch out;
    struct desk *desk;
    bool retired, looking;
    ev_timer deadline;
    struct letter look;
    void (*gone)(void *arg);
    void *gone_arg;
    size_t count;
    struct shard shards[];
};

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

static bool shard_is_off(struct shard *shard)
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

static struct chatup_text to_plugin(struct text text)
{
    return (struct chatup_text){text.at, text.length};
}

static bool is_text(const char *at, size_t length, size_t max)
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
static void stage(char **staged, size_t *staged_length, const char *at, size_t length)
{
    char *copy = xstrndup(length ? at : "", length);
    free(*staged);
    *staged = copy;
    *staged_length = length;
}

static int32_t set_msg(struct chatup_event *event, const char *text, size_t length)
{
    struct turn *turn = (struct turn *)event;
    if (!event || !event->msg.at || !is_text(text, length, turn->max_msg))
        return -1;
    stage(&turn->staged_msg, &turn->staged_msg_length, text, length);
    return 0;
}

static int32_t stage_object(char **staged, size_t *staged_length, const char *json, size_t length)
{
    if (length > TURN_REPLY_MAX || !is_json_object(json, length))
        return -1;
    stage(staged, staged_length, json, length);
    return 0;
}

static int32_t set_reply(struct chatup_event *event, const char *json, size_t length)
{
    struct turn *turn = (struct turn *)event;
    return event ? stage_object(&turn->staged_reply, &turn->staged_reply_length, json, length) : -1;
}

static struct out_item *item_of(struct chatup_batch *batch, uint32_t i)
{
    struct out_batch *out = (struct out_batch *)batch;
    return out && i < out->count ? &out->items[i] : NULL;
}

static int32_t set_msg_out(struct chatup_batch *batch, uint32_t i, const char *text, size_t length)
{
    struct out_item *item = item_of(batch, i);
    if (!item || !item->message->fields.msg.at ||
        !is_text(text, length, ((struct out_batch *)batch)->max_msg))
        return -1;
    stage(&item->staged, &item->staged_length, text, length);
    return 0;
}

static int32_t drop(struct chatup_batch *batch, uint32_t i)
{
    struct out_item *item = item_of(batch, i);
    if (!item)
        return -1;
    item->staged_drop = true;
    return 0;
}

static int32_t set_user(struct chatup_visit *arg, const char *json, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit && visit->may_edit_user
               ? stage_object(&visit->staged_user, &visit->staged_user_length, json, length)
               : -1;
}

static int32_t set_visit_reply(struct chatup_visit *arg, const char *json, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit ? stage_object(&visit->staged_reply, &visit->staged_reply_length, json, length)
                 : -1;
}

static uint64_t defer(struct chatup_event *event, int64_t timeout_ms);
static void resume(void *host, uint64_t id, int32_t verdict, struct chatup_text msg,
                   struct chatup_text reply);

void chain_offer(struct chatup_host *host)
{
    host->set_msg = set_msg;
    host->set_reply = set_reply;
    host->set_msg_out = set_msg_out;
    host->drop = drop;
    host->defer = defer;
    host->resume = resume;
    host->set_user = set_user;
    host->set_visit_reply = set_visit_reply;
}

/* ---- message_in ---- */

static void turn_forget_msg(struct turn *turn)
{
    free(turn->staged_msg);
    turn->staged_msg = NULL;
}

static void turn_forget_reply(struct turn *turn)
{
    free(turn->staged_reply);
    turn->staged_reply = NULL;
}

static void turn_take_msg(struct turn *turn)
{
    if (!turn->staged_msg)
        return;
    free(turn->msg);
    turn->msg = turn->staged_msg;
    turn->event.msg = (struct chatup_text){turn->msg, turn->staged_msg_length};
    turn->staged_msg = NULL;
}

static void turn_take_reply(struct turn *turn)
{
    free(turn->reply);
    turn->reply = turn->staged_reply;
    turn->reply_length = turn->reply ? turn->staged_reply_length : 0;
    turn->staged_reply = NULL;
}

void turn_set_reply(struct turn *turn, const char *json, size_t length)
{
    stage(&turn->reply, &turn->reply_length, json, length);
}

/* {"status": "error", "err": string, "by": plugin, absent for the core} */
static void turn_refuse(struct turn *turn, const char *what, const char *by)
{
    char json[160]; /* names of plugins are short, and need no escapes */
    int length = snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"%s\"%s%s%s}", what,
                          by ? ",\"by\":\"" : "", by ? by : "", by ? "\"" : "");
    assert(length > 0 && (size_t)length < sizeof json);
    turn_set_reply(turn, json, (size_t)length);
}

void turn_finish(struct turn *turn)
{
    turn_forget_msg(turn);
    turn_forget_reply(turn);
    free(turn->msg);
    free(turn->reply);
    turn->msg = turn->reply = NULL;
    turn->reply_length = 0;
}

/* The plugin has no say about it: what it staged is forgotten, and on_error decides. */
static enum chain_verdict turn_without(const struct shard *shard, struct turn *turn)
{
    turn_forget_msg(turn);
    turn_forget_reply(turn);
    if (shard->plugin->on_error == ON_ERROR_OPEN)
        return CHAIN_ACCEPT;
    turn_refuse(turn, "pluginUnavailable", shard->plugin->name);
    return CHAIN_REJECT;
}

static enum chain_verdict shard_fault_in(struct shard *shard, struct turn *turn, int32_t verdict)
{
    shard_fault(shard, HOOK_message_in, "message_in", verdict);
    return turn_without(shard, turn);
}

/* A verdict, given at once or later, together with what is staged. */
static enum chain_verdict turn_judge(struct shard *shard, struct turn *turn, int32_t verdict)
{
    switch (verdict) {
    case CHATUP_ACCEPT:
        turn_take_msg(turn);
        if (turn->staged_reply)
            turn_take_reply(turn);
        return CHAIN_ACCEPT;
    case CHATUP_REJECT:
        turn_forget_msg(turn);
        turn_take_reply(turn);
        if (!turn->reply)
            turn_refuse(turn, "rejected", shard->plugin->name);
        return CHAIN_REJECT;
    case CHATUP_CONSUME:
        turn_forget_msg(turn);
        turn_take_reply(turn);
        return CHAIN_CONSUME;
    default:
        return shard_fault_in(shard, turn, verdict);
    }
}

static void deferral_free(struct deferral *deferral);

static enum chain_verdict shard_in(struct shard *shard, struct turn *turn)
{
    const struct chatup_event lent = turn->event;
    if (shard_is_off(shard))
        return turn_without(shard, turn);
    int64_t began = hook_begin(shard, HOOK_message_in);
    int32_t verdict = shard->plugin->api.message_in(shard->self, &turn->event);
    turn->event = lent; /* what a hook writes there itself is no edit: nobody checked it */
    if (verdict == CHATUP_DEFER && !turn->deferral)
        verdict = CHATUP_FAULT; /* it would never be resumed */
    hook_end(shard, HOOK_message_in, began, verdict);
    if (verdict == CHATUP_DEFER)
        return CHAIN_DEFERRED;
    if (turn->deferral)
        deferral_free(turn->deferral);
    turn->deferral = NULL;
    return turn_judge(shard, turn, verdict);
}

static enum chain_verdict first_in(struct chain *chain, struct turn *turn)
{
    int32_t verdict = chain->first(chain->first_arg, &turn->event);
    assert(verdict == CHATUP_ACCEPT || verdict == CHATUP_REJECT || verdict == CHATUP_CONSUME);
    if (verdict == CHATUP_REJECT && !turn->reply)
        turn_refuse(turn, "rejected", NULL);
    return verdict == CHATUP_ACCEPT   ? CHAIN_ACCEPT
           : verdict == CHATUP_REJECT ? CHAIN_REJECT
                                      : CHAIN_CONSUME;
}

static enum chain_verdict turn_run(struct turn *turn)
{
    const struct chain *chain = turn->chain;
    enum chain_verdict verdict = CHAIN_ACCEPT;
    bool posted = turn->event.flags & CHATUP_FROM_POST;
    while (verdict == CHAIN_ACCEPT && turn->next < chain->count) {
        struct shard *shard = &turn->chain->shards[turn->next++];
        const struct plugin *plugin = shard->plugin;
        if (plugin->api.message_in && plugin != turn->author &&
            (!posted || plugin->api.flags & CHATUP_SEES_POST))
            verdict = shard_in(shard, turn);
    }
    return verdict;
}

enum chain_verdict chain_in(struct chain *chain, struct turn *turn)
{
    turn->event.size = sizeof turn->event;
    turn->chain = chain;
    turn->next = 0;
    enum chain_verdict verdict = chain->first ? first_in(chain, turn) : CHAIN_ACCEPT;
    return verdict == CHAIN_ACCEPT ? turn_run(turn) : verdict;
}

/* ---- deferral ---- */

enum { DEFER_MS_MAX = 60000 };

struct deferral {
    struct pending pending; /* first */
    struct turn *turn;
    ev_timer timeout;
};

static void deferral_free(struct deferral *deferral)
{
    struct desk *desk = deferral->pending.shard->desk;
    if (desk->loop)
        ev_timer_stop(loop_ev(desk->loop), &deferral->timeout);
    pending_close(&deferral->pending);
    free(deferral);
}

/* The turn goes on behind the link that deferred it. Nothing is touched after done. */
static void deferral_end(struct deferral *deferral, enum chain_verdict result)
{
    struct turn *turn = deferral->turn;
    turn->deferral = NULL;
    if (result == CHAIN_ACCEPT)
        result = turn_run(turn);
    if (result == CHAIN_DEFERRED)
        turn_moved(turn);
    deferral_free(deferral); /* last: until then the chain may not go */
    if (result != CHAIN_DEFERRED)
        turn->done(turn, result);
}

/* It was not resumed. */
static void deferral_cancel(struct deferral *deferral, int32_t why)
{
    struct shard *shard = deferral->pending.shard;
    running_set(shard->plugin->name, "cancelled");
    if (shard->plugin->api.cancelled && !shard->closed)
        shard->plugin->api.cancelled(shard->self, deferral->pending.id, why);
    running_set(NULL, NULL);
    if (why == CHATUP_CANCELLED) /* that is no fault of the plugin */
        deferral_end(deferral, turn_without(shard, deferral->turn));
    else
        deferral_end(deferral, turn_judge(shard, deferral->turn, CHATUP_FAULT));
}

static void deferral_cancelled(struct pending *pending)
{
    deferral_cancel((struct deferral *)pending, CHATUP_CANCELLED);
}

static void on_deferral_timeout(struct ev_loop *ev, ev_timer *timer, int events)
{
    deferral_cancel(timer->data, CHATUP_TIMEOUT);
}

static uint64_t defer(struct chatup_event *event, int64_t timeout_ms)
{
    struct turn *turn = (struct turn *)event;
    if (!event || turn->deferral || !turn->next || timeout_ms < 1 || timeout_ms > DEFER_MS_MAX)
        return 0;
    struct shard *shard = &turn->chain->shards[turn->next - 1];
    struct deferral *deferral = xcalloc(1, sizeof *deferral);
    if (!pending_open(&deferral->pending, shard, true, deferral_cancelled)) {
        free(deferral);
        return 0;
    }
    deferral->turn = turn;
    ev_timer_init(&deferral->timeout, on_deferral_timeout, (double)timeout_ms / 1000, 0);
    deferral->timeout.data = deferral;
    if (shard->desk->loop) {
        ev_now_update(loop_ev(shard->desk->loop));
        ev_timer_start(loop_ev(shard->desk->loop), &deferral->timeout);
    }
    turn->deferral = deferral;
    return deferral->pending.id;
}

void turn_moved(struct turn *turn)
{
    turn->deferral->turn = turn;
}

struct resume_letter {
    struct letter letter;
    struct desk *desk;
    const struct plugin *plugin;
    uint64_t id;
    int32_t verdict;
    char *msg, *reply; /* NULL: none */
    size_t msg_length, reply_length;
};

static void resume_free(struct resume_letter *what)
{
    free(what->msg);
    free(what->reply);
    free(what);
}

static void resume_arrives(struct letter *letter)
{
    struct resume_letter *what = (struct resume_letter *)letter;
    struct deferral *deferral =
        (struct deferral *)pending_find(what->desk, what->id, deferral_cancelled);
    if (deferral && deferral->pending.shard->plugin == what->plugin) {
        struct chatup_event *event = &deferral->turn->event;
        bool good = (!what->msg || !set_msg(event, what->msg, what->msg_length)) &&
                    (!what->reply || !set_reply(event, what->reply, what->reply_length));
        deferral_end(deferral, turn_judge(deferral->pending.shard, deferral->turn,
                                          good ? what->verdict : CHATUP_FAULT));
    }
    resume_free(what);
}

static void resume(void *host, uint64_t id, int32_t verdict, struct chatup_text msg,
                   struct chatup_text reply)
{
    const struct plugin *plugin = host;
    struct desk *desk = pending_loop(id) < plugin->loops ? plugin->desks[pending_loop(id)] : NULL;
    if (!desk || !desk->loop)
        return;
    struct resume_letter *what = xcalloc(1, sizeof *what);
    what->letter.deliver = resume_arrives;
    what->desk = desk;
    what->plugin = plugin;
    what->id = id;
    what->verdict = verdict;
    if (msg.at)
        what->msg = xstrndup(msg.at, what->msg_length = msg.length);
    if (reply.at)
        what->reply = xstrndup(reply.at, what->reply_length = reply.length);
    loop_post(desk->loop, &what->letter);
}

/* ---- auth, join, leave ---- */

static void visit_forget(struct visit *visit)
{
    free(visit->staged_user);
    free(visit->staged_reply);
    visit->staged_user = visit->staged_reply = NULL;
}

void visit_finish(struct visit *visit)
{
    visit_forget(visit);
    free(visit->user);
    free(visit->reply);
    visit->user = visit->reply = NULL;
}

static void visit_refuse(struct visit *visit, const char *what, const char *by)
{
    char json[160];
    int length = snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"%s\",\"by\":\"%s\"}",
                          what, by);
    stage(&visit->reply, &visit->reply_length, json, (size_t)length);
}

static void visit_take(struct visit *visit)
{
    if (visit->staged_user) {
        free(visit->user);
        visit->user = visit->staged_user;
        visit->user_length = visit->staged_user_length;
        visit->visit.user = (struct chatup_text){visit->user, visit->user_length};
        visit->staged_user = NULL;
    }
    if (visit->staged_reply) {
        free(visit->reply);
        visit->reply = visit->staged_reply;
        visit->reply_length = visit->staged_reply_length;
        visit->staged_reply = NULL;
    }
}

static enum chain_verdict visit_fault(struct shard *shard, enum hook hook, struct visit *visit)
{
    visit_forget(visit);
    if (shard->plugin->on_error == ON_ERROR_OPEN)
        return CHAIN_ACCEPT;
    visit_refuse(visit, "pluginUnavailable", shard->plugin->name);
    return CHAIN_REJECT;
}

static enum chain_verdict shard_visit(struct shard *shard, enum hook hook, struct visit *visit,
                                      int32_t (*call)(void *, struct chatup_visit *))
{
    const struct chatup_visit lent = visit->visit;
    if (shard_is_off(shard))
        return visit_fault(shard, hook, visit);
    int64_t began = hook_begin(shard, hook);
    int32_t verdict = call(shard->self, &visit->visit);
    visit->visit = lent;
    bool known = verdict == CHATUP_ACCEPT || verdict == CHATUP_REJECT ||
                 (verdict == CHATUP_CONSUME && hook == HOOK_join);
    hook_end(shard, hook, began, known ? verdict : CHATUP_FAULT);
    if (!known) {
        shard_fault(shard, hook, hook_name(hook), verdict);
        return visit_fault(shard, hook, visit);
    }
    if (verdict == CHATUP_REJECT) {
        free(visit->staged_user);
        visit->staged_user = NULL;
        free(visit->reply);
        visit->reply = NULL;
    }
    visit_take(visit);
    if (verdict == CHATUP_REJECT && !visit->reply)
        visit_refuse(visit, "rejected", shard->plugin->name);
    return verdict == CHATUP_ACCEPT   ? CHAIN_ACCEPT
           : verdict == CHATUP_REJECT ? CHAIN_REJECT
                                      : CHAIN_CONSUME;
}

enum chain_verdict chain_auth(struct chain *chain, struct visit *visit)
{
    enum chain_verdict verdict = CHAIN_ACCEPT;
    visit->visit.size = sizeof visit->visit;
    visit->may_edit_user = true;
    for (size_t i = 0; verdict == CHAIN_ACCEPT && i < chain->count; i++)
        if (chain->shards[i].plugin->api.auth)
            verdict =
                shard_visit(&chain->shards[i], HOOK_auth, visit, chain->shards[i].plugin->api.auth);
    return verdict;
}

/* Who is not told to the room may still be rejected by a plugin behind. */
enum chain_verdict chain_join(struct chain *chain, struct visit *visit)
{
    enum chain_verdict verdict = CHAIN_ACCEPT;
    bool silent = false;
    visit->visit.size = sizeof visit->visit;
    for (size_t i = 0; verdict != CHAIN_REJECT && i < chain->count; i++) {
        if (!chain->shards[i].plugin->api.join)
            continue;
        verdict =
            shard_visit(&chain->shards[i], HOOK_join, visit, chain->shards[i].plugin->api.join);
        silent |= verdict == CHAIN_CONSUME;
    }
    return verdict == CHAIN_REJECT ? verdict : silent ? CHAIN_CONSUME : CHAIN_ACCEPT;
}

void chain_leave(struct chain *chain, const struct chatup_visit *visit)
{
    struct chatup_visit lent = *visit;
    lent.size = sizeof lent;
    for (size_t i = 0; i < chain->count; i++) {
        struct shard *shard = &chain->shards[i];
        if (!shard->plugin->api.leave || shard_is_off(shard))
            continue;
        int64_t began = hook_begin(shard, HOOK_leave);
        struct chatup_visit copy = lent;
        shard->plugin->api.leave(shard->self, &copy);
        hook_end(shard, HOOK_leave, began, CHATUP_ACCEPT);
    }
}

/* ---- message_out ---- */

static void batch_fill(struct out_batch *out, struct message *const *messages, size_t count)
{
    if (count > out->room) {
        out->room = count;
        out->views = xrealloc(out->views, count * sizeof *out->views);
        out->items = xrealloc(out->items, count * sizeof *out->items);
    }
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct message *message = messages[i];
        const struct message_fields *fields = &message->fields;
        if (message->removed)
            continue;
        struct out_item *item = &out->items[out->count++];
        *item = (struct out_item){.message = message};
        item->view = (struct chatup_message){
            .size = sizeof(struct chatup_message),
            .offset = message->offset,
            .room = to_plugin(name_text(message->room)),
            .id = to_plugin(fields->id),
            .sub = to_plugin(fields->sub),
            .name = to_plugin(fields->name),
            .user = to_plugin(fields->user),
            .msg = to_plugin(fields->msg),
            .ev = to_plugin(fields->ev),
            .data = to_plugin(fields->data),
            .time_ms = fields->time_ms,
        };
    }
}

static void batch_rollback(struct out_batch *out)
{
    for (size_t i = 0; i < out->count; i++) {
        free(out->items[i].staged);
        out->items[i].staged = NULL;
        out->items[i].staged_drop = false;
    }
}

static void batch_commit(struct out_batch *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        struct out_item item = out->items[i];
        if (item.staged_drop) {
            free(item.staged);
            free(item.msg);
            continue;
        }
        if (item.staged) {
            free(item.msg);
            item.msg = item.staged;
            item.msg_length = item.staged_length;
            item.staged = NULL;
            item.view.msg = (struct chatup_text){item.msg, item.msg_length};
        }
        out->items[kept++] = item;
    }
    out->count = kept;
}

static void batch_finish(struct out_batch *out)
{
    batch_rollback(out);
    for (size_t i = 0; i < out->count; i++)
        free(out->items[i].msg);
    out->count = 0;
}

/* false: nothing of the batch may be shown. */
static bool shard_out(struct shard *shard, const struct name *room, struct out_batch *out)
{
    if (shard_is_off(shard))
        return shard->plugin->on_error == ON_ERROR_OPEN;
    for (size_t i = 0; i < out->count; i++)
        out->views[i] = &out->items[i].view;
    out->batch = (struct chatup_batch){.size = sizeof out->batch,
                                       .count = (uint32_t)out->count,
                                       .messages = out->views,
                                       .room = to_plugin(name_text(room))};
    int64_t began = hook_begin(shard, HOOK_message_out);
    int32_t verdict = shard->plugin->api.message_out(shard->self, &out->batch);
    hook_end(shard, HOOK_message_out, began, verdict);
    if (verdict == CHATUP_ACCEPT) {
        batch_commit(out);
        return true;
    }
    if (verdict == CHATUP_REJECT)
        return false;
    shard_fault(shard, HOOK_message_out, "message_out", verdict);
    batch_rollback(out);
    return shard->plugin->on_error == ON_ERROR_OPEN;
}

static void write_comma(size_t written, struct buffer *to)
{
    if (written)
        buffer_bytes(to, ",", 1);
}

static void write_item(const struct out_item *item, struct buffer *to)
{
    if (!item->msg) {
        message_write_json(item->message, to);
        return;
    }
    struct message_fields fields = item->message->fields;
    fields.msg = (struct text){item->msg, item->msg_length};
    struct message *edited = message_create(item->message->room, &fields);
    if (!edited) {
        buffer_fail(to);
        return;
    }
    edited->offset = item->message->offset;
    message_write_json(edited, to);
    message_unref(edited);
}

size_t chain_out(struct chain *chain, const struct name *room, struct message *const *messages,
                 size_t count, struct buffer *to)
{
    struct out_batch *out = &chain->out;
    size_t written = 0;
    if (!chain->has_out) {
        for (size_t i = 0; i < count; i++) {
            if (messages[i]->removed)
                continue;
            write_comma(written++, to);
            message_write_json(messages[i], to);
        }
        return written;
    }
    assert(count <= UINT32_MAX);
    batch_fill(out, messages, count);
    bool shown = true;
    for (size_t i = 0; shown && out->count && i < chain->count; i++)
        if (chain->shards[i].plugin->api.message_out)
            shown = shard_out(&chain->shards[i], room, out);
    for (; shown && written < out->count; written++) {
        write_comma(written, to);
        write_item(&out->items[written], to);
    }
    batch_finish(out);
    return written;
}
