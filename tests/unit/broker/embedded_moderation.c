#include "home.h"

/* ---- bans ---- */

static void alice_is_banned(struct home *home)
{
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, 3);
    ck_assert(call->messages[0]->removed);
    ck_assert_ptr_null(call->messages[0]->fields.msg.at);
    ck_assert(!call->messages[1]->removed);
    ck_assert(text_is(call->messages[1]->fields.msg, "good"));
    ck_assert(text_is(call->messages[2]->fields.ev, "rmUserMsg"));
    call_free(call);
    for (size_t i = 0; i < LOOPS; i++) {
        int64_t ttl = banned_for(home, i, "room", "alice");
        ck_assert_int_gt(ttl, 0);
        ck_assert_int_le(ttl, 1000);
        ck_assert_int_eq(banned_for(home, i, "room", "bob"), 0);
        ck_assert_int_eq(banned_for(home, i, "other", "alice"), 0);
        struct published refused = say(home, i, "room", "alice", "bad", NULL);
        ck_assert_int_eq(refused.status, BROKER_BANNED);
        ck_assert_int_gt(refused.ban_ttl, 0);
        ck_assert_int_le(refused.ban_ttl, 1000);
    }
}

START_TEST(a_ban_is_in_force_everywhere_and_removes_what_was_said)
{
    EACH_DURABILITY(durability)
    {
        for (enum ban_kind kind = BAN_NAME; kind <= BAN_SUB; kind++) {
            struct home *home = home_open(durability);
            listen_on_all_loops(home, "room");
            say(home, 0, "room", "alice", "bad", NULL);
            say(home, 1, "room", "bob", "good", NULL);
            ck_assert_int_eq(ban(home, 2, "room", kind, "alice", 1000), BROKER_OK);
            alice_is_banned(home);
            for (size_t i = 0; i < LOOPS; i++) {
                heard_exactly(home, i, 3);
                ck_assert(text_is(heard(home, i, 2)->fields.ev, "rmUserMsg"));
            }
            ck_assert_int_eq(say(home, 0, "other", "alice", "hi", NULL).status, BROKER_OK);
            if (durability == DURABILITY_COMMIT) {
                home_reopen(home);
                alice_is_banned(home);
            }
            ck_assert_uint_eq(say(home, 0, "room", "bob", "good", NULL).at.offset, 4);
            home_close(home);
        }
    }
}
END_TEST

START_TEST(a_ban_for_ever_has_no_end_and_your_servers_may_speak_all_the_same)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "alice", BAN_FOR_EVER), BROKER_OK);
        ck_assert_int_eq(banned_for(home, 2, "room", "alice"), BAN_FOR_EVER);
        ck_assert_int_eq(say(home, 0, "room", "alice", "hi", NULL).ban_ttl, BAN_FOR_EVER);
        struct call *call = call_create(home, 0, "room", publish_make);
        call->message = message_by(call->room, "alice", "from the server", NULL);
        struct published result = said(call_start(call));
        ck_assert_int_eq(result.status, BROKER_OK);
        ck_assert_uint_eq(result.at.offset, 2);
        home_close(home);
    }
}
END_TEST

START_TEST(what_tells_of_a_removal_is_not_removed)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *event = call_create(home, 0, "room", publish_make);
        event->message = message_by(event->room, "judge", NULL, "rmUserMsg");
        ck_assert_int_eq(said(call_start(event)).status, BROKER_OK);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "judge", 1000), BROKER_OK);
        for (int again = 0; again <= (durability == DURABILITY_COMMIT); again++) {
            struct call *call = subscribe(home, 0, "room", (struct position){0});
            messages_are(call, 1, 2);
            for (size_t i = 0; i < 2; i++)
                ck_assert(text_is(call->messages[i]->fields.ev, "rmUserMsg"));
            call_free(call);
            if (!again)
                home_reopen(home);
        }
        home_close(home);
    }
}
END_TEST

/* Its history, oldest first: x for a tombstone, the text, or the event and its data; also by
 * resuming after the first message, which must be possible. */
