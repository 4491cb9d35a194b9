/* From open to close: generations of the plugin, and what it may call in create. */
#include "parts.h"

#include <dlfcn.h>
#include <jansson.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- what was kept and noted ---- */

void *keep(struct chatup_test *test, void *result)
{
    if (!(test->kept_count & (test->kept_count - 1))) /* full at each power of two */
        test->kept = xrealloc(test->kept, (2 * test->kept_count + 1) * sizeof *test->kept);
    test->kept[test->kept_count++] = result;
    return result;
}

/* [any thread] */
static void log_va(struct chatup_test *test, const char *prefix, const char *format, va_list args)
{
    char line[5000];
    int length = snprintf(line, sizeof line, "%s", prefix);
    vsnprintf(line + length, sizeof line - (size_t)length - 1, format, args);
    strcat(line, "\n");
    pthread_mutex_lock(&test->lock);
    test->log = xrealloc(test->log, test->log_length + strlen(line) + 1);
    strcpy(test->log + test->log_length, line);
    test->log_length += strlen(line);
    pthread_mutex_unlock(&test->lock);
}

void log_line(struct chatup_test *test, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_va(test, "", format, args);
    va_end(args);
}

void mistake(struct chatup_test *test, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_va(test, "mistake: ", format, args);
    va_end(args);
    pthread_mutex_lock(&test->lock);
    test->mistakes++;
    pthread_mutex_unlock(&test->lock);
}

void late(struct chatup_test *test)
{
    pthread_mutex_lock(&test->lock);
    test->late++;
    pthread_mutex_unlock(&test->lock);
}

const char *chatup_test_log(struct chatup_test *test)
{
    pthread_mutex_lock(&test->lock);
    free(test->lent_log);
    test->lent_log = xstrdup(test->log ? test->log : "");
    pthread_mutex_unlock(&test->lock);
    return test->lent_log;
}

uint32_t chatup_test_mistakes(struct chatup_test *test)
{
    pthread_mutex_lock(&test->lock);
    uint32_t mistakes = test->mistakes;
    pthread_mutex_unlock(&test->lock);
    return mistakes;
}

uint32_t chatup_test_late(struct chatup_test *test)
{
    pthread_mutex_lock(&test->lock);
    uint32_t count = test->late;
    pthread_mutex_unlock(&test->lock);
    return count;
}

/* ---- calls of the plugin, and by it ---- */

struct shard *enter(struct shard *shard)
{
    struct chatup_test *test = shard->generation->test;
    struct shard *before = test->running;
    test->running = shard;
    return before;
}

void leave(struct chatup_test *test, struct shard *before)
{
    test->running = before;
}

bool is_here(const struct shard *shard, const char *call)
{
    struct chatup_test *test = shard->generation->test;
    if (!pthread_equal(test->thread, pthread_self()))
        mistake(test, "%s: called from another thread", call);
    else if (test->running != shard)
        mistake(test, "%s: called for loop %u from %s", call, (unsigned)shard->loop.index,
                test->running ? "another loop" : "nowhere");
    else
        return true;
    return false;
}

bool is_utf8(const char *at, size_t length)
{
    json_t *string = json_stringn(at ? at : "", at ? length : 0);
    bool is = string && (at || !length);
    json_decref(string);
    return is;
}

bool is_object(const char *json, size_t length)
{
    json_t *object =
        json && length <= REPLY_BYTES_MAX ? json_loadb(json, length, JSON_ALLOW_NUL, NULL) : NULL;
    bool is = json_is_object(object);
    json_decref(object);
    return is;
}

/* ---- what it may call always, or in create ---- */

static void host_log(void *host, int32_t level, const char *text, size_t length)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct generation *generation = host;
    struct chatup_text what = {text, text ? length : 0};
    bool known = level >= CHATUP_ERROR && level <= CHATUP_DEBUG;
    log_line(generation->test, "log %s %.*s", known ? names[level] : "error", SHOWN(what));
    if (!known)
        mistake(generation->test, "log: level %d is none of enum chatup_log_level", (int)level);
}

static void host_count(void *host, uint32_t i, uint64_t more)
{
    struct generation *generation = host;
    struct chatup_test *test = generation->test;
    if (i >= generation->api.counter_count) {
        mistake(test, "count: there is no counter %u", (unsigned)i);
        return;
    }
    pthread_mutex_lock(&test->lock);
    test->counts[i] += more;
    pthread_mutex_unlock(&test->lock);
}

uint64_t chatup_test_count(struct chatup_test *test, const char *counter)
{
    for (size_t i = 0; i < test->counter_count; i++) {
        if (strcmp(test->counter_names[i], counter) != 0)
            continue;
        pthread_mutex_lock(&test->lock);
        uint64_t count = test->counts[i];
        pthread_mutex_unlock(&test->lock);
        return count;
    }
    return 0;
}

static size_t host_max_msg(void *host)
{
    (void)host;
    return MESSAGE_BYTES_MAX;
}

