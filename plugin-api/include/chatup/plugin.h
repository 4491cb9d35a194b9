/* chatup/plugin.h: all that a ChatUp plugin includes. Apache-2.0.
 *
 * Changes: draft 1: message_in, message_out, routes, options. Marked draft: it may still change.
 *
 * A plugin is one shared object that exports one function, chatup_plugin_v1, and links to nothing
 * of ChatUp's. Everything the host offers comes through the table it hands to create.
 *
 * Memory   Nobody frees across the line: the host copies what a plugin passes before it returns;
 *          what it lends is valid until the hook returns.
 * Text     Pointer and length, valid UTF-8, not NUL-terminated. at is NULL when absent.
 * Threads  One shard of a plugin per event loop, hooks of a shard never overlap: no lock is needed
 *          for what a shard owns. Calls marked [any thread] may be made by threads of the plugin.
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
    CHATUP_ACCEPT = 0, /* go on to the next plugin, with the edits staged so far */
    CHATUP_REJECT = 1, /* ends here; the sender gets the plugin's reply, else "rejected" */
    CHATUP_CONSUME =
        2, /* ends here; the sender gets ok or the plugin's reply; nothing is published */
    CHATUP_DEFER = 3, /* reserved: to answer later. In draft 1 it counts as a fault */
    CHATUP_FAULT = 4  /* the plugin failed: its edits are dropped, on_error of the YAML decides */
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

/* ---- routes: HTTP requests under /plugin/<name> ---- */

enum { CHATUP_GET = 1, CHATUP_POST = 2, CHATUP_PUT = 4, CHATUP_DELETE = 8 };
enum chatup_access {
    CHATUP_BODY_JWT = 0, /* the body is a server's token; request->body is then its items, JSON */
    CHATUP_PUBLIC = 1    /* anyone; refused at load unless the YAML says public_routes: true */
};

struct chatup_request {
    uint32_t size;
    uint32_t method;          /* one of the above */
    struct chatup_text path;  /* behind /plugin/<name>: "" or "/…" */
    struct chatup_text query; /* raw, without "?" */
    struct chatup_text body;
};

struct chatup_response { /* zeroed by the host before the call; the host copies what it points to */
    uint32_t size;
    int32_t status;                  /* 0: 200 */
    struct chatup_text content_type; /* absent: application/json */
    struct chatup_text body;         /* must stay valid until the shard's next call */
};

struct chatup_route {
    uint32_t methods;  /* or-ed */
    int32_t access;    /* enum chatup_access */
    const char *path;  /* behind /plugin/<name>: "" or "/token"; matched exactly */
    uint32_t max_body; /* bytes; larger ones are answered 413. 0: limits.body_bytes of the YAML */
    /* CHATUP_ACCEPT: response is sent. Any other value: 500, counted as a fault. */
    int32_t (*handle)(void *shard, const struct chatup_request *request,
                      struct chatup_response *response);
};

/* ---- options: plugins[i].config of the YAML ---- */

enum chatup_option_type {
    CHATUP_BOOL,     /* number 0 or 1 */
    CHATUP_INT,      /* number */
    CHATUP_DURATION, /* number of milliseconds, written 30s */
    CHATUP_SIZE,     /* number of bytes, written 4KiB */
    CHATUP_STRING    /* text, NUL-terminated too */
};

struct chatup_option {
    const char *name;
    int32_t type;
    const char *preset; /* default, as YAML; NULL: the option is required */
    const char *help;   /* one line */
    int64_t min, max;   /* of numbers; both 0: any */
};

struct chatup_value {
    int64_t number;
    struct chatup_text text;
};

/* ---- what the host offers ---- */

enum chatup_log_level { CHATUP_ERROR, CHATUP_WARN, CHATUP_INFO, CHATUP_DEBUG };

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
    /* [in message_in] Replace the text of the event (only where msg is present), or its reply to
     * the sender (a JSON object, up to 64 KiB). Staged: the event shows it from the next hook on,
     * and it is dropped if this one faults. 0; -1: not valid UTF-8, longer than the YAML allows a
     * message, not a JSON object, or nothing to replace. */
    int32_t (*set_msg)(struct chatup_event *event, const char *text, size_t length);
    int32_t (*set_reply)(struct chatup_event *event, const char *json, size_t length);
    /* [in message_out] Replace the text of message i of the batch, or leave it out. As above. */
    int32_t (*set_msg_out)(struct chatup_batch *batch, uint32_t i, const char *text, size_t length);
    int32_t (*drop)(struct chatup_batch *batch, uint32_t i);
};

/* ---- the plugin ---- */

struct chatup_plugin {
    uint32_t size;  /* sizeof (struct chatup_plugin) */
    uint32_t flags; /* 0 */
    const char *name, *version, *summary;
    const struct chatup_option *options; /* option_count of them */
    uint32_t option_count;
    uint32_t route_count;
    const struct chatup_route *routes; /* route_count of them */
    /* Once per process, on the main thread; NULL refuses to start. host is valid until destroy. */
    void *(*create)(const struct chatup_host *host);
    void (*destroy)(void *plugin);
    /* Once per loop, on its thread, before and after its hooks; NULL from shard_open refuses to
     * start. May both be NULL: then the shard is what create returned, shared by all loops. */
    void *(*shard_open)(void *plugin, uint32_t index, uint32_t count);
    void (*shard_close)(void *shard);
    int32_t (*message_in)(void *shard, struct chatup_event *event);  /* NULL costs nothing */
    int32_t (*message_out)(void *shard, struct chatup_batch *batch); /* pure: CPU only */
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
