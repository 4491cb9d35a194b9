/* A call is a letter that travels: from the asking loop to the room's owner, perhaps through the
 * store's thread, back to the owner, and home. Each struct below is one kind of letter, and its
 * steps are the functions in the order it meets them; letter.deliver is the next step.
 *
 * The store commits at the end of its turn everything its inbox held: group commit. If that fails,
 * every letter of it comes back failed, and so does what the owners had numbered on top of it
 * (their generation), so that an offset which was never announced can be given again. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "embedded_parts.h"
#include "log.h"
#include "message.h"
#include "store.h"

#include <sys/random.h>
#include <unistd.h>

enum { UNUSED_ROOM_MS = 30000, SWEEP_S = 1, LOOK_AGAIN_NS = 2000000 };

/* ---- what the configuration says ---- */

static struct store_limits store_limits_of(const struct config *conf)
{
    return (struct store_limits){
        .history_size = (uint32_t)conf->history.size,
        .history_bytes = (uint64_t)conf->history.bytes,
        .history_expire_ms = conf->history.expire_ms,
        .dedupe_ms = conf->limits.dedupe_ms,
        .dedupe_entries = (uint32_t)conf->limits.dedupe_entries,
    };
}

struct new_limits {
    struct letter letter;
    struct store *store;
    struct store_limits limits;
};

static void new_limits_arrive(struct letter *letter)
{
    struct new_limits *news = (struct new_limits *)letter;
    store_set_limits(news->store, &news->limits);
    free(news);
}

static void embedded_use(struct broker *broker, const struct config *conf)
{
    struct embedded *loop = embedded_of(broker);
    loop->conf = conf;
    if (!loop->home->store || loop->index) /* one loop is enough to tell the store */
        return;
    struct new_limits *news = xmalloc(sizeof *news);
    news->letter.deliver = new_limits_arrive;
    news->store = loop->home->store;
    news->limits = store_limits_of(conf);
    loop_post(loop->home->store_loop, &news->letter);
}

static const struct broker_home embedded_calls = {
    .publish = embedded_publish,
    .subscribe = embedded_subscribe,
    .readers = embedded_readers,
    .join = embedded_join,
    .leave = embedded_leave,
    .look = embedded_look,
    .ban = embedded_ban,
    .unban = embedded_unban,
    .ban_ttl = embedded_ban_ttl,
    .once = embedded_once,
    .once_forget = embedded_once_forget,
    .keep = embedded_keep,
    .watch = embedded_watch,
    .unwatch = embedded_unwatch,
    .health = embedded_health,
    .probe = embedded_probe,
    .use = embedded_use,
    .list_bans = embedded_list_bans,
    .remove = embedded_remove,
    .kick = embedded_kick,
};

static void room_sweep(struct table_link *link, void *arg)
{
    struct embedded *owner = arg;
    struct home_room *room = list_entry(link, struct home_room, link);
    const struct config *conf = owner->conf;
    history_expire(&room->history, owner->swept_wall_ms - conf->history.expire_ms);
    answers_expire(room->answers, owner->swept_wall_ms - conf->limits.dedupe_ms);
    if (home_room_in_use(room) || owner->swept_ms - room->used_ms < UNUSED_ROOM_MS)
        return;
    if (!owner->home->store) { /* there is no other copy: it lives as long as its messages */
        if (room->history.count || answers_any(room->answers))
            return;
        if (owner->offset_floor < room->offset) /* never given twice in the epoch */
            owner->offset_floor = room->offset;
    }
    table_remove(&owner->rooms, link);
    home_room_destroy(room);
}

void embedded_sweep(struct embedded *owner, int64_t mono_ms, int64_t wall_ms)
{
    owner->swept_ms = mono_ms;
    owner->swept_wall_ms = wall_ms;
    table_walk_on(&owner->rooms, room_sweep, owner);
    bans_expire(&owner->bans, wall_ms);
    onces_expire(owner, wall_ms);
    keep_expire(owner, wall_ms);
}

