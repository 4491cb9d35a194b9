/* visitor.h: stage connect: plugins are asked who may open a websocket or a stream, before any
 * token is looked at. Its loop only. */
#pragma once
#include <chatup/plugin.h>

struct http_request;

/* then is called once, now or later, and may open it; or the request has been answered: 403 or 503
 * by a plugin, 429, or its client has left. */
typedef void visitor_then(struct http_request *request);
void visitor_ask(struct http_request *request, enum chatup_way way, visitor_then *then);
