/* net.h: thousands of connections to one server, in one thread. A scenario opens them, turns
 * net_turn() until something is so, and looks at the counters. */
#pragma once
#include "count.h"
#include "dialect.h"
#include "tls.h"
#include "ws.h"

/* A room, its readers here, and how far they are. Its scenario owns it. */
struct room {
    char name[24];
    char since[64]; /* its position, from the last first frame that told one; ChatUp only */
    unsigned readers;
    uint64_t known;           /* number of the last message that readers have when they open */
    uint64_t sent, delivered; /* messages; deliveries, one per message and reader */
    struct conn *publisher;
};

enum conn_state { CONN_CONNECTING, CONN_HANDSHAKE, CONN_HELLO, CONN_READY, CONN_CLOSED };

struct conn {
    int fd;
    struct tls *tls; /* or NULL */
    enum conn_state state;
    enum role role;
    struct room *room;
    struct ws_parser parser;
    struct tally tally;
    char status[13];     /* "HTTP/1.1 101", as far as it came */
    uint8_t status_have; /* and so far it did */
    uint8_t newlines;    /* of the empty line that ends a head, bytes seen */
    unsigned frames;     /* of the server, until it is ready */
    uint64_t unanswered; /* says */
    char *out;           /* what is to be sent, from out_sent on */
    size_t out_have, out_sent, out_size;
    bool out_waits; /* for the kernel to take more */
};

struct net {
    const struct dialect *dialect;
    const char *host, *token;
    int port, sources;
    bool tls;
    bool resume; /* readers open with their room's position */
    struct conn *conns;
    unsigned n, max;
    struct count count;
    unsigned ready, closed; /* connections; closed by the server or refused */
    unsigned unrecovered;   /* first frames, asked for with a position, that say recovered: false */
    uint64_t replies, errors;
    char first_error[200];
    /* What a scenario wants to know at once, or NULL. */
    void (*on_delivery)(struct net *net, struct room *room);
    void (*on_reply)(struct net *net, struct conn *conn, unsigned replies);
    int epoll;
    uint64_t now_ns;
    char *buffer;
};

void net_begin(struct net *net, unsigned max);
void net_end(struct net *net); /* resets what is open, frees all */

/* Begin to connect; CONN_READY follows in a later turn. The net owns it until net_end(). */
struct conn *net_open(struct net *net, enum role role, struct room *room);

/* Open so many, at most `at_once` of them under way; false if one failed or nothing came for 20 s.
 */
bool net_open_all(struct net *net, enum role role, struct room *rooms, unsigned n_rooms, unsigned n,
                  unsigned at_once);

/* Reset all connections, and forget them. */
void net_drop(struct net *net);

/* Handle what is there, or comes within so many milliseconds. */
void net_turn(struct net *net, int timeout_ms);

/* Put one say into the connection's buffer; conn_flush() sends what is in there. */
void conn_say(struct net *net, struct conn *conn, size_t bytes);
void conn_flush(struct net *net, struct conn *conn);
