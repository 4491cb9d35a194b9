#include "user.h"

#include "alloc.h"
#include "grants.h"

#include <jansson.h>

struct user *user_create(const char *sub, const char *name, const char *public_json, size_t length)
{
    struct user *user = xcalloc(1, sizeof *user);
    user->refs = 1;
    user->sub = xstrdup(sub);
    user->name = xstrdup(name);
    user->public_json = xstrndup(public_json, length);
    user->public_length = length;
    return user;
}

struct user *user_ref(struct user *user)
{
    user->refs++;
    return user;
}

void user_unref(struct user *user)
{
    if (!user || --user->refs)
        return;
    free(user->sub);
    free(user->name);
    free(user->public_json);
    free(user->tags);
    grants_destroy(user->grants);
    free(user);
}

bool user_same_identity(const struct user *a, const struct user *b)
{
    return !strcmp(a->sub, b->sub) && (*a->sub || !strcmp(a->public_json, b->public_json));
}

/* ---- from a token ---- */

/* A claim's text, freed by the caller; "" unless it is a string or a number. */
static char *claim_text(const json_t *object, const char *claim)
{
    const json_t *value = json_object_get(object, claim);
    if (json_is_string(value))
        return xstrdup(json_string_value(value));
    if (json_is_number(value))
        return alloc_checked(json_dumps(value, JSON_ENCODE_ANY));
    return xstrdup("");
}

/* The first of them that has a text. */
static const char *first_text(const char *a, const char *b, const char *c)
{
    return *a ? a : *b ? b : c;
}

bool user_set_public(struct user *user, const char *json, size_t length)
{
    json_t *public = json_loadb(json, length, JSON_ALLOW_NUL, NULL);
    char *text = json_is_object(public) ? json_dumps(public, JSON_COMPACT) : NULL;
    char *name = claim_text(public, "name");
    bool ok = text && strlen(name) <= USER_NAME_BYTES_MAX;
    json_decref(public);
    if (!ok) {
        free(text);
        free(name);
        return false;
    }
    free(user->name);
    free(user->public_json);
    user->name = name;
    user->public_json = text;
    user->public_length = strlen(text);
    return true;
}

void user_set_tags(struct user *user, const char *tags)
{
    char *copy = tags ? xstrdup(tags) : NULL;
    free(user->tags);
    user->tags = copy;
}

/* Whom would a ban of a name mean? */
static bool is_ambiguous(const char *sub, const char *name, const char *public_name)
{
    return !*sub && *name && *public_name && strcmp(name, public_name) != 0;
}

static enum token_status user_from_payload(const struct keyring *keys, const json_t *payload,
                                           struct user **user_out)
{
    enum token_status status = TOKEN_CONTENT;
    const json_t *public = json_object_get(payload, "_public");
    struct grants *grants;
    if (!json_is_object(public) || !grants_read(payload, &grants))
        return status;

    char *sub = claim_text(payload, "sub"), *name = claim_text(payload, "name");
    char *public_name = claim_text(public, "name");
    const char *identity = first_text(sub, name, public_name);
    if (strlen(identity) <= USER_NAME_BYTES_MAX && strlen(public_name) <= USER_NAME_BYTES_MAX &&
        !is_ambiguous(sub, name, public_name)) {
        char *json = alloc_checked(json_dumps(public, JSON_COMPACT));
        struct user *user = user_create(identity, public_name, json, strlen(json));
        if (token_claim_ms(payload, "exp", &user->expires_ms) && user->expires_ms)
            user->expires_ms = token_end_ms(keys, user->expires_ms);
        free(json);
        user->sub_claimed = *sub;
        user->grants = grants;
        *user_out = user;
        status = TOKEN_OK;
    } else {
        grants_destroy(grants);
    }
    free(sub);
    free(name);
    free(public_name);
    return status;
}

enum token_status user_from_token(const struct keyring *keys, const char *token, size_t length,
                                  int64_t now_ms, struct user **user_out)
{
    json_t *payload;
    enum token_status status = token_verify(keys, token, length, now_ms, &payload);
    if (status == TOKEN_OK) {
        status = user_from_payload(keys, payload, user_out);
        json_decref(payload);
    }
    return status;
}
