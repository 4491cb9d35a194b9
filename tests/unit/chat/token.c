/* Which tokens are believed: one table. The basics of a token, and of a key, are in user.c. */
#include "unit.h"

#include "alloc.h"
#include "base64url.h"
#include "config.h"
#include "keyring.h"
#include "token.h"
#include "user.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_MS INT64_C(1700000000000)

/* ---- keys: rsa and ec are believed, the others are not ---- */

static EVP_PKEY *rsa, *pss, *ec, *other_rsa, *other_ec, *p384;
static char *rsa_pem, *pss_pem, *ec_pem;
static struct keyring *keys; /* audience, issuer and a leeway of 5 s */

static char *public_pem(EVP_PKEY *pkey)
{
    char *bytes;
    BIO *bio = BIO_new(BIO_s_mem());
    ck_assert(PEM_write_bio_PUBKEY(bio, pkey));
    long length = BIO_get_mem_data(bio, &bytes);
    char *text = xstrndup(bytes, (size_t)length);
    BIO_free(bio);
    return text;
}

static struct keyring *keyring_of(struct config_key *list, size_t count, const char *audience,
                                  const char *issuer)
{
    struct config conf = {.jwt = {.keys = {list, count},
                                  .audience = (char *)audience,
                                  .issuer = (char *)issuer,
                                  .leeway_ms = 5000}};
    struct error err = {0};
    struct keyring *made = keyring_load(&conf, &err);
    ck_assert_msg(made != NULL, "%s", err.text);
    return made;
}

static void begin(void)
{
    rsa = EVP_RSA_gen(2048);
    pss = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("prime256v1");
    other_rsa = EVP_RSA_gen(2048);
    other_ec = EVP_EC_gen("prime256v1");
    p384 = EVP_EC_gen("secp384r1");
    rsa_pem = public_pem(rsa);
    pss_pem = public_pem(pss);
    ec_pem = public_pem(ec);
    struct config_key list[] = {
        {(char *)"RS256", NULL, rsa_pem, (char *)"r1"},
        {(char *)"PS256", NULL, pss_pem, NULL},
        {(char *)"ES256", NULL, ec_pem, (char *)"e1"},
        {(char *)"HS256", NULL, (char *)SECRET, (char *)"h1"},
    };
    keys = keyring_of(list, 4, "chat", "me");
}

static void end(void)
{
    EVP_PKEY *all[] = {rsa, pss, ec, other_rsa, other_ec, p384};
    keyring_destroy(keys);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        EVP_PKEY_free(all[i]);
    free(rsa_pem);
    free(pss_pem);
    free(ec_pem);
}

/* ---- who signs, with openssl alone ---- */

enum form { PLAIN, PSS_SALT, EC_RAW, EC_DER, EMPTY };

struct signer {
    EVP_PKEY **pkey;    /* NULL: HMAC with secret, or rsa_pem without one */
    const char *secret; /* of HMAC */
    const char *digest;
    enum form form;
    int salt;
};

static const struct signer hs256 = {.secret = SECRET, .digest = "SHA256"},
                           hs512 = {.secret = SECRET, .digest = "SHA512"},
                           stranger = {.secret = "another secret, another secret!!",
                                       .digest = "SHA256"},
                           with_public_key = {.digest = "SHA256"}, nobody = {.form = EMPTY},
                           rs256 = {.pkey = &rsa, .digest = "SHA256"},
                           rs512 = {.pkey = &rsa, .digest = "SHA512"},
                           rs256_by_other = {.pkey = &other_rsa, .digest = "SHA256"},
                           ps256 = {&pss, NULL, "SHA256", PSS_SALT, RSA_PSS_SALTLEN_DIGEST},
                           ps256_by_rsa = {&rsa, NULL, "SHA256", PSS_SALT, RSA_PSS_SALTLEN_DIGEST},
                           ps512 = {&pss, NULL, "SHA512", PSS_SALT, RSA_PSS_SALTLEN_DIGEST},
                           ps256_no_salt = {&pss, NULL, "SHA256", PSS_SALT, 0},
                           ps256_salt_20 = {&pss, NULL, "SHA256", PSS_SALT, 20},
                           ps256_salt_max = {&pss, NULL, "SHA256", PSS_SALT, RSA_PSS_SALTLEN_MAX},
                           rs256_by_pss = {.pkey = &pss, .digest = "SHA256"},
                           es256 = {&ec, NULL, "SHA256", EC_RAW, 0},
                           es256_der = {&ec, NULL, "SHA256", EC_DER, 0},
                           es512_on_p256 = {&ec, NULL, "SHA512", EC_RAW, 0},
                           es256_by_other = {&other_ec, NULL, "SHA256", EC_RAW, 0},
                           es256_on_p384 = {&p384, NULL, "SHA256", EC_RAW, 0};

