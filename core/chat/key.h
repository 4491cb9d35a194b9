/* key.h: one key, and the one algorithm it is pinned to. Knows what RS256 and the others mean
 * (RFC 7518) and which kind of key each of them needs. Home of openssl's key formats.
 * A key is immutable once loaded: any thread. */
#pragma once
#include "error.h"
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

enum key_family { KEY_RSA, KEY_PSS, KEY_EC, KEY_HMAC }; /* KEY_PSS: RSA keys, another padding */

struct key_algorithm {
    const char *name;       /* as in the header of a token */
    enum key_family family; /* of keys that it works with */
    const char *digest;     /* openssl's name */
    const char *curve;      /* KEY_EC: openssl's name of its only curve */
    int coordinate_bytes;   /* KEY_EC: of r, and of s, in a signature */
};

#define KEY_ALGORITHMS                                                                             \
    "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, HS256, HS384, HS512"

/* By name, as a token or the configuration spells it; NULL if unknown. "none" is unknown. */
const struct key_algorithm *key_algorithm(const char *name);

struct key {
    const struct key_algorithm *algorithm;
    EVP_PKEY *pkey; /* owned; of an HMAC secret too */
};

/* The bytes of a key file, at most 64 KiB.
 *   returns  freed by the caller, NUL-terminated; NULL with err */
char *key_read(const char *file, size_t *length_out, struct error *err);

/* Load what a token is checked with: a PEM public key, an X.509 certificate (a chain: its first;
 * its dates do not matter) or an HMAC secret (all bytes but one newline at the end). Refuses: a
 * private key, a public key as HMAC secret, RSA below 2048 bits, what does not fit.
 *   place    names the key in err
 *   key_out  key_finish */
bool key_load_public(const char *algorithm, const char *place, const char *bytes, size_t length,
                     struct key *key_out, struct error *err);
/* The same for what a token is signed with: a PEM private key or an HMAC secret.
 *   algorithm  NULL: by the key: RS256, ES256, ES384, ES512; HS256 if it is no PEM text */
bool key_load_private(const char *algorithm, const char *place, const char *bytes, size_t length,
                      struct key *key_out, struct error *err);
/* An HMAC secret: all of these bytes. Refuses none, and what is a public key. */
bool key_load_secret(const struct key_algorithm *algorithm, const char *place, const char *bytes,
                     size_t length, struct key *key_out, struct error *err);
/* A key that came in another form than PEM. Refused if it does not fit the algorithm.
 *   pkey  taken, whatever is returned */
bool key_pin(const struct key_algorithm *algorithm, const char *place, EVP_PKEY *pkey,
             struct key *key_out, struct error *err);
void key_finish(struct key *key);

/* ---- signatures: text is what is signed, header.payload of a token ---- */

/* returns  the signature as tokens carry it, freed by the caller; NULL if openssl cannot */
unsigned char *key_sign(const struct key *key, const char *text, size_t text_length,
                        size_t *length_out);
/* Not for HMAC: that is libjwt's, see keyring.h. */
bool key_verify(const struct key *key, const char *text, size_t text_length,
                const unsigned char *signature, size_t length);
