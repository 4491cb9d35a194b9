#include "token.h"

#include "alloc.h"
#include "base64url.h"
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

static bool part_is_base64url(const struct text *part)
{
    unsigned char *bytes = xmalloc(part->length);
    size_t length;
    bool good = base64url_decode(part->at, part->length, bytes, &length);
    free(bytes);
    return good;
}

/* The object or array in a part. A claim given twice could mean one thing to us and another to
 * whoever checked the token before it was signed. */
static enum token_status part_json(const struct text *part, json_t **json_out)
{
    enum token_status status = TOKEN_MALFORMED;
    unsigned char *bytes = xmalloc(part->length);
    size_t length;
    if (base64url_decode(part->at, part->length, bytes, &length)) {
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

/* The algorithm a header names; NULL if none, or if it lists extensions in `crit`: what it marks as
 * critical must not be ignored (RFC 7515, 4.1.11), and we know none. */
static const char *header_algorithm(const json_t *header)
{
    return json_object_get(header, "crit") ? NULL
                                           : json_string_value(json_object_get(header, "alg"));
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

static bool payload_is_current(const json_t *payload, int64_t now_ms)
{
    int64_t expires_ms = INT64_MAX, not_before_ms = INT64_MIN;
    return token_claim_ms(payload, "exp", &expires_ms) &&
           token_claim_ms(payload, "nbf", &not_before_ms) && now_ms < expires_ms &&
           now_ms >= not_before_ms;
}

/* The three parts have been looked at: is it signed, with the algorithm it says, and valid now? */
static bool token_is_valid(const struct keyring *keys, const char *token, size_t length,
                           const json_t *header, const json_t *payload, int64_t now_ms)
{
    const char *algorithm = header_algorithm(header);
    if (!algorithm)
        return false;
    char *text = xstrndup(token, length); /* libjwt wants a NUL behind it */
    bool good = keyring_verify(keys, algorithm, text);
    free(text);
    return good && payload_is_current(payload, now_ms);
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
