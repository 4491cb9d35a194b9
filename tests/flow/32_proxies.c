/* 32_proxies: a trusted proxy is not counted as a client; those behind it are, each by itself. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <stdio.h>

enum { MAX = 3 };

static const char yaml[] = "trusted_proxies: 127.0.0.1\n"
                           "limits:\n  exempt: \"\"\n  connections_per_address: 3\n"
                           "  handshakes_per_address: 1\n  burst: 3s\n";

static struct stream *events_of(struct server *server, int client)
{
    char *request =
        textf("GET /ev/lobby HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n", client);
    struct stream *stream = stream_open(server->port, 0);
    stream_send(stream, request, strlen(request));
    return stream;
}

static int status_of(struct stream *stream)
{
    int status = 0;
    while (sscanf(stream_at(stream) ? stream_at(stream) : "", "HTTP/1.1 %d", &status) != 1)
        ck_assert_int_eq(stream_receive(stream, deadline_in(20)), STREAM_MORE);
    return status;
}

START_TEST(clients_behind_a_proxy_are_counted_and_the_proxy_is_not)
{
    struct server *server = server_start(.yaml = yaml);
    for (int client = 1; client <= 10; client++)
        ck_assert_int_eq(status_of(events_of(server, client)), 200);
    for (int i = 1; i < MAX; i++)
        ck_assert_int_eq(status_of(events_of(server, 1)), 200);
    ck_assert_int_eq(status_of(events_of(server, 1)), 429);
    ck_assert_int_eq(status_of(events_of(server, 11)), 200);
}
END_TEST

START_TEST(many_requests_of_a_proxy_on_connections_of_their_own_are_served)
{
    struct server *server = server_start(.yaml = yaml);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(http_call(server, "GET", "/messages/lobby",
                                   textf("X-Forwarded-For: 192.0.2.%d\r\n", i + 1), NULL)
                             ->status,
                         200);
}
END_TEST

/* Between two polls the connection is the proxy's again, who has the next one for somebody else. */
START_TEST(a_poll_that_is_over_is_counted_no_more)
{
    struct server *server =
        server_start(.yaml = "trusted_proxies: 127.0.0.1\n"
                             "limits:\n  exempt: \"\"\n  connections_per_address: 3\n"
                             "  handshakes_per_address: 0\n");
    char *token = token_for("[{\"channel\":\"lobby\",\"msg\":\"x\"}]");
    ck_assert_int_eq(http_post(server, "/post", token)->status, 200);
    char *request = http_text(server, "GET", "/lp/lobby", "X-Forwarded-For: 192.0.2.1\r\n", NULL);
    for (int i = 0; i < 3 * MAX; i++) { /* each stays open */
        struct stream *stream = stream_open(server->port, 0);
        stream_send(stream, request, strlen(request));
        ck_assert_int_eq(http_receive(stream, false, deadline_in(20))->status, 200);
    }
}
END_TEST

FLOW_MAIN("proxies", clients_behind_a_proxy_are_counted_and_the_proxy_is_not,
          many_requests_of_a_proxy_on_connections_of_their_own_are_served,
          a_poll_that_is_over_is_counted_no_more)