static bool in_create(const struct generation *generation, const char *call)
{
    if (!generation->creating)
        mistake(generation->test, "%s: only create may call it", call);
    return generation->creating;
}

static struct chatup_value host_option(void *host, uint32_t i)
{
    struct generation *generation = host;
    if (in_create(generation, "option") && i < generation->api.option_count)
        return options_get(generation->options, i);
    if (i >= generation->api.option_count)
        mistake(generation->test, "option: there is no option %u", (unsigned)i);
    return (struct chatup_value){0};
}

static void host_refuse(void *host, uint32_t i, const char *why, size_t length)
{
    struct generation *generation = host;
    struct chatup_text reason = {why, why ? length : 0};
    char place[400] = "", text[1500];
    if (!in_create(generation, "refuse"))
        return;
    if (i < generation->api.option_count)
        options_place(generation->options, i, place, sizeof place);
    snprintf(text, sizeof text, "%s%s%.*s", place, *place ? ": " : "", SHOWN(reason));
    free(generation->refusal);
    generation->refusal = xstrdup(text);
}

static const void *service_find(const char *name)
{
    static const struct {
        const char *name;
        const void *table;
    } services[] = {
        {CHATUP_LOOP, &test_loop_service},
        {CHATUP_STORE, &test_store_service},
        {CHATUP_BUS, &test_bus_service},
        {CHATUP_ROUTES, &test_routes_service},
    };
    for (size_t i = 0; name && i < sizeof services / sizeof *services; i++)
        if (!strcmp(services[i].name, name))
            return services[i].table;
    return NULL;
}

static const void *host_service(void *host, const char *name)
{
    return in_create(host, "service") ? service_find(name) : NULL;
}

/* ---- one generation ---- */

static bool api_check(const struct generation *generation, struct error *err)
{
    const struct chatup_plugin *api = &generation->api;
    if (!api->name || !*api->name || !api->create)
        error_set(err, "the plugin's table has no name, or no create");
    else if (!api->shard_open != !api->shard_close)
        error_set(err, "the plugin's table has one of shard_open and shard_close");
    else if (api->flags & ~(uint32_t)CHATUP_SEES_POST)
        error_set(err, "the plugin's table has flags that are not known");
    else if (api->counter_count > 256 || (api->counter_count && !api->counters))
        error_set(err, "the plugin's table of counters is missing or longer than 256");
    else if (api->route_count > 256 || (api->route_count && !api->routes))
        error_set(err, "the plugin's table of routes is missing or longer than 256");
    for (const char *const *need = api->needs; need && *need && !err->text[0]; need++)
        if (!service_find(*need))
            error_set(err, "the plugin needs the service %s, which is not known", *need);
    return !err->text[0];
}

static bool api_take(struct generation *generation, const struct chatup_plugin *api,
                     struct error *err)
{
    enum { SIZE_MIN = offsetof(struct chatup_plugin, create) + sizeof(void *) };
    if (!api || api->size < SIZE_MIN) {
        error_set(err, "the plugin's table is NULL, or its size is not set");
        return false;
    }
    memcpy(&generation->api, api, api->size < sizeof *api ? api->size : sizeof *api);
    return api_check(generation, err);
}

static bool create(struct generation *generation, struct error *err)
{
    generation->host = (struct chatup_host){.size = sizeof generation->host,
                                            .self = generation,
                                            .log = host_log,
                                            .option = host_option,
                                            .refuse = host_refuse,
                                            .service = host_service,
                                            .count = host_count,
                                            .max_msg = host_max_msg};
    hooks_offer(&generation->host);
    generation->creating = true;
    generation->it = generation->api.create(&generation->host);
    generation->creating = false;
    if (!generation->it)
        error_set(err, "%.500s",
                  generation->refusal ? generation->refusal : "create returned NULL");
    return generation->it != NULL;
}

static bool shards_open(struct generation *generation, struct error *err)
{
    struct chatup_test *test = generation->test;
    for (uint32_t i = 0; i < test->loops; i++) {
        struct shard *shard = &generation->shards[i];
        struct shard *before = enter(shard);
        shard->open = true;
        shard->it = generation->api.shard_open
                        ? generation->api.shard_open(generation->it, &shard->loop)
                        : generation->it;
        leave(test, before);
        if (!shard->it) {
            shard->open = false;
            error_set(err, "shard_open returned NULL");
            return false;
        }
    }
    return true;
}

static void shard_close(struct shard *shard)
{
    struct generation *generation = shard->generation;
    struct shard *before = enter(shard);
    if (shard->open) {
        tasks_cancel(shard);
        if (generation->api.shard_close)
            generation->api.shard_close(shard->it);
    }
    shard->open = false;
    fds_forget(shard);
    tasks_cancel(shard); /* what its threads have posted at the last moment */
    watches_forget(shard);
    leave(generation->test, before);
}

