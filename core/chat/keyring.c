#include "keyring.h"

#include "alloc.h"
#include "base64url.h"
#include "config.h"
#include "jwks.h"
#include "key.h"
#include "log.h"

#include <assert.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

/* A token without a kid is tried with every key of its algorithm, so their number is what a forgery
 * costs us. */
enum { KEYS_MAX = 100, HMAC_BYTES_ADVISED = 32 /* RFC 7518, 3.2: as the digest of HS256 */ };

struct pinned_key {
    struct key key;
    char *kid;             /* NULL: none */
    jwt_alg_t hmac;        /* of a secret, in libjwt's words */
    unsigned char *secret; /* its bytes; NULL: RSA or EC */
    int secret_length;
};

struct keyring {
    struct keyring_rules rules;
    bool has_example_key;
    bool is_copy; /* the keys of users once more, for servers: what there is to say was said */
    size_t count;
    struct pinned_key keys[KEYS_MAX];
};

/* ---- loading ---- */

static void secret_for_libjwt(const struct key *key, struct pinned_key *pinned)
{
    size_t length = 0;
    EVP_PKEY_get_raw_private_key(key->pkey, NULL, &length);
    pinned->secret = xmalloc(length);
    EVP_PKEY_get_raw_private_key(key->pkey, pinned->secret, &length);
    pinned->secret_length = (int)length;
    pinned->hmac = jwt_str_alg(key->algorithm->name);
}

/* The SHA-256 of the example certificate's SubjectPublicKeyInfo:
 *   openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum */
static const unsigned char example_fingerprint[SHA256_DIGEST_LENGTH] = {
    0xc6, 0x6e, 0xd2, 0x4b, 0x97, 0xe5, 0xf1, 0x4e, 0x7d, 0x0e, 0xdf, 0x28, 0x89, 0xd7, 0x08, 0xa1,
    0x1e, 0x36, 0x36, 0xc1, 0x38, 0x58, 0x29, 0xe2, 0x60, 0xa8, 0x69, 0x5f, 0xde, 0x38, 0xbb, 0xda,
};

static bool is_example(const struct key *key)
{
    unsigned char fingerprint[SHA256_DIGEST_LENGTH], *der = NULL;
    if (key->algorithm->family == KEY_HMAC)
        return false;
    int length = i2d_PUBKEY(key->pkey, &der);
    assert(length > 0);
    SHA256(der, (size_t)length, fingerprint);
    OPENSSL_free(der);
    return memcmp(fingerprint, example_fingerprint, sizeof fingerprint) == 0;
}

/* jwks_found */
static bool keyring_add(void *arg, struct key *key, const char *kid, const char *place,
                        struct error *err)
{
    struct keyring *keys = arg;
    if (keys->count == KEYS_MAX) {
        error_set(err, "%s: more than %d keys", place, KEYS_MAX);
        key_finish(key);
        return false;
    }
    struct pinned_key *pinned = &keys->keys[keys->count++];
    pinned->key = *key;
    pinned->kid = kid ? xstrdup(kid) : NULL;
    if (key->algorithm->family == KEY_HMAC)
        secret_for_libjwt(key, pinned);
    if (pinned->secret && pinned->secret_length < HMAC_BYTES_ADVISED && !keys->is_copy)
        log_warn("%s: an HMAC secret of %d bytes can be guessed, use at least %d", place,
                 pinned->secret_length, HMAC_BYTES_ADVISED);
    keys->has_example_key |= is_example(key);
    return true;
}

static bool add_configured(struct keyring *keys, const struct config_key *conf, const char *list,
                           size_t index, struct error *err)
{
    char *file_bytes = NULL, place[64];
    const char *bytes = conf->secret;
    size_t length = bytes ? strlen(bytes) : 0;
    struct key key;
    snprintf(place, sizeof place, "%s[%zu].secret", list, index);
    if (conf->file && !(bytes = file_bytes = key_read(conf->file, &length, err)))
        return false;
    const char *where = conf->file ? conf->file : place;
    bool good = key_load_public(conf->algorithm, where, bytes, length, &key, err) &&
                keyring_add(keys, &key, conf->kid, where, err);
    free(file_bytes);
    return good;
}

static bool add_all(struct keyring *keys, const struct config_keys *conf, const char *list,
                    struct error *err)
{
    for (size_t i = 0; i < conf->count; i++)
        if (!add_configured(keys, &conf->at[i], list, i, err))
            return false;
    return true;
}

static bool add_jwks(struct keyring *keys, const char *file, struct error *err)
{
    size_t length;
    if (!file || !*file)
        return true;
    char *bytes = key_read(file, &length, err);
    bool good = bytes && jwks_read(file, bytes, length, keyring_add, keys, err);
    free(bytes);
    return good;
}

static struct keyring *keyring_create(const char *audience, const char *issuer, int64_t leeway_ms)
{
    struct keyring *keys = xcalloc(1, sizeof *keys);
    keys->rules.audience = xstrdup(audience ? audience : "");
    keys->rules.issuer = xstrdup(issuer ? issuer : "");
    keys->rules.leeway_ms = leeway_ms;
    return keys;
}

