/* HTTP/1.1 (RFC 9110, 9112): requests one after the other, pipelined or not, each answered before
 * the next is looked at. */
#include "http.h"
#include "alloc.h"
#include "caller.h"
#include "clock.h"
#include "config.h"
#include "connection.h"
#include "counters.h"
#include "forwarded.h"
#include "pipeline.h"
#include "reading.h"
#include "say.h"
#include "server.h"
#include "url.h"
#include "user.h"
#include "visitor.h"

#include <stdio.h>
#include <time.h>

static const struct config *conf_of(const struct connection *conn)
{
    return server_pipeline(conn->server)->conf;
}

/* ---- answers ---- */

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
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {417, "Expectation Failed"},
                 {418, "I'm a teapot"},
                 {422, "Unprocessable Content"},
                 {426, "Upgrade Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].text;
    return "Answer";
}

static void write_date(struct buffer *out)
{
    char line[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(line, sizeof line, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    buffer_text(out, line);
}

/* Status line and the headers that every answer has (CORS: fetch.spec.whatwg.org). */
static void write_head(struct buffer *out, const struct server *server, int status,
                       struct text origin, bool close)
{
    char allowed[1100], line[96];
    snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    buffer_text(out, line);
    write_date(out);
    server_origin_allowed(server, origin, allowed, sizeof allowed);
    if (allowed[0]) {
        buffer_text(out, "access-control-allow-origin: ");
        buffer_text(out, allowed);
        buffer_text(out, "\r\n");
    }
    if (strcmp(allowed, "*") != 0)
        buffer_text(out, "vary: origin\r\n");
    buffer_text(out, "access-control-allow-methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
                     "access-control-allow-headers: Content-Type, X-Requested-With, "
                     "Authorization, Idempotency-Key, Last-Event-ID\r\n"
                     "access-control-max-age: 600\r\n");
    if (close)
        buffer_text(out, "connection: close\r\n");
}

static void answer_send(struct connection *conn, int status, const char *content_type,
                        struct text body, const char *headers, struct text origin, bool is_head)
{
    struct buffer answer = {0};
    char line[256];
    bool has_none = status == 204 || status == 304; /* RFC 9110, section 6.4.1 */
    conn->keep_alive &= !server_is_closing(conn->server);
    write_head(&answer, conn->server, status, origin, !conn->keep_alive);
    snprintf(line, sizeof line, "content-type: %s\r\ncontent-length: %zu\r\n", content_type,
             body.length);
    if (!has_none)
        buffer_text(&answer, line);
    if (headers)
        buffer_text(&answer, headers);
    buffer_text(&answer, "\r\n");
    if (!is_head && !has_none)
        buffer_bytes(&answer, body.at, body.length);
    conn->phase = PHASE_ANSWER;
    conn->deadline_ms = 0;
    connection_write_buffer(conn, &answer);
    if (conn->phase == PHASE_ANSWER && wire_is_clear(&conn->wire))
        http_answered(conn);
}

void http_request_free(struct http_request *request)
{
    buffer_finish(&request->path);
    buffer_finish(&request->query);
    buffer_finish(&request->body);
    free(request->head_bytes);
    free(request->request.place);
    free(request);
}

void http_answer(struct http_request *request, int status, const char *content_type,
                 struct text body, const char *headers)
{
    struct connection *conn = request->conn;
    if (conn && conn->phase != PHASE_DEAD) {
        conn->request = NULL;
        if (conn->keep_alive) /* it may have been counted as what it did not become */
            connection_count_as_peer(conn);
        answer_send(conn, status, content_type, body, headers, request->head.origin,
                    request->head.method == HTTP_HEAD);
    } else if (conn) {
        conn->request = NULL;
    }
    http_request_free(request);
}

static void request_reply(struct request *request, int status, const char *content_type,
                          struct text body, const char *headers)
{
    http_answer((struct http_request *)request, status, content_type, body, headers);
}

void http_answer_error(struct http_request *request, int status, const char *err)
{
    request_reply_error(&request->request, status, err);
}

void http_begin_stream(struct connection *conn, const struct http_request *request,
                       const char *content_type)
{
    struct buffer head = {0};
    write_head(&head, conn->server, 200, request->head.origin, true);
    buffer_text(&head, "content-type: ");
    buffer_text(&head, content_type);
    buffer_text(&head, "\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n\r\n");
    connection_write_buffer(conn, &head);
}

void http_answered(struct connection *conn)
{
    if (!conn->keep_alive) {
        connection_finish(conn);
        return;
    }
    conn->phase = PHASE_HEAD;
    conn->deadline_ms = clock_mono_ms() + (conn->in.length ? conf_of(conn)->limits.header_ms
                                                           : conf_of(conn)->limits.idle_ms);
    connection_process(conn);
}

/* An answer to what is no request. */
static void refuse(struct connection *conn, int status, const char *why)
{
    struct buffer json = {0};
    count_up(status == 431 || status == 414 ? COUNT_too_big_heads : COUNT_bad_requests);
    error_write(&json, why);
    conn->keep_alive = false;
    answer_send(conn, status, "application/json", (struct text){json.at, json.length}, NULL,
                (struct text){0}, false);
    buffer_finish(&json);
}

void http_time_out(struct connection *conn)
{
    bool body = conn->phase == PHASE_BODY;
    if (!body && !conn->in.length) {
        connection_drop(conn); /* between two requests, or before the first */
        return;
    }
    count_up(body ? COUNT_timed_out_body : COUNT_timed_out_header);
    if (body)
        http_on_closed(conn);
    refuse(conn, 408, "Request timeout");
}

void http_on_closed(struct connection *conn)
{
    struct http_request *request = conn->request;
    conn->request = NULL;
    if (!request)
        return;
    request->conn = NULL;
    if (request->request.left)
        request->request.left(&request->request); /* which answers, now or later */
    else if (!request->asked)
        http_request_free(request);
}

/* ---- routes ---- */

static const struct route *route_find(const struct route *route, enum role role, struct text path,
                                      struct text *rest)
{
    for (; route->path; route++) {
        size_t length = strlen(route->path);
        bool exact = path.length == length;
        if (route->not_on & 1U << role)
            continue;
        if (!path_is_at(path, route->path) || (!exact && route->no_rest))
            continue;
        *rest = exact ? (struct text){path.at + length, 0}
                      : (struct text){path.at + length + 1, path.length - length - 1};
        return route;
    }
    return NULL;
}

static void answer_not_allowed(struct http_request *request, const char *methods)
{
    char allow[80];
    snprintf(allow, sizeof allow, "allow: OPTIONS, %s\r\n", methods);
    request_reply_error_with(&request->request, 405, "Method not allowed", allow);
}

/* HEAD is GET to a route; a stream has no head without a body. */
static void answer_wrong_method(struct http_request *request, uint32_t methods)
{
    char list[48];
    snprintf(list, sizeof list, "%s%s%s%s", methods & METHOD_GET ? ", GET, HEAD" : "",
             methods & METHOD_POST ? ", POST" : "", methods & METHOD_PUT ? ", PUT" : "",
             methods & METHOD_DELETE ? ", DELETE" : "");
    answer_not_allowed(request, list + 2);
}

static void answer_upgrade_required(struct http_request *request, const char *err)
{
    request_reply_error_with(&request->request, 426, err,
                             "upgrade: websocket\r\nsec-websocket-version: 13\r\n");
}

static const char not_here[] =
    "Not found: this is a dispatcher; POST /join/<channel> says where the worker is";

static bool is_of_workers(const struct http_request *request)
{
    struct text path = request->head.path;
    return stream_is_path(path) || path_is_at(path, "/ws") ||
           text_is(request->request.path, "/pub");
}

static void answer_draining(struct http_request *request)
{
    request_reply_error_with(&request->request, 503, "draining", "retry-after: 1\r\n");
}

/* The request is whole. */
static void dispatch(struct http_request *request)
{
    struct connection *conn = request->conn;
    struct request *asked = &request->request;
    enum http_method method = request->head.method;
    struct text path = asked->path;
    asked->body = (struct text){request->body.at ? request->body.at : "", request->body.length};
    conn->phase = PHASE_ANSWER;
    conn->deadline_ms = 0;
    const struct route *route =
        route_find(server_routes(conn->server), asked->pipeline->role, path, &asked->rest);
    if (method == HTTP_OPTIONS) {
        http_answer(request, 200, "text/plain", text_of(""), NULL);
    } else if (asked->pipeline->role == ROLE_DISPATCHER && is_of_workers(request)) {
        http_answer_error(request, 404, not_here);
    } else if (asked->pipeline->draining && stream_is_path(request->head.path)) {
        answer_draining(request);
    } else if (stream_is_path(request->head.path)) { /* as it came: it is split, then decoded */
        if (method == HTTP_GET)
            stream_open(request);
        else
            answer_not_allowed(request, "GET");
    } else if (path_is_at(request->head.path, "/ws") ||
               (text_is(path, "/pub") && method != HTTP_POST)) {
        answer_upgrade_required(request, "This is a websocket");
    } else if (!route) {
        http_answer_error(request, 404, "Not found");
    } else if (!(route->methods & asked->method)) {
        answer_wrong_method(request, route->methods);
    } else {
        request->asked = true;
        route->handle(asked);
    }
}

/* ---- websockets ---- */

/* What makes a handshake right (RFC 6455, section 4.2.1); or the request has been answered. */
static bool upgrade_is_good(struct http_request *request, char accept[WEBSOCKET_ACCEPT_SIZE])
{
    const struct http_head *head = &request->head;
    struct text path = request->request.path;
    char allowed[1100];
    request->conn->keep_alive = false;
    if (request->request.pipeline->role == ROLE_DISPATCHER && is_of_workers(request))
        http_answer_error(request, 404, not_here);
    else if (request->request.pipeline->draining)
        answer_draining(request);
    else if (!path_is_at(head->path, "/ws") && !text_is(path, "/pub"))
        http_answer_error(request, 404, "Not found: websockets are /ws/<channel> and /pub");
    else if (head->method != HTTP_GET || head->is_1_0 || head->content_length > 0)
        http_answer_error(request, 400, "A websocket begins with GET, HTTP/1.1 and no body");
    else if (!head->websocket_13)
        answer_upgrade_required(request, "Websocket version 13, please");
    else if (!websocket_accept(head->websocket_key, accept))
        http_answer_error(request, 400, "Sec-WebSocket-Key is not 16 bytes of base64");
    else if (!server_origin_allowed(request->conn->server, head->origin, allowed, sizeof allowed))
        http_answer_error(request, 403,
                          "This page's origin is not among the origins of chatup.yaml");
    else
        return true;
    return false;
}

/* The channels that a target names; false after answering. None is fine: the first frame says. */
static bool upgrade_reads(struct http_request *request, const struct user *user)
{
    struct connection *conn = request->conn;
    struct reading_refusal why;
    struct text path = request->head.path, query = request->request.query;
    path = path.length > 4 ? (struct text){path.at + 4, path.length - 4} : (struct text){0};
    conn->reading = reading_of_target(server_pipeline(conn->server), user, &conn->client, path,
                                      query, query_argument(query, "since"), &why);
    if (!conn->reading && why.status)
        http_answer_error(request, why.status, why.err);
    return conn->reading || !why.status;
}

bool http_may_open(struct http_request *request)
{
    if (request->conn->phase != PHASE_ANSWER) /* it breaks, and will be gone at the turn's end */
        http_answer_error(request, 503, "unavailable");
    else if (request->request.pipeline->draining || server_is_closing(request->conn->server))
        answer_draining(request);
    else
        return true;
    return false;
}

static void upgrade_as(struct request *asked, struct user *user)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
                                 "connection: Upgrade\r\nsec-websocket-accept: ";
    struct http_request *request = (struct http_request *)asked;
    struct connection *conn = request->conn;
    char accept[WEBSOCKET_ACCEPT_SIZE] = "", head[sizeof answer + WEBSOCKET_ACCEPT_SIZE + 4];
    if (!http_may_open(request))
        return;
    bool speaks = text_is(request->request.path, "/pub");
    if (!speaks && !upgrade_reads(request, user))
        return;
    websocket_accept(request->head.websocket_key, accept);
    conn->request = NULL;
    http_request_free(request);
    if (user)
        connection_set_user(conn, user_ref(user));
    snprintf(head, sizeof head, "%s%s\r\n\r\n", answer, accept);
    connection_cork(conn); /* what is there by the end of the turn leaves with it */
    server_answer_later(conn->server, conn);
    connection_write(conn, head, strlen(head));
    if (conn->phase == PHASE_DEAD)
        return;
    count_up(COUNT_websockets);
    conn->phase = PHASE_WEBSOCKET;
    conn->deadline_ms = clock_mono_ms() + conf_of(conn)->limits.auth_ms;
    if (speaks)
        publisher_on_open(conn);
    else
        subscriber_socket_on_open(conn);
    connection_process(conn); /* what came while a plugin was asked */
}

static void upgrade_visitor(struct http_request *request)
{
    request_with_user(&request->request, upgrade_as);
}

static void upgrade(struct http_request *request)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];
    bool speaks = text_is(request->request.path, "/pub");
    request->conn->phase = PHASE_ANSWER;
    request->conn->request = request;
    request->opens = true;
    if (upgrade_is_good(request, accept))
        visitor_ask(request, speaks ? CHATUP_WAY_PUB : CHATUP_WAY_WS, upgrade_visitor);
}

