/* What happens later: tasks now, timers when their time has come, descriptors when they are ready.
 * And the service loop, which asks for that. */
#include "parts.h"

#include "clock.h"

#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TURNS_MAX = 100000 }; /* of one run: more never end */

/* One for all tests of a process: a plugin asks for the time without saying which it is in. */
static atomic_int_least64_t now_ms = 1000000;

int64_t clock_mono(void)
{
    return atomic_load(&now_ms);
}

int64_t clock_wall(void)
{
    return INT64_C(1763890000000) + clock_mono();
}

/* ---- lanes ---- */

uint32_t lane_of(const struct shard *shard)
{
    return 2 * shard->loop.index;
}

uint32_t lane_of_store(const struct shard *shard)
{
    return 2 * shard->loop.index + 1;
}

void task_add(struct chatup_test *test, struct task *task)
{
    static const uint64_t one = 1;
    bool ours = pthread_equal(test->thread, pthread_self());
    pthread_mutex_lock(&test->lock);
    list_append(&test->tasks, &task->link);
    pthread_mutex_unlock(&test->lock);
    if (!ours && write(test->wake, &one, sizeof one) < 0)
        return; /* it is full: readable, then */
}

static bool lane_waits(const struct chatup_test *test, uint32_t lane)
{
    return test->store_holds && lane % 2;
}

