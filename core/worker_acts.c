/* What can be asked of a running worker, on the control socket or by a signal. It happens on the
 * control loop; what concerns the others goes round them: one letter visits each loop, and when the
 * last has come back it is done. */
#include "alloc.h"
#include "broker.h"
#include "brokers.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "plugin.h"
#include "plugin_set.h"
#include "rooms.h"
#include "settings.h"
#include "trial.h"
#include "worker_parts.h"

#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- a round ---- */

struct round {
    struct worker *worker;
    size_t left;
    void (*there)(struct round *round, struct pipeline *pipeline); /* on each loop, all at once */
    void (*done)(struct round *round);                             /* on the control loop */
    struct settings *next;                                         /* of a reload */
    struct plugin_set *next_set;
    atomic_bool failed;
    struct error err; /* of who set failed */
    struct control_call *call;
    atomic_size_t rooms;
    struct broker_health health; /* as loop 0 knows it */
};

struct visit {
    struct letter letter;
    struct round *round;
    size_t i;
};

static void visit_returns(struct letter *letter)
{
    struct round *round = ((struct visit *)letter)->round;
    free(letter);
    if (--round->left)
        return;
    round->done(round);
    free(round);
}

static void visit_arrives(struct letter *letter)
{
    struct visit *visit = (struct visit *)letter;
    struct worker *worker = visit->round->worker;
    visit->round->there(visit->round, &worker->pipelines[visit->i]);
    letter->deliver = visit_returns;
    loop_post(worker->control_loop, letter);
}

static void round_begin(struct round *round)
{
    struct worker *worker = round->worker;
    round->left = worker->count;
    for (size_t i = 0; i < worker->count; i++) {
        struct visit *visit = xmalloc(sizeof *visit);
        visit->letter.deliver = visit_arrives;
        visit->round = round;
        visit->i = i;
        loop_post(worker->loops[i], &visit->letter);
    }
}

/* ---- reload ---- */

static void reload_begin(struct worker *worker);

static void calls_move(struct list *from, struct list *to)
{
    while (!list_empty(from)) {
        struct list *link = from->next;
        list_remove(link);
        list_append(to, link);
    }
}

static void reload_end(struct worker *worker)
{
    bool ok = !worker->reload.err.text[0];
    worker->reload.running = false;
    worker->reload.at_ms = clock_wall_ms();
    if (ok) {
        worker->reload.done++;
        log_info("reloaded %s", worker->settings->conf->path);
    } else {
        worker->reload.refused++;
        log_error("not reloaded, all stays as it was: %s", worker->reload.err.text);
    }
    while (!list_empty(&worker->reload.asked)) {
        struct control_call *call =
            list_entry(worker->reload.asked.next, struct control_call, link);
        list_remove(&call->link);
        if (ok)
            control_answer(call, "{\"ok\":true}");
        else
            control_refuse(call, worker->reload.err.text);
    }
    if (!worker->reload.again)
        return;
    worker->reload.again = false;
    calls_move(&worker->reload.waiting, &worker->reload.asked);
    reload_begin(worker);
}

/* ---- step 3: everywhere at once ---- */

static void reload_there(struct round *round, struct pipeline *pipeline)
{
    pipeline_use(pipeline, round->next);
    if (pipeline->next_chain)
        pipeline_use_plugins(pipeline);
}

static void reload_done(struct round *round)
{
    struct worker *worker = round->worker;
    settings_unref(worker->settings);
    worker->settings = worker->reload.next;
    atomic_store(&worker->drain_ms, worker->settings->conf->drain_ms);
    worker->reload.next = NULL;
    if (worker->reload.next_set) {
        log_info("plugins: generation %llu",
                 (unsigned long long)worker->reload.next_set->generation);
        plugin_set_unref(worker->set);
        worker->set = worker->reload.next_set;
        worker->reload.next_set = NULL;
    }
    reload_end(worker);
}

static void reload_round(struct worker *worker,
                         void (*there)(struct round *round, struct pipeline *pipeline),
                         void (*done)(struct round *round))
{
    struct round *round = xcalloc(1, sizeof *round);
    round->worker = worker;
    round->there = there;
    round->done = done;
    round->next = worker->reload.next;
    round->next_set = worker->reload.next_set;
    round_begin(round);
}

