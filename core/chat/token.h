/* token.h: signed tokens (JWT, RFC 7519) to claims. What keyring.h leaves open is decided here:
 * which texts are tokens at all, which algorithm and keys count, when a token is valid, and for
 * whom. No state: any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t; /* jansson */
struct keyring;

/* No token is larger, whatever the limits in the YAML say: libjwt copies it to the stack. */
enum { TOKEN_BYTES_MAX = 1024 * 1024 };

enum token_status {
    TOKEN_OK,
    TOKEN_MALFORMED, /* not three base64url parts of JSON: "Wrong format" */
    TOKEN_WRONG,     /* signature, algorithm, kid, exp, nbf, iat, aud, iss, crit, duplicated claim:
                      * "Wrong JWT" */
    TOKEN_CONTENT,   /* signed, but no user in it: "Wrong JWT content". Only of user_from_token */
    TOKEN_REFUSED,   /* a plugin does not want this user: "rejected". These only of caller_ask */
    TOKEN_UNSURE     /* a plugin could not say: "pluginUnavailable" */
};

/* Check signature and header, exp, nbf and iat (now_ms: Unix time in milliseconds), and aud and iss
 * as the rules of the keyring say. The claims of an array are none.
 *   token        need not be NUL-terminated
 *   payload_out  new reference, an object or an array; only with TOKEN_OK */
enum token_status token_verify(const struct keyring *keys, const char *token, size_t length,
                               int64_t now_ms, struct json_t **payload_out);

/* The time in a claim (seconds, fractions allowed) as milliseconds.
 *   ms_out   left alone if there is no such claim
 *   returns  false if the claim is not a number */
bool token_claim_ms(const struct json_t *payload, const char *claim, int64_t *ms_out);
/* Whether `aud`, a string or an array of them, names audience. */
bool token_is_for(const struct json_t *payload, const char *audience);
/* When a token that expires at exp_ms is refused here: leeway later, and never past INT64_MAX. */
int64_t token_end_ms(const struct keyring *keys, int64_t exp_ms);
