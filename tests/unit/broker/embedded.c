#include "home.h"

#include <stdatomic.h>

/* ---- numbers and order ---- */

START_TEST(offsets_are_one_two_three_whoever_speaks_on_whatever_loop)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        for (uint64_t i = 1; i <= 30; i++) {
            struct published result = say(home, i % LOOPS, "room", "alice", "hi", NULL);
            ck_assert_int_eq(result.status, BROKER_OK);
            ck_assert_uint_eq(result.at.offset, i);
            ck_assert_uint_eq(strlen(result.id), UUID_LENGTH);
        }
        ck_assert_uint_eq(say(home, 0, "other", "alice", "hi", NULL).at.offset, 1);
        home_close(home);
    }
}
END_TEST

START_TEST(what_one_loop_says_keeps_its_order_also_while_the_room_is_being_loaded)
{
    enum { ROOMS = 30, EACH = 40 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        for (int r = 0; r < ROOMS; r++) {
            char room[24];
            bool given[LOOPS * EACH] = {0};
            struct call *calls[LOOPS][EACH];
            snprintf(room, sizeof room, "room %d", r);
            for (size_t k = 0; k < EACH; k++)
                for (size_t i = 0; i < LOOPS; i++)
                    calls[i][k] = say_start(home, i, room, "alice", "hi", NULL);
            for (size_t i = 0; i < LOOPS; i++) {
                uint64_t last = 0;
                for (size_t k = 0; k < EACH; k++) {
                    struct published result = said(calls[i][k]);
                    ck_assert_int_eq(result.status, BROKER_OK);
                    ck_assert_uint_gt(result.at.offset, last);
                    ck_assert_uint_le(result.at.offset, LOOPS * EACH);
                    last = result.at.offset;
                    ck_assert(!given[last - 1]);
                    given[last - 1] = true;
                }
            }
        }
        home_close(home);
    }
}
END_TEST

/* ---- one order for everybody ---- */

enum { FLOOD = 600, IN_FLIGHT = 6 }; /* from each of two loops */

struct flood {
    struct letter letter;
    struct home *home;
    size_t loop, begun, ended;
    struct name *room;
};

/* The third loop: subscribes again as soon as it has its answer, now and then as one that had left
 * the room in between. What it was told, by snapshots and by events, it keeps by offset. */
struct restless {
    struct letter letter;
    struct home *home;
    struct name *room;
    struct broker *broker;
    struct position since;
    uint64_t last;
    unsigned rounds;
    bool away, done;
    atomic_uint wrong;
    char ids[2 * FLOOD + 1][UUID_LENGTH + 1];
} restless;

static void flood_said(void *arg, const struct published *result);

static void flood_go(struct flood *flood)
{
    while (flood->begun < FLOOD && flood->begun - flood->ended < IN_FLIGHT) {
        const struct publication what = {.message = message_by(flood->room, "alice", "hi", NULL),
                                         .check_ban = true};
        flood->begun++;
        broker_publish(home_broker(flood->home, flood->loop), &what, flood_said, flood);
    }
}

static void flood_said(void *arg, const struct published *result)
{
    struct flood *flood = arg;
    if (result->status != BROKER_OK)
        atomic_fetch_add(&restless.wrong, 1);
    flood->ended++;
    flood_go(flood);
}

static void flood_arrives(struct letter *letter)
{
    flood_go((struct flood *)letter);
}

static void restless_takes(const struct message *message)
{
    if (message->offset != restless.last + 1 || message->offset > 2 * FLOOD) {
        atomic_fetch_add(&restless.wrong, 1);
        return;
    }
    restless.last = message->offset;
    memcpy(restless.ids[message->offset], message->fields.id.at, UUID_LENGTH);
}

static void restless_subscribed(void *arg, const struct snapshot *snapshot);

