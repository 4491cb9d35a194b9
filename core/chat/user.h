/* user.h: who speaks, and the way from a signed token to it. Users are counted and immutable: any
 * thread may ref, read and unref. */
#pragma once
#include "keyring.h"
#include "token.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grants; /* grants.h */

enum { USER_NAME_BYTES_MAX = 256 }; /* of sub, and of name */

struct user {
    _Atomic unsigned refs;
    char *sub;         /* claim sub, else claim name, else _public.name; "" if none: identity */
    char *name;        /* _public.name; "" if it has none: what /ban {name} matches */
    char *public_json; /* the claim _public as compact JSON text: what others see */
    size_t public_length;
    int64_t expires_ms;    /* when its token is good no more (exp and jwt.leeway); 0: never */
    bool sub_claimed;      /* sub is the claim of that name: no name that users may have chosen */
    char *tags;            /* tags.h: of plugins; NULL: none */
    struct grants *grants; /* claims channels, role and roles; NULL if there are none */
};

/* The user of a token: the payload must be an object with an object _public. A number as sub or
 * name counts as its decimal text, anything else that is no text as absent. Without sub, name and
 * _public.name must not differ: it would be open which of them a ban means. Claims about channels
 * and roles that are not as grants.h wants them are TOKEN_CONTENT.
 * *user_out (only with TOKEN_OK) belongs to the caller: user_unref. */
enum token_status user_from_token(const struct keyring *keys, const char *token, size_t length,
                                  int64_t now_ms, struct user **user_out);
/* A user that the server made itself (/post): public_json may be "null". Copies. */
struct user *user_create(const char *sub, const char *name, const char *public_json, size_t length);
/* Another public user, whose name is the user's from then on; while nobody else has the user.
 *   returns  false, and nothing changes, if json is no object, or its name is too long */
bool user_set_public(struct user *user, const char *json, size_t length);
/* While nobody else has the user. Copies; NULL: none. */
void user_set_tags(struct user *user, const char *tags);
struct user *user_ref(struct user *user);
void user_unref(struct user *user);
/* Whether a fresh token may take the place of another on a live connection. Those without an
 * identity are the same if others see the same of them. */
bool user_same_identity(const struct user *a, const struct user *b);
