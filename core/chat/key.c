#include "key.h"

#include "alloc.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { KEY_FILE_BYTES = 64 * 1024, RSA_BITS_MIN = 2048 };

/* key_load_private takes the first that fits a key. */
static const struct key_algorithm algorithms[] = {
    {"RS256", KEY_RSA, "SHA256", NULL, 0},         {"RS384", KEY_RSA, "SHA384", NULL, 0},
    {"RS512", KEY_RSA, "SHA512", NULL, 0},         {"PS256", KEY_PSS, "SHA256", NULL, 0},
    {"PS384", KEY_PSS, "SHA384", NULL, 0},         {"PS512", KEY_PSS, "SHA512", NULL, 0},
    {"ES256", KEY_EC, "SHA256", "prime256v1", 32}, {"ES384", KEY_EC, "SHA384", "secp384r1", 48},
    {"ES512", KEY_EC, "SHA512", "secp521r1", 66},  {"HS256", KEY_HMAC, "SHA256", NULL, 0},
    {"HS384", KEY_HMAC, "SHA384", NULL, 0},        {"HS512", KEY_HMAC, "SHA512", NULL, 0},
};
#define ALGORITHM_COUNT (sizeof algorithms / sizeof *algorithms)

const struct key_algorithm *key_algorithm(const char *name)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

char *key_read(const char *file, size_t *length_out, struct error *err)
{
    char *bytes = NULL;
    FILE *f = fopen(file, "re");
    if (!f) {
        error_set(err, "%s: %s", file, strerror(errno));
        return NULL;
    }
    bytes = xmalloc(KEY_FILE_BYTES + 1);
    size_t length = fread(bytes, 1, KEY_FILE_BYTES + 1, f);
    if (ferror(f)) {
        error_set(err, "%s: %s", file, strerror(errno));
        goto fail;
    }
    if (length > KEY_FILE_BYTES) {
        error_set(err, "%s: larger than %d bytes, not a key", file, KEY_FILE_BYTES);
        goto fail;
    }
    fclose(f);
    bytes[length] = 0;
    *length_out = length;
    return bytes;
fail:
    fclose(f);
    free(bytes);
    return NULL;
}

/* ---- which key fits which algorithm ---- */

