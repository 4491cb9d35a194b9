/* caller.h: who asks: the token that a request carries. */
#pragma once
#include "text.h"
#include <stdbool.h>

struct request;
struct user;

/* The token of "Bearer <token>"; absent if it is none. */
struct text bearer_token(struct text authorization);
/* From Authorization, else from ?token=. *user_out: user_unref; NULL for a guest.
 *   returns  false after answering 401: there is a token, and it is wrong */
bool request_user(struct request *request, struct user **user_out);
