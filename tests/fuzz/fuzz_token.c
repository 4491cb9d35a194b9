/* Tokens: the bytes as they are; and signed rightly, the first line as header, the rest as payload.
 */
#include "access.h"
#include "config.h"
#include "fuzz.h"
#include "name.h"
#include "token.h"
#include "user.h"

#include <jansson.h>

enum { NOW_S = 1700000000 };

static void use(const struct user *user)
{
    static char pattern[] = "a*{sub}";
    static struct config_channel rule = {
        pattern, {{.claim = true}, {.claim = true}, {.token = true}, {.anyone = true}}};
    static struct access *access;
    static struct config conf = {.channels = &rule, .channel_count = 1};
    static const char *const rooms[] = {"a", "ab", "user:x", "private:b"};
    struct error err;
    if (!access && !(access = access_load(&conf, &err)))
        abort();
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        struct name *room = name_create(text_of(rooms[i]));
        for (int right = RIGHT_READ; right <= RIGHT_USERS; right *= 2)
            access_ask(access, room, user, (enum right)right);
        name_unref(room);
    }
    json_t *shown = json_loadb(user->public_json, user->public_length, 0, NULL);
    assert(json_is_object(shown));
    json_decref(shown);
    assert(strlen(user->sub) <= USER_NAME_BYTES_MAX && strlen(user->name) <= USER_NAME_BYTES_MAX);
    assert(user_same_identity(user, user));
}

static enum token_status verify(const char *token, size_t length)
{
    json_t *payload = NULL;
    struct user *user = NULL;
    const int64_t now_ms = NOW_S * INT64_C(1000);
    enum token_status status = token_verify(fuzz_keys(), token, length, now_ms, &payload);
    enum token_status as_user = user_from_token(fuzz_keys(), token, length, now_ms, &user);
    assert((status == TOKEN_OK) == (payload != NULL) && (as_user == TOKEN_OK) == (user != NULL));
    assert(as_user == status || (status == TOKEN_OK && as_user == TOKEN_CONTENT));
    if (payload)
        token_is_for(payload, "chatup-admin");
    if (user)
        use(user);
    user_unref(user);
    json_decref(payload);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size};
    verify(rest.at, size);
    struct text header = fuzz_part(&rest, '\n');
    char *token = fuzz_sign(header, rest);
    if (verify(token, strlen(token)) == TOKEN_OK) {
        char *end = token + strlen(token) - 1; /* one signature, one spelling */
        *end = *end == 'A' ? 'Q' : 'A';
        assert(verify(token, strlen(token)) != TOKEN_OK);
    }
    free(token);
    return 0;
}
