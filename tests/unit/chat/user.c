#include "unit.h"

#include "alloc.h"
#include "base64url.h"
#include "config.h"
#include "sign.h"
#include "user.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* Tokens are made here with openssl and libjwt, not with sign.c, which has its own tests at the
 * end: what one of both gets wrong, the other must not agree with. */

#define SECRET "0123456789abcdef0123456789abcdef"
#define HS256  "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define RS256  "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"
#define ALICE  "{\"_public\":{\"name\":\"Alice\"}}"
#define NOW_MS INT64_C(1700000000000)

/* ---- keys and keyrings ---- */

static char *bio_text(BIO *bio)
{
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    char *text = xstrndup(bytes, (size_t)length);
    BIO_free(bio);
    return text;
}

static char *public_pem(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert(PEM_write_bio_PUBKEY(bio, pkey));
    return bio_text(bio);
}

static char *private_pem(EVP_PKEY *pkey)
{
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
    return bio_text(bio);
}

/* A self-signed certificate that was valid on the first day of 1970 only. */
static char *expired_certificate_pem(EVP_PKEY *pkey)
{
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    X509_set_pubkey(certificate, pkey);
    ASN1_TIME_set(X509_getm_notBefore(certificate), 0);
    ASN1_TIME_set(X509_getm_notAfter(certificate), 24 * 60 * 60);
    ck_assert(X509_sign(certificate, pkey, EVP_sha256()));
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert(PEM_write_bio_X509(bio, certificate));
    X509_free(certificate);
    return bio_text(bio);
}

static char *file_text(const char *path)
{
    char text[4096];
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s: run me from the root of the repository", path);
    size_t length = fread(text, 1, sizeof text, f);
    fclose(f);
    return xstrndup(text, length);
}

/* A file with this content, removed by the caller. */
static const char *file_of(const char *text, size_t length)
{
    static char path[64];
    strcpy(path, "/tmp/chatup-unit-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, text, length), (ssize_t)length);
    close(fd);
    return path;
}

/* One key; exactly one of file and inline is given. NULL with err if it is refused. */
static struct keyring *keyring_try(const char *algorithm, const char *file, const char *inline_key,
                                   struct error *err)
{
    struct config_key key = {(char *)algorithm, (char *)file, (char *)inline_key, NULL};
    struct config conf = {.jwt.keys = {&key, 1}};
    return keyring_load(&conf, err);
}

static struct keyring *keyring_of(const char *algorithm, const char *inline_key)
{
    struct error err = {0};
    struct keyring *keys = keyring_try(algorithm, NULL, inline_key, &err);
    ck_assert_msg(keys != NULL, "%s", err.text);
    return keys;
}

static void assert_key_refused(const char *algorithm, const char *inline_key, const char *why)
{
    struct error err = {0};
    ck_assert_ptr_null(keyring_try(algorithm, NULL, inline_key, &err));
    ck_assert_msg(strstr(err.text, why) != NULL, "\"%s\" does not say \"%s\"", err.text, why);
    ck_assert_ptr_null(strstr(err.text, "BEGIN"));
}

/* ---- tokens ---- */

static char *token_of(const char *header, const void *payload, size_t length, EVP_PKEY *pkey,
                      const EVP_MD *digest)
{
    char *token = xmalloc(BASE64URL_LENGTH(strlen(header)) + BASE64URL_LENGTH(length) + 1024);
    base64url_encode(header, strlen(header), token);
    strcat(token, ".");
    base64url_encode(payload, length, token + strlen(token));
    unsigned char signature[512];
    size_t signature_length = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit(context, NULL, digest, NULL, pkey));
    ck_assert(EVP_DigestSign(context, signature, &signature_length, (unsigned char *)token,
                             strlen(token)));
    EVP_MD_CTX_free(context);
    strcat(token, ".");
    base64url_encode(signature, signature_length, token + strlen(token));
    return token;
}

static char *hmac_token(const char *header, const char *payload, const char *secret)
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL,
                                                  (const unsigned char *)secret, strlen(secret));
    char *token = token_of(header, payload, strlen(payload), pkey, EVP_sha256());
    EVP_PKEY_free(pkey);
    return token;
}

static char *rsa_token(const char *header, const char *payload, EVP_PKEY *pkey)
{
    return token_of(header, payload, strlen(payload), pkey, EVP_sha256());
}

/* Made by libjwt, with the claim {"name": "Alice"}. */
static char *libjwt_token(jwt_alg_t algorithm, EVP_PKEY *pkey)
{
    jwt_t *jwt;
    char *pem = private_pem(pkey);
    ck_assert_int_eq(jwt_new(&jwt), 0);
    jwt_add_grant(jwt, "name", "Alice");
    ck_assert_int_eq(jwt_set_alg(jwt, algorithm, (unsigned char *)pem, (int)strlen(pem)), 0);
    char *token = jwt_encode_str(jwt);
    ck_assert_ptr_nonnull(token);
    jwt_free(jwt);
    free(pem);
    return token;
}

static enum token_status verify(const struct keyring *keys, const char *token)
{
    /* On the heap without a NUL behind it, so that ASan sees who reads too far. */
    size_t length = strlen(token);
    char *exact = xmemdup(token, length);
    json_t *payload = NULL;
    enum token_status status = token_verify(keys, exact, length, NOW_MS, &payload);
    ck_assert_int_eq(payload != NULL, status == TOKEN_OK);
    json_decref(payload);
    free(exact);
    return status;
}

