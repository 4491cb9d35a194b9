#include "config_schema.h"
#include "alloc.h"
#include "config_parts.h"
#include "config_value.h"

#include <assert.h>

#define KIB    INT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)
#define SECOND INT64_C(1000)
#define DAY    (86400 * SECOND)

#define RATE_MAX 1000000 /* per second */

struct row {
    struct config_option option; /* name is the whole path; min and max of a string: its length */
    size_t offset, size;         /* of its field in struct config */
    const char *const *choices;  /* the only values; kept as text, or as position in an enum */
    bool (*check)(const char *text, struct error *what); /* of a string */
    bool list;
    bool fixed; /* used up at the start: a reload that changes it is refused. */
};

static bool check_announce(const char *text, struct error *what);
static bool check_networks(const char *text, struct error *what);

static const char *const brokers[] = {"embedded", "redis", NULL};     /* as config_broker */
static const char *const durabilities[] = {"commit", "memory", NULL}; /* as config_durability */
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL}; /* as log.h */
static const char *const log_formats[] = {"text", "json", NULL};

#define AT(field)                                                                                  \
    .offset = offsetof(struct config, field), .size = sizeof(((struct config *)0)->field)

/* clang-format off */
static const struct row rows[] = {
    {{"listen.address", CONFIG_STRING, "127.0.0.1", 1, 255}, AT(address), .fixed = true},
    {{"listen.port", CONFIG_INT, "8080", 0, 65535}, AT(port), .fixed = true},
    {{"listen.proxy_protocol", CONFIG_BOOL, "false", 0, 0}, AT(proxy_protocol), .fixed = true},
    {{"trusted_proxies", CONFIG_STRING, "", 0, 1024}, AT(trusted_proxies), .check = check_networks},
    {{"metrics_from", CONFIG_STRING, "127.0.0.0/8, ::1", 0, 1024}, AT(metrics_from), .check = check_networks},
    {{"tls.certificate", CONFIG_STRING, "", 0, 1024}, AT(tls.certificate)},
    {{"tls.key", CONFIG_STRING, "", 0, 1024}, AT(tls.key)},
    {{"threads", CONFIG_INT, "0", 0, 256}, AT(threads), .fixed = true},
    {{"io_uring", CONFIG_BOOL, "true", 0, 0}, AT(io_uring), .fixed = true},
    {{"announce", CONFIG_STRING, "", 0, 1024}, AT(announce), .check = check_announce},
    {{"origins", CONFIG_STRING, "*", 1, 1024}, AT(origins)},
    {{"data_dir", CONFIG_STRING, "./chatup-data", 1, 1024}, AT(data_dir), .fixed = true},
    {{"client_dir", CONFIG_STRING, CHATUP_CLIENT_DIR, 0, 1024}, AT(client_dir)},
    {{"plugins_dir", CONFIG_STRING, CHATUP_PLUGINS_DIR, 1, 1024}, AT(plugins_dir)},
    {{"broker", CONFIG_STRING, "embedded", 0, 0}, AT(broker), .choices = brokers, .fixed = true},
    {{"durability", CONFIG_STRING, "commit", 0, 0}, AT(durability), .choices = durabilities, .fixed = true},
    {{"demo", CONFIG_BOOL, "false", 0, 0}, AT(demo), .fixed = true},
    {{"drain_time", CONFIG_DURATION, "5s", 0, 3600 * SECOND}, AT(drain_ms)},
    {{"supervise", CONFIG_BOOL, "true", 0, 0}, AT(supervise), .fixed = true},
    {{"control", CONFIG_STRING, "", 0, 100}, AT(control), .fixed = true},
    {{"log_level", CONFIG_STRING, "info", 0, 0}, AT(log_level), .choices = log_levels},
    {{"log_format", CONFIG_STRING, "text", 0, 0}, AT(log_format), .choices = log_formats},
    {{"jwt.keys", CONFIG_STRING, NULL, 0, 0}, .list = true},
    {{"channels", CONFIG_STRING, NULL, 0, 0}, .list = true},
    {{"jwt.jwks", CONFIG_STRING, "", 0, 1024}, AT(jwt.jwks)},
    {{"jwt.audience", CONFIG_STRING, "", 0, 256}, AT(jwt.audience)},
    {{"jwt.issuer", CONFIG_STRING, "", 0, 256}, AT(jwt.issuer)},
    {{"jwt.leeway", CONFIG_DURATION, "2s", 0, 300 * SECOND}, AT(jwt.leeway_ms)},
    {{"admin.keys", CONFIG_STRING, NULL, 0, 0}, .list = true},
    {{"admin.audience", CONFIG_STRING, "chatup-admin", 1, 256}, AT(admin.audience)},
    {{"legacy_tokens", CONFIG_BOOL, "true", 0, 0}, AT(legacy_tokens)},
    {{"history.size", CONFIG_INT, "100", 0, 100000}, AT(history.size)},
    {{"history.bytes", CONFIG_SIZE, "4MiB", 0, 16 * GIB}, AT(history.bytes)},
    {{"history.expire", CONFIG_DURATION, "30d", SECOND, 3650 * DAY}, AT(history.expire_ms)},
    {{"rooms.flush_gap", CONFIG_DURATION, "20ms", 0, 10 * SECOND}, AT(rooms.flush_gap_ms)},
    {{"rooms.presence_events", CONFIG_INT, "100", 0, 1000000}, AT(rooms.presence_events)},
    {{"rooms.presence_gap", CONFIG_DURATION, "1s", 10, 30 * SECOND}, AT(rooms.presence_gap_ms)},
    {{"limits.message_bytes", CONFIG_SIZE, "32KiB", 64, 16 * MIB}, AT(limits.message_bytes)},
    {{"limits.body_bytes", CONFIG_SIZE, "256KiB", 256, 64 * MIB}, AT(limits.body_bytes)},
    {{"limits.token_bytes", CONFIG_SIZE, "8KiB", 256, 64 * KIB}, AT(limits.token_bytes)},
    {{"limits.rooms", CONFIG_INT, "100000", 1, 10000000}, AT(limits.rooms)},
    {{"limits.channels", CONFIG_INT, "100", 1, 10000}, AT(limits.channels)},
    {{"limits.connections", CONFIG_INT, "10000", 1, 1000000}, AT(limits.connections)},
    {{"limits.queue_bytes", CONFIG_SIZE, "1MiB", 4 * KIB, GIB}, AT(limits.queue_bytes)},
    {{"limits.stall", CONFIG_DURATION, "10s", SECOND / 10, DAY}, AT(limits.stall_ms)},
    {{"limits.pending_says", CONFIG_INT, "64", 1, 10000}, AT(limits.pending_says)},
    {{"limits.header_bytes", CONFIG_SIZE, "16KiB", KIB, 64 * KIB}, AT(limits.header_bytes)},
    {{"limits.json_depth", CONFIG_INT, "32", 2, 1000}, AT(limits.json_depth)},
    {{"limits.header", CONFIG_DURATION, "10s", SECOND / 10, DAY}, AT(limits.header_ms)},
    {{"limits.body", CONFIG_DURATION, "30s", SECOND / 10, DAY}, AT(limits.body_ms)},
    {{"limits.auth", CONFIG_DURATION, "10s", SECOND / 10, DAY}, AT(limits.auth_ms)},
    {{"limits.poll", CONFIG_DURATION, "30s", SECOND / 10, DAY}, AT(limits.poll_ms)},
    {{"limits.reserved_files", CONFIG_INT, "64", 16, 100000}, AT(limits.reserved_files)},
    {{"limits.connections_per_address", CONFIG_INT, "1000", 0, 1000000}, AT(limits.connections_per_address)},
    {{"limits.burst", CONFIG_DURATION, "10s", 0, 600 * SECOND}, AT(limits.burst_ms)},
    {{"limits.handshakes_per_address", CONFIG_INT, "50", 0, RATE_MAX}, AT(limits.handshakes_per_address)},
    {{"limits.requests_per_address", CONFIG_INT, "100", 0, RATE_MAX}, AT(limits.requests_per_address)},
    {{"limits.frames_per_connection", CONFIG_INT, "200", 0, RATE_MAX}, AT(limits.frames_per_connection)},
    {{"limits.says_per_connection", CONFIG_INT, "50", 0, RATE_MAX}, AT(limits.says_per_connection)},
    {{"limits.says_per_user", CONFIG_INT, "50", 0, RATE_MAX}, AT(limits.says_per_user)},
    {{"limits.says_per_address", CONFIG_INT, "500", 0, RATE_MAX}, AT(limits.says_per_address)},
    {{"limits.joins_per_connection", CONFIG_INT, "5", 0, RATE_MAX}, AT(limits.joins_per_connection)},
    {{"limits.joins_per_user", CONFIG_INT, "10", 0, RATE_MAX}, AT(limits.joins_per_user)},
    {{"limits.joins_per_address", CONFIG_INT, "100", 0, RATE_MAX}, AT(limits.joins_per_address)},
    {{"limits.exempt", CONFIG_STRING, "127.0.0.0/8, ::1", 0, 1024}, AT(limits.exempt), .check = check_networks},
    {{"limits.idle", CONFIG_DURATION, "60s", SECOND, DAY}, AT(limits.idle_ms)},
    {{"limits.dedupe", CONFIG_DURATION, "5m", 0, DAY}, AT(limits.dedupe_ms)},
    {{"limits.dedupe_entries", CONFIG_INT, "10000", 0, 1000000}, AT(limits.dedupe_entries)},
    {{"limits.replays", CONFIG_INT, "100000", 1, 10000000}, AT(limits.replays)},
    {{"limits.bans", CONFIG_INT, "100000", 1, 10000000}, AT(limits.bans)},
    {{"limits.store_wait", CONFIG_DURATION, "5s", SECOND / 10, 3600 * SECOND}, AT(limits.store_wait_ms)},
    {{"limits.plugin_bytes", CONFIG_SIZE, "64MiB", MIB, 16 * GIB}, AT(limits.plugin_bytes)},
    {{"limits.store_bytes", CONFIG_SIZE, "64MiB", MIB, 16 * GIB}, AT(limits.store_bytes)},
    {{"plugins", CONFIG_STRING, NULL, 0, 0}, .list = true},
    {{"redis.host", CONFIG_STRING, "127.0.0.1", 1, 255}, AT(redis.host), .fixed = true},
    {{"redis.port", CONFIG_INT, "6379", 1, 65535}, AT(redis.port), .fixed = true},
    {{"redis.socket", CONFIG_STRING, "", 0, 107}, AT(redis.socket), .fixed = true},
    {{"redis.servers", CONFIG_STRING, "", 0, 4096}, AT(redis.servers), .fixed = true},
    {{"redis.sentinels", CONFIG_STRING, "", 0, 4096}, AT(redis.sentinels), .fixed = true},
    {{"redis.masters", CONFIG_STRING, "", 0, 4096}, AT(redis.masters), .fixed = true},
    {{"redis.user", CONFIG_STRING, "", 0, 255}, AT(redis.user), .fixed = true},
    {{"redis.password", CONFIG_STRING, "", 0, 1024}, AT(redis.password), .fixed = true},
    {{"redis.db", CONFIG_INT, "0", 0, 10000}, AT(redis.db), .fixed = true},
    {{"redis.prefix", CONFIG_STRING, "chatup", 1, CONFIG_PREFIX_MAX}, AT(redis.prefix), .fixed = true},
    {{"redis.tls", CONFIG_BOOL, "no", 0, 0}, AT(redis.tls), .fixed = true},
    {{"redis.expire", CONFIG_DURATION, "3s", 2 * SECOND, 60 * SECOND}, AT(redis.expire_ms)},
};
/* clang-format on */