static size_t ec_raw(unsigned char *signature, size_t length, int bytes)
{
    const unsigned char *der = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, bytes);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + bytes, bytes);
    ECDSA_SIG_free(pair);
    return 2 * (size_t)bytes;
}

static size_t sign(const struct signer *signer, const char *text, unsigned char out[1024])
{
    const char *secret = signer->secret ? signer->secret : rsa_pem;
    size_t length = 1024;
    EVP_PKEY_CTX *settings;
    EVP_PKEY *pkey =
        signer->pkey ? *signer->pkey
                     : EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL,
                                                    (const unsigned char *)secret, strlen(secret));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ck_assert(EVP_DigestSignInit_ex(context, &settings, signer->digest, NULL, NULL, pkey, NULL));
    if (signer->form == PSS_SALT) {
        ck_assert(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1);
        ck_assert(EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, signer->salt) == 1);
    }
    ck_assert(EVP_DigestSign(context, out, &length, (const unsigned char *)text, strlen(text)));
    EVP_MD_CTX_free(context);
    if (!signer->pkey)
        EVP_PKEY_free(pkey);
    return signer->form == EC_RAW ? ec_raw(out, length, signer->pkey == &p384 ? 48 : 32) : length;
}

static char *token_by(const struct signer *signer, const char *header, const char *payload)
{
    unsigned char signature[1024];
    char *token = xmalloc(2 * (strlen(header) + strlen(payload)) + 2048);
    base64url_encode(header, strlen(header), token);
    strcat(token, ".");
    base64url_encode(payload, strlen(payload), token + strlen(token));
    size_t length = signer->form == EMPTY ? 0 : sign(signer, token, signature);
    strcat(token, ".");
    base64url_encode(signature, length, token + strlen(token));
    return token;
}

static enum token_status verify(const struct keyring *with, const char *token)
{
    json_t *payload = NULL;
    enum token_status status = token_verify(with, token, strlen(token), NOW_MS, &payload);
    json_decref(payload);
    return status;
}

/* ---- the table ---- */

#define HS256 "{\"alg\":\"HS256\"}"
#define RS256 "{\"alg\":\"RS256\"}"
#define PS256 "{\"alg\":\"PS256\"}"
#define ES256 "{\"alg\":\"ES256\"}"
/* A header with something more in it, and the claims that the keyring asks for with more. */
#define WITH(alg, more) "{\"alg\":\"" alg "\"," more "}"
#define CLAIMS(more)    "{\"aud\":\"chat\",\"iss\":\"me\"" more "}"
#define GOOD            CLAIMS("")

