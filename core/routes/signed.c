#include "signed.h"
#include "alloc.h"
#include "caller.h"
#include "clock.h"
#include "config.h"
#include "grants.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "token.h"

#include <jansson.h>

enum { JTI_BYTES_MAX = 128, EXP_AHEAD_MS = 24 * 3600 * 1000 };

/* ---- the token ---- */

/* returns  new reference, an object or an array; NULL after answering */
static json_t *payload_of(struct request *request, struct text token, int64_t now_ms)
{
    json_t *payload;
    switch (token_verify(request->pipeline->admin_keys, token.at, token.length, now_ms, &payload)) {
    case TOKEN_OK:
        return payload;
    case TOKEN_MALFORMED:
        request_reply_error(request, 400, "Wrong format");
        return NULL;
    default:
        request_reply_error(request, 401, "Wrong JWT");
        return NULL;
    }
}

/* What is wrong with the claims of a token that may be used once; NULL: nothing.
 *   latest_ms  how late it may be where it was signed */
static const char *wrong_claim(const json_t *payload, enum signed_shape shape, int64_t latest_ms)
{
    int64_t exp_ms = INT64_MIN; /* a number, if it is there: token_verify has looked */
    size_t jti_length = json_string_length(json_object_get(payload, "jti"));
    token_claim_ms(payload, "exp", &exp_ms);
    if (exp_ms == INT64_MIN)
        return "Wrong JWT content: exp is missing";
    if (exp_ms - latest_ms > EXP_AHEAD_MS)
        return "Wrong JWT content: exp is more than 24 hours ahead";
    if (jti_length < 1 || jti_length > JTI_BYTES_MAX)
        return "Wrong JWT content: jti must be a text of 1 to 128 bytes";
    if (shape == SIGNED_LIST && !json_is_array(json_object_get(payload, "items")))
        return "Wrong JWT content: items must be a list";
    return NULL;
}

/* ---- once ---- */

struct signed_once {
    struct request *request;
    json_t *payload; /* until handle has had it */
    struct name *key;
    void (*handle)(struct request *request, const json_t *items);
    void (*reply)(struct request *request, int status, const char *content_type, struct text body,
                  const char *headers); /* the request's own */
};

static const char key_prefix[] = "jti:"; /* of the broker's keys */

static void once_free(struct signed_once *once)
{
    json_decref(once->payload);
    name_unref(once->key);
    free(once);
}

/* In place of the request's own. */
static void reply_once(struct request *request, int status, const char *content_type,
                       struct text body, const char *headers)
{
    struct signed_once *once = request->once;
    request->reply = once->reply;
    request->once = NULL;
    if (status == 503)
        broker_once_forget(request->pipeline->broker, once->key);
    once_free(once);
    request->reply(request, status, content_type, body, headers);
}

/* Nobody used it before. Where the caller gave no Idempotency-Key, the token is one itself: the
 * part of it that was done before a 503 is not done twice. */
static void first_use(struct signed_once *once)
{
    struct request *request = once->request;
    json_t *payload = once->payload;
    once->payload = NULL;
    once->reply = request->reply;
    request->reply = reply_once;
    request->once = once;
    if (!request->idempotency_key.at)
        request->idempotency_key = (struct text){once->key->at + sizeof key_prefix - 1,
                                                 once->key->length - (sizeof key_prefix - 1)};
    once->handle(request, json_object_get(payload, "items"));
    json_decref(payload);
}

static void onced(void *arg, enum broker_status status)
{
    struct signed_once *once = arg;
    if (status == BROKER_OK) {
        first_use(once);
        return;
    }
    if (status == BROKER_REPEATED)
        request_reply_error(once->request, 409, "replayed");
    else
        request_reply_error(once->request, 503,
                            status == BROKER_FULL ? "tooManyReplays" : "unavailable");
    once_free(once);
}