/* Of a token with this header and payload, signed with SECRET. */
static enum token_status verify_signed(const char *header, const char *payload)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    char *token = hmac_token(header, payload, SECRET);
    enum token_status status = verify(keys, token);
    free(token);
    keyring_destroy(keys);
    return status;
}

static enum token_status verify_payload(const char *payload)
{
    return verify_signed(HS256, payload);
}

/* Of a text that is refused before any key matters. */
static enum token_status verify_text(const char *token)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    enum token_status status = verify(keys, token);
    keyring_destroy(keys);
    return status;
}

/* ---- users ---- */

static enum token_status user_of(const char *payload, struct user **user_out)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    char *token = hmac_token(HS256, payload, SECRET);
    enum token_status status = user_from_token(keys, token, strlen(token), NOW_MS, user_out);
    free(token);
    keyring_destroy(keys);
    return status;
}

static void assert_user(const char *payload, const char *sub, const char *name)
{
    struct user *user = NULL;
    ck_assert_int_eq(user_of(payload, &user), TOKEN_OK);
    ck_assert_str_eq(user->sub, sub);
    ck_assert_str_eq(user->name, name);
    user_unref(user);
}

/* ==== the original's tokens ==== */

START_TEST(user_token_of_the_original_is_a_user)
{
    struct error err = {0};
    struct keyring *keys = keyring_try("RS256", "tests/data/original_example.crt", NULL, &err);
    ck_assert_msg(keys != NULL, "%s", err.text);
    char *token = file_text("tests/data/original_user.jwt");
    struct user *user = NULL;
    ck_assert_int_eq(user_from_token(keys, token, strcspn(token, "\n"), NOW_MS, &user), TOKEN_OK);
    ck_assert_str_eq(user->sub, "Test 1");
    ck_assert_str_eq(user->name, "Test 1");
    ck_assert_str_eq(user->public_json, "{\"name\":\"Test 1\"}");
    ck_assert_uint_eq(user->public_length, strlen(user->public_json));
    ck_assert_int_eq(user->expires_ms, 0);
    user_unref(user);
    free(token);
    keyring_destroy(keys);
}
END_TEST

START_TEST(ban_token_of_the_original_is_an_array_and_no_user)
{
    struct error err = {0};
    struct keyring *keys = keyring_try("RS256", "tests/data/original_example.crt", NULL, &err);
    char *token = file_text("tests/data/original_ban.jwt");
    size_t length = strcspn(token, "\n");
    json_t *bans = NULL;
    ck_assert_int_eq(token_verify(keys, token, length, NOW_MS, &bans), TOKEN_OK);
    ck_assert_uint_eq(json_array_size(bans), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(bans, 1), "channel")),
                     "TestRoom2");
    json_decref(bans);
    struct user *user = NULL;
    ck_assert_int_eq(user_from_token(keys, token, length, NOW_MS, &user), TOKEN_CONTENT);
    ck_assert_ptr_null(user);
    free(token);
    keyring_destroy(keys);
}
END_TEST

START_TEST(example_key_of_the_original_is_recognized_in_any_form)
{
    char *certificate = file_text("tests/data/original_example.crt");
    BIO *bio = BIO_new_mem_buf(certificate, -1);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    char *pem = public_pem(X509_get0_pubkey(x509));
    EVP_PKEY *other = EVP_RSA_gen(2048);
    char *other_pem = public_pem(other);

    struct config_key pair[] = {{(char *)"RS256", NULL, other_pem, NULL},
                                {(char *)"RS384", NULL, pem, NULL}};
    struct config conf = {.jwt.keys = {pair, 1}};
    struct error err;
    struct keyring *alone = keyring_load(&conf, &err);
    conf.jwt.keys.count = 2;
    struct keyring *both = keyring_load(&conf, &err);
    struct keyring *as_certificate = keyring_of("RS256", certificate);
    ck_assert(!keyring_has_example_key(alone));
    ck_assert(keyring_has_example_key(both));
    ck_assert(keyring_has_example_key(as_certificate));

    keyring_destroy(alone);
    keyring_destroy(both);
    keyring_destroy(as_certificate);
    EVP_PKEY_free(other);
    X509_free(x509);
    BIO_free(bio);
    free(other_pem);
    free(pem);
    free(certificate);
}
END_TEST

/* ==== what libjwt leaves open ==== */

START_TEST(token_forged_from_the_text_of_the_certificate_is_refused)
{
    char *certificate = file_text("tests/data/original_example.crt");
    struct keyring *keys = keyring_of("RS256", certificate);
    char *forged = hmac_token(HS256, ALICE, certificate);
    char *in_disguise = hmac_token(RS256, ALICE, certificate);
    ck_assert_int_eq(verify(keys, forged), TOKEN_WRONG);
    ck_assert_int_eq(verify(keys, in_disguise), TOKEN_WRONG);
    free(in_disguise);
    free(forged);
    keyring_destroy(keys);
    free(certificate);
}
END_TEST

