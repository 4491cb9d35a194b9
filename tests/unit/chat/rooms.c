#include "unit.h"

#include "alloc.h"
#include "clock.h"
#include "frame.h"
#include "loop.h"
#include "message.h"
#include "rooms.h"
#include "subscriber.h"

#include <ev.h>

/* The loop is never started: a test says itself when the turn ends. */

enum { READERS = 3, LONG_MS = 60000, HEADER = 2 };

struct reader {            /* a socket that remembers what was written: "first|hello|a,b|" */
    struct subscriber sub; /* first */
    bool full, closed;
    enum close_reason why;
    char got[256];
};

static struct loop *loop;
static struct rooms *rooms;
static struct name *name;
static struct reader readers[READERS];
static char counts[256]; /* "2 3 0 ": as they were told */

static bool reader_writable(struct subscriber *sub)
{
    return !((struct reader *)sub)->full;
}

static bool reader_write(struct subscriber *sub, const struct frame *frame)
{
    struct reader *reader = (struct reader *)sub;
    size_t used = strlen(reader->got);
    snprintf(reader->got + used, sizeof reader->got - used, "%.*s|", (int)(frame->length - HEADER),
             (const char *)frame->at + HEADER);
    return true;
}

static void reader_close(struct subscriber *sub, enum close_reason why)
{
    struct reader *reader = (struct reader *)sub;
    ck_assert(!reader->closed);
    reader->closed = true;
    reader->why = why;
}

static void reader_admitted(struct subscriber *sub)
{
    (void)sub;
}

static const struct subscriber_socket reader_socket = {reader_writable, reader_write,
                                                       reader_admitted, reader_close};

static struct frame *encode(void *arg, struct room *room, struct message *const *messages,
                            size_t count)
{
    char text[120] = "";
    for (size_t i = 0; i < count; i++) {
        if (i)
            strcat(text, ",");
        strncat(text, messages[i]->fields.msg.at, messages[i]->fields.msg.length);
    }
    if (!strcmp(text, "nothing"))
        return NULL;
    return frame_create(text_of(text));
}

static void count_changed(void *arg, struct room *room, uint32_t count)
{
    size_t used = strlen(counts);
    snprintf(counts + used, sizeof counts - used, "%u ", count);
}

static void begin(int64_t gap_ms, size_t queue_limit)
{
    const struct rooms_up up = {encode, count_changed, NULL};
    loop = loop_create("rooms");
    rooms = rooms_create(loop, &up, gap_ms);
    name = name_create(text_of("room"));
    counts[0] = 0;
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.got = ""};
        subscriber_init(&readers[i].sub, &reader_socket, queue_limit);
    }
}

static void end(void)
{
    for (size_t i = 0; i < READERS; i++) {
        rooms_leave_all(rooms, &readers[i].sub);
        subscriber_finish(&readers[i].sub);
    }
    ck_assert_ptr_null(rooms_find(rooms, name));
    rooms_destroy(rooms);
    loop_destroy(loop);
    name_unref(name);
}

static void turn_ends(void)
{
    loop_drain(loop);
}

static void enter(size_t i, uint64_t offset)
{
    struct membership *member = rooms_await(rooms, name, &readers[i].sub);
    struct frame *first = frame_create(text_of("first"));
    ck_assert(rooms_admit(rooms, member, offset, first));
    frame_unref(first);
}

static void all_enter(void)
{
    for (size_t i = 0; i < READERS; i++)
        enter(i, 0);
    turn_ends();
}

static void add(uint64_t offset, const char *msg)
{
    struct message *message = message_create(
        name, &(struct message_fields){.id = text_of("id"), .time_ms = 1, .msg = text_of(msg)});
    message->offset = offset;
    rooms_add(rooms, message);
    message_unref(message);
}

