#include "fuzz.h"
#include "alloc.h"
#include "base64url.h"
#include "config.h"
#include "key.h"
#include "keyring.h"
#include "log.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

struct text fuzz_part(struct text *rest, char end)
{
    const char *at = rest->length ? memchr(rest->at, end, rest->length) : NULL;
    struct text part = {rest->at, at ? (size_t)(at - rest->at) : rest->length};
    size_t used = part.length + (at != NULL);
    *rest = (struct text){rest->at + used, rest->length - used};
    return part;
}

/* ---- tokens ---- */

static const struct key *secret(void)
{
    static struct key key;
    struct error err;
    if (!key.algorithm && !key_load_secret(key_algorithm("HS256"), "fuzz", FUZZ_SECRET,
                                           strlen(FUZZ_SECRET), &key, &err))
        abort();
    return &key;
}

char *fuzz_sign(struct text header, struct text payload)
{
    size_t room = BASE64URL_LENGTH(header.length) + BASE64URL_LENGTH(payload.length) + 128, size;
    char *token = xmalloc(room);
    base64url_encode(header.at, header.length, token);
    strcat(token, ".");
    base64url_encode(payload.at, payload.length, token + strlen(token));
    unsigned char *signature = key_sign(secret(), token, strlen(token), &size);
    strcat(token, ".");
    base64url_encode(signature, size, token + strlen(token));
    free(signature);
    return token;
}

/* The public half of a new key, in PEM. */
static char *public_pem(EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *at;
    if (!key || !PEM_write_bio_PUBKEY(out, key))
        abort();
    long length = BIO_get_mem_data(out, &at);
    char *pem = xstrndup(at, (size_t)length);
    BIO_free(out);
    EVP_PKEY_free(key);
    return pem;
}

const struct keyring *fuzz_keys(void)
{
    static struct keyring *keys;
    struct error err;
    if (keys)
        return keys;
    log_set(LOG_ERROR, LOG_TEXT);
    struct config_key list[] = {
        {.algorithm = xstrdup("HS256"), .secret = xstrdup(FUZZ_SECRET), .kid = xstrdup("h")},
        {.algorithm = xstrdup("RS256"), .secret = public_pem(EVP_RSA_gen(2048))},
        {.algorithm = xstrdup("ES256"), .secret = public_pem(EVP_EC_gen("P-256"))}};
    struct config conf = {.jwt.keys = {list, sizeof list / sizeof *list}};
    keys = keyring_load(&conf, &err);
    if (!keys)
        abort();
    for (size_t i = 0; i < conf.jwt.keys.count; i++) {
        free(list[i].algorithm);
        free(list[i].secret);
        free(list[i].kid);
    }
    return keys;
}
