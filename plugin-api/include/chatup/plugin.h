/* chatup/plugin.h: what every ChatUp plugin includes. Apache-2.0.
 *
 * Changes: draft 3: connect, tags, deferral of auth and join, max_msg, roles of routes. Draft 2:
 * services, deferral, shards with a loop, auth, join and leave, lists and maps as options,
 * counters, state that outlives a reload. Draft 1: message_in, message_out, routes. It is marked
 * draft: it may still change.
 *
 * A plugin is one shared object that exports one function, chatup_plugin_v1, and links to nothing
 * of ChatUp's. What the host offers comes in the table that create gets, and in the tables of
 * services that it asks for by name: loop.h, store.h, bus.h; routes.h has its HTTP routes.
 *
 * Memory   Nobody frees across the line: the host copies what a plugin passes before it returns;
 *          what it lends is valid until the call that lends it returns.
 * Text     Pointer and length, valid UTF-8, not NUL-terminated. at is NULL when absent.
 * Threads  One shard of a plugin per event loop; its hooks and callbacks never overlap: no lock is
 *          needed for what a shard owns. A call may be made on its loop's thread, unless it is
 *          marked [any thread] or [in create].
 * Later    Whatever answers later calls back exactly once, on its loop, before shard_close; its
 *          status says how it ended. So there is one place to free what belongs to it.
 * Structs  One that begins with its size, set by whoever writes it, may grow at its end: read no
 *          further than that size. The others never change.
 *
 * C99 and C++11. */
#ifndef CHATUP_PLUGIN_H
#define CHATUP_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct chatup_text {
    const char *at;
    size_t length;
};

/* What a hook answers. Anything else counts as CHATUP_FAULT. */
enum chatup_verdict {
    CHATUP_ACCEPT = 0,  /* go on to the next plugin, with the edits staged so far */
    CHATUP_REJECT = 1,  /* ends here; the sender gets the plugin's reply, else "rejected" */
    CHATUP_CONSUME = 2, /* ends here; the sender gets ok or the plugin's reply; nothing is told */
    CHATUP_DEFER = 3,   /* after defer or defer_visit: resume follows */
    CHATUP_FAULT = 4    /* the plugin failed: its edits are dropped, on_error of the YAML decides */
};

/* How something that was asked for ended. */
enum chatup_status {
    CHATUP_DONE = 0,
    CHATUP_CANCELLED = 1,   /* the plugin, or its shard, goes; or it was cancelled */
    CHATUP_TIMEOUT = 2,     /* not in time; whether it happened is unknown */
    CHATUP_UNAVAILABLE = 3, /* it did not happen: try again later */
    CHATUP_LEFT = 4         /* whom it was about has left */
};

/* ---- message_in: before a message is stored ---- */

enum { CHATUP_FROM_POST = 1 }; /* flags: sent by POST /post, not by a user */

struct chatup_event {
    uint32_t size;
    uint32_t flags;
    struct chatup_text room;
    struct chatup_text id;   /* UUID of the message */
    struct chatup_text sub;  /* identity of the sender; may be empty */
    struct chatup_text name; /* public name of the sender; may be empty */
    struct chatup_text user; /* public user: JSON */
    struct chatup_text msg;  /* text; absent in events. With the edits of the plugins before */
    struct chatup_text ev;   /* event name; absent in plain messages */
    struct chatup_text data; /* event data: JSON; may be absent */
    int64_t time_ms;         /* since 1970 */
};

/* ---- message_out: before a batch goes to readers, once per batch and loop ---- */

struct chatup_message {
    uint32_t size;
    uint32_t flags;
    uint64_t offset;                                             /* 0: join and leave */
    struct chatup_text room, id, sub, name, user, msg, ev, data; /* as above */
    int64_t time_ms;
};

struct chatup_batch {
    uint32_t size;
    uint32_t count;
    const struct chatup_message *const *messages; /* count of them */
    struct chatup_text room;
};

/* ---- connect, auth, join, leave: who comes and goes ---- */

/* What is opened: where its path begins. */
enum chatup_way {
    CHATUP_WAY_PUB = 1, /* /pub: a websocket that speaks */
    CHATUP_WAY_WS = 2,  /* /ws: one that reads */
    CHATUP_WAY_EV = 3,  /* /ev: server-sent events */
    CHATUP_WAY_SUB = 4, /* /sub: lines of JSON */
    CHATUP_WAY_LP = 5   /* /lp: a long poll; each of them */
};

struct chatup_visit {
    uint32_t size;
    uint32_t flags;          /* 0 */
    struct chatup_text room; /* absent in connect and auth */
    struct chatup_text sub;  /* identity; may be empty */
    struct chatup_text name; /* public name; may be empty */
    struct chatup_text user; /* public user: JSON; absent in connect */
    struct chatup_text address;
    /* Of connect only: absent in all others, and what is not UTF-8 too. */
    struct chatup_text path;       /* as it was asked for: "/ws/a%2Fb" */
    struct chatup_text origin;     /* of the page that opens it; absent without one */
    struct chatup_text user_agent; /* as it says itself; absent without one */
    uint32_t way;                  /* enum chatup_way */
    uint32_t reserved;             /* 0 */
};

