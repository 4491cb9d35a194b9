/* The channels that a reader asks for. First line "j": the second is JSON as in a first frame; else
 * the lines are path, query (arguments separated by &, as they are decoded) and since. Where it
 * then is must be something it can come back with. */
#include "access.h"
#include "buffer.h"
#include "config.h"
#include "fuzz.h"
#include "json.h"
#include "pipeline.h"
#include "position.h"
#include "reading.h"
#include "url.h"
#include "user.h"

#include <jansson.h>

static int64_t nobody_is_banned(struct broker *broker, const struct name *room,
                                const struct identity *who, struct text *reason_out)
{
    return 0;
}

static const struct pipeline *pipeline_of(void)
{
    static const struct broker_home home = {.ban_ttl = nobody_is_banned};
    static struct broker broker = {.home = &home};
    static struct config conf = {.limits = {.channels = 10, .json_depth = 8}};
    static struct pipeline pipeline = {.conf = &conf, .broker = &broker};
    struct error err;
    if (!pipeline.access && !(pipeline.access = access_load(&conf, &err)))
        abort();
    return &pipeline;
}

static const struct user *user_of(void)
{
    static struct user *user;
    const char *claims =
        "{\"sub\":\"x\",\"_public\":{},\"channels\":[\"user:*\",\"private:{sub}\"]}";
    if (user)
        return user;
    char *token = fuzz_sign(text_of("{\"alg\":\"HS256\"}"), text_of(claims));
    if (user_from_token(fuzz_keys(), token, strlen(token), 0, &user) != TOKEN_OK)
        abort();
    free(token);
    return user;
}

static void positions(const struct reading *reading)
{
    struct buffer out = {0};
    reading_write_positions(reading, &out);
    struct text rest = {out.at, out.length};
    while (rest.length) {
        struct position at;
        struct text one = fuzz_part(&rest, ',');
        assert(position_parse(one, &at) && at.offset < INT64_MAX);
    }
    struct buffer json = {0};
    buffer_json_string(&json, (struct text){out.at, out.length});
    assert(json.length == out.length + 2); /* nothing in it has to be escaped */
    buffer_finish(&json);
    buffer_finish(&out);
}

static const struct address nowhere;

static struct reading *ask(struct text rest, const struct user *user, struct reading_refusal *why)
{
    struct text first = fuzz_part(&rest, '\n');
    if (text_is(first, "j")) {
        json_t *channels = json_read(rest, 8);
        struct reading *reading = reading_of_json(pipeline_of(), user, &nowhere, channels, why);
        json_decref(channels);
        return reading;
    }
    struct text query = fuzz_part(&rest, '\n'), since = fuzz_part(&rest, '\n');
    struct buffer arguments = {0};
    struct reading *reading = NULL;
    *why = (struct reading_refusal){400, "the query"};
    if (url_decode_query(query, &arguments))
        reading = reading_of_target(pipeline_of(), user, &nowhere, first,
                                    (struct text){arguments.at, arguments.length},
                                    since.length ? since : (struct text){0}, why);
    buffer_finish(&arguments);
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct user *users[] = {NULL, user_of()};
    for (size_t i = 0; i < 2; i++) {
        struct reading_refusal why = {0};
        struct reading *reading = ask((struct text){(const char *)data, size}, users[i], &why);
        assert(reading || !why.status || why.status == 400 || why.status == 403);
        assert(reading || !why.status || why.err);
        if (reading)
            positions(reading);
        reading_destroy(reading);
    }
    return 0;
}
