/* What can be asked of a running worker, on the control socket or by a signal. It happens on the
 * control loop; what concerns the others goes round them: one letter visits each loop, and when the
 * last has come back it is done. */
#include "alloc.h"
#include "broker.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "rooms.h"
#include "settings.h"
#include "worker_parts.h"

#include <jansson.h>
#include <malloc.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- a round ---- */

struct round {
    struct worker *worker;
    size_t left;
    void (*there)(struct round *round, struct pipeline *pipeline); /* on each loop, all at once */
    void (*done)(struct round *round);                             /* on the control loop */
    struct settings *next;                                         /* of a reload */
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

static void reload_there(struct round *round, struct pipeline *pipeline)
{
    pipeline_use(pipeline, round->next);
}

static void reload_done(struct round *round)
{
    struct worker *worker = round->worker;
    settings_unref(worker->settings);
    worker->settings = round->next;
    reload_end(worker);
}

static void reload_begin(struct worker *worker)
{
    struct error *err = &worker->reload.err;
    err->text[0] = 0;
    worker->reload.running = true;
    struct settings *next = NULL;
    if (worker->closing)
        error_set(err, "the server is about to end");
    else
        next = settings_load(worker->settings->source, err);
    if (!next || !settings_may_follow(worker->settings, next, err)) {
        settings_unref(next);
        log_set(worker->settings->conf->log_level, worker->settings->conf->log_format);
        reload_end(worker);
        return;
    }
    worker_raise_files(next);
    struct round *round = xcalloc(1, sizeof *round);
    *round =
        (struct round){.worker = worker, .there = reload_there, .done = reload_done, .next = next};
    round_begin(round);
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

/* {"ok":true,"version":…,"pid":…,"uptime":seconds,"config":path,"port":…,"loops":…,"rooms":…,
 *  "store":…,"plugins":[…],"reloads":…,"reloads_refused":…,"last_reload":…,"connections":…,
 *  "rooms_in_memory":…,"heap":bytes}; rooms: that have a reader, counted on each loop */
static void status_done(struct round *round)
{
    struct worker *worker = round->worker;
    const struct config *conf = worker->settings->conf;
    json_t *plugins = json_array();
    for (size_t i = 0; i < conf->plugin_count; i++)
        json_array_append_new(plugins, json_string(conf->plugins[i].name));
    json_t *status =
        json_pack("{s:b,s:s,s:i,s:I,s:s,s:i,s:i,s:I,s:o,s:o,s:I,s:I,s:o,s:I,s:I,s:I}", "ok", 1,
                  "version", CHATUP_VERSION, "pid", (int)getpid(), "uptime",
                  (json_int_t)((clock_mono_ms() - worker->started_ms) / 1000), "config", conf->path,
                  "port", worker->port, "loops", (int)worker->count, "rooms",
                  (json_int_t)round->rooms, "store", health_of_store(&round->health), "plugins",
                  plugins, "reloads", (json_int_t)worker->reload.done, "reloads_refused",
                  (json_int_t)worker->reload.refused, "last_reload", last_reload(worker),
                  "connections", (json_int_t)counters[COUNT_connections_now], "rooms_in_memory",
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
    embedded_backup(worker->home, path, backup_done, backup);
}

const struct control_verb worker_verbs[] = {
    {"reload", false, verb_reload},
    {"status", false, verb_status},
    {"backup", true, verb_backup},
    {NULL, false, NULL},
};