START_TEST(token_forged_from_the_text_of_the_public_key_is_refused)
{
    EVP_PKEY *pkey = EVP_RSA_gen(2048);
    char *pem = public_pem(pkey), *honest = rsa_token(RS256, ALICE, pkey);
    char *forged = hmac_token(HS256, ALICE, pem);
    /* A second key for HS256 must not open the door to the first one's text. */
    struct config_key pair[] = {{(char *)"RS256", NULL, pem, NULL},
                                {(char *)"HS256", NULL, (char *)SECRET, NULL}};
    struct config conf = {.jwt.keys = {pair, 2}};
    struct error err;
    struct keyring *keys = keyring_of("RS256", pem), *both = keyring_load(&conf, &err);
    ck_assert_int_eq(verify(keys, honest), TOKEN_OK);
    ck_assert_int_eq(verify(keys, forged), TOKEN_WRONG);
    ck_assert_int_eq(verify(both, honest), TOKEN_OK);
    ck_assert_int_eq(verify(both, forged), TOKEN_WRONG);
    keyring_destroy(both);
    keyring_destroy(keys);
    free(forged);
    free(honest);
    free(pem);
    EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(pem_text_is_refused_as_hmac_secret)
{
    EVP_PKEY *pkey = EVP_EC_gen("prime256v1");
    char *pem = public_pem(pkey), *certificate = file_text("tests/data/original_example.crt");
    char commented[4096];
    snprintf(commented, sizeof commented, "my key:\n%s", certificate);
    assert_key_refused("HS256", pem, "no HMAC secret");
    assert_key_refused("HS384", certificate, "no HMAC secret");
    assert_key_refused("HS512", commented, "no HMAC secret");
    free(certificate);
    free(pem);
    EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(honest_signature_with_another_algorithm_than_the_pinned_one_is_refused)
{
    EVP_PKEY *pkey = EVP_RSA_gen(2048);
    char *pem = public_pem(pkey);
    char *rs512 = libjwt_token(JWT_ALG_RS512, pkey), *rs256 = libjwt_token(JWT_ALG_RS256, pkey);
    struct keyring *only_256 = keyring_of("RS256", pem), *only_512 = keyring_of("RS512", pem);
    ck_assert_int_eq(verify(only_256, rs512), TOKEN_WRONG);
    ck_assert_int_eq(verify(only_256, rs256), TOKEN_OK);
    ck_assert_int_eq(verify(only_512, rs512), TOKEN_OK);
    ck_assert_int_eq(verify(only_512, rs256), TOKEN_WRONG);
    keyring_destroy(only_256);
    keyring_destroy(only_512);
    free(rs256);
    free(rs512);
    free(pem);
    EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(algorithm_must_be_spelled_exactly)
{
    ck_assert_int_eq(verify_signed("{\"alg\":\"HS256\"}", ALICE), TOKEN_OK);
    ck_assert_int_eq(verify_signed("{\"alg\":\"hs256\"}", ALICE), TOKEN_WRONG);
    ck_assert_int_eq(verify_signed("{\"alg\":\"HS256 \"}", ALICE), TOKEN_WRONG);
    ck_assert_int_eq(verify_signed("{\"alg\":[\"HS256\"]}", ALICE), TOKEN_WRONG);
    ck_assert_int_eq(verify_signed("{\"typ\":\"JWT\"}", ALICE), TOKEN_WRONG);
}
END_TEST

START_TEST(algorithm_none_is_refused_with_and_without_a_signature)
{
    static const char *const spellings[] = {"none", "None", "NONE", ""};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", spellings[i]);
        ck_assert_int_eq(verify_signed(header, ALICE), TOKEN_WRONG);

        char *token = hmac_token(header, ALICE, SECRET);
        strrchr(token, '.')[1] = 0;
        ck_assert_int_eq(verify_text(token), TOKEN_WRONG);
        free(token);
    }
    assert_key_refused("none", SECRET, "unknown algorithm");
}
END_TEST

START_TEST(token_without_signature_is_refused)
{
    char *token = hmac_token(HS256, ALICE, SECRET);
    strrchr(token, '.')[1] = 0;
    ck_assert_int_eq(verify_text(token), TOKEN_WRONG);
    free(token);
}
END_TEST

START_TEST(token_is_valid_until_the_millisecond_of_exp)
{
    ck_assert_int_eq(verify_payload("{\"exp\":1700000001}"), TOKEN_OK);
    ck_assert_int_eq(verify_payload("{\"exp\":1700000000}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"exp\":1700000000.001}"), TOKEN_OK);
    ck_assert_int_eq(verify_payload("{\"exp\":1699999999.999}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"exp\":0}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"exp\":-1}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"exp\":1e300}"), TOKEN_OK);
    ck_assert_int_eq(verify_payload("{\"exp\":-1e300}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"exp\":9223372036854775807}"), TOKEN_OK);
}
END_TEST

START_TEST(token_is_not_valid_before_nbf)
{
    ck_assert_int_eq(verify_payload("{\"nbf\":1700000000}"), TOKEN_OK);
    ck_assert_int_eq(verify_payload("{\"nbf\":1700000000.001}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"nbf\":1700000001}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"nbf\":1699999999,\"exp\":1700000001}"), TOKEN_OK);
    ck_assert_int_eq(verify_payload("{\"nbf\":1e300}"), TOKEN_WRONG);
}
END_TEST

START_TEST(exp_and_nbf_that_are_no_numbers_are_refused)
{
    static const char *const values[] = {"\"1800000000\"", "null", "true", "{}", "[1800000000]"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char payload[64];
        snprintf(payload, sizeof payload, "{\"exp\":%s}", values[i]);
        ck_assert_int_eq(verify_payload(payload), TOKEN_WRONG);
        snprintf(payload, sizeof payload, "{\"nbf\":%s}", values[i]);
        ck_assert_int_eq(verify_payload(payload), TOKEN_WRONG);
    }
}
END_TEST

START_TEST(token_from_the_future_is_refused)
{
    ck_assert_int_eq(verify_payload("{\"iat\":1700000000}"), TOKEN_OK);
    ck_assert_int_eq(verify_payload("{\"iat\":1700000000.001}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"iat\":\"yesterday\"}"), TOKEN_WRONG);
}
END_TEST

START_TEST(critical_extensions_are_refused)
{
    ck_assert_int_eq(verify_signed("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", ALICE),
                     TOKEN_WRONG);
    ck_assert_int_eq(verify_signed("{\"alg\":\"HS256\",\"crit\":[]}", ALICE), TOKEN_WRONG);
    ck_assert_int_eq(verify_signed("{\"alg\":\"HS256\",\"crit\":null}", ALICE), TOKEN_WRONG);
}
END_TEST

START_TEST(claims_given_twice_are_refused)
{
    ck_assert_int_eq(verify_payload("{\"exp\":1,\"exp\":1800000000}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"exp\":1,\"e\\u0078p\":1800000000}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("{\"_public\":{\"name\":\"a\",\"name\":\"b\"}}"), TOKEN_WRONG);
    ck_assert_int_eq(verify_payload("[{\"name\":\"a\",\"name\":\"b\"}]"), TOKEN_WRONG);
    ck_assert_int_eq(verify_signed("{\"alg\":\"none\",\"alg\":\"HS256\"}", ALICE), TOKEN_WRONG);
}
END_TEST

START_TEST(failed_verification_leaves_no_error_behind_for_tls)
{
    EVP_PKEY *pkey = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048);
    char *pem = public_pem(pkey), *token = rsa_token(RS256, ALICE, other);
    struct keyring *keys = keyring_of("RS256", pem);
    ERR_clear_error();
    ck_assert_int_eq(verify(keys, token), TOKEN_WRONG);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    keyring_destroy(keys);
    free(token);
    free(pem);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(other);
}
END_TEST

/* ==== honest tokens ==== */

START_TEST(tokens_of_libjwt_verify_with_every_kind_of_key)
{
    static const struct {
        const char *name, *curve;
        jwt_alg_t algorithm;
    } cases[] = {
        {"RS256", NULL, JWT_ALG_RS256},        {"RS384", NULL, JWT_ALG_RS384},
        {"RS512", NULL, JWT_ALG_RS512},        {"ES256", "prime256v1", JWT_ALG_ES256},
        {"ES384", "secp384r1", JWT_ALG_ES384}, {"ES512", "secp521r1", JWT_ALG_ES512},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        EVP_PKEY *pkey = cases[i].curve ? EVP_EC_gen(cases[i].curve) : EVP_RSA_gen(2048);
        char *pem = public_pem(pkey), *certificate = expired_certificate_pem(pkey);
        char *token = libjwt_token(cases[i].algorithm, pkey);
        struct keyring *by_key = keyring_of(cases[i].name, pem);
        struct keyring *by_certificate = keyring_of(cases[i].name, certificate);
        ck_assert_msg(verify(by_key, token) == TOKEN_OK, "%s", cases[i].name);
        ck_assert_msg(verify(by_certificate, token) == TOKEN_OK, "%s", cases[i].name);
        keyring_destroy(by_key);
        keyring_destroy(by_certificate);
        free(token);
        free(certificate);
        free(pem);
        EVP_PKEY_free(pkey);
    }
}
END_TEST

START_TEST(token_of_any_key_with_its_algorithm_is_believed)
{
    EVP_PKEY *first = EVP_RSA_gen(2048), *second = EVP_RSA_gen(2048), *third = EVP_RSA_gen(2048);
    char *first_pem = public_pem(first), *second_pem = public_pem(second);
    struct config_key pair[] = {{(char *)"RS256", NULL, first_pem, NULL},
                                {(char *)"RS256", NULL, second_pem, NULL}};
    struct config conf = {.jwt.keys = {pair, 2}};
    struct error err;
    struct keyring *keys = keyring_load(&conf, &err);
    EVP_PKEY *signers[] = {first, second, third};
    for (int i = 0; i < 3; i++) {
        char *token = rsa_token(RS256, ALICE, signers[i]);
        ck_assert_int_eq(verify(keys, token), i < 2 ? TOKEN_OK : TOKEN_WRONG);
        free(token);
        EVP_PKEY_free(signers[i]);
    }
    keyring_destroy(keys);
    free(first_pem);
    free(second_pem);
}
END_TEST

START_TEST(keyring_without_keys_believes_nobody)
{
    struct config conf = {0};
    struct error err;
    struct keyring *keys = keyring_load(&conf, &err);
    ck_assert_ptr_nonnull(keys);
    char *token = hmac_token(HS256, ALICE, SECRET);
    ck_assert_int_eq(verify(keys, token), TOKEN_WRONG);
    free(token);
    keyring_destroy(keys);
}
END_TEST

START_TEST(changed_token_is_refused_wherever_it_was_changed)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    char *token = hmac_token(HS256, ALICE, SECRET);
    for (char *p = token; *p; p++) {
        char was = *p;
        *p = was == 'A' ? 'B' : 'A';
        ck_assert_msg(verify(keys, token) != TOKEN_OK, "at %zu", (size_t)(p - token));
        *p = was;
    }
    ck_assert_int_eq(verify(keys, token), TOKEN_OK);
    free(token);
    keyring_destroy(keys);
}
END_TEST

static void *verify_often(void *keys)
{
    char *honest = hmac_token(HS256, ALICE, SECRET), *forged = hmac_token(HS256, ALICE, "other");
    for (int i = 0; i < 200; i++) {
        json_t *payload = NULL;
        if (token_verify(keys, honest, strlen(honest), NOW_MS, &payload) != TOKEN_OK ||
            token_verify(keys, forged, strlen(forged), NOW_MS, &payload) != TOKEN_WRONG)
            keys = NULL; /* told by the thread's result: Check's asserts are for its own thread */
        json_decref(payload);
        if (!keys)
            break;
    }
    free(honest);
    free(forged);
    return keys;
}

START_TEST(several_threads_verify_with_one_keyring)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, verify_often, keys), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, keys);
    }
    keyring_destroy(keys);
}
END_TEST

