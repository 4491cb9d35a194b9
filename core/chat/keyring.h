/* keyring.h: the keys whose signatures this server believes, each pinned to one algorithm, and what
 * a token must claim besides. Two of them: jwt.keys and jwt.jwks for users, admin.keys for servers.
 *
 * Home of libjwt, which checks HMACs and nothing else: what it thinks of algorithms and dates
 * cannot be relied on, and no public key is ever shown to it, so that none can be taken for a
 * secret. RSA and EC are openssl's, in key.c. Read-only once loaded: any thread. */
#pragma once
#include "error.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct keyring;

struct keyring_rules {
    char *audience;    /* what the claim aud must name; "": not looked at */
    char *issuer;      /* what iss must be; "": not looked at */
    int64_t leeway_ms; /* by so much the signer's clock may differ from ours */
};

/* What a configuration says about tokens, as key.h and jwks.h have it, with its warnings in the
 * log. No key at all is a keyring that believes nobody. Without admin.keys, the keys of users are
 * those of servers too; the rules differ all the same: whether a server's token is for us is seen
 * when it is known to be one (routes/signed.c).
 *   users_out, admins_out  destroyed by the caller
 *   returns  false with err naming the key's file (never its content); also if the original's
 *            example key is among them on an address that others can reach */
bool keyrings_load(const struct config *conf, struct keyring **users_out,
                   struct keyring **admins_out, struct error *err);
/* One of them, without the warnings. */
struct keyring *keyring_load(const struct config *conf, struct error *err);
struct keyring *keyring_load_admin(const struct config *conf, struct error *err);
void keyring_destroy(struct keyring *keys);

/* Whether the original project's published example key is among them: its private half is public.
 */
bool keyring_has_example_key(const struct keyring *keys);
size_t keyring_count(const struct keyring *keys);
const struct keyring_rules *keyring_rules(const struct keyring *keys);

/* Whether one of the keys pinned to algorithm signed the token. For token.c, which has looked at
 * the rest of it: three parts of base64url, a header whose `alg` is algorithm.
 *   kid    the header's; absent: any key. Else those of that name, and those without a name
 *   token  NUL-terminated */
bool keyring_verify(const struct keyring *keys, const char *algorithm, struct text kid,
                    const char *token);
