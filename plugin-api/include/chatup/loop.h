/* chatup/loop.h: timers, descriptors, and a way from other threads to a loop. Apache-2.0. */
#ifndef CHATUP_LOOP_H
#define CHATUP_LOOP_H

#include <chatup/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHATUP_LOOP "chatup.loop/1"

enum { CHATUP_READ = 1, CHATUP_WRITE = 2 };

/* status: CHATUP_DONE, or CHATUP_CANCELLED. */
typedef void chatup_called(void *shard, void *arg, int32_t status);
typedef void chatup_ready(void *shard, void *arg, int32_t fd, uint32_t events);

struct chatup_loop_service {
    uint32_t size;
    /* [any thread] Milliseconds: since 1970, and of a clock that never goes back. */
    int64_t (*wall_ms)(void);
    int64_t (*mono_ms)(void);
    /* Call once, delay_ms from now or a little later. Returns an id, never 0. */
    uint64_t (*timer)(const struct chatup_loop *loop, int64_t delay_ms, chatup_called *call,
                      void *arg);
    /* Call with CHATUP_CANCELLED, before this returns. Ids that are over do nothing. */
    void (*timer_cancel)(const struct chatup_loop *loop, uint64_t id);
    /* Call while fd is ready, of events or-ed, until it is told 0; do so before fd is closed. One
     * watch per fd: another one replaces it. It ends with the shard, and is not called for that. */
    void (*watch)(const struct chatup_loop *loop, int32_t fd, uint32_t events, chatup_ready *call,
                  void *arg);
    /* [any thread] Call on that loop, soon, never from within. Threads of the plugin do so no more
     * once shard_close has returned; what comes too late for its shard is called with a shard of
     * NULL and CHATUP_CANCELLED, before destroy. */
    void (*post)(const struct chatup_loop *loop, chatup_called *call, void *arg);
    /* There is more (1), or less (-1), that this shard would like to finish before it is closed. A
     * reload waits for that, as for deferrals and answers of the store, for up to ten seconds. */
    void (*hold)(const struct chatup_loop *loop, int32_t more);
};

#ifdef __cplusplus
}
#endif
#endif
