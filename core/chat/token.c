#include "token.h"

#include "alloc.h"
#include "base64url.h"
#include "json.h"
#include "keyring.h"
#include "text.h"

#include <jansson.h>

/* Cut at the dots. Exactly three parts; the last one, the signature, may be empty here. */
static bool token_split(const char *token, size_t length, struct text parts[3])
{
    const char *end = token + length;
    for (int i = 0; i < 2; i++) {
        const char *dot = memchr(token, '.', (size_t)(end - token));
        if (!dot)
            return false;
        parts[i] = (struct text){token, (size_t)(dot - token)};
        token = dot + 1;
    }
    parts[2] = (struct text){token, (size_t)(end - token)};
    return true; /* a third dot is no base64url: the signature's check finds it */
}

/* Tokens of servers are whole bodies: without memory for one, it is as good as wrong. */
static unsigned char *room_for(size_t length)
{
    return malloc(length ? length : 1);
}

static bool part_is_base64url(const struct text *part)
{
    unsigned char *bytes = room_for(part->length);
    size_t length;
    bool good = bytes && base64url_decode(part->at, part->length, bytes, &length);
    free(bytes);
    return good;
}

/* The object or array in a part. A claim given twice could mean one thing to us and another to
 * whoever checked the token before it was signed. */
static enum token_status part_json(const struct text *part, json_t **json_out)
{
    enum token_status status = TOKEN_MALFORMED;
    unsigned char *bytes = room_for(part->length);
    size_t length;
    if (bytes && base64url_decode(part->at, part->length, bytes, &length)) {
        json_error_t why;
        *json_out = json_loadb((char *)bytes, length, JSON_REJECT_DUPLICATES, &why);
        if (*json_out)
            status = TOKEN_OK;
        else if (json_error_code(&why) == json_error_duplicate_key)
            status = TOKEN_WRONG;
    }
    free(bytes);
    return status;
}

/* What a header asks for that we do not do. What `crit` marks must not be ignored (RFC 7515,
 * 4.1.11), and we know none of it; `b64` false means another encoding (RFC 7797), also where `crit`
 * was forgotten. Keys that a header brings along (jwk, jku, x5c, x5u) are not looked at. */
static bool header_is_ours(const json_t *header)
{
    const json_t *b64 = json_object_get(header, "b64"), *kid = json_object_get(header, "kid");
    return !json_object_get(header, "crit") && (!b64 || json_is_true(b64)) &&
           (!kid || json_is_string(kid)) && json_is_string(json_object_get(header, "alg"));
}

bool token_claim_ms(const json_t *payload, const char *claim, int64_t *ms_out)
{
    const json_t *value = json_object_get(payload, claim);
    if (!value)
        return true;
    if (!json_is_number(value))
        return false;
    double ms = json_number_value(value) * 1000;
    *ms_out = ms >= 0x1p63 ? INT64_MAX : ms <= -0x1p63 ? INT64_MIN : (int64_t)ms;
    return true;
}

bool token_is_for(const json_t *payload, const char *audience)
{
    const json_t *aud = json_object_get(payload, "aud"), *one;
    size_t i;
    if (json_is_string(aud))
        return !strcmp(json_string_value(aud), audience);
    json_array_foreach(aud, i, one) if (json_is_string(one) &&
                                        !strcmp(json_string_value(one), audience)) return true;
    return false;
}

int64_t token_end_ms(const struct keyring *keys, int64_t exp_ms)
{
    int64_t end_ms;
    return __builtin_add_overflow(exp_ms, keyring_rules(keys)->leeway_ms, &end_ms) ? INT64_MAX
                                                                                   : end_ms;
}

static bool claims_are_good(const struct keyring *keys, const json_t *payload, int64_t now_ms)
{
    const struct keyring_rules *rules = keyring_rules(keys);
    int64_t expires_ms = INT64_MAX, not_before_ms = INT64_MIN, issued_ms = INT64_MIN;
    const char *issuer = json_string_value(json_object_get(payload, "iss"));
    if (json_is_array(payload))
        return true;
    if (!token_claim_ms(payload, "exp", &expires_ms) ||
        !token_claim_ms(payload, "nbf", &not_before_ms) ||
        !token_claim_ms(payload, "iat", &issued_ms))
        return false;
    int64_t latest_ms = now_ms + rules->leeway_ms; /* it may be so late where it was signed */
    if (now_ms >= token_end_ms(keys, expires_ms) || latest_ms < not_before_ms ||
        latest_ms < issued_ms)
        return false;
    return (!*rules->audience || token_is_for(payload, rules->audience)) &&
           (!*rules->issuer || (issuer && !strcmp(issuer, rules->issuer)));
}

/* The three parts have been looked at: is it signed, as its header says, and valid here and now? */
static bool token_is_valid(const struct keyring *keys, const char *token, size_t length,
                           const json_t *header, const json_t *payload, int64_t now_ms)
{
    const json_t *kid = json_object_get(header, "kid");
    if (!header_is_ours(header))
        return false;
    char *text = strndup(token, length); /* libjwt wants a NUL behind it */
    bool good = text && keyring_verify(keys, json_string_value(json_object_get(header, "alg")),
                                       json_text(kid), text);
    free(text);
    return good && claims_are_good(keys, payload, now_ms);
}

enum token_status token_verify(const struct keyring *keys, const char *token, size_t length,
                               int64_t now_ms, json_t **payload_out)
{
    struct text parts[3]; /* header, payload, signature */
    if (length == 0 || length > TOKEN_BYTES_MAX || !token_split(token, length, parts) ||
        !part_is_base64url(&parts[2]))
        return TOKEN_MALFORMED;

    json_t *header = NULL, *payload = NULL;
    enum token_status status = part_json(&parts[0], &header);
    if (status == TOKEN_OK)
        status = part_json(&parts[1], &payload);
    if (status == TOKEN_OK && !json_is_object(header))
        status = TOKEN_MALFORMED;
    if (status == TOKEN_OK &&
        (parts[2].length == 0 || !token_is_valid(keys, token, length, header, payload, now_ms)))
        status = TOKEN_WRONG;
    if (status == TOKEN_OK)
        *payload_out = json_incref(payload);
    json_decref(header);
    json_decref(payload);
    return status;
}
