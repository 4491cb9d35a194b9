/* connection.h: one connection of a client: HTTP requests, one after the other, until one of them
 * makes it a websocket or a stream. Owned by its server; its loop only. */
#pragma once
#include "address.h"
#include "limiter.h"
#include "list.h"
#include "log.h"
#include "subscriber.h"
#include "websocket.h"
#include "wire.h"

struct http_head;
struct http_request;
struct kick;
struct name;
struct publisher;
struct reader_wait;
struct reading;
struct server;
struct stream;
struct user;

enum connection_phase {
    PHASE_PROXY,  /* a PROXY header is awaited */
    PHASE_TLS,    /* the handshake */
    PHASE_HEAD,   /* a request, or the next one */
    PHASE_BODY,   /* the rest of it */
    PHASE_ANSWER, /* a route is at it, or its answer is being sent */
    PHASE_STREAM, /* an answer without end, or a long poll */
    PHASE_WEBSOCKET,
    PHASE_LINGER, /* everything is sent; what still comes is read and forgotten */
    PHASE_DEAD    /* freed at the end of the turn */
};

enum connection_pause {                    /* why nothing is read; bits */
                        PAUSE_INPUT = 1,   /* enough waits to be looked at */
                        PAUSE_SAYS = 2,    /* limits.pending_says */
                        PAUSE_FRAMES = 4,  /* limits.frames_per_connection; until the tick */
                        PAUSE_ENDED = 8,   /* the peer has sent its last */
                        PAUSE_LEAVING = 16 /* only what it said is still answered */
};

enum {
    CONNECTION_BEHIND_MAX = 16, /* messages that wait for a plugin's answer about an earlier one */
    CONNECTION_INPUT_MAX = 64 * 1024,
    CLOSE_GRACE_MS = 5000, /* for a full socket to take the close frame */
    LINGER_MS = 2000,
    LAST_LINGER_MS = 500 /* when the server goes */
};

struct connection {
    struct list in_server;
    struct list due; /* at the end of the turn it is answered: server_answer_later */
    struct server *server;
    struct wire wire;
    struct subscriber out; /* what rooms have for it */
    struct buffer in;      /* read, and not looked at yet */
    struct buffer message; /* websocket: a message that comes in pieces */
    struct websocket_reader frames;
    struct bucket frame_bucket;
    int64_t deadline_ms;          /* monotonic: of the phase; 0: none */
    int64_t heard_ms;             /* monotonic: of the last sign of life */
    struct address peer;          /* who is connected to us */
    struct address client;        /* who that speaks for, behind proxies; of HTTP, this request's */
    struct address counted_as;    /* limits.connections_per_address */
    uint64_t id;                  /* in the log; unique in the process */
    char *tags;                   /* that connect gave it; NULL: none */
    struct user *user;            /* as its token says; NULL: a guest */
    uint32_t user_changes;        /* how often that changed */
    struct http_request *request; /* being answered, or streamed to */
    struct publisher *publisher;  /* of /pub */
    struct reader_wait *wait;     /* of /ws: a plugin is asked about its token */
    struct reading *reading; /* channels it asked for; of a websocket only until all are there */
    struct stream *stream;   /* /ev, /lp, /sub */
    uint32_t head_seen;      /* so much of conn->in is no whole head */
    uint16_t discarded_kib;  /* while lingering */
    uint8_t phase, pauses;
    bool processing, secure;
    bool keep_alive; /* another request may follow the answer */
    bool first_frame_awaited;
    bool pinged, expiry_told;
    uint8_t pong_length; /* of a pong that waits for the socket */
    unsigned char *pong;
};

/* ---- connection.c: its life ---- */

/* fd is taken. */
void connection_open(struct server *server, int fd, const struct address *peer);
/* It is over, at once. Freed at the end of the turn. */
void connection_drop(struct connection *conn);
/* Everything was written: end it once that is sent. */
void connection_finish(struct connection *conn);
void connection_free(struct connection *conn);
/* What rooms gave it and may give it: forgotten, and begun anew. */
void connection_init_out(struct connection *conn);
void connection_pause(struct connection *conn, enum connection_pause why);
void connection_resume(struct connection *conn, enum connection_pause why);
/* Look at what has been read: after a change of phase. */
void connection_process(struct connection *conn);
/* Write; a broken connection is dropped. */
void connection_write(struct connection *conn, const void *bytes, size_t length);
/* The same, by the end of the turn. */
void connection_write_soon(struct connection *conn, const void *bytes, size_t length);
/* What is written between these leaves as one by the end of the turn, as far as the kernel takes
 * it. */