static void restless_goes(void)
{
    restless.away = restless.rounds++ % 2;
    if (restless.away)
        broker_readers(restless.broker, restless.room, 0);
    restless.since.offset = restless.last;
    broker_subscribe(restless.broker, restless.room, &restless.since, restless_subscribed, NULL);
}

static void restless_subscribed(void *arg, const struct snapshot *snapshot)
{
    bool first = !*restless.since.epoch;
    if (snapshot->status != BROKER_OK || snapshot->recovered == first ||
        snapshot->at.offset != restless.since.offset + snapshot->count ||
        (!first && !restless.away && snapshot->at.offset != restless.last))
        atomic_fetch_add(&restless.wrong, 1);
    for (size_t i = 0; i < snapshot->count; i++) { /* some had come as events in the meantime */
        uint64_t offset = snapshot->messages[i]->offset;
        if (offset != restless.since.offset + 1 + i)
            atomic_fetch_add(&restless.wrong, 1);
        if (offset > restless.last)
            restless_takes(snapshot->messages[i]);
    }
    if (restless.last != snapshot->at.offset)
        atomic_fetch_add(&restless.wrong, 1);
    restless.since = snapshot->at;
    broker_readers(restless.broker, restless.room, 1);
    if (restless.last < 2 * FLOOD && !atomic_load(&restless.wrong)) {
        restless_goes();
        return;
    }
    pthread_mutex_lock(&restless.home->lock);
    restless.done = true;
    pthread_cond_broadcast(&restless.home->news);
    pthread_mutex_unlock(&restless.home->lock);
}

static void restless_arrives(struct letter *letter)
{
    restless.broker = home_broker(restless.home, LOOPS - 1);
    restless_goes();
}

static void flood_heard(void *arg, struct message *message)
{
    struct ear *ear = arg;
    if (ear == &ear->home->ears[LOOPS - 1])
        restless_takes(message);
    else
        ear_hears(arg, message);
}

START_TEST(every_loop_sees_the_same_order_while_two_publish_and_one_comes_and_goes)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        struct flood floods[2];
        home->on_event = flood_heard;
        home_run(home);
        memset(&restless, 0, sizeof restless);
        restless.letter.deliver = restless_arrives;
        restless.home = home;
        restless.room = name_create(text_of("flood"));
        for (size_t i = 0; i < 2; i++) {
            call_free(subscribe(home, i, "flood", (struct position){0}));
            readers(home, i, "flood", 1);
        }
        loop_post(home->loops[LOOPS - 1], &restless.letter);
        for (size_t i = 0; i < 2; i++) {
            floods[i] = (struct flood){{.deliver = flood_arrives}, home, i, 0, 0, restless.room};
            loop_post(home->loops[i], &floods[i].letter);
        }
        wait_until(home, &restless.done, NULL, 0);
        ck_assert_uint_eq(atomic_load(&restless.wrong), 0);
        for (size_t i = 0; i < 2; i++) {
            heard_exactly(home, i, 2 * FLOOD);
            for (size_t k = 0; k < 2 * FLOOD; k++)
                ck_assert(text_is(heard(home, i, k)->fields.id, restless.ids[k + 1]));
        }
        struct name *room = restless.room;
        home_close(home);
        name_unref(room);
    }
}
END_TEST

START_TEST(a_loop_without_readers_hears_nothing_more)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        say_many(home, "room", 2);
        heard_exactly(home, 1, 2);
        readers(home, 1, "room", 0);
        say_many(home, "room", 2);
        heard_exactly(home, 0, 4);
        heard_exactly(home, 2, 4);
        heard_exactly(home, 1, 2);
        home_close(home);
    }
}
END_TEST

/* ---- resuming ---- */

