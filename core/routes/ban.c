/* ban.c: POST /ban: who may not speak where. */
#include "ask.h"
#include "clock.h"
#include "json.h"
#include "moderate.h"
#include "route.h"

#include <jansson.h>

#define EXPIRE_SECONDS_MAX (10 * 365.25 * 86400)

/* Seconds from now to Unix time in milliseconds; without a value, or with 0, for ever. */
static bool expire_read(const json_t *value, int64_t *expires_ms_out, struct error *err)
{
    double seconds = json_number_value(value); /* 0 without one */
    if ((value && !json_is_number(value)) || seconds < 0 || seconds > EXPIRE_SECONDS_MAX) {
        error_set(err, "expire: 0 or more seconds expected, ten years at most");
        return false;
    }
    int64_t ms = (int64_t)(seconds * 1000);
    if (seconds == 0)
        *expires_ms_out = BAN_FOR_EVER;
    else /* as short as it is, it removes what was said */
        *expires_ms_out = clock_wall_ms() + (ms ? ms : 1);
    return true;
}

static bool reason_read(const json_t *value, struct text *reason_out, struct error *err)
{
    struct text reason = json_text(value);
    if ((value && !json_is_string(value)) || reason.length > BAN_REASON_MAX) {
        error_set(err, "reason: a text of at most %d bytes expected", BAN_REASON_MAX);
        return false;
    }
    *reason_out = reason;
    return true;
}

/* {…whom and where…, "expire":number, "reason":string}; other keys are ignored. */
static bool item_read(struct item *item, const json_t *json, struct error *err)
{
    return item_read_who(item, json, err) && item_read_where(item, json, err) &&
           expire_read(json_object_get(json, "expire"), &item->expires_ms, err) &&
           reason_read(json_object_get(json, "reason"), &item->reason, err);
}

static void ban(struct broker *broker, const struct item *item, struct ask *ask)
{
    broker_ban(broker,
               ban_create(&(struct ban_fields){.room = item->room,
                                               .kind = item->kind,
                                               .who = item->who,
                                               .expires_ms = item->expires_ms,
                                               .created_ms = clock_wall_ms(),
                                               .reason = item->reason}),
               ask_moderated, ask);
}

static const struct act act = {item_read, ban, NULL};

static void handle(struct request *request, const json_t *items)
{
    moderate(request, items, &act);
}

void route_ban(struct request *request)
{
    request_with_items(request, handle);
}
