/* Only this file knows every part. Everything is made on the main thread before the loops run, and
 * taken apart on it after they have ended; between, the main thread waits for signals. */
#include "worker.h"
#include "alloc.h"
#include "brokers.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "limiter.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "plugin_set.h"
#include "route.h"
#include "running.h"
#include "server.h"
#include "settings.h"
#include "systemd.h"
#include "trial.h"
#include "worker_parts.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ID_PREFIX "chatUp:chatServer:"

enum { CLOSE_WAIT_S = 8, DYING_MS = 2000, DYING_STEP_MS = 20, DRAIN_STEP_MS = 50 };

/* ---- the end ---- */

struct goodbye {
    struct letter letter;
    struct server *server;
    sem_t *gone;
};

static void goodbye_said(void *arg)
{
    sem_post(arg);
}

static void goodbye_arrives(struct letter *letter)
{
    struct goodbye *goodbye = (struct goodbye *)letter;
    server_close(goodbye->server, goodbye_said, goodbye->gone);
    free(goodbye);
}

/* Tell everybody to go, and give them a moment. */
static void worker_close(struct worker *worker)
{
    struct timespec until;
    for (size_t i = 0; i < worker->count; i++) {
        struct goodbye *goodbye = xmalloc(sizeof *goodbye);
        goodbye->letter.deliver = goodbye_arrives;
        goodbye->server = worker->servers[i];
        goodbye->gone = &worker->gone;
        loop_post(worker->loops[i], &goodbye->letter);
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_WAIT_S;
    for (size_t i = 0; i < worker->count; i++)
        while (sem_timedwait(&worker->gone, &until) && errno == EINTR)
            ;
}

static void worker_stop(struct worker *worker)
{
    loop_stop(worker->control_loop); /* first: it must not ask anything of the others any more */
    loop_join(worker->control_loop);
    worker->closing = true;
    for (size_t i = 0; i < worker->count; i++) {
        loop_stop(worker->loops[i]);
        loop_join(worker->loops[i]);
    }
    brokers_stop(worker->brokers);
}

/* Also of one that is half built. */
static void worker_destroy(struct worker *worker)
{
    for (size_t i = 0; i < worker->count && worker->servers; i++)
        if (worker->servers[i])
            server_end(worker->servers[i]);
    if (worker->control_loop)
        trial_abandon(worker->reload.trial);
    for (size_t i = 0; i < worker->count && worker->pipelines; i++)
        pipeline_end_plugins(&worker->pipelines[i]);
    plugin_set_unref(worker->reload.next_set);
    plugin_set_unref(worker->set);
    for (bool any = worker->control_loop != NULL; any;) { /* what the last clients set in motion */
        any = worker->brokers && brokers_drain(worker->brokers);
        for (size_t i = 0; i < worker->count; i++)
            any |= loop_drain(worker->loops[i]);
        any |= worker->control_loop && loop_drain(worker->control_loop);
    }
    if (worker->control_loop)
        ev_timer_stop(loop_ev(worker->control_loop), &worker->tick);
    control_destroy(worker->control);
    for (size_t i = 0; i < worker->count && worker->servers; i++)
        server_destroy(worker->servers[i]);
    for (size_t i = 0; i < worker->count && worker->pipelines; i++)
        pipeline_finish(&worker->pipelines[i]);
    brokers_close(worker->brokers);
    for (size_t i = 0; i < worker->count; i++)
        loop_destroy(worker->loops[i]);
    loop_destroy(worker->control_loop);
    limiter_destroy(worker->limiter);
    settings_unref(worker->settings);
    settings_unref(worker->reload.next);
    sem_destroy(&worker->gone);
    free(worker->loops);
    free(worker->pipelines);
    free(worker->servers);
}

struct drain {
    struct letter letter;
    struct server *server;
    int64_t over_ms;
};

static void drain_arrives(struct letter *letter)
{
    struct drain *drain = (struct drain *)letter;
    server_drain(drain->server, drain->over_ms);
    free(drain);
}

/* Others go on serving, so its clients are sent to them little by little, and none comes any more.
 * Another signal ends that. */
static void worker_drain(struct worker *worker, int64_t over_ms, const sigset_t *signals)
{
    int64_t end_ms = clock_mono_ms() + over_ms, left_ms;
    brokers_take_clients(worker->brokers, false);
    log_info("draining for %lld ms", (long long)over_ms);
    for (size_t i = 0; i < worker->count; i++) {
        struct drain *drain = xmalloc(sizeof *drain);
        *drain = (struct drain){{.deliver = drain_arrives}, worker->servers[i], over_ms * 9 / 10};
        loop_post(worker->loops[i], &drain->letter);
    }
    while ((left_ms = end_ms - clock_mono_ms()) > 0 &&
           atomic_load(&counters[COUNT_connections_now])) {
        int64_t step_ms = left_ms < DRAIN_STEP_MS ? left_ms : DRAIN_STEP_MS;
        struct timespec step = {0, step_ms * 1000000};
        int number = sigtimedwait(signals, NULL, &step);
        if (number == SIGTERM || number == SIGINT)
            break;
    }
}

/* ---- the beginning ---- */

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
}

