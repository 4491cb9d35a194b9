#include "redis.h"
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "redis_parts.h"

enum { TICKS_PER_SECOND = 4 };

enum broker_status redis_failure(enum redis_outcome outcome)
{
    return outcome == REDIS_ANSWERED  ? BROKER_OK
           : outcome == REDIS_REFUSED ? BROKER_UNAVAILABLE
                                      : BROKER_UNKNOWN;
}

/* ---- what the link tells ---- */

static void on_ready(void *arg)
{
    struct redis_ear *ear = arg;
    struct redis *redis = ear->redis;
    redis_rooms_ready(redis, ear->link);
    if (ear->was_ready) /* what was told meanwhile was lost, and perhaps all else with it */
        redis_presence_say_again(redis, ear->link);
    ear->was_ready = true;
    redis_presence_tell_rest(redis);
    redis_onces_give_back(redis);
    if (!redis->index && !ear->server)
        redis_bans_load(redis);
    else if (!redis->index)
        redis_bans_copy(redis, ear->server);
    redis_node_tick(redis, 0);
}

static void on_lost(void *arg)
{
    struct redis_ear *ear = arg;
    redis_probes_fail(ear->redis, INT64_MAX);
}

static void on_hearing(void *arg)
{
    struct redis_ear *ear = arg;
    struct redis *redis = ear->redis;
    redis_rooms_hearing(redis, ear->link);
    redis_kept_hearing(redis, ear->link);
    if (!redis->index && !ear->server)
        redis_subscribe(ear->link, text_of(redis->home->control));
}

static void on_deaf(void *arg)
{
    struct redis_ear *ear = arg;
    redis_rooms_deaf(ear->redis, ear->link);
    redis_probes_fail(ear->redis, INT64_MAX);
}

/* The name of the room whose channel it is; absent: of none. */
static struct text room_of(const struct redis *redis, struct text channel)
{
    size_t length = strlen(redis->home->rooms_prefix);
    if (channel.length <= length || memcmp(channel.at, redis->home->rooms_prefix, length) != 0)
        return (struct text){0};
    return (struct text){channel.at + length, channel.length - length};
}

static void on_subscribed(void *arg, struct text channel)
{
    struct redis *redis = ((struct redis_ear *)arg)->redis;
    struct text room = room_of(redis, channel);
    if (room.at) {
        redis_room_subscribed(redis, room);
    } else if (text_is(channel, redis->home->control)) {
        redis->home->bans_wanted = true;
        redis_bans_load(redis);
    } else {
        redis_kept_subscribed(redis, channel);
    }
}

static void on_heard(void *arg, struct text channel, struct text payload)
{
    struct redis *redis = ((struct redis_ear *)arg)->redis;
    struct text room = room_of(redis, channel);
    if (room.at)
        redis_room_heard(redis, room, payload);
    else if (text_is(channel, redis->home->control))
        redis_bans_heard(redis, payload);
    else
        redis_kept_heard(redis, channel, payload);
}

static void on_pulse(void *arg, uint64_t number)
{
    struct redis_ear *ear = arg;
    redis_probes_heard(ear->redis, ear->server, number);
}

/* ---- a loop's handle ---- */

static void redis_use(struct broker *broker, const struct config *conf)
{
    struct redis *redis = redis_of(broker);
    redis->conf = conf;
    for (size_t i = 0; i < redis_servers_count(redis->home->servers); i++)
        redis_link_use(redis_link_at(redis, i), conf);
}

static const struct broker_home redis_calls = {
    .publish = redis_do_publish,
    .subscribe = redis_do_subscribe,
    .readers = redis_do_readers,
    .join = redis_do_join,
    .leave = redis_do_leave,
    .look = redis_do_look,
    .ban = redis_do_ban,
    .unban = redis_do_unban,
    .ban_ttl = redis_do_ban_ttl,
    .list_bans = redis_do_list_bans,
    .remove = redis_do_remove,
    .kick = redis_do_kick,
    .once = redis_do_once,
    .once_forget = redis_do_once_forget,
    .keep = redis_do_keep,
    .watch = redis_do_watch,
    .unwatch = redis_do_unwatch,
    .health = redis_do_health,
    .probe = redis_do_probe,
    .use = redis_use,
    .pick_worker = redis_do_pick_worker,
};

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct redis *redis = timer->data;
    int64_t now_ms = clock_mono_ms();
    unsigned tick = redis->ticks++;
    redis_node_tick(redis, tick);
    redis_probes_sweep(redis, now_ms);
    if (tick % TICKS_PER_SECOND)
        return;
    redis_rooms_sweep(redis, now_ms);
    redis_bans_sweep(redis, now_ms);
    redis_onces_give_back(redis);
    redis_presence_tell_rest(redis);
    redis_kept_sweep(redis, now_ms);
}

