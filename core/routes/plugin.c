/* plugin.c: /plugin/<name>/…: requests that plugins answer. */
#include "plugin.h"
#include "alloc.h"
#include "buffer.h"
#include "chain.h"
#include "pipeline.h"
#include "plugin_routes.h"
#include "plugin_set.h"
#include "route.h"
#include "signed.h"

#include <jansson.h>

enum { CONTENT_TYPE_MAX = 127 };

/* A request's method is handed over as it is. */
_Static_assert((int)METHOD_GET == CHATUP_GET && (int)METHOD_POST == CHATUP_POST &&
                   (int)METHOD_PUT == CHATUP_PUT && (int)METHOD_DELETE == CHATUP_DELETE,
               "enum method and the plugins' methods are the same bits");

/* ---- no such route ---- */

static void reply_not_allowed(struct request *request, uint32_t allowed)
{
    static const struct {
        uint32_t method;
        const char *name;
    } methods[] = {{METHOD_GET, "GET, HEAD, "},
                   {METHOD_POST, "POST, "},
                   {METHOD_PUT, "PUT, "},
                   {METHOD_DELETE, "DELETE, "}};
    struct buffer headers = {0};
    buffer_text(&headers, "allow: ");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (allowed & methods[i].method)
            buffer_text(&headers, methods[i].name);
    buffer_bytes(&headers, "OPTIONS\r\n", sizeof "OPTIONS\r\n"); /* with its NUL */
    request_reply_error_with(request, 405, "Method not allowed", headers.at);
    buffer_finish(&headers);
}

/* ---- what the plugin gets ---- */

/* The query as it was, but decoded; freed by the caller. */
static char *query_with_ampersands(struct text query)
{
    char *copy = query.length ? xmemdup(query.at, query.length) : NULL;
    for (size_t i = 0; i < query.length; i++)
        if (!copy[i])
            copy[i] = '&';
    return copy;
}

/* ---- what the plugin answered ---- */

/* As a header's value, so no line may end in it. An absent one is JSON.
 *   returns  false if it is no content type */
static bool content_type_read(struct chatup_text text, char out[CONTENT_TYPE_MAX + 1])
{
    if (!text.at)
        text = (struct chatup_text){"application/json", sizeof "application/json" - 1};
    if (text.length == 0 || text.length > CONTENT_TYPE_MAX)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.at[i] < 0x20 || text.at[i] > 0x7e)
            return false;
    memcpy(out, text.at, text.length);
    out[text.length] = 0;
    return true;
}

/* Of a plugin that failed, or did not answer in time. It is counted already. */
static void reply_unavailable(struct request *request, const char *by, bool timed_out)
{
    struct buffer json = {0};
    buffer_text(&json, "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":");
    buffer_json_string(&json, text_of(by));
    buffer_text(&json, "}");
    request_reply_json(request, timed_out ? 504 : 500, (struct text){json.at, json.length});
    buffer_finish(&json);
}

struct call {               /* of a route, which may answer later */
    struct route_call call; /* first */
    struct request *request;
    struct plugin_set *set; /* a reference: the names in it */
    size_t index;
    char *query, *body;
};

static void answered(struct route_call *route_call, const struct chatup_response *response,
                     bool timed_out)
{
    struct call *call = (struct call *)route_call;
    struct plugin *plugin = call->set->plugins[call->index];
    char content_type[CONTENT_TYPE_MAX + 1];
    if (response && ((response->status && (response->status < 200 || response->status > 599)) ||
                     !content_type_read(response->content_type, content_type))) {
        plugin_fault(plugin, *route_call->route->path ? route_call->route->path : "/",
                     CHATUP_FAULT);
        response = NULL;
    }
    if (!response)
        reply_unavailable(call->request, plugin->name, timed_out);
    else
        call->request->reply(
            call->request, response->status ? response->status : 200, content_type,
            (struct text){response->body.at, response->body.at ? response->body.length : 0}, NULL);
    plugin_set_unref(call->set);
    free(call->query);
    free(call->body);
    free(call);
}

/* body: copied, since who answers later may look at it until then. */
static void call_route(struct request *request, const struct chatup_route *route, size_t i,
                       struct text rest, struct text body)
{
    struct pipeline *pipeline = request->pipeline;
    struct call *call = xcalloc(1, sizeof *call);
    call->request = request;
    call->set = plugin_set_ref(pipeline->set);
    call->index = i;
    call->query = query_with_ampersands(request->query);
    call->body = xstrndup(body.at ? body.at : "", body.length);
    call->call.answer = answered;
    call->call.request = (struct chatup_request){.method = request->method,
                                                 .path = {rest.at, rest.length},
                                                 .query = {call->query, request->query.length},
                                                 .body = {call->body, body.length}};
    chain_route(chain_shard(pipeline->chain, i), route, &call->call);
}

static const struct chatup_route *find(const struct request *request, size_t *i_out,
                                       struct text *rest_out, uint32_t *allowed_out)
{
    const struct pipeline *pipeline = request->pipeline;
    const struct plugin_set *set = pipeline->set;
    return plugin_route_find(set ? set->plugins : NULL, set ? set->count : 0, request->path,
                             request->method, i_out, rest_out, allowed_out);
}

/* It was there when the token was looked at; a reload may have come between. */
static const struct chatup_route *find_again(struct request *request, size_t *i_out,
                                             struct text *rest_out)
{
    uint32_t allowed;
    const struct chatup_route *route = find(request, i_out, rest_out, &allowed);
    if (!route)
        request_reply_error(request, 503, "unavailable");
    return route;
}

/* The plugin gets the items of a token, or all of one that is as the original has them. */
static void call_signed(struct request *request, const json_t *items)
{
    size_t i = 0;
    struct text rest = {0};
    const struct chatup_route *route = find_again(request, &i, &rest);
    char *body = route ? json_dumps(items, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (body)
        call_route(request, route, i, rest, text_of(body));
    else if (route)
        request_reply_error(request, 503, "unavailable");
    free(body);
}

static void call_with_bearer(struct request *request, const json_t *items)
{
    size_t i = 0;
    struct text rest = {0};
    const struct chatup_route *route = find_again(request, &i, &rest);
    if (route)
        call_route(request, route, i, rest, request->body);
}

void route_plugin(struct request *request)
{
    size_t i = 0;
    struct text rest = {0};
    uint32_t allowed = 0;
    const struct chatup_route *route = find(request, &i, &rest, &allowed);
    if (!route && !allowed) {
        request_reply_error(request, 404, "Not found");
    } else if (!route) {
        reply_not_allowed(request, allowed);
    } else if (route->max_body && request->body.length > route->max_body) {
        request_reply_error(request, 413, "Body too large");
    } else if (route->access == CHATUP_PUBLIC) {
        call_route(request, route, i, rest, request->body);
    } else if (route->access == CHATUP_BEARER_JWT) {
        signed_bearer(request, route->role, call_with_bearer);
    } else { /* CHATUP_BODY_JWT, and whatever else a plugin may say there: closed, not open */
        signed_open(request, SIGNED_ANY, call_signed);
    }
}
