/* 02_resume: whose connection breaks misses nothing and gets nothing twice. */
#include "client.h"
#include "flow.h"
#include "token.h"

#include <pthread.h>
#include <stdatomic.h>

enum { PUBLISHERS = 2, SAYS = 500, CUTS = 50 };

struct talk {
    struct server *server;
    int who;
    atomic_int *cuts;
};

/* The talk keeps pace with the cuts, so that messages fall before, between and after all of them.
 */
static void *talk(void *arg)
{
    struct talk *talk = arg;
    struct publisher *publisher =
        publisher_enter(talk->server, textf("user %d", talk->who), "lobby");
    for (int i = 0; i < SAYS; i++) {
        int64_t deadline = deadline_in(30);
        while (i > (atomic_load(talk->cuts) + 2) * SAYS / CUTS) {
            ck_assert_msg(now_ms() < deadline, "the reader is stuck");
            pause_ms(1);
        }
        publisher_say_ok(publisher, textf("%d-%d", talk->who, i));
    }
    publisher_close(publisher);
    return NULL;
}

static void cut_again_and_again(int threads, const char *options)
{
    atomic_int cuts = 0;
    pthread_t ids[PUBLISHERS];
    struct talk talks[PUBLISHERS];
    struct server *server =
        server_start(.threads = threads, .yaml = textf("history:\n  size: 1000\n%s", options));
    struct reader *reader = reader_open(server, "lobby");
    struct account *account = reader_account(reader, "lobby");
    for (int i = 0; i < PUBLISHERS; i++) {
        talks[i] = (struct talk){server, i, &cuts};
        ck_assert_int_eq(pthread_create(&ids[i], NULL, talk, &talks[i]), 0);
    }
    while (cuts < CUTS || account->offset < PUBLISHERS * SAYS) {
        if (cuts < CUTS && account->offset > cuts * PUBLISHERS * SAYS / CUTS) {
            reader_cut(reader); /* with who knows what on its way */
            reader_resume(reader);
            atomic_fetch_add(&cuts, 1);
        } else {
            ck_assert_ptr_nonnull(reader_next(reader));
        }
    }
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(ids[i], NULL);

    ck_assert_int_eq(cuts, CUTS);
    account_expect_clean(account);
    ck_assert_uint_eq(account->first_frames, CUTS + 1);
    ck_assert_uint_eq(account->recovered, CUTS);
    ck_assert_uint_eq(json_array_size(account->messages), PUBLISHERS * SAYS);
    int next[PUBLISHERS] = {0}, who, number;
    for (size_t i = 0; i < PUBLISHERS * SAYS; i++) {
        const char *text = get_string(json_array_get(account->messages, i), "msg");
        ck_assert_int_eq(sscanf(text, "%d-%d", &who, &number), 2);
        ck_assert_int_eq(number, next[who]++);
    }
}

START_TEST(fifty_cuts_lose_nothing)
{
    cut_again_and_again(1, "");
}
END_TEST

START_TEST(fifty_cuts_lose_nothing_on_three_loops)
{
    cut_again_and_again(3, "");
}
END_TEST

START_TEST(fifty_cuts_lose_nothing_without_io_uring)
{
    cut_again_and_again(1, "io_uring: no\n");
}
END_TEST

static json_t *first_frame(struct server *server, const char *channel, const char *since)
{
    struct reader *reader =
        reader_open_query(server, json_pack("[{s:s,s:s}]", "channel", channel, "since", since));
    json_t *frame = json_deep_copy(reader->frame);
    reader_close(reader);
    return frame;
}

static void expect_frame(json_t *frame, bool recovered, int64_t from, int64_t to)
{
    json_t *messages = get_array(frame, "messages");
    ck_assert_msg(json_is_true(json_object_get(frame, "recovered")) == recovered, "%s",
                  json_text(frame));
    ck_assert_int_eq((int64_t)json_array_size(messages), to - from + 1);
    for (int64_t o = from; o <= to; o++)
        ck_assert_int_eq(get_int(json_array_get(messages, (size_t)(o - from)), "o"), o);
    ck_assert_int_eq(get_int(frame, "offset"), to);
}

START_TEST(what_cannot_be_proven_continuous_is_the_whole_history)
{
    struct server *server = server_start(.yaml = "history:\n  size: 10\n");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 1; i <= 30; i++)
        publisher_say_ok(ann, textf("%d", i));
    struct reader *reader = reader_open(server, "lobby");
    const char *epoch = reader_account(reader, "lobby")->epoch;
    expect_frame(reader->frame, false, 21, 30);
    expect_frame(first_frame(server, "lobby", position_of(epoch, 5)), false, 21, 30);
    expect_frame(first_frame(server, "lobby", position_of(epoch, 19)), false, 21, 30);
    expect_frame(first_frame(server, "lobby", position_of(epoch, 20)), true, 21, 30);
    expect_frame(first_frame(server, "lobby", position_of(epoch, 25)), true, 26, 30);
    expect_frame(first_frame(server, "lobby", position_of(epoch, 30)), true, 31, 30);
    expect_frame(first_frame(server, "lobby", position_of(epoch, 31)), false, 21, 30);
    char other[64];
    snprintf(other, sizeof other, "%s", epoch);
    other[0] = other[0] == 'a' ? 'b' : 'a';
    expect_frame(first_frame(server, "lobby", position_of(other, 25)), false, 21, 30);
}
END_TEST

START_TEST(each_channel_has_a_position_of_its_own)
{
    struct server *server = server_start(.threads = 2);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct publisher *bob = publisher_enter(server, "Bob", "news");
    for (int i = 1; i <= 3; i++) {
        publisher_say_ok(ann, textf("a%d", i));
        publisher_say_ok(bob, textf("b%d", i));
    }
    struct reader *probe = reader_open(server, "lobby");
    char *since = position_of(reader_account(probe, "lobby")->epoch, 2);
    struct reader *reader = reader_open_path(server, textf("/ws/lobby/news?since=%s,", since), 2);
    assert_json(texts_of(reader_account(reader, "lobby")->messages), "[\"a3\"]");
    assert_json(texts_of(reader_account(reader, "news")->messages), "[\"b1\",\"b2\",\"b3\"]");
    ck_assert_uint_eq(reader_account(reader, "lobby")->recovered, 1);
    ck_assert_uint_eq(reader_account(reader, "news")->recovered, 0);
    publisher_say_ok(ann, "a4");
    reader_wait_message(reader, "lobby", "a4");
    reader_cut(reader);
    publisher_say_ok(bob, "b4");
    reader_resume(reader);
    assert_json(texts_of(reader_account(reader, "lobby")->messages), "[\"a3\",\"a4\"]");
    assert_json(texts_of(reader_account(reader, "news")->messages),
                "[\"b1\",\"b2\",\"b3\",\"b4\"]");
    account_expect_clean(reader_account(reader, "lobby"));
    account_expect_clean(reader_account(reader, "news"));
}
END_TEST

FLOW_MAIN("resume", fifty_cuts_lose_nothing, fifty_cuts_lose_nothing_on_three_loops,
          fifty_cuts_lose_nothing_without_io_uring,
          what_cannot_be_proven_continuous_is_the_whole_history,
          each_channel_has_a_position_of_its_own)
