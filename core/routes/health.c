/* health.c: whether the process lives, and whether it does what it is for. */
#include "broker.h"
#include "pipeline.h"
#include "route.h"

/* As long as the loop answers. */
void route_live(struct request *request)
{
    request_reply_json(request, 200, text_of("{\"status\":\"ok\"}"));
}

static void probed(void *arg, enum broker_status status, const char *why)
{
    struct request *request = arg;
    if (status == BROKER_OK)
        route_live(request);
    else
        request_reply_error(request, 503, why);
}

/* Only if a message could be published and received now, and as long as it is not being drained. */
void route_ready(struct request *request)
{
    if (request->pipeline->draining) {
        request_reply_error(request, 503, "draining");
        return;
    }
    broker_probe(request->pipeline->broker, probed, request);
}
