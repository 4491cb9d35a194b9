#include "visitor.h"
#include "alloc.h"
#include "chain.h"
#include "connection.h"
#include "http.h"
#include "pipeline.h"

struct visitor {
    struct visit visit; /* first */
    struct http_request *request;
    visitor_then *then;
};

static void visitor_free(struct visitor *visitor)
{
    visit_finish(&visitor->visit);
    free(visitor);
}

/* They stay with the connection; one that polls is asked each time. */
static void open_tagged(struct visitor *visitor)
{
    struct http_request *request = visitor->request;
    struct connection *conn = request->conn;
    const char *tags = visitor->visit.tags;
    free(conn->tags);
    conn->tags = tags ? xstrdup(tags) : NULL;
    request->request.tags = conn->tags;
    visitor->then(request);
}

static void on_judged(struct visit *visit, enum chain_verdict verdict)
{
    struct visitor *visitor = (struct visitor *)visit;
    struct http_request *request = visitor->request;
    request->request.left = NULL;
    if (verdict == CHAIN_REJECT)
        request_reply_json(&request->request, visit->failed ? 503 : 403,
                           (struct text){visit->reply, visit->reply_length});
    else if (http_may_open(request))
        open_tagged(visitor);
    visitor_free(visitor);
}

static void on_left(struct request *request)
{
    struct visitor *visitor = request->left_arg;
    request->left = NULL;
    visit_left(&visitor->visit);
    visitor_free(visitor);
    request_reply_error(request, 503, "unavailable");
}

static struct chatup_text if_text(struct text text)
{
    return utf8_valid(text) ? (struct chatup_text){text.at, text.length}
                            : (struct chatup_text){NULL, 0};
}

/* Those of one address are counted here, not where it is opened: many may wait for a plugin. */
void visitor_ask(struct http_request *request, enum chatup_way way, visitor_then *then)
{
    const struct http_head *head = &request->head;
    const char *address = request->request.address;
    if (!connection_count_as_client(request->conn)) {
        http_answer_error(request, 429, "Too many connections of one address");
        return;
    }
    struct visitor *visitor = xcalloc(1, sizeof *visitor);
    visitor->request = request;
    visitor->then = then;
    visitor->visit.done = on_judged;
    visitor->visit.visit = (struct chatup_visit){.sub = {"", 0},
                                                 .name = {"", 0},
                                                 .address = {address, strlen(address)},
                                                 .path = if_text(head->path),
                                                 .origin = if_text(head->origin),
                                                 .user_agent = if_text(head->user_agent),
                                                 .way = way};
    enum chain_verdict verdict = chain_connect(request->request.pipeline->chain, &visitor->visit);
    if (verdict == CHAIN_DEFERRED) {
        request->request.left = on_left;
        request->request.left_arg = visitor;
    } else {
        on_judged(&visitor->visit, verdict);
    }
}
