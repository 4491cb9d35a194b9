/* Keys from a file as identity providers publish it. */
#include "unit.h"

#include "alloc.h"
#include "base64url.h"
#include "config.h"
#include "keyring.h"
#include "token.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOW_MS           INT64_C(1700000000000)
#define SECRET           "0123456789abcdef0123456789abcdef"
#define SECRET_BASE64URL "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"

static char path[] = "/tmp/chatup-jwks-XXXXXX";
static EVP_PKEY *rsa, *ec;
static char n[2048], e[64], x[128], y[128]; /* of them, base64url */

static void number(EVP_PKEY *pkey, const char *name, int bytes, char *out)
{
    unsigned char raw[1024];
    BIGNUM *value = NULL;
    ck_assert(EVP_PKEY_get_bn_param(pkey, name, &value));
    int length = bytes ? bytes : BN_num_bytes(value);
    BN_bn2binpad(value, raw, length);
    BN_free(value);
    base64url_encode(raw, (size_t)length, out);
}

static void begin(void)
{
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("prime256v1");
    number(rsa, OSSL_PKEY_PARAM_RSA_N, 0, n);
    number(rsa, OSSL_PKEY_PARAM_RSA_E, 0, e);
    number(ec, OSSL_PKEY_PARAM_EC_PUB_X, 32, x);
    number(ec, OSSL_PKEY_PARAM_EC_PUB_Y, 32, y);
}

static void end(void)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    unlink(path);
}

/* The keyring of a file with that text, in which $n, $e, $x and $y are those of the keys above, and
 * $k a secret. */
static struct keyring *load(const char *text, struct error *err)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    for (const char *p = text; *p; p++) {
        if (*p != '$')
            fputc(*p, file);
        else
            switch (*++p) {
            case 'n':
                fputs(n, file);
                break;
            case 'e':
                fputs(e, file);
                break;
            case 'x':
                fputs(x, file);
                break;
            case 'y':
                fputs(y, file);
                break;
            default:
                fputs(SECRET_BASE64URL, file);
            }
    }
    fclose(file);
    struct config conf = {.jwt.jwks = path};
    return keyring_load(&conf, err);
}

static char *token_by(EVP_PKEY *pkey, const char *header)
{
    char *token = xmalloc(4096);
    unsigned char signature[512];
    size_t length = sizeof signature;
    base64url_encode(header, strlen(header), token);
    strcat(token, ".e30");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, pkey));
    ck_assert(EVP_DigestSign(context, signature, &length, (unsigned char *)token, strlen(token)));
    EVP_MD_CTX_free(context);
    if (EVP_PKEY_is_a(pkey, "EC")) {
        const unsigned char *der = signature;
        ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + 32, 32);
        ECDSA_SIG_free(pair);
        length = 64;
    }
    strcat(token, ".");
    base64url_encode(signature, length, token + strlen(token));
    return token;
}

static bool verifies(const struct keyring *keys, EVP_PKEY *pkey, const char *header)
{
    char *token = token_by(pkey, header);
    json_t *payload = NULL;
    enum token_status status = token_verify(keys, token, strlen(token), NOW_MS, &payload);
    json_decref(payload);
    free(token);
    return status == TOKEN_OK;
}

#define RSA_KEY "\"kty\":\"RSA\",\"n\":\"$n\",\"e\":\"$e\""
#define EC_KEY  "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"$x\",\"y\":\"$y\""
#define OCT_KEY "\"kty\":\"oct\",\"k\":\"$k\""