/* ==== texts that are no tokens ==== */

START_TEST(text_without_exactly_three_parts_is_malformed)
{
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "...",
        "e30",
        "e30.",
        "e30.e30",
        ".e30.e30",
        "e30..e30",
        "e30.e30.e30.",
        "e30.e30.e30.e30",
        "e30.e30.e30.e30.e30",
        "Bearer e30.e30.e30",
        "{}",
        "\xff\xfe.\x80.\x01",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(verify_text(texts[i]) == TOKEN_MALFORMED, "%s", texts[i]);
}
END_TEST

START_TEST(truncated_token_is_refused_at_every_length)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    char *token = hmac_token(HS256, ALICE, SECRET);
    for (size_t length = strlen(token); length-- > 0;) {
        token[length] = 0;
        ck_assert_msg(verify(keys, token) != TOKEN_OK, "%zu bytes", length);
    }
    free(token);
    keyring_destroy(keys);
}
END_TEST

START_TEST(padding_white_space_and_other_alphabets_are_malformed)
{
    static const char *const foreign[] = {"=", "==", " ",  "\n",  "\t",
                                          "+", "/",  "\"", "%3D", "\xc3"};
    struct keyring *keys = keyring_of("HS256", SECRET);
    char *token = hmac_token(HS256, ALICE, SECRET);
    const char *dots[] = {token, strchr(token, '.'), strrchr(token, '.'), token + strlen(token)};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        for (size_t at = 0; at < sizeof dots / sizeof *dots; at++) {
            char spoiled[1024];
            snprintf(spoiled, sizeof spoiled, "%.*s%s%s", (int)(dots[at] - token), token,
                     foreign[i], dots[at]);
            ck_assert_msg(verify(keys, spoiled) == TOKEN_MALFORMED, "%s", spoiled);
        }
    free(token);
    keyring_destroy(keys);
}
END_TEST

