/* http_head.h: the head of a request: HTTP/1.1 (RFC 9112), read strictly. What two readers could
 * understand differently (a bare LF, a folded header, two lengths, spaces before a colon) is
 * refused: requests are smuggled through such gaps. Pure; the texts point into the bytes. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

struct buffer;

enum http_method {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_PUT = 4,
    HTTP_DELETE = 8,
    HTTP_HEAD = 16,
    HTTP_OPTIONS = 32,
    HTTP_OTHER = 64
};

enum { HTTP_HEADERS_MAX = 100 };

struct http_head {
    enum http_method method;
    bool is_1_0;
    struct text path, query; /* as they came; query absent without a "?" */
    /* Headers; absent if there are none. */
    struct text host, origin, authorization, idempotency_key, last_event_id, websocket_key;
    struct text user_agent;
    struct text forwarded, forwarded_for, forwarded_proto; /* the last of each;
                                                            * http_head_join has all */
    int64_t content_length;                                /* -1: none */
    bool has_transfer_encoding; /* not for us: such a request must be refused and the last one */
    bool close;                 /* Connection: close, or HTTP/1.0 */
    bool connection_upgrade;    /* Connection: upgrade */
    bool upgrade_websocket;     /* Upgrade: websocket */
    bool websocket_13;
    bool expects_continue, expects_else;
};

/* max_bytes: of the whole head.
 *   returns  its bytes with the empty line; 0: it goes on; negative: the status to refuse it with,
 *            and why */
long http_head_parse(const char *bytes, size_t length, size_t max_bytes, struct http_head *head,
                     const char **why);
/* All values of a header that may come several times, in their order, joined by commas (RFC 9110,
 * section 5.3).
 *   bytes  a head that has been parsed */
void http_head_join(const char *bytes, size_t length, const char *name, struct buffer *out);
/* Whether a comma-separated header has that element, in any case. */
bool http_list_has(struct text list, const char *element);