static void history_is(struct home *home, size_t loop, const char *room, const char *expected)
{
    struct call *call = subscribe(home, loop, room, (struct position){0});
    char is[512] = "";
    for (size_t i = 0; i < call->count; i++) {
        const struct message_fields *fields = &call->messages[i]->fields;
        size_t length = strlen(is);
        ck_assert_uint_eq(call->messages[i]->offset, i + 1);
        if (call->messages[i]->removed)
            snprintf(is + length, sizeof is - length, "x\n");
        else
            snprintf(is + length, sizeof is - length, "%.*s%.*s %.*s\n", (int)fields->msg.length,
                     fields->msg.length ? fields->msg.at : "", (int)fields->ev.length,
                     fields->ev.length ? fields->ev.at : "", (int)fields->data.length,
                     fields->data.length ? fields->data.at : "");
    }
    ck_assert_str_eq(is, expected);
    struct position since = call->at;
    since.offset = 1;
    struct call *resumed = subscribe(home, loop, room, since);
    ck_assert(resumed->recovered);
    ck_assert_uint_eq(resumed->count, call->count - 1);
    for (size_t i = 0; i < resumed->count; i++)
        ck_assert_int_eq(resumed->messages[i]->removed, call->messages[i + 1]->removed);
    call_free(resumed);
    call_free(call);
}

START_TEST(a_ban_everywhere_holds_in_every_room_and_removes_in_those_that_have_something)
{
    enum { ROOMS = 250, QUIET = 20 }; /* more than are looked at in one go */
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        char room[24];
        uint64_t removed;
        for (int i = 0; i < ROOMS; i++) {
            snprintf(room, sizeof room, "room %d", i);
            say(home, i % LOOPS, room, "alice", "bad", NULL);
            say(home, i % LOOPS, room, "bob", "good", NULL);
        }
        for (int i = 0; i < QUIET; i++) {
            snprintf(room, sizeof room, "quiet %d", i);
            say(home, i % LOOPS, room, "bob", "good", NULL);
        }
        if (durability == DURABILITY_COMMIT) { /* none of them is in memory, nor would they fit */
            home->conf.limits.rooms = LOOPS;
            home_reopen(home);
        }
        struct call *call = ban_call(home, 1, NULL, BAN_SUB, "alice", 1000);
        ck_assert_int_eq(moderated_by(call, &removed), BROKER_OK);
        ck_assert_uint_eq(removed, ROOMS);
        for (size_t i = 0; i < LOOPS; i++) {
            ck_assert_int_gt(banned_for(home, i, "room 7", "alice"), 0);
            ck_assert_int_gt(banned_for(home, i, "never heard of", "alice"), 0);
            ck_assert_int_eq(banned_for(home, i, "room 7", "bob"), 0);
        }
        if (durability == DURABILITY_COMMIT) {
            home->conf.limits.rooms = 1000;
            home_reopen(home);
        }
        for (int i = 0; i < ROOMS; i += 10) {
            snprintf(room, sizeof room, "room %d", i);
            history_is(home, 0, room, "x\ngood \nrmUserMsg \"alice\"\n");
        }
        history_is(home, 0, "quiet 3", "good \n");
        ck_assert_int_eq(say(home, 2, "quiet 3", "alice", "hi", NULL).status, BROKER_BANNED);
        home_close(home);
    }
}
END_TEST

START_TEST(what_is_said_while_a_ban_everywhere_comes_does_not_stay)
{
    enum { SAYS = 300 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[SAYS];
        char room[24];
        for (int i = 0; i < SAYS; i++) {
            snprintf(room, sizeof room, "room %d", i % 5);
            calls[i] = say_start(home, i % LOOPS, room, "alice", "bad", NULL);
        }
        ck_assert_int_eq(ban(home, 2, NULL, BAN_NAME, "alice", 1000), BROKER_OK);
        for (int i = 0; i < SAYS; i++)
            said(calls[i]);
        for (int i = 0; i < 5; i++) {
            snprintf(room, sizeof room, "room %d", i);
            struct call *call = look(home, 0, room, 0, 0);
            for (size_t k = 0; k < call->count; k++)
                ck_assert(text_is(call->messages[k]->fields.ev, "rmUserMsg"));
            call_free(call);
        }
        home_close(home);
    }
}
END_TEST

