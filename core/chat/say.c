#include "say.h"
#include "json.h"

#include <jansson.h>
#include <stdio.h>

bool say_read(const json_t *json, struct say *out)
{
    const json_t *msg = json_object_get(json, "msg"), *cid = json_object_get(json, "cid");
    size_t cid_length = json_string_length(cid);
    if (!json_is_string(msg) ||
        (cid && (!json_is_string(cid) || !cid_length || cid_length > CLIENT_ID_BYTES_MAX)))
        return false;
    out->msg = json_text(msg);
    out->cid = (struct text){json_string_value(cid), cid_length};
    return true;
}

static struct text written(const char *out, int length)
{
    return (struct text){out, (size_t)length};
}

struct text answer_error(char out[ANSWER_BYTES], const char *err)
{
    return written(
        out, snprintf(out, ANSWER_BYTES, "{\"status\":\"error\",\"err\":\"%.*s\"}", 100, err));
}

struct text answer_too_long(char out[ANSWER_BYTES], size_t max_bytes)
{
    return written(out, snprintf(out, ANSWER_BYTES,
                                 "{\"status\":\"error\",\"err\":\"messageTooLong\",\"max\":%zu}",
                                 max_bytes));
}

struct text answer_limited(char out[ANSWER_BYTES], int64_t wait_ms)
{
    return written(out, snprintf(out, ANSWER_BYTES,
                                 "{\"status\":\"error\",\"err\":\"rateLimited\",\"ttw\":%.3f}",
                                 (double)wait_ms / 1000));
}

const char *token_error(enum token_status status)
{
    static const char *const errors[] = {[TOKEN_OK] = "",
                                         [TOKEN_MALFORMED] = "Wrong format",
                                         [TOKEN_WRONG] = "Wrong JWT",
                                         [TOKEN_CONTENT] = "Wrong JWT content",
                                         [TOKEN_REFUSED] = "rejected",
                                         [TOKEN_UNSURE] = "pluginUnavailable"};
    return errors[status];
}
