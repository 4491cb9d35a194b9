/* loop.h: one thread with its own libev loop, and the inbox by which other threads reach it.
 *
 * Whatever a loop owns is touched on its thread only; there is no lock. Threads talk by letters:
 * small heap structs that the receiver frees or sends on. A letter that comes from the loop itself
 * waits for the end of the turn, without a system call. Letters of one sender arrive in order. */
#pragma once
#include <stdbool.h>

struct ev_loop;
struct loop;

struct letter {
    struct letter *next;                    /* the inbox' */
    void (*deliver)(struct letter *letter); /* called on the receiving loop; owns the letter then */
};

/* Something to do each time the loop is about to sleep: in the order they were added. */
struct turn_end {
    struct turn_end *next;
    void (*run)(void *arg);
    void *arg;
};

/* name is shown by ps and top. The loop runs once loop_start was called. Main thread. */
struct loop *loop_create(const char *name);
void loop_start(struct loop *loop);
/* Ask it to return from its run, after the letters that were posted before. Any thread. */
void loop_stop(struct loop *loop);
/* Wait for the thread to end. */
void loop_join(struct loop *loop);
/* Whether it has ended already. */
bool loop_try_join(struct loop *loop);
/* After loop_join, on the calling thread: deliver what is left and run the turn's end once.
 *   returns  false when there was nothing to deliver */
bool loop_drain(struct loop *loop);
/* The inbox is empty by then. */
void loop_destroy(struct loop *loop);

/* Hand a letter over; the loop owns it. Any thread. */
void loop_post(struct loop *loop, struct letter *letter);

/* Before loop_start, or on its thread. hook is borrowed and outlives the loop. */
void loop_on_turn_end(struct loop *loop, struct turn_end *hook);

struct ev_loop *loop_ev(struct loop *loop);
/* The name of the loop whose thread this is; NULL on other threads. */
const char *loop_name_here(void);
