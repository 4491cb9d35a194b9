/* Requests of routes, answered at once or later: a late answer is a pending of the shard. */
#include "alloc.h"
#include "chain.h"
#include "desk.h"
#include "plugin.h"

#include <ev.h>

enum { LATER_MS_MAX = 60000 };

struct late_answer {
    struct pending pending; /* first */
    struct route_call *call;
    ev_timer timeout;
};

/* Its id is stale, and it may be answered. */
static struct route_call *late_end(struct late_answer *late)
{
    struct route_call *call = late->call;
    const struct desk *desk = late->pending.shard->desk;
    if (desk->loop)
        ev_timer_stop(loop_ev(desk->loop), &late->timeout);
    pending_close(&late->pending);
    free(late);
    call->late = NULL;
    return call;
}

static void late_cancelled(struct pending *pending)
{
    struct route_call *call = late_end((struct late_answer *)pending);
    call->answer(call, NULL, false);
}

static void on_late_timeout(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct late_answer *late = timer->data;
    struct shard *shard = late->pending.shard;
    struct route_call *call = late->call;
    shard_fault(shard, HOOK_route, *call->route->path ? call->route->path : "/", CHATUP_DEFER);
    late_end(late);
    call->answer(call, NULL, true);
}

static uint64_t service_later(const struct chatup_request *request, int64_t timeout_ms)
{
    struct route_call *call = (struct route_call *)request;
    if (!request || call->late || timeout_ms < 1 || timeout_ms > LATER_MS_MAX)
        return 0;
    struct late_answer *late = xcalloc(1, sizeof *late);
    if (!pending_open(&late->pending, call->shard, true, late_cancelled)) {
        free(late);
        return 0;
    }
    late->call = call;
    call->late = late;
    ev_timer_init(&late->timeout, on_late_timeout, (double)timeout_ms / 1000, 0);
    late->timeout.data = late;
    if (call->shard->desk->loop) {
        ev_now_update(loop_ev(call->shard->desk->loop));
        ev_timer_start(loop_ev(call->shard->desk->loop), &late->timeout);
    }
    return late->pending.id;
}

struct respond_letter {
    struct letter letter;
    struct desk *desk;
    const struct plugin *plugin;
    uint64_t id;
    struct chatup_response response;
    char *content_type, *body;
};

static void respond_arrives(struct letter *letter)
{
    struct respond_letter *what = (struct respond_letter *)letter;
    struct late_answer *late =
        (struct late_answer *)pending_find(what->desk, what->id, late_cancelled);
    if (late && late->pending.shard->plugin == what->plugin) {
        struct route_call *call = late_end(late);
        call->answer(call, &what->response, false);
    }
    free(what->content_type);
    free(what->body);
    free(what);
}

static char *copy(struct chatup_text *text)
{
    char *bytes = text->at ? xstrndup(text->at, text->length) : NULL;
    text->at = bytes;
    return bytes;
}

static void service_respond(void *host, uint64_t id, const struct chatup_response *response)
{
    const struct plugin *plugin = host;
    struct desk *desk = pending_loop(id) < plugin->loops ? plugin->desks[pending_loop(id)] : NULL;
    if (!desk || !desk->loop || response->size < sizeof *response)
        return;
    struct respond_letter *what = xcalloc(1, sizeof *what);
    what->letter.deliver = respond_arrives;
    what->desk = desk;
    what->plugin = plugin;
    what->id = id;
    what->response = *response;
    what->content_type = copy(&what->response.content_type);
    what->body = copy(&what->response.body);
    loop_post(desk->loop, &what->letter);
}

const struct chatup_routes routes_service = {
    .size = sizeof routes_service,
    .later = service_later,
    .respond = service_respond,
};

void chain_route(struct shard *shard, const struct chatup_route *route, struct route_call *call)
{
    struct chatup_response response = {.size = sizeof response};
    const char *where = *route->path ? route->path : "/";
    call->request.size = sizeof call->request;
    call->shard = shard;
    call->route = route;
    call->late = NULL;
    int64_t began = hook_begin(shard, HOOK_route);
    int32_t verdict = route->handle(shard->self, &call->request, &response);
    if (verdict == CHATUP_DEFER && !call->late)
        verdict = CHATUP_FAULT;
    hook_end(shard, HOOK_route, began, verdict);
    if (verdict == CHATUP_DEFER)
        return;
    if (call->late)
        late_end(call->late);
    if (verdict != CHATUP_ACCEPT)
        shard_fault(shard, HOOK_route, where, verdict);
    call->answer(call, verdict == CHATUP_ACCEPT ? &response : NULL, false);
}
