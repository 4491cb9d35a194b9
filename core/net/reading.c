#include "reading.h"
#include "access.h"
#include "alloc.h"
#include "buffer.h"
#include "caller.h"
#include "config.h"
#include "connection.h"
#include "counters.h"
#include "frame.h"
#include "json.h"
#include "name.h"
#include "pipeline.h"
#include "position.h"
#include "route.h"
#include "server.h"
#include "url.h"

#include <jansson.h>

struct wish {
    struct name *room;
    struct position at; /* since, and then how far it has come */
    bool history;       /* may see what was said before */
};

struct reading {
    size_t count, next; /* next to be subscribed to */
    bool awaited;       /* the one before it has not been answered */
    struct wish wishes[];
};

void reading_destroy(struct reading *reading)
{
    for (size_t i = 0; reading && i < reading->count; i++)
        name_unref(reading->wishes[i].room);
    free(reading);
}

/* ---- what is asked for ---- */

/* "lobby" or {"channel": "a/b", "since": "epoch:12"}; returns what is wrong with it, or NULL. */
static const char *wish_read(struct reading *reading, const json_t *item)
{
    struct wish *wish = &reading->wishes[reading->count];
    const json_t *name = json_is_object(item) ? json_object_get(item, "channel") : item;
    const json_t *since = json_is_object(item) ? json_object_get(item, "since") : NULL;
    wish->room = json_is_string(name) ? name_create(json_text(name)) : NULL;
    if (!wish->room)
        return "channels: a name is 1 to 200 bytes of UTF-8";
    reading->count++;
    for (size_t i = 0; i + 1 < reading->count; i++)
        if (name_equal(wish->room, reading->wishes[i].room))
            return "channels: the same channel twice";
    if (since && !json_is_null(since) &&
        (!json_is_string(since) || !position_parse(json_text(since), &wish->at)))
        return "since: a position is epoch:offset";
    return NULL;
}

static bool wish_permit(const struct pipeline *pipeline, const struct user *user,
                        const struct address *client, struct wish *wish,
                        struct reading_refusal *why)
{
    enum access_verdict verdict = access_ask(pipeline->access, wish->room, user, RIGHT_READ);
    wish->history = access_allows(pipeline->access, wish->room, user, RIGHT_HISTORY);
    const char *err = verdict == ACCESS_TOKEN_NEEDED                            ? "unauthorized"
                      : verdict == ACCESS_FORBIDDEN                             ? "forbidden"
                      : banned_from_reading(pipeline, wish->room, user, client) ? "banned"
                                                                                : NULL;
    if (err)
        *why = (struct reading_refusal){403, err};
    return !err;
}

struct reading *reading_of_json(const struct pipeline *pipeline, const struct user *user,
                                const struct address *client, const json_t *channels,
                                struct reading_refusal *why)
{
    size_t count = json_array_size(channels);
    *why = (struct reading_refusal){
        400, "channels: a list of names, or of objects with channel and since"};
    if (!count)
        return NULL;
    if (count > (size_t)pipeline->conf->limits.channels) {
        count_up(COUNT_too_many_channels);
        why->err = "channels: too many of them";
        return NULL;
    }
    struct reading *reading = xcalloc(1, sizeof *reading + count * sizeof *reading->wishes);
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        const char *wrong = wish_read(reading, json_array_get(channels, i));
        if (wrong)
            *why = (struct reading_refusal){400, wrong};
        good = !wrong && wish_permit(pipeline, user, client, &reading->wishes[i], why);
    }
    if (good)
        return reading;
    reading_destroy(reading);
    return NULL;
}

/* The part before the separator; the rest stays in *rest, absent after the last. */
static struct text part_of(struct text *rest, char separator)
{
    const char *end = memchr(rest->at, separator, rest->length);
    struct text part = {rest->at, end ? (size_t)(end - rest->at) : rest->length};
    *rest = end ? (struct text){end + 1, rest->length - part.length - 1} : (struct text){0};
    return part;
}

static json_t *item_of(struct text name, struct text since)
{
    json_t *item = NULL, *channel = json_stringn(name.at, name.length);
    json_t *position = since.length ? json_stringn(since.at, since.length) : json_null();
    if (channel && position)
        item = json_pack("{s:O, s:O}", "channel", channel, "since", position);
    json_decref(channel);
    json_decref(position);
    return item;
}

static json_t *item_of_part(struct text part, struct text since)
{
    struct buffer name = {0};
    json_t *item = NULL;
    if (url_decode(part, false, &name))
        item = item_of((struct text){name.at, name.length}, since);
    buffer_finish(&name);
    return item;
}