bool listening_open(const struct config *conf, struct listening *out, struct error *err)
{
    struct listening made = {.count = (size_t)conf->threads};
    made.fds = xcalloc(made.count, sizeof *made.fds);
    for (int waited_ms = 0;; waited_ms += DYING_STEP_MS) {
        errno = 0;
        if (listen_open(conf->address, conf->port, made.count, made.fds, &made.port, err)) {
            *out = made;
            return true;
        }
        if (errno != EADDRINUSE || waited_ms >= DYING_MS)
            break;
        pause_ms(DYING_STEP_MS);
    }
    free(made.fds);
    return false;
}

void listening_close(struct listening *listening)
{
    for (size_t i = 0; i < listening->count; i++)
        if (listening->fds[i] >= 0)
            close(listening->fds[i]);
    free(listening->fds);
    *listening = (struct listening){0};
}

/* Descriptors for the clients we say we take, for those that are open by then, and the reserve.
 * Never fewer than we were given. */
void worker_raise_files(const struct settings *settings)
{
    enum { FILES_PER_LOOP = 8 };
    const struct config *conf = settings->conf;
    struct rlimit limit;
    rlim_t wanted = (rlim_t)(conf->limits.connections + 2 * conf->limits.reserved_files +
                             (int64_t)conf->threads * FILES_PER_LOOP);
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        log_warn("limits.connections is %lld, but this process may open only %llu files",
                 (long long)conf->limits.connections, (unsigned long long)limit.rlim_cur);
}

/* What a crowd needed and left is full of holes, which the allocator keeps for the next one. Give
 * the pages back where there are many. */
static void memory_trim(struct worker *worker)
{
#ifdef __GLIBC__
    enum { WORTH_BYTES = 16 * 1024 * 1024, EVERY_TICKS = 10 };
    if (++worker->ticks % EVERY_TICKS)
        return;
    size_t unused = mallinfo2().fordblks;
    if (unused < worker->given_back) /* some of that is in use again */
        worker->given_back = unused;
    if (unused - worker->given_back < WORTH_BYTES)
        return;
    malloc_trim(0);
    worker->given_back = unused;
#endif
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    log_tick();
    memory_trim(timer->data);
}

/* A server without its socket still serves, and has SIGHUP: that is no reason not to start. */
static void control_open(struct worker *worker)
{
    const struct config *conf = worker->settings->conf;
    char path[CONTROL_PATH_MAX + 1];
    struct error err;
    if (!*conf->control)
        mkdir(conf->data_dir, 0700); /* durability: memory has none yet */
    if (control_path(conf, path, &err))
        worker->control = control_create(worker->control_loop, path, worker_verbs, worker, &err);
    if (!worker->control)
        log_warn("%s; `chatup reload` and others will not reach this server", err.text);
    ev_timer_init(&worker->tick, on_tick, 1, 1);
    worker->tick.data = worker;
    ev_timer_start(loop_ev(worker->control_loop), &worker->tick);
}

static bool is_any(const char *address)
{
    return !strcmp(address, "0.0.0.0") || !strcmp(address, "::");
}

/* Where this process is, as well as it knows itself: nobody else is asked. */
static void host_write(struct worker *worker)
{
    const char *address = worker->settings->conf->address;
    char name[256] = "localhost";
    bool v6 = strchr(address, ':');
    if (is_any(address))
        gethostname(name, sizeof name - 1);
    else
        snprintf(name, sizeof name, "%s%s%s", v6 ? "[" : "", address, v6 ? "]" : "");
    snprintf(worker->host, sizeof worker->host, "http%s://%s:%d", worker->settings->tls ? "s" : "",
             name, worker->port);
}

static bool worker_build(struct worker *worker, struct listening *listening, struct error *err)
{
    static const enum redis_role redis_roles[] = {[ROLE_SERVE] = REDIS_SERVER,
                                                  [ROLE_WORKER] = REDIS_WORKER,
                                                  [ROLE_DISPATCHER] = REDIS_DISPATCHER};
    const struct config *conf = worker->settings->conf;
    enum role role = worker->settings->source->role;
    size_t count = listening->count;
    worker->control_loop = loop_create("control");
    worker->set = worker_load_plugins(worker, worker->settings, NULL, err);
    if (!worker->set)
        return false;
    worker_raise_files(worker->settings);
    worker->limiter = limiter_create();
    worker->loops = xcalloc(count, sizeof *worker->loops);
    worker->pipelines = xcalloc(count, sizeof *worker->pipelines);
    worker->servers = xcalloc(count, sizeof *worker->servers);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "loop-%u", (unsigned)i);
        worker->loops[i] = loop_create(name);
        worker->count++;
    }
    host_write(worker);
    worker->brokers = brokers_open(conf, worker->id + strlen(ID_PREFIX), redis_roles[role],
                                   worker->host, worker->loops, count, err);
    if (!worker->brokers)
        return false;
    control_open(worker);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        struct pipeline *pipeline = &worker->pipelines[i];
        *pipeline = (struct pipeline){.role = role,
                                      .set = plugin_set_ref(worker->set),
                                      .worker_id = worker->id,
                                      .port = worker->port,
                                      .limiter = worker->limiter,
                                      .loop = worker->loops[i],
                                      .broker = brokers_get(worker->brokers, i)};
        pipeline_use(pipeline, worker->settings);
        ok = pipeline_init(pipeline, (uint32_t)i, (uint32_t)count, err);
        if (!ok)
            break;
        worker->servers[i] = server_create(pipeline, routes, listening->fds[i]);
        listening->fds[i] = -1;
    }
    return ok;
}

