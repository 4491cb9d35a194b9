/* What a reader says on its websocket: at first, unless its URL did, which channels it wants,
 *   {"channels": ["lobby", {"channel": "a/b", "since": "epoch:12"}], "token": token}
 * and later a fresh token, {"token": token}. Anything else is ignored. */
#include "caller.h"
#include "config.h"
#include "connection.h"
#include "json.h"
#include "pipeline.h"
#include "reading.h"
#include "server.h"
#include "user.h"

#include <jansson.h>

void subscriber_socket_on_open(struct connection *conn)
{
    conn->first_frame_awaited = !conn->reading;
    reading_continue(conn);
}

/* returns  false: it was closed */
static bool authenticate(struct connection *conn, const json_t *token)
{
    struct user *user = NULL;
    char address[ADDRESS_TEXT_SIZE];
    address_format(&conn->client, address);
    enum token_status status =
        caller_user(server_pipeline(conn->server), json_text(token), address, &user, NULL);
    const char *wrong = status == TOKEN_REFUSED ? "rejected"
                        : status != TOKEN_OK    ? "Wrong JWT"
                        : conn->user && !user_same_identity(conn->user, user)
                            ? "another identity"
                            : connection_unwelcome(conn, user);
    if (wrong) {
        user_unref(user);
        websocket_close(conn, 1008, wrong);
        return false;
    }
    connection_set_user(conn, user);
    return true;
}

void subscriber_socket_on_message(struct connection *conn, struct text message)
{
    const struct pipeline *pipeline = server_pipeline(conn->server);
    struct reading_refusal why;
    json_t *request = json_read(message, (size_t)pipeline->conf->limits.json_depth);
    const json_t *token = json_object_get(request, "token");
    bool good = !token || authenticate(conn, token);
    if (good && conn->first_frame_awaited) {
        conn->reading = reading_of_json(pipeline, conn->user, &conn->client,
                                        json_object_get(request, "channels"), &why);
        conn->first_frame_awaited = false;
        if (conn->reading)
            reading_continue(conn);
        else
            websocket_close(conn, 1008, why.err);
    }
    json_decref(request);
}