START_TEST(keys_of_the_set_verify_by_kid_and_algorithm)
{
    struct error err = {0};
    begin();
    struct keyring *keys =
        load("{\"keys\":[{" RSA_KEY ",\"kid\":\"r\",\"use\":\"sig\",\"x5c\":[\"AAAA\"]},"
             "{" EC_KEY ",\"kid\":\"e\",\"key_ops\":[\"verify\"]},"
             "{" OCT_KEY ",\"kid\":\"o\",\"alg\":\"HS256\"}]}",
             &err);
    ck_assert_msg(keys != NULL, "%s", err.text);
    EVP_PKEY *secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL,
                                                    (const unsigned char *)SECRET, strlen(SECRET));
    ck_assert(verifies(keys, rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}"));
    ck_assert(verifies(keys, rsa, "{\"alg\":\"RS256\"}"));
    ck_assert(!verifies(keys, rsa, "{\"alg\":\"RS256\",\"kid\":\"e\"}"));
    ck_assert(!verifies(keys, rsa, "{\"alg\":\"RS512\",\"kid\":\"r\"}"));
    ck_assert(verifies(keys, ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}"));
    ck_assert(!verifies(keys, ec, "{\"alg\":\"ES256\",\"kid\":\"r\"}"));
    ck_assert(verifies(keys, secret, "{\"alg\":\"HS256\",\"kid\":\"o\"}"));
    ck_assert(!verifies(keys, secret, "{\"alg\":\"HS256\",\"kid\":\"r\"}"));
    EVP_PKEY_free(secret);
    keyring_destroy(keys);
    end();
}
END_TEST

START_TEST(keys_for_something_else_are_skipped)
{
    static const char *const others[] = {
        "{" RSA_KEY ",\"use\":\"enc\"}",
        "{" RSA_KEY ",\"use\":7}",
        "{" RSA_KEY ",\"key_ops\":[\"wrapKey\"]}",
        "{" RSA_KEY ",\"key_ops\":[]}",
        "{" RSA_KEY ",\"alg\":\"RSA-OAEP\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"$x\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"$x\",\"y\":\"$y\"}",
        "{\"kty\":\"quantum\"}",
        "{}",
    };
    begin();
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char text[1024];
        struct error err = {0};
        snprintf(text, sizeof text, "{\"keys\":[%s,{" EC_KEY "}]}", others[i]);
        struct keyring *keys = load(text, &err);
        ck_assert_msg(keys != NULL, "%s: %s", others[i], err.text);
        ck_assert(verifies(keys, ec, "{\"alg\":\"ES256\"}"));
        ck_assert(!verifies(keys, rsa, "{\"alg\":\"RS256\"}"));
        keyring_destroy(keys);
        snprintf(text, sizeof text, "{\"keys\":[%s]}", others[i]);
        ck_assert_ptr_null(load(text, &err));
        ck_assert_ptr_nonnull(strstr(err.text, ": no key for signatures in it"));
    }
    end();
}
END_TEST

