/* reading.h: the channels that a reader asked for, in any of the forms: checked, permitted, and
 * subscribed to one after the other. Its loop only. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stddef.h>

struct address;
struct buffer;
struct connection;
struct frame;
struct json_t;
struct pipeline;
struct reading;
struct user;

struct reading_refusal {
    int status; /* 400 or 403 */
    const char *err;
};

/* ["lobby", {"channel": "a/b", "since": "epoch:12"}]
 *   user     NULL: a guest
 *   client   where they come from
 *   returns  NULL with *why */
struct reading *reading_of_json(const struct pipeline *pipeline, const struct user *user,
                                const struct address *client, const struct json_t *channels,
                                struct reading_refusal *why);
/* path: what follows /ws/, /ev/ …, not decoded: "lobby/a%2Fb", or "" and then ?channels= is asked,
 * or else ?channel=.
 * since: "E:1,E:2", absent without.
 *   returns  NULL with *why; its status is 0 if no channel is named at all */
struct reading *reading_of_target(const struct pipeline *pipeline, const struct user *user,
                                  const struct address *client, struct text path, struct text query,
                                  struct text since, struct reading_refusal *why);
void reading_destroy(struct reading *reading);

/* The next channel of conn->reading, if the socket has taken the one before; the connection is
 * closed if it may read it no more. */
void reading_continue(struct connection *conn);
/* The channel asked for last has had its first frame: on with the next. */
void reading_admitted(struct connection *conn);
/* All have had their first frame. */
bool reading_is_complete(const struct reading *reading);

/* A frame was given to the reader: its position is further. */
void reading_note(struct reading *reading, const struct frame *frame);
/* Where it is in all channels: "E:1,E:2", as since wants it. */
void reading_write_positions(const struct reading *reading, struct buffer *out);
