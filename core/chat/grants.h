/* grants.h: what the claims of a token say about channels and roles. They allow nothing by
 * themselves: the rules of the YAML say where a claim or a role counts, see access.h.
 *
 *   "channels": {"staff:*": ["read","say"], "user:42": ["*"]}   patterns of pattern.h, rights
 *   "channels": ["user:42"]                                     patterns, every right
 *   "role": "editor", "roles": ["staff","dj"]
 *
 * Immutable once read: any thread. */
#pragma once
#include "right.h"
#include "text.h"
#include <stdbool.h>

enum { GRANTS_PATTERNS_MAX = 1000, GRANTS_ROLES_MAX = 100 };

struct json_t; /* jansson */
struct grants;

/* Strict: a claim of another shape, a right that does not exist or too many of something would mean
 * fewer or more rights than the token's issuer had in mind, so the token is not to be used at all.
 *   grants_out  owned by the caller; NULL if the payload has none of these claims
 *   returns     false if the claims are wrong */
bool grants_read(const struct json_t *payload, struct grants **grants_out);
void grants_destroy(struct grants *grants);

/* Both take NULL for no claims.
 *   sub  what {sub} in a pattern stands for; empty: nothing */
bool grants_name(const struct grants *grants, struct text room, struct text sub, enum right right);
bool grants_have_role(const struct grants *grants, const char *role);
