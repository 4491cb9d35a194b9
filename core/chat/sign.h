/* sign.h: make a signed token. For `chatup token` and the tests: the server itself signs nothing.
 */
#pragma once
#include "error.h"

struct json_t;

/* Sign payload, an object or an array, with the private key or HMAC secret in key_file.
 *   algorithm  NULL: the one that fits the key, see key_load_private
 *   kid        the key's name in the header; NULL: none
 *   returns    the token, freed by the caller; NULL with err */
char *sign_token(const char *key_file, const char *algorithm, const char *kid,
                 const struct json_t *payload, struct error *err);
