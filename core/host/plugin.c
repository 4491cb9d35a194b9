/* Loading, in the order in which a plugin can be wrong: its file, its symbol, its table, its
 * options, and what its own create says. */
#include "plugin.h"
#include "alloc.h"
#include "chain.h"
#include "clock.h"
#include "desk.h"
#include "log.h"
#include "plugin_options.h"
#include "running.h"

#include <chatup/routes.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

enum {
    FILE_BYTES_MAX = 256 * 1024 * 1024,
    API_BYTES_MIN = offsetof(struct chatup_plugin, left) + sizeof(void *),
    API_BYTES_MAX = 4096, /* a size beyond it is not a newer table, but rubbish */
    TABLE_MAX = 256,      /* options, or routes */
    NAME_BYTES_MAX = 64,
    BUDGET_NS = 5 * 1000 * 1000, /* of one hook: longer ones hold up everybody on the loop */
    METHODS = CHATUP_GET | CHATUP_POST | CHATUP_PUT | CHATUP_DELETE,
};

/* Always false, so that a caller returns it. */
__attribute__((format(printf, 3, 4))) static bool refuse(const struct plugin *plugin,
                                                         struct error *err, const char *format, ...)
{
    char what[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    error_set(err, "plugin %s: %.400s", plugin->name, what);
    return false;
}

/* ---- its file ---- */

const char *plugin_file(const struct config *conf, size_t index, char *out, size_t size)
{
    const struct config_plugin *entry = &conf->plugins[index];
    if (entry->file)
        return entry->file;
    snprintf(out, size, "%s/%s.so", conf->plugins_dir, entry->name);
    return out;
}

/* Of all bytes that fd has, from the beginning. */
static bool hash_file(int fd, char out[65])
{
    unsigned char chunk[16 * 1024], digest[32];
    unsigned length = 0;
    ssize_t got;
    off_t at = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    while (ok && (got = pread(fd, chunk, sizeof chunk, at)) != 0) {
        ok = got > 0 && EVP_DigestUpdate(context, chunk, (size_t)got);
        at += got;
    }
    ok = ok && EVP_DigestFinal_ex(context, digest, &length) && length == sizeof digest;
    EVP_MD_CTX_free(context);
    out[0] = 0;
    for (size_t i = 0; ok && i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return ok;
}

void plugin_hash(const struct config *conf, size_t index, char out[65])
{
    char path[4096];
    int fd = open(plugin_file(conf, index, path, sizeof path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    out[0] = 0;
    if (fd < 0)
        return;
    hash_file(fd, out);
    close(fd);
}

/* A library that ends too early is mapped all the same, and kills the process at the first touch.
 */
static bool is_complete(int fd, size_t size)
{
    ElfW(Ehdr) head;
    if (size < sizeof head || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return false;
    if (head.e_phentsize != sizeof(ElfW(Phdr)))
        return true; /* of another machine: dlopen says so */
    for (size_t i = 0; i < head.e_phnum; i++) {
        ElfW(Phdr) part;
        off_t at = (off_t)(head.e_phoff + i * sizeof part);
        if (pread(fd, &part, sizeof part, at) != (ssize_t)sizeof part)
            return false;
        if (part.p_type == PT_LOAD &&
            (part.p_offset > size || part.p_filesz > size - part.p_offset))
            return false;
    }
    return true;
}

/* As this program is, which the loader would not say: it looks past files of other machines. */
static bool is_for_this_machine(int fd)
{
    ElfW(Ehdr) mine, head;
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    bool known = self >= 0 && pread(self, &mine, sizeof mine, 0) == (ssize_t)sizeof mine;
    if (self >= 0)
        close(self);
    if (!known || pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return true; /* it will be seen */
    return head.e_machine == mine.e_machine && head.e_ident[EI_CLASS] == mine.e_ident[EI_CLASS] &&
           head.e_ident[EI_DATA] == mine.e_ident[EI_DATA];
}

static bool copy_bytes(struct plugin *plugin, const char *file, int from, struct error *err)
{
    enum { CHUNK = 64 * 1024 };
    char *chunk = xmalloc(CHUNK);
    size_t size = 0;
    ssize_t got = 0, put = 0;
    while (size <= FILE_BYTES_MAX && (got = read(from, chunk, CHUNK)) > 0) {
        for (ssize_t done = 0; done < got; done += put)
            if ((put = write(plugin->copy, chunk + done, (size_t)(got - done))) <= 0)
                goto out;
        size += (size_t)got;
    }
out:
    free(chunk);
    if (got < 0 || put < 0)
        return refuse(plugin, err, "cannot copy %s: %s", file, strerror(errno));
    if (size > FILE_BYTES_MAX)
        return refuse(plugin, err, "%s is larger than 256 MiB: strip it", file);
    char magic[SELFMAG] = {0};
    if (pread(plugin->copy, magic, SELFMAG, 0) != SELFMAG || memcmp(magic, ELFMAG, SELFMAG) != 0)
        return refuse(plugin, err, "%s is no shared object: build it with -shared -fPIC", file);
    if (!is_for_this_machine(plugin->copy))
        return refuse(plugin, err, "%s is for another machine: build it for this one", file);
    if (!is_complete(plugin->copy, size))
        return refuse(plugin, err, "%s is cut short: copy it again", file);
    return true;
}

/* The copy is a file in memory: it needs no directory that is writable and allows to execute, and
 * leaves nothing behind after a crash. Its descriptor stays open, so that gdb finds it by its path,
 * and so that no other copy gets that path: dlopen would take it for this one. */
static bool copy_file(struct plugin *plugin, const char *file, struct error *err)
{
    struct stat what;
    int from =
        open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold up the start */
    if (from < 0)
        return refuse(
            plugin, err,
            "cannot read %s: %s; its place is plugins_dir/<name>.so, or what its entry in "
            "the YAML says as file",
            file, strerror(errno));
    if (fstat(from, &what) != 0 || !S_ISREG(what.st_mode)) {
        close(from);
        return refuse(plugin, err, "%s is no regular file", file);
    }
    plugin->copy = memfd_create(plugin->name, MFD_CLOEXEC | MFD_EXEC);
    if (plugin->copy < 0 && errno == EINVAL) /* Linux before 6.3 has no such flag, and no need */
        plugin->copy = memfd_create(plugin->name, MFD_CLOEXEC);
    bool ok = plugin->copy >= 0 ? copy_bytes(plugin, file, from, err)
                                : refuse(plugin, err, "cannot copy %s: %s", file, strerror(errno));
    close(from);
    snprintf(plugin->copy_path, sizeof plugin->copy_path, "/proc/%d/fd/%d", (int)getpid(),
             plugin->copy);
    if (ok)
        hash_file(plugin->copy, plugin->hash);
    return ok;
}

/* ---- its symbol ---- */

static bool open_file(struct plugin *plugin, struct error *err)
{
    typedef const struct chatup_plugin *entry(void);
    char path[4096];
    const char *file = plugin_file(plugin->conf, plugin->index, path, sizeof path);
    if (!copy_file(plugin, file, err))
        return false;
    running_set(plugin->name, "loading");
    plugin->so = dlopen(plugin->copy_path, RTLD_NOW | RTLD_LOCAL);
    running_set(NULL, NULL);
    if (!plugin->so) {
        const char *why = dlerror();
        size_t prefix = strlen(plugin->copy_path); /* means nothing to who reads it */
        if (!strncmp(why, plugin->copy_path, prefix))
            why += prefix + strspn(why + prefix, ": ");
        return refuse(plugin, err,
                      "cannot open %s: %s; it must bring all it uses (link it with -Wl,-z,defs)",
                      file, why);
    }
    entry *enter = (entry *)dlsym(plugin->so, "chatup_plugin_v1");
    if (!enter)
        return refuse(
            plugin, err,
            "%s has no function chatup_plugin_v1: it is no plugin of chatup " CHATUP_VERSION
            ", or lacks CHATUP_EXPORT",
            file);
    const struct chatup_plugin *api = enter();
    if (!api)
        return refuse(plugin, err,
                      "its chatup_plugin_v1 returned NULL: it must return a static struct");
    if (api->size < API_BYTES_MIN) /* before anything else of it is read */
        return refuse(plugin, err,
                      "built for an older chatup (its table has %" PRIu32
                      " bytes, not %d): rebuild it against " CHATUP_VERSION "'s headers",
                      api->size, (int)API_BYTES_MIN);
    if (api->size > API_BYTES_MAX)
        return refuse(plugin, err,
                      "its table claims %" PRIu32
                      " bytes: set size to sizeof (struct chatup_plugin)",
                      api->size);
    memcpy(&plugin->api, api, api->size < sizeof *api ? api->size : sizeof *api);
    return true;
}

/* ---- its table ---- */

static bool is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    return length >= 1 && length <= NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
               length;
}

enum { NESTED_MAX = 8 };

/* what: "option", "option rules[]" …: where we are in the table */
static bool check_options(const struct plugin *plugin, const struct chatup_option *options,
                          uint32_t count, const char *of, bool of_list, int depth,
                          struct error *err)
{
    if (count > TABLE_MAX || (count && !options))
        return refuse(plugin, err, "its table of options%s is missing or longer than %d", of,
                      (int)TABLE_MAX);
    if (depth > NESTED_MAX)
        return refuse(plugin, err, "its table of options%s is nested deeper than %d", of,
                      (int)NESTED_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct chatup_option *option = &options[i];
        char name[200];
        const char *called = option->name ? option->name : "item";
        if (!(of_list && !option->name) && !is_name(option->name))
            return refuse(plugin, err,
                          "its option %" PRIu32
                          "%s has no proper name: use 1 to 64 letters, digits, - and _",
                          i, of);
        if (option->type < CHATUP_BOOL || option->type > CHATUP_MAP)
            return refuse(plugin, err,
                          "its option %s has the unknown type %" PRId32
                          ": use one of enum chatup_option_type",
                          called, option->type);
        if (option->min > option->max)
            return refuse(plugin, err, "its option %s has a min above its max", called);
        if (option->type == CHATUP_ENUM && (!option->choices || !option->choices[0]))
            return refuse(plugin, err, "its option %s has no choices: set them", called);
        if (option->type == CHATUP_LIST && option->child_count != 1)
            return refuse(plugin, err, "its option %s is a list: give it one child, for its items",
                          called);
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(options[j].name, option->name))
                return refuse(plugin, err, "it has two options %s: remove one", called);
        snprintf(name, sizeof name, " of %s", called);
        if (option->type >= CHATUP_LIST &&
            !check_options(plugin, option->children, option->child_count, name,
                           option->type == CHATUP_LIST, depth + 1, err))
            return false;
    }
    return true;
}

static bool is_route_path(const char *path)
{
    if (!path || (*path && *path != '/'))
        return false;
    for (; *path; path++) /* what no path of a request has could never be called */
        if ((unsigned char)*path <= ' ' || (unsigned char)*path >= 0x7f || strchr("?#", *path))
            return false;
    return true;
}

static bool check_route(const struct plugin *plugin, uint32_t i, struct error *err)
{
    const struct chatup_route *route = &plugin->api.routes[i], *other = plugin->api.routes;
    if (!is_route_path(route->path))
        return refuse(plugin, err,
                      "the path of its route %" PRIu32
                      " must be \"\" or begin with \"/\", without spaces, ? and #",
                      i);
    if (!route->handle)
        return refuse(plugin, err, "its route /plugin/%s%s has no handle: set it", plugin->name,
                      route->path);
    if (!route->methods || route->methods & ~(uint32_t)METHODS)
        return refuse(plugin, err,
                      "its route /plugin/%s%s has the unknown methods 0x%" PRIx32
                      ": or CHATUP_GET and its like",
                      plugin->name, route->path, route->methods);
    if (route->access < CHATUP_BODY_JWT || route->access > CHATUP_BEARER_JWT)
        return refuse(plugin, err,
                      "its route /plugin/%s%s has the unknown access %" PRId32
                      ": use one of enum chatup_access",
                      plugin->name, route->path, route->access);
    if (route->access == CHATUP_PUBLIC && !plugin->conf->plugins[plugin->index].public_routes)
        return refuse(plugin, err,
                      "anyone may call its route /plugin/%s%s: allow that with "
                      "public_routes: true in its entry of the YAML, or do not load it",
                      plugin->name, route->path);
    if (route->role && (route->access != CHATUP_BEARER_JWT || !*route->role))
        return refuse(plugin, err,
                      "its route /plugin/%s%s names a role: only one with CHATUP_BEARER_JWT can, "
                      "and it must not be empty",
                      plugin->name, route->path);
    for (; other < route; other++)
        if (!strcmp(other->path, route->path) && other->methods & route->methods)
            return refuse(plugin, err,
                          "two of its routes answer the same requests to /plugin/%s%s: remove one",
                          plugin->name, route->path);
    return true;
}

static bool check_counters(const struct plugin *plugin, struct error *err)
{
    const struct chatup_plugin *api = &plugin->api;
    if (api->counter_count > TABLE_MAX || (api->counter_count && !api->counters))
        return refuse(plugin, err, "its table of counters is missing or longer than %d",
                      (int)TABLE_MAX);
    for (uint32_t i = 0; i < api->counter_count; i++) {
        const char *name = api->counters[i].name;
        size_t length = name ? strlen(name) : 0;
        if (length < 1 || length > NAME_BYTES_MAX ||
            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != length)
            return refuse(plugin, err,
                          "its counter %" PRIu32
                          " has no proper name: use 1 to 64 lower case letters, digits and _",
                          i);
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(api->counters[j].name, name))
                return refuse(plugin, err, "it has two counters %s: remove one", name);
    }
    return true;
}

static const void *service_find(const char *name)
{
    static const struct {
        const char *name;
        const void *service;
    } services[] = {{CHATUP_LOOP, &loop_service},
                    {CHATUP_STORE, &store_service},
                    {CHATUP_BUS, &bus_service},
                    {CHATUP_ROUTES, &routes_service}};
    for (size_t i = 0; name && i < sizeof services / sizeof *services; i++)
        if (!strcmp(services[i].name, name))
            return services[i].service;
    return NULL;
}

static bool check_needs(const struct plugin *plugin, struct error *err)
{
    for (size_t i = 0; plugin->api.needs && plugin->api.needs[i] && i < TABLE_MAX; i++)
        if (!service_find(plugin->api.needs[i]))
            return refuse(plugin, err,
                          "needs the service %.80s, which chatup " CHATUP_VERSION
                          " does not have: use a chatup that does, or an older plugin",
                          plugin->api.needs[i]);
    return true;
}

static bool check_table(struct plugin *plugin, struct error *err)
{
    struct chatup_plugin *api = &plugin->api;
    if (!is_name(api->name))
        return refuse(plugin, err,
                      "its table has no proper name: use 1 to 64 letters, digits, - and _");
    if (api->flags & ~(uint32_t)CHATUP_SEES_POST)
        return refuse(plugin, err,
                      "needs what chatup " CHATUP_VERSION " does not have (flags 0x%" PRIx32
                      "): use a newer chatup",
                      api->flags & ~(uint32_t)CHATUP_SEES_POST);
    if (!api->create)
        return refuse(plugin, err, "its table has no create: set it");
    if (!api->shard_open != !api->shard_close)
        return refuse(plugin, err,
                      "its table has one of shard_open and shard_close: set both or none");
    if (!check_options(plugin, api->options, api->option_count, "", false, 1, err) ||
        !check_counters(plugin, err) || !check_needs(plugin, err))
        return false;
    if (api->route_count > TABLE_MAX || (api->route_count && !api->routes))
        return refuse(plugin, err, "its table of routes is missing or longer than %d",
                      (int)TABLE_MAX);
    for (uint32_t i = 0; i < api->route_count; i++)
        if (!check_route(plugin, i, err))
            return false;
    return true;
}

/* ---- its options ---- */

static bool read_options(struct plugin *plugin, struct error *err)
{
    size_t count = plugin->api.option_count;
    struct config_option *options = plugin_options_convert(plugin->api.options, count);
    plugin->values = xcalloc(count, sizeof *plugin->values);
    bool ok = config_options(plugin->conf, plugin->index, options, count, plugin->values, err);
    if (ok)
        plugin->option_values = plugin_values_convert(plugin->values, count);
    plugin_options_free(options, count);
    return ok;
}

/* ---- what it may call ---- */

static void host_log(void *host, int32_t level, const char *text, size_t length)
{
    static const enum log_level levels[] = {
        [CHATUP_ERROR] = LOG_ERROR,
        [CHATUP_WARN] = LOG_WARN,
        [CHATUP_INFO] = LOG_INFO,
        [CHATUP_DEBUG] = LOG_DEBUG,
    };
    const struct plugin *plugin = host;
    bool known = level >= CHATUP_ERROR && level <= CHATUP_DEBUG;
    int shown = !text ? 0 : length < 900 ? (int)length : 900; /* log.c cuts at about that */
    /* Each has its own, so that one which talks much does not silence another. */
    static struct log_site sites[32];
    log_write(&sites[plugin->index % (sizeof sites / sizeof *sites)],
              known ? levels[level] : LOG_ERROR, LOG_FIELDS({"plugin", text_of(plugin->name)}),
              "%.*s", shown, text ? text : "");
}

static struct chatup_value host_option(void *host, uint32_t i)
{
    const struct plugin *plugin = host;
    if (i >= plugin->api.option_count) {
        log_event(LOG_ERROR, LOG_FIELDS({"plugin", text_of(plugin->name)}),
                  "it asked for its option %" PRIu32 ", but has only %" PRIu32, i,
                  plugin->api.option_count);
        return (struct chatup_value){0};
    }
    return plugin->option_values[i];
}

static void host_refuse(void *host, uint32_t i, const char *why, size_t length)
{
    struct plugin *plugin = host;
    plugin->refused = true;
    plugin->refused_option = i;
    if (length >= sizeof plugin->refusal)
        length = sizeof plugin->refusal - 1;
    snprintf(plugin->refusal, sizeof plugin->refusal, "%.*s", why ? (int)length : 0,
             why ? why : "");
}

static const void *host_service(void *host, const char *name)
{
    return service_find(name);
}

static void host_count(void *host, uint32_t i, uint64_t more)
{
    const struct plugin *plugin = host;
    if (i < plugin->api.counter_count)
        atomic_fetch_add_explicit(&plugin->stats->counters[i], more, memory_order_relaxed);
}

static size_t host_max_msg(void *host)
{
    const struct plugin *plugin = host;
    return atomic_load_explicit(&plugin->max_msg, memory_order_relaxed);
}

/* ---- the whole ---- */

static double tick_ns; /* set before the first hook is called */

static void tick_measure(void)
{
    tick_ns = clock_measure_tick_ns();
}

static struct plugin_stats *stats_create(const struct plugin *plugin)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, tick_measure);
    struct plugin_stats *stats = xcalloc(1, sizeof *stats + plugin->loops * sizeof *stats->hooks);
    stats->loops = plugin->loops;
    stats->counter_count = plugin->api.counter_count;
    stats->counters = xcalloc(stats->counter_count, sizeof *stats->counters);
    atomic_init(&stats->refs, 1);
    return stats;
}

static void stats_unref(struct plugin_stats *stats)
{
    if (!stats || atomic_fetch_sub(&stats->refs, 1) > 1)
        return;
    free(stats->counters);
    free(stats);
}

static bool same_counters(const struct plugin *a, const struct plugin *b)
{
    if (a->api.counter_count != b->stats->counter_count || a->loops != b->stats->loops)
        return false;
    for (uint32_t i = 0; i < a->api.counter_count; i++)
        if (strcmp(a->api.counters[i].name, b->api.counters[i].name) != 0)
            return false;
    return true;
}

static void stats_take(struct plugin *plugin, const struct plugin *before)
{
    if (before && same_counters(plugin, before)) {
        plugin->stats = before->stats;
        atomic_fetch_add(&plugin->stats->refs, 1);
    } else {
        plugin->stats = stats_create(plugin);
    }
}

static bool start(struct plugin *plugin, struct error *err)
{
    char place[sizeof err->text];
    plugin->host = (struct chatup_host){.size = sizeof plugin->host,
                                        .self = plugin,
                                        .log = host_log,
                                        .option = host_option,
                                        .refuse = host_refuse,
                                        .service = host_service,
                                        .count = host_count,
                                        .max_msg = host_max_msg};
    chain_offer(&plugin->host);
    running_set(plugin->name, "create");
    plugin->self = plugin->api.create(&plugin->host);
    running_set(NULL, NULL);
    if (plugin->self && !plugin->refused)
        return true;
    if (!plugin->refused || !*plugin->refusal)
        return refuse(plugin, err, "its create refused to start and gave no reason");
    if (plugin->refused_option >= plugin->api.option_count)
        return refuse(plugin, err, "refused to start: %s", plugin->refusal);
    config_option_place(plugin->conf, plugin->index,
                        plugin->api.options[plugin->refused_option].name, place, sizeof place);
    error_set(err, "%.220s: plugin %s: %s", place, plugin->name, plugin->refusal);
    return false;
}

static struct plugin *plugin_create(const struct config *conf, size_t index)
{
    struct plugin *plugin = xcalloc(1, sizeof *plugin);
    plugin->conf = conf;
    plugin->index = index;
    plugin->name = conf->plugins[index].name;
    plugin->on_error = conf->plugins[index].on_error;
    plugin->copy = -1;
    plugin->max_msg = (size_t)conf->limits.message_bytes;
    plugin->loops = (uint32_t)conf->threads;
    plugin->desks = xcalloc(plugin->loops, sizeof *plugin->desks);
    return plugin;
}

struct plugin *plugin_peek(const struct config *conf, size_t index, struct error *err)
{
    struct plugin *plugin = plugin_create(conf, index);
    if (open_file(plugin, err) && check_table(plugin, err))
        return plugin;
    plugin_unload(plugin);
    return NULL;
}

struct plugin *plugin_load(const struct config *conf, size_t index, const struct plugin *before,
                           struct error *err)
{
    struct plugin *plugin = plugin_peek(conf, index, err);
    if (!plugin)
        return NULL;
    if (read_options(plugin, err)) {
        stats_take(plugin, before);
        if (start(plugin, err))
            return plugin;
    }
    plugin_unload(plugin);
    return NULL;
}

void plugin_unload(struct plugin *plugin)
{
    if (!plugin)
        return;
    if (plugin->self && plugin->api.destroy) {
        running_set(plugin->name, "destroy");
        plugin->api.destroy(plugin->self);
        running_set(NULL, NULL);
    }
    plugin_values_free(plugin->option_values, plugin->api.option_count);
    if (plugin->values)
        config_values_finish(plugin->values, plugin->api.option_count);
    free(plugin->values);
    stats_unref(plugin->stats);
    free(plugin->desks);
    void *stays = NULL;
    if (plugin->so) {
        dlclose(plugin->so);
        stays = dlopen(plugin->copy_path, RTLD_NOW | RTLD_NOLOAD);
    }
    /* Thread locals of C++ and Rust keep a library mapped. Then its path must stay taken. */
    if (stays)
        dlclose(stays);
    else if (plugin->copy >= 0)
        close(plugin->copy);
    free(plugin);
}

/* ---- what it does ---- */

void plugin_fault(struct plugin *plugin, const char *where, int32_t verdict)
{
    char answer[32] = "CHATUP_FAULT";
    int64_t now = clock_mono_ms(), last = plugin->fault_logged_ms;
    atomic_fetch_add(&plugin->stats->faults, 1);
    /* Two loops at once: one wins the exchange, the other's fault is counted in a later line. */
    if ((last && now - last < 1000) ||
        !atomic_compare_exchange_strong(&plugin->fault_logged_ms, &last, now))
        return;
    uint64_t faults = plugin->stats->faults;
    uint64_t news = faults - atomic_exchange(&plugin->faults_logged, faults);
    if (verdict != CHATUP_FAULT)
        snprintf(answer, sizeof answer, "%" PRId32, verdict);
    log_event(LOG_ERROR, LOG_FIELDS({"plugin", text_of(plugin->name)}),
              "%s failed, it answered %s (faults since the last such line: %" PRIu64 ")", where,
              answer, news);
}

void plugin_switched_off(struct plugin *plugin, enum hook hook, int64_t ms)
{
    atomic_fetch_add(&plugin->stats->off, 1);
    atomic_store(&plugin->stats->off_until_ms, clock_mono_ms() + ms);
    log_event(LOG_ERROR, LOG_FIELDS({"plugin", text_of(plugin->name)}),
              "%s fails again and again: it is left out on %s for %" PRId64
              " s, and messages are %s",
              hook_name(hook), loop_name_here() ? loop_name_here() : "this loop", ms / 1000,
              plugin->on_error == ON_ERROR_OPEN ? "let pass (on_error: open)"
                                                : "refused (on_error: closed)");
}

/* One loop writes each cell: no need for what a locked addition costs. */
static void cell_add(_Atomic uint64_t *cell, uint64_t more)
{
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, now + more, memory_order_relaxed);
}

