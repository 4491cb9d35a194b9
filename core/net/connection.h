/* connection.h: one connection of a client: HTTP at first, perhaps a websocket after. Owned by its
 * libwebsockets wsi, on the loop of its server. */
#pragma once
#include "buffer.h"
#include "list.h"
#include "subscriber.h"
#include <libwebsockets.h>

struct http_request;
struct publisher;
struct server;

enum connection_kind { CONNECTION_HTTP, CONNECTION_SUBSCRIBER, CONNECTION_PUBLISHER };

struct connection {
    struct list in_server;
    struct server *server;
    struct lws *wsi;
    enum connection_kind kind;
    bool established;      /* a websocket */
    struct subscriber out; /* what is on its way to a websocket */
    struct buffer in;      /* a websocket message, as far as it has come */
    int64_t heard_ms;      /* monotonic: of the last sign of life */
    int64_t opened_ms;     /* monotonic: of the upgrade */
    bool pinged;
    uint16_t close_code; /* 0: it stays open */
    const char *close_reason;
    struct http_request *request; /* HTTP: still coming, else NULL */
    bool detached;                /* its socket lives on in an exchange */
    struct publisher *publisher;
    bool subscribed;
    struct wish *wishes; /* SUBSCRIBER: rooms still to be subscribed to, from next_wish on */
    size_t wish_count, next_wish;
    bool admission_awaited;
};

/* End a websocket after this turn, with that code; what is queued is dropped. */
void connection_close(struct connection *conn, uint16_t code, const char *reason);

/* Its socket, a descriptor of its own, while libwebsockets lets go of the connection. -1: none. */
int connection_detach(struct connection *conn);

/* ---- http.c: what the protocol callback hands on. A result of -1 ends the connection ---- */
int http_on_request(struct connection *conn, const char *path, size_t length);
int http_on_body(struct connection *conn, const void *bytes, size_t length);
int http_on_body_complete(struct connection *conn);
void http_on_closed(struct connection *conn);
/* 0: go on with the upgrade; 1: it was answered. */
int http_on_upgrade(struct connection *conn);

/* ---- subscriber_socket.c ---- */
/* Whether path and query name channels, which conn->wishes then holds, or leave that to the first
 * frame. false: err says why. */
bool subscriber_socket_accepts(struct connection *conn, struct text path, struct text query,
                               const char **err);
void subscriber_socket_on_open(struct connection *conn);
/* Something of what was asked for was sent: on with the next channel, if the socket keeps up. */
void subscriber_socket_continue(struct connection *conn);
void subscriber_socket_on_closed(struct connection *conn);
void subscriber_socket_on_message(struct connection *conn, struct text message);

/* ---- publisher.c ---- */
void publisher_on_open(struct connection *conn);
void publisher_on_message(struct connection *conn, struct text message, bool binary);
void publisher_on_closed(struct connection *conn);
bool publisher_is_authenticated(const struct connection *conn);
