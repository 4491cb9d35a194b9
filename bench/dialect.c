#include "dialect.h"

#include <string.h>

static const struct dialect dialects[] = {
    {
        .name = "chatup",
        .target = {"/ws/%s", "/pub", "/ws"},
        .say = {"{\"id\":1,\"say\":{\"msg\":\"", "\"}}"},
        .frames_to_ready = {1, 2,
                            ROOMS_HELD}, /* a history per room; the replies to auth and join */
        .acknowledges = true,
    },
    {
        .name = "plain", /* chatup-raw, peers/ws.js */
        .target = {"/ws/%s", "/pub/%s"},
        .say = {"", ""},
    },
    {
        .name = "socketio", /* engine.io 4, socket.io 5: peers/socketio.js */
        .target = {"/socket.io/?EIO=4&transport=websocket&room=%s",
                   "/socket.io/?EIO=4&transport=websocket&publish=%s"},
        .say = {"42[\"say\",\"", "\"]"},
        .frames_to_ready = {2, 2}, /* 0{"sid":…} and 40{"sid":…} */
        .greeting = "40",
        .ping = "2",
        .pong = "3",
    },
    {
        .name = "nchan",
        .target = {"/sub?id=%s", "/pub?id=%s"},
        .say = {"", ""},
        .posts = true,
    },
    {
        .name = "original", /* peers/original.js; publishers speak socket.io, and want an answer */
        .target = {"/ws?id=%s", "/socket.io/?EIO=4&transport=websocket&publish=%s"},
        .say = {"421[\"say\",{\"msg\":\"", "\"}]"},
        .frames_to_ready = {0, 2},
        .greeting = "40",
        .ping = "2",
        .pong = "3",
    },
};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(dialects[i].name, name))
            return &dialects[i];
    return NULL;
}
