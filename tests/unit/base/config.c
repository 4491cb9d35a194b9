#include "config.h"
#include "alloc.h"
#include "config_yaml.h"
#include "log.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Load what is written to path inside a new directory, so that messages begin with a short name. */
static struct config *load_bytes(const char *path, const char *bytes, size_t length,
                                 const char *const *sets, size_t set_count, struct error *err)
{
    char directory[] = "/tmp/chatup-config-XXXXXX", parent[64];
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 0, path);
    if (slash)
        ck_assert_int_eq(mkdir(parent, 0700), 0);
    FILE *file = fopen(path, "we");
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);

    struct config *conf = config_load(path, sets, set_count, err);

    ck_assert_int_eq(unlink(path), 0);
    if (slash)
        ck_assert_int_eq(rmdir(parent), 0);
    ck_assert_int_eq(fchdir(before), 0);
    ck_assert_int_eq(rmdir(directory), 0);
    close(before);
    return conf;
}

static struct config *load(const char *text)
{
    struct error err = {0};
    struct config *conf = load_bytes("chatup.yaml", text, strlen(text), NULL, 0, &err);
    ck_assert_msg(conf, "%s: %s", text, err.text);
    return conf;
}

static struct config *load_set(const char *text, const char *set)
{
    struct error err = {0};
    struct config *conf = load_bytes("chatup.yaml", text, strlen(text), &set, 1, &err);
    ck_assert_msg(conf, "%s: %s", set, err.text);
    return conf;
}

static void assert_refused_bytes(const char *bytes, size_t length, const char *message)
{
    struct error err = {0};
    ck_assert_ptr_null(load_bytes("chatup.yaml", bytes, length, NULL, 0, &err));
    ck_assert_str_eq(err.text, message);
}

static void assert_refused(const char *text, const char *message)
{
    assert_refused_bytes(text, strlen(text), message);
}

struct refusal {
    const char *text, *message;
};

static void assert_all_refused(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(refusals[i].text, refusals[i].message);
}

static void assert_set_refused(const char *set, const char *message)
{
    struct error err = {0};
    ck_assert_ptr_null(load_bytes("chatup.yaml", "", 0, &set, 1, &err));
    ck_assert_str_eq(err.text, message);
}

static void assert_same(const struct config *a, const struct config *b)
{
#define SAME_TEXT(field)   ck_assert_str_eq(a->field, b->field)
#define SAME_NUMBER(field) ck_assert_int_eq(a->field, b->field)
    SAME_TEXT(address);
    SAME_NUMBER(port);
    SAME_NUMBER(threads);
    SAME_NUMBER(io_uring);
    SAME_TEXT(announce);
    SAME_TEXT(origins);
    SAME_TEXT(data_dir);
    SAME_TEXT(client_dir);
    SAME_NUMBER(broker);
    SAME_NUMBER(durability);
    SAME_NUMBER(drain_ms);
    SAME_NUMBER(demo);
    SAME_NUMBER(supervise);
    SAME_TEXT(control);
    SAME_NUMBER(log_level);
    SAME_NUMBER(log_format);
    SAME_NUMBER(jwt.keys.count);
    SAME_TEXT(jwt.jwks);
    SAME_TEXT(jwt.audience);
    SAME_TEXT(jwt.issuer);
    SAME_NUMBER(jwt.leeway_ms);
    SAME_NUMBER(admin.keys.count);
    SAME_TEXT(admin.audience);
    SAME_NUMBER(legacy_tokens);
    SAME_NUMBER(history.size);
    SAME_NUMBER(history.bytes);
    SAME_NUMBER(history.expire_ms);
    SAME_NUMBER(rooms.flush_gap_ms);
    SAME_NUMBER(limits.message_bytes);
    SAME_NUMBER(limits.body_bytes);
    SAME_NUMBER(limits.token_bytes);
    SAME_NUMBER(limits.rooms);
    SAME_NUMBER(limits.channels);
    SAME_NUMBER(limits.connections);
    SAME_NUMBER(limits.queue_bytes);
    SAME_NUMBER(limits.stall_ms);
    SAME_NUMBER(limits.pending_says);
    SAME_NUMBER(limits.header_ms);
    SAME_NUMBER(limits.idle_ms);
    SAME_NUMBER(limits.dedupe_ms);
    SAME_NUMBER(limits.dedupe_entries);
    SAME_NUMBER(limits.store_wait_ms);
    SAME_NUMBER(limits.plugin_bytes);
    SAME_NUMBER(limits.store_bytes);
    SAME_TEXT(plugins_dir);
    SAME_NUMBER(plugin_count);
    SAME_TEXT(redis.host);
    SAME_NUMBER(redis.port);
    SAME_TEXT(redis.socket);
    SAME_TEXT(redis.servers);
    SAME_TEXT(redis.sentinels);
    SAME_TEXT(redis.masters);
    SAME_TEXT(redis.user);
    SAME_TEXT(redis.password);
    SAME_NUMBER(redis.db);
    SAME_TEXT(redis.prefix);
    SAME_NUMBER(redis.tls);
    SAME_NUMBER(redis.expire_ms);
}

/* ---- every option ---- */

