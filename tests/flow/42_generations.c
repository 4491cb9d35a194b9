/* 42_generations: plugins are replaced while the server serves. Nobody is dropped, nothing is lost,
 * and what is no good is refused while the old ones go on. */
#include "client.h"
#include "flow.h"
#include "http.h"
#include "token.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { PUBLISHERS = 4, READERS = 100, SWAPS = 200, WINDOW = 8, CHUNK = 40 };

static const char *probe_so(void)
{
    return textf("%s/../test-plugins/probe.so", getenv("CHATUP_PLUGINS"));
}

static void config_put(struct server *server, const char *text)
{
    FILE *file = fopen(server->config, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

static char *with(const char *text, const char *what, const char *by)
{
    const char *at = strstr(text, what);
    ck_assert_msg(at != NULL, "%s is not in:\n%s", what, text);
    return textf("%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
}

static struct server *server_with(const char *options)
{
    return server_start(.threads = 2,
                        .yaml = textf("history:\n  size: 100000\nplugins:\n  - name: probe\n    "
                                      "file: %s\n    config: {%s}\n",
                                      probe_so(), options));
}

static int64_t generation(struct server *server)
{
    return get_int(server_ask(server, "plugins\n"), "generation");
}

struct flood {
    struct server *server;
    char room[16];
    atomic_int answered;
    int sent;
    atomic_int allowed; /* it speaks without a pause, as far as the readers come along */
    atomic_bool *stop;
    pthread_t thread;
};

static void *flood_run(void *arg)
{
    struct flood *flood = arg;
    struct publisher *ann = publisher_enter(flood->server, flood->room, flood->room);
    while (flood->sent > flood->answered || !*flood->stop) {
        while (!*flood->stop && flood->sent < flood->allowed &&
               flood->sent - flood->answered < WINDOW) {
            flood->sent++;
            ck_assert_int_ne(publisher_send_say(ann, "x", NULL), 0);
        }
        if (flood->sent == flood->answered) {
            pause_ms(1);
            continue;
        }
        json_t *frame = publisher_receive(ann);
        ck_assert_msg(frame != NULL, "the publisher was dropped");
        json_t *reply = json_object_get(frame, "reply");
        ck_assert_msg(json_object_get(reply, "offset"), "say was answered %s", json_text(reply));
        flood->answered++;
    }
    publisher_close(ann);
    return NULL;
}

START_TEST(two_hundred_swaps_drop_nobody_and_lose_nothing)
{
    struct server *server = server_with("mode: append, tag: \"-0-\"");
    char *text = file_read(server->config);
    struct flood floods[PUBLISHERS];
    struct reader *readers[READERS];
    atomic_bool stop = false;
    uint64_t before_kib = 0;
    int swaps = flow_slow() == 1 ? SWAPS : SWAPS / 8; /* a trial takes a second with sanitizers */
    for (int i = 0; i < PUBLISHERS; i++) {
        floods[i] = (struct flood){.server = server, .stop = &stop};
        snprintf(floods[i].room, sizeof floods[i].room, "room-%d", i);
    }
    for (int i = 0; i < READERS; i++)
        readers[i] = reader_open(server, floods[i % PUBLISHERS].room);
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_create(&floods[i].thread, NULL, flood_run, &floods[i]);
    for (int i = 1; i <= swaps; i++) {
        int before = floods[0].answered;
        for (int k = 0; k < PUBLISHERS; k++)
            floods[k].allowed += CHUNK;
        config_put(server, with(text, "-0-", textf("-%d-", i)));
        assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
        for (int64_t deadline = deadline_in(20);
             floods[0].answered == before && now_ms() < deadline;)
            pause_ms(1);
        for (int k = 0; k < READERS; k++)
            ck_assert(reader_take_arrived(readers[k]));
        if (i == swaps / 4)
            before_kib = server_rss_kib(server);
    }
    ck_assert_int_eq(generation(server), swaps + 1);
    stop = true;
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(floods[i].thread, NULL);
    for (int i = 0; i < READERS; i++) {
        const struct flood *flood = &floods[i % PUBLISHERS];
        struct account *account = reader_account(readers[i], flood->room);
        reader_wait_offset(readers[i], flood->room, flood->sent);
        account_expect_clean(account);
        ck_assert_uint_eq(account->first_frames, 1);
        ck_assert_uint_eq(json_array_size(account->messages), (size_t)flood->sent);
        /* Each message went through one generation, and they follow one another. */
        int last = 0;
        for (size_t n = 0; n < json_array_size(account->messages); n++) {
            int swap;
            ck_assert_int_eq(
                sscanf(get_string(json_array_get(account->messages, n), "msg"), "x-%d-", &swap), 1);
            ck_assert_int_ge(swap, last);
            last = swap;
        }
        ck_assert_int_gt(last, 0);
    }
    if (flow_slow() == 1) /* the history grows meanwhile: some hundred bytes a message */
        ck_assert_uint_lt(server_rss_kib(server), before_kib + 64 * 1024);
}
END_TEST

START_TEST(what_is_no_good_is_refused_and_the_old_one_serves)
{
    struct server *server = server_with("mode: append, tag: \"-old-\"");
    char *text = file_read(server->config);
    const struct {
        const char *options, *says;
    } bad[] = {
        {"mode: append, tga: x", "did you mean \"tag\"?"},
        {"mode: refuse", "is not to my liking"},
        {"mode: crash_create", "crashed (SIGSEGV: a wrong address) in plugin probe, create"},
        {"mode: abort_create", "aborted (SIGABRT) in plugin probe, create"},
        {"mode: exit_create", "the process was ended in plugin probe, create"},
        {"mode: crash_shard", "crashed (SIGSEGV: a wrong address) in plugin probe, shard_open"},
        {"mode: null_create", "gave no reason"},
        {"mode: no_shard", "could not open its shard for loop 2 of 2"},
    };
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (getenv("ASAN_OPTIONS") && strstr(bad[i].options, "crash"))
            continue; /* the sanitizer tells the crash in its own words */
        config_put(server, with(text, "mode: append, tag: \"-old-\"", bad[i].options));
        struct run run = chatup("reload", "-c", server->config);
        ck_assert_int_eq(run.code, 1);
        assert_contains(run.err, bad[i].says);
        ck_assert_int_eq(publisher_say_ok(ann, textf("%zu", i)) > 0, true);
        reader_wait_message(reader, "lobby", textf("%zu-old-", i));
    }
    ck_assert_int_eq(generation(server), 1);
    ck_assert_uint_eq(reader_account(reader, "lobby")->first_frames, 1);
}
END_TEST

START_TEST(one_that_hangs_in_the_trial_is_given_up)
{
    struct server *server = server_with("mode: append, tag: \"-old-\"");
    config_put(server, with(file_read(server->config), "mode: append", "mode: hang_create"));
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct run run = chatup("reload", "-c", server->config);
    ck_assert_int_eq(run.code, 1);
    assert_contains(run.err, "no answer in time in plugin probe, create");
    ck_assert_int_eq(publisher_say_ok(ann, "x"), 1);
}
END_TEST

START_TEST(state_is_handed_over)
{
    struct server *server = server_with("mode: state, tag: a");
    char *text = file_read(server->config);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < 3; i++)
        publisher_say_ok(ann, "x");
    config_put(server, with(text, "tag: a", "tag: b"));
    assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
    assert_json(publisher_say(ann, "count", NULL), "{\"count\":3}");
}
END_TEST

START_TEST(a_reload_without_a_change_of_plugins_leaves_them_alone)
{
    struct server *server = server_with("mode: append");
    config_put(server, textf("%s\nrooms:\n  flush_gap: 5ms\n", file_read(server->config)));
    assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
    ck_assert_int_eq(generation(server), 1);
}
END_TEST

START_TEST(a_plugin_can_come_and_go)
{
    struct server *server = server_start(.threads = 2);
    char *text = file_read(server->config);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    publisher_say_ok(ann, "bare");
    config_put(server, textf("%splugins:\n  - {name: probe, file: '%s', config: {mode: append}}\n",
                             text, probe_so()));
    assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
    publisher_say_ok(ann, "dressed");
    config_put(server, text);
    assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
    publisher_say_ok(ann, "bare again");
    reader_wait_message(reader, "lobby", "bare again");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"bare\",\"dressed!\",\"bare again\"]");
}
END_TEST