void plugin_note(struct plugin *plugin, uint32_t loop, enum hook hook, int32_t verdict,
                 int64_t ticks)
{
    int64_t ns = (int64_t)((double)ticks * tick_ns);
    struct hook_stats *stats = &plugin->stats->hooks[loop][hook];
    unsigned bucket = ns < 128 ? 0 : (unsigned)(64 - __builtin_clzll((uint64_t)ns)) - 7;
    bool known = verdict >= 0 && verdict < HOOK_VERDICTS;
    cell_add(&stats->calls, 1);
    cell_add(&stats->ns, ns > 0 ? (uint64_t)ns : 0);
    cell_add(&stats->verdicts[known ? verdict : CHATUP_FAULT], 1);
    cell_add(&stats->buckets[bucket < HOOK_BUCKETS ? bucket : HOOK_BUCKETS - 1], 1);
    if (ns <= BUDGET_NS)
        return;
    int64_t now = clock_mono_ms(), last = plugin->slow_logged_ms;
    atomic_fetch_add(&plugin->stats->slow, 1);
    if ((last && now - last < 1000) ||
        !atomic_compare_exchange_strong(&plugin->slow_logged_ms, &last, now))
        return;
    log_event(LOG_WARN, LOG_FIELDS({"plugin", text_of(plugin->name)}),
              "%s took %" PRId64 " ms: everybody on %s waited for it", hook_name(hook),
              ns / 1000000, loop_name_here() ? loop_name_here() : "this loop");
}

const char *hook_name(enum hook hook)
{
#define X(name) #name,
    static const char *const names[] = {HOOKS(X)};
#undef X
    return names[hook];
}
