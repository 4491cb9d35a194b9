#include "server.h"
#include "flow.h"
#include "token.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_SECONDS = 20, END_SECONDS = 10, RUN_SECONDS = 20, SERVERS_MAX = 16 };

static struct server *servers[SERVERS_MAX];
static size_t server_count, run_count, redis_count;
static struct redis_process redises[SERVERS_MAX];

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    ck_assert_msg(value && *value, "%s is not set: run the flow tests with ctest", name);
    return value;
}

/* ---- its files ---- */

static void config_write(const char *dir, const struct server_options *options,
                         const struct redis_process *redis, const char *path)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    if (redis)
        fprintf(file, "broker: redis\nredis:\n  socket: \"%s\"\n", redis->socket);
    fprintf(file,
            "listen:\n"
            "  address: 127.0.0.1\n"
            "  port: 0\n"
            "%s"
            "threads: %d\n"
            "client_dir: \"%s\"\n"
            "plugins_dir: \"%s\"\n"
            "data_dir: \"%s/data\"\n"
            "jwt:\n"
            "  keys:\n"
            "    - algorithm: HS256\n"
            "      secret: \"%s\"\n"
            "%s"
            "%s",
            options->proxy_protocol ? "  proxy_protocol: true\n" : "",
            options->threads ? options->threads : 1, environment("CHATUP_CLIENT"),
            environment("CHATUP_PLUGINS"), dir, TOKEN_SECRET, options->keys ? options->keys : "",
            options->yaml ? options->yaml : "");
    ck_assert_int_eq(fclose(file), 0);
}

/* ---- a life ---- */

static void child_exec(const char *const *argv, int out, const char *err_path, rlim_t files)
{
    int err = open(err_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (files)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){files, files});
    signal(SIGXFSZ, SIG_IGN); /* server_disk_full: an error of write(), not the end */
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    /* Leaks of the server: the tests themselves may leak. Its disk is loaded before all else. */
    setenv("ASAN_OPTIONS", "detect_leaks=1:verify_asan_link_order=0", 1);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    perror(argv[0]);
    _exit(127);
}

/* Exit status as of waitpid; -1 if it still runs at the deadline. */
static int status_wait(pid_t pid, int64_t deadline)
{
    int status;
    for (;;) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        if (now_ms() > deadline)
            return -1;
        pause_ms(2);
    }
}

/* "chatup: http://127.0.0.1:PORT/", or https, on standard output says that it accepts connections.
 */
static int port_read(struct server *server)
{
    char line[4096];
    size_t length = 0;
    int port;
    int64_t deadline = deadline_in(START_SECONDS);
    for (;;) {
        struct pollfd ready = {.fd = server->out, .events = POLLIN};
        int64_t left = deadline - now_ms();
        ck_assert_msg(left > 0 && poll(&ready, 1, (int)left) == 1,
                      "the server does not say where it listens");
        ssize_t got = read(server->out, line + length, sizeof line - length - 1);
        ck_assert_msg(got > 0, "the server ended before it listened, see its log");
        length += (size_t)got;
        line[length] = 0;
        const char *said = strstr(line, ": http"), *host = said ? strstr(said, "://") : NULL;
        if (host && strchr(host, '\n') && sscanf(host, "://127.0.0.1:%d/", &port) == 1)
            return port;
        ck_assert_uint_lt(length, sizeof line - 1);
    }
}

static void disk_load(const char *orders)
{
    setenv("CHATUP_DISK", orders, 1);
    setenv("LD_PRELOAD", environment("CHATUP_DISK_SO"), 1);
}