void connection_cork(struct connection *conn);
void connection_uncork(struct connection *conn);
/* Write; and finish the buffer. Of one that has failed nothing can be said: it is dropped. */
void connection_write_buffer(struct connection *conn, struct buffer *bytes);
/* Once a second. */
void connection_tick(struct connection *conn, int64_t now_ms);
/* Count it as its client's, not its proxy's; false: that one has too many. */
bool connection_count_as_client(struct connection *conn);
/* Its next request may be of somebody else. */
void connection_count_as_peer(struct connection *conn);
/* It ends if it is meant. */
void connection_kick(struct connection *conn, const struct kick *kick);
/* The token of this user counts from now on. Takes the reference. */
void connection_set_user(struct connection *conn, struct user *user);
/* It may be here no longer: 1008, with that reason. */
void connection_turn_out(struct connection *conn, const char *reason);
/* The rules have changed: it ends if it reads what it may read no more. */
void connection_recheck(struct connection *conn);
/* Why user may not read all that it reads, as a close frame says it; NULL: they may. */
const char *connection_unwelcome(const struct connection *conn, const struct user *user);
/* The server goes: 1001. A websocket that speaks gets the answers to what it said before. */
void connection_go_away(struct connection *conn);
/* The same, of a client that is to come back elsewhere, after so many milliseconds.
 *   returns  false: it is none that stays, and so none that need be told */
bool connection_send_away(struct connection *conn, unsigned after_ms);

/* One line about it. level: enum log_level. */
void connection_log(const struct connection *conn, enum log_level level, const char *what,
                    const char *why);

/* ---- http.c ---- */

/* Take what it can of conn->in, in PHASE_HEAD and PHASE_BODY. false: more must come. */
bool http_process(struct connection *conn);
/* The client took too long. */
void http_time_out(struct connection *conn);
/* Its answer has been sent: on with the next request, or the end. */
void http_answered(struct connection *conn);
/* Its request is no longer asked for. */
void http_on_closed(struct connection *conn);

/* ---- websocket_connection.c ---- */

/* returns  how many bytes were looked at: all, unless it was paused */
size_t websocket_take(struct connection *conn, unsigned char *bytes, size_t length);
/* End it after this turn, with that code; what is queued is dropped. reason is kept as it is. */
void websocket_close(struct connection *conn, uint16_t code, const char *reason);
/* A text frame that is no room's. */
void websocket_send(struct connection *conn, struct text json);
/* Takes the reference; NULL: there was no memory for it. */
void websocket_send_frame(struct connection *conn, struct frame *frame);
void websocket_on_clear(struct connection *conn);
void websocket_tick(struct connection *conn, int64_t now_ms);

/* ---- publisher.c ---- */

void publisher_on_open(struct connection *conn);
void publisher_on_message(struct connection *conn, struct text message, bool binary);
void publisher_on_closed(struct connection *conn);
/* Send the replies that are ready. */
void publisher_answer(struct connection *conn);
/* Read nothing more; close with 1001 once all that was said is answered. */
void publisher_leave(struct connection *conn, const char *reason);
/* Whether a plugin is asked about its token, or its room. */
bool publisher_waits(const struct connection *conn);
/* Whether it speaks in that room; NULL: in any. */
bool publisher_is_in(const struct connection *conn, const struct name *room);

/* ---- subscriber_socket.c ---- */

void subscriber_socket_on_open(struct connection *conn);
void subscriber_socket_on_message(struct connection *conn, struct text message);
void subscriber_socket_on_closed(struct connection *conn);

/* ---- stream.c: /ev, /lp and /sub ---- */

/* The request is for one of them: answer it. */
void stream_open(struct http_request *request);
bool stream_is_path(struct text path);
void stream_tick(struct connection *conn, int64_t now_ms);
void stream_on_clear(struct connection *conn);
/* At the end of the turn, of those that asked for it (server_answer_later). */
void stream_answer(struct connection *conn);
void stream_on_closed(struct connection *conn);
/* Tell the reader why, as far as its transport can, and end. */
void stream_end(struct connection *conn, uint16_t code, const char *reason);
void stream_tell_expiry(struct connection *conn, int64_t seconds);