START_TEST(nul_inside_a_token_does_not_end_it)
{
    struct keyring *keys = keyring_of("HS256", SECRET);
    char *token = hmac_token(HS256, ALICE, SECRET);
    size_t length = strlen(token);
    json_t *payload;
    ck_assert_int_eq(token_verify(keys, token, length + 1, NOW_MS, &payload), TOKEN_MALFORMED);
    token[length / 2] = 0;
    ck_assert_int_eq(token_verify(keys, token, length, NOW_MS, &payload), TOKEN_MALFORMED);
    free(token);
    keyring_destroy(keys);
}
END_TEST

START_TEST(second_spelling_of_a_signature_is_malformed)
{
    /* 32 bytes are 43 characters, the last of which has two bits that mean nothing. */
    char *token = hmac_token(HS256, ALICE, SECRET);
    char *last = token + strlen(token) - 1;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    *last = strchr(alphabet, *last)[1];
    ck_assert_int_eq(verify_text(token), TOKEN_MALFORMED);
    free(token);
}
END_TEST

START_TEST(token_over_the_limit_is_malformed)
{
    size_t length = TOKEN_BYTES_MAX * 3 / 4;
    char *payload = xmalloc(length + 1);
    memset(payload, ' ', length);
    payload[length] = 0;
    memcpy(payload, "[]", 2);
    ck_assert_int_eq(verify_payload(payload), TOKEN_MALFORMED);
    payload[length - 200] = 0; /* room for header and signature */
    ck_assert_int_eq(verify_payload(payload), TOKEN_OK);
    free(payload);
}
END_TEST

START_TEST(parts_that_are_no_json_objects_or_arrays_are_malformed)
{
    static const char *const texts[] = {"\"text\"",
                                        "1",
                                        "null",
                                        "{",
                                        "{}{}",
                                        "nonsense",
                                        "{'a':1}",
                                        "{\"a\":\"\\u0000\"}",
                                        "{\"a\":9223372036854775808}",
                                        "{\"a\":1e999}",
                                        "{\"a\":\"\xff\"}",
                                        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_msg(verify_payload(texts[i]) == TOKEN_MALFORMED, "%s", texts[i]);
        ck_assert_msg(verify_signed(texts[i], ALICE) == TOKEN_MALFORMED, "%s", texts[i]);
    }
    ck_assert_int_eq(verify_signed("[\"alg\",\"HS256\"]", ALICE), TOKEN_MALFORMED);
}
END_TEST

