/* server.h: the sockets of one loop: who is accepted, and all connections. Its loop only, but for
 * create and destroy. */
#pragma once
#include "error.h"
#include "list.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct kick;
struct pipeline;
struct route;
struct send_queue;
struct server;

/* Listening descriptors for count loops on one address. port 0 takes a free one.
 *   fds_out   count of them, each owned by the server that gets it
 *   returns   false with err: the address is in use, or not ours; errno says which */
bool listen_open(const char *address, int port, size_t count, int *fds_out, int *port_out,
                 struct error *err);

/* Before the loop runs. routes ends with a path of NULL. */
struct server *server_create(struct pipeline *pipeline, const struct route *routes, int listen_fd);
/* Take no new clients that stay, and send away those that are here, little by little. */
void server_drain(struct server *server, int64_t over_ms);
/* Accept nobody, tell everybody to go (1001), and call gone once nobody is left. */
void server_close(struct server *server, void (*gone)(void *arg), void *arg);
/* After the loop has ended: let go of all clients. Requests under way may still be answered, until
 * server_destroy. */
void server_end(struct server *server);
void server_destroy(struct server *server);

/* ---- for the files of net/ ---- */
struct pipeline *server_pipeline(const struct server *server);
const struct route *server_routes(const struct server *server);
/* For the wires of its connections. */
struct send_queue *server_send_queue(const struct server *server);
/* Where reads go: one for all connections, looked at before the next is read. */
unsigned char *server_scratch(struct server *server, size_t *size_out);
bool server_is_closing(const struct server *server);
/* A connection begins; has ended, and is freed at the end of the turn; is gone. */
void server_count(struct server *server, struct connection *conn);
void server_bury(struct server *server, struct connection *conn);
void server_uncount(struct server *server);
/* Call publisher_answer or stream_answer for it at the end of the turn, and uncork it. */
void server_answer_later(struct server *server, struct connection *conn);
/* Whether a request from that page may be answered, and what Access-Control-Allow-Origin says
 * ("" for nothing). origin: absent when the header is. */
bool server_origin_allowed(const struct server *server, struct text origin, char *out, size_t size);