static const struct {
    const char *what;
    const struct signer *signer;
    const char *header, *payload;
    enum token_status status;
} cases[] = {
    /* honest ones */
    {"HS256", &hs256, HS256, GOOD, TOKEN_OK},
    {"RS256", &rs256, RS256, GOOD, TOKEN_OK},
    {"PS256", &ps256, PS256, GOOD, TOKEN_OK},
    {"ES256", &es256, ES256, GOOD, TOKEN_OK},
    {"an array has no claims", &rs256, RS256, "[]", TOKEN_OK},
    {"typ of an access token", &rs256, WITH("RS256", "\"typ\":\"at+jwt\""), GOOD, TOKEN_OK},
    /* the algorithm is the key's, not the token's */
    {"HMAC with the public key", &with_public_key, HS256, GOOD, TOKEN_WRONG},
    {"the same, called RS256", &with_public_key, RS256, GOOD, TOKEN_WRONG},
    {"the same, with the key's kid", &with_public_key, WITH("HS256", "\"kid\":\"r1\""), GOOD,
     TOKEN_WRONG},
    {"RS512 by a key for RS256", &rs512, "{\"alg\":\"RS512\"}", GOOD, TOKEN_WRONG},
    {"RS512 called RS256", &rs512, RS256, GOOD, TOKEN_WRONG},
    {"HS512 by a key for HS256", &hs512, "{\"alg\":\"HS512\"}", GOOD, TOKEN_WRONG},
    {"HS512 called HS256", &hs512, HS256, GOOD, TOKEN_WRONG},
    {"PS512 by a key for PS256", &ps512, "{\"alg\":\"PS512\"}", GOOD, TOKEN_WRONG},
    {"PS256 by a key for RS256", &ps256_by_rsa, PS256, GOOD, TOKEN_WRONG},
    {"PS256 called RS256", &ps256_by_rsa, RS256, GOOD, TOKEN_WRONG},
    {"RS256 by a key for PS256", &rs256_by_pss, RS256, GOOD, TOKEN_WRONG},
    {"RS256 called PS256", &rs256_by_pss, PS256, GOOD, TOKEN_WRONG},
    {"PS256 without salt", &ps256_no_salt, PS256, GOOD, TOKEN_WRONG},
    {"PS256 with a salt of 20 bytes", &ps256_salt_20, PS256, GOOD, TOKEN_WRONG},
    {"PS256 with the longest salt", &ps256_salt_max, PS256, GOOD, TOKEN_WRONG},
    {"ES256 in DER", &es256_der, ES256, GOOD, TOKEN_WRONG},
    {"ES512 on the curve of ES256", &es512_on_p256, "{\"alg\":\"ES512\"}", GOOD, TOKEN_WRONG},
    {"ES256 on another curve", &es256_on_p384, ES256, GOOD, TOKEN_WRONG},
    {"another RSA key", &rs256_by_other, RS256, GOOD, TOKEN_WRONG},
    {"another EC key", &es256_by_other, ES256, GOOD, TOKEN_WRONG},
    {"another secret", &stranger, HS256, GOOD, TOKEN_WRONG},
    {"an algorithm in lower case", &hs256, "{\"alg\":\"hs256\"}", GOOD, TOKEN_WRONG},
    {"an algorithm that is a number", &hs256, "{\"alg\":256}", GOOD, TOKEN_WRONG},
    {"no algorithm", &hs256, "{}", GOOD, TOKEN_WRONG},
    {"an algorithm of JWE", &rs256, "{\"alg\":\"RSA-OAEP\"}", GOOD, TOKEN_WRONG},
    /* no signature */
    {"none", &nobody, "{\"alg\":\"none\"}", GOOD, TOKEN_WRONG},
    {"None", &nobody, "{\"alg\":\"None\"}", GOOD, TOKEN_WRONG},
    {"none, and signed", &hs256, "{\"alg\":\"none\"}", GOOD, TOKEN_WRONG},
    {"HS256, not signed", &nobody, HS256, GOOD, TOKEN_WRONG},
    {"RS256, not signed", &nobody, RS256, GOOD, TOKEN_WRONG},
    {"PS256, not signed", &nobody, PS256, GOOD, TOKEN_WRONG},
    {"ES256, not signed", &nobody, ES256, GOOD, TOKEN_WRONG},
    /* kid */
    {"the key's kid", &rs256, WITH("RS256", "\"kid\":\"r1\""), GOOD, TOKEN_OK},
    {"the kid of a secret", &hs256, WITH("HS256", "\"kid\":\"h1\""), GOOD, TOKEN_OK},
    {"the kid of an EC key", &es256, WITH("ES256", "\"kid\":\"e1\""), GOOD, TOKEN_OK},
    {"any kid, for a key without one", &ps256, WITH("PS256", "\"kid\":\"x\""), GOOD, TOKEN_OK},
    {"an unknown kid", &rs256, WITH("RS256", "\"kid\":\"r2\""), GOOD, TOKEN_WRONG},
    {"the kid of another key", &rs256, WITH("RS256", "\"kid\":\"h1\""), GOOD, TOKEN_WRONG},
    {"half a kid", &rs256, WITH("RS256", "\"kid\":\"r\""), GOOD, TOKEN_WRONG},
    {"an empty kid", &rs256, WITH("RS256", "\"kid\":\"\""), GOOD, TOKEN_WRONG},
    {"a kid that is a path", &hs256, WITH("HS256", "\"kid\":\"../../dev/null\""), GOOD,
     TOKEN_WRONG},
    {"a kid that is SQL", &hs256, WITH("HS256", "\"kid\":\"' OR 1=1 --\""), GOOD, TOKEN_WRONG},
    {"a kid that is a number", &rs256, WITH("RS256", "\"kid\":1"), GOOD, TOKEN_WRONG},
    {"a kid that is null", &rs256, WITH("RS256", "\"kid\":null"), GOOD, TOKEN_WRONG},
    {"a kid that is a list", &rs256, WITH("RS256", "\"kid\":[\"r1\"]"), GOOD, TOKEN_WRONG},
    {"a kid with a NUL", &rs256, WITH("RS256", "\"kid\":\"r1\\u0000\""), GOOD, TOKEN_MALFORMED},
    {"two kids", &rs256, WITH("RS256", "\"kid\":\"x\",\"kid\":\"r1\""), GOOD, TOKEN_WRONG},
    /* what else a header may ask for */
    {"crit with something unknown", &rs256, WITH("RS256", "\"crit\":[\"x\"],\"x\":1"), GOOD,
     TOKEN_WRONG},
    {"empty crit", &rs256, WITH("RS256", "\"crit\":[]"), GOOD, TOKEN_WRONG},
    {"b64 false", &rs256, WITH("RS256", "\"b64\":false"), GOOD, TOKEN_WRONG},
    {"b64 false and crit", &rs256, WITH("RS256", "\"b64\":false,\"crit\":[\"b64\"]"), GOOD,
     TOKEN_WRONG},
    {"b64 true", &rs256, WITH("RS256", "\"b64\":true"), GOOD, TOKEN_OK},
    {"a key in the header of an honest one", &rs256, WITH("RS256", "\"jwk\":{\"kty\":\"RSA\"}"),
     GOOD, TOKEN_OK},
    {"a secret that the token brings", &stranger,
     WITH("HS256", "\"jwk\":{\"kty\":\"oct\","
                   "\"k\":\"YW5vdGhlciBzZWNyZXQsIGFub3RoZXIgc2VjcmV0ISE\"}"),
     GOOD, TOKEN_WRONG},
    {"a URL for keys", &rs256_by_other, WITH("RS256", "\"jku\":\"http://127.0.0.1/\""), GOOD,
     TOKEN_WRONG},
    {"two algorithms", &hs256, "{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, TOKEN_WRONG},
    {"a header that is an array", &hs256, "[\"HS256\"]", GOOD, TOKEN_MALFORMED},
    /* aud */
    {"no aud", &rs256, RS256, "{\"iss\":\"me\"}", TOKEN_WRONG},
    {"another aud", &rs256, RS256, "{\"iss\":\"me\",\"aud\":\"shop\"}", TOKEN_WRONG},
    {"half an aud", &rs256, RS256, "{\"iss\":\"me\",\"aud\":\"cha\"}", TOKEN_WRONG},
    {"more than aud", &rs256, RS256, "{\"iss\":\"me\",\"aud\":\"chat2\"}", TOKEN_WRONG},
    {"aud in a list", &rs256, RS256, "{\"iss\":\"me\",\"aud\":[\"shop\",\"chat\"]}", TOKEN_OK},
    {"a list without aud", &rs256, RS256, "{\"iss\":\"me\",\"aud\":[\"shop\"]}", TOKEN_WRONG},
    {"an empty list", &rs256, RS256, "{\"iss\":\"me\",\"aud\":[]}", TOKEN_WRONG},
    {"a list in a list", &rs256, RS256, "{\"iss\":\"me\",\"aud\":[[\"chat\"]]}", TOKEN_WRONG},
    {"aud as a key", &rs256, RS256, "{\"iss\":\"me\",\"aud\":{\"chat\":1}}", TOKEN_WRONG},
    {"two auds", &rs256, RS256, "{\"iss\":\"me\",\"aud\":\"x\",\"aud\":\"chat\"}", TOKEN_WRONG},
    /* iss */
    {"no iss", &rs256, RS256, "{\"aud\":\"chat\"}", TOKEN_WRONG},
    {"another iss", &rs256, RS256, "{\"aud\":\"chat\",\"iss\":\"Me\"}", TOKEN_WRONG},
    {"iss in a list", &rs256, RS256, "{\"aud\":\"chat\",\"iss\":[\"me\"]}", TOKEN_WRONG},
    {"iss that is null", &rs256, RS256, "{\"aud\":\"chat\",\"iss\":null}", TOKEN_WRONG},
    /* exp, nbf and iat, with a leeway of 5 s; it is 1700000000 */
    {"exp ahead", &rs256, RS256, CLAIMS(",\"exp\":1700000001"), TOKEN_OK},
    {"exp within the leeway", &rs256, RS256, CLAIMS(",\"exp\":1699999996"), TOKEN_OK},
    {"exp a millisecond within it", &rs256, RS256, CLAIMS(",\"exp\":1699999995.001"), TOKEN_OK},
    {"exp at its end", &rs256, RS256, CLAIMS(",\"exp\":1699999995"), TOKEN_WRONG},
    {"exp long past", &rs256, RS256, CLAIMS(",\"exp\":1"), TOKEN_WRONG},
    {"exp 0", &rs256, RS256, CLAIMS(",\"exp\":0"), TOKEN_WRONG},
    {"exp negative", &rs256, RS256, CLAIMS(",\"exp\":-1"), TOKEN_WRONG},
    {"exp huge", &rs256, RS256, CLAIMS(",\"exp\":1e300"), TOKEN_OK},
    {"exp as large as it gets", &rs256, RS256, CLAIMS(",\"exp\":9223372036854775807"), TOKEN_OK},
    {"exp larger", &rs256, RS256, CLAIMS(",\"exp\":9223372036854775808"), TOKEN_MALFORMED},
    {"exp infinite", &rs256, RS256, CLAIMS(",\"exp\":1e999"), TOKEN_MALFORMED},
    {"exp hugely negative", &rs256, RS256, CLAIMS(",\"exp\":-1e300"), TOKEN_WRONG},
    {"exp in quotes", &rs256, RS256, CLAIMS(",\"exp\":\"1800000000\""), TOKEN_WRONG},
    {"exp null", &rs256, RS256, CLAIMS(",\"exp\":null"), TOKEN_WRONG},
    {"exp true", &rs256, RS256, CLAIMS(",\"exp\":true"), TOKEN_WRONG},
    {"exp in a list", &rs256, RS256, CLAIMS(",\"exp\":[1800000000]"), TOKEN_WRONG},
    {"two exps", &rs256, RS256, CLAIMS(",\"exp\":1,\"exp\":1800000000"), TOKEN_WRONG},
    {"nbf within the leeway", &rs256, RS256, CLAIMS(",\"nbf\":1700000005"), TOKEN_OK},
    {"nbf beyond it", &rs256, RS256, CLAIMS(",\"nbf\":1700000005.001"), TOKEN_WRONG},
    {"nbf huge", &rs256, RS256, CLAIMS(",\"nbf\":1e300"), TOKEN_WRONG},
    {"nbf hugely negative", &rs256, RS256, CLAIMS(",\"nbf\":-1e300"), TOKEN_OK},
    {"nbf in quotes", &rs256, RS256, CLAIMS(",\"nbf\":\"1\""), TOKEN_WRONG},
    {"iat within the leeway", &rs256, RS256, CLAIMS(",\"iat\":1700000005"), TOKEN_OK},
    {"iat in the future", &rs256, RS256, CLAIMS(",\"iat\":1700000006"), TOKEN_WRONG},
    {"iat in quotes", &rs256, RS256, CLAIMS(",\"iat\":\"1\""), TOKEN_WRONG},
    /* all is well but one thing */
    {"aud good, exp past", &rs256, RS256, CLAIMS(",\"exp\":1600000000"), TOKEN_WRONG},
    {"all claims, unknown kid", &rs256, WITH("RS256", "\"kid\":\"r9\""),
     CLAIMS(",\"exp\":1800000000"), TOKEN_WRONG},
};

START_TEST(tokens_are_believed_as_the_table_says)
{
    begin();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *token = token_by(cases[i].signer, cases[i].header, cases[i].payload);
        enum token_status status = verify(keys, token);
        ck_assert_msg(status == cases[i].status, "%s: %d, not %d", cases[i].what, status,
                      cases[i].status);
        free(token);
    }
    end();
}
END_TEST

