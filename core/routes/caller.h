/* caller.h: who calls, and whether they may. A caller without a token is a guest. */
#pragma once
#include "access.h"
#include "text.h"
#include "token.h"
#include <stdbool.h>

struct address;
struct name;
struct pipeline;
struct request;
struct user;

/* The token of an Authorization header, "Bearer <token>" (RFC 6750); absent if the header is, or
 * has another scheme, which may be meant for a proxy; empty if nothing follows. */
struct text bearer_token(struct text authorization);
/* The token a caller gives: of the header, else of the argument `token` in a query as in route.h;
 * absent if it gives none. */
struct text caller_token(struct text authorization, struct text query);

/* A token that is looked at: a plugin takes its time. */
struct caller;
/*   user     with TOKEN_OK: user_unref
 *   refusal  with TOKEN_REFUSED and TOKEN_UNSURE: the plugin's JSON, lent */
typedef void caller_known(void *arg, enum token_status status, struct user *user,
                          struct text refusal);
/* Find the user that a token speaks of, if it is no larger than limits.token_bytes, and no plugin
 * turns them away. done is called once, now or later.
 *   token    absent if what was given is no text
 *   client   their address, as text; "" if unknown
 *   tags     that connect has given them (tags.h); NULL: none
 *   returns  NULL: done has been called */
struct caller *caller_ask(struct pipeline *pipeline, struct text token, const char *client,
                          const char *tags, caller_known *done, void *arg);
/* Who asked is gone: the plugin is told so, and done is not called. NULL does nothing. */
void caller_left(struct caller *caller);

/* then is called once, now or later, with the user of the caller's token, lent, or NULL: a guest.
 * Or the request is answered 401, 403 or 503: there is a token, and it is no good. */
typedef void request_then(struct request *request, struct user *user);
void request_with_user(struct request *request, request_then *then);
/* Whether a ban keeps them from reading there: where a guest may read it does not.
 *   user    NULL: a guest
 *   client  where they come from */
bool banned_from_reading(const struct pipeline *pipeline, const struct name *room,
                         const struct user *user, const struct address *client);
/* Whether they have that right, and no ban ends it.
 *   returns  false after answering 403 */
bool request_may(struct request *request, const struct name *room, const struct user *user,
                 enum right right);
/* then is called once, now or later, with the channel asked for, name_unref, if the caller has the
 * right to it. Or the request is answered 400, 401, 403 or 503. */
typedef void request_then_in(struct request *request, struct name *room);
void request_with_channel(struct request *request, enum right right, request_then_in *then);
