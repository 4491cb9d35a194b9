/* chatup/bus.h: say something, ban, kick. Apache-2.0.
 *
 * What is asked for is queued until the hook and its chain have ended. */
#ifndef CHATUP_BUS_H
#define CHATUP_BUS_H

#include <chatup/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHATUP_BUS "chatup.bus/1"

struct chatup_publication {
    uint32_t size;
    uint32_t reserved;       /* 0 */
    struct chatup_text room; /* 1 to 200 bytes */
    struct chatup_text msg;  /* text, or absent */
    struct chatup_text ev;   /* event; msg or ev must be there */
    struct chatup_text data; /* JSON, or absent */
    struct chatup_text user; /* JSON, or absent */
};

enum chatup_who { CHATUP_BY_NAME = 0, CHATUP_BY_SUB = 1 };

/* status: enum chatup_status. */
typedef void chatup_bus_done(void *shard, void *arg, int32_t status);

struct chatup_bus {
    uint32_t size;
    /* To all readers of the room, stored as `durability` says. It passes message_in of the plugins
     * that have CHATUP_SEES_POST, but for its author; one that rejects it is CHATUP_DONE too.
     * 0: done is called once, NULL: nobody; -1: something is not as said above. So are the others.
     */
    int32_t (*publish)(const struct chatup_loop *loop, const struct chatup_publication *what,
                       chatup_bus_done *done, void *arg);
    /* seconds: 0 is for ever. room absent: everywhere. As POST /ban, and POST /kick. */
    int32_t (*ban)(const struct chatup_loop *loop, struct chatup_text room, int32_t by,
                   struct chatup_text who, int64_t seconds, struct chatup_text reason,
                   chatup_bus_done *done, void *arg);
    int32_t (*kick)(const struct chatup_loop *loop, struct chatup_text room, int32_t by,
                    struct chatup_text who, chatup_bus_done *done, void *arg);
};

#ifdef __cplusplus
}
#endif
#endif