START_TEST(who_is_unbanned_speaks_again_and_what_was_removed_stays_removed)
{
    EACH_DURABILITY(durability)
    {
        for (int everywhere = 0; everywhere < 2; everywhere++) {
            struct home *home = home_open(durability);
            const char *where = everywhere ? NULL : "room";
            say(home, 0, "room", "alice", "bad", NULL);
            ck_assert_uint_eq(unban(home, 0, where, BAN_SUB, "alice"), 0);
            ck_assert_int_eq(ban(home, 0, where, BAN_SUB, "alice", 1000), BROKER_OK);
            ck_assert_uint_eq(unban(home, 1, where, BAN_NAME, "alice"), 0); /* another kind */
            ck_assert_uint_eq(unban(home, 1, everywhere ? "room" : NULL, BAN_SUB, "alice"), 0);
            ck_assert_int_eq(say(home, 2, "room", "alice", "bad", NULL).status, BROKER_BANNED);
            ck_assert_uint_eq(unban(home, 1, where, BAN_SUB, "alice"), 1);
            ck_assert_uint_eq(unban(home, 2, where, BAN_SUB, "alice"), 0);
            if (durability == DURABILITY_COMMIT)
                home_reopen(home);
            for (size_t i = 0; i < LOOPS; i++)
                ck_assert_int_eq(banned_for(home, i, "room", "alice"), 0);
            ck_assert_int_eq(say(home, 2, "room", "alice", "back", NULL).status, BROKER_OK);
            history_is(home, 0, "room", "x\nrmUserMsg \"alice\"\nback \n");
            home_close(home);
        }
    }
}
END_TEST

static struct call *say_from(struct home *home, const char *address)
{
    struct call *call = call_create(home, 1, "room", publish_make);
    call->message = message_by(call->room, "alice", "hi", NULL);
    call->address = address_of_text(address);
    call->check_ban = true;
    call_start(call);
    call_wait(call);
    return call;
}

START_TEST(a_ban_by_address_is_of_all_who_come_from_there)
{
    static const struct {
        const char *address;
        bool banned;
    } cases[] = {
        {"192.0.2.7", true},
        {"::ffff:192.0.2.7", true},
        {"192.0.2.8", false},
        {"2001:db8::1", true},
        {"2001:db8::2:3:4:5", true},
        {"2001:db8:0:1::1", false},
        {"2001:DB8:0::99", true},
        {NULL, false},
        {"", false},
        {"nonsense", false},
    };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        char id[37];
        ck_assert_int_eq(ban(home, 0, "room", BAN_ADDRESS, "192.0.2.7", 1000), BROKER_OK);
        ck_assert_int_eq(ban(home, 0, NULL, BAN_ADDRESS, "2001:db8::/64", 2000), BROKER_OK);
        if (durability == DURABILITY_COMMIT)
            home_reopen(home);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct call *call = say_from(home, cases[i].address);
            ck_assert_int_eq(call->published.status, cases[i].banned ? BROKER_BANNED : BROKER_OK);
            ck_assert_str_eq(call->ban_reason, cases[i].banned ? "spam" : "");
            call_free(call);
            ck_assert_int_eq(ttl_of(home, 0, "room", "bob", cases[i].address) > 0, cases[i].banned);
            snprintf(id, sizeof id, "00000000-0000-4000-8000-%012zu", i);
            call = call_create(home, 2, "room", join_make);
            call->member = id;
            call->user = "{}";
            call->address = address_of_text(cases[i].address);
            call_start(call);
            call_wait(call);
            ck_assert_int_eq(call->ban_ttl > 0, cases[i].banned);
            ck_assert_str_eq(call->ban_reason, cases[i].banned ? "spam" : "");
            call_free(call);
        }
        ck_assert_int_gt(ttl_of(home, 0, "other", "bob", "2001:db8::1"), 1000);
        ck_assert_int_eq(ttl_of(home, 0, "other", "bob", "192.0.2.7"), 0);
        struct call *call = look(home, 0, "room", 0, 0);
        ck_assert_uint_eq(call->count, 5); /* messages; no event tells of an address */
        call_free(call);
        home_close(home);
    }
}
END_TEST