START_TEST(every_algorithm_is_verified_and_a_changed_signature_is_not)
{
    static const struct {
        const char *name, *digest, *curve;
        enum form form;
    } all[] = {
        {"RS256", "SHA256", NULL, PLAIN},          {"RS384", "SHA384", NULL, PLAIN},
        {"RS512", "SHA512", NULL, PLAIN},          {"PS256", "SHA256", NULL, PSS_SALT},
        {"PS384", "SHA384", NULL, PSS_SALT},       {"PS512", "SHA512", NULL, PSS_SALT},
        {"ES256", "SHA256", "prime256v1", EC_DER}, {"ES384", "SHA384", "secp384r1", EC_DER},
        {"ES512", "SHA512", "secp521r1", EC_DER},  {"HS256", "SHA256", NULL, PLAIN},
        {"HS384", "SHA384", NULL, PLAIN},          {"HS512", "SHA512", NULL, PLAIN},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool secret = all[i].name[0] == 'H';
        EVP_PKEY *pkey = secret         ? NULL
                         : all[i].curve ? EVP_EC_gen(all[i].curve)
                                        : EVP_RSA_gen(2048);
        const struct signer signer = {secret ? NULL : &pkey, SECRET, all[i].digest, all[i].form,
                                      RSA_PSS_SALTLEN_DIGEST};
        char header[64], *pem = secret ? xstrdup(SECRET) : public_pem(pkey);
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", all[i].name);
        struct config_key one = {(char *)all[i].name, NULL, pem, NULL};
        struct keyring *keyring = keyring_of(&one, 1, "", "");
        char *token = token_by(&signer, header, "{}");
        if (all[i].curve) { /* the form that tokens have */
            unsigned char der[1024];
            char *signature = strrchr(token, '.') + 1;
            size_t length;
            ck_assert(base64url_decode(signature, strlen(signature), der, &length));
            int bytes = (EVP_PKEY_get_bits(pkey) + 7) / 8;
            base64url_encode(der, ec_raw(der, length, bytes), signature);
        }
        ck_assert_msg(verify(keyring, token) == TOKEN_OK, "%s", all[i].name);
        char *in_signature = strrchr(token, '.') + 5;
        *in_signature = *in_signature == 'A' ? 'B' : 'A';
        ck_assert_msg(verify(keyring, token) == TOKEN_WRONG, "%s", all[i].name);
        free(token);
        keyring_destroy(keyring);
        free(pem);
        EVP_PKEY_free(pkey);
    }
}
END_TEST