START_TEST(a_wrong_set_is_refused_with_the_place)
{
    static const struct {
        const char *text, *why; /* behind the file's name */
    } all[] = {
        {"", ":1:0: not JSON"},
        {"{\n\"keys\":[}", ":2:9: not JSON"},
        {"-----BEGIN PUBLIC KEY-----", ":1:1: not JSON"},
        {"[]", ": not a JWK Set: it has no array \"keys\""},
        {"{\"keys\":{}}", ": not a JWK Set: it has no array \"keys\""},
        {"{" RSA_KEY "}", ": not a JWK Set: it has no array \"keys\""},
        {"{\"keys\":[],\"keys\":[]}", "not JSON"},
        {"{\"keys\":[]}", ": no key for signatures in it"},
        {"{\"keys\":[1]}", ": keys[0]: not an object"},
        {"{\"keys\":[{" EC_KEY "},{" RSA_KEY ",\"d\":\"AQAB\"}]}",
         ": keys[1]: holds a private key; only its public half belongs here"},
        {"{\"keys\":[{" EC_KEY ",\"d\":\"AQAB\"}]}", ": keys[0]: holds a private key"},
        {"{\"keys\":[{" RSA_KEY ",\"use\":\"enc\",\"p\":\"AQAB\"}]}",
         ": keys[0]: holds a private key"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}",
         ": keys[0]: \"n\" is missing, or not base64url"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"$n=\",\"e\":\"AQAB\"}]}",
         ": keys[0]: \"n\" is missing, or not base64url"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"$n\",\"e\":65537}]}",
         ": keys[0]: \"e\" is missing, or not base64url"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"$n\",\"e\":\"AQ\"}]}", ": keys[0]: no RSA key"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"$n\",\"e\":\"AA\"}]}", ": keys[0]: no RSA key"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", ": keys[0]: "},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"$y\",\"y\":\"$x\"}]}",
         ": keys[0]: no point on P-256"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"$x\",\"y\":\"$y\"}]}",
         ": keys[0]: no point on P-384"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"$x\"}]}",
         ": keys[0]: \"y\" is missing, or not base64url"},
        {"{\"keys\":[{" RSA_KEY ",\"alg\":\"ES256\"}]}",
         ": keys[0]: does not fit ES256, which needs an EC key on the curve prime256v1"},
        {"{\"keys\":[{" RSA_KEY ",\"alg\":\"HS256\"}]}",
         ": keys[0]: does not fit HS256, which needs a secret"},
        {"{\"keys\":[{" EC_KEY ",\"alg\":\"RS256\"}]}", ": keys[0]: does not fit RS256"},
        {"{\"keys\":[{" EC_KEY ",\"alg\":\"ES384\"}]}", ": keys[0]: does not fit ES384"},
        {"{\"keys\":[{" OCT_KEY "}]}", ": keys[0]: \"alg\" is missing, for example HS256"},
        {"{\"keys\":[{" OCT_KEY ",\"alg\":\"RS256\"}]}",
         ": keys[0]: a secret, which does not fit RS256"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"\",\"alg\":\"HS256\"}]}",
         ": keys[0]: \"k\" is missing, or not base64url"},
        {"{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\","
         "\"k\":\"LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0\"}]}",
         ": keys[0]: a public key or certificate is no HMAC secret"},
        {"{\"keys\":[{" EC_KEY ",\"kid\":7}]}",
         ": keys[0]: \"kid\" must be a string of 1 to 256 bytes"},
        {"{\"keys\":[{" EC_KEY ",\"kid\":\"\"}]}", ": keys[0]: \"kid\" must be a string"},
    };
    begin();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct error err = {0};
        ck_assert_msg(load(all[i].text, &err) == NULL, "%s", all[i].text);
        ck_assert_msg(!strncmp(err.text, path, strlen(path)) && strstr(err.text, all[i].why),
                      "%s: \"%s\" does not say \"%s\"", all[i].text, err.text, all[i].why);
    }
    end();
}
END_TEST

START_TEST(a_set_stands_beside_the_keys_of_the_yaml)
{
    struct error err = {0};
    begin();
    keyring_destroy(load("{\"keys\":[{" EC_KEY "}]}", &err));
    struct config_key key = {(char *)"HS256", NULL, (char *)SECRET, NULL};
    struct config conf = {.jwt = {.keys = {&key, 1}, .jwks = path}};
    struct keyring *keys = keyring_load(&conf, &err);
    EVP_PKEY *secret = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL,
                                                    (const unsigned char *)SECRET, strlen(SECRET));
    ck_assert(verifies(keys, ec, "{\"alg\":\"ES256\"}"));
    ck_assert(verifies(keys, secret, "{\"alg\":\"HS256\"}"));
    keyring_destroy(keys);
    conf.jwt.jwks = (char *)"/nowhere/keys.json";
    ck_assert_ptr_null(keyring_load(&conf, &err));
    ck_assert_str_eq(err.text, "/nowhere/keys.json: No such file or directory");
    EVP_PKEY_free(secret);
    end();
}
END_TEST

START_TEST(the_example_key_is_known_in_a_set_too)
{
    struct error err = {0};
    FILE *file = fopen("tests/data/original_example.crt", "re");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    begin();
    EVP_PKEY *example = X509_get_pubkey(certificate);
    number(example, OSSL_PKEY_PARAM_RSA_N, 0, n);
    number(example, OSSL_PKEY_PARAM_RSA_E, 0, e);
    struct keyring *keys = load("{\"keys\":[{" RSA_KEY "}]}", &err);
    ck_assert_msg(keys != NULL, "%s", err.text);
    ck_assert(keyring_has_example_key(keys));
    keyring_destroy(keys);
    EVP_PKEY_free(example);
    X509_free(certificate);
    end();
}
END_TEST

UNIT_MAIN("jwks", keys_of_the_set_verify_by_kid_and_algorithm, keys_for_something_else_are_skipped,
          a_wrong_set_is_refused_with_the_place, a_set_stands_beside_the_keys_of_the_yaml,
          the_example_key_is_known_in_a_set_too)
