/* Reading without a websocket, by an answer to GET that does not end at once:
 *   /ev/…   server-sent events (html.spec.whatwg.org, section 9.2): each frame an event; its id
 *           says where the reader is in all its channels
 *   /sub/…  the same as lines of JSON
 *   /lp/…   long polling: the answer comes when there is something, and ends:
 *           {"since":"E:1,E:2","frames":[frame,…]}
 * Rooms write frames to it as to a websocket. */
#include "alloc.h"
#include "caller.h"
#include "clock.h"
#include "config.h"
#include "connection.h"
#include "counters.h"
#include "frame.h"
#include "http.h"
#include "pipeline.h"
#include "reading.h"
#include "server.h"
#include "url.h"
#include "user.h"
#include "visitor.h"

enum kind { EVENTS, LINES, POLL };

static const struct {
    const char *path, *content_type;
    enum chatup_way way;
} kinds[] = {[EVENTS] = {"/ev", "text/event-stream", CHATUP_WAY_EV},
             [LINES] = {"/sub", "application/x-ndjson", CHATUP_WAY_SUB},
             [POLL] = {"/lp", "application/json", CHATUP_WAY_LP}};

struct stream {
    enum kind kind;
    struct buffer frames; /* POLL: what to answer, so far */
    bool answering;       /* POLL: at the end of this turn */
    int64_t until_ms;     /* POLL: monotonic */
    int64_t wrote_ms;     /* monotonic */
};

static const struct config *conf_of(const struct connection *conn)
{
    return server_pipeline(conn->server)->conf;
}

bool stream_is_path(struct text path)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (path_is_at(path, kinds[i].path))
            return true;
    return false;
}

/* ---- writing ---- */

static struct connection *connection_of(struct subscriber *out)
{
    return list_entry(out, struct connection, out);
}

static bool stream_writable(struct subscriber *out)
{
    struct connection *conn = connection_of(out);
    return conn->stream->kind == POLL || wire_is_clear(&conn->wire);
}

static void write_event(struct buffer *out, const struct reading *reading, const char *event,
                        struct text json)
{
    if (event) {
        buffer_text(out, "event: ");
        buffer_text(out, event);
    } else {
        buffer_text(out, "id: ");
        reading_write_positions(reading, out);
    }
    buffer_text(out, "\ndata: ");
    buffer_bytes(out, json.at, json.length);
    buffer_text(out, "\n\n");
}

/* event: NULL for a frame of a room. */
static void stream_write(struct connection *conn, const char *event, struct text json)
{
    struct buffer out = {0};
    if (conn->stream->kind == EVENTS) {
        write_event(&out, conn->reading, event, json);
    } else {
        buffer_bytes(&out, json.at, json.length);
        buffer_text(&out, "\n");
    }
    conn->stream->wrote_ms = clock_mono_ms();
    if (out.failed)
        connection_drop(conn);
    else
        connection_write_soon(conn, out.at, out.length);
    buffer_finish(&out);
}

static void poll_answer_soon(struct connection *conn)
{
    if (!conn->stream->answering)
        server_answer_later(conn->server, conn);
    conn->stream->answering = true;
}

static void poll_take(struct connection *conn, const struct frame *frame)
{
    struct stream *stream = conn->stream;
    if (frame->is_news) {
        if (stream->frames.length)
            buffer_text(&stream->frames, ",");
        buffer_bytes(&stream->frames, frame->json.at, frame->json.length);
    }
    bool full =
        stream->frames.failed || stream->frames.length > (size_t)conf_of(conn)->limits.queue_bytes;
    if (full)
        conn->out.state = SUBSCRIBER_CLOSING; /* the rest is for the next poll */
    if (full || (stream->frames.length && reading_is_complete(conn->reading)))
        poll_answer_soon(conn);
}

static bool stream_take(struct subscriber *out, const struct frame *frame)
{
    struct connection *conn = connection_of(out);
    reading_note(conn->reading, frame);
    if (conn->stream->kind == POLL)
        poll_take(conn, frame);
    else
        stream_write(conn, NULL, frame->json);
    return conn->phase != PHASE_DEAD;
}

static void stream_admitted(struct subscriber *out)
{
    struct connection *conn = connection_of(out);
    reading_admitted(conn);
    if (conn->stream->kind == POLL && reading_is_complete(conn->reading) &&
        conn->stream->frames.length)
        poll_answer_soon(conn);
}

static void stream_close(struct subscriber *out, enum close_reason why)
{
    struct connection *conn = connection_of(out);
    if (why == CLOSE_BROKEN)
        connection_drop(conn);
    else if (why == CLOSE_TOO_SLOW) {
        count_up(COUNT_slow_readers);
        stream_end(conn, 1013, "too slow");
    } else {
        if (conn->phase == PHASE_STREAM && conn->stream->kind == POLL &&
            !conn->stream->frames.length)
            buffer_fail(&conn->stream->frames); /* a poll is answered 503 */
        stream_end(conn, 1013, "unavailable");
    }
}

static const struct subscriber_socket stream_socket = {stream_writable, stream_take,
                                                       stream_admitted, stream_close};

/* ---- ending ---- */

static void stream_destroy(struct connection *conn)
{
    buffer_finish(&conn->stream->frames);
    free(conn->stream);
    conn->stream = NULL;
}