START_TEST(signature_of_zeros_is_refused)
{
    static const struct {
        const char *header;
        size_t bytes;
    } all[] = {{ES256, 64},  {ES256, 63}, {ES256, 65}, {ES256, 128}, {RS256, 256},
               {PS256, 256}, {HS256, 32}, {RS256, 1},  {ES256, 1},   {RS256, 512}};
    begin();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        static const unsigned char zeros[512];
        char token[2048];
        base64url_encode(all[i].header, strlen(all[i].header), token);
        strcat(token, ".");
        base64url_encode(GOOD, strlen(GOOD), token + strlen(token));
        strcat(token, ".");
        base64url_encode(zeros, all[i].bytes, token + strlen(token));
        ck_assert_int_eq(verify(keys, token), TOKEN_WRONG);
    }
    end();
}
END_TEST

START_TEST(key_for_pss_only_is_not_taken_for_another_padding_or_digest)
{
    static const struct {
        const char *algorithm;
        bool fits;
    } all[] = {{"PS256", true}, {"PS384", false}, {"PS512", false}, {"RS256", false}};
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    ck_assert(EVP_PKEY_keygen_init(context) == 1);
    ck_assert(EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048) == 1);
    ck_assert(EVP_PKEY_CTX_set_rsa_pss_keygen_md(context, EVP_sha256()) == 1);
    ck_assert(EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md(context, EVP_sha256()) == 1);
    ck_assert(EVP_PKEY_CTX_set_rsa_pss_keygen_saltlen(context, 32) == 1);
    ck_assert(EVP_PKEY_generate(context, &pkey) == 1);
    char *pem = public_pem(pkey);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct config_key one = {(char *)all[i].algorithm, NULL, pem, NULL};
        struct config conf = {.jwt.keys = {&one, 1}};
        struct error err = {0};
        struct keyring *keyring = keyring_load(&conf, &err);
        ck_assert_msg((keyring != NULL) == all[i].fits, "%s", all[i].algorithm);
        if (keyring) {
            const struct signer signer = {&pkey, NULL, "SHA256", PSS_SALT, RSA_PSS_SALTLEN_DIGEST};
            char *token = token_by(&signer, PS256, "{}");
            ck_assert_int_eq(verify(keyring, token), TOKEN_OK);
            free(token);
        }
        keyring_destroy(keyring);
    }
    free(pem);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(public_key_in_der_is_no_secret)
{
    char path[] = "/tmp/chatup-der-XXXXXX";
    EVP_PKEY *pkey = EVP_EC_gen("prime256v1");
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(pkey, &der), fd = mkstemp(path);
    ck_assert_int_eq(write(fd, der, (size_t)length), length);
    close(fd);
    struct config_key one = {(char *)"HS256", path, NULL, NULL};
    struct config conf = {.jwt.keys = {&one, 1}};
    struct error err = {0};
    ck_assert_ptr_null(keyring_load(&conf, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "a public key or certificate is no HMAC secret"));
    unlink(path);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
}
END_TEST

