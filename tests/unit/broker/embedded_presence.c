#include "home.h"

/* ---- who is there ---- */

static const char *const members[] = {"00000000-0000-4000-8000-000000000001",
                                      "00000000-0000-4000-8000-000000000002",
                                      "00000000-0000-4000-8000-000000000003"};

START_TEST(joining_and_leaving_are_announced_and_counted)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        readers(home, 1, "room", 4);
        ck_assert_int_eq(join(home, 0, "room", members[0], "alice", "{\"n\":1}"), 0);
        ck_assert_int_eq(join(home, 1, "room", members[1], "alice", "{\"n\":2}"), 0);
        ck_assert_int_eq(join(home, 2, "room", members[2], "bob", "{\"n\":3}"), 0);
        struct call *call = look(home, 0, "room", 0, FAR);
        ck_assert_uint_eq(call->readers, 6);
        ck_assert_uint_eq(call->publishers, 3);
        ck_assert_uint_eq(call->users, 2);
        ck_assert_str_eq(call->clients, "[{\"n\":1},{\"n\":2},{\"n\":3}]");
        ck_assert_uint_eq(call->at.offset, 0);
        call_free(call);
        const struct {
            uint64_t skip, limit;
            const char *clients;
        } views[] = {{1, 1, "[{\"n\":2}]"},
                     {2, 9, "[{\"n\":3}]"},
                     {3, 1, "[]"},
                     {0, 0, "[]"},
                     {0, UINT64_MAX, "[{\"n\":1},{\"n\":2},{\"n\":3}]"}};
        for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
            call = look(home, i % LOOPS, "room", views[i].skip, views[i].limit);
            ck_assert_str_eq(call->clients, views[i].clients);
            call_free(call);
        }
        leave(home, 0, "room", members[0]);
        leave(home, 2, "room", members[2]);
        leave(home, 2, "room", members[2]); /* who is not there */
        call = look(home, 1, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 1);
        ck_assert_uint_eq(call->users, 1);
        call_free(call);
        static const char *const users[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":1}",
                                            "{\"n\":3}"};
        say_many(home, "room", 1);
        for (size_t i = 0; i < LOOPS; i++) {
            for (size_t k = 0; k < 5; k++) {
                const struct message *event = heard(home, i, k);
                ck_assert_uint_eq(event->offset, 0);
                ck_assert(text_is(event->fields.ev, k < 3 ? "join" : "leave"));
                ck_assert(text_is(event->fields.user, users[k]));
            }
            ck_assert_uint_eq(heard(home, i, 5)->offset, 1);
        }
        home_close(home);
    }
}
END_TEST

static void member_id(char id[37], unsigned i)
{
    snprintf(id, 37, "00000000-0000-4000-8000-%012u", i % 1000000);
}

static void join_many(struct home *home, const char *room, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char id[37], who[24];
        member_id(id, (unsigned)i);
        snprintf(who, sizeof who, "user %d", i / 2); /* each comes twice */
        join(home, (size_t)i % LOOPS, room, id, who, "{}");
    }
}

static void leave_many(struct home *home, const char *room, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char id[37];
        member_id(id, (unsigned)i);
        leave(home, (size_t)i % LOOPS, room, id);
    }
}

/* What a loop has heard by now, since that many: "join", "leave", or the data of the rest. */
static void heard_is(struct home *home, size_t from, const char *expected)
{
    char is[512] = "";
    call_free(look(home, 0, "room", 0, 0)); /* it is behind all that was announced */
    settle(home);
    struct ear *ear = &home->ears[0];
    pthread_mutex_lock(&home->lock);
    for (size_t i = from; i < ear->count; i++) {
        const struct message_fields *fields = &ear->heard[i]->fields;
        bool is_number = text_is(fields->ev, "presence");
        struct text what = is_number ? fields->data : fields->ev;
        size_t length = strlen(is);
        ck_assert_uint_eq(ear->heard[i]->offset, 0);
        snprintf(is + length, sizeof is - length, "%.*s\n", (int)what.length, what.at);
    }
    pthread_mutex_unlock(&home->lock);
    ck_assert_str_eq(is, expected);
}