static void reload_take(struct worker *worker)
{
    worker_raise_files(worker->reload.next);
    reload_round(worker, reload_there, reload_done);
}

/* All stays as it was. */
static void reload_refuse(struct worker *worker)
{
    plugin_set_unref(worker->reload.next_set);
    settings_unref(worker->reload.next);
    worker->reload.next_set = NULL;
    worker->reload.next = NULL;
    log_set(worker->settings->conf->log_level, worker->settings->conf->log_format);
    reload_end(worker);
}

/* ---- step 2: the shards of other plugins are opened, on every loop or on none ---- */

static void forget_there(struct round *round, struct pipeline *pipeline)
{
    pipeline_forget_plugins(pipeline);
}

static void forget_done(struct round *round)
{
    reload_refuse(round->worker);
}

static void prepare_there(struct round *round, struct pipeline *pipeline)
{
    struct error err;
    if (pipeline_prepare_plugins(pipeline, round->next_set, &err))
        return;
    if (!atomic_exchange(&round->failed, true)) /* the first one tells */
        round->err = err;
}

static void prepare_done(struct round *round)
{
    struct worker *worker = round->worker;
    if (!atomic_load(&round->failed)) {
        reload_take(worker);
        return;
    }
    worker->reload.err = round->err;
    reload_round(worker, forget_there, forget_done);
}

static void plugins_tried(void *arg, const struct error *err)
{
    struct worker *worker = arg;
    worker->reload.trial = NULL;
    if (err) {
        worker->reload.err = *err;
    } else if (worker->closing) {
        error_set(&worker->reload.err, "the server is about to end");
    } else {
        worker->reload.next_set =
            worker_load_plugins(worker, worker->reload.next, worker->set, &worker->reload.err);
        if (worker->reload.next_set) {
            reload_round(worker, prepare_there, prepare_done);
            return;
        }
    }
    reload_refuse(worker);
}

/* ---- step 1: read, check, and try other plugins elsewhere ---- */

static void reload_begin(struct worker *worker)
{
    struct error *err = &worker->reload.err;
    err->text[0] = 0;
    worker->reload.running = true;
    if (worker->closing)
        error_set(err, "the server is about to end");
    else
        worker->reload.next = settings_load(worker->settings->source, err);
    struct settings *next = worker->reload.next;
    if (!next || !settings_may_follow(worker->settings, next, err)) {
        reload_refuse(worker);
        return;
    }
    if (plugin_set_is_current(worker->set, next->conf)) {
        reload_take(worker);
        return;
    }
    worker->reload.trial =
        trial_begin(worker->control_loop, next->source, plugins_tried, worker, err);
    if (!worker->reload.trial)
        reload_refuse(worker);
}

/*   call  NULL: nobody waits for the answer */
static void reload_ask(struct worker *worker, struct control_call *call)
{
    bool running = worker->reload.running; /* it may have read the file already */
    if (call)
        list_append(running ? &worker->reload.waiting : &worker->reload.asked, &call->link);
    if (running)
        worker->reload.again = true;
    else
        reload_begin(worker);
}

static void verb_reload(void *arg, struct control_call *call, const char *argument)
{
    reload_ask(arg, call);
}

struct wish {
    struct letter letter;
    struct worker *worker;
};

static void wish_arrives(struct letter *letter)
{
    struct wish *wish = (struct wish *)letter;
    reload_ask(wish->worker, NULL);
    free(wish);
}

void worker_reload_soon(struct worker *worker)
{
    struct wish *wish = xmalloc(sizeof *wish);
    wish->letter.deliver = wish_arrives;
    wish->worker = worker;
    loop_post(worker->control_loop, &wish->letter);
}

/* ---- status ---- */

static void status_there(struct round *round, struct pipeline *pipeline)
{
    atomic_fetch_add(&round->rooms, rooms_count(pipeline->rooms));
    if (pipeline == &round->worker->pipelines[0])
        broker_health(pipeline->broker, &round->health);
}