START_TEST(what_was_deferred_ends_in_the_generation_in_which_it_began)
{
    struct server *server = server_with("mode: defer_late, tag: \"-one-\", wait: 700ms");
    char *text = file_read(server->config);
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    struct reader *reader = reader_open(server, "lobby");
    publisher_send_say(ann, "early", NULL);
    struct publisher *bea = publisher_enter(server, "Bea", "lobby");
    config_put(server,
               with(text, "mode: defer_late, tag: \"-one-\"", "mode: append, tag: \"-two-\""));
    assert_json(server_ask(server, "reload\n"), "{\"ok\":true}");
    publisher_say_ok(bea, "quick");
    publisher_receive(ann);
    reader_wait_message(reader, "lobby", "early-one-");
    assert_json(texts_of(reader_account(reader, "lobby")->messages),
                "[\"quick-two-\",\"early-one-\"]");
}
END_TEST

START_TEST(a_crash_is_laid_at_the_right_door_and_clients_resume)
{
    if (getenv("ASAN_OPTIONS") || getenv("TSAN_OPTIONS"))
        return; /* the sanitizer tells the crash in its own words */
    struct server *server =
        server_start(.supervised = true,
                     .yaml = textf("plugins:\n  - {name: probe, file: %s, config: {mode: crash}}\n",
                                   probe_so()));
    struct reader *reader = reader_open(server, "lobby");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    publisher_say_ok(ann, "before");
    reader_wait_message(reader, "lobby", "before");
    publisher_send_say(ann, "crash", NULL);
    ck_assert_ptr_null(publisher_receive(ann));
    reader_cut(reader);
    reader_resume(reader);
    publisher_say_ok(publisher_enter(server, "Ann", "lobby"), "afterwards");
    reader_wait_message(reader, "lobby", "afterwards");
    account_expect_clean(reader_account(reader, "lobby"));
    ck_assert_uint_eq(reader_account(reader, "lobby")->recovered, 1);
    assert_contains(file_read(server->log),
                    "crashed (SIGSEGV: a wrong address) in plugin probe, message_in");
}
END_TEST