START_TEST(a_crowded_room_tells_its_number_and_not_who_comes_and_goes)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        home->conf.rooms.presence_events = 8;
        home->conf.rooms.presence_gap_ms = 3600000; /* never over, here */
        home_run(home);
        call_free(subscribe(home, 0, "room", (struct position){0}));
        readers(home, 0, "room", 1);
        join_many(home, "room", 0, 7);
        heard_is(home, 0, "join\njoin\njoin\njoin\njoin\njoin\njoin\njoin\n");
        join_many(home, "room", 8, 199); /* 192 more: one event for now */
        heard_is(home, 8, "{\"pubCount\":9,\"users\":5}\n");
        leave_many(home, "room", 7, 199);
        heard_is(home, 9, "");          /* 7 are left: still crowded, it must not flap */
        leave_many(home, "room", 6, 6); /* 6: not any more */
        join_many(home, "room", 6, 7);
        heard_is(home, 9, "join\njoin\n");
        leave_many(home, "room", 5, 7);
        heard_is(home, 11, "leave\nleave\nleave\n");
        struct call *call = look(home, 1, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 5);
        ck_assert_uint_eq(call->users, 3);
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(a_crowded_room_tells_the_last_number_once_the_gap_is_over)
{
    enum { MANY = 500 };
    struct home *home = home_create(DURABILITY_MEMORY);
    home->conf.rooms.presence_events = 2;
    home->conf.rooms.presence_gap_ms = 20;
    home_run(home);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    readers(home, 0, "room", 1);
    join_many(home, "room", 0, MANY - 1);
    for (size_t i = 2;; i++) { /* waits for each */
        const struct message_fields *fields = &heard(home, 0, i)->fields;
        ck_assert(text_is(fields->ev, "presence"));
        ck_assert_uint_lt(i, MANY); /* far fewer, if the machine does not sleep for seconds */
        if (text_is(fields->data, "{\"pubCount\":500,\"users\":250}"))
            break;
    }
    home_close(home);
}
END_TEST

START_TEST(a_room_whose_presence_is_nobodys_business_tells_nothing)
{
    struct home *home = home_create(DURABILITY_MEMORY);
    home->conf.rooms.presence_events = 0;
    home_run(home);
    call_free(subscribe(home, 0, "room", (struct position){0}));
    readers(home, 0, "room", 1);
    join_many(home, "room", 0, 20);
    leave_many(home, "room", 3, 20);
    heard_is(home, 0, "");
    struct call *call = look(home, 1, "room", 0, FAR);
    ck_assert_uint_eq(call->publishers, 3);
    ck_assert_uint_eq(call->users, 2);
    call_free(call);
    home_close(home);
}
END_TEST

static void later_make(struct call *call)
{
    struct embedded *owner = embedded_of(call->broker);
    embedded_sweep(owner, clock_mono_ms() + 3600000, clock_wall_ms() + 2 * 3600000);
    call->count = 0;
    call->moderated = owner->rooms.count + owner->bans.table.count + !list_empty(&owner->cooling);
    call_done(call);
}

START_TEST(rooms_users_and_bans_that_are_gone_cost_nothing)
{
    if (on_redis()) /* of the embedded store only */
        return;
    enum { ROOMS = 200 };
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.rooms.presence_events = 2;
    home_run(home);
    for (int i = 0; i < ROOMS; i++) {
        char room[24], id[37];
        snprintf(room, sizeof room, "room %d", i);
        join_many(home, room, 0, 5);
        say(home, 1, room, "alice", "hi", NULL);
        call_free(subscribe(home, i % LOOPS, room, (struct position){0}));
        readers(home, i % LOOPS, room, 2);
        readers(home, i % LOOPS, room, 0);
        member_id(id, 0);
        ban(home, 0, room, BAN_SUB, "alice", 1000);
        leave_many(home, room, 0, 5);
    }
    for (size_t i = 0; i < LOOPS; i++) {
        struct call *call = call_create(home, i, "none", later_make);
        uint64_t left;
        moderated_by(call, &left);
        ck_assert_uint_eq(left, 0);
    }
    struct call *call = look(home, 0, "room 7", 0, 0); /* and the store knows them all the same */
    ck_assert_uint_eq(call->at.offset, 2);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(the_banned_are_told_when_they_join_and_not_counted)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        listen_on_all_loops(home, "room");
        ck_assert_int_eq(ban(home, 0, "room", BAN_NAME, "alice", 1000), BROKER_OK);
        ck_assert_int_gt(join(home, 1, "room", members[0], "alice", "{}"), 0);
        say_many(home, "room", 0);
        ck_assert_uint_eq(say(home, 2, "room", "bob", "hi", NULL).at.offset, 2);
        for (size_t i = 0; i < LOOPS; i++)
            heard_exactly(home, i, 2);
        struct call *call = look(home, 1, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 0);
        ck_assert_str_eq(call->clients, "[]");
        call_free(call);
        home_close(home);
    }
}
END_TEST

static void join_and_leave_make(struct call *call)
{
    join_make(call);
    broker_leave(call->broker, call->room, call->member);
}

START_TEST(who_leaves_while_the_room_is_being_loaded_has_left)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *call = join_create(home, 0, "room", members[0], "alice", "{}");
        call->make = join_and_leave_make;
        call_start(call);
        call_wait(call);
        ck_assert_int_eq(call->status, BROKER_OK);
        call_free(call);
        call = look(home, 0, "room", 0, FAR);
        ck_assert_uint_eq(call->publishers, 0);
        call_free(call);
        home_close(home);
    }
}
END_TEST

UNIT_MAIN("embedded_presence", joining_and_leaving_are_announced_and_counted,
          a_crowded_room_tells_its_number_and_not_who_comes_and_goes,
          a_crowded_room_tells_the_last_number_once_the_gap_is_over,
          a_room_whose_presence_is_nobodys_business_tells_nothing,
          rooms_users_and_bans_that_are_gone_cost_nothing,
          the_banned_are_told_when_they_join_and_not_counted,
          who_leaves_while_the_room_is_being_loaded_has_left)