/* a/b%2Fc and E:1,E:2 as the JSON above; NULL if that cannot be. */
static json_t *channels_of_path(struct text path, struct text since)
{
    json_t *channels = json_array();
    while (path.at) {
        struct text name = part_of(&path, '/');
        json_t *item = item_of_part(name, since.at ? part_of(&since, ',') : since);
        if (!item || json_array_append_new(channels, item)) {
            json_decref(channels);
            return NULL;
        }
    }
    return channels;
}

/* The positions of since for the channels of ?channels=, which may have none of their own. */
static void add_positions(json_t *channels, struct text since)
{
    for (size_t i = 0; since.at && i < json_array_size(channels); i++) {
        struct text position = part_of(&since, ',');
        const json_t *item = json_array_get(channels, i);
        const json_t *name = json_is_object(item) ? json_object_get(item, "channel") : item;
        json_t *text = position.length ? json_stringn(position.at, position.length) : NULL;
        if (text && json_is_string(name))
            json_array_set_new(channels, i,
                               json_pack("{s:O, s:O}", "channel", name, "since", text));
        json_decref(text);
    }
}

struct reading *reading_of_target(const struct pipeline *pipeline, const struct user *user,
                                  const struct address *client, struct text path, struct text query,
                                  struct text since, struct reading_refusal *why)
{
    struct text asked = query_argument(query, "channels"), one = query_argument(query, "channel");
    json_t *channels;
    *why = (struct reading_refusal){0};
    if (path.length) {
        channels = channels_of_path(path, since);
        why->err = "channels: a name is 1 to 200 bytes of UTF-8";
    } else if (asked.at) {
        channels = json_read(asked, (size_t)pipeline->conf->limits.json_depth);
        add_positions(channels, since);
        why->err = "channels: not a JSON array";
    } else if (one.at) {
        channels = json_pack("[o*]", item_of(one, since));
        why->err = "channel: a name is 1 to 200 bytes of UTF-8";
    } else {
        return NULL;
    }
    why->status = 400;
    struct reading *reading =
        channels ? reading_of_json(pipeline, user, client, channels, why) : NULL;
    json_decref(channels);
    return reading;
}

/* ---- subscribing ---- */

bool reading_is_complete(const struct reading *reading)
{
    return !reading || (reading->next == reading->count && !reading->awaited);
}

/* One channel after the other: the histories of many at once would not fit into the queue of a
 * reader that is quick enough. */
void reading_continue(struct connection *conn)
{
    struct reading *reading = conn->reading;
    if (!reading || conn->out.state != SUBSCRIBER_OPEN)
        return;
    if (conn->out.queued || !conn->out.socket->writable(&conn->out))
        return; /* the socket tells when it is clear */
    if (reading->awaited || reading->next == reading->count)
        return;
    struct pipeline *pipeline = server_pipeline(conn->server);
    struct wish *wish = &reading->wishes[reading->next];
    struct reading_refusal why;
    /* A ban may have come since it was asked for. */
    if (!wish_permit(pipeline, conn->user, &conn->client, wish, &why)) {
        connection_turn_out(conn, why.err);
        return;
    }
    reading->next++;
    reading->awaited = true;
    (wish->history ? pipeline_subscribe : pipeline_subscribe_live)(pipeline, &conn->out, wish->room,
                                                                   &wish->at);
}

void reading_admitted(struct connection *conn)
{
    conn->reading->awaited = false;
    if (conn->phase == PHASE_WEBSOCKET && reading_is_complete(conn->reading)) {
        reading_destroy(conn->reading); /* an idle reader keeps none of it */
        conn->reading = NULL;
        return;
    }
    reading_continue(conn);
}

/* ---- positions ---- */

void reading_note(struct reading *reading, const struct frame *frame)
{
    for (size_t i = 0; i < reading->count; i++) {
        struct wish *wish = &reading->wishes[i];
        if (!frame->room || !name_equal(wish->room, frame->room))
            continue;
        if (frame->upto.epoch[0])
            memcpy(wish->at.epoch, frame->upto.epoch, sizeof wish->at.epoch);
        wish->at.offset = frame->upto.offset;
    }
}

void reading_write_positions(const struct reading *reading, struct buffer *out)
{
    for (size_t i = 0; i < reading->count; i++) {
        const struct position *at = &reading->wishes[i].at;
        if (i)
            buffer_text(out, ",");
        if (!at->epoch[0])
            continue;
        buffer_text(out, at->epoch);
        buffer_text(out, ":");
        buffer_number(out, (int64_t)at->offset);
    }
}
