/* unban.c: POST /unban: who may speak again. What they said stays removed. */
#include "ask.h"
#include "moderate.h"
#include "route.h"

#include <jansson.h>

static bool item_read(struct item *item, const json_t *json, struct error *err)
{
    return item_read_who(item, json, err) && item_read_where(item, json, err);
}

static void unban(struct broker *broker, const struct item *item, struct ask *ask)
{
    broker_unban(
        broker,
        ban_create(&(struct ban_fields){.room = item->room, .kind = item->kind, .who = item->who}),
        ask_moderated, ask);
}

static const struct act act = {item_read, unban, "unbanned"};

static void handle(struct request *request, const json_t *items)
{
    moderate(request, items, &act);
}

void route_unban(struct request *request)
{
    request_with_items(request, handle);
}