/* ---- requests ---- */

static uint32_t method_of(const struct http_head *head)
{
    static const enum http_method of[][2] = {{HTTP_GET, (enum http_method)METHOD_GET},
                                             {HTTP_HEAD, (enum http_method)METHOD_GET},
                                             {HTTP_POST, (enum http_method)METHOD_POST},
                                             {HTTP_PUT, (enum http_method)METHOD_PUT},
                                             {HTTP_DELETE, (enum http_method)METHOD_DELETE}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (of[i][0] == head->method)
            return of[i][1];
    return 0;
}

/* What a trusted proxy says of its client. Most set X-Forwarded-For, and pass on a Forwarded that
 * the client made up: that one counts only without the other. */
static void read_forwarded(struct connection *conn, struct http_request *request)
{
    const struct config_networks *trusted = &conf_of(conn)->trusted;
    const struct http_head *head = &request->head;
    bool is_forwarded = head->forwarded.at && !head->forwarded_for.at;
    struct buffer joined = {0};
    request->request.secure = conn->secure;
    conn->client = conn->peer;
    if (!trusted->count || !networks_contain(trusted->networks, trusted->count, &conn->peer))
        return;
    http_head_join(request->head_bytes, request->head_length,
                   is_forwarded ? "forwarded" : "x-forwarded-for", &joined);
    struct text chain = {joined.at ? joined.at : "", joined.length};
    forwarded_client(chain, is_forwarded, trusted->networks, trusted->count, &conn->client);
    if (head->forwarded_proto.at)
        request->request.secure = text_is(head->forwarded_proto, "https");
    else if (is_forwarded && !conn->secure)
        request->request.secure = forwarded_is_secure(chain, trusted->networks, trusted->count);
    buffer_finish(&joined);
}

static struct http_request *request_create(struct connection *conn, size_t length)
{
    struct http_request *request = xcalloc(1, sizeof *request);
    const char *why;
    request->conn = conn;
    request->head_bytes = xmemdup(conn->in.at, length);
    request->head_length = length;
    http_head_parse(request->head_bytes, length, length + 1, &request->head, &why);
    buffer_skip(&conn->in, length);
    request->request =
        (struct request){.pipeline = server_pipeline(conn->server),
                         .method = method_of(&request->head),
                         .host = request->head.host.at ? request->head.host : text_of(""),
                         .idempotency_key = request->head.idempotency_key,
                         .authorization = request->head.authorization,
                         .reply = request_reply};
    return request;
}

/* Path and query, decoded. */
static bool request_decode(struct http_request *request)
{
    bool good = url_decode(request->head.path, false, &request->path) &&
                url_decode_query(request->head.query, &request->query);
    request->request.path = (struct text){request->path.at, request->path.length};
    request->request.query = (struct text){request->query.at, request->query.length};
    return good;
}

static void answer_too_often(struct http_request *request, int64_t wait_ms)
{
    char headers[48], json[ANSWER_BYTES];
    snprintf(headers, sizeof headers, "retry-after: %lld\r\n", (long long)(wait_ms + 999) / 1000);
    http_answer(request, 429, "application/json", answer_limited(json, wait_ms), headers);
}

/* The head is there: answer at once, or wait for the body, or go on. */
static void request_begin(struct connection *conn, struct http_request *request)
{
    const struct http_head *head = &request->head;
    struct pipeline *pipeline = server_pipeline(conn->server);
    int64_t length = head->content_length, wait_ms;
    bool refused = head->has_transfer_encoding || length > pipeline->conf->limits.body_bytes ||
                   head->expects_else;
    count_up(COUNT_requests);
    conn->request = request;
    conn->phase = PHASE_ANSWER;
    conn->keep_alive = !head->close && !refused && !server_is_closing(conn->server);
    read_forwarded(conn, request);
    address_format(&conn->client, request->request.address);
    wait_ms =
        limiter_take(pipeline->limiter, pipeline->conf, LIMITED_REQUEST, NULL, &conn->client, NULL);
    if (length > pipeline->conf->limits.body_bytes) {
        count_up(COUNT_too_big_bodies);
        http_answer_error(request, 413, "Body too large");
    } else if (head->has_transfer_encoding) {
        http_answer_error(request, 411, "Length required");
    } else if (head->expects_else) {
        http_answer_error(request, 417, "Only 100-continue can be expected");
    } else if (wait_ms) {
        conn->keep_alive = false; /* its body is not read */
        answer_too_often(request, wait_ms);
    } else if (!request_decode(request)) {
        conn->keep_alive = false;
        http_answer_error(request, 400, "The target is not percent-encoded as it should be");
    } else if (head->connection_upgrade && head->upgrade_websocket) {
        upgrade(request);
    } else if (length > 0) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        conn->phase = PHASE_BODY;
        conn->deadline_ms = clock_mono_ms() + pipeline->conf->limits.body_ms;
        if (head->expects_continue && !conn->in.length && !head->is_1_0)
            connection_write(conn, go_on, sizeof go_on - 1);
    } else {
        dispatch(request);
    }
}

