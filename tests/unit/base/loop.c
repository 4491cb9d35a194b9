#include "unit.h"

#include "loop.h"

#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { SENDERS = 3, LETTERS = 20000 };

struct note {
    struct letter letter;
    int sender, number;
};

static struct loop *loop;
static char diary[128];
static int last[SENDERS], out_of_order;
static struct note notes[SENDERS][LETTERS];

static void write_down(const char *what)
{
    strncat(diary, what, sizeof diary - strlen(diary) - 1);
}

/* ---- within one thread ---- */

static void own_arrives(struct letter *letter)
{
    write_down("own ");
}

static struct letter own = {.deliver = own_arrives};

static void own_stops_arrives(struct letter *letter)
{
    write_down("own stops ");
    loop_stop(loop);
}

static struct letter own_stops = {.deliver = own_stops_arrives};

static void asks_arrives(struct letter *letter)
{
    write_down("asks ");
    loop_post(loop, &own);
    write_down("goes on ");
}

static void second_arrives(struct letter *letter)
{
    write_down("second ");
}

static void hook_runs(void *arg)
{
    write_down(arg);
}

static void begin(void)
{
    loop = loop_create("test");
    diary[0] = 0;
}

START_TEST(a_letter_to_oneself_waits_for_the_end_of_the_turn)
{
    struct letter asks = {.deliver = asks_arrives}, second = {.deliver = second_arrives};
    struct turn_end first_hook = {.run = hook_runs, .arg = (char[]){"hook1 "}};
    struct turn_end second_hook = {.run = hook_runs, .arg = (char[]){"hook2 "}};
    begin();
    loop_on_turn_end(loop, &first_hook);
    loop_on_turn_end(loop, &second_hook);
    loop_post(loop, &asks);
    loop_post(loop, &second);
    ck_assert_str_eq(diary, "");
    ck_assert(loop_drain(loop));
    ck_assert_str_eq(diary, "asks goes on second own hook1 hook2 ");
    loop_destroy(loop);
}
END_TEST

static void hook_posts_once(void *arg)
{
    bool *posted = arg;
    write_down("hook ");
    if (!*posted)
        loop_post(loop, &own);
    *posted = true;
}

START_TEST(what_the_end_of_the_turn_posts_is_delivered_in_it)
{
    bool posted = false;
    struct turn_end hook = {.run = hook_posts_once, .arg = &posted};
    begin();
    loop_on_turn_end(loop, &hook);
    loop_drain(loop);
    ck_assert_str_eq(diary, "hook own hook ");
    loop_destroy(loop);
}
END_TEST

/* As a socket's, of which openssl has read more than was asked for. */
static void fed(struct ev_loop *ev, ev_io *io, int events)
{
    write_down("fed ");
    loop_post(loop, &own_stops);
}

static void hook_feeds_once(void *arg)
{
    ev_io **io = arg;
    if (*io)
        ev_feed_event(loop_ev(loop), *io, EV_READ);
    *io = NULL;
}

static void on_late(struct ev_loop *ev, ev_timer *timer, int events)
{
    write_down("late ");
    loop_stop(loop);
}

START_TEST(what_an_event_of_the_end_of_the_turn_posts_does_not_wait_for_another)
{
    ev_io io, *to_feed = &io;
    ev_timer late;
    struct turn_end hook = {.run = hook_feeds_once, .arg = &to_feed};
    begin();
    ev_io_init(&io, fed, 0, EV_READ);
    ev_timer_init(&late, on_late, 10, 0);
    ev_timer_start(loop_ev(loop), &late);
    loop_on_turn_end(loop, &hook);
    loop_start(loop);
    loop_join(loop);
    ck_assert_str_eq(diary, "fed own stops ");
    ev_timer_stop(loop_ev(loop), &late);
    loop_destroy(loop);
}
END_TEST

START_TEST(an_empty_inbox_has_nothing_to_drain)
{
    struct letter second = {.deliver = second_arrives};
    begin();
    ck_assert(!loop_drain(loop));
    loop_post(loop, &second);
    ck_assert(loop_drain(loop));
    ck_assert(!loop_drain(loop));
    loop_destroy(loop);
}
END_TEST

/* ---- between threads ---- */

static void note_arrives(struct letter *letter)
{
    struct note *note = (struct note *)letter;
    if (note->number != last[note->sender] + 1)
        out_of_order++;
    last[note->sender] = note->number;
}

static void *sender_run(void *arg)
{
    struct note *mine = arg;
    for (int i = 0; i < LETTERS; i++)
        loop_post(loop, &mine[i].letter);
    return NULL;
}

START_TEST(letters_of_one_sender_arrive_in_order_and_before_the_stop)
{
    pthread_t threads[SENDERS];
    begin();
    out_of_order = 0;
    loop_start(loop);
    for (int s = 0; s < SENDERS; s++) {
        last[s] = 0;
        for (int i = 0; i < LETTERS; i++)
            notes[s][i] = (struct note){{.deliver = note_arrives}, s, i + 1};
        pthread_create(&threads[s], NULL, sender_run, notes[s]);
    }
    for (int s = 0; s < SENDERS; s++)
        pthread_join(threads[s], NULL);
    loop_stop(loop);
    loop_join(loop);
    ck_assert(!loop_drain(loop));
    ck_assert_int_eq(out_of_order, 0);
    for (int s = 0; s < SENDERS; s++)
        ck_assert_int_eq(last[s], LETTERS);
    loop_destroy(loop);
}
END_TEST

START_TEST(what_was_posted_after_the_stop_is_left_to_drain)
{
    struct letter second = {.deliver = second_arrives};
    begin();
    loop_start(loop);
    loop_stop(loop);
    loop_join(loop);
    loop_post(loop, &second);
    ck_assert(loop_drain(loop));
    ck_assert_str_eq(diary, "second ");
    loop_destroy(loop);
}
END_TEST

UNIT_MAIN("loop", a_letter_to_oneself_waits_for_the_end_of_the_turn,
          what_the_end_of_the_turn_posts_is_delivered_in_it,
          what_an_event_of_the_end_of_the_turn_posts_does_not_wait_for_another,
          an_empty_inbox_has_nothing_to_drain,
          letters_of_one_sender_arrive_in_order_and_before_the_stop,
          what_was_posted_after_the_stop_is_left_to_drain)
