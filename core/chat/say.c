#include "say.h"
#include "json.h"
#include "word.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

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

/* ---- the short way ---- */

/* All that is left; what is not there leaves failed. */
struct scan {
    const char *p, *end;
    bool failed;
};

static void scan_literal(struct scan *scan, const char *literal)
{
    size_t length = strlen(literal);
    scan->failed |= (size_t)(scan->end - scan->p) < length || memcmp(scan->p, literal, length) != 0;
    if (!scan->failed)
        scan->p += length;
}

static bool scan_is_at(const struct scan *scan, char c)
{
    return !scan->failed && scan->p < scan->end && *scan->p == c;
}

/* What is between the quotes, if nothing in it is, or would have to be, escaped. */
static struct text scan_string(struct scan *scan)
{
    scan_literal(scan, "\"");
    const char *from = scan->p, *p = from;
    for (; !scan->failed && p < scan->end && *p != '"'; p++) {
        while (scan->end - p > BLOCK && !block_any(block_escaped(block_at(p))))
            p += BLOCK;
        if (*p == '"')
            break;
        scan->failed = (unsigned char)*p < 0x20 || *p == '\\';
    }
    scan->p = p;
    struct text text = {from, (size_t)(p - from)};
    scan_literal(scan, "\"");
    return text;
}

/* A whole number that fits, or a string of printable ASCII; written again it would look the same.
 */
static struct text scan_id(struct scan *scan)
{
    const char *from = scan->p;
    if (scan_is_at(scan, '"')) {
        struct text string = scan_string(scan);
        scan->failed |= string.length > REQUEST_ID_BYTES_MAX;
        for (size_t i = 0; i < string.length; i++)
            scan->failed |= string.at[i] < 0x20 || string.at[i] > 0x7e;
    } else {
        while (scan->p < scan->end && *scan->p >= '0' && *scan->p <= '9')
            scan->p++;
        size_t digits = (size_t)(scan->p - from);
        scan->failed |= !digits || digits > 18 || (*from == '0' && digits > 1);
    }
    return (struct text){from, (size_t)(scan->p - from)};
}

bool say_scan(struct text message, struct text *id_out, struct say *out)
{
    struct scan scan = {message.at, message.at + message.length, false};
    struct say say = {0};
    scan_literal(&scan, "{\"id\":");
    struct text id = scan_id(&scan);
    scan_literal(&scan, ",\"say\":{\"msg\":");
    say.msg = scan_string(&scan);
    if (scan_is_at(&scan, ',')) {
        scan_literal(&scan, ",\"cid\":");
        say.cid = scan_string(&scan);
        scan.failed |= !say.cid.length || say.cid.length > CLIENT_ID_BYTES_MAX;
    }
    scan_literal(&scan, "}}");
    if (scan.failed || scan.p != scan.end)
        return false;
    *id_out = id;
    *out = say;
    return true;
}

/* ---- answers ---- */

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
