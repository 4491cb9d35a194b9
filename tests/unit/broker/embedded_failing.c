#include "home.h"

#include <unistd.h>

/* ---- health and backup ---- */

static void probed(void *arg, enum broker_status status, const char *why)
{
    struct call *call = arg;
    call->status = status;
    snprintf(call->clients, sizeof call->clients, "%s", why);
    call_done(call);
}

static void probe_make(struct call *call)
{
    broker_probe(call->broker, probed, call);
}

static struct call *probe_start(struct home *home, size_t loop)
{
    return call_start(call_create(home, loop, "any", probe_make));
}

START_TEST(a_probe_goes_well_however_many_ask)
{
    enum { ASKS = 100 };
    EACH_DURABILITY(durability)
    {
        struct home *home = home_open(durability);
        struct call *calls[ASKS];
        for (size_t i = 0; i < ASKS; i++)
            calls[i] = probe_start(home, i % LOOPS);
        for (size_t i = 0; i < ASKS; i++) {
            call_wait(calls[i]);
            ck_assert_int_eq(calls[i]->status, BROKER_OK);
            ck_assert_str_eq(calls[i]->clients, "");
            call_free(calls[i]);
        }
        home_close(home);
    }
}
END_TEST

static void loop_stands_still(struct call *call)
{
    wait_until(call->home, &call->check_ban, NULL, 0);
    call_done(call);
}

START_TEST(a_probe_names_the_loop_that_does_not_answer)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct call *still = call_start(call_create(home, 2, "any", loop_stands_still));
    struct call *call = probe_start(home, 0);
    call_wait(call);
    ck_assert_int_eq(call->status, BROKER_UNAVAILABLE);
    ck_assert_str_eq(call->clients, "loop-2: no answer");
    call_free(call);
    pthread_mutex_lock(&home->lock);
    still->check_ban = true;
    pthread_cond_broadcast(&home->news);
    pthread_mutex_unlock(&home->lock);
    call_wait(still);
    call_free(still);
    for (bool ok = false; !ok;) { /* the one that was late comes home; the next goes well */
        call = probe_start(home, 0);
        call_wait(call);
        ok = call->status == BROKER_OK;
        call_free(call);
    }
    home_close(home);
}
END_TEST

struct backed_up {
    struct home *home;
    bool done, ok;
    char why[512];
};

static void backed_up(void *arg, const struct error *err)
{
    struct backed_up *backup = arg;
    pthread_mutex_lock(&backup->home->lock);
    backup->ok = !err;
    snprintf(backup->why, sizeof backup->why, "%s", err ? err->text : "");
    backup->done = true;
    pthread_cond_broadcast(&backup->home->news);
    pthread_mutex_unlock(&backup->home->lock);
}

START_TEST(a_backup_is_made_while_publishing_goes_on_and_can_be_started_from)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct backed_up first = {.home = home}, second = {.home = home}, third = {.home = home};
    char path[128], database[128];
    snprintf(path, sizeof path, "%s/backup", home->dir);
    snprintf(database, sizeof database, "%s/chatup.db", home->dir);
    say_many(home, "room", 500);
    embedded_backup(home->embedded, path, backed_up, &first);
    embedded_backup(home->embedded, path, backed_up, &second);
    say_many(home, "room", 50);
    wait_until(home, &first.done, NULL, 0);
    wait_until(home, &second.done, NULL, 0);
    ck_assert_msg(first.ok, "%s", first.why);
    ck_assert(!second.ok); /* another one is being made, or is there already */
    embedded_backup(home->embedded, path, backed_up, &third);
    wait_until(home, &third.done, NULL, 0);
    ck_assert_ptr_nonnull(strstr(third.why, "is there already"));
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    struct position at = call->at;
    call_free(call);
    home_end(home);
    ck_assert_int_eq(rename(path, database), 0);
    home_run(home);
    call = subscribe(home, 0, "room", at);
    ck_assert(!call->recovered); /* another epoch */
    ck_assert_str_ne(call->at.epoch, at.epoch);
    ck_assert_uint_ge(call->count, 500);
    messages_are(call, 1, call->count);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(a_backup_that_is_not_done_at_the_end_leaves_nothing)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    struct backed_up backup = {.home = home};
    char path[128];
    snprintf(path, sizeof path, "%s/backup", home->dir);
    say_many(home, "room", 1);
    embedded_backup(home->embedded, path, backed_up, &backup);
    home_end(home); /* with what it has set in motion, or before it */
    ck_assert(backup.done);
    ck_assert_int_eq(access(path, F_OK) == 0, backup.ok);
    unlink(path);
    home_run(home);
    home_close(home);
}
END_TEST

/* ---- a store that fails ---- */

