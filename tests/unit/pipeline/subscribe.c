/* First frames, between a fake broker and a fake socket. */
#include "unit.h"

#include "../../../core/pipeline.h"
#include "config.h"
#include "frame.h"
#include "loop.h"
#include "message.h"
#include "subscriber.h"

#include <stdio.h>
#include <string.h>

enum { HEADER = 2, LONG_HEADER = 4 }; /* of a frame of less, and of more, than 126 bytes */

/* ---- the broker: it answers with what the test has put here ---- */

static struct snapshot snapshot;
static struct position asked_since;
static broker_subscribed *answer;
static void *answer_arg;

static void fake_subscribe(struct broker *broker, struct name *room, const struct position *since,
                           broker_subscribed *done, void *arg)
{
    asked_since = *since;
    answer = done;
    answer_arg = arg;
}

static void fake_readers(struct broker *broker, struct name *room, uint32_t count)
{
}

/* ---- the socket ---- */

static char got[1024];

static bool writable(struct subscriber *sub)
{
    return true;
}

static bool write_frame(struct subscriber *sub, const struct frame *frame)
{
    size_t header = frame->length < 126 + HEADER ? HEADER : LONG_HEADER;
    snprintf(got, sizeof got, "%.*s", (int)(frame->length - header),
             (const char *)frame->at + header);
    return true;
}

static void ignore(struct subscriber *sub)
{
}

static void ignore_close(struct subscriber *sub, enum close_reason why)
{
}

/* The first frame of a reader who comes with since. */
static const char *first_frame(bool live, const struct position *since)
{
    static const struct subscriber_socket socket = {writable, write_frame, ignore, ignore_close};
    static const struct broker_home home = {.subscribe = fake_subscribe, .readers = fake_readers};
    struct broker broker = {.home = &home};
    struct config conf = {.limits.message_bytes = 64};
    struct loop *loop = loop_create("pipeline");
    struct pipeline pipeline = {.conf = &conf, .loop = loop, .broker = &broker};
    struct error err;
    struct name *room = name_create(text_of("lobby"));
    struct subscriber sub;
    ck_assert(pipeline_init(&pipeline, 0, 1, &err));
    subscriber_init(&sub, &socket, 4096);
    *got = 0;
    (live ? pipeline_subscribe_live : pipeline_subscribe)(&pipeline, &sub, room, since);
    ck_assert_uint_eq(asked_since.offset, since->offset);
    answer(answer_arg, &snapshot);
    pipeline_leave(&pipeline, &sub);
    loop_drain(loop);
    subscriber_finish(&sub);
    pipeline_finish(&pipeline);
    loop_destroy(loop);
    name_unref(room);
    return got;
}

#define LIVE "{\"channel\":\"lobby\",\"epoch\":\"5f1c\",\"offset\":2,\"recovered\":"

START_TEST(who_may_not_see_the_history_is_shown_none_and_not_told_that_it_is_whole)
{
    struct name *room = name_create(text_of("lobby"));
    struct message *message = message_create(
        room, &(struct message_fields){.id = text_of("id"), .time_ms = 1, .msg = text_of("hi")});
    struct message *const messages[] = {message};
    struct position nowhere = {"", 0}, there = {"5f1c", 1}, now = {"5f1c", 2};
    message->offset = 2;

    snapshot = (struct snapshot){BROKER_OK, {"5f1c", 2}, false, messages, 1};
    ck_assert_ptr_nonnull(strstr(first_frame(false, &nowhere), "\"msg\":\"hi\""));
    ck_assert_str_eq(first_frame(true, &nowhere), LIVE "false,\"messages\":[]}");

    snapshot.recovered = true;
    ck_assert_ptr_nonnull(strstr(first_frame(false, &there), LIVE "true,\"messages\":[{\"o\":2"));
    ck_assert_str_eq(first_frame(true, &there), LIVE "false,\"messages\":[]}");

    snapshot.count = 0;
    ck_assert_str_eq(first_frame(false, &now), LIVE "true,\"messages\":[]}");
    ck_assert_str_eq(first_frame(true, &now), LIVE "true,\"messages\":[]}");
    message_unref(message);
    name_unref(room);
}
END_TEST

UNIT_MAIN("subscribe", who_may_not_see_the_history_is_shown_none_and_not_told_that_it_is_whole)
