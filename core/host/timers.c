/* The loop service: timers, descriptors, and calls from other threads, each of one shard. */
#include "alloc.h"
#include "chain.h"
#include "clock.h"
#include "desk.h"
#include "running.h"

#include <ev.h>

static struct shard *shard_of(const struct chatup_loop *loop)
{
    return loop->self;
}

/* ---- timers ---- */

struct timer {
    struct pending pending; /* first */
    ev_timer ev;
    chatup_called *call;
    void *arg;
};

static void timer_end(struct timer *timer, int32_t status)
{
    struct shard *shard = timer->pending.shard;
    chatup_called *call = timer->call;
    void *arg = timer->arg;
    if (shard->desk->loop)
        ev_timer_stop(loop_ev(shard->desk->loop), &timer->ev);
    pending_close(&timer->pending);
    free(timer);
    running_set(shard->plugin->name, "timer");
    call(shard->self, arg, status);
    running_set(NULL, NULL);
}

static void timer_cancelled(struct pending *pending)
{
    timer_end((struct timer *)pending, CHATUP_CANCELLED);
}

static void on_timer(struct ev_loop *ev, ev_timer *watcher, int events)
{
    timer_end(watcher->data, CHATUP_DONE);
}

static uint64_t service_timer(const struct chatup_loop *loop, int64_t delay_ms, chatup_called *call,
                              void *arg)
{
    struct shard *shard = shard_of(loop);
    struct timer *timer = xcalloc(1, sizeof *timer);
    timer->call = call;
    timer->arg = arg;
    if (!pending_open(&timer->pending, shard, false, timer_cancelled))
        abort(); /* a million timers of one loop: as good as no memory */
    ev_timer_init(&timer->ev, on_timer, delay_ms > 0 ? (double)delay_ms / 1000 : 0, 0);
    timer->ev.data = timer;
    if (shard->desk->loop) {
        struct ev_loop *ev = loop_ev(shard->desk->loop);
        ev_now_update(ev); /* the turn may have been long */
        ev_timer_start(ev, &timer->ev);
    }
    return timer->pending.id;
}

static void service_timer_cancel(const struct chatup_loop *loop, uint64_t id)
{
    struct pending *pending = pending_find(shard_of(loop)->desk, id, timer_cancelled);
    if (pending && pending->shard == shard_of(loop))
        timer_cancelled(pending);
}

/* ---- descriptors ---- */

struct fd_watch {
    struct list link; /* the shard's */
    struct shard *shard;
    ev_io ev;
    int fd;
    chatup_ready *call;
    void *arg;
};

static void on_ready(struct ev_loop *ev, ev_io *watcher, int events)
{
    struct fd_watch *watch = watcher->data;
    running_set(watch->shard->plugin->name, "descriptor");
    watch->call(watch->shard->self, watch->arg, watch->fd,
                (events & EV_READ ? CHATUP_READ : 0) | (events & EV_WRITE ? CHATUP_WRITE : 0));
    running_set(NULL, NULL); /* watch may be gone */
}

static void fd_watch_free(struct fd_watch *watch)
{
    if (watch->shard->desk->loop)
        ev_io_stop(loop_ev(watch->shard->desk->loop), &watch->ev);
    list_remove(&watch->link);
    free(watch);
}

static void service_watch(const struct chatup_loop *loop, int32_t fd, uint32_t events,
                          chatup_ready *call, void *arg)
{
    struct shard *shard = shard_of(loop);
    struct fd_watch *watch, *after;
    list_for_each_safe (watch, after, &shard->fd_watches, link)
        if (watch->fd == fd)
            fd_watch_free(watch);
    if (!events)
        return;
    watch = xcalloc(1, sizeof *watch);
    watch->shard = shard;
    watch->fd = fd;
    watch->call = call;
    watch->arg = arg;
    ev_io_init(&watch->ev, on_ready, fd,
               (events & CHATUP_READ ? EV_READ : 0) | (events & CHATUP_WRITE ? EV_WRITE : 0));
    watch->ev.data = watch;
    list_append(&shard->fd_watches, &watch->link);
    if (shard->desk->loop)
        ev_io_start(loop_ev(shard->desk->loop), &watch->ev);
}

void shard_unwatch_fds(struct shard *shard)
{
    struct fd_watch *watch, *after;
    list_for_each_safe (watch, after, &shard->fd_watches, link)
        fd_watch_free(watch);
}

/* ---- from other threads ---- */

struct call_letter {
    struct letter letter;
    struct shard *shard;
    chatup_called *call;
    void *arg;
};

static void call_arrives(struct letter *letter)
{
    struct call_letter *what = (struct call_letter *)letter;
    struct shard *shard = what->shard;
    running_set(shard->plugin->name, "post");
    if (!shard->closed)
        what->call(shard->self, what->arg, CHATUP_DONE);
    else
        what->call(NULL, what->arg, CHATUP_CANCELLED); /* the plugin is there until this is */
    running_set(NULL, NULL);
    free(what);
    if (atomic_fetch_sub(&shard->posts, 1) == 1)
        chain_look(shard->chain);
}

static void service_post(const struct chatup_loop *loop, chatup_called *call, void *arg)
{
    struct shard *shard = shard_of(loop);
    if (!shard->desk->loop) { /* a trial: nobody would deliver it */
        call(NULL, arg, CHATUP_CANCELLED);
        return;
    }
    struct call_letter *what = xmalloc(sizeof *what);
    *what = (struct call_letter){{.deliver = call_arrives}, shard, call, arg};
    atomic_fetch_add(&shard->posts, 1);
    loop_post(shard->desk->loop, &what->letter);
}

static void service_hold(const struct chatup_loop *loop, int32_t more)
{
    struct shard *shard = shard_of(loop);
    shard->held += more;
    chain_look(shard->chain);
}

const struct chatup_loop_service loop_service = {
    .size = sizeof loop_service,
    .wall_ms = clock_wall_ms,
    .mono_ms = clock_mono_ms,
    .timer = service_timer,
    .timer_cancel = service_timer_cancel,
    .watch = service_watch,
    .post = service_post,
    .hold = service_hold,
};
