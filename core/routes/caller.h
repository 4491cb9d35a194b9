/* caller.h: who calls, and whether they may. A caller without a token is a guest. */
#pragma once
#include "access.h"
#include "text.h"
#include "token.h"
#include <stdbool.h>

struct address;
struct buffer;
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

/* The user that a token speaks of, if it is no larger than limits.token_bytes, and no plugin turns
 * them away.
 *   token      absent if what was given is no text
 *   client     their address, as text; "" if unknown
 *   user_out   user_unref; left alone unless TOKEN_OK
 *   reply_out  with TOKEN_REFUSED the plugin's JSON is appended; NULL: nobody wants to know */
enum token_status caller_user(const struct pipeline *pipeline, struct text token,
                              const char *client, struct user **user_out, struct buffer *reply_out);

/* The user of the caller's token.
 *   user_out  user_unref; NULL: a guest
 *   returns   false after answering 401: there is a token, and it is no good */
bool request_user(struct request *request, struct user **user_out);
/* Whether a ban keeps them from reading there: where a guest may read it does not.
 *   user    NULL: a guest
 *   client  where they come from */
bool banned_from_reading(const struct pipeline *pipeline, const struct name *room,
                         const struct user *user, const struct address *client);
/* Whether they have that right, and no ban ends it.
 *   returns  false after answering 403 */
bool request_may(struct request *request, const struct name *room, const struct user *user,
                 enum right right);
/* The channel asked for, by a caller who has the right to it; NULL after answering 400, 401 or 403.
 * Caller unrefs. */
struct name *request_channel_with(struct request *request, enum right right);
