/* What a hook answers later. It waits as a pending of the shard that deferred it; its verdict comes
 * as a letter, so that no hook runs inside a hook. */
#include "alloc.h"
#include "chain_parts.h"
#include "plugin.h"
#include "running.h"

enum { DEFER_MS_MAX = 60000 };

static const struct chatup_text none = {NULL, 0};

void deferral_free(struct deferral *deferral)
{
    struct desk *desk = deferral->pending.shard->desk;
    if (desk->loop)
        ev_timer_stop(loop_ev(desk->loop), &deferral->timeout);
    pending_close(&deferral->pending);
    free(deferral);
}

void deferral_tell(struct deferral *deferral, int32_t why)
{
    struct shard *shard = deferral->pending.shard;
    if (!shard->plugin->api.cancelled || shard->closed)
        return;
    running_set(shard->plugin->name, "cancelled");
    shard->plugin->api.cancelled(shard->self, deferral->pending.id, why);
    running_set(NULL, NULL);
}

static void deferral_cancelled(struct pending *pending)
{
    struct deferral *deferral = (struct deferral *)pending;
    deferral_tell(deferral, CHATUP_CANCELLED);
    deferral->kind->without(deferral);
}

static void on_timeout(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct deferral *deferral = timer->data;
    deferral_tell(deferral, CHATUP_TIMEOUT);
    deferral->kind->resumed(deferral, CHATUP_FAULT, none, none);
}

struct deferral *deferral_open(struct shard *shard, int64_t timeout_ms,
                               const struct deferral_kind *kind, void *owner)
{
    if (timeout_ms < 1 || timeout_ms > DEFER_MS_MAX)
        return NULL;
    struct deferral *deferral = xcalloc(1, sizeof *deferral);
    if (!pending_open(&deferral->pending, shard, true, deferral_cancelled)) {
        free(deferral);
        return NULL;
    }
    deferral->kind = kind;
    deferral->owner = owner;
    ev_timer_init(&deferral->timeout, on_timeout, (double)timeout_ms / 1000, 0);
    deferral->timeout.data = deferral;
    if (shard->desk->loop) {
        ev_now_update(loop_ev(shard->desk->loop));
        ev_timer_start(loop_ev(shard->desk->loop), &deferral->timeout);
    }
    return deferral;
}

/* ---- resume ---- */

struct resume_letter {
    struct letter letter;
    struct desk *desk;
    const struct plugin *plugin;
    uint64_t id;
    int32_t verdict;
    struct chatup_text text, reply; /* copies, or absent */
};

static void resume_arrives(struct letter *letter)
{
    struct resume_letter *what = (struct resume_letter *)letter;
    struct deferral *deferral =
        (struct deferral *)pending_find(what->desk, what->id, deferral_cancelled);
    if (deferral && deferral->pending.shard->plugin == what->plugin)
        deferral->kind->resumed(deferral, what->verdict, what->text, what->reply);
    free((char *)what->text.at);
    free((char *)what->reply.at);
    free(what);
}

static struct chatup_text copy(struct chatup_text text)
{
    return text.at ? (struct chatup_text){xstrndup(text.at, text.length), text.length} : none;
}

static void resume(void *host, uint64_t id, int32_t verdict, struct chatup_text text,
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
    what->text = copy(text);
    what->reply = copy(reply);
    loop_post(desk->loop, &what->letter);
}

void deferral_offer(struct chatup_host *host)
{
    host->resume = resume;
}
