#include "key.h"

#include "alloc.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { KEY_FILE_BYTES = 64 * 1024, RSA_BITS_MIN = 2048 };

/* key_load_private takes the first that fits a key. */
static const struct key_algorithm algorithms[] = {
    {"RS256", KEY_RSA, "SHA256", NULL, 0},        {"RS384", KEY_RSA, "SHA384", NULL, 0},
    {"RS512", KEY_RSA, "SHA512", NULL, 0},        {"ES256", KEY_EC, "SHA256", "prime256v1", 32},
    {"ES384", KEY_EC, "SHA384", "secp384r1", 48}, {"ES512", KEY_EC, "SHA512", "secp521r1", 66},
    {"HS256", KEY_HMAC, "SHA256", NULL, 0},       {"HS384", KEY_HMAC, "SHA384", NULL, 0},
    {"HS512", KEY_HMAC, "SHA512", NULL, 0},
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

static bool algorithm_fits(const struct key_algorithm *algorithm, const EVP_PKEY *pkey)
{
    char curve[64];
    switch (algorithm->family) {
    case KEY_RSA: /* not RSA-PSS: such a key is for PS256 and its like */
        return EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN;
    case KEY_EC: /* libjwt takes ES256 with any curve, RFC 7518 with one */
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
    if (algorithm->family == KEY_RSA)
        error_set(err, "%s: does not fit %s, which needs an RSA key of at least %d bits", place,
                  algorithm->name, RSA_BITS_MIN);
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

static EVP_PKEY *secret_from_bytes(const char *place, const char *bytes, size_t length,
                                   struct error *err)
{
    /* A public key as secret is known to everybody: whoever has it could sign. */
    if (is_pem(bytes, length)) {
        error_set(err, "%s: a PEM key or certificate is no HMAC secret", place);
        return NULL;
    }
    if (length && bytes[length - 1] == '\n')
        length--;
    if (length == 0) {
        error_set(err, "%s: the HMAC secret is empty", place);
        return NULL;
    }
    return alloc_checked(
        EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)bytes, length));
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

bool key_load_public(const char *algorithm, const char *place, const char *bytes, size_t length,
                     struct key *key_out, struct error *err)
{
    const struct key_algorithm *pinned = algorithm_named(algorithm, place, err);
    if (!pinned)
        return false;
    EVP_PKEY *pkey = pinned->family == KEY_HMAC ? secret_from_bytes(place, bytes, length, err)
                                                : public_from_pem(place, bytes, length, err);
    if (!pkey)
        return false;
    if (!algorithm_fits(pinned, pkey)) {
        set_misfit(pinned, place, err);
        EVP_PKEY_free(pkey);
        return false;
    }
    *key_out = (struct key){pinned, pkey};
    return true;
}

bool key_load_private(const char *algorithm, const char *place, const char *bytes, size_t length,
                      struct key *key_out, struct error *err)
{
    const struct key_algorithm *pinned = NULL;
    if (algorithm && !(pinned = algorithm_named(algorithm, place, err)))
        return false;
    bool is_secret = pinned ? pinned->family == KEY_HMAC : !is_pem(bytes, length);
    EVP_PKEY *pkey = is_secret ? secret_from_bytes(place, bytes, length, err)
                               : private_from_pem(place, bytes, length, err);
    if (!pkey)
        return false;
    for (size_t i = 0; !pinned && i < ALGORITHM_COUNT; i++)
        if (algorithm_fits(&algorithms[i], pkey))
            pinned = &algorithms[i];
    if (!pinned) {
        error_set(err, "%s: no algorithm for this kind of key, use one for " KEY_ALGORITHMS, place);
        goto fail;
    }
    if (!algorithm_fits(pinned, pkey)) {
        set_misfit(pinned, place, err);
        goto fail;
    }
    *key_out = (struct key){pinned, pkey};
    return true;
fail:
    EVP_PKEY_free(pkey);
    return false;
}

void key_finish(struct key *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}
