#include "keyring.h"

#include "alloc.h"
#include "config.h"
#include "key.h"
#include "log.h"

#include <assert.h>
#include <jwt.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

enum { HMAC_BYTES_ADVISED = 32 }; /* RFC 7518, 3.2: as long as the digest of HS256 */

struct pinned_key {
    const struct key_algorithm *algorithm;
    jwt_alg_t jwt_algorithm; /* the same in libjwt's words */
    unsigned char *text;     /* as libjwt wants it: a PEM public key, or the bytes of a secret */
    int length;
};

struct keyring {
    bool has_example_key;
    size_t count;
    struct pinned_key keys[];
};

/* ---- loading ---- */

static void secret_for_libjwt(const struct key *key, struct pinned_key *pinned)
{
    size_t length = 0;
    EVP_PKEY_get_raw_private_key(key->pkey, NULL, &length);
    pinned->text = xmalloc(length);
    EVP_PKEY_get_raw_private_key(key->pkey, pinned->text, &length);
    pinned->length = (int)length;
}

/* Not the file's text: libjwt would refuse a certificate. */
static void pem_for_libjwt(const struct key *key, struct pinned_key *pinned)
{
    char *text;
    BIO *bio = alloc_checked(BIO_new(BIO_s_mem()));
    int written = PEM_write_bio_PUBKEY(bio, key->pkey);
    assert(written); /* it was read a moment ago */
    pinned->length = (int)BIO_get_mem_data(bio, &text);
    pinned->text = xmemdup(text, (size_t)pinned->length);
    BIO_free(bio);
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

static bool keyring_add(struct keyring *keys, const struct config_key *conf, struct error *err)
{
    char *file_bytes = NULL, place[64];
    size_t length;
    struct key key;
    snprintf(place, sizeof place, "keys[%zu].secret", keys->count);
    if (conf->file && !(file_bytes = key_read(conf->file, &length, err)))
        return false;
    bool loaded = file_bytes
                      ? key_load_public(conf->algorithm, conf->file, file_bytes, length, &key, err)
                      : key_load_public(conf->algorithm, place, conf->secret, strlen(conf->secret),
                                        &key, err);
    free(file_bytes);
    if (!loaded)
        return false;

    struct pinned_key *pinned = &keys->keys[keys->count++];
    pinned->algorithm = key.algorithm;
    pinned->jwt_algorithm = jwt_str_alg(key.algorithm->name);
    if (key.algorithm->family == KEY_HMAC)
        secret_for_libjwt(&key, pinned);
    else
        pem_for_libjwt(&key, pinned);
    if (key.algorithm->family == KEY_HMAC && pinned->length < HMAC_BYTES_ADVISED)
        log_warn("%s: an HMAC secret of %d bytes can be guessed, use at least %d",
                 conf->file ? conf->file : place, pinned->length, HMAC_BYTES_ADVISED);
    keys->has_example_key |= is_example(&key);
    key_finish(&key);
    return true;
}

struct keyring *keyring_load(const struct config *conf, struct error *err)
{
    struct keyring *keys = xcalloc(1, sizeof *keys + conf->key_count * sizeof *keys->keys);
    for (size_t i = 0; i < conf->key_count; i++)
        if (!keyring_add(keys, &conf->keys[i], err)) {
            keyring_destroy(keys);
            return NULL;
        }
    return keys;
}

void keyring_destroy(struct keyring *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        free(keys->keys[i].text);
    free(keys);
}

bool keyring_has_example_key(const struct keyring *keys)
{
    return keys->has_example_key;
}

/* ---- signatures ---- */

static bool signed_by(const struct pinned_key *key, const char *token)
{
    jwt_t *jwt = NULL;
    bool good = jwt_decode(&jwt, token, key->text, key->length) == 0 &&
                jwt_get_alg(jwt) == key->jwt_algorithm;
    jwt_free(jwt);
    return good;
}

bool keyring_verify(const struct keyring *keys, const char *algorithm, const char *token)
{
    bool good = false;
    for (size_t i = 0; !good && i < keys->count; i++)
        if (strcmp(keys->keys[i].algorithm->name, algorithm) == 0)
            good = signed_by(&keys->keys[i], token);
    /* A failed one leaves its reason in this thread's queue, and the next TLS call on the loop
     * would take it for its own. */
    ERR_clear_error();
    return good;
}