START_TEST(deeply_nested_payload_is_malformed)
{
    char payload[20001] = "";
    memset(payload, '[', 10000);
    memset(payload + 10000, ']', 10000);
    ck_assert_int_eq(verify_payload(payload), TOKEN_MALFORMED);
}
END_TEST

/* ==== keys that are refused ==== */

START_TEST(private_key_is_refused_where_a_public_one_belongs)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("prime256v1");
    char *rsa_pem = private_pem(rsa), *ec_pem = private_pem(ec), *pub_pem = public_pem(rsa);
    char both[8192];
    snprintf(both, sizeof both, "%s%s", pub_pem, rsa_pem);
    assert_key_refused("RS256", rsa_pem, "private key");
    assert_key_refused("ES256", ec_pem, "private key");
    assert_key_refused("RS256", both, "private key");
    assert_key_refused("HS256", rsa_pem, "no HMAC secret");
    free(rsa_pem);
    free(ec_pem);
    free(pub_pem);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}
END_TEST

START_TEST(key_of_another_kind_than_the_algorithm_needs_is_refused)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *p256 = EVP_EC_gen("prime256v1");
    EVP_PKEY *p384 = EVP_EC_gen("secp384r1"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *rsa_pem = public_pem(rsa), *p256_pem = public_pem(p256), *p384_pem = public_pem(p384);
    char *ed_pem = public_pem(ed);
    assert_key_refused("ES256", rsa_pem, "does not fit ES256");
    assert_key_refused("RS256", p256_pem, "does not fit RS256");
    assert_key_refused("ES256", p384_pem, "does not fit ES256");
    assert_key_refused("ES384", p256_pem, "does not fit ES384");
    assert_key_refused("RS256", ed_pem, "does not fit RS256");
    assert_key_refused("PS256", p256_pem, "does not fit PS256");
    assert_key_refused("RSA-OAEP", rsa_pem, "unknown algorithm");
    assert_key_refused("rs256", rsa_pem, "unknown algorithm");
    free(rsa_pem);
    free(p256_pem);
    free(p384_pem);
    free(ed_pem);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(ed);
}
END_TEST

