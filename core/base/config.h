/* config.h: chatup.yaml, read into one struct that nobody changes afterwards. A reload reads it
 * again, into another one.
 *
 * Strict: an unknown option, a value out of range or of the wrong type is refused with its place,
 *   chatup.yaml:12:3: limits.mesage_bytes: unknown option, did you mean "message_bytes"?
 * Durations are written 500ms, 30s, 5m, 12h, 30d; sizes 512, 4KiB, 1MiB, 2GiB; booleans true, yes,
 * on, false, no, off. An option without a value ("announce:") keeps its default.
 * ${NAME} (upper case, digits, _) in a value of the file is the environment's; a missing one is an
 * error, $${ is a plain ${. Keys' and plugins' files are relative to the directory of the YAML,
 * data_dir, client_dir and plugins_dir to the working directory.
 * Later sources win: file, CHATUP_* variables of the original, --set path=value.
 *
 * Read-only once loaded, so any thread may look at it. The list of options: config_schema.c;
 * home of libyaml: config_yaml.c. */
#pragma once
#include "address.h"
#include "error.h"
#include "right.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_broker { BROKER_EMBEDDED, BROKER_REDIS };
enum config_durability { DURABILITY_COMMIT, DURABILITY_MEMORY };
enum config_on_error { ON_ERROR_CLOSED, ON_ERROR_OPEN };

/* One key that tokens may be signed with. */
struct config_key {
    char *algorithm; /* RS256, PS256, ES256, HS256 …: the only one accepted with this key */
    char *file;   /* PEM public key, X.509 certificate, or the bytes of an HMAC secret; or NULL */
    char *secret; /* the same, inline; exactly one of both is set */
    char *kid;    /* its name in the header of tokens; NULL: it has none */
};

struct config_keys {
    struct config_key *at;
    size_t count;
};

struct config_networks {
    struct network *networks;
    size_t count;
};

/* Who has a right in the channels of a rule: any one of these suffices, nothing at all is nobody.
 */
struct config_who {
    bool anyone;  /* guests, too; of read, history and users only */
    bool token;   /* every user with a token */
    bool claim;   /* whose token names the channel and the right in its claim `channels` */
    char **roles; /* whose token has one of them */
    size_t role_count;
};

struct config_channel {
    char *pattern;                      /* pattern.h */
    struct config_who who[RIGHT_COUNT]; /* by right_index */
};

struct config_node; /* a piece of parsed YAML that knows its place */

struct config_plugin {
    char *name;
    char *file; /* NULL: <plugins_dir>/<name>.so */
    enum config_on_error on_error;
    bool public_routes;               /* its routes may be called without a token */
    const struct config_node *config; /* its own options; NULL if none. Owned by the config */
};

struct config {
    char *path; /* of the file, as given */
    /* listen: */
    char *address;
    int port;       /* 0: any free one */
    int threads;    /* >= 1; 0 in the file means one per core */
    bool io_uring;  /* where the kernel lets us */
    char *announce; /* URL that /join hands to clients; "" means the Host of their request */
    char *origins;  /* value of Access-Control-Allow-Origin */
    bool proxy_protocol;
    char *trusted_proxies;
    struct config_networks trusted; /* the same */
    char *metrics_from;
    struct config_networks metrics_networks; /* the same */
    struct {
        char *certificate, *key; /* PEM files; "" for none */
    } tls;
    char *data_dir;
    char *client_dir;          /* the page served at /; "" serves none */
    enum config_broker broker; /* of `chatup serve`; the other roles are on Redis */
    enum config_durability durability;
    bool demo;
    bool supervise;   /* restart the worker process when it dies */
    int64_t drain_ms; /* on Redis: so long it takes to send the clients elsewhere at the end */
    char *control;    /* path of the control socket; "" means <data_dir>/chatup.sock */
    int log_level;    /* enum log_level */
    int log_format;   /* enum log_format */
    struct config_channel *channels; /* the first whose pattern matches decides; see access.h */
    size_t channel_count;
    struct {
        struct config_keys keys;
        char *jwks;        /* file with further keys, RFC 7517; "": none */
        char *audience;    /* what `aud` must name; "": not looked at */
        char *issuer;      /* what `iss` must be; "": not looked at */
        int64_t leeway_ms; /* by so much clocks may differ; of admin tokens too */
    } jwt;                 /* whose tokens make a user */
    struct {
        struct config_keys keys; /* none: those of jwt */
        char *audience;
    } admin;            /* whose tokens are your servers' */
    bool legacy_tokens; /* bare lists are believed, as the original signs them */
    struct {
        int64_t size;      /* messages kept per room */
        int64_t bytes;     /* of JSON in them; 0: any number */
        int64_t expire_ms; /* and how long */
    } history;
    struct {
        int64_t flush_gap_ms; /* a busy room sends at most one frame per gap; a quiet one at once */
        int64_t presence_events; /* up to so many members, each join and leave is told; 0: none */
        int64_t presence_gap_ms; /* above it, their number, so often */
    } rooms;
    struct {
        int64_t message_bytes; /* text of one message, also data of one event */
        int64_t body_bytes;    /* body of one HTTP request */
        int64_t token_bytes;
        int64_t rooms;        /* rooms known at a time, per process */
        int64_t channels;     /* channels of one subscriber connection */
        int64_t connections;  /* in all, per process */
        int64_t queue_bytes;  /* waiting for one slow reader */
        int64_t stall_ms;     /* a reader that takes nothing for so long is closed */
        int64_t pending_says; /* unanswered says of one publisher before it is not read further */
        int64_t header_bytes; /* head of one HTTP request */
        int64_t json_depth;
        int64_t header_ms; /* for a client to send the head of a request, */
        int64_t body_ms;   /* its body, */
        int64_t auth_ms;   /* and on a websocket its token or its first frame */
        int64_t poll_ms;   /* a long poll is answered after so long, with nothing */
        int64_t reserved_files;
        int64_t connections_per_address;
        int64_t burst_ms; /* so much of a rate may come at once; all per second, 0: no limit */
        int64_t handshakes_per_address, requests_per_address, frames_per_connection;
        int64_t says_per_connection, says_per_user, says_per_address;
        int64_t joins_per_connection, joins_per_user, joins_per_address;
        char *exempt;      /* addresses that what is counted per address does not concern */
        int64_t idle_ms;   /* silent sockets: pinged after half of it, closed after all of it */
        int64_t dedupe_ms; /* a repeated client id within it is answered as the first one */
        int64_t dedupe_entries; /* remembered per room */
        int64_t replays;        /* admin tokens remembered until they expire */
        int64_t bans;           /* in force at a time, in all */
        int64_t store_wait_ms;  /* for the store; after it the outcome is unknown */
        int64_t plugin_bytes;   /* that one plugin may keep in the store, per process */
        int64_t store_bytes;    /* of messages waiting to be stored; beyond it they are refused */
    } limits;
    struct config_networks exempt; /* limits.exempt */
    char *plugins_dir;
    struct config_plugin *plugins;
    size_t plugin_count;
    struct {
        char *host;
        int port;
        char *servers;             /* several of them, instead of host, port and socket */
        char *sentinels, *masters; /* or who knows where they are, and their names */
        char *socket;              /* of a server on this machine, instead of both; "": none */
        char *user, *password;
        int db;
        char *prefix; /* of all keys and channels */
        bool tls;
        int64_t expire_ms;    /* a process that is silent for so long is dead */
    } redis;                  /* for the roles dispatcher and worker */
    struct config_node *root; /* keeps what the plugins point into */
};

