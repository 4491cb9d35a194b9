/* post.c: POST /post: messages and events of your servers.
 *
 * All items are checked before the first is published, so a mistake in the last does not leave the
 * others behind. Then all are published at once: the broker keeps their order within a room. */
#include "alloc.h"
#include "ask.h"
#include "buffer.h"
#include "config.h"
#include "counters.h"
#include "error.h"
#include "json.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "say.h"
#include "user.h"

#include <jansson.h>

enum { KEY_BYTES_MAX = 64 };

enum verdict { ITEM_GOOD, ITEM_WRONG, ITEM_TOO_LONG, ITEM_NO_MEMORY };

struct item {
    struct post post; /* msg, ev and name point into the payload, user and data here: */
    char *user, *data;
};

static void items_free(struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        name_unref(items[i].post.room);
        free(items[i].user);
        free(items[i].data);
    }
    free(items);
}

/* ---- checking ---- */

/* The value, if there is one, as JSON, freed by the caller; false without memory for it. */
static bool dump(const json_t *value, char **json_out, struct text *text_out)
{
    if (!value)
        return true;
    *json_out = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    *text_out = text_of(*json_out);
    return *json_out != NULL;
}

/* {"channel":string,"msg":string,"ev":string,"user":any,"data":any}; msg or ev is required, and
 * other keys are ignored. What it fills is freed by items_free, whatever it returns.
 *   why_out  what is wrong, to follow the item's index */
static enum verdict item_read(struct item *item, const json_t *json, size_t max_bytes,
                              const char **why_out)
{
    struct post *post = &item->post;
    const json_t *msg = json_object_get(json, "msg"), *ev = json_object_get(json, "ev");
    const json_t *user = json_object_get(json, "user");
    const json_t *channel = json_object_get(json, "channel");
    post->room = name_create(json_text(channel));
    *why_out = !json_is_object(json)         ? ": an object expected"
               : !channel                    ? ".channel: missing"
               : !post->room                 ? ".channel: 1 to 200 bytes of UTF-8 expected"
               : msg && !json_is_string(msg) ? ".msg: a text expected"
               : ev && !json_is_string(ev)   ? ".ev: a text expected"
               : !msg && !ev                 ? ".msg: missing, and so is ev"
                                             : NULL;
    if (*why_out)
        return ITEM_WRONG;

    post->msg = json_text(msg);
    post->ev = json_text(ev);
    post->name = json_text(json_object_get(user, "name"));
    if (post->name.length > USER_NAME_BYTES_MAX)
        post->name = (struct text){0}; /* nobody can be banned by it: /ban takes no such name */
    if (!dump(user, &item->user, &post->user) ||
        !dump(json_object_get(json, "data"), &item->data, &post->data))
        return ITEM_NO_MEMORY;
    if (post->msg.length > max_bytes || post->ev.length > max_bytes ||
        post->user.length > max_bytes || post->data.length > max_bytes)
        return ITEM_TOO_LONG;
    return ITEM_GOOD;
}

static void reply_too_long(struct request *request, size_t max_bytes)
{
    char json[ANSWER_BYTES];
    count_up(COUNT_too_long_messages);
    request_reply_json(request, 400, answer_too_long(json, max_bytes));
}

/* returns  as many items as payload has, for items_free; NULL after answering */
static struct item *items_read(struct request *request, const json_t *payload)
{
    size_t max_bytes = (size_t)request->pipeline->conf->limits.message_bytes;
    size_t count = json_array_size(payload);
    const char *why;
    struct error err;
    if (count > ASK_ITEMS_MAX) {
        error_set(&err, "Wrong JWT content: more than %d items", ASK_ITEMS_MAX);
        request_reply_error(request, 400, err.text);
        return NULL;
    }
    struct item *items = calloc(count + 1, sizeof *items);
    if (!items) {
        request_reply_error(request, 503, "unavailable");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        enum verdict verdict = item_read(&items[i], json_array_get(payload, i), max_bytes, &why);
        if (verdict == ITEM_GOOD)
            continue;
        items_free(items, count);
        if (verdict == ITEM_NO_MEMORY)
            request_reply_error(request, 503, "unavailable");
        else if (verdict == ITEM_TOO_LONG)
            reply_too_long(request, max_bytes);
        else {
            error_set(&err, "Wrong JWT content: [%zu]%s", i, why);
            request_reply_error(request, 400, err.text);
        }
        return NULL;
    }
    return items;
}

/* ---- publishing ---- */

static void posted(void *arg, enum broker_status status, bool rejected)
{
    ask_answered(arg, status, rejected);
}

/* Begins as the pipeline's begin with the speaker's identity. The index: one key covers all items.
 */
static void write_client_id(struct buffer *out, struct text key, size_t index)
{
    out->length = 0;
    buffer_text(out, "post\x1f");
    buffer_bytes(out, key.at, key.length);
    buffer_text(out, "\x1f");
    buffer_number(out, (int64_t)index);
}

static void publish(struct request *request, struct item *items, size_t count)
{
    struct pipeline *pipeline = request->pipeline;
    struct text key = request->idempotency_key; /* there until ask_close */
    struct buffer client_id = {0};
    struct ask *ask = ask_open(request, NULL);
    for (size_t i = 0; i < count; i++) {
        if (key.at) {
            write_client_id(&client_id, key, i);
            items[i].post.client_id = (struct text){client_id.at, client_id.length};
        }
        ask_add(ask);
        pipeline_post(pipeline, ask_speaker(ask), &items[i].post, posted, ask);
    }
    buffer_finish(&client_id);
    ask_close(ask);
}

static void handle(struct request *request, const json_t *payload)
{
    struct item *items = items_read(request, payload);
    if (!items)
        return;
    publish(request, items, json_array_size(payload));
    items_free(items, json_array_size(payload));
}

void route_post(struct request *request)
{
    struct text key = request->idempotency_key;
    if (key.at && (key.length == 0 || key.length > KEY_BYTES_MAX)) {
        request_reply_error(request, 400, "Wrong Idempotency-Key: 1 to 64 bytes");
        return;
    }
    request_with_items(request, handle);
}