/* ---- a life ---- */

struct inquiry { /* whether the broker is there */
    struct letter letter;
    struct broker *broker;
    sem_t answered;
    bool ok;
};

static void inquiry_answered(void *arg, enum broker_status status, const char *why)
{
    struct inquiry *inquiry = arg;
    inquiry->ok = status == BROKER_OK;
    sem_post(&inquiry->answered);
}

static void inquiry_arrives(struct letter *letter)
{
    struct inquiry *inquiry = (struct inquiry *)letter;
    broker_probe(inquiry->broker, inquiry_answered, inquiry);
}

/* Who is told that we are ready sends clients; but if Redis is not there, that is no reason not to
 * start. */
static void worker_await_redis(struct worker *worker)
{
    enum { WAIT_MS = 5000, PAUSE_MS = 20 };
    struct inquiry inquiry = {.letter.deliver = inquiry_arrives,
                              .broker = brokers_get(worker->brokers, 0)};
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    sem_init(&inquiry.answered, 0, 0);
    for (;;) {
        loop_post(worker->loops[0], &inquiry.letter);
        while (sem_wait(&inquiry.answered) && errno == EINTR)
            ;
        if (inquiry.ok || clock_mono_ms() > until_ms)
            break;
        pause_ms(PAUSE_MS);
    }
    sem_destroy(&inquiry.answered);
}

static void worker_start(struct worker *worker)
{
    const struct config *conf = worker->settings->conf;
    enum role role = worker->settings->source->role;
    worker->started_ms = clock_mono_ms();
    atomic_store(&worker->drain_ms, conf->drain_ms);
    if (brokers_on_redis(worker->brokers))
        log_info("serving with %zu loops, %zu plugins, on Redis", worker->count,
                 worker->set->count);
    else
        log_info("serving with %zu loops, %zu plugins, durability %s", worker->count,
                 worker->set->count, conf->durability == DURABILITY_COMMIT ? "commit" : "memory");
    if (role == ROLE_WORKER)
        log_info("clients are sent to %s", *conf->announce ? conf->announce : worker->host);
    brokers_start(worker->brokers);
    for (size_t i = 0; i < worker->count; i++)
        loop_start(worker->loops[i]);
    if (brokers_on_redis(worker->brokers))
        worker_await_redis(worker);
    printf("%s: http%s://%s:%d/\n", role == ROLE_SERVE ? "chatup" : role_name(role),
           worker->settings->tls ? "s" : "", is_any(conf->address) ? "localhost" : conf->address,
           worker->port);
    fflush(stdout);
    loop_start(worker->control_loop); /* last: the settings are its own from now on */
}

static void worker_run(struct worker *worker, const sigset_t *signals)
{
    int number;
    while (sigwait(signals, &number) || number == SIGHUP)
        worker_reload_soon(worker);
    log_info("%s: closing", number == SIGINT ? "interrupted" : "asked to stop");
}

int worker_serve(struct settings *settings, struct listening *listening, void (*ready)(void *arg),
                 void *arg, struct error *err)
{
    struct worker worker = {.settings = settings, .port = listening->port};
    struct uuid_source source = {.left = 0};
    sigset_t signals;
    signal(SIGPIPE, SIG_IGN);
    running_watch_crashes();
    umask(077); /* what is stored is nobody else's business */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads inherit it: only we are told */
    sem_init(&worker.gone, 0, 0);
    list_init(&worker.reload.asked);
    list_init(&worker.reload.waiting);
    strcpy(worker.id, ID_PREFIX);
    uuid_next(&source, worker.id + strlen(worker.id));
    bool ok = worker_build(&worker, listening, err);
    if (ok) {
        worker_start(&worker);
        systemd_notify("READY=1");
        if (ready)
            ready(arg);
        worker_run(&worker, &signals);
        systemd_notify("STOPPING=1");
        if (brokers_on_redis(worker.brokers) && atomic_load(&worker.drain_ms) > 0)
            worker_drain(&worker, atomic_load(&worker.drain_ms), &signals);
        worker_close(&worker);
        worker_stop(&worker);
    }
    worker_destroy(&worker);
    listening_close(listening);
    log_finish();
    return ok ? 0 : 1;
}
