#include "jwks.h"

#include "alloc.h"
#include "base64url.h"
#include "key.h"
#include "log.h"

#include <assert.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

enum { KID_BYTES_MAX = 256, MEMBER_BYTES_MAX = 4096 };

static const char *member(const json_t *jwk, const char *name)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    return text ? text : "";
}

/* The bytes of a member that is base64url.
 *   out      room for MEMBER_BYTES_MAX
 *   returns  false with err if there is none, or it is something else */
static bool member_bytes(const json_t *jwk, const char *name, const char *place, unsigned char *out,
                         size_t *length_out, struct error *err)
{
    const char *text = member(jwk, name);
    size_t length = strlen(text);
    if (length && length <= MEMBER_BYTES_MAX && base64url_decode(text, length, out, length_out))
        return true;
    error_set(err, "%s: \"%s\" is missing, or not base64url", place, name);
    return false;
}

/* ---- from numbers to a key ---- */

/* params is taken. NULL if openssl finds it no key, or one that is not sound. */
static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *context = alloc_checked(EVP_PKEY_CTX_new_from_name(NULL, type, NULL));
    bool made = EVP_PKEY_fromdata_init(context) == 1 &&
                EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    if (!made)
        return NULL;
    context = alloc_checked(EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL));
    if (EVP_PKEY_public_check(context) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(context);
    return pkey;
}

static EVP_PKEY *rsa_from(const json_t *jwk, const char *place, struct error *err)
{
    unsigned char n[MEMBER_BYTES_MAX], e[MEMBER_BYTES_MAX];
    size_t n_length, e_length;
    if (!member_bytes(jwk, "n", place, n, &n_length, err) ||
        !member_bytes(jwk, "e", place, e, &e_length, err))
        return NULL;
    BIGNUM *modulus = alloc_checked(BN_bin2bn(n, (int)n_length, NULL));
    BIGNUM *exponent = alloc_checked(BN_bin2bn(e, (int)e_length, NULL));
    OSSL_PARAM_BLD *build = alloc_checked(OSSL_PARAM_BLD_new());
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
    EVP_PKEY *pkey = pkey_from("RSA", alloc_checked(OSSL_PARAM_BLD_to_param(build)));
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    if (!pkey)
        error_set(err, "%s: no RSA key", place);
    return pkey;
}

static const struct curve {
    const char *crv, *algorithm; /* its only one */
} curves[] = {{"P-256", "ES256"}, {"P-384", "ES384"}, {"P-521", "ES512"}};

static const struct curve *curve_of(const json_t *jwk)
{
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (!strcmp(curves[i].crv, member(jwk, "crv")))
            return &curves[i];
    return NULL;
}

static EVP_PKEY *ec_from(const json_t *jwk, const char *place, struct error *err)
{
    const struct key_algorithm *algorithm = key_algorithm(curve_of(jwk)->algorithm);
    size_t bytes = (size_t)algorithm->coordinate_bytes, x_length, y_length;
    unsigned char x[MEMBER_BYTES_MAX], y[MEMBER_BYTES_MAX];
    if (!member_bytes(jwk, "x", place, x, &x_length, err) ||
        !member_bytes(jwk, "y", place, y, &y_length, err))
        return NULL;
    EVP_PKEY *pkey = NULL;
    if (x_length == bytes && y_length == bytes) {
        unsigned char point[1 + 2 * 66] = {4}; /* uncompressed: both coordinates follow */
        memcpy(point + 1, x, bytes);
        memcpy(point + 1 + bytes, y, bytes);
        OSSL_PARAM_BLD *build = alloc_checked(OSSL_PARAM_BLD_new());
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->curve, 0);
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * bytes);
        pkey = pkey_from("EC", alloc_checked(OSSL_PARAM_BLD_to_param(build)));
        OSSL_PARAM_BLD_free(build);
    }
    if (!pkey)
        error_set(err, "%s: no point on %s", place, member(jwk, "crv"));
    return pkey;
}

/* ---- one key of the set ---- */

enum kind { KIND_RSA, KIND_EC, KIND_OCT, KINDS };

static const struct {
    const char *kty, *algorithm; /* without `alg`; NULL: it is needed */
    EVP_PKEY *(*make)(const json_t *jwk, const char *place, struct error *err);
} kinds[KINDS] = {
    [KIND_RSA] = {"RSA", "RS256", rsa_from},
    [KIND_EC] = {"EC", NULL, ec_from},
    [KIND_OCT] = {"oct", NULL, NULL},
};

static enum kind kind_of(const json_t *jwk)
{
    enum kind kind = 0;
    while (kind < KINDS && strcmp(kinds[kind].kty, member(jwk, "kty")) != 0)
        kind++;
    return kind;
}

