#include "caller.h"
#include "address.h"
#include "broker.h"
#include "buffer.h"
#include "chain.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "say.h"
#include "user.h"

#include <strings.h>

/* ---- the token ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

struct text bearer_token(struct text authorization)
{
    static const char scheme[] = "Bearer";
    struct text left = authorization;
    while (left.length && is_space(*left.at)) {
        left.at++;
        left.length--;
    }
    size_t length = sizeof scheme - 1;
    if (left.length < length || strncasecmp(left.at, scheme, length) != 0 ||
        (left.length > length && !is_space(left.at[length])))
        return (struct text){0};
    left.at += length;
    left.length -= length;
    while (left.length && is_space(*left.at)) {
        left.at++;
        left.length--;
    }
    while (left.length && is_space(left.at[left.length - 1]))
        left.length--;
    return left;
}

struct text caller_token(struct text authorization, struct text query)
{
    struct text token = bearer_token(authorization);
    return token.at ? token : query_argument(query, "token");
}

/* ---- the answers ---- */

/* With the challenge of RFC 6750, section 3. */
static void reply_wrong_token(struct request *request, const char *err)
{
    request_reply_error_with(request, 401, err,
                             "www-authenticate: Bearer error=\"invalid_token\"\r\n");
}

/* Stage auth: a plugin may turn the user away, or show others something else of them. */
static bool plugins_accept(const struct pipeline *pipeline, struct user *user, const char *client,
                           struct buffer *reply_out)
{
    struct visit visit = {.visit = {.sub = {user->sub, strlen(user->sub)},
                                    .name = {user->name, strlen(user->name)},
                                    .user = {user->public_json, user->public_length},
                                    .address = {client, strlen(client)}}};
    bool accepted = chain_auth(pipeline->chain, &visit) == CHAIN_ACCEPT;
    if (accepted && visit.user)
        accepted = user_set_public(user, visit.user, visit.user_length);
    if (!accepted && reply_out && visit.reply)
        buffer_bytes(reply_out, visit.reply, visit.reply_length);
    visit_finish(&visit);
    return accepted;
}

enum token_status caller_user(const struct pipeline *pipeline, struct text token,
                              const char *client, struct user **user_out, struct buffer *reply_out)
{
    if (token.length > (size_t)pipeline->conf->limits.token_bytes) {
        count_up(COUNT_too_big_tokens);
        return TOKEN_MALFORMED;
    }
    if (!token.at)
        return TOKEN_MALFORMED;
    struct user *user;
    enum token_status status =
        user_from_token(pipeline->keys, token.at, token.length, clock_wall_ms(), &user);
    if (status == TOKEN_OK && !plugins_accept(pipeline, user, client, reply_out)) {
        user_unref(user);
        status = TOKEN_REFUSED;
    }
    if (status == TOKEN_OK)
        *user_out = user;
    return status;
}

bool request_user(struct request *request, struct user **user_out)
{
    struct buffer reply = {0};
    struct text token = caller_token(request->authorization, request->query);
    if (!token.at) {
        *user_out = NULL;
        return true;
    }
    enum token_status status =
        caller_user(request->pipeline, token, request->address, user_out, &reply);
    if (status == TOKEN_REFUSED)
        request_reply_json(request, 403, (struct text){reply.at, reply.length});
    else if (status != TOKEN_OK)
        reply_wrong_token(request, token_error(status));
    buffer_finish(&reply);
    return status == TOKEN_OK;
}

bool banned_from_reading(const struct pipeline *pipeline, const struct name *room,
                         const struct user *user, const struct address *client)
{
    struct identity identity = {.address = *client};
    struct text reason;
    if (user) {
        identity.sub = text_of(user->sub);
        identity.name = text_of(user->name);
    }
    return !access_allows(pipeline->access, room, NULL, RIGHT_READ) &&
           broker_ban_ttl(pipeline->broker, room, &identity, &reason);
}

static bool request_is_banned(const struct request *request, const struct name *room,
                              const struct user *user)
{
    struct address client;
    if (!address_parse(text_of(request->address), &client))
        client = (struct address){{0}}; /* unknown */
    return banned_from_reading(request->pipeline, room, user, &client);
}

bool request_may(struct request *request, const struct name *room, const struct user *user,
                 enum right right)
{
    switch (access_ask(request->pipeline->access, room, user, right)) {
    case ACCESS_GRANTED:
        if (right == RIGHT_JOIN || right == RIGHT_SAY) /* that ban has a ttl: pipeline.c tells */
            return true;
        if (!request_is_banned(request, room, user))
            return true;
        request_reply_error(request, 403, "banned");
        return false;
    case ACCESS_TOKEN_NEEDED:
        request_reply_error(request, 403, "unauthorized");
        return false;
    default:
        request_reply_error(request, 403, "forbidden");
        return false;
    }
}

struct name *request_channel_with(struct request *request, enum right right)
{
    struct name *room = request_channel(request);
    struct user *user = NULL;
    if (!room)
        return NULL;
    if (!request_user(request, &user) || !request_may(request, room, user, right)) {
        name_unref(room);
        room = NULL;
    }
    user_unref(user);
    return room;
}
