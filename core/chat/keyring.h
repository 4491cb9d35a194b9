/* keyring.h: the keys whose signatures this server believes, each pinned to one algorithm.
 * Home of libjwt, which is asked about signatures and about nothing else: what it thinks of
 * algorithms and dates cannot be relied on. Read-only once loaded: any thread. */
#pragma once
#include "error.h"
#include <stdbool.h>

struct config;
struct keyring;

/* Load every key of conf, as key.h says. No key at all is a keyring that believes nobody.
 *   returns  destroyed by the caller; NULL with err naming the key's file (never its content) */
struct keyring *keyring_load(const struct config *conf, struct error *err);
void keyring_destroy(struct keyring *keys);

/* Whether the original project's published example key is among them: its private half is public.
 */
bool keyring_has_example_key(const struct keyring *keys);

/* Whether one of the keys pinned to algorithm signed the token. For token.c, which has looked at
 * the rest of it: three parts of base64url, a header whose `alg` is algorithm. token NUL-terminated
 */
bool keyring_verify(const struct keyring *keys, const char *algorithm, const char *token);