static void generation_close(struct generation *generation)
{
    struct chatup_test *test = generation->test;
    for (uint32_t i = 0; i < test->loops; i++) {
        struct shard *shard = &generation->shards[i];
        struct shard *before = enter(shard);
        if (shard->open && generation->api.drain)
            generation->api.drain(shard->it);
        leave(test, before);
    }
    chatup_test_run(test);
    for (uint32_t i = 0; i < test->loops; i++)
        shard_close(&generation->shards[i]);
    for (uint32_t i = 0; i < test->loops; i++)
        tasks_cancel(&generation->shards[i]);
    if (generation->it && generation->api.destroy)
        generation->api.destroy(generation->it);
    options_destroy(generation->options);
    if (generation->so)
        dlclose(generation->so);
    free(generation->refusal);
    free(generation->shards);
    free(generation);
}

/* state: of the generation before; absent: none */
static struct generation *generation_open(struct chatup_test *test, void *so,
                                          const struct chatup_plugin *api, const char *yaml,
                                          struct chatup_text state, struct error *err)
{
    struct generation *generation = xcalloc(1, sizeof *generation);
    generation->test = test;
    generation->so = so;
    generation->shards = xcalloc(test->loops, sizeof *generation->shards);
    for (uint32_t i = 0; i < test->loops; i++) {
        struct shard *shard = &generation->shards[i];
        shard->generation = generation;
        shard->loop = (struct chatup_loop){sizeof shard->loop, i, test->loops, shard};
    }
    bool ok = api_take(generation, api, err) &&
              (generation->options = options_read(&generation->api, yaml, err)) &&
              create(generation, err);
    if (ok && state.at && generation->api.state_load)
        generation->api.state_load(generation->it, state);
    if (ok && shards_open(generation, err))
        return generation;
    generation_close(generation);
    return NULL;
}

/* ---- the whole ---- */

/* The counters' names outlive the plugin. */
static void note_counters(struct chatup_test *test, const struct chatup_plugin *api)
{
    test->counter_count = api->counter_count;
    for (uint32_t i = 0; i < api->counter_count; i++)
        test->counter_names[i] = keep(test, xstrdup(api->counters[i].name));
}

static struct chatup_test *test_open(void *so, const struct chatup_plugin *plugin, const char *yaml,
                                     uint32_t loops, struct error *err)
{
    struct chatup_test *test = xcalloc(1, sizeof *test);
    test->loops = loops < 1 ? 1 : loops > LOOPS_MAX ? LOOPS_MAX : loops;
    test->thread = pthread_self();
    pthread_mutex_init(&test->lock, NULL);
    test->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    list_init(&test->tasks);
    list_init(&test->timers);
    list_init(&test->fds);
    list_init(&test->keys);
    store_open(test);
    test->plugin = plugin;
    test->now = generation_open(test, so, plugin, yaml, (struct chatup_text){0}, err);
    if (test->now) {
        note_counters(test, &test->now->api);
        return test;
    }
    chatup_test_close(test);
    return NULL;
}

struct chatup_test *chatup_test_open_linked(const struct chatup_plugin *plugin, const char *yaml,
                                            uint32_t loops, char *why, size_t size)
{
    struct error err = {""};
    struct chatup_test *test = test_open(NULL, plugin, yaml, loops, &err);
    if (!test)
        snprintf(why, size, "%s", err.text);
    return test;
}

struct chatup_test *chatup_test_open(const char *so, const char *yaml, uint32_t loops, char *why,
                                     size_t size)
{
    typedef const struct chatup_plugin *entry(void);
    struct error err = {""};
    void *library = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    entry *enter_plugin = library ? (entry *)dlsym(library, "chatup_plugin_v1") : NULL;
    if (!enter_plugin) {
        snprintf(why, size, "%s", dlerror());
        if (library)
            dlclose(library);
        return NULL;
    }
    struct chatup_test *test = test_open(library, enter_plugin(), yaml, loops, &err);
    if (!test)
        snprintf(why, size, "%s", err.text);
    return test;
}

int chatup_test_reload(struct chatup_test *test, const char *yaml, char *why, size_t size)
{
    struct generation *old = test->now;
    struct chatup_text state = {NULL, 0};
    struct error err = {""};
    if (old->api.state_save)
        state = old->api.state_save(old->it);
    /* The library stays: what is tried is the same code with other options. */
    struct generation *next = generation_open(test, NULL, test->plugin, yaml, state, &err);
    if (!next) {
        snprintf(why, size, "%s", err.text);
        return -1;
    }
    next->so = old->so;
    old->so = NULL;
    test->now = next;
    generation_close(old);
    return 0;
}

void chatup_test_stop(struct chatup_test *test)
{
    if (test->now)
        generation_close(test->now);
    test->now = NULL;
}

void chatup_test_close(struct chatup_test *test)
{
    if (!test)
        return;
    chatup_test_stop(test);
    store_close(test);
    for (size_t i = 0; i < test->kept_count; i++)
        free(test->kept[i]);
    free(test->kept);
    free(test->log);
    free(test->tags);
    free(test->lent_log);
    close(test->wake);
    pthread_mutex_destroy(&test->lock);
    free(test);
}