START_TEST(a_slow_reader_leaves_and_the_others_still_get_the_frame)
{
    begin(0, 20);
    all_enter();
    readers[1].full = true;
    add(1, "ten bytes.");
    turn_ends();
    ck_assert_uint_eq(readers[1].sub.queued, 1);
    ck_assert(!readers[1].closed);
    add(2, "ten bytes!");
    turn_ends();
    ck_assert(readers[1].closed);
    ck_assert_int_eq(readers[1].why, CLOSE_TOO_SLOW);
    ck_assert_uint_eq(readers[1].sub.queued, 0);
    ck_assert_str_eq(readers[1].got, "first|");
    readers[1].full = false;
    add(3, "on"); /* it is closing, but not gone yet */
    turn_ends();
    ck_assert_str_eq(readers[1].got, "first|");
    ck_assert_str_eq(readers[0].got, "first|ten bytes.|ten bytes!|on|");
    ck_assert_str_eq(readers[2].got, readers[0].got);
    end();
}
END_TEST

START_TEST(the_queue_is_sent_in_order_when_the_socket_takes_again)
{
    begin(0, 1000);
    all_enter();
    readers[0].full = true;
    add(1, "a");
    turn_ends();
    add(2, "b");
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|");
    readers[0].full = false;
    add(3, "c"); /* not before what waits */
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|");
    subscriber_on_writable(&readers[0].sub);
    ck_assert_str_eq(readers[0].got, "first|a|b|c|");
    ck_assert_uint_eq(readers[0].sub.queued_bytes, 0);
    add(4, "d");
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|a|b|c|d|");
    end();
}
END_TEST

START_TEST(a_quiet_room_is_flushed_at_the_end_of_the_turn)
{
    begin(LONG_MS, 1000);
    all_enter();
    add(1, "a");
    add(2, "b");
    ck_assert_str_eq(readers[0].got, "first|");
    turn_ends();
    for (size_t i = 0; i < READERS; i++)
        ck_assert_str_eq(readers[i].got, "first|a,b|");
    end();
}
END_TEST

START_TEST(a_busy_room_waits_for_the_gap)
{
    enum { GAP_MS = 30 };
    begin(GAP_MS, 1000);
    all_enter();
    int64_t before_ms = clock_mono_ms();
    add(1, "a");
    turn_ends();
    add(2, "b");
    turn_ends();
    add(3, "c");
    if (clock_mono_ms() - before_ms < GAP_MS)
        ck_assert_str_eq(readers[0].got, "first|a|");
    while (!strcmp(readers[0].got, "first|a|")) {
        ev_run(loop_ev(loop), EVRUN_ONCE);
        turn_ends();
    }
    ck_assert_int_ge(clock_mono_ms() - before_ms, GAP_MS);
    ck_assert_str_eq(readers[0].got, "first|a|b,c|");
    end();
}
END_TEST

START_TEST(a_room_that_was_busy_is_quiet_again_after_the_gap)
{
    begin(10, 1000);
    all_enter();
    add(1, "a");
    turn_ends();
    struct room *room = rooms_find(rooms, name);
    while (clock_mono_ms() < room->quiet_ms)
        ;
    add(2, "b");
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|a|b|");
    end();
}
END_TEST

START_TEST(a_shorter_gap_ends_the_long_one_that_a_room_is_in)
{
    begin(LONG_MS, 1000);
    all_enter();
    add(1, "a");
    turn_ends();
    add(2, "b");
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|a|");
    rooms_set_flush_gap(rooms, 5);
    while (!strcmp(readers[0].got, "first|a|")) {
        ev_run(loop_ev(loop), EVRUN_ONCE);
        turn_ends();
    }
    rooms_set_flush_gap(rooms, 0);
    add(3, "c");
    turn_ends();
    while (!strcmp(readers[0].got, "first|a|b|")) {
        ev_run(loop_ev(loop), EVRUN_ONCE);
        turn_ends();
    }
    add(4, "d");
    turn_ends();
    add(5, "e");
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|a|b|c|d|e|");
    end();
}
END_TEST

START_TEST(who_is_admitted_starts_where_everybody_is)
{
    begin(LONG_MS, 1000);
    enter(0, 0);
    turn_ends();
    add(1, "a");
    turn_ends();
    add(2, "b"); /* waits for the gap */
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|a|");
    enter(1, 2); /* knows it already */
    ck_assert_str_eq(readers[0].got, "first|a|b|");
    ck_assert_str_eq(readers[1].got, "first|");
    add(2, "again");
    add(3, "c");
    enter(2, 3);
    ck_assert_str_eq(readers[0].got, "first|a|b|c|");
    ck_assert_str_eq(readers[1].got, "first|c|");
    ck_assert_str_eq(readers[2].got, "first|");
    end();
}
END_TEST

