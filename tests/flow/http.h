/* http.h: requests, as wrong as they need to be, and answers taken apart. */
#pragma once
#include "server.h"
#include "stream.h"
#include <jansson.h>

struct http_answer {
    int status;
    char *head; /* status line and headers */
    char *body;
    size_t length;
    json_t *json; /* the body; NULL if it is not JSON */
};

/* Next answer of a connection; NULL if it ends before. The test fails at the deadline.
 *   is_head  it answers HEAD: there is no body, whatever the headers say */
struct http_answer *http_receive(struct stream *stream, bool is_head, int64_t deadline);
/* Value of a header; NULL if there is none. */
char *http_header(const struct http_answer *answer, const char *name);
/* The text of a request.
 *   headers  further ones, each with \r\n, or NULL
 *   body     NULL: none, and no Content-Length */
char *http_text(struct server *server, const char *method, const char *target, const char *headers,
                const char *body);

/* On a connection of its own; the test fails without an answer. */
struct http_answer *http_raw(struct server *server, const char *request);
struct http_answer *http_call(struct server *server, const char *method, const char *target,
                              const char *headers, const char *body);
struct http_answer *http_get(struct server *server, const char *target);
struct http_answer *http_post(struct server *server, const char *target, const char *body);

/* What is no letter or digit as %XX. */
char *url_encode(const char *text);