/* NULL if signatures may be checked with it, else what it is for or what of it we do not know. */
static const char *why_skipped(const json_t *jwk, enum kind kind)
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops"), *op;
    const json_t *algorithm = json_object_get(jwk, "alg");
    bool verifies = !ops;
    size_t i;
    json_array_foreach(ops, i, op) verifies |=
        json_is_string(op) && !strcmp(json_string_value(op), "verify");
    if ((use && strcmp(member(jwk, "use"), "sig") != 0) || !verifies)
        return "not for signatures";
    if (kind == KINDS)
        return "unknown kty";
    if (kind == KIND_EC && !curve_of(jwk))
        return "unknown crv";
    if (algorithm && !key_algorithm(member(jwk, "alg")))
        return "unknown alg";
    return NULL;
}

static bool is_private(const json_t *jwk, enum kind kind)
{
    static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth"};
    for (size_t i = 0; kind != KIND_OCT && i < sizeof members / sizeof *members; i++)
        if (json_object_get(jwk, members[i]))
            return true;
    return false;
}

static bool load_secret(const json_t *jwk, const struct key_algorithm *algorithm, const char *place,
                        struct key *key_out, struct error *err)
{
    unsigned char k[MEMBER_BYTES_MAX];
    size_t length;
    if (!member_bytes(jwk, "k", place, k, &length, err))
        return false;
    if (algorithm->family == KEY_HMAC)
        return key_load_secret(algorithm, place, (char *)k, length, key_out, err);
    error_set(err, "%s: a secret, which does not fit %s", place, algorithm->name);
    return false;
}

/* Its algorithm is known if it is named at all: why_skipped. */
static bool load_key(const json_t *jwk, enum kind kind, const char *place, struct key *key_out,
                     struct error *err)
{
    const char *name = kind == KIND_EC ? curve_of(jwk)->algorithm : kinds[kind].algorithm;
    if (json_object_get(jwk, "alg"))
        name = member(jwk, "alg");
    if (!name) {
        error_set(err, "%s: \"alg\" is missing, for example HS256", place);
        return false;
    }
    const struct key_algorithm *algorithm = key_algorithm(name);
    assert(algorithm);
    if (kind == KIND_OCT)
        return load_secret(jwk, algorithm, place, key_out, err);
    EVP_PKEY *pkey = kinds[kind].make(jwk, place, err);
    return pkey && key_pin(algorithm, place, pkey, key_out, err);
}

/* taken_out: false if it was skipped */
static bool read_jwk(const json_t *jwk, const char *place, jwks_found *found, void *arg,
                     bool *taken_out, struct error *err)
{
    enum kind kind = kind_of(jwk);
    const json_t *kid = json_object_get(jwk, "kid");
    struct key key;
    if (!json_is_object(jwk)) {
        error_set(err, "%s: not an object", place);
        return false;
    }
    if (is_private(jwk, kind)) {
        error_set(err, "%s: holds a private key; only its public half belongs here", place);
        return false;
    }
    const char *why = why_skipped(jwk, kind);
    *taken_out = !why;
    if (why) {
        log_info("%s: skipped: %s", place, why);
        return true;
    }
    if (kid && (json_string_length(kid) < 1 || json_string_length(kid) > KID_BYTES_MAX)) {
        error_set(err, "%s: \"kid\" must be a string of 1 to %d bytes", place, KID_BYTES_MAX);
        return false;
    }
    return load_key(jwk, kind, place, &key, err) &&
           found(arg, &key, json_string_value(kid), place, err);
}

static bool read_keys(const char *file, const json_t *keys, jwks_found *found, void *arg,
                      struct error *err)
{
    size_t taken = 0;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        char place[320];
        bool is_taken;
        snprintf(place, sizeof place, "%.256s: keys[%zu]", file, i);
        if (!read_jwk(json_array_get(keys, i), place, found, arg, &is_taken, err))
            return false;
        taken += is_taken;
    }
    if (!taken)
        error_set(err, "%s: no key for signatures in it", file);
    return taken;
}

bool jwks_read(const char *file, const char *bytes, size_t length, jwks_found *found, void *arg,
               struct error *err)
{
    json_error_t why;
    json_t *set = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &why);
    const json_t *keys = json_object_get(set, "keys");
    bool good = false;
    if (!set)
        error_set(err, "%s:%d:%d: not JSON", file, why.line, why.column);
    else if (!json_is_array(keys))
        error_set(err, "%s: not a JWK Set: it has no array \"keys\"", file);
    else
        good = read_keys(file, keys, found, arg, err);
    json_decref(set);
    ERR_clear_error();
    return good;
}
