/* route.h: one HTTP request as a route sees it, and the routes. The socket's side is net/http.c.
 *
 * A route answers exactly once, by request_reply, now or later, on the loop that called it; the
 * request lives until then, whether or not its client is still there. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stdint.h>

struct buffer;
struct pipeline;
struct json_t;
struct signed_once;

enum method { METHOD_GET = 1, METHOD_POST = 2, METHOD_PUT = 4, METHOD_DELETE = 8 };
/* HEAD is GET to a route; OPTIONS, 404, 405, 411, 413 and CORS are dealt with before it. */

struct request {
    struct pipeline *pipeline;
    uint32_t method;   /* enum method */
    struct text path;  /* decoded: "/join/lobby" */
    struct text rest;  /* behind the route's own path: "lobby", "" */
    struct text query; /* decoded arguments, joined by NUL bytes: "limit=5\0skip=10" */
    struct text body;
    struct text host; /* the Host header; may be empty */
    struct text idempotency_key;
    struct text authorization; /* that header; absent if there is none */
    char address[46];          /* the client's, as text; "" if unknown */
    const char *tags;          /* that connect gave the client (tags.h), lent; NULL: none */
    bool secure;               /* the client came by https */
    struct signed_once *once;  /* signed.c's own; NULL at first */
    /* While it waits for somebody who ought to know: the client has left. Then it is answered all
     * the same, at once or later. NULL: nobody need know. */
    void (*left)(struct request *request);
    void *left_arg;
    char *place; /* join.c's own: where the client is sent; NULL at first */
    /* Copies. headers: further ones, "name: value\r\n…", or NULL. */
    void (*reply)(struct request *request, int status, const char *content_type, struct text body,
                  const char *headers);
};

/* json: empty, as of a buffer that has failed, is answered 503. */
void request_reply_json(struct request *request, int status, struct text json);
/* {"status":"error","err":err} */
void error_write(struct buffer *out, const char *err);
void request_reply_error(struct request *request, int status, const char *err);
/* The same with further headers, "name: value\r\n…". */
void request_reply_error_with(struct request *request, int status, const char *err,
                              const char *headers);
/* The value of an argument in a query as above; absent if there is none. */
struct text query_argument(struct text query, const char *name);
struct text request_argument(const struct request *request, const char *name);
/* A whole number, capped at max; *number_out stays if the argument is not there.
 *   returns  false after answering 400 */
bool request_number(struct request *request, const char *name, uint64_t max, uint64_t *number_out);
/* The channel that the path or ?channel= names; NULL after answering 400. Caller unrefs. */
struct name *request_channel(struct request *request);
/* What your servers sign: handle is called once with the items of the body's token, an array, now
 * or later; or the request has been answered 400, 401, 403, 409 or 503. items is lent during the
 * call. Idempotency-Key is the token's jti then, if the request has none. */
void request_with_items(struct request *request,
                        void (*handle)(struct request *request, const struct json_t *items));

struct route {
    const char *path; /* "/join" matches "/join" and "/join/…"; exact when no_rest */
    uint32_t methods;
    bool no_rest;
    void (*handle)(struct request *request);
    unsigned not_on; /* roles that do not have it, as bits: 1 << ROLE_… */
};

/* One file each. */
void route_join(struct request *request);     /* join.c */
void route_stats(struct request *request);    /* stats.c */
void route_messages(struct request *request); /* history.c */
void route_post(struct request *request);     /* post.c */
void route_ban(struct request *request);      /* ban.c */
void route_unban(struct request *request);    /* unban.c */
void route_bans(struct request *request);     /* bans.c: their list */
void route_kick(struct request *request);     /* kick.c */
void route_remove(struct request *request);   /* remove.c */
void route_plugin(struct request *request);   /* plugin.c: /plugin/<name>/… */
void route_live(struct request *request);     /* health.c */
void route_ready(struct request *request);    /* health.c */
void route_say(struct request *request);      /* say.c: POST /pub */
void route_metrics(struct request *request);  /* metrics.c */
void route_page(struct request *request);     /* page.c: files of client_dir */

extern const struct route routes[]; /* route.c; ends with a path of NULL. The only list of them */
