/* ban.c: POST /ban: who may not speak where. All items are checked before the first is in force. */
#include "alloc.h"
#include "ask.h"
#include "clock.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "user.h"

#include <jansson.h>

#define EXPIRE_SECONDS_MAX (10 * 365.25 * 86400)

struct item {
    struct name *room;
    enum ban_kind kind;
    struct text who; /* into the payload */
    int64_t expires_ms;
};

static void items_free(struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        name_unref(items[i].room);
    free(items);
}

/* ---- checking ---- */

static struct text string_text(const json_t *value)
{
    return (struct text){json_string_value(value), json_string_length(value)};
}

/* Seconds from now to Unix time in milliseconds; without a value, or with 0, for ever. */
static bool expire_read(const json_t *value, int64_t now_ms, int64_t *expires_ms_out)
{
    double seconds = json_number_value(value); /* 0 without one */
    if ((value && !json_is_number(value)) || seconds < 0 || seconds > EXPIRE_SECONDS_MAX)
        return false;
    int64_t ms = (int64_t)(seconds * 1000);
    if (seconds == 0)
        *expires_ms_out = BAN_FOR_EVER;
    else
        *expires_ms_out = now_ms + (ms ? ms : 1); /* as short as it is, it removes what was said */
    return true;
}

/* {"name":string | "sub":string, "channel":string, "expire":number}; other keys are ignored. */
static bool item_read(struct item *item, const json_t *json, int64_t now_ms)
{
    const json_t *name = json_object_get(json, "name"), *sub = json_object_get(json, "sub");
    if (!name == !sub)
        return false;
    item->kind = name ? BAN_NAME : BAN_SUB;
    item->who = string_text(name ? name : sub);
    if (item->who.length < 1 || item->who.length > USER_NAME_BYTES_MAX)
        return false;
    if (!expire_read(json_object_get(json, "expire"), now_ms, &item->expires_ms))
        return false;
    item->room = name_create(string_text(json_object_get(json, "channel")));
    return item->room;
}

/* returns  as many items as payload has, for items_free; NULL after answering */
static struct item *items_read(struct request *request, const json_t *payload)
{
    size_t count = json_array_size(payload);
    bool good = count <= ASK_ITEMS_MAX;
    int64_t now_ms = clock_wall_ms();
    struct item *items = xcalloc(good ? count : 0, sizeof *items);
    for (size_t i = 0; good && i < count; i++)
        good = item_read(&items[i], json_array_get(payload, i), now_ms);
    if (good)
        return items;
    items_free(items, count <= ASK_ITEMS_MAX ? count : 0);
    request_reply_error(request, 400, "Wrong JWT content");
    return NULL;
}

/* ---- banning ---- */

static void banned(void *arg, enum broker_status status)
{
    ask_answered(arg, status, false);
}

static void ban(struct request *request, const struct item *items, size_t count)
{
    struct pipeline *pipeline = request->pipeline;
    struct ask *ask = ask_open(request);
    for (const struct item *item = items; item < items + count; item++) {
        ask_add(ask);
        pipeline_ban(pipeline, item->room, item->kind, item->who, item->expires_ms, banned, ask);
    }
    ask_close(ask);
}

static void handle(struct request *request, const json_t *payload)
{
    struct item *items = items_read(request, payload);
    if (!items)
        return;
    ban(request, items, json_array_size(payload));
    items_free(items, json_array_size(payload));
}

void route_ban(struct request *request)
{
    request_with_items(request, handle);
}