#define ROW_COUNT (sizeof rows / sizeof *rows)

static const struct row *row_find(const char *path)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (!strcmp(rows[i].option.name, path))
            return &rows[i];
    return NULL;
}

enum config_schema config_schema_find(const char *path)
{
    const struct row *row = row_find(path);
    size_t length = strlen(path);
    if (row)
        return row->list ? SCHEMA_LIST : SCHEMA_OPTION;
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (!strncmp(rows[i].option.name, path, length) && rows[i].option.name[length] == '.')
            return SCHEMA_GROUP;
    return SCHEMA_UNKNOWN;
}

/* ---- setting ---- */

static bool check_announce(const char *text, struct error *what)
{
    if (!*text || !strncmp(text, "http://", 7) || !strncmp(text, "https://", 8))
        return true;
    error_set(what, "must be a URL that begins with http:// or https://, or empty");
    return false;
}

static bool check_networks(const char *text, struct error *what)
{
    struct network networks[CONFIG_NETWORKS_MAX];
    struct text wrong;
    if (networks_parse(text, networks, CONFIG_NETWORKS_MAX, &wrong) >= 0)
        return true;
    error_set(what,
              "\"%.*s\" is no address such as 10.0.0.1 or ::1, and no network such as "
              "10.0.0.0/8; at most %d of them, separated by commas",
              (int)wrong.length, wrong.at, CONFIG_NETWORKS_MAX);
    return false;
}