START_TEST(of_several_bans_the_longest_counts)
{
    struct home *home = home_open(DURABILITY_MEMORY);
    ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "alice", 1000), BROKER_OK);
    ck_assert_int_eq(ban(home, 0, "room", BAN_NAME, "alice", 3000), BROKER_OK);
    ck_assert_int_eq(ban(home, 0, NULL, BAN_SUB, "alice", 2000), BROKER_OK);
    ck_assert_int_gt(banned_for(home, 1, "room", "alice"), 2000);
    ck_assert_uint_eq(unban(home, 1, "room", BAN_NAME, "alice"), 1);
    ck_assert_int_gt(banned_for(home, 1, "room", "alice"), 1000);
    ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "alice", BAN_FOR_EVER), BROKER_OK);
    ck_assert_int_eq(banned_for(home, 1, "room", "alice"), BAN_FOR_EVER);
    ck_assert_int_gt(banned_for(home, 1, "other", "alice"), 1000);
    home_close(home);
}
END_TEST

START_TEST(there_are_no_more_bans_than_the_limit_says)
{
    enum { LIMIT = 5, AT_ONCE = 20 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_create(durability);
        struct call *calls[AT_ONCE];
        char who[AT_ONCE][16];
        int ok = 0;
        home->conf.limits.bans = LIMIT;
        home_run(home);
        for (size_t i = 0; i < AT_ONCE; i++) {
            snprintf(who[i], sizeof who[i], "user %zu", i);
            calls[i] =
                call_start(ban_call(home, i % LOOPS, i % 2 ? NULL : "room", BAN_SUB, who[i], 1000));
        }
        for (size_t i = 0; i < AT_ONCE; i++) {
            call_wait(calls[i]);
            ck_assert(calls[i]->status == BROKER_OK || calls[i]->status == BROKER_FULL_BANS);
            ok += calls[i]->status == BROKER_OK;
            call_free(calls[i]);
        }
        ck_assert_int_eq(ok, LIMIT);
        for (size_t i = 0; i < AT_ONCE; i++)
            unban(home, 0, i % 2 ? NULL : "room", BAN_SUB, who[i]);
        ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "short", 0), BROKER_OK); /* has ended */
        for (size_t i = 0; i < LIMIT; i++)
            ck_assert_int_eq(ban(home, i % LOOPS, "room", BAN_SUB, who[i], 1000), BROKER_OK);
        ck_assert_int_eq(ban(home, 0, "room", BAN_SUB, "one more", 1000), BROKER_FULL_BANS);
        ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, who[2], 9999), BROKER_OK); /* the same */
        ck_assert_int_gt(banned_for(home, 2, "room", who[2]), 1000);
        home_close(home);
    }
}
END_TEST

static void list_is(struct home *home, size_t loop, const char *room, bool everywhere,
                    uint64_t skip, uint64_t limit, uint64_t total, const char *expected)
{
    struct call *call = call_create(home, loop, room ? room : "none", list_make);
    call->listed = (struct bans_asked){room ? call->room : NULL, everywhere, skip, limit};
    call_start(call);
    call_wait(call);
    ck_assert_str_eq(call->list, expected);
    ck_assert_uint_eq(call->moderated, total);
    call_free(call);
}