static void server_live(struct server *server)
{
    int out[2];
    char *port = textf("listen.port=%d", server->port);
    const char *argv[20] = {
        environment("CHATUP_BIN"), server->role, "-c", server->config, "--set", port};
    size_t count = 6;
    if (!server->supervised)
        argv[count++] = "--no-supervisor";
    if (flow_slow() > 1 && !server->disk &&
        !server->own_wait) { /* where all is slow, a slow disk has not stopped */
        argv[count++] = "--set";
        argv[count++] = "limits.store_wait=60s";
    }
    if (server->redis && !strcmp(server->role, "serve")) { /* nobody is to wait for its clients */
        argv[count++] = "--set";
        argv[count++] = "drain_time=0s";
    }
    static const char *const no_rates[] = {"limits.says_per_connection=0", "limits.says_per_user=0",
                                           "limits.frames_per_connection=0"};
    for (size_t i = 0; i < COUNT_OF(no_rates) && !server->rates; i++) {
        argv[count++] = "--set";
        argv[count++] = no_rates[i];
    }
    ck_assert_int_eq(server->pid, 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0) {
        if (server->disk)
            disk_load(server->disk);
        child_exec(argv, out[1], server->log, (rlim_t)server->files);
    }
    close(out[1]);
    server->out = out[0];
    int listens = port_read(server);
    if (server->port)
        ck_assert_int_eq(listens, server->port);
    server->port = listens;
}

