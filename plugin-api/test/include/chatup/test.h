/* chatup/test.h: run one plugin without a server: say something, let time pass, look what came of
 * it. Link libchatup-plugin-test, jansson, yaml, pthread. Apache-2.0.
 *
 *   struct chatup_test *t = chatup_test_open("./hello.so", "{forbidden: darn}", 2, why, sizeof
 * why); const struct chatup_test_said *said = chatup_test_say(t, 0, "lobby", "u1", "Ann", "darn!");
 *   chatup_test_run(t);
 *   assert(said->verdict == CHATUP_REJECT);
 *   chatup_test_close(t);
 *
 * One thread plays all loops; which shard is called, the call says. Nothing asked of a service
 * happens before chatup_test_run. The clock stands still until chatup_test_advance. The store is
 * the one of the server, and empty at first. What is lent to a hook is freed after it, and not
 * NUL-terminated: build plugin and test with -fsanitize=address, and it finds who keeps it.
 * What a plugin must not do is a "mistake": refused, counted and in the log.
 *
 * Results are valid until chatup_test_close, and change when a later answer comes. Texts are
 * NUL-terminated; NULL is absent. Calls are for the thread that opened the test. */
#ifndef CHATUP_TEST_H
#define CHATUP_TEST_H

#include <chatup/plugin.h>
#include <chatup/routes.h>

