/* 10_peer: a client that was not written here, libwebsockets', at both ends of the chat: what we
 * and our own test client might misunderstand in the same way, it does not. */
#include "certificate.h"
#include "client.h"
#include "flow.h"
#include "token.h"

#include <libwebsockets.h>
#include <signal.h>

enum { PATIENCE_SECONDS = 20, TEXT_MAX = 100000 };

struct peer {
    struct lws *wsi;
    bool open, over;
    int close_code; /* as the server gave it */
    char *message;  /* the last whole one */
    size_t messages, length;
    char *so_far;
    char *to_send; /* text; "" asks for a close */
};

static struct lws_context *context;

/* ---- the peer ---- */

static void receive(struct peer *peer, const char *bytes, size_t length)
{
    peer->so_far = realloc(peer->so_far, peer->length + length + 1);
    memcpy(peer->so_far + peer->length, bytes, length);
    peer->length += length;
    peer->so_far[peer->length] = 0;
    if (!lws_is_final_fragment(peer->wsi))
        return;
    peer->message = peer->so_far;
    peer->so_far = NULL;
    peer->length = 0;
    peer->messages++;
}

/* returns  -1: close */
static int send_waiting(struct peer *peer)
{
    char *text = peer->to_send;
    if (!text)
        return 0;
    peer->to_send = NULL;
    if (!*text) {
        lws_close_reason(peer->wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    size_t length = strlen(text);
    unsigned char *padded = malloc(LWS_PRE + length);
    memcpy(padded + LWS_PRE, text, length);
    ck_assert_int_eq(lws_write(peer->wsi, padded + LWS_PRE, length, LWS_WRITE_TEXT), (int)length);
    return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t length)
{
    struct peer *peer = user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        peer->open = true;
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        receive(peer, in, length);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return send_waiting(peer);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        peer->close_code =
            length < 2 ? 1005 : ((unsigned char *)in)[0] << 8 | ((unsigned char *)in)[1];
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        ck_abort_msg("libwebsockets cannot connect: %s", in ? (char *)in : "");
    case LWS_CALLBACK_CLIENT_CLOSED:
        peer->over = true;
        break;
    default:
        break;
    }
    return 0;
}

/* authority: NULL without TLS */
static void begin(const char *authority)
{
    static const struct lws_protocols protocols[] = {{"peer", on_event, 0, 4096, 0, NULL, 0},
                                                     {NULL, NULL, 0, 0, 0, NULL, 0}};
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .protocols = protocols,
                                             .client_ssl_ca_filepath = authority};
    if (authority)
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    lws_set_log_level(0, NULL);
    context = lws_create_context(&info);
    ck_assert_ptr_nonnull(context);
}