START_TEST(too_many_keys_are_refused)
{
    struct config_key list[101];
    for (size_t i = 0; i < 101; i++)
        list[i] = (struct config_key){(char *)"HS256", NULL, (char *)SECRET, NULL};
    struct config conf = {.jwt.keys = {list, 101}};
    struct error err = {0};
    ck_assert_ptr_null(keyring_load(&conf, &err));
    ck_assert_str_eq(err.text, "jwt.keys[100].secret: more than 100 keys");
    conf.jwt.keys.count = 100;
    struct keyring *keyring = keyring_load(&conf, &err);
    ck_assert_ptr_nonnull(keyring);
    keyring_destroy(keyring);
}
END_TEST

/* ---- keys of servers ---- */

static bool signs(const struct keyring *keyring, const char *secret)
{
    const struct signer signer = {.secret = secret, .digest = "SHA256"};
    char *token = token_by(&signer, HS256, "[]");
    enum token_status status = verify(keyring, token);
    free(token);
    return status == TOKEN_OK;
}

START_TEST(admin_keys_are_those_of_users_only_while_there_are_none)
{
    struct config_key user = {(char *)"HS256", NULL, (char *)"the secret of users, 32 bytes ok",
                              NULL};
    struct config_key admin = {(char *)"HS256", NULL, (char *)"the secret of servers, 32 bytes.",
                               NULL};
    struct config conf = {.address = (char *)"127.0.0.1", .jwt.keys = {&user, 1}};
    struct keyring *users, *admins;
    struct error err = {0};
    ck_assert(keyrings_load(&conf, &users, &admins, &err));
    ck_assert(signs(users, user.secret) && signs(admins, user.secret));
    keyring_destroy(users);
    keyring_destroy(admins);
    conf.admin.keys = (struct config_keys){&admin, 1};
    ck_assert(keyrings_load(&conf, &users, &admins, &err));
    ck_assert(signs(users, user.secret) && !signs(users, admin.secret));
    ck_assert(signs(admins, admin.secret) && !signs(admins, user.secret));
    keyring_destroy(users);
    keyring_destroy(admins);
}
END_TEST

