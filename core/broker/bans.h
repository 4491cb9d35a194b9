/* bans.h: who may not speak where, as every loop knows it: a table of its own, kept up to date by
 * the broker. Its loop only; struct ban itself is immutable and counted. */
#pragma once
#include "name.h"
#include "table.h"
#include "text.h"
#include <stdint.h>

enum ban_kind {
    BAN_NAME,
    BAN_SUB,
    BAN_ADDRESS
}; /* matches _public.name, or the identity. Stored: keep */

enum { BAN_FOR_EVER = -1 };

struct ban {
    _Atomic unsigned refs;
    enum ban_kind kind;
    int64_t expires_ms; /* Unix time, or BAN_FOR_EVER */
    struct name *room;
    size_t length;
    char who[];
};

struct ban *ban_create(struct name *room, enum ban_kind kind, struct text who, int64_t expires_ms);
struct ban *ban_ref(struct ban *ban);
void ban_unref(struct ban *ban);
static inline struct text ban_who(const struct ban *ban)
{
    return (struct text){ban->who, ban->length};
}

struct bans {
    struct table table;
};

/* The latest one for a person and room is the one that counts. Refs it. */
void bans_put(struct bans *bans, struct ban *ban);
/* Take it out, unless a later one has taken its place. */
void bans_drop(struct bans *bans, const struct ban *ban);
/* How long that person is still banned there, by sub or by name, in seconds, rounded up;
 * BAN_FOR_EVER; 0: not banned. */
int64_t bans_ttl(const struct bans *bans, const struct name *room, struct text sub,
                 struct text name, int64_t now_ms);
void bans_expire(struct bans *bans, int64_t now_ms);
void bans_finish(struct bans *bans);
