/* remove.c: POST /remove: a message, or all that somebody said. */
#include "ask.h"
#include "json.h"
#include "moderate.h"
#include "route.h"
#include "uuid.h"

#include <jansson.h>

/* {"i":uuid} or {"offset":n}, of a room. */
static bool message_read(struct item *item, const json_t *id, const json_t *offset,
                         struct error *err)
{
    item->id = json_text(id);
    item->offset = json_integer_value(offset) > 0 ? (uint64_t)json_integer_value(offset) : 0;
    if (id && offset)
        error_set(err, "offset: not together with i");
    else if (id && item->id.length != UUID_LENGTH)
        error_set(err, "i: the id of a message expected");
    else if (offset && !item->offset)
        error_set(err, "offset: a whole number from 1 on expected");
    else if (!item->room)
        error_set(err, "channel: missing; a message is in one only");
    else
        return true;
    return false;
}

static bool item_read(struct item *item, const json_t *json, struct error *err)
{
    const json_t *id = json_object_get(json, "i"), *offset = json_object_get(json, "offset");
    if (!item_read_where(item, json, err))
        return false;
    if (id || offset)
        return message_read(item, id, offset, err);
    if (!item_read_who(item, json, err))
        return false;
    if (item->kind == BAN_ADDRESS)
        error_set(err, "address: messages do not know theirs; ban it, remove by name or sub");
    return item->kind != BAN_ADDRESS;
}

static void removes(struct broker *broker, const struct item *item, struct ask *ask)
{
    broker_remove(broker,
                  &(struct removal){.room = item->room,
                                    .id = item->id,
                                    .offset = item->offset,
                                    .kind = item->kind,
                                    .who = item->who},
                  ask_moderated, ask);
}

static const struct act act = {item_read, removes, "removed"};

static void handle(struct request *request, const json_t *items)
{
    moderate(request, items, &act);
}

void route_remove(struct request *request)
{
    request_with_items(request, handle);
}