#ifdef __cplusplus
extern "C" {
#endif

struct chatup_test;

/* Load the plugin, fill its options, create it and open a shard for each loop.
 *   so       path; with a "/" in it, as dlopen has it
 *   yaml     its options, as below config: of chatup.yaml; NULL: none
 *   loops    1 to 64
 *   returns  NULL with why */
struct chatup_test *chatup_test_open(const char *so, const char *yaml, uint32_t loops, char *why,
                                     size_t size);
/* The same with a plugin that is linked in. */
struct chatup_test *chatup_test_open_linked(const struct chatup_plugin *plugin, const char *yaml,
                                            uint32_t loops, char *why, size_t size);
/* A new generation takes over, as at a reload: it gets the state of the old one, which is then
 * drained and closed. Clock and store go on. 0; -1 with why: the old one stays. */
int chatup_test_reload(struct chatup_test *test, const char *yaml, char *why, size_t size);
/* Drain, run, cancel what is open, close and destroy. Takes NULL. */
void chatup_test_close(struct chatup_test *test);
/* As close does it, but what happened can still be looked at: log, mistakes, results. */
void chatup_test_stop(struct chatup_test *test);

/* ---- time ---- */

/* Until nothing is left to do now. */
void chatup_test_run(struct chatup_test *test);
/* One thing of it: a batch, a callback. 1; 0: there was nothing. */
int chatup_test_step(struct chatup_test *test);
/* And then let so much time pass: what is due is called at its time, and all run after it. */
void chatup_test_advance(struct chatup_test *test, int64_t ms);
/* For plugins with threads or sockets: wait in real time, up to ms, until one of them has something
 * to do, and run. The clock goes along. 1, or 0: nothing came. */
int chatup_test_wait(struct chatup_test *test, int64_t ms);
/* From now on loops and store take turns in an order that follows from seed, not one after the
 * other; what is of one loop stays in order. 0: as it was. */
void chatup_test_shuffle(struct chatup_test *test, uint64_t seed);

/* ---- hooks ---- */

/* What hooks are called with from now on has these tags, of plugins before: "staff vip"; NULL:
 * none.
 */
void chatup_test_tags(struct chatup_test *test, const char *tags);

struct chatup_test_said {
    int32_t verdict; /* CHATUP_DEFER while it is open. CHATUP_FAULT: on_error would decide */
    uint64_t id;     /* of the deferral, or 0 */
    const char *msg, *reply;
    const char *tags; /* that it has now: "staff vip"; NULL: none */
};

/* A message of a user, on a connection of its own: it waits for no other.
 *   sub, name  NULL: empty */
const struct chatup_test_said *chatup_test_say(struct chatup_test *test, uint32_t loop,
                                               const char *room, const char *sub, const char *name,
                                               const char *text);
/* Any event: with data, from POST /post … Absent fields stay so; time_ms 0 is now. A plugin without
 * CHATUP_SEES_POST is not asked about CHATUP_FROM_POST. */
const struct chatup_test_said *chatup_test_event(struct chatup_test *test, uint32_t loop,
                                                 const struct chatup_event *event);

struct chatup_test_shown {
    int32_t verdict;
    uint32_t count;
    const char *const *msgs; /* count of them, as readers get them; NULL: left out, or no text */
};

/* A batch for the readers of a room: texts, and NULL at the end. */
const struct chatup_test_shown *chatup_test_out(struct chatup_test *test, uint32_t loop,
                                                const char *room, ...)
#if defined(__GNUC__)
    __attribute__((sentinel))
#endif
    ;
const struct chatup_test_shown *chatup_test_batch(struct chatup_test *test, uint32_t loop,
                                                  const struct chatup_message *messages,
                                                  uint32_t count);

struct chatup_test_visited {
    int32_t verdict;          /* as above */
    const char *user, *reply; /* JSON; user only if it was replaced */
    uint64_t id;              /* of the deferral, or 0 */
    const char *tags;         /* as above; of connect and auth */
};

/* Somebody opens a websocket or a stream.
 *   address                   NULL: 127.0.0.1
 *   path, origin, user_agent  NULL: absent */
const struct chatup_test_visited *chatup_test_connect(struct chatup_test *test, uint32_t loop,
                                                      uint32_t way, const char *path,
                                                      const char *address, const char *origin,
                                                      const char *user_agent);
const struct chatup_test_visited *chatup_test_auth(struct chatup_test *test, uint32_t loop,
                                                   const char *sub, const char *name,
                                                   const char *user_json);
const struct chatup_test_visited *chatup_test_join(struct chatup_test *test, uint32_t loop,
                                                   const char *room, const char *sub,
                                                   const char *name);
void chatup_test_leave(struct chatup_test *test, uint32_t loop, const char *room, const char *sub,
                       const char *name);
/* Whom a deferral is about leaves before it was resumed. One of a visit is over, and there is no
 * verdict; a message goes on. */
void chatup_test_left(struct chatup_test *test, uint64_t id);

struct chatup_test_answer {
    int32_t status; /* of HTTP; 0 while it is open */
    const char *content_type, *body;
    size_t length; /* of the body */
};

/*   method  CHATUP_GET …
 *   path    behind /plugin/<name>, and "?query" if there is one
 *   body    with CHATUP_BODY_JWT: what the token says */
const struct chatup_test_answer *chatup_test_route(struct chatup_test *test, uint32_t loop,
                                                   uint32_t method, const char *path,
                                                   const char *body);

/* ---- what goes wrong ---- */

/* The next count batches end with status: CHATUP_UNAVAILABLE, and did not happen, or
 * CHATUP_TIMEOUT, and did: it is their answer that is lost. */
void chatup_test_store_fails(struct chatup_test *test, uint32_t count, int32_t status);
/* 1: batches are taken, but none runs until 0. */
void chatup_test_store_holds(struct chatup_test *test, int hold);
/* The next count publications, bans and kicks end with status, and do not happen. */
void chatup_test_bus_fails(struct chatup_test *test, uint32_t count, int32_t status);

/* ---- what happened ---- */

/* One line each: "log warn TEXT", "publish ROOM: MSG", "publish ROOM EVENT DATA", "ban ROOM sub u1
 * 60 REASON", "kick * name Ann", "mistake: TEXT". Valid until the next call. */
const char *chatup_test_log(struct chatup_test *test);
/* A counter of the plugin's table. */
uint64_t chatup_test_count(struct chatup_test *test, const char *counter);
/* What the plugin did wrong. */
uint32_t chatup_test_mistakes(struct chatup_test *test);
/* Resumes and responds of ids that were over: no mistake, they do nothing. */
uint32_t chatup_test_late(struct chatup_test *test);
/* Batches that the store has run. */
uint32_t chatup_test_batches(struct chatup_test *test);

#ifdef __cplusplus
}
#endif
#endif