/* The poll is over; its connection goes on. */
void stream_answer(struct connection *conn)
{
    struct http_request *request = conn->request;
    struct buffer json = {0};
    if (conn->phase != PHASE_STREAM)
        return;
    buffer_text(&json, "{\"since\":\"");
    reading_write_positions(conn->reading, &json);
    buffer_text(&json, "\",\"frames\":[");
    buffer_bytes(&json, conn->stream->frames.at, conn->stream->frames.length);
    buffer_text(&json, "]}");
    bool failed = json.failed || conn->stream->frames.failed;
    pipeline_leave(server_pipeline(conn->server), &conn->out);
    connection_init_out(conn);
    reading_destroy(conn->reading);
    conn->reading = NULL;
    stream_destroy(conn);
    connection_set_user(conn, NULL);
    connection_count_as_peer(conn);
    if (failed)
        http_answer_error(request, 503, "unavailable");
    else
        http_answer(request, 200, "application/json", (struct text){json.at, json.length},
                    "cache-control: no-store\r\n");
    buffer_finish(&json);
}

void stream_end(struct connection *conn, uint16_t code, const char *reason)
{
    char json[128];
    if (conn->phase != PHASE_STREAM)
        return;
    if (conn->stream->kind == POLL) {
        conn->keep_alive = conn->keep_alive && code != 1001;
        conn->out.state = SUBSCRIBER_CLOSING;
        poll_answer_soon(conn);
        return;
    }
    int length = snprintf(json, sizeof json, "{\"close\":%d,\"reason\":\"%s\"}", code, reason);
    stream_write(conn, "close", (struct text){json, (size_t)length});
    connection_finish(conn);
}

void stream_tell_expiry(struct connection *conn, int64_t seconds)
{
    char json[64];
    int length = snprintf(json, sizeof json, "{\"expires\":%lld}", (long long)seconds);
    if (conn->stream->kind != POLL && wire_is_clear(&conn->wire))
        stream_write(conn, "expires", (struct text){json, (size_t)length});
}

void stream_on_closed(struct connection *conn)
{
    if (conn->stream)
        stream_destroy(conn);
}

/* ---- going on ---- */

void stream_on_clear(struct connection *conn)
{
    subscriber_on_writable(&conn->out);
    reading_continue(conn);
}

void stream_tick(struct connection *conn, int64_t now_ms)
{
    struct stream *stream = conn->stream;
    if (stream->kind == POLL) {
        if (now_ms >= stream->until_ms)
            poll_answer_soon(conn);
    } else if (now_ms - stream->wrote_ms > conf_of(conn)->limits.idle_ms / 2 &&
               wire_is_clear(&conn->wire)) {
        stream->wrote_ms = now_ms; /* a proxy between us may have limits of its own */
        connection_write_soon(conn, stream->kind == EVENTS ? ":\n\n" : "\n",
                              stream->kind == EVENTS ? 3 : 1);
    }
}

/* ---- beginning ---- */

static enum kind kind_of(struct text path)
{
    return path.at[1] == 'e' ? EVENTS : path.at[1] == 's' ? LINES : POLL;
}

static void stream_start(struct connection *conn, struct http_request *request, enum kind kind)
{
    conn->stream = xcalloc(1, sizeof *conn->stream);
    conn->stream->kind = kind;
    conn->stream->wrote_ms = clock_mono_ms();
    conn->stream->until_ms = conn->stream->wrote_ms + conf_of(conn)->limits.poll_ms;
    conn->out.socket = &stream_socket;
    conn->phase = PHASE_STREAM;
    if (kind != POLL) {
        conn->keep_alive = false;
        conn->request = NULL;
        http_begin_stream(conn, request, kinds[kind].content_type);
        http_request_free(request);
        if (kind == EVENTS && conn->phase == PHASE_STREAM)
            connection_write(conn, "retry: 2000\n\n", 13);
    }
    reading_continue(conn);
}

static void stream_open_as(struct request *asked, struct user *user)
{
    struct http_request *request = (struct http_request *)asked;
    struct connection *conn = request->conn;
    struct pipeline *pipeline = asked->pipeline;
    enum kind kind = kind_of(request->request.path);
    struct text path = request->head.path, query = request->request.query;
    struct text since = request->head.last_event_id;
    struct reading_refusal why;
    size_t prefix = strlen(kinds[kind].path) + 1;
    if (!http_may_open(request))
        return;
    if (!since.length)
        since = query_argument(query, "since");
    path = path.length > prefix ? (struct text){path.at + prefix, path.length - prefix}
                                : (struct text){0};
    struct reading *reading =
        reading_of_target(pipeline, user, &conn->client, path, query, since, &why);
    if (!reading) {
        if (why.status)
            http_answer_error(request, why.status, why.err);
        else
            http_answer_error(request, 400, "channels: name one, as in /ev/lobby");
        return;
    }
    if (user)
        connection_set_user(conn, user_ref(user));
    conn->reading = reading;
    stream_start(conn, request, kind);
    connection_process(conn); /* more may have come while a plugin was asked */
}

static void stream_visitor(struct http_request *request)
{
    request_with_user(&request->request, stream_open_as);
}

void stream_open(struct http_request *request)
{
    request->opens = true;
    visitor_ask(request, kinds[kind_of(request->request.path)].way, stream_visitor);
}
