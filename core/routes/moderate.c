#include "moderate.h"
#include "alloc.h"
#include "ask.h"
#include "json.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"
#include "user.h"

#include <jansson.h>

/* ---- whom and where ---- */

bool item_read_who(struct item *item, const json_t *json, struct error *err)
{
    static const char *const keys[] = {
        [BAN_NAME] = "name", [BAN_SUB] = "sub", [BAN_ADDRESS] = "address"};
    const json_t *who = NULL;
    for (enum ban_kind kind = BAN_NAME; kind <= BAN_ADDRESS; kind++) {
        const json_t *value = json_object_get(json, keys[kind]);
        if (value && who) {
            error_set(err, "%s: one of name, sub and address is enough", keys[kind]);
            return false;
        }
        if (!value)
            continue;
        who = value;
        item->kind = kind;
    }
    if (!who) {
        error_set(err, "name: missing, and so are sub and address");
        return false;
    }
    item->who = json_text(who);
    if (item->kind == BAN_ADDRESS) {
        if (!address_site_parse(item->who, item->site)) {
            error_set(err, "address: an IPv4 or IPv6 address expected");
            return false;
        }
        item->who = text_of(item->site);
    } else if (item->who.length < 1 || item->who.length > USER_NAME_BYTES_MAX) {
        error_set(err, "%s: 1 to %d bytes expected", keys[item->kind], USER_NAME_BYTES_MAX);
        return false;
    }
    return true;
}

bool item_read_where(struct item *item, const json_t *json, struct error *err)
{
    const json_t *channel = json_object_get(json, "channel");
    const json_t *everywhere = json_object_get(json, "everywhere");
    if (everywhere && !json_is_boolean(everywhere)) {
        error_set(err, "everywhere: true expected");
        return false;
    }
    if (json_is_true(everywhere)) {
        if (channel)
            error_set(err, "channel: not together with everywhere");
        return !channel;
    }
    if (!channel) {
        error_set(err, "channel: missing, and so is \"everywhere\": true");
        return false;
    }
    item->room = name_create(json_text(channel));
    if (!item->room)
        error_set(err, "channel: 1 to 200 bytes of UTF-8 expected");
    return item->room;
}

/* ---- all items ---- */

void moderate_refuse(struct request *request, size_t index, const char *what)
{
    struct error text;
    error_set(&text, "Wrong JWT content: [%zu].%s", index, what);
    request_reply_error(request, 400, text.text);
}

static void items_free(struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        name_unref(items[i].room);
    free(items);
}

/* returns  as many items as the payload has, for items_free; NULL after answering */
static struct item *items_read(struct request *request, const json_t *payload,
                               const struct act *act)
{
    size_t count = json_array_size(payload);
    struct error err;
    if (count > ASK_ITEMS_MAX) {
        error_set(&err, "Wrong JWT content: more than %d items", ASK_ITEMS_MAX);
        request_reply_error(request, 400, err.text);
        return NULL;
    }
    struct item *items = xcalloc(count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const json_t *json = json_array_get(payload, i);
        if (json_is_object(json) && act->read(&items[i], json, &err))
            continue;
        if (json_is_object(json)) {
            moderate_refuse(request, i, err.text);
        } else {
            error_set(&err, "Wrong JWT content: [%zu]: an object expected", i);
            request_reply_error(request, 400, err.text);
        }
        items_free(items, count);
        return NULL;
    }
    return items;
}

void moderate(struct request *request, const json_t *payload, const struct act *act)
{
    struct item *items = items_read(request, payload, act);
    if (!items)
        return;
    size_t count = json_array_size(payload);
    struct broker *broker = request->pipeline->broker;
    struct ask *ask = ask_open(request, act->counts);
    for (size_t i = 0; i < count; i++) {
        ask_add(ask);
        act->go(broker, &items[i], ask);
    }
    ask_close(ask);
    items_free(items, count);
}
