/* What a reader asks for, in three forms, becomes one: [{"channel": name, "since": position}, …] */
#include "alloc.h"
#include "config.h"
#include "connection.h"
#include "name.h"
#include "pipeline.h"
#include "position.h"
#include "route.h"
#include "server.h"

#include <jansson.h>

struct wish {
    struct name *room;
    struct position since;
};

static void wishes_free(struct wish *wishes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        name_unref(wishes[i].room);
    free(wishes);
}

static struct text json_text(const json_t *string)
{
    return (struct text){json_string_value(string), json_string_length(string)};
}

/* ["lobby", {"channel": "a/b", "since": "epoch:12"}] */
static struct wish *wishes_parse(const json_t *channels, size_t max, size_t *count_out,
                                 const char **err)
{
    size_t count = json_array_size(channels);
    *err = "channels: a list of names, or of objects with channel and since";
    if (!json_is_array(channels) || !count)
        return NULL;
    if (count > max) {
        *err = "channels: too many of them";
        return NULL;
    }
    struct wish *wishes = xcalloc(count, sizeof *wishes);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(channels, i);
        const json_t *name = json_is_object(item) ? json_object_get(item, "channel") : item;
        const json_t *since = json_is_object(item) ? json_object_get(item, "since") : NULL;
        wishes[i].room = json_is_string(name) ? name_create(json_text(name)) : NULL;
        bool ok = wishes[i].room != NULL;
        if (!ok)
            *err = "channels: a name is 1 to 200 bytes of UTF-8";
        for (size_t j = 0; ok && j < i; j++)
            if (name_equal(wishes[i].room, wishes[j].room)) {
                *err = "channels: the same channel twice";
                ok = false;
            }
        if (ok && since && !json_is_null(since) &&
            (!json_is_string(since) || !position_parse(json_text(since), &wishes[i].since))) {
            *err = "since: a position is epoch:offset";
            ok = false;
        }
        if (!ok) {
            wishes_free(wishes, i + 1);
            return NULL;
        }
    }
    *count_out = count;
    return wishes;
}

static size_t channels_max(const struct connection *conn)
{
    return (size_t)server_pipeline(conn->server)->conf->limits.channels;
}

/* /ws/a/b and since=E:1,E:2 as the JSON above. */
static json_t *channels_of_path(struct text path, struct text since)
{
    json_t *channels = json_array();
    const char *p = path.at, *end = path.at + path.length;
    const char *s = since.at, *since_end = since.at ? since.at + since.length : NULL;
    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t length = slash ? (size_t)(slash - p) : (size_t)(end - p);
        json_t *name = json_stringn(p, length);
        if (!name) { /* not UTF-8 */
            json_decref(channels);
            return NULL;
        }
        json_t *item = json_object();
        json_object_set_new(item, "channel", name);
        if (s && s <= since_end) {
            const char *comma = memchr(s, ',', (size_t)(since_end - s));
            size_t n = comma ? (size_t)(comma - s) : (size_t)(since_end - s);
            json_t *position = json_stringn(s, n);
            if (n)
                json_object_set_new(item, "since", position ? position : json_true());
            else
                json_decref(position);
            s = comma ? comma + 1 : NULL;
        }
        json_array_append_new(channels, item);
        p += length + 1;
    }
    return channels;
}

bool subscriber_socket_accepts(struct connection *conn, struct text path, struct text query,
                               const char **err)
{
    struct text asked = query_argument(query, "channels");
    json_t *channels;
    if (asked.at) {
        channels = json_loadb(asked.at, asked.length, 0, NULL);
    } else if (path.length > 4) {
        path = (struct text){path.at + 4, path.length - 4};
        channels = channels_of_path(path, query_argument(query, "since"));
    } else {
        return true; /* the first frame will say */
    }
    *err = "channels: not a JSON array";
    if (channels)
        conn->wishes = wishes_parse(channels, channels_max(conn), &conn->wish_count, err);
    json_decref(channels);
    return conn->wishes != NULL;
}

/* One channel after the other: the histories of many at once would not fit into the queue of a
 * reader that is quick enough. */
void subscriber_socket_continue(struct connection *conn)
{
    if (!conn->wishes || conn->admission_awaited || conn->out.state != SUBSCRIBER_OPEN)
        return;
    if (conn->next_wish == conn->wish_count) {
        subscriber_socket_on_closed(conn); /* done: an idle reader keeps none of it */
        return;
    }
    if (conn->out.queued || !conn->out.socket->writable(&conn->out)) {
        conn->out.socket->want_writable(&conn->out);
        return;
    }
    struct wish *wish = &conn->wishes[conn->next_wish++];
    conn->admission_awaited = true;
    pipeline_subscribe(server_pipeline(conn->server), &conn->out, wish->room, &wish->since);
}

void subscriber_socket_on_closed(struct connection *conn)
{
    if (conn->wishes)
        wishes_free(conn->wishes, conn->wish_count);
    conn->wishes = NULL;
}

void subscriber_socket_on_open(struct connection *conn)
{
    conn->subscribed = conn->wishes != NULL;
    subscriber_socket_continue(conn);
}

void subscriber_socket_on_message(struct connection *conn, struct text message)
{
    const char *err;
    json_t *request = json_loadb(message.at, message.length, 0, NULL);
    conn->wishes = wishes_parse(json_object_get(request, "channels"), channels_max(conn),
                                &conn->wish_count, &err);
    json_decref(request);
    if (conn->wishes)
        subscriber_socket_on_open(conn);
    else
        connection_close(conn, 1008, err);
}