START_TEST(bans_are_listed_oldest_first_on_every_loop)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        ban(home, 0, "a", BAN_SUB, "one", 1000);
        ban(home, 1, "b", BAN_NAME, "two", 1000);
        ban(home, 2, NULL, BAN_SUB, "three", BAN_FOR_EVER);
        ban(home, 2, "a", BAN_ADDRESS, "192.0.2.7", 1000);
        ban(home, 2, "a", BAN_SUB, "over", 0);
        if (durability == DURABILITY_COMMIT)
            home_reopen(home);
        for (size_t i = 0; i < LOOPS; i++) {
            list_is(home, i, NULL, false, 0, 50, 4,
                    "one in a\ntwo in b\nthree in all\n192.0.2.7 in a\n");
            list_is(home, i, NULL, false, 1, 2, 4, "two in b\nthree in all\n");
            list_is(home, i, NULL, false, 9, 2, 4, "");
            list_is(home, i, NULL, false, 0, 0, 4, "");
            list_is(home, i, "a", false, 0, 50, 2, "one in a\n192.0.2.7 in a\n");
            list_is(home, i, "a", false, 1, UINT64_MAX, 2, "192.0.2.7 in a\n");
            list_is(home, i, NULL, true, 0, 50, 1, "three in all\n");
            list_is(home, i, "c", false, 0, 50, 0, "");
        }
        home_close(home);
    }
}
END_TEST

START_TEST(every_loop_is_told_of_a_kick_and_of_a_ban)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        for (int everywhere = 0; everywhere < 2; everywhere++) {
            struct call *call = call_create(home, 1, "room", kick_make);
            call->kick = (struct kick){
                .room = everywhere ? NULL : call->room, .kind = BAN_SUB, .who = text_of("alice")};
            ck_assert_int_eq(moderated_by(call, NULL), BROKER_OK);
        }
        ban(home, 2, "room", BAN_NAME, "bob", 1000);
        ban(home, 2, NULL, BAN_ADDRESS, "::/64", 1000);
        unban(home, 2, NULL, BAN_ADDRESS, "::/64");
        for (size_t i = 0; i < LOOPS; i++)
            ck_assert_str_eq(home->ears[i].kicks,
                             "kick sub=alice in room\nkick sub=alice in all\n"
                             "ban name=bob in room\nban address=::/64 in all\n");
        home_close(home);
    }
}
END_TEST

/* ---- removal ---- */

START_TEST(a_removed_message_is_gone_for_who_comes_and_who_resumes)
{
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        char told[256];
        listen_on_all_loops(home, "room");
        struct published one = say(home, 0, "room", "alice", "one", "alice:1");
        struct published two = say(home, 1, "room", "alice", "two", NULL);
        say(home, 1, "room", "bob", "three", NULL);
        ck_assert_uint_eq(removes(home, 2, "room", (struct removal){.id = text_of(one.id)}), 1);
        ck_assert_uint_eq(removes(home, 2, "room", (struct removal){.offset = 2}), 1);
        ck_assert_uint_eq(removes(home, 2, "room", (struct removal){.offset = 2}), 0);
        ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.id = text_of(one.id)}), 0);
        ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.offset = 4}), 0); /* rmMsg */
        ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.offset = 99}), 0);
        snprintf(told, sizeof told,
                 "x\nx\nthree \nrmMsg {\"i\":\"%s\",\"o\":1}\nrmMsg {\"i\":\"%s\",\"o\":2}\n",
                 one.id, two.id);
        history_is(home, 0, "room", told);
        for (size_t i = 0; i < LOOPS; i++)
            heard_exactly(home, i, 5);
        if (durability == DURABILITY_COMMIT) {
            home_reopen(home);
            history_is(home, 1, "room", told);
        }
        struct published again = say(home, 2, "room", "alice", "one", "alice:1");
        ck_assert_int_eq(again.status, BROKER_OK);
        ck_assert_uint_eq(again.at.offset, 1);
        ck_assert_str_eq(again.id, one.id);
        history_is(home, 1, "room", told);
        home_close(home);
    }
}
END_TEST

