#include "caller.h"
#include "address.h"
#include "alloc.h"
#include "broker.h"
#include "chain.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "say.h"
#include "user.h"

#include <stdio.h>
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

/* ---- the user ---- */

struct caller {
    struct visit visit; /* first */
    struct user *user;
    char address[ADDRESS_TEXT_SIZE];
    caller_known *done;
    void *arg;
};

static void caller_free(struct caller *caller)
{
    visit_finish(&caller->visit);
    user_unref(caller->user);
    free(caller);
}

/* A plugin may take longer than the token lasts. */
static bool has_expired(const struct user *user)
{
    return user->expires_ms && clock_wall_ms() >= user->expires_ms;
}

static void on_judged(struct visit *visit, enum chain_verdict verdict)
{
    struct caller *caller = (struct caller *)visit;
    struct text refusal = {visit->reply, visit->reply_length};
    bool accepted = verdict == CHAIN_ACCEPT;
    if (accepted && visit->user && !user_set_public(caller->user, visit->user, visit->user_length))
        accepted = false;
    if (accepted && visit->tags != caller->user->tags)
        user_set_tags(caller->user, visit->tags);
    if (accepted && has_expired(caller->user))
        caller->done(caller->arg, TOKEN_WRONG, NULL, (struct text){0});
    else if (accepted)
        caller->done(caller->arg, TOKEN_OK, user_ref(caller->user), (struct text){0});
    else if (visit->reply)
        caller->done(caller->arg, visit->failed ? TOKEN_UNSURE : TOKEN_REFUSED, NULL, refusal);
    else
        caller->done(caller->arg, TOKEN_REFUSED, NULL,
                     text_of("{\"status\":\"error\",\"err\":\"rejected\"}"));
    caller_free(caller);
}

/* Stage auth: a plugin may turn the user away, or show others something else of them. */
static struct caller *ask_plugins(const struct pipeline *pipeline, struct user *user,
                                  const char *client, const char *tags, caller_known *done,
                                  void *arg)
{
    user_set_tags(user, tags); /* where the visit finds them */
    struct caller *caller = xcalloc(1, sizeof *caller);
    caller->user = user;
    caller->done = done;
    caller->arg = arg;
    snprintf(caller->address, sizeof caller->address, "%s", client);
    caller->visit.visit =
        (struct chatup_visit){.sub = {user->sub, strlen(user->sub)},
                              .name = {user->name, strlen(user->name)},
                              .user = {user->public_json, user->public_length},
                              .address = {caller->address, strlen(caller->address)}};
    caller->visit.tags = user->tags;
    caller->visit.done = on_judged;
    enum chain_verdict verdict = chain_auth(pipeline->chain, &caller->visit);
    if (verdict == CHAIN_DEFERRED)
        return caller;
    on_judged(&caller->visit, verdict);
    return NULL;
}

struct caller *caller_ask(struct pipeline *pipeline, struct text token, const char *client,
                          const char *tags, caller_known *done, void *arg)
{
    enum token_status status = TOKEN_MALFORMED;
    struct user *user;
    if (token.length > (size_t)pipeline->conf->limits.token_bytes)
        count_up(COUNT_too_big_tokens);
    else if (token.at)
        status = user_from_token(pipeline->keys, token.at, token.length, clock_wall_ms(), &user);
    if (status == TOKEN_OK)
        return ask_plugins(pipeline, user, client, tags, done, arg);
    done(arg, status, NULL, (struct text){0});
    return NULL;
}

void caller_left(struct caller *caller)
{
    if (!caller)
        return;
    visit_left(&caller->visit);
    caller_free(caller);
}

/* ---- of a request ---- */

struct wait {
    struct request *request;
    struct caller *caller;
    request_then *then;
    request_then_in *then_in; /* or this one */
    enum right right;
};

static void in_channel(struct request *request, struct user *user, enum right right,
                       request_then_in *then)
{
    struct name *room = request_channel(request);
    if (room && request_may(request, room, user, right))
        then(request, room);
    else
        name_unref(room);
}

static void go_on(const struct wait *wait, struct user *user)
{
    if (wait->then)
        wait->then(wait->request, user);
    else
        in_channel(wait->request, user, wait->right, wait->then_in);
}

static void on_known(void *arg, enum token_status status, struct user *user, struct text refusal)
{
    struct wait *wait = arg;
    struct request *request = wait->request;
    request->left = NULL;
    if (status == TOKEN_OK)
        go_on(wait, user);
    else if (status == TOKEN_REFUSED || status == TOKEN_UNSURE)
        request_reply_json(request, status == TOKEN_UNSURE ? 503 : 403, refusal);
    else
        reply_wrong_token(request, token_error(status));
    user_unref(user);
    free(wait);
}

static void on_left(struct request *request)
{
    struct wait *wait = request->left_arg;
    request->left = NULL;
    caller_left(wait->caller);
    free(wait);
    request_reply_error(request, 503, "unavailable");
}

static void request_ask(const struct wait *what)
{
    struct request *request = what->request;
    struct text token = caller_token(request->authorization, request->query);
    if (!token.at) {
        go_on(what, NULL);
        return;
    }
    struct wait *wait = xmemdup(what, sizeof *what);
    struct caller *caller =
        caller_ask(request->pipeline, token, request->address, request->tags, on_known, wait);
    if (!caller)
        return;
    wait->caller = caller;
    request->left = on_left;
    request->left_arg = wait;
}

void request_with_user(struct request *request, request_then *then)
{
    request_ask(&(struct wait){.request = request, .then = then});
}

void request_with_channel(struct request *request, enum right right, request_then_in *then)
{
    struct name *room = request_channel(request);
    if (room)
        request_ask(&(struct wait){.request = request, .then_in = then, .right = right});
    name_unref(room);
}

/* ---- what they may ---- */

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