START_TEST(the_example_key_is_refused_where_others_can_reach_it)
{
    struct config_key example = {(char *)"RS256", (char *)"tests/data/original_example.crt", NULL,
                                 NULL};
    struct config_key own = {(char *)"HS256", NULL, (char *)SECRET, NULL};
    static const struct {
        const char *address;
        bool as_user, as_admin;
        const char *refused; /* NULL: taken */
    } all[] = {
        {"127.0.0.1", true, true, NULL},
        {"::1", true, false, NULL},
        {"0.0.0.0", true, false, "jwt.keys: the original's example key"},
        {"192.0.2.1", false, true, "admin.keys: the original's example key"},
        {"0.0.0.0", false, false, NULL},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct config conf = {.address = (char *)all[i].address,
                              .jwt.keys = {all[i].as_user ? &example : &own, 1},
                              .admin.keys = {all[i].as_admin ? &example : &own, 1}};
        struct keyring *users = NULL, *admins = NULL;
        struct error err = {0};
        ck_assert(keyrings_load(&conf, &users, &admins, &err) == !all[i].refused);
        ck_assert(!all[i].refused || strstr(err.text, all[i].refused));
        keyring_destroy(users);
        keyring_destroy(admins);
    }
}
END_TEST

/* ---- users ---- */

static enum token_status user_of(const char *payload, struct user **user_out)
{
    struct config_key one = {(char *)"HS256", NULL, (char *)SECRET, NULL};
    struct keyring *keyring = keyring_of(&one, 1, "", "");
    char *token = token_by(&hs256, HS256, payload);
    enum token_status status = user_from_token(keyring, token, strlen(token), NOW_MS, user_out);
    free(token);
    keyring_destroy(keyring);
    return status;
}