/* Path, the smallest and the largest value, one below and one above, and what is said to those. */
static const struct limit {
    const char *path, *min, *max, *below, *above, *message;
} limits[] = {
    {"listen.port", "0", "65535", "-1", "65536", "must be 0 to 65535"},
    {"threads", "0", "256", "-1", "257", "must be 0 to 256"},
    {"history.size", "0", "100000", "-1", "100001", "must be 0 to 100000"},
    {"history.bytes", "0", "16GiB", NULL, "17GiB", "must be 0 to 16GiB"},
    {"history.expire", "1s", "3650d", "999ms", "3651d", "must be 1s to 3650d"},
    {"rooms.flush_gap", "0", "10s", NULL, "10001ms", "must be 0 to 10s"},
    {"limits.message_bytes", "64", "16MiB", "63", "16777217", "must be 64 to 16MiB"},
    {"limits.body_bytes", "256", "64MiB", "255", "65MiB", "must be 256 to 64MiB"},
    {"limits.token_bytes", "256", "64KiB", "255", "65KiB", "must be 256 to 64KiB"},
    {"limits.rooms", "1", "10000000", "0", "10000001", "must be 1 to 10000000"},
    {"limits.channels", "1", "10000", "0", "10001", "must be 1 to 10000"},
    {"limits.connections", "1", "1000000", "0", "1000001", "must be 1 to 1000000"},
    {"limits.queue_bytes", "4KiB", "1GiB", "4095", "1025MiB", "must be 4KiB to 1GiB"},
    {"limits.stall", "100ms", "1d", "99ms", "25h", "must be 100ms to 1d"},
    {"limits.pending_says", "1", "10000", "0", "10001", "must be 1 to 10000"},
    {"limits.header", "100ms", "1d", "0", "25h", "must be 100ms to 1d"},
    {"limits.body", "100ms", "1d", "0", "25h", "must be 100ms to 1d"},
    {"limits.auth", "100ms", "1d", "0", "25h", "must be 100ms to 1d"},
    {"limits.poll", "100ms", "1d", "0", "25h", "must be 100ms to 1d"},
    {"limits.header_bytes", "1KiB", "64KiB", "1023", "65KiB", "must be 1KiB to 64KiB"},
    {"limits.json_depth", "2", "1000", "1", "1001", "must be 2 to 1000"},
    {"limits.reserved_files", "16", "100000", "15", "100001", "must be 16 to 100000"},
    {"limits.burst", "0", "10m", NULL, "11m", "must be 0 to 10m"},
    {"limits.connections_per_address", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.handshakes_per_address", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.requests_per_address", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.frames_per_connection", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.says_per_connection", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.says_per_user", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.says_per_address", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.joins_per_connection", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.joins_per_user", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.joins_per_address", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.idle", "1s", "1d", "0", "1441m", "must be 1s to 1d"},
    {"limits.dedupe", "0", "1d", NULL, "2d", "must be 0 to 1d"},
    {"limits.dedupe_entries", "0", "1000000", "-1", "1000001", "must be 0 to 1000000"},
    {"limits.replays", "1", "10000000", "0", "10000001", "must be 1 to 10000000"},
    {"jwt.leeway", "0", "5m", NULL, "301s", "must be 0 to 5m"},
    {"limits.store_wait", "100ms", "1h", "99ms", "61m", "must be 100ms to 1h"},
    {"limits.plugin_bytes", "1MiB", "16GiB", "1023KiB", "17GiB", "must be 1MiB to 16GiB"},
    {"limits.store_bytes", "1MiB", "16GiB", "1023KiB", "17GiB", "must be 1MiB to 16GiB"},
    {"redis.port", "1", "65535", "0", "65536", "must be 1 to 65535"},
    {"drain_time", "0", "1h", NULL, "61m", "must be 0 to 1h"},
    {"redis.db", "0", "10000", "-1", "10001", "must be 0 to 10000"},
    {"redis.expire", "2s", "1m", "1999ms", "61s", "must be 2s to 1m"},
};

static const char *const texts[] = {"listen.address",
                                    "announce",
                                    "origins",
                                    "data_dir",
                                    "broker",
                                    "durability",
                                    "demo",
                                    "io_uring",
                                    "log_level",
                                    "log_format",
                                    "supervise",
                                    "control",
                                    "jwt.keys",
                                    "plugins",
                                    "redis.host",
                                    "client_dir",
                                    "redis.socket",
                                    "redis.user",
                                    "redis.password",
                                    "redis.prefix",
                                    "redis.tls",
                                    "redis.servers",
                                    "redis.sentinels",
                                    "redis.masters",
                                    "plugins_dir",
                                    "listen.proxy_protocol",
                                    "trusted_proxies",
                                    "tls.certificate",
                                    "tls.key",
                                    "limits.exempt",
                                    "channels",
                                    "jwt.jwks",
                                    "jwt.audience",
                                    "jwt.issuer",
                                    "admin.keys",
                                    "admin.audience",
                                    "legacy_tokens"};

static char *slurp(const char *path)
{
    char *text = xcalloc(1, 65536);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
    fclose(file);
    return text;
}

static bool is_named(const struct config_node *node, const char *text, const char *path)
{
    char commented[64];
    for (const char *part = path; node; part += strcspn(part, ".") + 1) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(part, "."), part);
        node = config_node_get(node, key);
        if (!part[strcspn(part, ".")])
            break;
    }
    snprintf(commented, sizeof commented, "\n# %s: /", path); /* depends on the installation */
    return node || strstr(text, commented);
}

START_TEST(the_shipped_file_says_the_defaults)
{
    struct error err = {0};
    struct config *shipped = config_load("conf/chatup.yaml", NULL, 0, &err);
    struct config *defaults = load("");
    ck_assert_msg(shipped, "%s", err.text);
    assert_same(shipped, defaults);
    ck_assert_uint_eq(shipped->jwt.keys.count, 0);
    ck_assert_uint_eq(shipped->channel_count, 0);
    ck_assert_uint_eq(shipped->plugin_count, 0);
    config_destroy(shipped);
    config_destroy(defaults);
}
END_TEST

START_TEST(the_shipped_file_names_every_option)
{
    struct error err = {0};
    char *text = slurp("conf/chatup.yaml");
    struct config_node *root = config_yaml_read("chatup.yaml", text, strlen(text), &err);
    ck_assert_msg(root, "%s", err.text);
    for (size_t i = 0; i < COUNT(limits); i++)
        ck_assert_msg(is_named(root, text, limits[i].path), "%s", limits[i].path);
    for (size_t i = 0; i < COUNT(texts); i++)
        ck_assert_msg(is_named(root, text, texts[i]), "%s", texts[i]);
    config_node_destroy(root);
    free(text);
}
END_TEST

START_TEST(an_option_takes_its_smallest_and_largest_value_and_nothing_beyond)
{
    for (size_t i = 0; i < COUNT(limits); i++) {
        const char *values[] = {limits[i].min, limits[i].max, limits[i].below, limits[i].above};
        for (size_t j = 0; j < COUNT(values); j++) {
            char set[128], message[256];
            snprintf(set, sizeof set, "%s=%s", limits[i].path, values[j] ? values[j] : "");
            snprintf(message, sizeof message, "--set %s: %s", set, limits[i].message);
            if (j < 2)
                config_destroy(load_set("", set));
            else if (values[j])
                assert_set_refused(set, message);
        }
    }
}
END_TEST

START_TEST(an_empty_file_gives_the_defaults)
{
    static const char *const empty[] = {"",           "\n",  "# nothing\n", "---\n",
                                        "---\n...\n", "~\n", "{}"};
    for (size_t i = 0; i < COUNT(empty); i++) {
        struct config *conf = load(empty[i]);
        ck_assert_str_eq(conf->path, "chatup.yaml");
        ck_assert_str_eq(conf->address, "127.0.0.1");
        ck_assert_int_eq(conf->port, 8080);
        ck_assert_int_ge(conf->threads, 1);
        ck_assert_str_eq(conf->announce, "");
        ck_assert_str_eq(conf->origins, "*");
        ck_assert_str_eq(conf->data_dir, "./chatup-data");
        ck_assert_int_eq(conf->client_dir[0], '/'); /* as installed */
        ck_assert_int_eq(conf->plugins_dir[0], '/');
        ck_assert_int_eq(conf->broker, BROKER_EMBEDDED);
        ck_assert_int_eq(conf->drain_ms, 5000);
        ck_assert_int_eq(conf->durability, DURABILITY_COMMIT);
        ck_assert(!conf->demo);
        ck_assert(conf->io_uring);
        ck_assert_int_eq(conf->log_level, LOG_INFO);
        ck_assert_int_eq(conf->log_format, LOG_TEXT);
        ck_assert_int_eq(conf->history.size, 100);
        ck_assert_int_eq(conf->history.bytes, 4 << 20);
        ck_assert_int_eq(conf->history.expire_ms, INT64_C(30) * 86400 * 1000);
        ck_assert_int_eq(conf->rooms.flush_gap_ms, 20);
        ck_assert_int_eq(conf->limits.message_bytes, 32 * 1024);
        ck_assert_int_eq(conf->limits.queue_bytes, 1024 * 1024);
        ck_assert_int_eq(conf->limits.dedupe_ms, 5 * 60 * 1000);
        ck_assert_int_eq(conf->limits.store_wait_ms, 5000);
        ck_assert_int_eq(conf->limits.store_bytes, 64 << 20);
        ck_assert_str_eq(conf->redis.host, "127.0.0.1");
        ck_assert_int_eq(conf->redis.port, 6379);
        ck_assert_str_eq(conf->redis.prefix, "chatup");
        ck_assert_int_eq(conf->redis.expire_ms, 3000);
        ck_assert_uint_eq(conf->jwt.keys.count, 0);
        ck_assert_uint_eq(conf->plugin_count, 0);
        config_destroy(conf);
    }
}
END_TEST