/* As RFC 7518, 3.5 has it: MGF1 and a salt of the same length as the digest. */
static bool set_padding(const struct key_algorithm *algorithm, EVP_PKEY_CTX *context)
{
    return algorithm->family != KEY_PSS ||
           (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

/* A key of the type RSA-PSS may be for one digest, and for salts of some length, only. */
static bool pss_fits(const struct key_algorithm *algorithm, EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *pkey_context;
    EVP_MD_CTX *context = alloc_checked(EVP_MD_CTX_new());
    bool fits = EVP_DigestVerifyInit_ex(context, &pkey_context, algorithm->digest, NULL, NULL, pkey,
                                        NULL) == 1 &&
                set_padding(algorithm, pkey_context);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return fits;
}

static bool algorithm_fits(const struct key_algorithm *algorithm, EVP_PKEY *pkey)
{
    char curve[64];
    switch (algorithm->family) {
    case KEY_RSA: /* not RSA-PSS: such a key is for PS256 and its like */
        return EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN;
    case KEY_PSS:
        return (EVP_PKEY_is_a(pkey, "RSA") || EVP_PKEY_is_a(pkey, "RSA-PSS")) &&
               EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN && pss_fits(algorithm, pkey);
    case KEY_EC: /* openssl takes ES256 with any curve, RFC 7518 with one */
        return EVP_PKEY_is_a(pkey, "EC") &&
               EVP_PKEY_get_group_name(pkey, curve, sizeof curve, NULL) &&
               strcmp(curve, algorithm->curve) == 0;
    case KEY_HMAC:
        return EVP_PKEY_is_a(pkey, "HMAC");
    }
    return false;
}

static void set_misfit(const struct key_algorithm *algorithm, const char *place, struct error *err)
{
    if (algorithm->family == KEY_RSA || algorithm->family == KEY_PSS)
        error_set(err, "%s: does not fit %s, which needs an RSA key of at least %d bits", place,
                  algorithm->name, RSA_BITS_MIN);
    else if (algorithm->family == KEY_HMAC)
        error_set(err, "%s: does not fit %s, which needs a secret", place, algorithm->name);
    else
        error_set(err, "%s: does not fit %s, which needs an EC key on the curve %s", place,
                  algorithm->name, algorithm->curve);
}

static const struct key_algorithm *algorithm_named(const char *name, const char *place,
                                                   struct error *err)
{
    const struct key_algorithm *algorithm = key_algorithm(name);
    if (!algorithm)
        error_set(err, "%s: unknown algorithm \"%s\", use one of " KEY_ALGORITHMS, place, name);
    return algorithm;
}

/* ---- from bytes to a key ---- */

static bool is_pem(const char *bytes, size_t length)
{
    static const char mark[] = "-----BEGIN";
    return memmem(bytes, length, mark, sizeof mark - 1);
}

/* A public key or certificate without the PEM around it. */
static bool is_public_der(const char *bytes, size_t length)
{
    const unsigned char *der = (const unsigned char *)bytes;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &der, (long)length);
    der = (const unsigned char *)bytes;
    X509 *certificate = d2i_X509(NULL, &der, (long)length);
    bool found = pkey || certificate;
    EVP_PKEY_free(pkey);
    X509_free(certificate);
    ERR_clear_error();
    return found;
}

/* The secret in a text file: an editor puts a newline behind it. */
static size_t without_newline(const char *bytes, size_t length)
{
    return length && bytes[length - 1] == '\n' ? length - 1 : length;
}

/* The key in one PEM block; NULL if the block is of another kind or damaged. */
static EVP_PKEY *public_from_block(const char *kind, const unsigned char *der, long length)
{
    if (strcmp(kind, PEM_STRING_PUBLIC) == 0)
        return d2i_PUBKEY(NULL, &der, length);
    if (strcmp(kind, PEM_STRING_RSA_PUBLIC) == 0)
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, length);
    if (strcmp(kind, PEM_STRING_X509) != 0)
        return NULL;
    X509 *certificate = d2i_X509(NULL, &der, length);
    EVP_PKEY *pkey = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    return pkey;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static EVP_PKEY *public_from_pem(const char *place, const char *bytes, size_t length,
                                 struct error *err)
{
    EVP_PKEY *pkey = NULL;
    bool is_private = false;
    char *kind, *header;
    unsigned char *der;
    long der_length;
    BIO *bio = alloc_checked(BIO_new_mem_buf(bytes, (int)length));
    /* To the end, although the first key is the one: no private key may hide behind it. */
    while (PEM_read_bio(bio, &kind, &header, &der, &der_length)) {
        is_private |= ends_with(kind, PEM_STRING_PKCS8INF);
        if (!pkey)
            pkey = public_from_block(kind, der, der_length);
        OPENSSL_free(kind);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (is_private) {
        error_set(err,
                  "%s: holds a private key; only its public half belongs here "
                  "(openssl pkey -pubout)",
                  place);
        EVP_PKEY_free(pkey);
        return NULL;
    }
    if (!pkey)
        error_set(err, "%s: no PEM public key and no certificate", place);
    return pkey;
}

static EVP_PKEY *private_from_pem(const char *place, const char *bytes, size_t length,
                                  struct error *err)
{
    BIO *bio = alloc_checked(BIO_new_mem_buf(bytes, (int)length));
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (!pkey)
        error_set(err, "%s: no PEM private key that can be read", place);
    return pkey;
}

/* ---- loading ---- */

bool key_pin(const struct key_algorithm *algorithm, const char *place, EVP_PKEY *pkey,
             struct key *key_out, struct error *err)
{
    if (!algorithm_fits(algorithm, pkey)) {
        set_misfit(algorithm, place, err);
        EVP_PKEY_free(pkey);
        return false;
    }
    *key_out = (struct key){algorithm, pkey};
    return true;
}

bool key_load_secret(const struct key_algorithm *algorithm, const char *place, const char *bytes,
                     size_t length, struct key *key_out, struct error *err)
{
    /* A public key as secret is known to everybody: whoever has it could sign. */
    if (is_pem(bytes, length) || is_public_der(bytes, length)) {
        error_set(err, "%s: a public key or certificate is no HMAC secret", place);
        return false;
    }
    if (length == 0) {
        error_set(err, "%s: the HMAC secret is empty", place);
        return false;
    }
    EVP_PKEY *pkey = alloc_checked(
        EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)bytes, length));
    return key_pin(algorithm, place, pkey, key_out, err);
}

bool key_load_public(const char *algorithm, const char *place, const char *bytes, size_t length,
                     struct key *key_out, struct error *err)
{
    const struct key_algorithm *pinned = algorithm_named(algorithm, place, err);
    if (!pinned)
        return false;
    if (pinned->family == KEY_HMAC)
        return key_load_secret(pinned, place, bytes, without_newline(bytes, length), key_out, err);
    EVP_PKEY *pkey = public_from_pem(place, bytes, length, err);
    return pkey && key_pin(pinned, place, pkey, key_out, err);
}