START_TEST(without_sub_two_names_that_differ_are_nobody)
{
    static const struct {
        const char *payload, *sub; /* NULL: refused */
    } all[] = {
        {"{\"name\":\"a\",\"_public\":{\"name\":\"b\"}}", NULL},
        {"{\"name\":\"a\",\"_public\":{\"name\":\"A\"}}", NULL},
        {"{\"sub\":\"\",\"name\":\"a\",\"_public\":{\"name\":\"b\"}}", NULL},
        {"{\"sub\":null,\"name\":\"a\",\"_public\":{\"name\":\"b\"}}", NULL},
        {"{\"name\":7,\"_public\":{\"name\":\"8\"}}", NULL},
        {"{\"name\":7,\"_public\":{\"name\":\"7\"}}", "7"},
        {"{\"name\":\"a\",\"_public\":{\"name\":\"a\"}}", "a"},
        {"{\"name\":\"a\",\"_public\":{}}", "a"},
        {"{\"name\":\"a\",\"_public\":{\"name\":\"\"}}", "a"},
        {"{\"name\":\"\",\"_public\":{\"name\":\"b\"}}", "b"},
        {"{\"sub\":\"u\",\"name\":\"a\",\"_public\":{\"name\":\"b\"}}", "u"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct user *user = NULL;
        enum token_status status = user_of(all[i].payload, &user);
        ck_assert_msg(status == (all[i].sub ? TOKEN_OK : TOKEN_CONTENT), "%s", all[i].payload);
        if (user)
            ck_assert_str_eq(user->sub, all[i].sub);
        user_unref(user);
    }
}
END_TEST

START_TEST(a_user_expires_with_the_token_and_its_leeway)
{
    static const struct {
        const char *payload;
        int64_t expires_ms;
    } all[] = {
        {"{\"_public\":{}}", 0},
        {"{\"exp\":1700000010,\"_public\":{}}", 1700000015000},
        {"{\"exp\":1699999999,\"_public\":{}}", 1700000004000},
        {"{\"exp\":1e300,\"_public\":{}}", INT64_MAX},
        {"{\"exp\":9223372036854775807,\"_public\":{}}", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct user *user = NULL;
        ck_assert_int_eq(user_of(all[i].payload, &user), TOKEN_OK);
        ck_assert_int_eq(user->expires_ms, all[i].expires_ms);
        user_unref(user);
    }
}
END_TEST

START_TEST(a_fresh_token_is_of_the_same_user_if_its_identity_is)
{
    static const struct {
        const char *a, *b;
        bool same;
    } all[] = {
        {"{\"sub\":\"u\",\"_public\":{\"name\":\"Ann\"}}",
         "{\"sub\":\"u\",\"exp\":1800000000,\"_public\":{\"name\":\"Anna\"}}", true},
        {"{\"sub\":\"u\",\"_public\":{\"name\":\"Ann\"}}",
         "{\"sub\":\"v\",\"_public\":{\"name\":\"Ann\"}}", false},
        {"{\"name\":\"a\",\"_public\":{}}", "{\"_public\":{\"name\":\"a\"}}", true},
        {"{\"name\":\"a\",\"_public\":{}}", "{\"_public\":{}}", false},
        {"{\"_public\":{}}", "{\"_public\":{}}", true},
        {"{\"_public\":{\"x\":1}}", "{\"_public\":{\"x\":2}}", false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct user *a = NULL, *b = NULL;
        ck_assert_int_eq(user_of(all[i].a, &a), TOKEN_OK);
        ck_assert_int_eq(user_of(all[i].b, &b), TOKEN_OK);
        ck_assert_int_eq(user_same_identity(a, b), all[i].same);
        ck_assert_int_eq(user_same_identity(b, a), all[i].same);
        user_unref(a);
        user_unref(b);
    }
}
END_TEST

UNIT_MAIN("token", tokens_are_believed_as_the_table_says,
          every_algorithm_is_verified_and_a_changed_signature_is_not, signature_of_zeros_is_refused,
          key_for_pss_only_is_not_taken_for_another_padding_or_digest,
          public_key_in_der_is_no_secret, too_many_keys_are_refused,
          admin_keys_are_those_of_users_only_while_there_are_none,
          the_example_key_is_refused_where_others_can_reach_it,
          without_sub_two_names_that_differ_are_nobody,
          a_user_expires_with_the_token_and_its_leeway,
          a_fresh_token_is_of_the_same_user_if_its_identity_is)
