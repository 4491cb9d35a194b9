/* A websocket, whichever end of the chat is behind it: messages in, control frames, the closing
 * handshake (RFC 6455, sections 5.5 and 7). */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "connection.h"
#include "counters.h"
#include "frame.h"
#include "pipeline.h"
#include "reading.h"
#include "server.h"

static const struct config *conf_of(const struct connection *conn)
{
    return server_pipeline(conn->server)->conf;
}

/* ---- closing ---- */

void websocket_close(struct connection *conn, uint16_t code, const char *reason)
{
    unsigned char frame[2 + WEBSOCKET_CONTROL_MAX];
    if (conn->phase != PHASE_WEBSOCKET)
        return;
    connection_write(conn, frame, websocket_write_close(frame, code, reason));
    connection_finish(conn); /* its answer is not waited for, but there is time for it */
}

static void on_close(struct connection *conn, const struct websocket_event *event)
{
    unsigned char frame[2 + WEBSOCKET_CONTROL_MAX];
    connection_write(conn, frame, websocket_write_close(frame, event->code, ""));
    connection_finish(conn);
}

static void on_error(struct connection *conn, const struct websocket_event *event)
{
    count_up(event->code == 1009 ? COUNT_too_big_frames : COUNT_bad_requests);
    websocket_close(conn, event->code, event->why);
}

/* ---- messages ---- */

static size_t message_max(const struct connection *conn)
{
    const struct config *conf = conf_of(conn);
    size_t max = (size_t)conf->limits.message_bytes * 2;
    if (conn->first_frame_awaited)
        max = (size_t)conf->limits.body_bytes;
    if (max < (size_t)conf->limits.token_bytes + 256)
        max = (size_t)conf->limits.token_bytes + 256;
    return max < 65536 ? 65536 : max;
}

static void on_message(struct connection *conn, struct text message, bool binary)
{
    if (conn->publisher)
        publisher_on_message(conn, message, binary);
    else if (!binary)
        subscriber_socket_on_message(conn, message);
}

/* A piece of a message; most have one. */
static void on_data(struct connection *conn, const struct websocket_event *event)
{
    if (event->first && event->last) {
        on_message(conn, event->payload, event->binary);
        return;
    }
    buffer_bytes(&conn->message, event->payload.at, event->payload.length);
    if (conn->message.failed) {
        websocket_close(conn, 1013, "no memory for the message");
        return;
    }
    if (!event->last)
        return;
    struct buffer message = conn->message; /* an idle connection keeps no buffer */
    conn->message = (struct buffer){0};
    on_message(conn, (struct text){message.at ? message.at : "", message.length}, event->binary);
    buffer_finish(&message);
}

/* Only the latest ping need be answered (RFC 6455, 5.5.3): if the socket is full, it waits. */
static void on_ping(struct connection *conn, struct text payload)
{
    unsigned char frame[2 + WEBSOCKET_CONTROL_MAX];
    if (wire_is_clear(&conn->wire)) {
        connection_write(conn, frame, websocket_write_pong(frame, payload));
        return;
    }
    if (!conn->pong)
        conn->pong = xmalloc(sizeof frame);
    conn->pong_length = (uint8_t)websocket_write_pong(conn->pong, payload);
}

static bool may_read_on(const struct connection *conn)
{
    return conn->phase == PHASE_WEBSOCKET &&
           !(conn->pauses & (PAUSE_SAYS | PAUSE_FRAMES | PAUSE_LEAVING));
}

size_t websocket_take(struct connection *conn, unsigned char *bytes, size_t length)
{
    size_t used = 0;
    struct websocket_event event;
    while (may_read_on(conn) && used < length) {
        used +=
            websocket_read(&conn->frames, bytes + used, length - used, message_max(conn), &event);
        if (event.got == WEBSOCKET_MORE)
            continue;
        bool whole = !conn->frames.in_payload; /* one that comes in pieces counts once */
        if (whole && limiter_take_frame(conf_of(conn), &conn->frame_bucket)) {
            count_up(COUNT_limited_frames);
            connection_pause(conn, PAUSE_FRAMES); /* this one still counts, the next waits */
        }
        switch (event.got) {
        case WEBSOCKET_DATA:
            on_data(conn, &event);
            break;
        case WEBSOCKET_PING:
            on_ping(conn, event.payload);
            break;
        case WEBSOCKET_CLOSE:
            on_close(conn, &event);
            break;
        case WEBSOCKET_ERROR:
            on_error(conn, &event);
            break;
        default:
            break;
        }
    }
    return used;
}

void websocket_send(struct connection *conn, struct text json)
{
    websocket_send_frame(conn, frame_create(json));
}

void websocket_send_frame(struct connection *conn, struct frame *frame)
{
    if (conn->out.state != SUBSCRIBER_OPEN)
        ;
    else if (!frame)
        subscriber_close(&conn->out, CLOSE_UNAVAILABLE);
    else if (subscriber_send(&conn->out, frame) == QUEUE_FULL)
        subscriber_close(&conn->out, CLOSE_TOO_SLOW);
    frame_unref(frame);
}

/* ---- the socket ---- */

void websocket_on_clear(struct connection *conn)
{
    if (conn->pong) {
        unsigned char *pong = conn->pong;
        conn->pong = NULL;
        connection_write(conn, pong, conn->pong_length);
        free(pong);
    }
    if (conn->phase == PHASE_WEBSOCKET)
        subscriber_on_writable(&conn->out);
    reading_continue(conn);
}

void websocket_tick(struct connection *conn, int64_t now_ms)
{
    static const unsigned char ping[] = {0x89, 0};
    const struct config *conf = conf_of(conn);
    bool waits = conn->publisher ? !conn->user && !publisher_waits(conn)
                                 : conn->first_frame_awaited && !conn->wait;
    if (conn->pauses) /* it may say what it likes, we do not listen */
        conn->heard_ms = now_ms;
    int64_t silent_ms = now_ms - conn->heard_ms;
    if (waits && now_ms > conn->deadline_ms) {
        count_up(COUNT_timed_out_auth);
        websocket_close(conn, 1008,
                        conn->publisher ? "not authenticated in time" : "no first frame in time");
    } else if (silent_ms > conf->limits.idle_ms / 2 && !conn->pinged &&
               wire_is_clear(&conn->wire)) {
        conn->pinged = true; /* and it has until the next tick, however short limits.idle is */
        connection_write_soon(conn, ping, sizeof ping);
    } else if (silent_ms > conf->limits.idle_ms) {
        count_up(COUNT_timed_out_idle);
        connection_drop(conn);
    }
}
