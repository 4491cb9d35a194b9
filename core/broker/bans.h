/* bans.h: who may not speak where, as every loop knows it: a table of its own, kept up to date by
 * the broker. Its loop only; struct ban itself is immutable and counted. */
#pragma once
#include "address.h"
#include "list.h"
#include "name.h"
#include "table.h"
#include "text.h"
#include <stdint.h>

/* Matches _public.name, the identity, or the site of the address. Stored: keep the numbers. */
enum ban_kind { BAN_NAME, BAN_SUB, BAN_ADDRESS };

enum { BAN_FOR_EVER = -1, BAN_REASON_MAX = 200 };

/* Somebody, as bans look at them. Any of it may be empty: then no ban matches it. */
struct identity {
    struct text sub, name;
    struct address address;
};
/* Whether what kind and who say is them. who: of BAN_ADDRESS, a site as
 * address_site_format writes it. */
bool identity_is(const struct identity *identity, enum ban_kind kind, struct text who);

struct ban {
    _Atomic unsigned refs;
    enum ban_kind kind;
    int64_t expires_ms; /* Unix time, or BAN_FOR_EVER */
    int64_t created_ms;
    struct name *room;       /* NULL: everywhere */
    struct text who, reason; /* into storage; no reason is empty */
    char storage[];
};

/* What a ban is made of. room is referenced, the texts are copied. */
struct ban_fields {
    struct name *room; /* NULL: everywhere */
    enum ban_kind kind;
    struct text who;
    int64_t expires_ms, created_ms;
    struct text reason;
};

struct ban *ban_create(const struct ban_fields *fields);
struct ban *ban_ref(struct ban *ban);
void ban_unref(struct ban *ban);
/* Seconds that are left, rounded up; BAN_FOR_EVER; 0: it has ended. */
int64_t ban_ttl(const struct ban *ban, int64_t now_ms);

struct bans {
    struct table table;
    struct list in_order; /* oldest first */
    size_t by_address;    /* how many of them */
    int64_t next_end_ms;  /* none ends earlier */
};

void bans_init(struct bans *bans);
void bans_finish(struct bans *bans);
/* The latest one for a person and room is the one that counts. Refs it. */
void bans_put(struct bans *bans, struct ban *ban);
/* The one for the same person and room, whenever it ends; NULL: none. */
struct ban *bans_same(const struct bans *bans, const struct ban *ban);
/* End it.
 *   returns  whether there was one for that person and room */
bool bans_lift(struct bans *bans, const struct ban *ban);
/* The ban that lasts longest of those that keep them from speaking there; NULL: none does. */
struct ban *bans_find(const struct bans *bans, const struct name *room,
                      const struct identity *identity, int64_t now_ms);
/* The same as ban_ttl has it, and why, which is lent; 0: none does. */
int64_t bans_ttl(const struct bans *bans, const struct name *room, const struct identity *identity,
                 int64_t now_ms, struct text *reason_out);
void bans_expire(struct bans *bans, int64_t now_ms);

/* Those that a list shows. */
struct bans_asked {
    struct name *room; /* of that room only, or */
    bool everywhere;   /* of those that hold everywhere only, or of all */
    uint64_t skip, limit;
};
/* New references, oldest first, in a new array of *count_out.
 *   returns  how many there are, without skip and limit: in *total_out */
struct ban **bans_list(const struct bans *bans, const struct bans_asked *asked, size_t *count_out,
                       uint64_t *total_out);