START_TEST(each_option_of_the_file_lands_in_its_own_field)
{
    struct config *conf = load(
        "listen: {address: '::', port: 1}\nthreads: 2\nio_uring: no\nannounce: "
        "https://chat.example.org\n"
        "origins: https://example.org\ndata_dir: /d\nclient_dir: ''\nplugins_dir: /p\n"
        "broker: redis\ndrain_time: 26s\ndurability: memory\ndemo: yes\nlog_level: "
        "debug\nlog_format: json\nsupervise: "
        "no\ncontrol: /c\nhistory: {size: 3, bytes: 3KiB, expire: 4s}\n"
        "rooms: {flush_gap: 5ms}\nlimits:\n  message_bytes: 1KiB\n  body_bytes: 2KiB\n"
        "  token_bytes: 3KiB\n  rooms: 9\n  channels: 10\n  connections: 11\n  queue_bytes: 12KiB\n"
        "  stall: 13s\n  pending_says: 14\n  header: 15s\n  idle: 16s\n  dedupe: 17s\n"
        "  dedupe_entries: 18\n  replays: 20\n  store_wait: 22s\n  store_bytes: 23MiB\n  "
        "plugin_bytes: 24MiB\nredis: "
        "{host: r, port: 19, socket: /s, servers: a, sentinels: b, masters: c, user: u, password: "
        "p, db: 3, prefix: x, tls: yes, expire: "
        "25s}\n"
        "jwt: {jwks: /j.json, audience: a, issuer: i, leeway: 21s}\n"
        "admin: {audience: b}\nlegacy_tokens: no\n");
    struct config expected = {
        .address = (char *)"::",
        .port = 1,
        .threads = 2,
        .io_uring = false,
        .announce = (char *)"https://chat.example.org",
        .origins = (char *)"https://example.org",
        .data_dir = (char *)"/d",
        .client_dir = (char *)"",
        .plugins_dir = (char *)"/p",
        .broker = BROKER_REDIS,
        .drain_ms = 26000,
        .durability = DURABILITY_MEMORY,
        .demo = true,
        .supervise = false,
        .control = (char *)"/c",
        .log_level = LOG_DEBUG,
        .log_format = LOG_JSON,
        .history = {.size = 3, .bytes = 3072, .expire_ms = 4000},
        .rooms = {5},
        .limits = {.message_bytes = 1024,
                   .body_bytes = 2048,
                   .token_bytes = 3072,
                   .rooms = 9,
                   .channels = 10,
                   .connections = 11,
                   .queue_bytes = 12288,
                   .stall_ms = 13000,
                   .pending_says = 14,
                   .header_ms = 15000,
                   .idle_ms = 16000,
                   .dedupe_ms = 17000,
                   .dedupe_entries = 18,
                   .replays = 20,
                   .store_wait_ms = 22000,
                   .store_bytes = 23 << 20,
                   .plugin_bytes = 24 << 20},
        .redis = {.host = (char *)"r",
                  .port = 19,
                  .socket = (char *)"/s",
                  .servers = (char *)"a",
                  .sentinels = (char *)"b",
                  .masters = (char *)"c",
                  .user = (char *)"u",
                  .password = (char *)"p",
                  .db = 3,
                  .prefix = (char *)"x",
                  .tls = true,
                  .expire_ms = 25000},
        .jwt = {.jwks = (char *)"/j.json",
                .audience = (char *)"a",
                .issuer = (char *)"i",
                .leeway_ms = 21000},
        .admin.audience = (char *)"b",
    };
    assert_same(conf, &expected);
    config_destroy(conf);
}
END_TEST

START_TEST(an_option_without_a_value_keeps_its_default)
{
    struct config *conf = load("listen:\nthreads: null\nannounce: ~\nhistory: {size: }\n"
                               "jwt: {keys: }\nplugins:\nlimits:\n  # idle: 1s\n");
    struct config *defaults = load("");
    assert_same(conf, defaults);
    config_destroy(conf);
    config_destroy(defaults);
}
END_TEST

