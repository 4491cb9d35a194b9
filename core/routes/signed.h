/* signed.h: bodies that are signed tokens, as your servers send them.
 *
 *   {"aud":"chatup-admin","exp":seconds,"jti":string,"items":…}   once, and not after exp
 *   […]                                       as the original has it, while legacy_tokens is true
 *
 * Signed by an admin key; whitespace around it is ignored. A token that is good is remembered until
 * it expires. If its request is answered 503, it is forgotten: what did not happen may be repeated.
 */
#pragma once

struct json_t;
struct request;
struct signed_once; /* in struct request, of a token that may be used once */

enum signed_shape {
    SIGNED_LIST, /* items is an array */
    SIGNED_ANY,  /* any JSON; while legacy_tokens is true also a bare object */
};

/* handle is called once with what the token asks for, now or later; or the request has been
 * answered 400, 401, 403, 409 or 503. items is lent during the call. */
void signed_open(struct request *request, enum signed_shape shape,
                 void (*handle)(struct request *request, const struct json_t *items));
/* The same of a token in the header Authorization; the body is left alone.
 *   role  that the token must have in its claims, else 403; NULL: none */
void signed_bearer(struct request *request, const char *role,
                   void (*handle)(struct request *request, const struct json_t *items));
