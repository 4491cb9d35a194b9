/* chatup/store.h: what a plugin remembers: small keys, the same on every loop and every machine.
 * Apache-2.0.
 *
 * Keys are the plugin's own and lie in groups (a user, a room, "words") of 1 to 512 bytes. A batch
 * is about one group and is atomic: all loops see all of it or nothing, one batch after the other.
 * Durable keys are on disk before the batch is answered and survive a restart; volatile ones are
 * counters and windows, never wait for a disk, and are their own keys, also where the names are the
 * same. Either may expire. How much a plugin may keep is limits.plugin_bytes of the YAML. */
#ifndef CHATUP_STORE_H
#define CHATUP_STORE_H

#include <chatup/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHATUP_STORE "chatup.store/1"

enum chatup_op_kind {
    CHATUP_OP_GET = 0,    /* text: ok if it is there, value, and ttl_ms */
    CHATUP_OP_SET,        /* text := value. The key has ttl_ms from then on. ok */
    CHATUP_OP_SET_NEW,    /* the same, if it is not there; ok if it was not */
    CHATUP_OP_ABSENT,     /* ok if it is not there; ttl_ms if it is */
    CHATUP_OP_DELETE,     /* of any type; ok if it was there */
    CHATUP_OP_ADD,        /* number += number, from 0; ok, number is the sum. A ttl_ms that is not
                           * 0 is given to it anew; 0 leaves it as it is */
    CHATUP_OP_SET_ADD,    /* set: add value; ok if it is new. ttl_ms as above */
    CHATUP_OP_SET_REMOVE, /* set: remove value; ok if it was there */
    CHATUP_OP_MEMBERS,    /* set: ok, members in order of their bytes, number of them */
    CHATUP_OP_WINDOW      /* sliding window: ok if fewer than number events were taken in the last
                           * period_ms, and then takes one; number is how many there are in it,
                           * ttl_ms how long until one more will be ok (0: now) */
};

enum { CHATUP_MUST = 1 }; /* flags of an op: unless it is ok, nothing of the batch happens */

struct chatup_op {
    int32_t kind;
    uint32_t flags;
    struct chatup_text key;   /* 1 to 512 bytes */
    struct chatup_text value; /* up to 64 KiB */
    int64_t number;           /* of CHATUP_OP_WINDOW: 1 to 10 000 */
    int64_t ttl_ms;           /* 0: for ever */
    int64_t period_ms;        /* of CHATUP_OP_WINDOW, up to 366 days; the key lives as long */
};

struct chatup_result {
    int32_t ok; /* 1 or 0; -1: the key is of another type, a number too big: nothing happened */
    uint32_t count;
    int64_t number;
    int64_t ttl_ms; /* left; 0: for ever, or none */
    struct chatup_text value;
    const struct chatup_text *members; /* count of them */
};

struct chatup_answer {
    uint32_t size;
    int32_t status;                      /* CHATUP_DONE; else results is NULL. UNAVAILABLE: nothing
                                          * happened; TIMEOUT: unknown; CANCELLED: unknown, the
                                          * shard goes */
    int32_t happened;                    /* 1; 0: a MUST was not ok. Results say which */
    uint32_t count;                      /* of results: as many as ops */
    const struct chatup_result *results; /* lent */
};

typedef void chatup_answered(void *shard, void *arg, const struct chatup_answer *answer);
/* A watched key: result as of GET or MEMBERS; not ok where the key is not there. Lent. */
typedef void chatup_changed(void *shard, void *arg, const struct chatup_result *result);

enum { CHATUP_VOLATILE = 1 }; /* flags of a batch, or a watch */

struct chatup_store {
    uint32_t size;
    /* All must: first every op with CHATUP_MUST is looked at as things stand, in their order; then,
     * if all are ok, all ops happen in their order.
     *   ops      1 to 32, copied with all they point to
     *   returns  0: done is called once, never from within; -1: an op is not as said above, and
     *            done is not called */
    int32_t (*run)(const struct chatup_loop *loop, uint32_t flags, struct chatup_text group,
                   const struct chatup_op *ops, uint32_t count, chatup_answered *done, void *arg);
    /* Call soon with what the key is now, and again when it has changed, anywhere: not for each
     * change, but always after the last one. Until shard_close; 0, or -1 as above. */
    int32_t (*watch)(const struct chatup_loop *loop, uint32_t flags, struct chatup_text group,
                     struct chatup_text key, chatup_changed *changed, void *arg);
};

#ifdef __cplusplus
}
#endif
#endif