#define wait_until(condition)                                                                      \
    for (int64_t deadline_ = deadline_in(PATIENCE_SECONDS); !(condition);) {                       \
        ck_assert_msg(now_ms() < deadline_, "it never comes that %s", #condition);                 \
        ck_assert_int_ge(lws_service(context, 0), 0);                                              \
    }

static struct peer *peer_open(struct server *server, const char *target, const char *authority)
{
    struct peer *peer = calloc(1, sizeof *peer);
    struct lws_client_connect_info info = {.context = context,
                                           .address = "127.0.0.1",
                                           .host = "127.0.0.1",
                                           .origin = "127.0.0.1",
                                           .port = server->port,
                                           .path = target,
                                           .ssl_connection = authority ? LCCSCF_USE_SSL : 0,
                                           .local_protocol_name = "peer",
                                           .userdata = peer,
                                           .pwsi = &peer->wsi};
    ck_assert_ptr_nonnull(lws_client_connect_via_info(&info));
    wait_until(peer->open);
    return peer;
}

static void peer_send(struct peer *peer, char *text)
{
    peer->to_send = text;
    lws_callback_on_writable(peer->wsi);
    wait_until(!peer->to_send);
}

static json_t *peer_ask(struct peer *peer, char *text)
{
    size_t before = peer->messages;
    peer_send(peer, text);
    wait_until(peer->messages > before);
    return json_object_get(json_of(peer->message), "reply");
}

/* ---- what it does ---- */

static void chat(struct server *server, const char *authority)
{
    begin(authority);
    struct peer *reader = peer_open(server, "/ws/lobby", authority);
    wait_until(reader->messages == 1);
    ck_assert(json_is_false(json_object_get(json_of(reader->message), "recovered")));
    struct peer *ann = peer_open(server, "/pub", authority);
    const char *token = token_user("Ann", "1");
    assert_json(peer_ask(ann, textf("{\"id\":1,\"auth\":\"%s\"}", token)), "\"ok\"");
    assert_json(peer_ask(ann, textf("{\"id\":2,\"join\":{\"room\":\"lobby\"}}")), "\"ok\"");
    wait_until(reader->messages == 2);
    assert_contains(reader->message, "\"join\"");
    static const size_t sizes[] = {1, 100, 125, 126, 200, 30000, 32000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *text = text_repeat("x", sizes[i]);
        json_t *said = peer_ask(ann, textf("{\"id\":3,\"say\":{\"msg\":\"%s\"}}", text));
        ck_assert_int_eq(get_int(said, "offset"), (int64_t)i + 1);
        wait_until(reader->messages == 3 + i);
        json_t *message = json_array_get(get_array(json_of(reader->message), "messages"), 0);
        ck_assert_str_eq(get_string(message, "msg"), text);
    }
    /* All of it in one frame of more than 64 KiB, with a first frame of the client's. */
    for (int i = 0; i < 3; i++)
        peer_ask(ann, textf("{\"id\":3,\"say\":{\"msg\":\"%s\"}}", text_repeat("y", 30000)));
    struct peer *late = peer_open(server, "/ws", authority);
    peer_send(late, textf("{\"channels\":[\"lobby\"]}"));
    wait_until(late->messages == 1);
    ck_assert_uint_eq(json_array_size(get_array(json_of(late->message), "messages")), 10);

    /* The client closes, the server does. */
    peer_send(late, textf("%s", ""));
    peer_send(ann, textf("%s", ""));
    wait_until(late->over && ann->over);
    wait_until(strstr(reader->message, "\"leave\""));
    kill(server->pid, SIGTERM);
    wait_until(reader->over);
    ck_assert_int_eq(reader->close_code, 1001);
    lws_context_destroy(context);
}

START_TEST(libwebsockets_chats)
{
    chat(server_start(.threads = 2), NULL);
}
END_TEST

START_TEST(libwebsockets_chats_over_tls)
{
    struct certificate certificate = certificate_make("server");
    chat(server_start(.threads = 2, .yaml = certificate_yaml(&certificate)), certificate.authority);
}
END_TEST

/* Silence is broken by pings of the server, and the answers keep the connection. */
START_TEST(libwebsockets_is_pinged_and_stays)
{
    struct server *server = server_start(.yaml = "limits:\n  idle: 1s\n");
    begin(NULL);
    struct peer *reader = peer_open(server, "/ws/lobby", NULL);
    int64_t until = now_ms() + 4000;
    while (now_ms() < until && !reader->over)
        lws_service(context, 0); /* each ping wakes it */
    ck_assert_msg(!reader->over, "closed with %d", reader->close_code);
    peer_send(reader, textf("%s", ""));
    wait_until(reader->over);
    lws_context_destroy(context);
}
END_TEST

START_TEST(libwebsockets_is_told_why_it_is_closed)
{
    struct server *server = server_start();
    begin(NULL);
    struct peer *ws = peer_open(server, "/ws", NULL);
    peer_send(ws, textf("nonsense"));
    wait_until(ws->over);
    ck_assert_int_eq(ws->close_code, 1008);
    struct peer *pub = peer_open(server, "/pub", NULL);
    peer_send(pub, text_repeat("x", TEXT_MAX));
    wait_until(pub->over);
    ck_assert_int_eq(pub->close_code, 1009);
    lws_context_destroy(context);
}
END_TEST

FLOW_MAIN("peer", libwebsockets_chats, libwebsockets_chats_over_tls,
          libwebsockets_is_pinged_and_stays, libwebsockets_is_told_why_it_is_closed)
