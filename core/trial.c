#include "trial.h"
#include "alloc.h"
#include "buffer.h"
#include "loop.h"
#include "settings.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char well[] = "plugins: ok"; /* its last line */

struct trial {
    struct loop *loop;
    pid_t pid;
    int fd;
    ev_io readable;
    ev_timer deadline;
    bool late;
    struct buffer said;
    trial_done *done;
    void *arg;
};

static void trial_free(struct trial *trial)
{
    ev_io_stop(loop_ev(trial->loop), &trial->readable);
    ev_timer_stop(loop_ev(trial->loop), &trial->deadline);
    close(trial->fd);
    buffer_finish(&trial->said);
    free(trial);
}

/* The last line that is not empty, without "chatup: " and such in front. */
static struct text last_line(const struct buffer *said)
{
    struct text all = text_trimmed((struct text){said->at, said->length}, " \t\r\n");
    const char *newline = all.length ? memrchr(all.at, '\n', all.length) : NULL;
    if (newline) {
        all.length -= (size_t)(newline + 1 - all.at);
        all.at = newline + 1;
    }
    return all;
}

static void trial_end(struct trial *trial)
{
    struct error err;
    int status = 0;
    while (waitpid(trial->pid, &status, 0) < 0 && errno == EINTR)
        ;
    struct text said = last_line(&trial->said);
    bool ok = WIFEXITED(status) && !WEXITSTATUS(status) && text_is(said, well);
    if (trial->late)
        error_set(&err, "the plugins were tried, and did not answer within %d s", TRIAL_S);
    else if (WIFSIGNALED(status) && !said.length)
        error_set(&err, "the plugins were tried, and crashed: %s", strsignal(WTERMSIG(status)));
    else if (!said.length || text_is(said, well))
        error_set(&err, "the plugins were tried, and one of them ended the process");
    else
        error_set(&err, "%.*s", (int)(said.length < 480 ? said.length : 480), said.at);
    trial_done *done = trial->done;
    void *arg = trial->arg;
    trial_free(trial);
    done(arg, ok ? NULL : &err);
}

static void on_readable(struct ev_loop *ev, ev_io *io, int events)
{
    enum { SAID_MAX = 64 * 1024 };
    struct trial *trial = io->data;
    char chunk[4096];
    ssize_t got = read(trial->fd, chunk, sizeof chunk);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got > 0) {
        if (trial->said.length > SAID_MAX)
            buffer_skip(&trial->said, trial->said.length / 2);
        buffer_bytes(&trial->said, chunk, (size_t)got);
        return;
    }
    trial_end(trial);
}

/* Its own alarm came first, unless it is beyond that. */
static void on_deadline(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct trial *trial = timer->data;
    trial->late = true;
    kill(-trial->pid, SIGKILL);
    trial_end(trial);
}

static bool spawn(struct trial *trial, char *const *argv, int out, struct error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawn(&trial->pid, "/proc/self/exe", &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (failed)
        error_set(err, "the plugins cannot be tried: %s", strerror(failed));
    return !failed;
}

static char **arguments(const struct settings_source *source)
{
    char **argv = xcalloc(2 * source->set_count + 8, sizeof *argv);
    size_t count = 0;
    argv[count++] = (char *)"chatup";
    argv[count++] = (char *)"check";
    argv[count++] = (char *)"--plugins";
    argv[count++] = (char *)"-c";
    argv[count++] = (char *)source->path;
    if (source->demo)
        argv[count++] = (char *)"--demo";
    for (size_t i = 0; i < source->set_count; i++) {
        argv[count++] = (char *)"--set";
        argv[count++] = (char *)source->sets[i];
    }
    return argv;
}

struct trial *trial_begin(struct loop *loop, const struct settings_source *source, trial_done *done,
                          void *arg, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) {
        error_set(err, "the plugins cannot be tried: %s", strerror(errno));
        return NULL;
    }
    struct trial *trial = xcalloc(1, sizeof *trial);
    char **argv = arguments(source);
    trial->loop = loop;
    trial->fd = ends[0];
    trial->done = done;
    trial->arg = arg;
    ev_io_init(&trial->readable, on_readable, trial->fd, EV_READ);
    ev_timer_init(&trial->deadline, on_deadline, TRIAL_S + 2, 0);
    trial->readable.data = trial->deadline.data = trial;
    bool ok = spawn(trial, argv, ends[1], err);
    close(ends[1]);
    free(argv);
    if (!ok) {
        trial_free(trial);
        return NULL;
    }
    fcntl(trial->fd, F_SETFL, O_NONBLOCK);
    ev_io_start(loop_ev(loop), &trial->readable);
    ev_now_update(loop_ev(loop));
    ev_timer_start(loop_ev(loop), &trial->deadline);
    return trial;
}

void trial_abandon(struct trial *trial)
{
    if (!trial)
        return;
    kill(-trial->pid, SIGKILL);
    while (waitpid(trial->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    trial_free(trial);
}