/* Our strings are names, paths and header values: one line each. */
static bool check_string(const struct row *row, const char *text, struct error *what)
{
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            error_set(what, "must not contain control characters");
            return false;
        }
    }
    return !row->check || row->check(text, what);
}

static void store_string(char **field, char *text)
{
    free(*field);
    *field = text;
}

static void store_number(void *field, size_t size, int64_t number)
{
    if (size == sizeof(bool))
        *(bool *)field = number;
    else if (size == sizeof(int))
        *(int *)field = (int)number; /* the row's range fits, as for an enum */
    else
        *(int64_t *)field = number;
}

static bool row_put(const struct row *row, struct config *conf, const char *text,
                    struct error *what)
{
    void *field = (char *)conf + row->offset;
    struct config_value value;
    if (row->choices) {
        if (!config_value_choose(row->choices, text, &value.number, what))
            return false;
        if (row->size == sizeof(char *))
            store_string(field, xstrdup(text));
        else
            store_number(field, row->size, value.number);
        return true;
    }
    if (!config_value_read(&row->option, text, &value, what))
        return false;
    if (!value.text) {
        store_number(field, row->size, value.number);
        return true;
    }
    if (!check_string(row, value.text, what)) {
        free(value.text);
        return false;
    }
    store_string(field, value.text);
    return true;
}