/* {"ok":true} or {"ok":false,"since":unix time,"err":why} */
static json_t *health_of_store(const struct broker_health *health)
{
    if (health->store_ok)
        return json_pack("{s:b}", "ok", 1);
    return json_pack("{s:b,s:I,s:s}", "ok", 0, "since", (json_int_t)(health->since_ms / 1000),
                     "err", health->why);
}

/* {"at":unix time,"err":null or why}, or null if there was none */
static json_t *last_reload(const struct worker *worker)
{
    const char *why = worker->reload.err.text;
    if (!worker->reload.at_ms || worker->reload.running)
        return json_null();
    return json_pack("{s:I,s:s?}", "at", (json_int_t)(worker->reload.at_ms / 1000), "err",
                     *why ? why : NULL);
}

static uint64_t heap_in_use(void)
{
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd; /* and what is so large that it has its own mapping */
#else
    return 0;
#endif
}

/* {"ok":true,"version":…,"role":…,"pid":…,"uptime":seconds,"config":path,"port":…,"loops":…,"rooms":…,
 *  "store":…,"plugins":[…],"reloads":…,"reloads_refused":…,"last_reload":…,"connections":…,
 *  "rooms_in_memory":…,"heap":bytes}; rooms: that have a reader, counted on each loop */
static void status_done(struct round *round)
{
    struct worker *worker = round->worker;
    const struct config *conf = worker->settings->conf;
    json_t *plugins = json_array();
    for (size_t i = 0; i < worker->set->count; i++)
        json_array_append_new(plugins, json_string(worker->set->plugins[i]->name));
    json_t *status = json_pack(
        "{s:b,s:s,s:s,s:i,s:I,s:s,s:i,s:i,s:I,s:o,s:o,s:I,s:I,s:o,s:I,s:I,s:I}", "ok", 1, "version",
        CHATUP_VERSION, "role", role_name(worker->settings->source->role), "pid", (int)getpid(),
        "uptime", (json_int_t)((clock_mono_ms() - worker->started_ms) / 1000), "config", conf->path,
        "port", worker->port, "loops", (int)worker->count, "rooms", (json_int_t)round->rooms,
        "store", health_of_store(&round->health), "plugins", plugins, "reloads",
        (json_int_t)worker->reload.done, "reloads_refused", (json_int_t)worker->reload.refused,
        "last_reload", last_reload(worker), "connections",
        (json_int_t)counters[COUNT_connections_now], "rooms_in_memory",
        (json_int_t)counters[COUNT_rooms_now], "heap", (json_int_t)heap_in_use());
    char *line = status ? json_dumps(status, JSON_COMPACT) : NULL;
    if (line)
        control_answer(round->call, line);
    else
        control_refuse(round->call, "the status has text that is not UTF-8");
    free(line);
    json_decref(status);
}

static void verb_status(void *arg, struct control_call *call, const char *argument)
{
    struct round *round = xcalloc(1, sizeof *round);
    round->worker = arg;
    round->there = status_there;
    round->done = status_done;
    round->call = call;
    round_begin(round);
}

/* ---- plugins ---- */

/* {"accept":1,…,"calls":1,"ns":1}: of all loops */
static json_t *hook_to_json(const struct plugin_stats *stats, enum hook hook)
{
    static const char *const verdicts[HOOK_VERDICTS] = {"accept", "reject", "consume", "defer",
                                                        "fault"};
    uint64_t calls = 0, ns = 0, sums[HOOK_VERDICTS] = {0};
    for (size_t i = 0; i < stats->loops; i++) {
        const struct hook_stats *cell = &stats->hooks[i][hook];
        calls += atomic_load(&cell->calls);
        ns += atomic_load(&cell->ns);
        for (size_t v = 0; v < HOOK_VERDICTS; v++)
            sums[v] += atomic_load(&cell->verdicts[v]);
    }
    json_t *json = json_pack("{s:I,s:I}", "calls", (json_int_t)calls, "ns", (json_int_t)ns);
    for (size_t v = 0; v < HOOK_VERDICTS; v++)
        json_object_set_new(json, verdicts[v], json_integer((json_int_t)sums[v]));
    return json;
}