/* Without the end of another line, what was read of it before is all there is to know: who sends it
 * byte by byte must not have it read again with each. */
static bool head_is_unchanged(const struct connection *conn, size_t max_bytes)
{
    enum { EMPTY_LINES = 8 }; /* may come before it */
    size_t seen = conn->head_seen;
    return seen > EMPTY_LINES && conn->in.length < max_bytes &&
           !memchr(conn->in.at + seen, '\n', conn->in.length - seen);
}

bool http_process(struct connection *conn)
{
    struct http_request *request = conn->request;
    if (conn->phase == PHASE_BODY) {
        size_t length = (size_t)request->head.content_length;
        if (conn->in.length < length)
            return false;
        if (conn->in.length == length) {
            request->body = conn->in;
            conn->in = (struct buffer){0};
        } else {
            buffer_bytes(&request->body, conn->in.at, length);
            buffer_skip(&conn->in, length);
        }
        if (request->body.failed)
            http_answer_error(request, 503, "unavailable");
        else
            dispatch(request);
        return true;
    }
    struct http_head head;
    const char *why;
    size_t max = (size_t)conf_of(conn)->limits.header_bytes;
    if (!conn->in.length || head_is_unchanged(conn, max))
        return false;
    long used = http_head_parse(conn->in.at, conn->in.length, max, &head, &why);
    conn->head_seen = used ? 0 : (uint32_t)conn->in.length;
    if (used == 0)
        return false;
    if (used < 0)
        refuse(conn, (int)-used, why);
    else
        request_begin(conn, request_create(conn, (size_t)used));
    return true;
}
