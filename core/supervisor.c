#include "supervisor.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "log.h"
#include "settings.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A worker that lived for so long did not die at once: no pause after it. */
enum { STEADY_MS = 1000, PAUSE_MAX_S = 30 };

struct supervisor {
    const struct settings_source *source;
    struct listening listening;
    char *address; /* that the sockets are bound to, as the configuration says it */
    int port;
    sigset_t signals;
    int stop_signal; /* that we were sent; 0: go on */
    unsigned deaths; /* one soon after the other */
};

/* ---- sockets ---- */

/* Those we have, if they are what the configuration wants; a restart may bring other ones. */
static bool sockets_ensure(struct supervisor *supervisor, const struct config *conf,
                           struct error *err)
{
    struct listening *have = &supervisor->listening;
    if (have->count == (size_t)conf->threads && supervisor->port == conf->port &&
        !strcmp(supervisor->address, conf->address))
        return true;
    listening_close(have);
    free(supervisor->address);
    supervisor->address = xstrdup(conf->address);
    supervisor->port = conf->port;
    return listening_open(conf, have, err);
}

/* ---- a life of the worker ---- */

static void worker_is_ready(void *arg)
{
    const int *pipe_end = arg;
    if (write(*pipe_end, "r", 1) != 1) {
        /* the supervisor is gone, and we go with it */
    }
}

/* In the worker process. */
static int worker_live(struct supervisor *supervisor, struct settings *settings, pid_t parent,
                       int ready_fd, struct error *err)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { /* it died before that */
        error_set(err, "the supervisor is gone");
        settings_unref(settings);
        return 1;
    }
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD); /* the others stay blocked: worker_serve waits for them */
    sigprocmask(SIG_UNBLOCK, &child, NULL);
    int code = worker_serve(settings, &supervisor->listening, worker_is_ready, &ready_fd, err);
    close(ready_fd);
    return code;
}

static void told(struct supervisor *supervisor, int number)
{
    if (number == SIGTERM || number == SIGINT)
        supervisor->stop_signal = number;
}

/* Until it has ended; what we are told meanwhile, it is told too. Its status as of waitpid. */
static int worker_wait(struct supervisor *supervisor, pid_t pid)
{
    int status, number;
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (sigwait(&supervisor->signals, &number) || number == SIGCHLD)
            continue;
        told(supervisor, number);
        kill(pid, number);
    }
    return status;
}

/* ---- between two lives ---- */

/* Whether to go on. SIGHUP ends the pause: somebody mended something. */
static bool pause_for(struct supervisor *supervisor, int seconds)
{
    int64_t end_ms = clock_mono_ms() + seconds * 1000, left_ms;
    while (!supervisor->stop_signal && (left_ms = end_ms - clock_mono_ms()) > 0) {
        struct timespec left = {left_ms / 1000, left_ms % 1000 * 1000000};
        int number = sigtimedwait(&supervisor->signals, NULL, &left);
        if (number == SIGHUP)
            break;
        told(supervisor, number);
    }
    return !supervisor->stop_signal;
}

static int pause_before_next(const struct supervisor *supervisor)
{
    unsigned doublings = supervisor->deaths - 1;
    if (!supervisor->deaths)
        return 0;
    return doublings < 5 ? 1 << doublings : PAUSE_MAX_S;
}

/* The configuration as it is in the file now, and sockets for it: what a reload took away must not
 * come back, so an older one is never used instead. NULL: we are to stop. */
static struct settings *next_settings(struct supervisor *supervisor)
{
    struct error err;
    for (;;) {
        struct settings *settings = settings_load(supervisor->source, &err);
        if (settings && sockets_ensure(supervisor, settings->conf, &err))
            return settings;
        settings_unref(settings);
        supervisor->deaths++;
        int pause_s = pause_before_next(supervisor);
        log_error("the worker cannot start: %s; trying again in %d s", err.text, pause_s);
        if (!pause_for(supervisor, pause_s))
            return NULL;
    }
}

static void death_log(const struct supervisor *supervisor, pid_t pid, int status, int pause_s)
{
    char how[64];
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "exited with %d", WEXITSTATUS(status));
    log_error("the worker process %d %s; starting it again in %d s", (int)pid, how, pause_s);
}

/* ---- all of it ---- */

/* One life, from fork to wait.
 *   was_ready  whether it ever served
 *   returns    false in the worker process, with *code */
static bool life(struct supervisor *supervisor, struct settings *settings, pid_t *pid_out,
                 int *status_out, bool *was_ready, int *code, struct error *err)
{
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC | O_NONBLOCK))
        ready[0] = ready[1] = -1;
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(ready[0]);
        *code = worker_live(supervisor, settings, parent, ready[1], err);
        return false;
    }
    close(ready[1]);
    settings_unref(settings);
    *pid_out = pid;
    if (pid < 0) {
        log_error("fork: %s", strerror(errno));
        *status_out = 1 << 8;
    } else {
        *status_out = worker_wait(supervisor, pid);
    }
    *was_ready = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    return true;
}

static int supervise(struct supervisor *supervisor, struct settings *settings, struct error *err)
{
    bool ever_ready = false;
    for (;;) {
        pid_t pid;
        int status, code;
        bool was_ready;
        int64_t began_ms = clock_mono_ms();
        if (!life(supervisor, settings, &pid, &status, &was_ready, &code, err))
            return code;
        ever_ready |= was_ready;
        bool refused = !ever_ready && WIFEXITED(status); /* it has said why */
        if (supervisor->stop_signal || refused || (WIFEXITED(status) && !WEXITSTATUS(status)))
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (was_ready && clock_mono_ms() - began_ms >= STEADY_MS)
            supervisor->deaths = 0;
        int pause_s = pause_before_next(supervisor);
        supervisor->deaths++;
        death_log(supervisor, pid, status, pause_s);
        if (!pause_for(supervisor, pause_s) || !(settings = next_settings(supervisor)))
            return 0;
    }
}

int supervisor_serve(struct settings *settings, struct error *err)
{
    struct supervisor supervisor = {.source = settings->source};
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    int code = 1;
    sigemptyset(&supervisor.signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&supervisor.signals, numbers[i]);
    sigprocmask(SIG_BLOCK, &supervisor.signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* who reads our log may go: that is no reason to */
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, there would be nobody to wait for */
    if (sockets_ensure(&supervisor, settings->conf, err))
        code = supervise(&supervisor, settings, err);
    else
        settings_unref(settings);
    listening_close(&supervisor.listening);
    free(supervisor.address);
    return code;
}
