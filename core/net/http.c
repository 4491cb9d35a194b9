/* HTTP/1.1 (RFC 9110, 9112) as far as libwebsockets leaves it to us: what a request may look like,
 * which route it is for, and the answer's head. One request per connection: see exchange.h. */
#include "alloc.h"
#include "config.h"
#include "connection.h"
#include "exchange.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "server.h"

struct http_request { /* a connection's until it is whole, then its own until it is answered */
    struct request request; /* first */
    struct server *server;
    struct exchange *exchange; /* NULL while it is still coming */
    const struct route *route;
    bool head;
    int refusal; /* not 0: the status to answer; 200 is that of OPTIONS */
    char *path, *query, *host, *key, *authorization, *origin;
    struct buffer body;
};

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {{200, "OK"},
                 {204, "No Content"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {409, "Conflict"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {418, "I'm a teapot"},
                 {422, "Unprocessable Content"},
                 {426, "Upgrade Required"},
                 {429, "Too Many Requests"},
                 {500, "Internal Server Error"},
                 {503, "Service Unavailable"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].text;
    return "Answer";
}

static void answer_write(struct server *server, struct buffer *out, int status,
                         const char *content_type, struct text body, const char *headers,
                         const char *origin, bool head)
{
    char allowed[256], line[512];
    server_origin_allowed(server, origin, allowed, sizeof allowed);
    snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n",
             status, status_text(status), content_type, body.length);
    buffer_text(out, line);
    if (allowed[0]) {
        buffer_text(out, "access-control-allow-origin: ");
        buffer_text(out, allowed);
        buffer_text(out, strcmp(allowed, "*") ? "\r\nvary: origin\r\n" : "\r\n");
    }
    buffer_text(out, "access-control-allow-methods: GET, POST, OPTIONS\r\n"
                     "access-control-allow-headers: "
                     "Content-Type, X-Requested-With, Authorization, Idempotency-Key\r\n");
    if (headers)
        buffer_text(out, headers);
    buffer_text(out, "connection: close\r\n\r\n");
    if (!head)
        buffer_bytes(out, body.at, body.length);
}

static void request_free(struct http_request *request)
{
    buffer_finish(&request->body);
    free(request->path);
    free(request->query);
    free(request->host);
    free(request->key);
    free(request->authorization);
    free(request->origin);
    free(request);
}

static void request_reply(struct request *base, int status, const char *content_type,
                          struct text body, const char *headers)
{
    struct http_request *request = (struct http_request *)base;
    struct buffer answer = {0};
    answer_write(request->server, &answer, status, content_type, body, headers, request->origin,
                 request->head);
    exchange_answer(request->exchange, &answer);
    request_free(request);
}

static char *header(struct lws *wsi, enum lws_token_indexes token)
{
    int length = lws_hdr_total_length(wsi, token);
    if (length <= 0)
        return NULL;
    char *value = xmalloc((size_t)length + 1);
    if (lws_hdr_copy(wsi, value, length + 1, token) < 0)
        value[0] = 0;
    return value;
}

static char *custom_header(struct lws *wsi, const char *name_colon)
{
    int length = lws_hdr_custom_length(wsi, name_colon, (int)strlen(name_colon));
    if (length <= 0)
        return NULL;
    char *value = xmalloc((size_t)length + 1);
    if (lws_hdr_custom_copy(wsi, value, length + 1, name_colon, (int)strlen(name_colon)) < 0)
        value[0] = 0;
    return value;
}

/* All arguments, joined by NULs. */
static char *query_of(struct lws *wsi, size_t *length_out)
{
    struct buffer query = {0};
    char argument[16384];
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(wsi, argument, sizeof argument, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            break;
        if (i)
            buffer_bytes(&query, "", 1);
        buffer_bytes(&query, argument, (size_t)n);
    }
    *length_out = query.length;
    buffer_bytes(&query, "", 1);
    return query.at;
}

static uint32_t method_of(struct lws *wsi, bool *head, bool *options)
{
    *head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
    *options = lws_hdr_total_length(wsi, WSI_TOKEN_OPTIONS_URI) > 0;
    if (*head || lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0)
        return METHOD_GET;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0)
        return METHOD_POST;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PUT_URI) > 0)
        return METHOD_PUT;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_DELETE_URI) > 0)
        return METHOD_DELETE;
    return 0;
}

static const struct route *route_find(const struct route *route, struct text path,
                                      struct text *rest)
{
    for (; route->path; route++) {
        size_t length = strlen(route->path);
        if (path.length < length || strncmp(path.at, route->path, length) != 0)
            continue;
        bool exact = path.length == length;
        if (!exact && (route->no_rest || path.at[length] != '/'))
            continue;
        *rest = exact ? (struct text){path.at + length, 0}
                      : (struct text){path.at + length + 1, path.length - length - 1};
        return route;
    }
    return NULL;
}

/* -1: none; -2: not a number. */
static int64_t content_length(struct lws *wsi)
{
    char *value = header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    int64_t length = value ? 0 : -1;
    for (const char *p = value; p && *p; p++)
        length = *p < '0' || *p > '9' || length > INT32_MAX || length == -2
                     ? -2
                     : length * 10 + (*p - '0');
    if (value && !*value)
        length = -2;
    free(value);
    return length;
}

static void allow_header(uint32_t methods, char *out, size_t size)
{
    snprintf(out, size, "allow: OPTIONS%s%s%s%s\r\n", methods & METHOD_GET ? ", GET, HEAD" : "",
             methods & METHOD_POST ? ", POST" : "", methods & METHOD_PUT ? ", PUT" : "",
             methods & METHOD_DELETE ? ", DELETE" : "");
}

