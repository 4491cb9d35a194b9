/* plugin.c: /plugin/<name>/…: requests that plugins answer. */
#include "plugin.h"
#include "alloc.h"
#include "buffer.h"
#include "chain.h"
#include "pipeline.h"
#include "plugin_routes.h"
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

/* Counted and logged as a hook's fault is: a route cannot flood the log either. */
static void reply_fault(struct request *request, struct plugin *plugin, const char *route,
                        int32_t verdict)
{
    struct buffer json = {0};
    plugin_fault(plugin, *route ? route : "/", verdict);
    buffer_text(&json, "{\"status\":\"error\",\"err\":\"pluginUnavailable\",\"by\":");
    buffer_json_string(&json, text_of(plugin->name));
    buffer_text(&json, "}");
    request_reply_json(request, 500, (struct text){json.at, json.length});
    buffer_finish(&json);
}

static void call(struct request *request, const struct chatup_route *route, size_t i,
                 struct text rest, struct chatup_text body)
{
    struct plugin *plugin = request->pipeline->plugins[i];
    char *query = query_with_ampersands(request->query);
    struct chatup_request asked = {.size = sizeof asked,
                                   .method = request->method,
                                   .path = {rest.at, rest.length},
                                   .query = {query, request->query.length},
                                   .body = body};
    struct chatup_response response = {.size = sizeof response};
    int32_t verdict = route->handle(chain_shard(request->pipeline->chain, i), &asked, &response);
    free(query);

    char content_type[CONTENT_TYPE_MAX + 1];
    bool usable = verdict == CHATUP_ACCEPT &&
                  (!response.status || (response.status >= 200 && response.status <= 599)) &&
                  content_type_read(response.content_type, content_type);
    if (!usable)
        reply_fault(request, plugin, route->path,
                    verdict == CHATUP_ACCEPT ? CHATUP_FAULT : verdict);
    else
        request->reply(request, response.status ? response.status : 200, content_type,
                       (struct text){response.body.at, response.body.at ? response.body.length : 0},
                       NULL);
}

static const struct chatup_route *find(const struct request *request, size_t *i_out,
                                       struct text *rest_out, uint32_t *allowed_out)
{
    const struct pipeline *pipeline = request->pipeline;
    return plugin_route_find(pipeline->plugins, pipeline->plugin_count, request->path,
                             request->method, i_out, rest_out, allowed_out);
}

/* The plugin gets the items of a token, or all of one that is as the original has them. */
static void call_signed(struct request *request, const json_t *items)
{
    size_t i = 0;
    struct text rest = {0};
    uint32_t allowed = 0;
    const struct chatup_route *route = find(request, &i, &rest, &allowed);
    char *body = json_dumps(items, JSON_COMPACT | JSON_ENCODE_ANY);
    if (body)
        call(request, route, i, rest, (struct chatup_text){body, strlen(body)});
    else
        request_reply_error(request, 503, "unavailable");
    free(body);
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
        call(request, route, i, rest, (struct chatup_text){request->body.at, request->body.length});
    } else { /* CHATUP_BODY_JWT, and whatever else a plugin may say there: closed, not open */
        signed_open(request, SIGNED_ANY, call_signed);
    }
}