struct redis_process *redis_start(const char *const *options)
{
    static const char *const keeps_all[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    struct redis_process *redis = &redises[redis_count++];
    ck_assert_uint_le(redis_count, SERVERS_MAX);
    redis_process_create(redis, false);
    redis_process_start(redis, options ? options : keeps_all);
    return redis;
}

struct server *server_start_with(const struct server_options *options)
{
    struct server *server = calloc(1, sizeof *server);
    ck_assert_uint_lt(server_count, SERVERS_MAX);
    server->dir = textf("%s/%zu", flow_dir(), server_count);
    server->config = textf("%s/chatup.yaml", server->dir);
    server->supervised = options->supervised;
    server->log = textf("%s/server-%zu.log", flow_dir(), server_count);
    if (options->own_disk)
        server->disk = textf("%s/disk", server->dir);
    ck_assert_int_eq(mkdir(server->dir, 0700), 0);
    server->rates = options->rates;
    server->files = options->files;
    server->role = options->role ? options->role : "serve";
    server->redis = options->redis;
    server->own_wait = options->yaml && strstr(options->yaml, "store_wait:");
    if (!server->redis && on_redis())
        server->redis = redis_start(NULL);
    config_write(server->dir, options, server->redis, server->config);
    servers[server_count++] = server;
    server_live(server);
    return server;
}

void server_restart(struct server *server)
{
    server_live(server);
}

static void log_check(const struct server *server)
{
    char *log = file_read(server->log);
    ck_assert_msg(!has_sanitizer_report(log), "a sanitizer found something, see the log");
    free(log);
}

void server_end(struct server *server, int signal)
{
    ck_assert_int_gt(server->pid, 0);
    kill(server->pid, signal);
    int status = status_wait(server->pid, deadline_in(END_SECONDS));
    ck_assert_msg(status != -1, "the server ignores signal %d", signal);
    server->pid = 0;
    close(server->out);
    log_check(server);
    ck_assert_msg(WIFEXITED(status), "signal %d ended the server", WTERMSIG(status));
    ck_assert_msg(WEXITSTATUS(status) == 0, "the server exited with %d", WEXITSTATUS(status));
}

void server_stop(struct server *server)
{
    server_end(server, SIGTERM);
}

void server_kill(struct server *server)
{
    ck_assert_int_gt(server->pid, 0);
    ck_assert_msg(server_is_alive(server), "the server ended by itself");
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
    close(server->out);
    log_check(server);
}

void server_stop_all(void)
{
    for (size_t i = 0; i < server_count; i++)
        if (servers[i]->pid)
            server_stop(servers[i]);
    for (size_t i = 0; i < redis_count; i++)
        redis_process_destroy(&redises[i]);
    redis_count = 0;
}

/* ---- its control socket ---- */

int control_open(const struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = (time_t)(RUN_SECONDS * flow_slow())};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/data/chatup.sock", server->dir);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

char *control_read(int fd)
{
    char *text = calloc(1, 65536);
    size_t length = 0;
    ssize_t got;
    while ((got = recv(fd, text + length, 65535 - length, 0)) > 0)
        length += (size_t)got;
    ck_assert_msg(got == 0 || errno == ECONNRESET, "no answer on the control socket");
    close(fd);
    return text;
}

json_t *server_ask(const struct server *server, const char *line)
{
    int fd = control_open(server);
    if (fd < 0)
        return NULL;
    send(fd, line, strlen(line), MSG_NOSIGNAL);
    char *text = control_read(fd);
    json_t *answer = *text ? json_of(text) : NULL; /* it may die meanwhile */
    free(text);
    return answer;
}

/* ---- what it does ---- */

void server_disk_full(struct server *server, bool full)
{
    struct rlimit limit;
    ck_assert_int_eq(prlimit(server->pid, RLIMIT_FSIZE, NULL, &limit), 0);
    limit.rlim_cur = full ? 0 : limit.rlim_max;
    ck_assert_int_eq(prlimit(server->pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

void server_disk(struct server *server, const char *how)
{
    char *next = textf("%s.next", server->disk);
    FILE *file = fopen(next, "w");
    ck_assert_ptr_nonnull(file);
    fputs(how, file);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(next, server->disk), 0); /* at once: nobody reads half an order */
}

bool server_is_alive(struct server *server)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)server->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

uint64_t server_cpu_ticks(const struct server *server)
{
    unsigned long user, system_;
    char *stat = file_read(textf("/proc/%d/stat", (int)server->pid));
    ck_assert_ptr_nonnull(stat);
    ck_assert_int_eq(sscanf(strrchr(stat, ')'),
                            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                            &system_),
                     2);
    return user + system_;
}

size_t server_files(const struct server *server)
{
    size_t count = 0;
    DIR *folder = opendir(textf("/proc/%d/fd", (int)server->pid));
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

uint64_t server_rss_kib(const struct server *server)
{
    char *status = file_read(textf("/proc/%d/status", (int)server->pid));
    const char *line = status ? strstr(status, "VmRSS:") : NULL;
    ck_assert_ptr_nonnull(line);
    return strtoull(line + strlen("VmRSS:"), NULL, 10);
}

/* ---- commands ---- */

struct run chatup_run(const char *const *arguments)
{
    const char *argv[32] = {environment("CHATUP_BIN")};
    char *out_path = textf("%s/run-%zu.out", flow_dir(), run_count);
    char *err_path = textf("%s/run-%zu.log", flow_dir(), run_count++);
    for (size_t i = 0; arguments[i]; i++) {
        ck_assert_uint_lt(i + 2, COUNT_OF(argv));
        argv[i + 1] = arguments[i];
    }
    int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        child_exec(argv, out, err_path, 0);
    close(out);
    int status = status_wait(pid, deadline_in(RUN_SECONDS));
    ck_assert_msg(status != -1, "chatup %s does not end", arguments[0] ? arguments[0] : "");
    struct run run = {
        .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        .out = file_read(out_path),
        .err = file_read(err_path),
    };
    ck_assert_msg(!has_sanitizer_report(run.err), "a sanitizer found something:\n%s", run.err);
    return run;
}

char *serve_refused(const struct server_options *options)
{
    char *dir = textf("%s/refused-%zu", flow_dir(), run_count);
    char *config = textf("%s/chatup.yaml", dir);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    config_write(dir, options, NULL, config);
    struct run run = chatup("serve", "-c", config, "--set", "log_level=error");
    ck_assert_msg(run.code >= 1 && run.code <= 127, "exit code %d:\n%s%s", run.code, run.out,
                  run.err);
    size_t length = strlen(run.err);
    ck_assert_msg(length > 1 && strchr(run.err, '\n') == run.err + length - 1, "not one line:\n%s",
                  run.err);
    return run.err;
}