START_TEST(a_frame_that_nothing_is_left_of_is_not_sent)
{
    begin(0, 1000);
    all_enter();
    add(1, "nothing");
    turn_ends();
    add(2, "something");
    turn_ends();
    ck_assert_str_eq(readers[0].got, "first|something|");
    end();
}
END_TEST

START_TEST(the_count_is_told_once_a_turn)
{
    begin(0, 1000);
    all_enter();
    ck_assert_str_eq(counts, "3 ");
    turn_ends();
    ck_assert_str_eq(counts, "3 ");
    rooms_leave_all(rooms, &readers[0].sub);
    rooms_leave_all(rooms, &readers[1].sub);
    enter(0, 0);
    turn_ends();
    ck_assert_str_eq(counts, "3 2 ");
    rooms_leave_all(rooms, &readers[0].sub);
    rooms_leave_all(rooms, &readers[2].sub);
    ck_assert_str_eq(counts, "3 2 0 "); /* at once: the room is gone */
    ck_assert_ptr_null(rooms_find(rooms, name));
    turn_ends();
    ck_assert_str_eq(counts, "3 2 0 ");
    end();
}
END_TEST

START_TEST(nobody_is_told_that_nobody_listens_while_the_broker_is_asked)
{
    begin(0, 1000);
    enter(0, 0);
    turn_ends();
    struct membership *coming = rooms_await(rooms, name, &readers[1].sub);
    rooms_leave_all(rooms, &readers[0].sub);
    turn_ends(); /* a count of 0 would end the events that the coming one is promised */
    ck_assert_str_eq(counts, "1 ");
    struct frame *first = frame_create(text_of("first"));
    ck_assert(rooms_admit(rooms, coming, 0, first));
    frame_unref(first);
    turn_ends();
    ck_assert_str_eq(counts, "1 1 ");
    end();
}
END_TEST

START_TEST(who_leaves_while_the_broker_is_asked_is_not_admitted)
{
    begin(0, 1000);
    struct frame *first = frame_create(text_of("first"));
    struct membership *left = rooms_await(rooms, name, &readers[0].sub);
    struct membership *refused = rooms_await(rooms, name, &readers[1].sub);
    add(1, "to nobody");
    rooms_leave_all(rooms, &readers[0].sub);
    ck_assert_ptr_nonnull(rooms_find(rooms, name));
    ck_assert(!rooms_admit(rooms, left, 1, first));
    ck_assert_ptr_nonnull(rooms_find(rooms, name));
    rooms_refuse(rooms, refused);
    ck_assert_ptr_null(rooms_find(rooms, name));
    struct membership *closing = rooms_await(rooms, name, &readers[2].sub);
    subscriber_close(&readers[2].sub, CLOSE_UNAVAILABLE);
    ck_assert(!rooms_admit(rooms, closing, 1, first));
    ck_assert_ptr_null(rooms_find(rooms, name));
    for (size_t i = 0; i < READERS; i++)
        ck_assert_str_eq(readers[i].got, "");
    frame_unref(first);
    end();
}
END_TEST

UNIT_MAIN("rooms", nobody_is_told_that_nobody_listens_while_the_broker_is_asked,
          a_slow_reader_leaves_and_the_others_still_get_the_frame,
          the_queue_is_sent_in_order_when_the_socket_takes_again,
          a_quiet_room_is_flushed_at_the_end_of_the_turn, a_busy_room_waits_for_the_gap,
          a_room_that_was_busy_is_quiet_again_after_the_gap,
          a_shorter_gap_ends_the_long_one_that_a_room_is_in,
          who_is_admitted_starts_where_everybody_is, a_frame_that_nothing_is_left_of_is_not_sent,
          the_count_is_told_once_a_turn, who_leaves_while_the_broker_is_asked_is_not_admitted)