static void loop_init(struct redis *redis, struct redis_home *home, const struct config *conf,
                      struct loop *loop, size_t index)
{
    char self[CONFIG_PREFIX_MAX + 64];
    size_t servers = redis_servers_count(home->servers);
    *redis = (struct redis){.broker.home = &redis_calls,
                            .home = home,
                            .conf = conf,
                            .loop = loop,
                            .index = (uint32_t)index};
    snprintf(self, sizeof self, "%s:pulse:%s/%zu", conf->redis.prefix, home->node, index);
    bans_init(&redis->bans);
    list_init(&redis->acts);
    list_init(&redis->giving_back);
    list_init(&redis->probes);
    redis_kept_init(redis);
    redis->ears = xcalloc(servers, sizeof *redis->ears);
    for (size_t i = 0; i < servers; i++) {
        const struct redis_up up = {on_ready,      on_lost,  on_hearing, on_deaf,
                                    on_subscribed, on_heard, on_pulse,   &redis->ears[i]};
        redis->ears[i] = (struct redis_ear){.redis = redis, .server = i};
        redis->ears[i].link =
            redis_link_create(loop, redis_servers_at(home->servers, i), conf, self, &up);
    }
    ev_timer_init(&redis->sweep, on_tick, 0, 1.0 / TICKS_PER_SECOND);
    redis->sweep.data = redis;
    ev_timer_start(loop_ev(loop), &redis->sweep);
}

/* ---- the home ---- */

struct redis_home *redis_open(const struct config *conf, const char node[37], enum redis_role role,
                              const char *host, struct loop *const *loops, size_t loop_count,
                              struct error *err)
{
    if (conf->redis.tls) {
        error_set(
            err, "redis.tls: this build cannot speak TLS to Redis, since its hiredis (Debian 12's) "
                 "has none; go through a tunnel such as stunnel, or use redis.socket");
        return NULL;
    }
    struct redis_servers *servers = redis_servers_create(conf, err);
    if (!servers)
        return NULL;
    struct redis_home *home = xcalloc(1, sizeof *home + loop_count * sizeof home->loops[0]);
    memcpy(home->node, node, sizeof home->node);
    home->servers = servers;
    snprintf(home->control, sizeof home->control, "%s:control", conf->redis.prefix);
    snprintf(home->rooms_prefix, sizeof home->rooms_prefix, "%s:room:", conf->redis.prefix);
    home->told_tail = &home->told;
    home->host = host;
    atomic_init(&home->takes_clients, role == REDIS_WORKER);
    atomic_init(&home->waiting_bytes, 0);
    home->wants_workers = role == REDIS_DISPATCHER;
    home->count = loop_count;
    for (size_t i = 0; i < loop_count; i++)
        loop_init(&home->loops[i], home, conf, loops[i], i);
    return home;
}

struct broker *redis_broker(struct redis_home *home, size_t i)
{
    return &home->loops[i].broker;
}

void redis_take_clients(struct redis_home *home, bool takes)
{
    atomic_store(&home->takes_clients, takes);
}

void redis_stop(struct redis_home *home)
{
    for (size_t i = 0; i < home->count; i++) {
        struct redis *redis = &home->loops[i];
        if (redis->stopped)
            continue;
        redis->stopped = true;
        ev_timer_stop(loop_ev(redis->loop), &redis->sweep);
        redis_presence_stop(redis);
        redis_node_goodbye(redis);
        for (size_t k = 0; k < redis_servers_count(home->servers); k++)
            redis_link_end(redis_link_at(redis, k));
        redis_rooms_stop(redis);
        redis_bans_stop(redis);
        redis_onces_stop(redis);
        redis_probes_fail(redis, INT64_MAX);
    }
}

void redis_close(struct redis_home *home)
{
    if (!home)
        return;
    for (size_t i = 0; i < home->count; i++) {
        struct redis *redis = &home->loops[i];
        redis_rooms_finish(redis);
        redis_presence_finish(redis);
        redis_kept_finish(redis);
        bans_finish(&redis->bans);
        redis_workers_unref(redis->workers);
        for (size_t k = 0; k < redis_servers_count(home->servers); k++)
            redis_link_destroy(redis_link_at(redis, k));
        free(redis->ears);
    }
    redis_servers_destroy(home->servers);
    free(home);
}
