/* server.h: the real binary, started, ended and started again.
 *   CHATUP_BIN      the binary      CHATUP_PLUGINS  directory of plugins
 *   CHATUP_CLIENT   directory of the page at /
 *   CHATUP_TEST_HOME=redis  servers that could be on the embedded broker are on Redis, each on one
 *                   of its own
 *   CHATUP_DISK_SO  what makes its disk fail on order (tests/disk/disk.c) */
#pragma once
#include "redis_process.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct server_options {
    const char *role;            /* "worker", "dispatcher"; NULL: "serve" */
    struct redis_process *redis; /* it is on; NULL: none, or one of its own (CHATUP_TEST_HOME) */
    int threads;                 /* 0 means 1 */
    const char *yaml;            /* further configuration, whole sections */
    const char *keys;            /* further items of jwt.keys, indented by four */
    int files;                   /* how many it may open; 0: as we may */
    bool proxy_protocol;         /* each connection begins with a PROXY header */
    bool rates;      /* with the limits of how fast one may speak, which are off otherwise */
    bool supervised; /* with the process that starts a dead worker again: then pid is its own */
    bool own_disk;   /* for server_disk */
};

struct server {
    const char *role;
    struct redis_process *redis;
    char *dir; /* holds chatup.yaml and data/ */
    char *config;
    char *log;  /* standard error of all its lives */
    char *disk; /* the file that says how its disk does; NULL: as every disk */
    int threads;
    int files;
    bool rates;
    bool own_wait; /* its yaml says limits.store_wait */
    int port;      /* the same in all its lives */
    int out;
    bool supervised;
    pid_t pid; /* 0 while it does not run */
};

/* Ready to accept connections when it returns.
 *   struct server *server = server_start(.threads = 3, .yaml = "history:\n  size: 10\n"); */
#define server_start(...) server_start_with(&(struct server_options){__VA_ARGS__})
struct server *server_start_with(const struct server_options *options);
/* End it with a signal; the test fails unless it exits with 0, in time, and without a report of a
 * sanitizer. */
void server_end(struct server *server, int signal);
void server_stop(struct server *server);    /* SIGTERM */
void server_kill(struct server *server);    /* SIGKILL */
void server_restart(struct server *server); /* after one of these: same data, same port */
void server_stop_all(void);
/* A Redis of the test's, ended with it. */
struct redis_process *redis_start(const char *const *options);

/* One line to its control socket, the answer as JSON; NULL if nobody answers. Unlike a command of
 * the binary it may be used while other threads run. */
json_t *server_ask(const struct server *server, const char *line);
int control_open(const struct server *server); /* connected; -1 if nobody listens */
char *control_read(int fd);                    /* what comes until the end; closes fd */

/* From now on no file of the server can grow, or they can again. */
void server_disk_full(struct server *server, bool full);
/* Its disk from now on, of one started with own_disk: "eio", "slow" … as in tests/disk/disk.c, ""
 * for well. */
void server_disk(struct server *server, const char *how);
bool server_is_alive(struct server *server);
uint64_t server_cpu_ticks(const struct server *server); /* used so far, user and system */
size_t server_files(const struct server *server);       /* open ones */
uint64_t server_rss_kib(const struct server *server);

/* Run a command of the binary until it ends.
 *   struct run run = chatup("check", "-c", path); */
struct run {
    int code; /* -1 if a signal ended it */
    char *out, *err;
};
#define chatup(...) chatup_run((const char *const[]){__VA_ARGS__, NULL})
struct run chatup_run(const char *const *arguments);
/* Run "serve", which must refuse to start: exit code 1 to 127 and one line, which is returned.
 *   yaml, keys  as for server_start */
char *serve_refused(const struct server_options *options);
