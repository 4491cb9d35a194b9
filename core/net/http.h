/* http.h: one HTTP request of a connection, and its answer. */
#pragma once
#include "buffer.h"
#include "http_head.h"
#include "route.h"

struct connection;

struct http_request {        /* lives until it is answered, even if its client does not */
    struct request request;  /* first */
    struct connection *conn; /* NULL: it is gone */
    struct http_head head;   /* its texts are in head_bytes */
    char *head_bytes;
    size_t head_length;
    struct buffer path, query, body; /* decoded; as it came */
    bool asked;                      /* a route is at it, which will answer */
    bool opens; /* it becomes a websocket or a stream: who ends the connection has left */
};

void http_request_free(struct http_request *request);
/* Answer, and free the request. headers: further ones, "name: value\r\n…", or NULL. */
void http_answer(struct http_request *request, int status, const char *content_type,
                 struct text body, const char *headers);
/* {"status":"error","err":err} */
void http_answer_error(struct http_request *request, int status, const char *err);
/* It was to open something, and waited for a plugin. May it go on? Else it has been answered. */
bool http_may_open(struct http_request *request);
/* The head of an answer that ends when the connection does. */
void http_begin_stream(struct connection *conn, const struct http_request *request,
                       const char *content_type);
