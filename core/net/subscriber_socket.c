/* What a reader says on its websocket: at first, unless its URL did, which channels it wants,
 *   {"channels": ["lobby", {"channel": "a/b", "since": "epoch:12"}], "token": token}
 * and later a fresh token, {"token": token}. {"ping": 7} is answered {"pong": 7}: scripts of
 * browsers are not shown the pings of RFC 6455. Anything else is ignored. What comes while a plugin
 * is asked about a token waits. */
#include "alloc.h"
#include "caller.h"
#include "config.h"
#include "connection.h"
#include "json.h"
#include "pipeline.h"
#include "reading.h"
#include "server.h"
#include "user.h"

#include <jansson.h>
#include <stdio.h>

struct reader_wait {
    struct connection *conn;
    struct caller *caller;
    json_t *request;    /* with the token, and perhaps channels */
    struct list behind; /* struct held */
    unsigned count;     /* of them */
    size_t bytes;
};

struct held { /* a message */
    struct list link;
    size_t length;
    char text[];
};

void subscriber_socket_on_open(struct connection *conn)
{
    conn->first_frame_awaited = !conn->reading;
    reading_continue(conn);
}

/* ---- channels ---- */

static void read_channels(struct connection *conn, const json_t *request)
{
    struct reading_refusal why;
    if (!conn->first_frame_awaited)
        return;
    conn->reading = reading_of_json(server_pipeline(conn->server), conn->user, &conn->client,
                                    json_object_get(request, "channels"), &why);
    conn->first_frame_awaited = false;
    if (conn->reading)
        reading_continue(conn);
    else
        websocket_close(conn, 1008, why.err);
}

/* ---- tokens ---- */

static void wait_free(struct reader_wait *wait)
{
    while (!list_empty(&wait->behind)) {
        struct held *held = list_entry(wait->behind.next, struct held, link);
        list_remove(&held->link);
        free(held);
    }
    json_decref(wait->request);
    free(wait);
}

static void hold(struct connection *conn, struct text message)
{
    struct reader_wait *wait = conn->wait;
    bool full = wait->count == CONNECTION_BEHIND_MAX ||
                (wait->count && wait->bytes + message.length > CONNECTION_INPUT_MAX);
    if (full) {
        websocket_close(conn, 1008, "busy");
        return;
    }
    struct held *held = xmalloc(sizeof *held + message.length + 1);
    held->length = message.length;
    memcpy(held->text, message.at, message.length);
    list_append(&wait->behind, &held->link);
    wait->bytes += message.length;
    wait->count++;
}

static void on_known(void *arg, enum token_status status, struct user *user, struct text refusal)
{
    struct reader_wait *wait = arg;
    struct connection *conn = wait->conn;
    const char *wrong = status == TOKEN_REFUSED  ? "rejected"
                        : status == TOKEN_UNSURE ? "unavailable"
                        : status != TOKEN_OK     ? "Wrong JWT"
                        : conn->user && !user_same_identity(conn->user, user)
                            ? "another identity"
                            : connection_unwelcome(conn, user);
    conn->wait = NULL;
    if (wrong) {
        user_unref(user);
        websocket_close(conn, 1008, wrong);
    } else {
        connection_set_user(conn, user);
        read_channels(conn, wait->request);
    }
    struct held *held;
    list_for_each (held, &wait->behind, link) /* one of them may have others wait again */
        if (conn->phase == PHASE_WEBSOCKET)
            subscriber_socket_on_message(conn, (struct text){held->text, held->length});
    wait_free(wait);
}

/*   request  taken */
static void authenticate(struct connection *conn, json_t *request)
{
    struct reader_wait *wait = xcalloc(1, sizeof *wait);
    char address[ADDRESS_TEXT_SIZE];
    wait->conn = conn;
    wait->request = request;
    list_init(&wait->behind);
    address_format(&conn->client, address);
    struct caller *caller =
        caller_ask(server_pipeline(conn->server), json_text(json_object_get(request, "token")),
                   address, conn->tags, on_known, wait);
    if (!caller)
        return;
    wait->caller = caller;
    conn->wait = wait;
}

static void answer_ping(struct connection *conn, const json_t *ping)
{
    char pong[sizeof "{\"pong\":}" + 20];
    int length = snprintf(pong, sizeof pong, "{\"pong\":%" JSON_INTEGER_FORMAT "}",
                          json_integer_value(ping));
    websocket_send(conn, (struct text){pong, (size_t)length});
}

void subscriber_socket_on_message(struct connection *conn, struct text message)
{
    const struct pipeline *pipeline = server_pipeline(conn->server);
    if (conn->wait) {
        hold(conn, message);
        return;
    }
    json_t *request = json_read(message, (size_t)pipeline->conf->limits.json_depth);
    if (json_object_get(request, "token")) {
        authenticate(conn, request);
        return;
    }
    const json_t *ping = json_object_get(request, "ping");
    if (json_is_integer(ping))
        answer_ping(conn, ping);
    else
        read_channels(conn, request);
    json_decref(request);
}

void subscriber_socket_on_closed(struct connection *conn)
{
    if (!conn->wait)
        return;
    caller_left(conn->wait->caller);
    wait_free(conn->wait);
    conn->wait = NULL;
}
