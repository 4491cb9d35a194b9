#include "redis_process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 30000, STEP_MS = 5 };

static void fail(const char *what)
{
    fprintf(stderr, "redis-server: %s: %s\n", what, strerror(errno));
    abort();
}

bool on_redis(void)
{
    const char *home = getenv("CHATUP_TEST_HOME");
    return home && !strcmp(home, "redis");
}

int redis_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) ||
        getsockname(fd, (struct sockaddr *)&at, &size))
        fail("no free port");
    close(fd);
    return ntohs(at.sin_port);
}

void redis_process_create(struct redis_process *redis, bool with_port)
{
    *redis = (struct redis_process){.port = with_port ? redis_free_port() : 0};
    strcpy(redis->dir, "/tmp/chatup-redis-XXXXXX");
    if (!mkdtemp(redis->dir))
        fail(redis->dir);
    snprintf(redis->socket, sizeof redis->socket, "%s/socket", redis->dir);
}

static int connect_to(const struct redis_process *redis)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", redis->socket);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool answers(const struct redis_process *redis)
{
    char reply[8] = "";
    int fd = connect_to(redis);
    if (fd < 0)
        return false;
    if (write(fd, "PING\r\n", 6) != 6 || read(fd, reply, sizeof reply - 1) < 5)
        reply[0] = 0;
    close(fd);
    return !strncmp(reply, "+PONG", 5);
}

pid_t redis_process_exec(const char *const *arguments)
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        fail("exec");
    }
    return pid;
}

void redis_process_end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void redis_process_start(struct redis_process *redis, const char *const *options)
{
    enum { ARGUMENTS_MAX = 40 };
    char port[16];
    const char *args[ARGUMENTS_MAX] = {
        "redis-server", "--port",   port,     "--bind", "127.0.0.1", "--unixsocket", redis->socket,
        "--dir",        redis->dir, "--save", "",       "--logfile", "log",          NULL};
    size_t count = 13;
    snprintf(port, sizeof port, "%d", redis->port);
    for (; options && *options && count < ARGUMENTS_MAX - 1; options++)
        args[count++] = *options;
    redis->pid = redis_process_exec(args);
    for (int waited_ms = 0; !answers(redis); waited_ms += STEP_MS) {
        if (waited_ms > WAIT_MS || waitpid(redis->pid, NULL, WNOHANG) == redis->pid)
            fail("does not answer");
        nanosleep(&(struct timespec){0, STEP_MS * 1000000L}, NULL);
    }
}

void redis_process_kill(struct redis_process *redis)
{
    if (!redis->pid)
        return;
    kill(redis->pid, SIGKILL);
    waitpid(redis->pid, NULL, 0);
    redis->pid = 0;
}

static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char file[512];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (unlink(file))
            remove_all(file);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

void redis_process_destroy(struct redis_process *redis)
{
    redis_process_kill(redis);
    remove_all(redis->dir);
}

void redis_process_ask(struct redis_process *redis, const char *command, char *out, size_t size)
{
    char reply[4096];
    int fd = connect_to(redis);
    size_t length = strlen(command);
    if (fd < 0 || write(fd, command, length) != (ssize_t)length || write(fd, "\r\n", 2) != 2)
        fail(command);
    ssize_t got = read(fd, reply, sizeof reply - 1);
    if (got <= 0)
        fail(command);
    close(fd);
    reply[got] = 0;
    if (out)
        snprintf(out, size, "%s", reply);
}
