#include "sign.h"

#include "alloc.h"
#include "base64url.h"
#include "key.h"

#include <jansson.h>
#include <openssl/evp.h>

/* libjwt signs objects only and knows no PS256, so openssl does it, for all algorithms alike. */

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

/* {"alg":name,"typ":"JWT","kid":kid}, freed by the caller. */
static char *header_json(const char *algorithm, const char *kid)
{
    json_t *header = json_pack("{s:s,s:s,s:s*}", "alg", algorithm, "typ", "JWT", "kid", kid);
    char *json = header ? alloc_checked(json_dumps(header, JSON_COMPACT)) : NULL;
    json_decref(header);
    return json;
}

char *sign_token(const char *key_file, const char *algorithm, const char *kid,
                 const json_t *payload, struct error *err)
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

    char *header = header_json(key.algorithm->name, kid);
    if (!header) {
        error_set(err, "the kid must be UTF-8");
        key_finish(&key);
        return NULL;
    }
    char *json = alloc_checked(json_dumps(payload, JSON_COMPACT));
    char *token = append_part(NULL, header, strlen(header));
    token = append_part(token, json, strlen(json));
    free(header);
    free(json);

    unsigned char *signature = key_sign(&key, token, strlen(token), &length);
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