START_TEST(resume_gives_exactly_the_rest)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 9);
        struct position since = say(home, 1, "room", "alice", "hi", NULL).at;
        for (since.offset = 0; since.offset <= 10; since.offset++) {
            struct call *call = subscribe(home, since.offset % LOOPS, "room", since);
            ck_assert(call->recovered);
            ck_assert_uint_eq(call->at.offset, 10);
            ck_assert_str_eq(call->at.epoch, since.epoch);
            messages_are(call, since.offset + 1, 10);
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(resume_from_too_old_or_ahead_or_another_epoch_is_not_recovered)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        home->conf.history.size = 5;
        home_run(home);
        say_many(home, "room", 9);
        struct position at = say(home, 1, "room", "alice", "hi", NULL).at;
        struct position too_old = at, oldest = at, ahead = at, other = at;
        too_old.offset = 4;
        oldest.offset = 5;
        ahead.offset = 11;
        strcpy(other.epoch, "another");
        const struct {
            struct position since;
            bool recovered;
        } cases[] = {{too_old, false},
                     {ahead, false},
                     {other, false},
                     {{.epoch = ""}, false},
                     {oldest, true}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct call *call = subscribe(home, i % LOOPS, "room", cases[i].since);
            ck_assert_int_eq(call->recovered, cases[i].recovered);
            messages_are(call, 6, 10);
            ck_assert_uint_eq(call->at.offset, 10);
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(resume_goes_on_after_a_restart)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    say_many(home, "room", 4);
    struct position since = say(home, 1, "room", "alice", "hi", NULL).at;
    home_reopen(home);
    since.offset = 3;
    struct call *call = subscribe(home, 2, "room", since);
    ck_assert(call->recovered);
    messages_are(call, 4, 5);
    call_free(call);
    ck_assert_uint_eq(say(home, 0, "room", "alice", "hi", NULL).at.offset, 6);
    home_close(home);
}
END_TEST

START_TEST(memory_begins_a_new_epoch_at_each_start)
{
    if (on_redis()) /* of the embedded store only */
        return;
    struct home *home = home_open(DURABILITY_MEMORY);
    struct position since = say(home, 0, "room", "alice", "hi", NULL).at;
    ck_assert_uint_eq(strlen(since.epoch), 16);
    home_reopen(home);
    struct call *call = subscribe(home, 0, "room", since);
    ck_assert(!call->recovered);
    ck_assert_str_ne(call->at.epoch, since.epoch);
    ck_assert_uint_eq(call->count, 0);
    ck_assert_uint_eq(call->at.offset, 0);
    call_free(call);
    home_close(home);
}
END_TEST

/* ---- saying it twice ---- */

START_TEST(a_repeated_client_id_is_answered_as_the_first)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct published first = say(home, 0, "room", "alice", "one", "alice:1");
        for (size_t i = 0; i < LOOPS; i++) {
            struct published again = say(home, i, "room", "alice", "one", "alice:1");
            ck_assert_int_eq(again.status, BROKER_OK);
            ck_assert_uint_eq(again.at.offset, first.at.offset);
            ck_assert_str_eq(again.id, first.id);
        }
        ck_assert_uint_eq(say(home, 0, "room", "alice", "two", "alice:2").at.offset, 2);
        ck_assert_uint_eq(say(home, 0, "other", "alice", "one", "alice:1").at.offset, 1);
        home_close(home);
    }
}
END_TEST

START_TEST(a_client_id_repeated_while_the_first_is_under_way_is_answered_as_that)
{
    enum { TIMES = 40 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[TIMES];
        listen_on_all_loops(home, "room");
        for (size_t i = 0; i < TIMES; i++)
            calls[i] = say_start(home, i % LOOPS, "room", "alice", "one", "alice:1");
        char id[UUID_LENGTH + 1] = "";
        for (size_t i = 0; i < TIMES; i++) {
            struct published result = said(calls[i]);
            ck_assert_int_eq(result.status, BROKER_OK);
            ck_assert_uint_eq(result.at.offset, 1);
            if (!*id)
                strcpy(id, result.id);
            ck_assert_str_eq(result.id, id);
        }
        ck_assert_uint_eq(say(home, 0, "room", "alice", "two", NULL).at.offset, 2);
        for (size_t i = 0; i < LOOPS; i++)
            heard_exactly(home, i, 2);
        home_close(home);
    }
}
END_TEST