bool config_schema_put(struct config *conf, const char *path, const char *text, struct error *what)
{
    switch (config_schema_find(path)) {
    case SCHEMA_OPTION:
        return row_put(row_find(path), conf, text, what);
    case SCHEMA_GROUP:
        error_set(what, "is a group of options, name one of them");
        return false;
    case SCHEMA_LIST:
        error_set(what, "is a list, which only the file can hold");
        return false;
    default:
        config_schema_unknown(path, what);
        return false;
    }
}

void config_schema_defaults(struct config *conf)
{
    struct error what;
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (!rows[i].list && !row_put(&rows[i], conf, rows[i].option.preset, &what))
            assert(!"a default that its own row refuses");
}

void config_schema_clear(struct config *conf)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].option.type == CONFIG_STRING && rows[i].size == sizeof(char *))
            store_string((char **)((char *)conf + rows[i].offset), NULL);
}

/* ---- comparing ---- */

static bool row_same(const struct row *row, const struct config *a, const struct config *b)
{
    const char *field = (const char *)a + row->offset, *other = (const char *)b + row->offset;
    if (row->option.type == CONFIG_STRING && row->size == sizeof(char *))
        return !strcmp(*(char *const *)field, *(char *const *)other);
    return !memcmp(field, other, row->size);
}

const char *config_schema_fixed(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].fixed && !row_same(&rows[i], a, b))
            return rows[i].option.name;
    return NULL;
}

/* ---- did you mean ---- */

/* The first parts of name, as many as path has; all of name if it has fewer. */
static struct text as_deep_as(const char *path, const char *name)
{
    size_t dots = 0, length = 0;
    for (; *path; path++)
        dots += *path == '.';
    for (; name[length]; length++)
        if (name[length] == '.' && !dots--)
            break;
    return (struct text){name, length};
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

void config_schema_unknown(const char *path, struct error *what)
{
    struct config_guess guess = config_guess_start(path);
    const char *last = last_part(path);
    size_t group = (size_t)(last - path);
    for (size_t i = 0; i < ROW_COUNT; i++)
        config_guess_try(&guess, as_deep_as(path, rows[i].option.name));
    for (size_t i = 0; i < ROW_COUNT && !guess.best.at; i++)
        if (!strcmp(last_part(rows[i].option.name), last)) /* well spelt, in the wrong group */
            guess.best = text_of(rows[i].option.name);
    if (guess.best.length > group && !strncmp(guess.best.at, path, group)) {
        guess.best.at += group; /* its neighbour: the last part says it */
        guess.best.length -= group;
    }
    config_guess_tell(&guess, what);
}
