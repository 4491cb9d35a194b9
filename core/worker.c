/* Only this file knows every part. Everything is made on the main thread before the loops run, and
 * taken apart on it after they have ended; between, the main thread waits for a signal. */
#include "worker.h"
#include "access.h"
#include "alloc.h"
#include "config.h"
#include "embedded.h"
#include "limiter.h"
#include "log.h"
#include "loop.h"
#include "pipeline.h"
#include "plugin.h"
#include "route.h"
#include "server.h"
#include "tls.h"
#include "user.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct worker {
    struct config *conf;
    SSL_CTX *tls;
    struct limiter *limiter;
    struct access *access;
    struct keyring *keys, *admin_keys;
    struct plugin **plugins;
    size_t plugin_count;
    struct loop **loops;
    struct pipeline *pipelines;
    struct server **servers;
    struct embedded_home *home;
    size_t count;
    char id[64];
    sem_t gone;
};

enum { CLOSE_WAIT_S = 8 };

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
    for (size_t i = 0; i < worker->count; i++) {
        loop_stop(worker->loops[i]);
        loop_join(worker->loops[i]);
    }
    embedded_stop(worker->home);
}

/* Also of one that is half built. */
static void worker_destroy(struct worker *worker)
{
    for (size_t i = 0; i < worker->count && worker->servers; i++)
        if (worker->servers[i])
            server_end(worker->servers[i]);
    for (bool any = worker->home != NULL; any;) { /* what the last clients set in motion */
        any = embedded_drain(worker->home);
        for (size_t i = 0; i < worker->count; i++)
            any |= loop_drain(worker->loops[i]);
    }
    for (size_t i = 0; i < worker->count && worker->servers; i++)
        server_destroy(worker->servers[i]);
    for (size_t i = 0; i < worker->count && worker->pipelines; i++)
        if (worker->pipelines[i].rooms)
            pipeline_finish(&worker->pipelines[i]);
    for (size_t i = 0; i < worker->plugin_count; i++)
        plugin_unload(worker->plugins[i]);
    embedded_close(worker->home);
    for (size_t i = 0; i < worker->count; i++)
        loop_destroy(worker->loops[i]);
    access_destroy(worker->access);
    keyring_destroy(worker->keys);
    tls_context_destroy(worker->tls);
    limiter_destroy(worker->limiter);
    keyring_destroy(worker->admin_keys);
    sem_destroy(&worker->gone);
    free(worker->plugins);
    free(worker->loops);
    free(worker->pipelines);
    free(worker->servers);
}

static bool plugins_load(struct worker *worker, struct error *err)
{
    const struct config *conf = worker->conf;
    worker->plugins = xcalloc(conf->plugin_count, sizeof *worker->plugins);
    for (size_t i = 0; i < conf->plugin_count; i++) {
        worker->plugins[i] = plugin_load(conf, i, err);
        if (!worker->plugins[i])
            return false;
        worker->plugin_count++;
    }
    return true;
}

/* Descriptors for the clients we say we take, with some kept for everything else. */
static void files_raise(const struct config *conf)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)(conf->limits.connections + conf->limits.reserved_files);
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        log_warn("limits.connections is %lld, but this process may open only %llu files",
                 (long long)conf->limits.connections, (unsigned long long)limit.rlim_cur);
}

static bool worker_build(struct worker *worker, int *port_out, struct error *err)
{
    struct config *conf = worker->conf;
    size_t count = (size_t)conf->threads;
    if (!keyrings_load(conf, &worker->keys, &worker->admin_keys, err) || !plugins_load(worker, err))
        return false;
    if (*conf->tls.certificate &&
        !(worker->tls = tls_context_create(conf->tls.certificate, conf->tls.key, err)))
        return false;
    worker->limiter = limiter_create();
    worker->access = access_load(conf, err);
    if (!worker->access)
        return false;
    files_raise(conf);
    worker->loops = xcalloc(count, sizeof *worker->loops);
    worker->pipelines = xcalloc(count, sizeof *worker->pipelines);
    worker->servers = xcalloc(count, sizeof *worker->servers);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "loop-%u", (unsigned)i);
        worker->loops[i] = loop_create(name);
        worker->count++;
    }
    worker->home = embedded_open(conf, worker->loops, count, err);
    if (!worker->home)
        return false;
    int *fds = xcalloc(count, sizeof *fds);
    bool ok = listen_open(conf->address, conf->port, count, fds, port_out, err);
    for (size_t i = 0; ok && i < count; i++) {
        struct pipeline *pipeline = &worker->pipelines[i];
        *pipeline = (struct pipeline){.conf = conf,
                                      .keys = worker->keys,
                                      .tls = worker->tls,
                                      .limiter = worker->limiter,
                                      .access = worker->access,
                                      .admin_keys = worker->admin_keys,
                                      .plugins = worker->plugins,
                                      .plugin_count = worker->plugin_count,
                                      .worker_id = worker->id,
                                      .loop = worker->loops[i],
                                      .broker = embedded_broker(worker->home, i)};
        ok = pipeline_init(pipeline, (uint32_t)i, (uint32_t)count, err);
        if (ok)
            worker->servers[i] = server_create(pipeline, routes, fds[i]);
    }
    free(fds);
    return ok;
}

int worker_serve(struct config *conf, struct error *err)
{
    struct worker worker = {.conf = conf};
    struct uuid_source source = {.left = 0};
    sigset_t signals;
    int port, signal_number = 0;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads inherit it: only we are told */
    sem_init(&worker.gone, 0, 0);
    strcpy(worker.id, "chatUp:chatServer:");
    uuid_next(&source, worker.id + strlen(worker.id));
    if (!worker_build(&worker, &port, err)) {
        worker_destroy(&worker);
        return 1;
    }
    conf->port = port; /* before the loops run: nobody else looks yet */
    embedded_start(worker.home);
    for (size_t i = 0; i < worker.count; i++)
        loop_start(worker.loops[i]);
    bool any = !strcmp(conf->address, "0.0.0.0") || !strcmp(conf->address, "::");
    printf("chatup: http%s://%s:%d/\n", worker.tls ? "s" : "", any ? "localhost" : conf->address,
           port);
    fflush(stdout);
    log_info("serving with %zu loops, %zu plugins, durability %s", worker.count,
             worker.plugin_count, conf->durability == DURABILITY_COMMIT ? "commit" : "memory");
    sigwait(&signals, &signal_number);
    log_info("%s: closing", signal_number == SIGINT ? "interrupted" : "asked to stop");
    worker_close(&worker);
    worker_stop(&worker);
    worker_destroy(&worker);
    return 0;
}
