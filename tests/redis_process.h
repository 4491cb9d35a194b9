/* redis_process.h: a real redis-server of the test's own, in a folder of its own, on a Unix socket
 * and, if asked for, a free port of the loopback address. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct redis_process {
    pid_t pid; /* 0: it does not run */
    int port;  /* 0: none */
    char dir[64], socket[96];
};

/* Whether tests are to run on Redis: CHATUP_TEST_HOME=redis. */
bool on_redis(void);
/* In a new folder under /tmp.
 *   with_port  on loopback, beside the socket
 *   options    such as "--appendonly yes", or NULL */
void redis_process_create(struct redis_process *redis, bool with_port);
/* returns once it answers. options, such as "--appendonly" and "yes", end with NULL; NULL: none */
void redis_process_start(struct redis_process *redis, const char *const *options);
/* SIGKILL: what it had not written is lost. */
void redis_process_kill(struct redis_process *redis);
/* Also removes its folder. */
void redis_process_destroy(struct redis_process *redis);
/* Send a command, inline, and read up to size of the first reply into out, which may be NULL. */
void redis_process_ask(struct redis_process *redis, const char *command, char *out, size_t size);
/* Another program that ends with the test, such as a Sentinel. */
pid_t redis_process_exec(const char *const *arguments);
void redis_process_end(pid_t pid);
/* Nobody listens there on loopback at this moment. */
int redis_free_port(void);