/* splitmix64 */
static uint64_t random_next(struct chatup_test *test)
{
    uint64_t x = test->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* The lane whose turn it is; -1: none has a task. */
static int lane_choose(struct chatup_test *test)
{
    uint32_t lanes[2 * LOOPS_MAX], count = 0;
    uint8_t seen[2 * LOOPS_MAX] = {0};
    struct task *task;
    list_for_each (task, &test->tasks, link) {
        if (seen[task->lane] || lane_waits(test, task->lane))
            continue;
        seen[task->lane] = 1;
        lanes[count++] = task->lane;
        if (!test->random)
            break;
    }
    if (!count)
        return -1;
    return (int)lanes[test->random ? random_next(test) % count : 0];
}

static struct task *task_take(struct chatup_test *test)
{
    struct task *task, *found = NULL;
    pthread_mutex_lock(&test->lock);
    int lane = lane_choose(test);
    if (lane >= 0) {
        list_for_each (task, &test->tasks, link) {
            if (task->lane != (uint32_t)lane)
                continue;
            found = task;
            list_remove(&task->link);
            break;
        }
    }
    pthread_mutex_unlock(&test->lock);
    return found;
}

/* ---- timers ---- */

uint64_t id_next(const struct shard *shard)
{
    return ++shard->generation->test->last_id * LOOPS_MAX + shard->loop.index;
}

struct shard *id_shard(const struct generation *generation, uint64_t id)
{
    uint64_t loop = id % LOOPS_MAX;
    return loop < generation->test->loops ? &generation->shards[loop] : NULL;
}

void timer_add(struct chatup_test *test, struct task *task, int64_t delay_ms)
{
    task->due_ms = clock_mono() + (delay_ms > 0 ? delay_ms : 0);
    list_append(&test->timers, &task->link);
}

struct task *timer_take(struct shard *shard, uint64_t id, task_run *kind)
{
    struct task *task;
    list_for_each (task, &shard->generation->test->timers, link) {
        if (task->id != id || task->run != kind || task->shard != shard)
            continue;
        list_remove(&task->link);
        return task;
    }
    return NULL;
}

/* The first one due, of several the one asked for first. */
static struct task *timer_first(struct chatup_test *test)
{
    struct task *task, *first = NULL;
    list_for_each (task, &test->timers, link)
        if (!first || task->due_ms < first->due_ms)
            first = task;
    return first;
}

/* ---- descriptors ---- */

struct fd_watch {
    struct list link; /* test->fds */
    struct shard *shard;
    int fd;
    uint32_t events;
    chatup_ready *call;
    void *arg;
};

static struct fd_watch *fd_find(const struct shard *shard, int fd)
{
    struct fd_watch *watch;
    list_for_each (watch, &shard->generation->test->fds, link)
        if (watch->fd == fd && watch->shard == shard)
            return watch;
    return NULL;
}

static void fd_forget(struct fd_watch *watch)
{
    list_remove(&watch->link);
    free(watch);
}

void fds_forget(struct shard *shard)
{
    struct fd_watch *watch, *after;
    list_for_each_safe (watch, after, &shard->generation->test->fds, link)
        if (watch->shard == shard)
            fd_forget(watch);
}

static void fd_call(struct fd_watch *watch, short got)
{
    struct shard *shard = watch->shard;
    struct chatup_test *test = shard->generation->test;
    uint32_t events = (got & (POLLIN | POLLHUP | POLLERR) ? CHATUP_READ : 0) |
                      (got & (POLLOUT | POLLHUP | POLLERR) ? CHATUP_WRITE : 0);
    if (got & POLLNVAL) {
        mistake(test, "descriptor %d was closed while it is watched", watch->fd);
        fd_forget(watch);
        return;
    }
    if (!(events &= watch->events))
        return;
    struct shard *before = enter(shard);
    watch->call(shard->it, watch->arg, watch->fd, events);
    leave(test, before);
    test->turns++;
}

/* Wait so long for descriptors and other threads; returns whether there was something. */
static bool fds_run(struct chatup_test *test, int wait_ms)
{
    size_t count = 1;
    struct fd_watch *watch;
    list_for_each (watch, &test->fds, link)
        count++;
    struct pollfd *fds = xcalloc(count, sizeof *fds);
    struct shard **shards = xcalloc(count, sizeof(struct shard *));
    fds[0] = (struct pollfd){.fd = test->wake, .events = POLLIN};
    count = 1;
    list_for_each (watch, &test->fds, link) {
        shards[count] = watch->shard;
        fds[count++] =
            (struct pollfd){.fd = watch->fd,
                            .events = (short)((watch->events & CHATUP_READ ? POLLIN : 0) |
                                              (watch->events & CHATUP_WRITE ? POLLOUT : 0))};
    }
    bool some = poll(fds, count, wait_ms) > 0;
    uint64_t wakes;
    if (fds[0].revents && read(test->wake, &wakes, sizeof wakes) < 0)
        some = true; /* somebody was faster: then there is something anyway */
    for (size_t i = 1; i < count; i++) {
        watch = fds[i].revents ? fd_find(shards[i], fds[i].fd) : NULL;
        if (watch)
            fd_call(watch, fds[i].revents);
    }
    free(fds);
    free(shards);
    return some;
}

/* ---- turns ---- */

/* One task, timer, or look at the descriptors; false: nothing to do. */
static bool turn(struct chatup_test *test)
{
    struct task *task = task_take(test);
    if (!task) {
        task = timer_first(test);
        if (!task || task->due_ms > clock_mono())
            return fds_run(test, 0);
        list_remove(&task->link);
    }
    test->turns++;
    task->run(task, CHATUP_DONE);
    return true;
}

static bool run(struct chatup_test *test)
{
    for (size_t i = 0; i < TURNS_MAX; i++)
        if (!turn(test))
            return true;
    mistake(test, "there is always something to do now: it never comes to rest");
    return false;
}

void chatup_test_run(struct chatup_test *test)
{
    run(test);
}

int chatup_test_step(struct chatup_test *test)
{
    return turn(test);
}

static void clock_set(struct chatup_test *test, int64_t ms)
{
    if (ms > clock_mono())
        atomic_store(&now_ms, ms);
    store_expire(test);
}

void chatup_test_advance(struct chatup_test *test, int64_t ms)
{
    int64_t end_ms = clock_mono() + ms;
    struct task *first;
    bool rests = run(test);
    while (rests && (first = timer_first(test)) && first->due_ms <= end_ms) {
        clock_set(test, first->due_ms);
        rests = run(test);
    }
    clock_set(test, end_ms);
    run(test);
}

int chatup_test_wait(struct chatup_test *test, int64_t ms)
{
    int64_t last_ms = clock_mono_ms(), end_ms = last_ms + ms;
    uint64_t turns = test->turns;
    while (run(test) && test->turns == turns && last_ms < end_ms) {
        struct task *first = timer_first(test);
        int64_t wait_ms = end_ms - last_ms;
        if (first && first->due_ms - clock_mono() < wait_ms)
            wait_ms = first->due_ms - clock_mono();
        fds_run(test, wait_ms < 60000 ? (int)wait_ms : 60000);
        int64_t real_ms = clock_mono_ms();
        clock_set(test, clock_mono() + real_ms - last_ms);
        last_ms = real_ms;
    }
    return test->turns != turns;
}

void chatup_test_shuffle(struct chatup_test *test, uint64_t seed)
{
    test->random = seed;
}

static struct task *task_of(struct list *list, const struct shard *shard)
{
    struct task *task;
    list_for_each (task, list, link) {
        if (task->shard != shard)
            continue;
        list_remove(&task->link);
        return task;
    }
    return NULL;
}

void tasks_cancel(struct shard *shard)
{
    struct chatup_test *test = shard->generation->test;
    for (size_t i = 0;; i++) {
        pthread_mutex_lock(&test->lock);
        struct task *task = task_of(&test->tasks, shard);
        pthread_mutex_unlock(&test->lock);
        if (!task && !(task = task_of(&test->timers, shard)))
            return;
        if (i == TURNS_MAX) /* and go on: each must end */
            mistake(test, "what is cancelled is asked for again and again");
        task->run(task, CHATUP_CANCELLED);
    }
}

/* ---- the service ---- */

struct call {
    struct task task; /* first */
    chatup_called *call;
    void *arg;
};

static void call_end(struct call *call, int32_t status)
{
    struct shard *shard = call->task.shard, *before = enter(shard);
    call->call(shard->open ? shard->it : NULL, call->arg, shard->open ? status : CHATUP_CANCELLED);
    leave(shard->generation->test, before);
    free(call);
}

/* Two, so that a post is not found by the id of a timer. */
static void timer_run(struct task *task, int32_t status)
{
    call_end((struct call *)task, status);
}

static void post_run(struct task *task, int32_t status)
{
    call_end((struct call *)task, status);
}

static uint64_t loop_timer(const struct chatup_loop *loop, int64_t delay_ms, chatup_called *call,
                           void *arg)
{
    struct shard *shard = shard_of(loop);
    is_here(shard, "timer"); /* refused it cannot be */
    struct call *what = xcalloc(1, sizeof *what);
    *what = (struct call){{.shard = shard, .run = timer_run, .id = id_next(shard)}, call, arg};
    timer_add(shard->generation->test, &what->task, delay_ms);
    return what->task.id;
}

static void loop_timer_cancel(const struct chatup_loop *loop, uint64_t id)
{
    struct shard *shard = shard_of(loop);
    struct task *task = is_here(shard, "timer_cancel") ? timer_take(shard, id, timer_run) : NULL;
    if (task)
        timer_run(task, CHATUP_CANCELLED);
}

static void loop_watch(const struct chatup_loop *loop, int32_t fd, uint32_t events,
                       chatup_ready *call, void *arg)
{
    struct shard *shard = shard_of(loop);
    struct chatup_test *test = shard->generation->test;
    if (!is_here(shard, "watch"))
        return;
    struct fd_watch *watch = fd_find(shard, fd);
    if (watch)
        fd_forget(watch);
    if (!events)
        return;
    if (fd < 0 || events & ~3u || !call) {
        mistake(test, "watch: not as chatup/loop.h says");
        return;
    }
    watch = xcalloc(1, sizeof *watch);
    *watch =
        (struct fd_watch){.shard = shard, .fd = fd, .events = events, .call = call, .arg = arg};
    list_append(&test->fds, &watch->link);
}

static void loop_post(const struct chatup_loop *loop, chatup_called *call, void *arg)
{
    struct shard *shard = shard_of(loop);
    struct call *what = xcalloc(1, sizeof *what);
    *what = (struct call){{.shard = shard, .run = post_run, .lane = lane_of(shard)}, call, arg};
    task_add(shard->generation->test, &what->task);
}

static void loop_hold(const struct chatup_loop *loop, int32_t more)
{
    struct shard *shard = shard_of(loop);
    if (is_here(shard, "hold") && (shard->held += more) < 0)
        mistake(shard->generation->test, "hold: less is held than nothing");
}

const struct chatup_loop_service test_loop_service = {
    .size = sizeof test_loop_service,
    .wall_ms = clock_wall,
    .mono_ms = clock_mono,
    .timer = loop_timer,
    .timer_cancel = loop_timer_cancel,
    .watch = loop_watch,
    .post = loop_post,
    .hold = loop_hold,
};