enum { CONFIG_PREFIX_MAX = 64 }; /* bytes of redis.prefix */

/* Read and check the file, which may be empty. Warns in the log about what it ignores.
 *   sets     "path=value" strings that win over everything ("listen.port=0"), or NULL when count 0
 *   returns  the configuration, destroyed by the caller; NULL with err, which begins with the
 * place: "file:line:col: path: ", "CHATUP_PORT: 99999: " or "--set listen.port=abc: " */
struct config *config_load(const char *path, const char *const *sets, size_t set_count,
                           struct error *err);
void config_destroy(struct config *conf);
/* Whether a server that runs with now can go over to next without a restart.
 *   returns  false with err: the place of an option that it cannot change */
bool config_may_follow(const struct config *now, const struct config *next, struct error *err);
/* Whether two entries of the list of plugins say the same. */
bool config_plugin_same(const struct config_plugin *a, const struct config_plugin *b);
/* Whether only this machine can reach listen.address. */
bool config_is_loopback(const struct config *conf);

/* Add what demo mode needs: a further key and a further plugin with options given as YAML text
 * (NULL: none). Both copy; file is used as it is. Before the configuration is shared only. */
void config_add_key(struct config *conf, const char *algorithm, const char *file);
bool config_add_plugin(struct config *conf, const char *name, bool public_routes,
                       const char *config_yaml, struct error *err);
bool config_has_plugin(const struct config *conf, const char *name);

/* ---- typed options of a plugin ---- */
enum config_type {
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_DURATION,
    CONFIG_SIZE,
    CONFIG_STRING,
    CONFIG_ENUM,     /* of plugins only, as are those below */
    CONFIG_SEQUENCE, /* children[0] says of what */
    CONFIG_MAPPING   /* children are its keys */
};

struct config_option {
    const char *name;
    enum config_type type;
    const char *preset; /* default as YAML text; NULL: the option is required */
    int64_t min, max;   /* of numbers: plain, milliseconds or bytes; of strings: their length; of
                         * lists: their items. Both 0: any; max INT64_MAX: no upper limit */
    const struct config_option *children; /* child_count of them */
    size_t child_count;
    const char *const *choices; /* of CONFIG_ENUM, ends with NULL */
};

struct config_value {
    int64_t number;             /* bool, int, milliseconds, bytes; which of the choices */
    char *text;                 /* strings and choices; NULL otherwise */
    struct config_value *items; /* of a list; of a map in the order of its children */
    size_t count;
};
/* What is in values[0..count), not the array. */
void config_values_finish(struct config_value *values, size_t count);

/* Check a plugin's options against its table and fill values[0..count). An option that the table
 * does not have is refused.
 *   index    of the plugin in conf->plugins, for the message: plugins[1].config.ruls
 *   returns  false with err, and values untouched */
bool config_options(const struct config *conf, size_t index, const struct config_option *options,
                    size_t count, struct config_value *values, struct error *err);
/* "file:line:col: plugins[i].config.name": the place of one option, or of the plugin if absent. */
void config_option_place(const struct config *conf, size_t index, const char *name, char *out,
                         size_t size);
