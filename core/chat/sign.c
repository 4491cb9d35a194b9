#include "sign.h"

#include "alloc.h"
#include "base64url.h"
#include "key.h"

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* libjwt signs objects only, so openssl does it, for all algorithms alike: an HMAC is to EVP a
 * signature as any other. Only what EC leaves needs a change of form. */

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

/* returns  the signature of text, freed by the caller; NULL if openssl cannot */
static unsigned char *sign_text(const struct key *key, const char *text, size_t *length_out)
{
    size_t length = 0, text_length = strlen(text);
    unsigned char *signature = NULL;
    EVP_MD_CTX *context = alloc_checked(EVP_MD_CTX_new());
    bool good =
        EVP_DigestSignInit_ex(context, NULL, key->algorithm->digest, NULL, NULL, key->pkey, NULL) ==
            1 &&
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

/* Append bytes in base64url, and a dot first unless text is empty. text grows; the new one is
 * returned. */
static char *append_part(char *text, const void *bytes, size_t length)
{
    size_t used = text ? strlen(text) : 0;
    text = xrealloc(text, used + 1 + BASE64URL_LENGTH(length) + 1);
    if (used)
        text[used++] = '.';
    base64url_encode(bytes, length, text + used);
    return text;
}

char *sign_token(const char *key_file, const char *algorithm, const json_t *payload,
                 struct error *err)
{
    struct key key;
    size_t length;
    char *bytes = key_read(key_file, &length, err);
    if (!bytes)
        return NULL;
    bool loaded = key_load_private(algorithm, key_file, bytes, length, &key, err);
    free(bytes);
    if (!loaded)
        return NULL;

    char header[64];
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", key.algorithm->name);
    char *json = alloc_checked(json_dumps(payload, JSON_COMPACT));
    char *token = append_part(NULL, header, strlen(header));
    token = append_part(token, json, strlen(json));
    free(json);

    unsigned char *signature = sign_text(&key, token, &length);
    if (signature) {
        token = append_part(token, signature, length);
    } else {
        error_set(err, "%s: openssl cannot sign with this key", key_file);
        free(token);
        token = NULL;
    }
    free(signature);
    key_finish(&key);
    return token;
}