START_TEST(one_that_fails_again_and_again_is_left_out_for_a_while)
{
    struct server *server = server_with("mode: verdict, verdict: 99");
    struct publisher *ann = publisher_enter(server, "Ann", "lobby");
    for (int i = 0; i < 40; i++)
        assert_error(publisher_say(ann, "x", NULL), "pluginUnavailable");
    assert_contains(file_read(server->log), "message_in fails again and again");
    assert_contains(http_get(server, "/metrics")->body,
                    "chatup_plugin_faults{plugin=\"probe\"} 20\n");
    json_t *plugin = json_array_get(get_array(server_ask(server, "plugins\n"), "plugins"), 0);
    ck_assert_int_eq(get_int(plugin, "off"), 1);
    ck_assert_int_eq(get_int(plugin, "faults"), 20);
}
END_TEST

FLOW_MAIN("generations", a_crash_is_laid_at_the_right_door_and_clients_resume,
          one_that_fails_again_and_again_is_left_out_for_a_while,
          what_is_no_good_is_refused_and_the_old_one_serves,
          one_that_hangs_in_the_trial_is_given_up, state_is_handed_over,
          a_reload_without_a_change_of_plugins_leaves_them_alone, a_plugin_can_come_and_go,
          what_was_deferred_ends_in_the_generation_in_which_it_began,
          two_hundred_swaps_drop_nobody_and_lose_nothing)