/* ---- options: plugins[i].config of the YAML ---- */

enum chatup_option_type {
    CHATUP_BOOL,     /* number 0 or 1 */
    CHATUP_INT,      /* number */
    CHATUP_DURATION, /* number of milliseconds, written 30s */
    CHATUP_SIZE,     /* number of bytes, written 4KiB */
    CHATUP_STRING,   /* text, NUL-terminated too */
    CHATUP_ENUM,     /* number: position in choices; text: the word */
    CHATUP_LIST,     /* items; children[0] says of what */
    CHATUP_MAP       /* items, one for each of children, in their order */
};

enum { CHATUP_SECRET = 1 }; /* flags: its value is never shown */

struct chatup_option {
    const char *name; /* of an item of a list: what messages call it, or NULL */
    int32_t type;
    uint32_t flags;
    const char
        *preset; /* default: of a list or map YAML, else its bare text; NULL: it must be there */
    const char *help; /* one line */
    int64_t min, max; /* of numbers, lengths of texts and of lists; both 0: any */
    const struct chatup_option *children; /* child_count of them */
    uint32_t child_count;
    const char *const *choices; /* of CHATUP_ENUM, ends with NULL */
};

struct chatup_value {
    int64_t number;
    struct chatup_text text;
    const struct chatup_value *items; /* count of them */
    uint32_t count;
};

/* ---- what the host offers ---- */

enum chatup_log_level { CHATUP_ERROR, CHATUP_WARN, CHATUP_INFO, CHATUP_DEBUG };

struct chatup_counter { /* shown by GET /metrics as chatup_plugin_<plugin>_<name> */
    const char *name;   /* lower case letters, digits and _ */
    const char *help;   /* one line */
};

struct chatup_host {
    uint32_t size;
    void *self; /* pass it back as host */
    /* [any thread] One line, without newline; the plugin's name is added. */
    void (*log)(void *host, int32_t level, const char *text, size_t length);
    /* [in create] Value of option i of the plugin's table; valid as long as the plugin. */
    struct chatup_value (*option)(void *host, uint32_t i);
    /* [in create] Refuse the value of option i: give the reason, then return NULL from create.
     * The host adds the option's place in the YAML. i of UINT32_MAX: not about one option. */
    void (*refuse)(void *host, uint32_t i, const char *why, size_t length);
    /* [in create] The table of a service, such as "chatup.store/1"; valid as long as the plugin.
     * NULL: this chatup has none. Never of one that is listed in needs. */
    const void *(*service)(void *host, const char *name);
    /* [any thread] Add to counter i of the plugin's table. */
    void (*count)(void *host, uint32_t i, uint64_t more);

    /* [in message_in] Replace the text of the event (only where msg is present), or its reply to
     * the sender (a JSON object, up to 64 KiB). Staged: the event shows it from the next hook on,
     * and it is dropped if this one faults. 0; -1: not valid UTF-8, longer than the YAML allows a
     * message, not a JSON object, or nothing to replace. */
    int32_t (*set_msg)(struct chatup_event *event, const char *text, size_t length);
    int32_t (*set_reply)(struct chatup_event *event, const char *json, size_t length);
    /* [in message_out] Replace the text of message i of the batch, or leave it out. As above. */
    int32_t (*set_msg_out)(struct chatup_batch *batch, uint32_t i, const char *text, size_t length);
    int32_t (*drop)(struct chatup_batch *batch, uint32_t i);

    /* [in message_in] Answer later: returns the deferral's id, never 0, then return CHATUP_DEFER.
     * What was staged is kept. Later messages of that sender wait behind it. Without resume within
     * timeout_ms (1 to 60 000) it is a fault, and cancelled is called. 0: there are too many. */
    uint64_t (*defer)(struct chatup_event *event, int64_t timeout_ms);
    /* [any thread] The verdict of a deferral (not CHATUP_DEFER), once. edit is of message_in a text
     * as set_msg takes it, of auth a user as set_user does; reply as set_reply; absent: none. What
     * they must not be is a fault. Ids that are over, or that were never given, do nothing. Not
     * called back. */
    void (*resume)(void *host, uint64_t id, int32_t verdict, struct chatup_text edit,
                   struct chatup_text reply);

    /* [in auth] Replace the public user: a JSON object. [in connect, auth, join] What the client
     * gets with a reject. 0; -1: not a JSON object. */
    int32_t (*set_user)(struct chatup_visit *visit, const char *json, size_t length);
    int32_t (*set_visit_reply)(struct chatup_visit *visit, const char *json, size_t length);

