/* The inbox is a stack that producers push to with one compare-and-swap; the loop takes all of it
 * at once and turns it round. Only the push that finds it empty wakes the loop. */
#include "loop.h"
#include "alloc.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct loop {
    struct ev_loop *ev;
    ev_async wake;
    ev_prepare before_sleep;
    _Atomic(struct letter *) inbox; /* newest first */
    struct letter *own, **own_tail; /* from this loop itself, oldest first */
    struct turn_end *hooks;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    char name[16];
};

/* The loop whose thread this is. */
static _Thread_local struct loop *loop_here;

/* A turn's letters beget letters; after so many rounds the sockets get their turn first. */
enum { ROUNDS_PER_TURN = 64 };

static void inbox_take(struct loop *loop)
{
    struct letter *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    struct letter *oldest = NULL;
    while (newest) {
        struct letter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct letter *letter = oldest;
        oldest = letter->next;
        letter->deliver(letter);
    }
}

static void own_take(struct loop *loop)
{
    struct letter *letter = loop->own;
    loop->own = NULL;
    loop->own_tail = &loop->own;
    while (letter) {
        struct letter *next = letter->next;
        letter->deliver(letter);
        letter = next;
    }
}

static void on_wake(struct ev_loop *ev, ev_async *wake, int events)
{
    struct loop *loop = wake->data;
    bool stopping = atomic_load(&loop->stopping); /* first: what was posted before is there then */
    inbox_take(loop);
    if (stopping)
        ev_break(ev, EVBREAK_ALL);
}

static void turn_end(struct loop *loop)
{
    int round = 0;
    do {
        do /* letters that letters bring come first: what leaves at the end leaves together */
            own_take(loop);
        while (loop->own && ++round < ROUNDS_PER_TURN);
        for (struct turn_end *hook = loop->hooks; hook; hook = hook->next)
            hook->run(hook->arg);
    } while (loop->own && ++round < ROUNDS_PER_TURN);
}

static void on_before_sleep(struct ev_loop *ev, ev_prepare *prepare, int events)
{
    struct loop *loop = prepare->data;
    turn_end(loop);
    /* What was fed to a watcher meanwhile is looked at before the sleep, what that posts is not. */
    if (loop->own || ev_pending_count(ev))
        ev_async_send(ev, &loop->wake);
}

struct loop *loop_create(const char *name)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    snprintf(loop->name, sizeof loop->name, "%s", name);
    loop->own_tail = &loop->own;
    loop->ev = alloc_checked(ev_loop_new(EVFLAG_AUTO | EVFLAG_NOSIGMASK));
    ev_async_init(&loop->wake, on_wake);
    loop->wake.data = loop;
    ev_async_start(loop->ev, &loop->wake);
    ev_prepare_init(&loop->before_sleep, on_before_sleep);
    loop->before_sleep.data = loop;
    ev_prepare_start(loop->ev, &loop->before_sleep);
    return loop;
}

static void *loop_run(void *arg)
{
    struct loop *loop = arg;
    loop_here = loop;
    ev_run(loop->ev, 0);
    return NULL;
}

void loop_start(struct loop *loop)
{
    loop->running = true;
    int failed = pthread_create(&loop->thread, NULL, loop_run, loop);
    assert(!failed);
    pthread_setname_np(loop->thread, loop->name);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    ev_async_send(loop->ev, &loop->wake);
}

void loop_join(struct loop *loop)
{
    if (loop->running)
        pthread_join(loop->thread, NULL);
    loop->running = false;
}

bool loop_try_join(struct loop *loop)
{
    if (loop->running && !pthread_tryjoin_np(loop->thread, NULL))
        loop->running = false;
    return !loop->running;
}

bool loop_drain(struct loop *loop)
{
    assert(!loop->running);
    bool any = loop->own || atomic_load(&loop->inbox);
    loop_here = loop;
    inbox_take(loop);
    turn_end(loop);
    loop_here = NULL;
    return any || loop->own;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    assert(!loop->running && !loop->own && !atomic_load(&loop->inbox));
    ev_loop_destroy(loop->ev);
    free(loop);
}

void loop_post(struct loop *loop, struct letter *letter)
{
    if (loop == loop_here) {
        letter->next = NULL;
        *loop->own_tail = letter;
        loop->own_tail = &letter->next;
        return;
    }
    struct letter *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    do
        letter->next = head;
    while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &head, letter, memory_order_release,
                                                  memory_order_relaxed));
    if (!head)
        ev_async_send(loop->ev, &loop->wake);
}

void loop_on_turn_end(struct loop *loop, struct turn_end *hook)
{
    struct turn_end **end = &loop->hooks;
    while (*end)
        end = &(*end)->next;
    hook->next = NULL;
    *end = hook;
}

struct ev_loop *loop_ev(struct loop *loop)
{
    return loop->ev;
}

const char *loop_name_here(void)
{
    return loop_here ? loop_here->name : NULL;
}