/* payload  the reference is taken */
static void use_once(struct request *request, json_t *payload,
                     void (*handle)(struct request *request, const json_t *items))
{
    char key[sizeof key_prefix + JTI_BYTES_MAX];
    int64_t exp_ms = 0;
    const struct pipeline *pipeline = request->pipeline;
    struct signed_once *once = xcalloc(1, sizeof *once);
    int length = snprintf(key, sizeof key, "%s%s", key_prefix,
                          json_string_value(json_object_get(payload, "jti")));
    token_claim_ms(payload, "exp", &exp_ms);
    *once = (struct signed_once){.request = request,
                                 .payload = payload,
                                 .handle = handle,
                                 .key = name_create((struct text){key, (size_t)length})};
    broker_once(pipeline->broker, once->key, token_end_ms(pipeline->admin_keys, exp_ms), onced,
                once);
}

/* ---- the call ---- */

/* The status to refuse it with, and why; 0: it is fine. The same keys may sign the tokens of users:
 * those are no leave to do what is for your servers. */
static int refusal(const struct request *request, const json_t *payload, enum signed_shape shape,
                   int64_t now_ms, const char **why_out)
{
    const struct config *conf = request->pipeline->conf;
    bool has_items = json_object_get(payload, "items");
    *why_out = "Wrong JWT content";
    if (json_object_get(payload, "_public") ||
        (json_is_object(payload) && !has_items && shape == SIGNED_LIST))
        return 403;
    if (!has_items) {
        *why_out = "Wrong JWT content: without aud, exp and jti, and legacy_tokens is false";
        return conf->legacy_tokens ? 0 : 400;
    }
    if (!token_is_for(payload, conf->admin.audience)) {
        *why_out = "Wrong JWT content: aud does not name admin.audience";
        return 403;
    }
    *why_out = wrong_claim(payload, shape, token_end_ms(request->pipeline->admin_keys, now_ms));
    return *why_out ? 400 : 0;
}

void signed_open(struct request *request, enum signed_shape shape,
                 void (*handle)(struct request *request, const json_t *items))
{
    int64_t now_ms = clock_wall_ms();
    const char *why;
    /* A token in a file or a here-document ends with a newline. */
    json_t *payload = payload_of(request, text_trimmed(request->body, " \t\r\n"), now_ms);
    if (!payload)
        return;
    int status = refusal(request, payload, shape, now_ms, &why);
    if (!status && json_object_get(payload, "items")) {
        use_once(request, payload, handle);
        return;
    }
    if (status)
        request_reply_error(request, status, why);
    else
        handle(request, payload);
    json_decref(payload);
}

void request_with_items(struct request *request,
                        void (*handle)(struct request *request, const json_t *items))
{
    signed_open(request, SIGNED_LIST, handle);
}

static bool has_role(const json_t *payload, const char *role)
{
    struct grants *grants;
    if (!grants_read(payload, &grants))
        return false;
    bool has = grants_have_role(grants, role);
    grants_destroy(grants);
    return has;
}

void signed_bearer(struct request *request, const char *role,
                   void (*handle)(struct request *request, const json_t *items))
{
    int64_t now_ms = clock_wall_ms();
    struct text token = bearer_token(request->authorization);
    const char *why;
    if (!token.at) {
        request_reply_error_with(request, 401, "unauthorized", "www-authenticate: Bearer\r\n");
        return;
    }
    json_t *payload = payload_of(request, token, now_ms);
    if (!payload)
        return;
    int status = refusal(request, payload, SIGNED_ANY, now_ms, &why);
    if (!status && !json_object_get(payload, "items")) { /* legacy, which a body may be */
        status = 403;
        why = "Wrong JWT content: without aud, exp, jti and items";
    }
    if (!status && role && !has_role(payload, role)) {
        status = 403;
        why = "forbidden";
    }
    if (status) {
        request_reply_error(request, status, why);
        json_decref(payload);
        return;
    }
    use_once(request, payload, handle);
}