    /* [any thread] The bytes that a text may have: limits.message_bytes of the YAML, which a reload
     * may change while the plugin stays. */
    size_t (*max_msg)(void *host);
    /* [in connect, auth, join] As defer. What comes from that client behind it waits; if the client
     * leaves, the deferral is over: cancelled is called, with CHATUP_LEFT. */
    uint64_t (*defer_visit)(struct chatup_visit *visit, int64_t timeout_ms);

    /* [in message_in] Mark the event for the plugins behind, which may do less with it. A tag is 1
     * to 32 letters, digits, - _ . and :, and one event has up to eight. Staged as an edit. 0; -1:
     * no tag, or one too many. */
    int32_t (*tag)(struct chatup_event *event, const char *tag, size_t length);
    /* [in message_in] 1: a plugin before gave it that tag, or connect or auth to its sender. Else
     * 0. */
    int32_t (*has_tag)(const struct chatup_event *event, const char *tag, size_t length);
    /* [in connect, auth] Mark whoever comes: what they say has these tags. One of connect stays
     * with the connection, one of auth until its next token. As above. */
    int32_t (*tag_visit)(struct chatup_visit *visit, const char *tag, size_t length);
    /* [in connect, auth, join, leave] */
    int32_t (*visit_has_tag)(const struct chatup_visit *visit, const char *tag, size_t length);
};

/* ---- the plugin ---- */

struct chatup_route; /* routes.h */

struct chatup_loop { /* one event loop, as its shard sees it; valid until shard_close returns */
    uint32_t size;
    uint32_t index, count; /* which, of how many */
    void *self;
};

enum { CHATUP_SEES_POST = 1 }; /* flags: message_in also gets what POST /post and plugins send */

struct chatup_plugin {
    uint32_t size;  /* sizeof (struct chatup_plugin) */
    uint32_t flags; /* or-ed; 0 */
    const char *name, *version, *summary;
    const struct chatup_option *options; /* option_count of them */
    uint32_t option_count;
    uint32_t route_count;
    const struct chatup_route *routes;     /* route_count of them */
    const struct chatup_counter *counters; /* counter_count of them */
    uint32_t counter_count;
    uint32_t reserved;        /* 0 */
    const char *const *needs; /* services it cannot do without, ends with NULL; NULL: none */

    /* Once per generation, on one thread; NULL refuses to start. host is valid until destroy. A
     * reload makes a new generation beside the old one; the configuration is tried in a process of
     * its own before, where services accept everything and nothing happens. */
    void *(*create)(const struct chatup_host *host);
    void (*destroy)(void *plugin);
    /* Once per loop, on its thread, before and after its hooks; NULL from shard_open refuses to
     * start. May both be NULL: then the shard is what create returned, shared by all loops. */
    void *(*shard_open)(void *plugin, const struct chatup_loop *loop);
    void (*shard_close)(void *shard);

    int32_t (*message_in)(void *shard, struct chatup_event *event);  /* NULL costs nothing */
    int32_t (*message_out)(void *shard, struct chatup_batch *batch); /* pure: CPU only */
    /* A deferral is over without resume: why is CHATUP_TIMEOUT, CHATUP_LEFT (of a visit), or
     * CHATUP_CANCELLED at the end of the plugin. resume does nothing any more. May be NULL. */
    void (*cancelled)(void *shard, uint64_t id, int32_t why);
    /* A token was verified: accept, reject, defer. It cannot grant what the token does not. */
    int32_t (*auth)(void *shard, struct chatup_visit *visit);
    /* Before the room is told: accept, consume (it is not told), reject, defer. */
    int32_t (*join)(void *shard, struct chatup_visit *visit);
    void (*leave)(void *shard, const struct chatup_visit *visit);
    /* A reload replaces this generation: what the next one may want to know, lent until the next
     * call; and the same in the next, after create and before its first shard. On the loop that
     * does the reload, while hooks may run on others. NULL: nothing. */
    struct chatup_text (*state_save)(void *plugin);
    void (*state_load)(void *plugin, struct chatup_text state);
    /* No hook of this shard begins any more: finish what is open, shard_close follows. */
    void (*drain)(void *shard);
    /* A websocket or a stream is to be opened; no token was looked at yet: accept, reject (it is
     * answered 403), defer (it waits). */
    int32_t (*connect)(void *shard, struct chatup_visit *visit);
    /* Who sent a message that waits for resume has left, or had before it was deferred. It goes on
     * all the same: that was said. */
    void (*left)(void *shard, uint64_t id);
};

#if defined(__GNUC__)
#define CHATUP_EXPORT __attribute__((visibility("default")))
#else
#define CHATUP_EXPORT
#endif

/* The one symbol. Returns a static struct. */
CHATUP_EXPORT const struct chatup_plugin *chatup_plugin_v1(void);

#ifdef __cplusplus
}
#endif
#endif