bool key_load_private(const char *algorithm, const char *place, const char *bytes, size_t length,
                      struct key *key_out, struct error *err)
{
    const struct key_algorithm *pinned = NULL;
    if (algorithm && !(pinned = algorithm_named(algorithm, place, err)))
        return false;
    if (pinned ? pinned->family == KEY_HMAC : !is_pem(bytes, length))
        return key_load_secret(pinned ? pinned : key_algorithm("HS256"), place, bytes,
                               without_newline(bytes, length), key_out, err);
    EVP_PKEY *pkey = private_from_pem(place, bytes, length, err);
    if (!pkey)
        return false;
    for (size_t i = 0; !pinned && i < ALGORITHM_COUNT; i++)
        if (algorithm_fits(&algorithms[i], pkey))
            pinned = &algorithms[i];
    if (pinned)
        return key_pin(pinned, place, pkey, key_out, err);
    error_set(err, "%s: no algorithm for this kind of key, use one for " KEY_ALGORITHMS, place);
    EVP_PKEY_free(pkey);
    return false;
}

void key_finish(struct key *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}

/* ---- signatures ---- */

/* openssl's DER form of an EC signature to the form of RFC 7518, 3.4: r and s side by side.
 *   returns  the new length; 0 if it is none */
static size_t ec_to_raw(unsigned char *signature, size_t length, int coordinate_bytes)
{
    const unsigned char *der = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
    bool good =
        pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, coordinate_bytes) > 0 &&
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + coordinate_bytes, coordinate_bytes) > 0;
    ECDSA_SIG_free(pair);
    return good ? 2 * (size_t)coordinate_bytes : 0;
}

/* And back.
 *   returns  the length of *der_out, which is freed with OPENSSL_free; 0 or less if it is none */
static int ec_from_raw(const unsigned char *raw, int coordinate_bytes, unsigned char **der_out)
{
    ECDSA_SIG *pair = alloc_checked(ECDSA_SIG_new());
    ECDSA_SIG_set0(pair, alloc_checked(BN_bin2bn(raw, coordinate_bytes, NULL)),
                   alloc_checked(BN_bin2bn(raw + coordinate_bytes, coordinate_bytes, NULL)));
    int length = i2d_ECDSA_SIG(pair, der_out);
    ECDSA_SIG_free(pair);
    return length;
}

/* An HMAC is to EVP a signature as any other. */
unsigned char *key_sign(const struct key *key, const char *text, size_t text_length,
                        size_t *length_out)
{
    size_t length = 0;
    unsigned char *signature = NULL;
    EVP_PKEY_CTX *pkey_context;
    EVP_MD_CTX *context = alloc_checked(EVP_MD_CTX_new());
    bool good =
        EVP_DigestSignInit_ex(context, &pkey_context, key->algorithm->digest, NULL, NULL, key->pkey,
                              NULL) == 1 &&
        set_padding(key->algorithm, pkey_context) &&
        EVP_DigestSign(context, NULL, &length, (const unsigned char *)text, text_length) == 1;
    if (good) {
        signature = xmalloc(length);
        good = EVP_DigestSign(context, signature, &length, (const unsigned char *)text,
                              text_length) == 1;
    }
    if (good && key->algorithm->family == KEY_EC) {
        length = ec_to_raw(signature, length, key->algorithm->coordinate_bytes);
        good = length > 0;
    }
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    if (!good) {
        free(signature);
        return NULL;
    }
    *length_out = length;
    return signature;
}

bool key_verify(const struct key *key, const char *text, size_t text_length,
                const unsigned char *signature, size_t length)
{
    const struct key_algorithm *algorithm = key->algorithm;
    unsigned char *der = NULL;
    if (algorithm->family == KEY_EC) {
        if (length != 2 * (size_t)algorithm->coordinate_bytes)
            return false;
        int der_length = ec_from_raw(signature, algorithm->coordinate_bytes, &der);
        if (der_length <= 0)
            return false;
        signature = der;
        length = (size_t)der_length;
    }
    EVP_PKEY_CTX *pkey_context;
    EVP_MD_CTX *context = alloc_checked(EVP_MD_CTX_new());
    bool good =
        EVP_DigestVerifyInit_ex(context, &pkey_context, algorithm->digest, NULL, NULL, key->pkey,
                                NULL) == 1 &&
        set_padding(algorithm, pkey_context) &&
        EVP_DigestVerify(context, signature, length, (const unsigned char *)text, text_length) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    /* A failed one leaves its reason in this thread's queue, and the next TLS call on the loop
     * would take it for its own. */
    ERR_clear_error();
    return good;
}
