/* parts.h: what the files of the test library share. A task is all that happens later: once, on
 * its shard, with CHATUP_DONE or CHATUP_CANCELLED. Tasks wait in lanes, which keep their order: one
 * for each loop, and one for its batches on their way to the store. */
#pragma once
#include "alloc.h"
#include "error.h"
#include "list.h"

#include <chatup/bus.h>
#include <chatup/loop.h>
#include <chatup/store.h>
#include <chatup/test.h>
#include <pthread.h>
#include <stdbool.h>

struct task;
typedef void task_run(struct task *task, int32_t status); /* takes the task */

struct shard {
    struct generation *generation;
    struct chatup_loop loop;
    void *it; /* what the plugin calls a shard */
    bool open;
    int64_t held; /* by hold of the loop service */
};

struct task {
    struct list link;
    struct shard *shard;
    task_run *run;
    uint32_t lane;
    uint64_t id;
    int64_t due_ms; /* of timers */
};

struct generation {
    struct chatup_test *test;
    void *so;
    struct chatup_plugin api;
    struct chatup_host host;
    void *it;
    struct options *options;
    struct shard *shards;
    char *refusal;
    bool creating;
};

enum { LOOPS_MAX = 64, MESSAGE_BYTES_MAX = 32 * 1024, REPLY_BYTES_MAX = 64 * 1024 };

struct chatup_test {
    struct generation *now; /* NULL: stopped */
    const struct chatup_plugin *plugin;
    const char *counter_names[256];
    size_t counter_count;
    uint32_t loops;
    pthread_t thread;
    pthread_mutex_t lock; /* of what other threads change: tasks, and all up to wake */
    struct list tasks;
    char *log;
    size_t log_length;
    uint64_t counts[256];
    uint32_t mistakes, late;
    int wake; /* an eventfd: readable after another thread's task */

    struct list timers;    /* struct task, with due_ms: also of what must be answered in time */
    struct list fds, keys; /* what is watched */
    struct shard *running; /* whose hook or callback runs; NULL: none */
    uint64_t last_id, turns, random;
    char *tags; /* of plugins before; NULL: none */
    struct keyed *keyed;
    uint32_t store_fails, bus_fails, batches;
    int32_t store_status, bus_status;
    bool store_holds;
    char *lent_log; /* what chatup_test_log returned last */
    void **kept;    /* results: freed at the end */
    size_t kept_count;
};

/* ---- test.c ---- */
void *keep(struct chatup_test *test, void *result);
void log_line(struct chatup_test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void mistake(struct chatup_test *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void late(struct chatup_test *test);
/* Around each call of the plugin: enter returns what leave gets. */
struct shard *enter(struct shard *shard);
void leave(struct chatup_test *test, struct shard *before);
/* Whether a call that is not [any thread] comes from where it may; else a mistake. */
bool is_here(const struct shard *shard, const char *call);
bool is_utf8(const char *at, size_t length);
bool is_object(const char *json, size_t length);

static inline struct shard *shard_of(const struct chatup_loop *loop)
{
    return (struct shard *)loop->self;
}

/* An int that fits what printf wants of %.*s. */
#define SHOWN(text) (int)((text).length < 1000 ? (text).length : 1000), (text).at ? (text).at : ""

/* ---- tasks.c ---- */
extern const struct chatup_loop_service test_loop_service;
int64_t clock_mono(void);
int64_t clock_wall(void);
uint32_t lane_of(const struct shard *shard);
uint32_t lane_of_store(const struct shard *shard);
/* [any thread] */
void task_add(struct chatup_test *test, struct task *task);
void timer_add(struct chatup_test *test, struct task *task, int64_t delay_ms);
/* loop is part of it, so that any thread can say whose it is. */
uint64_t id_next(const struct shard *shard);
/* NULL: none, or it is of another plugin's generation */
struct shard *id_shard(const struct generation *generation, uint64_t id);
/* Taken out of the timers; NULL: there is none of that kind and shard. */
struct task *timer_take(struct shard *shard, uint64_t id, task_run *kind);
/* All of the shard's, with CHATUP_CANCELLED. */
void tasks_cancel(struct shard *shard);
void fds_forget(struct shard *shard);

/* ---- hooks.c ---- */
extern const struct chatup_routes test_routes_service;
void hooks_offer(struct chatup_host *host);

/* ---- store.c ---- */
extern const struct chatup_store test_store_service;
void store_open(struct chatup_test *test);
void store_close(struct chatup_test *test);
/* Time has passed. */
void store_expire(struct chatup_test *test);
void watches_forget(struct shard *shard);

/* ---- bus.c ---- */
extern const struct chatup_bus test_bus_service;

/* ---- options.c ---- */
struct options *options_read(const struct chatup_plugin *api, const char *yaml, struct error *err);
struct chatup_value options_get(const struct options *options, uint32_t i);
void options_place(const struct options *options, uint32_t i, char *out, size_t size);
void options_destroy(struct options *options);