START_TEST(what_a_person_said_is_removed_but_they_may_go_on)
{
    EACH_DURABILITY(durability)
    {
        for (enum ban_kind kind = BAN_NAME; kind <= BAN_SUB; kind++) {
            struct home *home = home_open(durability);
            const struct removal alice = {.kind = kind, .who = text_of("alice")};
            say(home, 0, "room", "alice", "one", NULL);
            say(home, 1, "room", "bob", "two", NULL);
            say(home, 1, "room", "alice", "three", NULL);
            say(home, 2, "other", "alice", "four", NULL);
            ck_assert_uint_eq(removes(home, 2, "room", alice), 2);
            say(home, 0, "room", "alice", "five", NULL);
            history_is(home, 1, "room", "x\ntwo \nx\nrmUserMsg \"alice\"\nfive \n");
            history_is(home, 1, "other", "four \n");
            ck_assert_uint_eq(removes(home, 2, NULL, alice), 2);
            if (durability == DURABILITY_COMMIT)
                home_reopen(home);
            history_is(home, 1, "room",
                       "x\ntwo \nx\nrmUserMsg \"alice\"\nx\nrmUserMsg \"alice\"\n");
            history_is(home, 1, "other", "x\nrmUserMsg \"alice\"\n");
            ck_assert_uint_eq(removes(home, 2, NULL, alice), 0);
            history_is(home, 1, "other", "x\nrmUserMsg \"alice\"\n");
            home_close(home);
        }
    }
}
END_TEST

START_TEST(what_the_history_has_no_more_is_told_as_far_as_it_is_known)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.history.size = 3;
    home_run(home);
    listen_on_all_loops(home, "room");
    struct published one = say(home, 0, "room", "alice", "one", NULL);
    say_many(home, "room", 4);
    ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.id = text_of(one.id)}), 0);
    ck_assert_uint_eq(removes(home, 0, "room", (struct removal){.offset = 2}), 0);
    char told[64];
    snprintf(told, sizeof told, "{\"i\":\"%s\"}", one.id);
    ck_assert(text_is(heard(home, 1, 5)->fields.data, told));
    ck_assert(text_is(heard(home, 1, 6)->fields.data, "{\"o\":2}"));
    home_close(home);
}
END_TEST

START_TEST(what_cannot_be_removed_from_the_disk_stays)
{
    if (on_redis()) /* of the embedded store only */
        return;
    struct home *home = home_open(DURABILITY_COMMIT);
    say(home, 0, "room", "alice", "one", NULL);
    disk_full(home);
    struct call *call = call_create(home, 1, "room", remove_make);
    call->removal = (struct removal){.offset = 1};
    ck_assert_int_eq(moderated_by(call, NULL), BROKER_UNAVAILABLE);
    ck_assert_int_eq(ban(home, 1, NULL, BAN_SUB, "alice", 1000), BROKER_UNAVAILABLE);
    disk_mended();
    history_is(home, 0, "room", "one \n");
    ck_assert_int_eq(say(home, 0, "room", "alice", "two", NULL).status, BROKER_OK);
    ck_assert_uint_eq(removes(home, 1, "room", (struct removal){.offset = 1}), 1);
    home_close(home);
}
END_TEST

UNIT_MAIN("embedded_moderation", a_ban_is_in_force_everywhere_and_removes_what_was_said,
          a_ban_for_ever_has_no_end_and_your_servers_may_speak_all_the_same,
          what_tells_of_a_removal_is_not_removed,
          a_ban_everywhere_holds_in_every_room_and_removes_in_those_that_have_something,
          what_is_said_while_a_ban_everywhere_comes_does_not_stay,
          who_is_unbanned_speaks_again_and_what_was_removed_stays_removed,
          a_ban_by_address_is_of_all_who_come_from_there, of_several_bans_the_longest_counts,
          there_are_no_more_bans_than_the_limit_says, bans_are_listed_oldest_first_on_every_loop,
          every_loop_is_told_of_a_kick_and_of_a_ban,
          a_removed_message_is_gone_for_who_comes_and_who_resumes,
          what_a_person_said_is_removed_but_they_may_go_on,
          what_the_history_has_no_more_is_told_as_far_as_it_is_known,
          what_cannot_be_removed_from_the_disk_stays)
