/* jwks.h: a file of keys as identity providers publish them: a JWK Set (RFC 7517). */
#pragma once
#include "error.h"
#include <stdbool.h>
#include <stddef.h>

struct key;

/* Takes the key, whatever it returns. kid: NULL if it has none. place names it: "FILE: keys[2]". */
typedef bool jwks_found(void *arg, struct key *key, const char *kid, const char *place,
                        struct error *err);

/* Hand over each key of the set that signatures can be checked with. Those for something else
 * (`use`, `key_ops`), and kinds, curves and algorithms that we do not know, are skipped, as the
 * RFC asks; a file in which nothing is left is refused. So is a private key, anywhere in it, and
 * one that does not fit its `alg`. Without `alg`, EC keys are for that of their curve and RSA keys
 * for RS256; an HMAC secret needs it.
 *   file     for messages; bytes need not be NUL-terminated
 *   returns  false with err, which names the file and the key, never what is in it */
bool jwks_read(const char *file, const char *bytes, size_t length, jwks_found *found, void *arg,
               struct error *err);