START_TEST(what_cannot_be_stored_is_refused_and_not_announced_and_leaves_no_gap)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    listen_on_all_loops(home, "room");
    say_many(home, "room", 3);
    disk_full(home);
    for (size_t i = 0; i < 2 * LOOPS; i++)
        ck_assert_int_eq(say(home, i % LOOPS, "room", "bob", "lost", "bob:1").status,
                         BROKER_UNAVAILABLE);
    ck_assert_int_eq(say(home, 0, "new room", "bob", "lost", NULL).status, BROKER_UNAVAILABLE);
    ck_assert_int_eq(ban(home, 1, "room", BAN_SUB, "alice", 1000), BROKER_UNAVAILABLE);
    for (size_t i = 0; i < LOOPS; i++)
        ck_assert_int_eq(banned_for(home, i, "room", "alice"), 0);
    disk_mended();
    struct published result = say(home, 0, "room", "bob", "kept", "bob:1");
    ck_assert_int_eq(result.status, BROKER_OK);
    ck_assert_uint_eq(result.at.offset, 4);
    ck_assert_uint_eq(say(home, 1, "new room", "bob", "kept", NULL).at.offset, 1);
    say_many(home, "room", 1);
    for (size_t i = 0; i < LOOPS; i++) {
        heard_exactly(home, i, 5);
        ck_assert(text_is(heard(home, i, 3)->fields.msg, "kept"));
    }
    home_reopen(home);
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, 5);
    ck_assert(!call->messages[0]->removed);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(what_is_under_way_when_the_store_fails_gets_a_true_answer_and_leaves_no_gap)
{
    enum { ROUNDS = 20, EACH = 45 };
    struct home *home = home_open(DURABILITY_COMMIT);
    uint64_t kept = 3;
    listen_on_all_loops(home, "room");
    say_many(home, "room", kept);
    for (int r = 0; r < ROUNDS; r++) {
        struct call *calls[EACH];
        char ids[EACH][32], stood[EACH][UUID_LENGTH + 1];
        for (size_t i = 0; i < EACH; i++) { /* each is said twice, by another loop */
            snprintf(ids[i], sizeof ids[i], "bob:%d:%zu", r, i % 2 ? i - 1 : i);
            calls[i] = say_start(home, i % LOOPS, "room", "bob", "hi", ids[i]);
            if (i == EACH / 3)
                disk_full(home);
        }
        call_wait(calls[EACH / 2]);
        disk_mended();
        for (size_t i = 0; i < EACH; i++) {
            struct published result = said(calls[i]);
            ck_assert(result.status == BROKER_OK || result.status == BROKER_UNAVAILABLE);
            strcpy(stood[i], result.status == BROKER_OK ? result.id : "");
        }
        for (size_t i = 0; i < EACH; i += 2) {
            bool both = i + 1 < EACH && *stood[i] && *stood[i + 1];
            if (both)
                ck_assert_str_eq(stood[i], stood[i + 1]);
            kept += *stood[i] || (i + 1 < EACH && *stood[i + 1]);
        }
    }
    say_many(home, "room", 1);
    kept++;
    for (size_t i = 0; i < LOOPS; i++)
        heard_exactly(home, i, kept);
    home_reopen(home);
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    messages_are(call, 1, kept);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(who_could_not_be_noted_as_the_first_was_not)
{
    struct home *home = home_open(DURABILITY_COMMIT);
    ck_assert_int_eq(once(home, 0, "before"), BROKER_OK);
    disk_full(home);
    struct call *calls[4 * LOOPS];
    for (size_t i = 0; i < 4 * LOOPS; i++)
        calls[i] = once_start(home, i % LOOPS, "key");
    for (size_t i = 0; i < 4 * LOOPS; i++) {
        call_wait(calls[i]);
        ck_assert_int_eq(calls[i]->status, BROKER_UNAVAILABLE);
        call_free(calls[i]);
    }
    ck_assert_int_eq(once(home, 1, "before"), BROKER_REPEATED);
    disk_mended();
    ck_assert_int_eq(once(home, 1, "key"), BROKER_OK);
    ck_assert_int_eq(once(home, 0, "key"), BROKER_REPEATED);
    say_many(home, "room", 3);
    home_close(home);
}
END_TEST

/* ---- a store that says nothing ---- */

struct standstill {
    struct letter letter;
    struct home *home;
    bool there, go_on;
};

static void store_stands_still(struct letter *letter)
{
    struct standstill *still = (struct standstill *)letter;
    struct home *home = still->home;
    store_turn_begin(home->embedded);
    pthread_mutex_lock(&home->lock);
    still->there = true;
    pthread_cond_broadcast(&home->news);
    pthread_mutex_unlock(&home->lock);
    wait_until(home, &still->go_on, NULL, 0);
}

static void store_goes_on(struct standstill *still)
{
    pthread_mutex_lock(&still->home->lock);
    still->go_on = true;
    pthread_cond_broadcast(&still->home->news);
    pthread_mutex_unlock(&still->home->lock);
}

/* One of each kind, the last two everywhere, all at once. */
static void moderate_expect(struct home *home, const enum broker_status expected[6])
{
    static const struct removal removals[] = {{.offset = 1},
                                              {.kind = BAN_SUB, .who = {"bob", 3}},
                                              {.kind = BAN_SUB, .who = {"alice", 5}},
                                              {.kind = BAN_SUB, .who = {"bob", 3}}};
    struct call *calls[6];
    calls[0] = ban_call(home, 1, "room", BAN_SUB, "alice", 1000);
    calls[1] = ban_call(home, 2, "room", BAN_SUB, "carol", 0);
    calls[1]->make = unban_make;
    for (size_t i = 2; i < 6; i++) {
        calls[i] = call_create(home, 0, i == 2 ? "other" : "room", remove_make);
        calls[i]->everywhere = i > 3;
        calls[i]->removal = removals[i - 2];
    }
    for (size_t i = 0; i < 6; i++)
        call_start(calls[i]);
    for (size_t i = 0; i < 6; i++) {
        call_wait(calls[i]);
        ck_assert_msg(calls[i]->status == expected[i], "%zu: %s, not %s", i,
                      broker_status_text(calls[i]->status), broker_status_text(expected[i]));
        call_free(calls[i]);
    }
}

START_TEST(moderation_does_not_wait_for_a_store_that_says_nothing)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.store_wait_ms = 1000;
    home_run(home);
    say(home, 0, "other", "alice", "one", NULL);
    say(home, 0, "room", "alice", "two", NULL);
    say(home, 0, "room", "bob", "three", NULL);
    struct standstill still = {.letter.deliver = store_stands_still, .home = home};
    loop_post(home->embedded->store_loop, &still.letter);
    wait_until(home, &still.there, NULL, 0);
    moderate_expect(home, (enum broker_status[]){BROKER_UNKNOWN, BROKER_UNKNOWN, BROKER_UNKNOWN,
                                                 BROKER_UNKNOWN, BROKER_UNKNOWN,
                                                 BROKER_UNAVAILABLE}); /* it has not begun */
    moderate_expect(home, (enum broker_status[]){BROKER_UNAVAILABLE, BROKER_UNAVAILABLE,
                                                 BROKER_UNAVAILABLE, BROKER_UNAVAILABLE,
                                                 BROKER_UNAVAILABLE, BROKER_UNAVAILABLE});
    store_goes_on(&still);
    while (say(home, 0, "other", "carol", "again", NULL).status != BROKER_OK)
        ; /* until it answers */
    moderate_expect(home, (enum broker_status[6]){BROKER_OK});
    for (size_t i = 0; i < LOOPS; i++)
        ck_assert_int_gt(banned_for(home, i, "room", "alice"), 0);
    home_reopen(home);
    ck_assert_int_gt(banned_for(home, 0, "room", "alice"), 0);
    struct call *call = subscribe(home, 0, "room", (struct position){0});
    ck_assert_uint_ge(call->count, 2);
    for (size_t i = 0; i < call->count; i++)
        ck_assert(!call->messages[i]->fields.msg.length);
    call_free(call);
    home_close(home);
}
END_TEST