static bool has_hook(const struct chatup_plugin *api, enum hook hook)
{
    const bool has[HOOK_COUNT] = {
        [HOOK_message_in] = api->message_in != NULL,
        [HOOK_message_out] = api->message_out != NULL,
        [HOOK_connect] = api->connect != NULL,
        [HOOK_auth] = api->auth != NULL,
        [HOOK_join] = api->join != NULL,
        [HOOK_leave] = api->leave != NULL,
        [HOOK_route] = api->route_count > 0,
    };
    return has[hook];
}

static json_t *plugin_to_json(const struct plugin *plugin)
{
    json_t *hooks = json_object();
    for (int i = 0; i < HOOK_COUNT; i++)
        if (has_hook(&plugin->api, (enum hook)i))
            json_object_set_new(hooks, hook_name((enum hook)i),
                                hook_to_json(plugin->stats, (enum hook)i));
    char path[1200];
    int64_t off_ms = atomic_load(&plugin->stats->off_until_ms) - clock_mono_ms();
    return json_pack("{s:s,s:s,s:s,s:I,s:s?,s:s,s:I,s:s,s:I,s:I,s:I,s:o}", "name", plugin->name,
                     "file", plugin_file(plugin->conf, plugin->index, path, sizeof path), "state",
                     off_ms > 0 ? "left out" : "on", "left_out_ms",
                     (json_int_t)(off_ms > 0 ? off_ms : 0), "version", plugin->api.version, "hash",
                     plugin->hash, "generation", (json_int_t)plugin->generation, "on_error",
                     plugin->on_error == ON_ERROR_OPEN ? "open" : "closed", "faults",
                     (json_int_t)atomic_load(&plugin->stats->faults), "slow",
                     (json_int_t)atomic_load(&plugin->stats->slow), "off",
                     (json_int_t)atomic_load(&plugin->stats->off), "hooks", hooks);
}

/* {"ok":true,"generation":1,"plugins":[…]}, in the order of the chain */
static void verb_plugins(void *arg, struct control_call *call, const char *argument)
{
    const struct worker *worker = arg;
    json_t *list = json_array();
    for (size_t i = 0; i < worker->set->count; i++)
        json_array_append_new(list, plugin_to_json(worker->set->plugins[i]));
    json_t *answer = json_pack("{s:b,s:I,s:o}", "ok", 1, "generation",
                               (json_int_t)worker->set->generation, "plugins", list);
    char *line = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (line)
        control_answer(call, line);
    else
        control_refuse(call, "a plugin's version has text that is not UTF-8");
    free(line);
    json_decref(answer);
}

/* ---- backup ---- */

struct backup {
    struct letter letter;
    struct worker *worker;
    struct control_call *call;
    struct error err;
};

static void backup_returns(struct letter *letter)
{
    struct backup *backup = (struct backup *)letter;
    if (backup->err.text[0])
        control_refuse(backup->call, backup->err.text);
    else
        control_answer(backup->call, "{\"ok\":true}");
    free(backup);
}

/* On the store's thread, or on this one. */
static void backup_done(void *arg, const struct error *err)
{
    struct backup *backup = arg;
    if (err)
        backup->err = *err;
    loop_post(backup->worker->control_loop, &backup->letter);
}

static void verb_backup(void *arg, struct control_call *call, const char *path)
{
    struct worker *worker = arg;
    struct backup *backup = xcalloc(1, sizeof *backup);
    backup->letter.deliver = backup_returns;
    backup->worker = worker;
    backup->call = call;
    brokers_backup(worker->brokers, path, backup_done, backup);
}

/* ---- drain ---- */

static void verb_drain(void *arg, struct control_call *call, const char *argument)
{
    control_answer(call, "{\"ok\":true}");
    kill(getpid(), SIGTERM); /* it is the same */
}

const struct control_verb worker_verbs[] = {
    {"drain", false, verb_drain},   {"reload", false, verb_reload},
    {"status", false, verb_status}, {"plugins", false, verb_plugins},
    {"backup", true, verb_backup},  {NULL, false, NULL},
};
