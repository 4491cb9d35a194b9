/* 46_stages: what plugins may do before anybody is known, and what they may know of them. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <time.h>

static struct server *server_with(const char *options)
{
    return server_start(.threads = 2,
                        .yaml = textf("plugins:\n  - {name: probe, file: '%s/../test-plugins/"
                                      "probe.so', config: {%s}}\n",
                                      getenv("CHATUP_PLUGINS"), options));
}

/* ---- roles of routes ---- */

static struct http_answer *get_as_editor(struct server *server, const char *claims, const char *jti)
{
    char *token = token_for("{\"aud\":\"chatup-admin\",\"exp\":%lld,\"jti\":\"%s\",\"items\":[]%s}",
                            (long long)time(NULL) + 60, jti, claims);
    return http_call(server, "GET", "/plugin/probe/editors",
                     textf("authorization: Bearer %s\r\n", token), NULL);
}

START_TEST(a_route_with_a_role_is_for_tokens_that_have_it)
{
    static const struct {
        const char *claims;
        int status;
    } cases[] = {{"", 403},
                 {",\"role\":\"editors\"", 403},
                 {",\"roles\":[\"dj\",\"staff\"]", 403},
                 {",\"role\":[\"editor\"]", 403}, /* not as a role is written */
                 {",\"channels\":{\"*\":[\"*\"]}", 403},
                 {",\"role\":\"editor\"", 200},
                 {",\"roles\":[\"dj\",\"editor\"]", 200}};
    struct server *server = server_with("mode: accept");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http_answer *answer =
            get_as_editor(server, cases[i].claims, cases[i].status == 200 ? textf("%zu", i) : "x");
        ck_assert_msg(answer->status == cases[i].status, "%s: %s", cases[i].claims, answer->head);
        if (answer->status == 403)
            assert_error(answer->json, "forbidden");
    }
    ck_assert_int_eq(get_as_editor(server, ",\"role\":\"editor\"", "x")->status, 200);
    ck_assert_int_eq(get_as_editor(server, ",\"role\":\"editor\"", "x")->status, 409);
    ck_assert_int_eq(http_get(server, "/plugin/probe/editors")->status, 401);
}
END_TEST

FLOW_MAIN("stages", a_route_with_a_role_is_for_tokens_that_have_it)
