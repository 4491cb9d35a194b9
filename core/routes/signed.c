#include "signed.h"
#include "clock.h"
#include "pipeline.h"
#include "route.h"
#include "token.h"

#include <jansson.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A token in a file or a here-document ends with a newline. */
static struct text trimmed(struct text text)
{
    while (text.length && is_space(text.at[text.length - 1]))
        text.length--;
    while (text.length && is_space(*text.at)) {
        text.at++;
        text.length--;
    }
    return text;
}

json_t *signed_payload(struct request *request)
{
    struct text token = trimmed(request->body);
    json_t *payload;
    switch (
        token_verify(request->pipeline->keys, token.at, token.length, clock_wall_ms(), &payload)) {
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

void request_with_items(struct request *request,
                        void (*handle)(struct request *request, const json_t *items))
{
    json_t *payload = signed_payload(request);
    if (!payload)
        return;
    if (json_is_array(payload))
        handle(request, payload);
    else /* The same keys sign the tokens of users, which are objects: those may not do this. */
        request_reply_error(request, 403, "Wrong JWT content");
    json_decref(payload);
}