static bool add_users(struct keyring *keys, const struct config *conf, struct error *err)
{
    return add_all(keys, &conf->jwt.keys, "jwt.keys", err) && add_jwks(keys, conf->jwt.jwks, err);
}

struct keyring *keyring_load(const struct config *conf, struct error *err)
{
    struct keyring *keys =
        keyring_create(conf->jwt.audience, conf->jwt.issuer, conf->jwt.leeway_ms);
    if (add_users(keys, conf, err))
        return keys;
    keyring_destroy(keys);
    return NULL;
}

struct keyring *keyring_load_admin(const struct config *conf, struct error *err)
{
    struct keyring *keys = keyring_create(NULL, NULL, conf->jwt.leeway_ms);
    keys->is_copy = !conf->admin.keys.count;
    if (conf->admin.keys.count ? add_all(keys, &conf->admin.keys, "admin.keys", err)
                               : add_users(keys, conf, err))
        return keys;
    keyring_destroy(keys);
    return NULL;
}

void keyring_destroy(struct keyring *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        key_finish(&keys->keys[i].key);
        free(keys->keys[i].kid);
        free(keys->keys[i].secret);
    }
    free(keys->rules.audience);
    free(keys->rules.issuer);
    free(keys);
}

bool keyring_has_example_key(const struct keyring *keys)
{
    return keys->has_example_key;
}

size_t keyring_count(const struct keyring *keys)
{
    return keys->count;
}

const struct keyring_rules *keyring_rules(const struct keyring *keys)
{
    return &keys->rules;
}

/* ---- both, and what there is to say about them ---- */

static bool check_example(const struct config *conf, const struct keyring *keys, const char *where,
                          struct error *err)
{
    if (!keyring_has_example_key(keys))
        return true;
    if (!config_is_loopback(conf)) {
        error_set(err,
                  "%s: the original's example key: its private half is public, so anybody could "
                  "sign; make your own with `chatup keygen`",
                  where);
        return false;
    }
    log_warn("%s: the original's example key is for tests only: anybody can sign with it", where);
    return true;
}

static void warn(const struct config *conf, const struct keyring *users)
{
    bool shared = !conf->admin.keys.count;
    if (!users->count)
        log_warn("jwt.keys: none, so nobody can speak; make one with `chatup keygen`");
    if (shared && !users->count)
        return; /* no server either */
    if (conf->legacy_tokens)
        log_warn("legacy_tokens: a list that your servers sign for /post or /ban does not expire: "
                 "who captures one can repeat it for ever. Sign {aud, exp, jti, items} instead, "
                 "then set it to false%s",
                 shared ? ". admin.keys is empty: what signs for users signs for servers too" : "");
    else if (shared)
        log_warn("admin.keys: empty: what signs for users signs for servers too");
}

bool keyrings_load(const struct config *conf, struct keyring **users_out,
                   struct keyring **admins_out, struct error *err)
{
    struct keyring *admins = NULL, *users = keyring_load(conf, err);
    if (users && check_example(conf, users, "jwt.keys", err))
        admins = keyring_load_admin(conf, err);
    if (!admins || (conf->admin.keys.count && !check_example(conf, admins, "admin.keys", err))) {
        keyring_destroy(users);
        keyring_destroy(admins);
        return false;
    }
    warn(conf, users);
    *users_out = users;
    *admins_out = admins;
    return true;
}

/* ---- signatures ---- */

static bool mac_is_of(const struct pinned_key *key, const char *token)
{
    jwt_t *jwt = NULL;
    bool good = jwt_decode(&jwt, token, key->secret, key->secret_length) == 0 &&
                jwt_get_alg(jwt) == key->hmac;
    jwt_free(jwt);
    return good;
}

static bool signed_by(const struct pinned_key *key, struct text text, struct text signature)
{
    unsigned char *bytes = xmalloc(signature.length);
    size_t length;
    bool good = base64url_decode(signature.at, signature.length, bytes, &length) &&
                key_verify(&key->key, text.at, text.length, bytes, length);
    free(bytes);
    return good;
}

static bool may_be(const struct pinned_key *key, const char *algorithm, struct text kid)
{
    return !strcmp(key->key.algorithm->name, algorithm) &&
           (!kid.at || !key->kid || text_is(kid, key->kid));
}

bool keyring_verify(const struct keyring *keys, const char *algorithm, struct text kid,
                    const char *token)
{
    const char *dot = strrchr(token, '.');
    struct text text = {token, (size_t)(dot - token)}, signature = text_of(dot + 1);
    bool good = false;
    for (size_t i = 0; !good && i < keys->count; i++) {
        const struct pinned_key *key = &keys->keys[i];
        if (may_be(key, algorithm, kid))
            good = key->secret ? mac_is_of(key, token) : signed_by(key, text, signature);
    }
    return good;
}
