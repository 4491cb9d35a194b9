/* bans.c: POST /bans: the bans in force. */
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "moderate.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"

#include <jansson.h>

enum { LIMIT_PRESET = 50, LIMIT_MAX = 1000 };

struct listing {
    struct request *request;
    struct bans_asked asked; /* its room is a reference */
};

/* ---- the question ---- */

static bool number_read(const json_t *item, const char *key, uint64_t *number_out,
                        struct error *err)
{
    const json_t *value = json_object_get(item, key);
    if (value && (!json_is_integer(value) || json_integer_value(value) < 0)) {
        error_set(err, "%s: a whole number from 0 on expected", key);
        return false;
    }
    if (value)
        *number_out = (uint64_t)json_integer_value(value);
    return true;
}

/* {"channel":string} or {"everywhere":true} or neither, and "limit" and "skip". */
static bool asked_read(const json_t *item, struct bans_asked *asked, struct error *err)
{
    struct item where = {0};
    bool all = !json_object_get(item, "channel") && !json_object_get(item, "everywhere");
    if (!all && !item_read_where(&where, item, err))
        return false;
    *asked = (struct bans_asked){
        .room = where.room, .everywhere = !all && !where.room, .limit = LIMIT_PRESET};
    if (!number_read(item, "limit", &asked->limit, err) ||
        !number_read(item, "skip", &asked->skip, err)) {
        name_unref(asked->room);
        return false;
    }
    if (asked->limit > LIMIT_MAX)
        asked->limit = LIMIT_MAX;
    return true;
}

/* ---- the answer ---- */

static void write_key(struct buffer *json, const char *key)
{
    buffer_text(json, ",");
    buffer_json_string(json, text_of(key));
    buffer_text(json, ":");
}

static void write_time(struct buffer *json, const char *key, int64_t ms)
{
    char seconds[32];
    write_key(json, key);
    snprintf(seconds, sizeof seconds, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
    buffer_text(json, seconds);
}

/* {"sub":string,"channel":string,"created":seconds,"expires":seconds,"reason":string}: as /ban and
 * /unban take it, too. */
static void write_ban(struct buffer *json, const struct ban *ban)
{
    static const char *const kinds[] = {
        [BAN_NAME] = "{\"name\":", [BAN_SUB] = "{\"sub\":", [BAN_ADDRESS] = "{\"address\":"};
    buffer_text(json, kinds[ban->kind]);
    buffer_json_string(json, ban->who);
    write_key(json, ban->room ? "channel" : "everywhere");
    if (ban->room)
        buffer_json_string(json, name_text(ban->room));
    else
        buffer_text(json, "true");
    write_time(json, "created", ban->created_ms);
    if (ban->expires_ms == BAN_FOR_EVER) {
        write_key(json, "expires");
        buffer_text(json, "-1");
    } else {
        write_time(json, "expires", ban->expires_ms);
    }
    if (ban->reason.length) {
        write_key(json, "reason");
        buffer_json_string(json, ban->reason);
    }
    buffer_text(json, "}");
}

/* {"total":n,"limit":n,"skip":n,"bans":[…]} */
static void listed(void *arg, struct ban *const *bans, size_t count, uint64_t total)
{
    struct listing *listing = arg;
    struct buffer json = {0};
    buffer_text(&json, "{\"total\":");
    buffer_number(&json, (int64_t)total);
    write_key(&json, "limit");
    buffer_number(&json, (int64_t)listing->asked.limit);
    write_key(&json, "skip");
    buffer_number(&json, (int64_t)listing->asked.skip);
    write_key(&json, "bans");
    buffer_text(&json, "[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_text(&json, ",");
        write_ban(&json, bans[i]);
    }
    buffer_text(&json, "]}");
    request_reply_json(listing->request, 200, (struct text){json.at, json.length});
    buffer_finish(&json);
    name_unref(listing->asked.room);
    free(listing);
}

static void handle(struct request *request, const json_t *items)
{
    const json_t *item = json_array_get(items, 0);
    struct bans_asked asked;
    struct error err;
    if (json_array_size(items) != 1 || !json_is_object(item)) {
        request_reply_error(request, 400, "Wrong JWT content: one object in the array expected");
        return;
    }
    if (!asked_read(item, &asked, &err)) {
        moderate_refuse(request, 0, err.text);
        return;
    }
    struct listing *listing = xmalloc(sizeof *listing);
    *listing = (struct listing){request, asked};
    broker_list_bans(request->pipeline->broker, &asked, listed, listing);
}

void route_bans(struct request *request)
{
    request_with_items(request, handle);
}