static void on_sweep(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded *owner = timer->data;
    embedded_sweep(owner, clock_mono_ms(), clock_wall_ms());
    wait_look(owner);
}

static void ban_load(void *arg, const struct ban *ban)
{
    struct embedded_home *home = arg;
    for (size_t i = 0; i < home->count; i++)
        bans_put(&home->loops[i].bans, (struct ban *)ban);
}

struct embedded_home *embedded_open(const struct config *conf, struct loop *const *loops,
                                    size_t loop_count, struct error *err)
{
    struct embedded_home *home = xcalloc(1, sizeof *home + loop_count * sizeof home->loops[0]);
    home->count = loop_count;
    home->batch_tail = &home->batch;
    for (size_t i = 0; i < loop_count; i++) {
        struct embedded *loop = &home->loops[i];
        *loop = (struct embedded){.broker.home = &embedded_calls,
                                  .home = home,
                                  .conf = conf,
                                  .loop = loops[i],
                                  .index = (uint32_t)i,
                                  .generation = 1};
        bans_init(&loop->bans);
        keep_init(loop);
        presence_init(loop);
        ev_timer_init(&loop->sweep, on_sweep, SWEEP_S, SWEEP_S);
        loop->sweep.data = loop;
        ev_timer_start(loop_ev(loops[i]), &loop->sweep);
        wait_init(loop);
        probe_init(loop);
    }
    if (conf->durability == DURABILITY_MEMORY) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            abort();
        snprintf(home->epoch, sizeof home->epoch, "%016llx", (unsigned long long)random);
        return home;
    }
    const struct store_limits limits = store_limits_of(conf);
    home->store = store_open(conf->data_dir, &limits, err);
    if (!home->store || !store_each_ban(home->store, clock_wall_ms(), ban_load, home, err) ||
        !store_each_once(home->store, onces_load, home, err) ||
        !store_each_kept(home->store, clock_wall_ms(), keep_load, home, err)) {
        embedded_close(home);
        return NULL;
    }
    snprintf(home->epoch, sizeof home->epoch, "%s", store_epoch(home->store));
    home->store_loop = loop_create("store");
    store_turn_init(home);
    return home;
}

struct broker *embedded_broker(struct embedded_home *home, size_t i)
{
    return &home->loops[i].broker;
}

void embedded_start(struct embedded_home *home)
{
    if (home->store_loop)
        loop_start(home->store_loop);
}

void embedded_stop(struct embedded_home *home)
{
    if (!home->store_loop)
        return;
    loop_stop(home->store_loop);
    while (!loop_try_join(home->store_loop)) {
        if (store_overdue_ms(&home->loops[0])) { /* nothing that was answered depends on it */
            log_error("store: no answer; ending without it");
            _exit(EXIT_FAILURE);
        }
        nanosleep(&(struct timespec){0, LOOK_AGAIN_NS}, NULL);
    }
}

bool embedded_drain(struct embedded_home *home)
{
    bool any = home->store_loop && loop_drain(home->store_loop);
    return backup_finish(home) || any;
}

static void room_free(struct table_link *link, void *arg)
{
    table_remove(arg, link);
    home_room_destroy(list_entry(link, struct home_room, link));
}

void embedded_close(struct embedded_home *home)
{
    if (!home)
        return;
    for (size_t i = 0; i < home->count; i++) {
        struct embedded *loop = &home->loops[i];
        ev_timer_stop(loop_ev(loop->loop), &loop->sweep);
        wait_finish(loop);
        probe_finish(loop);
        table_walk(&loop->rooms, room_free, &loop->rooms);
        table_finish(&loop->rooms);
        bans_finish(&loop->bans);
        presence_finish(loop);
        onces_finish(loop);
        keep_finish(loop);
    }
    if (home->store_loop)
        store_turn_finish(home);
    loop_destroy(home->store_loop);
    store_close(home->store);
    free(home);
}