START_TEST(who_gave_up_gives_back_what_it_was_the_first_with_and_nothing_else)
{
    struct home *home = home_create(DURABILITY_COMMIT);
    home->conf.limits.store_wait_ms = 1000;
    home_run(home);
    ck_assert_int_eq(once(home, 0, "before"), BROKER_OK);
    struct standstill still = {.letter.deliver = store_stands_still, .home = home};
    loop_post(home->embedded->store_loop, &still.letter);
    wait_until(home, &still.there, NULL, 0);
    struct call *calls[2 * LOOPS];
    for (size_t i = 0; i < 2 * LOOPS; i++)
        calls[i] = once_start(home, i % LOOPS, "key");
    for (size_t i = 0; i < 2 * LOOPS; i++) {
        call_wait(calls[i]);
        ck_assert_int_eq(calls[i]->status, BROKER_UNKNOWN);
        call_free(calls[i]);
    }
    store_goes_on(&still);
    while (once(home, 1, "key") != BROKER_OK)
        ; /* until it is back */
    ck_assert_int_eq(once(home, 0, "key"), BROKER_REPEATED);
    ck_assert_int_eq(once(home, 1, "before"), BROKER_REPEATED);
    home_reopen(home);
    ck_assert_int_eq(once(home, 0, "key"), BROKER_REPEATED);
    home_close(home);
}
END_TEST

UNIT_MAIN("embedded_failing", a_probe_goes_well_however_many_ask,
          a_probe_names_the_loop_that_does_not_answer,
          a_backup_is_made_while_publishing_goes_on_and_can_be_started_from,
          a_backup_that_is_not_done_at_the_end_leaves_nothing,
          what_cannot_be_stored_is_refused_and_not_announced_and_leaves_no_gap,
          what_is_under_way_when_the_store_fails_gets_a_true_answer_and_leaves_no_gap,
          who_could_not_be_noted_as_the_first_was_not,
          moderation_does_not_wait_for_a_store_that_says_nothing,
          who_gave_up_gives_back_what_it_was_the_first_with_and_nothing_else)