START_TEST(a_client_id_is_known_after_a_restart)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct published first = say(home, 0, "room", "alice", "one", "alice:1");
    say_many(home, "room", 2);
    home_reopen(home);
    struct published again = say(home, 1, "room", "alice", "one", "alice:1");
    ck_assert_int_eq(again.status, BROKER_OK);
    ck_assert_uint_eq(again.at.offset, 1);
    ck_assert_str_eq(again.id, first.id);
    ck_assert_uint_eq(say(home, 1, "room", "alice", "one", "alice:2").at.offset, 4);
    home_close(home);
}
END_TEST

/* ---- looking ---- */

START_TEST(look_shows_the_history)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        say_many(home, "room", 4);
        struct call *call = look(home, 2, "room", 0, FAR);
        messages_are(call, 1, 4);
        ck_assert_uint_eq(call->at.offset, 4);
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(a_page_of_the_history_has_no_tombstones)
{
    static const struct {
        struct history_part part;
        uint64_t offsets[8];
    } cases[] = {
        {{.before = UINT64_MAX, .max = UINT64_MAX}, {1, 2, 4, 6, 7, 8}},
        {{.before = UINT64_MAX, .max = 3}, {6, 7, 8}},
        {{.before = 6, .max = 2}, {2, 4}},
        {{.before = 2, .max = 2}, {1}},
        {{.before = 1, .max = 2}, {0}},
        {{.before = 0, .max = 2}, {0}},
        {{.before = UINT64_MAX, .max = 2, .oldest = true}, {1, 2}},
        {{.after = 2, .before = UINT64_MAX, .max = 2, .oldest = true}, {4, 6}},
        {{.after = 7, .before = UINT64_MAX, .max = 2, .oldest = true}, {8}},
        {{.after = 8, .before = UINT64_MAX, .max = 2, .oldest = true}, {0}},
        {{.after = 99, .before = UINT64_MAX, .max = 2, .oldest = true}, {0}},
        {{.before = UINT64_MAX}, {0}},
    };
    struct home *home = home_open(DURABILITY_MEMORY);
    say_many(home, "room", 6);
    removes(home, 0, "room", (struct removal){.offset = 3}); /* rmMsg is 7 */
    removes(home, 0, "room", (struct removal){.offset = 5}); /* rmMsg is 8 */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct call *call = call_create(home, 1, "room", look_make);
        call->asked.history = cases[i].part;
        call_start(call);
        call_wait(call);
        size_t count = 0;
        for (; cases[i].offsets[count]; count++) {
            ck_assert_uint_lt(count, call->count);
            ck_assert_uint_eq(call->messages[count]->offset, cases[i].offsets[count]);
        }
        ck_assert_uint_eq(call->count, count);
        call_free(call);
    }
    home_close(home);
}
END_TEST

UNIT_MAIN("embedded", offsets_are_one_two_three_whoever_speaks_on_whatever_loop,
          what_one_loop_says_keeps_its_order_also_while_the_room_is_being_loaded,
          every_loop_sees_the_same_order_while_two_publish_and_one_comes_and_goes,
          a_loop_without_readers_hears_nothing_more, resume_gives_exactly_the_rest,
          resume_from_too_old_or_ahead_or_another_epoch_is_not_recovered,
          resume_goes_on_after_a_restart, memory_begins_a_new_epoch_at_each_start,
          a_repeated_client_id_is_answered_as_the_first,
          a_client_id_repeated_while_the_first_is_under_way_is_answered_as_that,
          a_client_id_is_known_after_a_restart, a_page_of_the_history_has_no_tombstones,
          look_shows_the_history)
