#include "running.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local struct {
    const char *volatile plugin, *volatile what;
} running;

void running_set(const char *plugin, const char *what)
{
    running.what = what;
    running.plugin = plugin;
}

static void append(char *out, size_t size, const char *text)
{
    size_t at = strlen(out);
    while (at + 1 < size && *text)
        out[at++] = *text++;
    out[at] = 0;
}

void running_describe(char *out, size_t size)
{
    *out = 0;
    if (!running.plugin)
        return;
    append(out, size, "plugin ");
    append(out, size, running.plugin);
    append(out, size, ", ");
    append(out, size, running.what);
}

/* One line, written at once. */
static void tell(const char *what)
{
    char line[256] = "chatup: ", where[160];
    append(line, sizeof line, what);
    running_describe(where, sizeof where);
    if (*where) {
        append(line, sizeof line, " in ");
        append(line, sizeof line, where);
    }
    append(line, sizeof line, "\n");
    if (write(STDERR_FILENO, line, strlen(line)) < 0)
        return; /* nobody reads it */
}

static const char *signal_text(int number)
{
    switch (number) {
    case SIGSEGV:
        return "crashed (SIGSEGV: a wrong address)";
    case SIGBUS:
        return "crashed (SIGBUS)";
    case SIGFPE:
        return "crashed (SIGFPE: a wrong calculation)";
    case SIGILL:
        return "crashed (SIGILL)";
    case SIGALRM:
        return "no answer in time";
    default:
        return "aborted (SIGABRT)";
    }
}

/* Then the signal takes its course: the handler is gone by then. */
static void on_crash(int number)
{
    tell(signal_text(number));
    raise(number);
}

static void on_alarm(int number)
{
    tell(signal_text(number));
    _exit(1);
}

void running_watch_crashes(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    struct sigaction now;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!sigaction(numbers[i], NULL, &now) && now.sa_handler == SIG_DFL)
            sigaction(numbers[i], &action, NULL); /* a sanitizer's own tells more */
}

static void on_exit_of_trial(void)
{
    if (!running.plugin)
        return;
    tell("the process was ended");
    _exit(1);
}

void running_watch_trial(unsigned seconds)
{
    sigset_t alarms;
    running_watch_crashes();
    signal(SIGALRM, on_alarm);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarms, NULL);
    atexit(on_exit_of_trial);
    alarm(seconds);
}