START_TEST(numbers_have_units_and_booleans_have_six_words)
{
    static const struct {
        const char *text;
        int64_t expire_ms;
    } durations[] = {{"1000ms", 1000},  {"30s", 30000},     {"5m", 300000},  {"12h", 43200000},
                     {"2d", 172800000}, {"\"60s\"", 60000}, {"0060s", 60000}};
    static const struct {
        const char *text;
        bool demo;
    } booleans[] = {{"true", true},   {"yes", true}, {"on", true},
                    {"false", false}, {"no", false}, {"off", false}};
    char text[128];
    for (size_t i = 0; i < COUNT(durations); i++) {
        snprintf(text, sizeof text, "history: {expire: %s}", durations[i].text);
        struct config *conf = load(text);
        ck_assert_int_eq(conf->history.expire_ms, durations[i].expire_ms);
        config_destroy(conf);
    }
    for (size_t i = 0; i < COUNT(booleans); i++) {
        snprintf(text, sizeof text, "demo: %s", booleans[i].text);
        struct config *conf = load(text);
        ck_assert_int_eq(conf->demo, booleans[i].demo);
        config_destroy(conf);
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(a_wrong_value_is_refused_with_its_place)
{
#define DURATION_MESSAGE "must be a duration such as 500ms, 30s, 5m, 12h or 30d"
#define SIZE_MESSAGE     "must be a size such as 512, 4KiB or 1MiB"
    static const struct refusal refusals[] = {
        {"listen:\n  port: 80a", "chatup.yaml:2:3: listen.port: must be a whole number"},
        {"listen: {port: ' 80'}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: +80}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: 0x50}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: ''}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: '-'}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: 80.0}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: 18446744073709551696}",
         "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: [80]}", "chatup.yaml:1:10: listen.port: must be a whole number"},
        {"listen: {port: 65536}", "chatup.yaml:1:10: listen.port: must be 0 to 65535"},
        {"listen: 80", "chatup.yaml:1:1: listen: must be a map of options"},
        {"listen: {address: ''}", "chatup.yaml:1:10: listen.address: must not be empty"},
        {"listen: {address: {}}", "chatup.yaml:1:10: listen.address: must be a string"},
        {"origins: \"*\\r\\nX: y\"",
         "chatup.yaml:1:1: origins: must not contain control characters"},
        {"announce: example.org", "chatup.yaml:1:1: announce: must be a URL that begins with "
                                  "http:// or https://, or empty"},
        {"history: {expire: 30}", "chatup.yaml:1:11: history.expire: " DURATION_MESSAGE},
        {"history: {expire: 30 d}", "chatup.yaml:1:11: history.expire: " DURATION_MESSAGE},
        {"history: {expire: 1.5d}", "chatup.yaml:1:11: history.expire: " DURATION_MESSAGE},
        {"history: {expire: -1d}", "chatup.yaml:1:11: history.expire: " DURATION_MESSAGE},
        {"history: {expire: 30dd}", "chatup.yaml:1:11: history.expire: " DURATION_MESSAGE},
        {"history: {expire: 999999999999999d}",
         "chatup.yaml:1:11: history.expire: " DURATION_MESSAGE},
        {"limits: {idle: 0x}", "chatup.yaml:1:10: limits.idle: " DURATION_MESSAGE},
        {"limits: {body_bytes: 1KB}", "chatup.yaml:1:10: limits.body_bytes: " SIZE_MESSAGE},
        {"limits: {body_bytes: KiB}", "chatup.yaml:1:10: limits.body_bytes: " SIZE_MESSAGE},
        {"limits: {body_bytes: 9223372036854775807KiB}",
         "chatup.yaml:1:10: limits.body_bytes: " SIZE_MESSAGE},
        {"durability: none", "chatup.yaml:1:1: durability: must be commit or memory"},
        {"durability: [commit]", "chatup.yaml:1:1: durability: must be commit or memory"},
        {"log_level: trace", "chatup.yaml:1:1: log_level: must be error, warn, info or debug"},
        {"log_format: xml", "chatup.yaml:1:1: log_format: must be text or json"},
        {"demo: True", "chatup.yaml:1:1: demo: must be true or false"},
        {"demo: 1", "chatup.yaml:1:1: demo: must be true or false"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}
END_TEST

START_TEST(an_unknown_option_is_refused_with_the_nearest_name)
{
    static const struct refusal refusals[] = {
        {"limits:\n  rooms: 5\n  mesage_bytes: 1",
         "chatup.yaml:3:3: limits.mesage_bytes: unknown option, did you mean \"message_bytes\"?"},
        {"limit: {}", "chatup.yaml:1:1: limit: unknown option, did you mean \"limits\"?"},
        {"listen: {prot: 1}",
         "chatup.yaml:1:10: listen.prot: unknown option, did you mean \"port\"?"},
        {"message_bytes: 1",
         "chatup.yaml:1:1: message_bytes: unknown option, did you mean \"limits.message_bytes\"?"},
        {"jwt: {key: x}", "chatup.yaml:1:7: jwt.key: unknown option, did you mean \"keys\"?"},
        {"limits: {elephants: 1}", "chatup.yaml:1:10: limits.elephants: unknown option"},
        {"listen: {\"a\\nb\": 1}", "chatup.yaml:1:10: listen.a?b: unknown option"},
        {"'': 1", "chatup.yaml:1:1: unknown option"},
        {"listen.port: 80",
         "chatup.yaml:1:1: listen.port: dotted names are for --set, nest it in the file"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}
END_TEST

START_TEST(what_yaml_can_do_beyond_a_configuration_is_refused)
{
#define NO_ALIASES                                                                                 \
    "anchors (&), aliases (*) and tags (!) are not supported; quote a text that begins so"
    static const struct refusal refusals[] = {
        {"a: &x [1]\nb: *x", "chatup.yaml:1:4: " NO_ALIASES},
        {"origins: *", "chatup.yaml:1:11: did not find expected alphabetic or numeric character, "
                       "while scanning an alias from line 1"},
        {"origins: *x", "chatup.yaml:1:10: " NO_ALIASES},
        {"threads: !!int 3", "chatup.yaml:1:10: " NO_ALIASES},
        {"threads: 1\n---\nthreads: 2",
         "chatup.yaml:2:1: a second document (---); there must be one only"},
        {"threads: 1\ndemo: no\nthreads: 2",
         "chatup.yaml:3:1: threads: written twice, first in line 1"},
        {"listen: {port: 1, port: 1}",
         "chatup.yaml:1:19: listen.port: written twice, first in line 1"},
        {"[a, b]: 1", "chatup.yaml:1:1: a key must be a text, not a list or map"},
        {"- threads", "chatup.yaml:1:1: must be a map of options, one \"name: value\" a line"},
        {"threads", "chatup.yaml:1:1: must be a map of options, one \"name: value\" a line"},
        {"threads: [1\n",
         "chatup.yaml:2:1: did not find expected ',' or ']', while parsing a flow sequence from "
         "line 1"},
        {"threads: 1\n\tdemo: no", "chatup.yaml:2:1: found a tab character that violates "
                                   "indentation, while scanning a plain scalar from line 1"},
        {"origins: \"a\\0b\"", "chatup.yaml:1:1: origins: must not contain a NUL byte"},
        {"\"a\\0b\": 1", "chatup.yaml:1:1: a key must not contain a NUL byte"},
    };
    assert_all_refused(refusals, COUNT(refusals));
    static const char nul[] = "threads: 1\nde\0mo: no\n";
    assert_refused_bytes(nul, sizeof nul - 1,
                         "chatup.yaml:2:3: control characters are not allowed");
    assert_refused("threads: 1\n\xff\n", "chatup.yaml:2:1: invalid leading UTF-8 octet");
}
END_TEST

START_TEST(what_grows_without_bound_is_refused)
{
    size_t size = CONFIG_YAML_MAX_BYTES + 1;
    char *bytes = xmalloc(size);
    memset(bytes, '\n', size);
    assert_refused_bytes(bytes, size, "chatup.yaml: larger than 1MiB");
    struct error err = {0};
    struct config *conf = load_bytes("chatup.yaml", bytes, size - 1, NULL, 0, &err);
    ck_assert_msg(conf, "%s", err.text);
    config_destroy(conf);

    memset(bytes, '[', size);
    assert_refused_bytes(bytes, 1000, "chatup.yaml:1:17: nested too deeply");
    assert_refused_bytes(bytes, size - 1, "chatup.yaml:1:17: nested too deeply");

    for (size_t i = 0; i < size; i++)
        bytes[i] = "x,"[i % 2];
    memcpy(bytes, "a: [", 4);
    assert_refused_bytes(bytes, 200000, "chatup.yaml:1:20001: too many values in one file");

    memset(bytes, 'x', 100000);
    bytes[100000] = 0;
    setenv("BIG", bytes, 1);
    assert_refused("origins: ${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}",
                   "chatup.yaml:1:1: origins: too long with its variables filled in");
    assert_refused("jwt: {keys: ['${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}',"
                   " '${BIG}${BIG}${BIG}${BIG}${BIG}${BIG}']}",
                   "chatup.yaml:1:54: jwt.keys[1]: too long with its variables filled in");
    free(bytes);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_refused)
{
    struct error err = {0};
    ck_assert_ptr_null(config_load("/nowhere/chatup.yaml", NULL, 0, &err));
    ck_assert_str_eq(err.text, "/nowhere/chatup.yaml: cannot read: No such file or directory");
    ck_assert_ptr_null(config_load("/", NULL, 0, &err));
    ck_assert_str_eq(err.text, "/: cannot read: Is a directory");
}
END_TEST

START_TEST(a_variable_in_braces_is_filled_in_once)
{
    setenv("CHAT_1", "b${CHAT_2}", 1);
    setenv("PORT", "81", 1);
    setenv("EMPTY", "", 1);
    struct config *conf = load("origins: a${CHAT_1}c$${D} $E\nlisten: {port: \"${PORT}\"}\n"
                               "client_dir: ${EMPTY}\n");
    ck_assert_str_eq(conf->origins, "ab${CHAT_2}c${D} $E");
    ck_assert_str_eq(conf->client_dir, "");
    ck_assert_int_eq(conf->port, 81);
    config_destroy(conf);
}
END_TEST

START_TEST(a_variable_in_braces_that_is_missing_or_no_name_is_refused)
{
#define NO_NAME                                                                                    \
    "${ must be followed by a variable's name in upper case and }; write $${ for a plain ${"
    static const struct refusal refusals[] = {
        {"listen:\n  address: ${NOT_SET}",
         "chatup.yaml:2:3: listen.address: ${NOT_SET} is not set in the environment"},
        {"origins: ${home}", "chatup.yaml:1:1: origins: " NO_NAME},
        {"origins: ${1A}", "chatup.yaml:1:1: origins: " NO_NAME},
        {"origins: a${", "chatup.yaml:1:1: origins: " NO_NAME},
        {"origins: a${HOME", "chatup.yaml:1:1: origins: " NO_NAME},
        {"origins: ${HOME:-x}", "chatup.yaml:1:1: origins: " NO_NAME},
    };
    assert_all_refused(refusals, COUNT(refusals));
}
END_TEST

START_TEST(an_old_option_is_ignored_where_nothing_is_lost_by_it)
{
    struct config *conf = load("sticky: true\nnginx: {port: 42631}\nsentry: {dsn: x}\n"
                               "msgBufferDelay: 500\nexpireDelay: 2000\n"
                               "workerRefreshInterval: 2000\nredis: {host: r}\n");
    ck_assert_str_eq(conf->redis.host, "r");
    config_destroy(conf);
    static const struct refusal refusals[] = {
        {"port: 80", "chatup.yaml:1:1: port: is listen.port now"},
        {"announceSSL: true", "chatup.yaml:1:1: announceSSL: is part of announce now"},
        {"messageHistory: {size: 5}", "chatup.yaml:1:1: messageHistory: is history now"},
        {"middlewares: []", "chatup.yaml:1:1: middlewares: is the list plugins now"},
        {"ssl: {key: k}", "chatup.yaml:1:1: ssl: is tls now, with certificate and key"},
        {"tls: {key: k}", "chatup.yaml: tls.certificate and tls.key: one without the other"},
        {"trusted_proxies: 10.0.0.0/33",
         "chatup.yaml:1:1: trusted_proxies: \"10.0.0.0/33\" is no address such as 10.0.0.1 or "
         "::1, and no network such as 10.0.0.0/8; at most 64 of them, separated by commas"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}
END_TEST

/* ---- keys and plugins ---- */

START_TEST(keys_are_read_and_their_files_are_beside_the_yaml)
{
    static const char text[] = "jwt:\n  keys:\n    - {algorithm: RS256, file: a.pub}\n"
                               "    - {algorithm: ES384, file: /etc/b.pub}\n"
                               "    - {algorithm: HS256, secret: s e c, kid: k-1}\n"
                               "  jwks: set.json\n"
                               "admin:\n  keys:\n    - {algorithm: PS256, file: c.pub}\n";
    struct error err = {0};
    struct config *conf = load_bytes("etc/chatup.yaml", text, strlen(text), NULL, 0, &err);
    ck_assert_msg(conf, "%s", err.text);
    ck_assert_uint_eq(conf->jwt.keys.count, 3);
    ck_assert_str_eq(conf->jwt.keys.at[0].algorithm, "RS256");
    ck_assert_str_eq(conf->jwt.keys.at[0].file, "etc/a.pub");
    ck_assert_ptr_null(conf->jwt.keys.at[0].secret);
    ck_assert_str_eq(conf->jwt.keys.at[1].file, "/etc/b.pub");
    ck_assert_str_eq(conf->jwt.keys.at[2].secret, "s e c");
    ck_assert_ptr_null(conf->jwt.keys.at[2].file);
    ck_assert_ptr_null(conf->jwt.keys.at[1].kid);
    ck_assert_str_eq(conf->jwt.keys.at[2].kid, "k-1");
    ck_assert_str_eq(conf->jwt.jwks, "etc/set.json");
    ck_assert_uint_eq(conf->admin.keys.count, 1);
    ck_assert_str_eq(conf->admin.keys.at[0].file, "etc/c.pub");
    config_add_key(conf, "HS256", "demo/secret");
    ck_assert_uint_eq(conf->jwt.keys.count, 4);
    ck_assert_str_eq(conf->jwt.keys.at[3].file, "demo/secret");
    config_destroy(conf);
}
END_TEST

START_TEST(a_wrong_key_is_refused_with_its_place)
{
#define ALGORITHMS                                                                                 \
    "must be RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, HS256, HS384 or HS512"
    static const struct refusal refusals[] = {
        {"jwt: {keys: abc}",
         "chatup.yaml:1:7: jwt.keys: must be a list of {algorithm: …, file: …}"},
        {"jwt:\n  keys:\n  - abc", "chatup.yaml:3:5: jwt.keys[0]: must be a map that begins with "
                                   "\"algorithm: …\""},
        {"jwt:\n  keys:\n  - file: a",
         "chatup.yaml:3:5: jwt.keys[0]: algorithm is missing, for example RS256"},
        {"jwt:\n  keys:\n  - {algorithm: none, file: a}",
         "chatup.yaml:3:6: jwt.keys[0].algorithm: " ALGORITHMS},
        {"jwt:\n  keys:\n  - {algorithm: [RS256], file: a}",
         "chatup.yaml:3:6: jwt.keys[0].algorithm: " ALGORITHMS},
        {"jwt:\n  keys:\n  - algorithm: RS256",
         "chatup.yaml:3:5: jwt.keys[0]: needs one of file and secret"},
        {"jwt:\n  keys:\n  - {algorithm: RS256, file: a, secret: b}",
         "chatup.yaml:3:5: jwt.keys[0]: needs one of file and secret"},
        {"jwt:\n  keys:\n  - {algorithm: HS256, secret: ''}",
         "chatup.yaml:3:24: jwt.keys[0].secret: must be a string that is not empty"},
        {"jwt:\n  keys:\n  - {algorithm: HS256, secret: s, kid: ''}",
         "chatup.yaml:3:35: jwt.keys[0].kid: must be a string that is not empty"},
        {"admin: {keys: [{algorithm: RS256}]}",
         "chatup.yaml:1:16: admin.keys[0]: needs one of file and secret"},
        {"jwt:\n  keys:\n  - {algorithm: HS256, secrt: ''}",
         "chatup.yaml:3:24: jwt.keys[0].secrt: unknown option, did you mean \"secret\"?"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}
END_TEST

START_TEST(plugins_are_read_in_order)
{
    struct config *conf = load("plugins:\n  - name: blacklist\n"
                               "  - {name: my_Filter-2, file: x.so, on_error: open, "
                               "public_routes: true, config: {a: b}}\n");
    ck_assert_uint_eq(conf->plugin_count, 2);
    ck_assert_str_eq(conf->plugins[0].name, "blacklist");
    ck_assert_ptr_null(conf->plugins[0].file);
    ck_assert_int_eq(conf->plugins[0].on_error, ON_ERROR_CLOSED);
    ck_assert(!conf->plugins[0].public_routes);
    ck_assert_ptr_null(conf->plugins[0].config);
    ck_assert_str_eq(conf->plugins[1].name, "my_Filter-2");
    ck_assert_str_eq(conf->plugins[1].file, "x.so");
    ck_assert_int_eq(conf->plugins[1].on_error, ON_ERROR_OPEN);
    ck_assert(conf->plugins[1].public_routes);
    ck_assert_ptr_nonnull(conf->plugins[1].config);
    config_destroy(conf);
}
END_TEST

START_TEST(a_wrong_plugin_is_refused_with_its_place)
{
#define NAME_MESSAGE "must be 1 to 64 letters, digits, - and _"
    static const struct refusal refusals[] = {
        {"plugins: {name: a}", "chatup.yaml:1:1: plugins: must be a list of {name: …, config: …}"},
        {"plugins: [a]",
         "chatup.yaml:1:11: plugins[0]: must be a map that begins with \"name: …\""},
        {"plugins: [{file: a}]", "chatup.yaml:1:11: plugins[0]: name is missing"},
        {"plugins: [{name: ''}]", "chatup.yaml:1:12: plugins[0].name: " NAME_MESSAGE},
        {"plugins: [{name: ../a}]", "chatup.yaml:1:12: plugins[0].name: " NAME_MESSAGE},
        {"plugins: [{name: [a]}]", "chatup.yaml:1:12: plugins[0].name: " NAME_MESSAGE},
        {"plugins: [{name: "
         "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg}]",
         "chatup.yaml:1:12: plugins[0].name: " NAME_MESSAGE},
        {"plugins:\n  - name: a\n  - name: b\n  - name: a\n",
         "chatup.yaml:4:5: plugins[2]: the name \"a\" is taken by plugins[0] at chatup.yaml:2:5"},
        {"plugins: [{name: a, file: ''}]",
         "chatup.yaml:1:21: plugins[0].file: must be a string that is not empty"},
        {"plugins: [{name: a, on_error: ignore}]",
         "chatup.yaml:1:21: plugins[0].on_error: must be closed or open"},
        {"plugins: [{name: a, public_routes: maybe}]",
         "chatup.yaml:1:21: plugins[0].public_routes: must be true or false"},
        {"plugins: [{name: a, config: [b]}]",
         "chatup.yaml:1:21: plugins[0].config: must be a map of the plugin's options"},
        {"plugins: [{name: a, confg: {}}]",
         "chatup.yaml:1:21: plugins[0].confg: unknown option, did you mean \"config\"?"},
    };
    assert_all_refused(refusals, COUNT(refusals));
}
END_TEST

/* ---- options of a plugin ---- */

static const struct config_option plugin_options[] = {
    {"rules", CONFIG_STRING, NULL, 0, 0},     {"count", CONFIG_INT, "15", 1, INT64_MAX},
    {"window", CONFIG_DURATION, "30s", 0, 0}, {"room", CONFIG_SIZE, "4KiB", 1, 8192},
    {"strict", CONFIG_BOOL, "yes", 0, 0},     {"title", CONFIG_STRING, "", 0, 8},
};

START_TEST(options_of_a_plugin_are_checked_against_its_table)
{
    struct config_value values[COUNT(plugin_options)];
    struct error err = {0};
    struct config *conf =
        load("plugins: [{name: a}, {name: b, config: {rules: x, count: 16, strict: off}}]");
    ck_assert_msg(config_options(conf, 1, plugin_options, COUNT(plugin_options), values, &err),
                  "%s", err.text);
    ck_assert_str_eq(values[0].text, "x");
    ck_assert_int_eq(values[1].number, 16);
    ck_assert_int_eq(values[2].number, 30000);
    ck_assert_int_eq(values[3].number, 4096);
    ck_assert_int_eq(values[4].number, 0);
    ck_assert_ptr_null(values[4].text);
    ck_assert_str_eq(values[5].text, "");
    free(values[0].text);
    free(values[5].text);
    ck_assert(config_options(conf, 0, NULL, 0, NULL, &err));
    config_destroy(conf);
}
END_TEST

START_TEST(a_wrong_option_of_a_plugin_is_refused_and_values_stay_untouched)
{
    static const struct refusal refusals[] = {
        {"{ruls: x}",
         "chatup.yaml:3:14: plugins[1].config.ruls: unknown option, did you mean \"rules\"?"},
        {"{rules: [x]}", "chatup.yaml:3:14: plugins[1].config.rules: must be a string"},
        {"{rules: {x: y}}", "chatup.yaml:3:14: plugins[1].config.rules: must be a string"},
        {"{rules: x, count: 0}", "chatup.yaml:3:24: plugins[1].config.count: must be at least 1"},
        {"{rules: x, count: [1]}",
         "chatup.yaml:3:24: plugins[1].config.count: must be a whole number"},
        {"{rules: x, room: 8193}", "chatup.yaml:3:24: plugins[1].config.room: must be 1 to 8KiB"},
        {"{rules: x, title: 123456789}",
         "chatup.yaml:3:24: plugins[1].config.title: must be 0 to 8 bytes long"},
        {"{rules: x, strict: maybe}",
         "chatup.yaml:3:24: plugins[1].config.strict: must be true or false"},
        {"{count: 1}",
         "chatup.yaml:2:14: plugins[1].config.rules: is missing, the plugin needs it"},
        {"{rules: }", "chatup.yaml:3:14: plugins[1].config.rules: is missing, the plugin needs it"},
        {"", "chatup.yaml:2:14: plugins[1].config.rules: is missing, the plugin needs it"},
    };
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct config_value values[COUNT(plugin_options)] = {{.number = 77}};
        struct error err = {0};
        char text[256];
        snprintf(text, sizeof text,
                 "plugins: [{name: a},\n             {name: b,\n    config: %s}]",
                 refusals[i].text);
        struct config *conf = load(text);
        ck_assert(!config_options(conf, 1, plugin_options, COUNT(plugin_options), values, &err));
        ck_assert_str_eq(err.text, refusals[i].message);
        ck_assert_int_eq(values[0].number, 77);
        ck_assert_ptr_null(values[0].text);
        config_destroy(conf);
    }
}
END_TEST

START_TEST(a_default_that_its_plugin_got_wrong_is_refused)
{
    static const struct config_option wrong[] = {{"count", CONFIG_INT, "many", 0, 0}};
    struct config_value value;
    struct error err = {0};
    struct config *conf = load("plugins: [{name: a}]");
    ck_assert(!config_options(conf, 0, wrong, 1, &value, &err));
    ck_assert_str_eq(err.text,
                     "chatup.yaml:1:11: plugins[0].config.count: the plugin's own default "
                     "is wrong: it must be a whole number");
    config_destroy(conf);
}
END_TEST

START_TEST(the_place_of_an_option_is_its_line_or_that_of_its_plugin)
{
    char place[128];
    struct config *conf = load("plugins:\n  - name: a\n    config:\n      rules: x\n");
    config_option_place(conf, 0, "rules", place, sizeof place);
    ck_assert_str_eq(place, "chatup.yaml:4:7: plugins[0].config.rules");
    config_option_place(conf, 0, "count", place, sizeof place);
    ck_assert_str_eq(place, "chatup.yaml:2:5: plugins[0].config.count");
    config_option_place(conf, 0, "rules", place, 8);
    ck_assert_str_eq(place, "chatup.");
    config_destroy(conf);
}
END_TEST

START_TEST(a_plugin_can_be_added_to_those_of_the_file)
{
    static const char *const files[] = {"", "plugins:\n", "plugins: []\n",
                                        "plugins: [{name: a}]\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct config_value values[COUNT(plugin_options)];
        struct error err = {0};
        struct config *conf = load(files[i]);
        size_t before = conf->plugin_count;
        ck_assert_msg(config_add_plugin(conf, "demo", true, "rules: x\ncount: 7\n", &err), "%s",
                      err.text);
        ck_assert(config_add_plugin(conf, "bare", false, NULL, &err));
        ck_assert_uint_eq(conf->plugin_count, before + 2);
        ck_assert_str_eq(conf->plugins[before].name, "demo");
        ck_assert(conf->plugins[before].public_routes);
        ck_assert(
            config_options(conf, before, plugin_options, COUNT(plugin_options), values, &err));
        ck_assert_int_eq(values[1].number, 7);
        free(values[0].text);
        free(values[5].text);

        char place[128], expected[128];
        snprintf(expected, sizeof expected, "options of plugin demo:2:1: plugins[%zu].config.count",
                 before);
        config_option_place(conf, before, "count", place, sizeof place);
        ck_assert_str_eq(place, expected);
        config_destroy(conf);
    }
}
END_TEST

START_TEST(a_plugin_that_cannot_be_added_leaves_the_list_as_it_was)
{
    struct error err = {0};
    struct config *conf = load("plugins: [{name: a}]");
    ck_assert(!config_add_plugin(conf, "a", false, "x: 1", &err));
    ck_assert_str_eq(err.text, "options of plugin a:1:1: the name \"a\" is taken by plugins[0] at "
                               "chatup.yaml:1:11");
    ck_assert(!config_add_plugin(conf, "b", false, "x: [", &err));
    ck_assert_str_eq(err.text, "options of plugin b:2:1: did not find expected node content, while "
                               "parsing a flow node from line 2");
    ck_assert(!config_add_plugin(conf, "b/c", false, NULL, &err));
    ck_assert_str_eq(err.text, "plugin \"b/c\": a name is 1 to 64 letters, digits, - and _");
    ck_assert_uint_eq(conf->plugin_count, 1);
    config_destroy(conf);
}
END_TEST

/* ---- --set, and the variables of the original ---- */

START_TEST(a_set_wins_over_a_variable_and_a_variable_over_the_file)
{
    struct config *conf = load("listen: {port: 1}");
    ck_assert_int_eq(conf->port, 1);
    config_destroy(conf);
    setenv("CHATUP_PORT", "2", 1);
    conf = load("listen: {port: 1}");
    ck_assert_int_eq(conf->port, 2);
    config_destroy(conf);
    conf = load_set("listen: {port: 1}", "listen.port=3");
    ck_assert_int_eq(conf->port, 3);
    config_destroy(conf);
}
END_TEST

START_TEST(a_set_is_taken_literally_and_may_hold_an_equals_sign)
{
    struct config *conf = load_set("", "announce=http://${X}/?a=b");
    ck_assert_str_eq(conf->announce, "http://${X}/?a=b");
    config_destroy(conf);
    conf = load_set("announce: http://a", "announce=");
    ck_assert_str_eq(conf->announce, "");
    config_destroy(conf);
}
END_TEST

START_TEST(a_wrong_set_is_refused_with_what_was_written)
{
    static const struct refusal refusals[] = {
        {"listen.port=abc", "--set listen.port=abc: must be a whole number"},
        {"listen.port=", "--set listen.port=: must be a whole number"},
        {"listen.port", "--set listen.port: must look like listen.port=8080"},
        {"=1", "--set =1: must look like listen.port=8080"},
        {"listen.prot=1", "--set listen.prot=1: unknown option, did you mean \"port\"?"},
        {"lisen.port=1", "--set lisen.port=1: unknown option, did you mean \"listen.port\"?"},
        {"port=1", "--set port=1: unknown option, did you mean \"listen.port\"?"},
        {"listen=1", "--set listen=1: is a group of options, name one of them"},
        {"plugins=a", "--set plugins=a: is a list, which only the file can hold"},
        {"jwt.keys=a", "--set jwt.keys=a: is a list, which only the file can hold"},
        {"jwt.keys[0].secret=a", "--set jwt.keys[0].secret=a: unknown option"},
    };
    for (size_t i = 0; i < COUNT(refusals); i++)
        assert_set_refused(refusals[i].text, refusals[i].message);
}
END_TEST

START_TEST(the_variables_of_the_original_set_their_options)
{
    setenv("CHATUP_PORT", "80", 1);
    setenv("CHATUP_ORIGINS", "https://example.org", 1);
    setenv("CHATUP_THREADS", "3", 1);
    setenv("CHATUP_MESSAGEHISTORYSIZE", "50", 1);
    setenv("CHATUP_MESSAGEHISTORYEXPIRE", "86400", 1);
    setenv("CHATUP_REDISHOST", "redis", 1);
    setenv("CHATUP_REDISPORT", "6380", 1);
    setenv("CHATUP_STICKY", "true", 1);
    setenv("CHATUP_SENTRYDSN", "https://sentry", 1);
    setenv("CHATUP_SSLKEY", "", 1);
    struct config *conf = load("");
    ck_assert_int_eq(conf->port, 80);
    ck_assert_str_eq(conf->origins, "https://example.org");
    ck_assert_int_eq(conf->threads, 3);
    ck_assert_int_eq(conf->history.size, 50);
    ck_assert_int_eq(conf->history.expire_ms, 86400000);
    ck_assert_str_eq(conf->redis.host, "redis");
    ck_assert_int_eq(conf->redis.port, 6380);
    config_destroy(conf);
}
END_TEST

START_TEST(a_wrong_variable_is_refused_by_its_name)
{
    static const struct {
        const char *name, *value, *message;
    } refusals[] = {
        {"CHATUP_PORT", "99999", "CHATUP_PORT: 99999: must be 0 to 65535"},
        {"CHATUP_THREADS", "four", "CHATUP_THREADS: four: must be a whole number"},
        {"CHATUP_REDISPORT", "0", "CHATUP_REDISPORT: 0: must be 1 to 65535"},
        {"CHATUP_MESSAGEHISTORYSIZE", "1e3",
         "CHATUP_MESSAGEHISTORYSIZE: 1e3: must be a whole number"},
        {"CHATUP_MESSAGEHISTORYEXPIRE", "5m",
         "CHATUP_MESSAGEHISTORYEXPIRE: 5m: must be a whole number of seconds"},
        {"CHATUP_MESSAGEHISTORYEXPIRE", "0", "CHATUP_MESSAGEHISTORYEXPIRE: 0: must be 1s to 3650d"},
        {"CHATUP_HOSTNAME", "http://a",
         "CHATUP_HOSTNAME: http://a: must be a name or address, without http:// or path"},
        {"CHATUP_ANNOUCEDPORT", "0", "CHATUP_ANNOUCEDPORT: 0: must be 1 to 65535"},
        {"CHATUP_ANNOUNCEDPORT", "x", "CHATUP_ANNOUNCEDPORT: x: must be a whole number"},
        {"CHATUP_ANNOUNCESSL", "2", "CHATUP_ANNOUNCESSL: 2: must be true or false"},
        {"CHATUP_JWTKEY", "/nowhere/secret",
         "CHATUP_JWTKEY: must be a PEM public key (-----BEGIN …) or a file that exists"},
    };
    for (size_t i = 0; i < COUNT(refusals); i++) {
        setenv(refusals[i].name, refusals[i].value, 1);
        assert_refused("", refusals[i].message);
        unsetenv(refusals[i].name);
    }
}
END_TEST

START_TEST(hostname_and_its_companions_become_the_announced_url)
{
    static const struct {
        const char *host, *port, *old_port, *tls, *announce;
    } cases[] = {
        {"chat.example.org", "", "", "", "http://chat.example.org"},
        {"chat.example.org", "", "8000", "false", "http://chat.example.org:8000"},
        {"chat.example.org", "443", "", "true", "https://chat.example.org:443"},
        {"[::1]", "8001", "8000", "", "http://[::1]:8001"},
        {"", "8001", "", "true", "http://of-the-file"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        setenv("CHATUP_HOSTNAME", cases[i].host, 1);
        setenv("CHATUP_ANNOUNCEDPORT", cases[i].port, 1);
        setenv("CHATUP_ANNOUCEDPORT", cases[i].old_port, 1);
        setenv("CHATUP_ANNOUNCESSL", cases[i].tls, 1);
        struct config *conf = load("announce: http://of-the-file");
        ck_assert_str_eq(conf->announce, cases[i].announce);
        config_destroy(conf);
    }
}
END_TEST

START_TEST(the_key_in_a_variable_replaces_those_of_the_file)
{
    static const char file[] = "jwt: {keys: [{algorithm: HS256, secret: s}, "
                               "{algorithm: HS256, secret: t}]}";
    setenv("CHATUP_JWTKEY", "-----BEGIN PUBLIC KEY-----\\nMII\\n-----END PUBLIC KEY-----\\n", 1);
    struct config *conf = load(file);
    ck_assert_uint_eq(conf->jwt.keys.count, 1);
    ck_assert_str_eq(conf->jwt.keys.at[0].algorithm, "RS256");
    ck_assert_str_eq(conf->jwt.keys.at[0].secret,
                     "-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----\n");
    ck_assert_ptr_null(conf->jwt.keys.at[0].file);
    config_destroy(conf);

    setenv("CHATUP_JWTKEY", "/proc/self/exe", 1);
    conf = load(file);
    ck_assert_uint_eq(conf->jwt.keys.count, 1);
    ck_assert_str_eq(conf->jwt.keys.at[0].file, "/proc/self/exe");
    ck_assert_ptr_null(conf->jwt.keys.at[0].secret);
    config_destroy(conf);
}
END_TEST

UNIT_MAIN("config", the_shipped_file_says_the_defaults, the_shipped_file_names_every_option,
          an_option_takes_its_smallest_and_largest_value_and_nothing_beyond,
          an_empty_file_gives_the_defaults, each_option_of_the_file_lands_in_its_own_field,
          an_option_without_a_value_keeps_its_default,
          numbers_have_units_and_booleans_have_six_words, a_wrong_value_is_refused_with_its_place,
          an_unknown_option_is_refused_with_the_nearest_name,
          what_yaml_can_do_beyond_a_configuration_is_refused, what_grows_without_bound_is_refused,
          a_file_that_cannot_be_read_is_refused, a_variable_in_braces_is_filled_in_once,
          a_variable_in_braces_that_is_missing_or_no_name_is_refused,
          an_old_option_is_ignored_where_nothing_is_lost_by_it,
          keys_are_read_and_their_files_are_beside_the_yaml, a_wrong_key_is_refused_with_its_place,
          plugins_are_read_in_order, a_wrong_plugin_is_refused_with_its_place,
          options_of_a_plugin_are_checked_against_its_table,
          a_wrong_option_of_a_plugin_is_refused_and_values_stay_untouched,
          a_default_that_its_plugin_got_wrong_is_refused,
          the_place_of_an_option_is_its_line_or_that_of_its_plugin,
          a_plugin_can_be_added_to_those_of_the_file,
          a_plugin_that_cannot_be_added_leaves_the_list_as_it_was,
          a_set_wins_over_a_variable_and_a_variable_over_the_file,
          a_set_is_taken_literally_and_may_hold_an_equals_sign,
          a_wrong_set_is_refused_with_what_was_written,
          the_variables_of_the_original_set_their_options, a_wrong_variable_is_refused_by_its_name,
          hostname_and_its_companions_become_the_announced_url,
          the_key_in_a_variable_replaces_those_of_the_file)