/* The request is whole: it leaves libwebsockets, and goes to its route. */
static int dispatch(struct connection *conn)
{
    struct http_request *request = conn->request;
    char allow[80];
    int fd = connection_detach(conn);
    if (fd < 0)
        return -1;
    conn->request = NULL;
    request->exchange = exchange_open(conn->server, fd);
    request->request.body =
        (struct text){request->body.at ? request->body.at : "", request->body.length};
    if (request->refusal == 200) {
        request_reply(&request->request, 200, "text/plain", text_of(""), NULL);
    } else if (request->refusal) {
        request_reply_error(&request->request, request->refusal,
                            request->refusal == 411   ? "Length required"
                            : request->refusal == 413 ? "Body too large"
                                                      : "Bad request");
    } else if (!request->route) {
        request_reply_error(&request->request, 404, "Not found");
    } else if (!(request->route->methods & request->request.method)) {
        allow_header(request->route->methods, allow, sizeof allow);
        request_reply(&request->request, 405, "application/json",
                      text_of("{\"status\":\"error\",\"err\":\"Method not allowed\"}"), allow);
    } else {
        request->route->handle(&request->request);
    }
    return 0;
}

int http_on_request(struct connection *conn, const char *path, size_t length)
{
    struct lws *wsi = conn->wsi;
    const struct config *conf = server_pipeline(conn->server)->conf;
    bool options;
    if (conn->detached || conn->request) /* a second one on its heels */
        return 0;
    struct http_request *request = xcalloc(1, sizeof *request);
    conn->request = request;
    request->server = conn->server;
    request->path = xstrndup(path, length);
    request->host = header(wsi, WSI_TOKEN_HOST);
    request->origin = header(wsi, WSI_TOKEN_ORIGIN);
    request->key = custom_header(wsi, "idempotency-key:");
    request->authorization = header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    size_t query_length;
    request->query = query_of(wsi, &query_length);
    request->request = (struct request){
        .pipeline = server_pipeline(conn->server),
        .method = method_of(wsi, &request->head, &options),
        .path = {request->path, length},
        .query = {request->query, query_length},
        .host = request->host ? text_of(request->host) : text_of(""),
        .idempotency_key = text_of(request->key),
        .authorization = text_of(request->authorization),
        .reply = request_reply,
    };
    request->route =
        route_find(server_routes(conn->server), request->request.path, &request->request.rest);
    int64_t expected = content_length(wsi);
    if (options)
        request->refusal = 200;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        request->refusal = 411;
    else if (expected == -2)
        request->refusal = 400;
    else if (expected > conf->limits.body_bytes)
        request->refusal = 413;
    /* A body that is not coming, or that we will not read, is not waited for. */
    bool body = request->request.method != METHOD_GET && !request->refusal && expected > 0;
    return body ? 0 : dispatch(conn);
}

int http_on_body(struct connection *conn, const void *bytes, size_t length)
{
    struct http_request *request = conn->request;
    const struct config *conf = server_pipeline(conn->server)->conf;
    if (!request)
        return 0;
    if (request->body.length + length > (size_t)conf->limits.body_bytes)
        return -1;
    buffer_bytes(&request->body, bytes, length);
    return 0;
}

int http_on_body_complete(struct connection *conn)
{
    return conn->request ? dispatch(conn) : 0;
}

void http_on_closed(struct connection *conn)
{
    if (conn->request)
        request_free(conn->request);
    conn->request = NULL;
}

static void upgrade_refuse(struct connection *conn, int status, const char *err, const char *origin)
{
    struct buffer json = {0}, answer = {0};
    buffer_text(&json, "{\"status\":\"error\",\"err\":");
    buffer_json_string(&json, text_of(err));
    buffer_text(&json, "}");
    answer_write(conn->server, &answer, status, "application/json",
                 (struct text){json.at, json.length},
                 status == 426 ? "sec-websocket-version: 13\r\n" : NULL, origin, false);
    lws_write(conn->wsi, (unsigned char *)answer.at, answer.length, LWS_WRITE_HTTP);
    buffer_finish(&json);
    buffer_finish(&answer);
}

int http_on_upgrade(struct connection *conn)
{
    struct lws *wsi = conn->wsi;
    char *path = header(wsi, WSI_TOKEN_GET_URI), *version = header(wsi, WSI_TOKEN_VERSION);
    char *origin = header(wsi, WSI_TOKEN_ORIGIN), allowed[256];
    size_t query_length;
    char *query = query_of(wsi, &query_length);
    const char *err = NULL;
    int status = 0;
    if (!path || lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0) {
        status = 400;
        err = "Bad request";
    } else if (!version || strcmp(version, "13")) {
        status = 426;
        err = "Websocket version 13, please";
    } else if (!server_origin_allowed(conn->server, origin, allowed, sizeof allowed)) {
        status = 403;
        err = "This page's origin is not among the origins of chatup.yaml";
    } else if (!strcmp(path, "/pub")) {
        conn->kind = CONNECTION_PUBLISHER;
    } else if (!strcmp(path, "/ws") || !strncmp(path, "/ws/", 4)) {
        if (subscriber_socket_accepts(conn, text_of(path), (struct text){query, query_length},
                                      &err))
            conn->kind = CONNECTION_SUBSCRIBER;
        else
            status = 400;
    } else {
        status = 404;
        err = "Not found: websockets are /ws/<channel> and /pub";
    }
    if (status)
        upgrade_refuse(conn, status, err, origin);
    free(path);
    free(version);
    free(origin);
    free(query);
    return status ? 1 : 0;
}
