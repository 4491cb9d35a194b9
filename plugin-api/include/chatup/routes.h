/* chatup/routes.h: HTTP requests under /plugin/<name>. The table is chatup_plugin.routes; the host
 * answers 404, 405, 413, CORS and OPTIONS, and checks tokens. Apache-2.0. */
#ifndef CHATUP_ROUTES_H
#define CHATUP_ROUTES_H

#include <chatup/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CHATUP_GET = 1, CHATUP_POST = 2, CHATUP_PUT = 4, CHATUP_DELETE = 8 };

enum chatup_access {
    CHATUP_BODY_JWT = 0,  /* the body is a server's token; request->body is what it says, JSON: its
                           * items, an array, or all of it where legacy_tokens lets that in */
    CHATUP_PUBLIC = 1,    /* anyone; refused at load unless the YAML says public_routes: true */
    CHATUP_BEARER_JWT = 2 /* a server's token in the header Authorization; the body is free */
};

struct chatup_request {
    uint32_t size;
    uint32_t method;          /* one of the above */
    struct chatup_text path;  /* behind /plugin/<name>: "" or "/…" */
    struct chatup_text query; /* raw, without "?" */
    struct chatup_text body;
};

struct chatup_response { /* whoever fills it in sets size; the host copies what it points to */
    uint32_t size;
    int32_t status;                  /* 0: 200 */
    struct chatup_text content_type; /* absent: application/json */
    struct chatup_text body;         /* from handle: must stay valid until the shard's next call */
};

struct chatup_route {
    uint32_t methods;  /* or-ed */
    int32_t access;    /* enum chatup_access */
    const char *path;  /* behind /plugin/<name>: "" or "/token"; matched exactly */
    uint32_t max_body; /* bytes; larger ones are answered 413. 0: limits.body_bytes of the YAML */
    /* CHATUP_ACCEPT: response, zeroed by the host before, is sent. CHATUP_DEFER: after later.
     * Any other value: 500, counted as a fault. */
    int32_t (*handle)(void *shard, const struct chatup_request *request,
                      struct chatup_response *response);
    /* Of CHATUP_BEARER_JWT: the token must have this in its claim role or roles, else 403 and it is
     * not used up. NULL: every server's token will do. */
    const char *role;
};

#define CHATUP_ROUTES "chatup.routes/1"

struct chatup_routes {
    uint32_t size;
    /* [in handle] Answer later: returns an id, never 0, then return CHATUP_DEFER from handle.
     * Without an answer within timeout_ms (1 to 60 000) the client gets 504. */
    uint64_t (*later)(const struct chatup_request *request, int64_t timeout_ms);
    /* [any thread] Answer. Ids that are over do nothing. */
    void (*respond)(void *host, uint64_t id, const struct chatup_response *response);
};

#ifdef __cplusplus
}
#endif
#endif