START_TEST(short_rsa_key_is_refused)
{
    EVP_PKEY *pkey = EVP_RSA_gen(1024);
    char *pem = public_pem(pkey);
    assert_key_refused("RS256", pem, "at least 2048 bits");
    free(pem);
    EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(text_that_is_no_key_is_refused)
{
    assert_key_refused("RS256", "hello", "no PEM public key");
    assert_key_refused("ES256", "", "no PEM public key");
    assert_key_refused("RS256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                       "no PEM public key");
    assert_key_refused("RS256", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                       "no PEM public key");
    assert_key_refused("HS256", "", "empty");
    assert_key_refused("HS256", "\n", "empty");
}
END_TEST

START_TEST(file_that_cannot_be_read_is_named)
{
    struct error err = {0};
    ck_assert_ptr_null(keyring_try("RS256", "tests/data/missing.pub", NULL, &err));
    ck_assert_str_eq(err.text, "tests/data/missing.pub: No such file or directory");
    ck_assert_ptr_null(keyring_try("RS256", "/", NULL, &err));
    ck_assert_str_eq(err.text, "/: Is a directory");
    ck_assert_ptr_null(keyring_try("HS256", "/dev/zero", NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/dev/zero: larger than"));
}
END_TEST

START_TEST(one_newline_at_the_end_of_a_secret_file_does_not_count)
{
    struct error err;
    const char *path = file_of(SECRET "\n", strlen(SECRET) + 1);
    struct keyring *keys = keyring_try("HS256", path, NULL, &err);
    unlink(path);
    path = file_of(SECRET "\n\n", strlen(SECRET) + 2);
    struct keyring *keys_of_two = keyring_try("HS256", path, NULL, &err);
    unlink(path);
    char *token = hmac_token(HS256, ALICE, SECRET);
    char *token_of_two = hmac_token(HS256, ALICE, SECRET "\n");
    ck_assert_int_eq(verify(keys, token), TOKEN_OK);
    ck_assert_int_eq(verify(keys_of_two, token), TOKEN_WRONG);
    ck_assert_int_eq(verify(keys_of_two, token_of_two), TOKEN_OK);
    free(token);
    free(token_of_two);
    keyring_destroy(keys);
    keyring_destroy(keys_of_two);
}
END_TEST

START_TEST(short_secret_is_warned_about_but_works)
{
    struct keyring *keys = keyring_of("HS256", "short");
    char *token = hmac_token(HS256, ALICE, "short");
    ck_assert_int_eq(verify(keys, token), TOKEN_OK);
    free(token);
    keyring_destroy(keys);
}
END_TEST

/* ==== users ==== */

START_TEST(sub_is_the_claim_sub_else_name_else_the_public_name)
{
    assert_user("{\"sub\":\"u1\",\"name\":\"n\",\"_public\":{\"name\":\"p\"}}", "u1", "p");
    assert_user("{\"name\":\"p\",\"_public\":{\"name\":\"p\"}}", "p", "p");
    assert_user("{\"name\":\"n\",\"_public\":{}}", "n", "");
    assert_user("{\"_public\":{\"name\":\"p\"}}", "p", "p");
    assert_user("{\"sub\":\"u1\",\"_public\":{}}", "u1", "");
    assert_user("{\"_public\":{}}", "", "");
}
END_TEST

START_TEST(number_as_sub_or_name_is_its_decimal_text)
{
    assert_user("{\"sub\":42,\"_public\":{}}", "42", "");
    assert_user("{\"sub\":9007199254740993,\"_public\":{}}", "9007199254740993", "");
    assert_user("{\"sub\":-1.5,\"_public\":{\"name\":7}}", "-1.5", "7");
}
END_TEST

START_TEST(sub_of_another_type_counts_as_absent)
{
    assert_user("{\"sub\":null,\"name\":\"n\",\"_public\":{}}", "n", "");
    assert_user("{\"sub\":\"\",\"name\":true,\"_public\":{\"name\":\"p\"}}", "p", "p");
    assert_user("{\"sub\":{},\"_public\":{\"name\":[]}}", "", "");
}
END_TEST

START_TEST(payload_without_an_object_as_public_is_no_user)
{
    static const char *const payloads[] = {
        "{}",
        "[]",
        "{\"_public\":null}",
        "{\"_public\":\"Alice\"}",
        "{\"_public\":[{}]}",
        "{\"public\":{}}",
        "[{\"_public\":{}}]",
    };
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        struct user *user = NULL;
        ck_assert_msg(user_of(payloads[i], &user) == TOKEN_CONTENT, "%s", payloads[i]);
        ck_assert_ptr_null(user);
    }
}
END_TEST

START_TEST(names_over_256_bytes_are_no_user)
{
    char name[USER_NAME_BYTES_MAX + 2], payload[1024];
    struct user *user = NULL;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    static const char *const around[][2] = {
        {"{\"sub\":\"", "\",\"_public\":{}}"},
        {"{\"name\":\"", "\",\"_public\":{}}"},
        {"{\"sub\":\"u1\",\"_public\":{\"name\":\"", "\"}}"},
    };
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        snprintf(payload, sizeof payload, "%s%s%s", around[i][0], name, around[i][1]);
        ck_assert_int_eq(user_of(payload, &user), TOKEN_CONTENT);
        snprintf(payload, sizeof payload, "%s%s%s", around[i][0], name + 1, around[i][1]);
        ck_assert_int_eq(user_of(payload, &user), TOKEN_OK);
        user_unref(user);
    }
}
END_TEST

START_TEST(only_public_is_shown_and_compactly)
{
    struct user *user;
    ck_assert_int_eq(
        user_of("{\"secret\":1, \"_public\": { \"name\" : \"Zo\\u00eb\", \"a\" : [ 1, 2 ] },"
                "\"exp\": 1700000000.5}",
                &user),
        TOKEN_OK);
    ck_assert_str_eq(user->public_json, "{\"name\":\"Zo\xc3\xab\",\"a\":[1,2]}");
    ck_assert_uint_eq(user->public_length, strlen(user->public_json));
    ck_assert_int_eq(user->expires_ms, 1700000000500);
    user_unref(user);
}
END_TEST

START_TEST(user_lives_until_the_last_reference_is_gone)
{
    struct user *user = user_create("u1", "Alice", "null,", 4);
    ck_assert_ptr_eq(user_ref(user), user);
    user_unref(user);
    ck_assert_str_eq(user->sub, "u1");
    ck_assert_str_eq(user->name, "Alice");
    ck_assert_str_eq(user->public_json, "null");
    ck_assert_uint_eq(user->public_length, 4);
    ck_assert_int_eq(user->expires_ms, 0);
    user_unref(user);
    user_unref(NULL);
}
END_TEST

/* ==== sign.c ==== */

/* Sign with key text, verify with check text. algorithm NULL: derived, and expected to be pinned.
 */
static void assert_round_trip(const char *algorithm, const char *pinned, const char *key,
                              const char *check)
{
    struct error err = {0};
    const char *path = file_of(key, strlen(key));
    json_t *payload = json_pack("[{s:s, s:i}]", "name", "Zo\xc3\xab", "expire", 30), *got = NULL;
    char *token = sign_token(path, algorithm, NULL, payload, &err);
    unlink(path);
    ck_assert_msg(token != NULL, "%s", err.text);
    struct keyring *keys = keyring_of(pinned, check);
    ck_assert_msg(token_verify(keys, token, strlen(token), NOW_MS, &got) == TOKEN_OK, "%s", pinned);
    ck_assert(json_equal(payload, got));
    keyring_destroy(keys);
    free(token);
    json_decref(got);
    json_decref(payload);
}

START_TEST(what_is_signed_here_verifies)
{
    static const struct {
        const char *curve, *algorithms[3]; /* the first is the one for a key without a name */
    } cases[] = {
        {NULL, {"RS256", "RS384", "RS512"}},
        {"prime256v1", {"ES256"}},
        {"secp384r1", {"ES384"}},
        {"secp521r1", {"ES512"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        EVP_PKEY *pkey = cases[i].curve ? EVP_EC_gen(cases[i].curve) : EVP_RSA_gen(2048);
        char *key = private_pem(pkey), *check = public_pem(pkey);
        assert_round_trip(NULL, cases[i].algorithms[0], key, check);
        for (int j = 0; j < 3 && cases[i].algorithms[j]; j++)
            assert_round_trip(cases[i].algorithms[j], cases[i].algorithms[j], key, check);
        free(key);
        free(check);
        EVP_PKEY_free(pkey);
    }
    assert_round_trip(NULL, "HS256", SECRET "\n", SECRET);
    assert_round_trip("HS384", "HS384", SECRET, SECRET);
    assert_round_trip("HS512", "HS512", SECRET, SECRET);
}
END_TEST

START_TEST(signatures_on_a_curve_always_have_their_full_length)
{
    /* One r or s in 128 begins with a zero byte, which DER leaves out. */
    EVP_PKEY *pkey = EVP_EC_gen("prime256v1");
    char *key = private_pem(pkey), *check = public_pem(pkey);
    const char *path = file_of(key, strlen(key));
    struct keyring *keys = keyring_of("ES256", check);
    json_t *payload = json_object();
    for (int i = 0; i < 600; i++) {
        struct error err;
        char *token = sign_token(path, "ES256", NULL, payload, &err);
        ck_assert_uint_eq(strlen(strrchr(token, '.') + 1), BASE64URL_LENGTH(64));
        ck_assert_int_eq(verify(keys, token), TOKEN_OK);
        free(token);
    }
    unlink(path);
    json_decref(payload);
    keyring_destroy(keys);
    free(key);
    free(check);
    EVP_PKEY_free(pkey);
}
END_TEST

static void assert_not_signed(const char *algorithm, const char *key, const char *why)
{
    struct error err = {0};
    json_t *payload = json_object();
    const char *path = file_of(key, strlen(key));
    ck_assert_ptr_null(sign_token(path, algorithm, NULL, payload, &err));
    ck_assert_msg(strstr(err.text, why) != NULL, "\"%s\" does not say \"%s\"", err.text, why);
    unlink(path);
    json_decref(payload);
}

START_TEST(key_that_cannot_sign_is_refused)
{
    EVP_PKEY *pkey = EVP_RSA_gen(2048), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *key = private_pem(pkey), *check = public_pem(pkey), *ed_key = private_pem(ed);
    assert_not_signed(NULL, check, "no PEM private key");
    assert_not_signed("HS256", check, "no HMAC secret");
    assert_not_signed("ES256", key, "does not fit ES256");
    assert_not_signed("none", key, "unknown algorithm");
    assert_not_signed("RS256", SECRET, "no PEM private key");
    assert_not_signed(NULL, ed_key, "no algorithm for this kind of key");
    assert_not_signed(NULL, "", "empty");
    free(key);
    free(check);
    free(ed_key);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(ed);
}
END_TEST

UNIT_MAIN(
    "user", user_token_of_the_original_is_a_user, ban_token_of_the_original_is_an_array_and_no_user,
    example_key_of_the_original_is_recognized_in_any_form,
    token_forged_from_the_text_of_the_certificate_is_refused,
    token_forged_from_the_text_of_the_public_key_is_refused, pem_text_is_refused_as_hmac_secret,
    honest_signature_with_another_algorithm_than_the_pinned_one_is_refused,
    algorithm_must_be_spelled_exactly, algorithm_none_is_refused_with_and_without_a_signature,
    token_without_signature_is_refused, token_is_valid_until_the_millisecond_of_exp,
    token_is_not_valid_before_nbf, exp_and_nbf_that_are_no_numbers_are_refused,
    token_from_the_future_is_refused, critical_extensions_are_refused,
    claims_given_twice_are_refused, failed_verification_leaves_no_error_behind_for_tls,
    tokens_of_libjwt_verify_with_every_kind_of_key, token_of_any_key_with_its_algorithm_is_believed,
    keyring_without_keys_believes_nobody, changed_token_is_refused_wherever_it_was_changed,
    several_threads_verify_with_one_keyring, text_without_exactly_three_parts_is_malformed,
    truncated_token_is_refused_at_every_length,
    padding_white_space_and_other_alphabets_are_malformed, nul_inside_a_token_does_not_end_it,
    second_spelling_of_a_signature_is_malformed, token_over_the_limit_is_malformed,
    parts_that_are_no_json_objects_or_arrays_are_malformed, deeply_nested_payload_is_malformed,
    private_key_is_refused_where_a_public_one_belongs,
    key_of_another_kind_than_the_algorithm_needs_is_refused, short_rsa_key_is_refused,
    text_that_is_no_key_is_refused, file_that_cannot_be_read_is_named,
    one_newline_at_the_end_of_a_secret_file_does_not_count, short_secret_is_warned_about_but_works,
    sub_is_the_claim_sub_else_name_else_the_public_name, number_as_sub_or_name_is_its_decimal_text,
    sub_of_another_type_counts_as_absent, payload_without_an_object_as_public_is_no_user,
    names_over_256_bytes_are_no_user, only_public_is_shown_and_compactly,
    user_lives_until_the_last_reference_is_gone, what_is_signed_here_verifies,
    signatures_on_a_curve_always_have_their_full_length, key_that_cannot_sign_is_refused)
