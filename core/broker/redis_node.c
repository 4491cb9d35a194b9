/* What this process is to the others: it says once a second that it is alive, how loaded it is and
 * whether it takes clients; and it notices who no longer does, and takes away what those left
 * behind. Should Redis have forgotten it, because it was still for too long or because Redis lost
 * what it had, it says again who is here. The first loop. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "log.h"
#include "redis_parts.h"

#include <hiredis/hiredis.h>

enum {
    REAP_AT_ONCE = 100,
    BACK_MS = 3000 /* until others have tried to connect again, and said that they live */
};

static void key_arg(struct redis_link *link, const char *part, const char *node)
{
    redis_arg_key(link, part, text_of(node));
}

/* ---- the dead ---- */

struct reap {
    struct redis *redis;
    size_t server;
    char node[37];
    size_t open; /* members being taken away */
};

static void reap_go(struct reap *reap);

static void on_taken_away(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct reap *reap = arg;
    if (!--reap->open)
        reap_go(reap);
}

static void on_reaped(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct reap *reap = arg;
    struct redis *redis = reap->redis;
    if (outcome != REDIS_ANSWERED || reply->type != REDIS_REPLY_ARRAY) {
        if (outcome == REDIS_ANSWERED)
            log_info("redis: node %s is gone; what it left behind is cleared", reap->node);
        redis->home->at[reap->server].reaping = false;
        free(reap);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        struct text entry = redis_reply_text(reply, i);
        char member[37] = "";
        struct name *room = NULL;
        if (entry.length > 36)
            room = name_create((struct text){entry.at + 36, entry.length - 36});
        if (!room)
            continue;
        memcpy(member, entry.at, 36);
        redis_presence_take_away(redis, member, room, reap->node);
        name_unref(room);
    }
    reap->open = 1; /* one more command, behind all of them */
    redis_begin(redis_link_at(redis, reap->server), "PING");
    redis_send(redis_link_at(redis, reap->server), on_taken_away, reap);
}

static void reap_go(struct reap *reap)
{
    struct redis_link *link = redis_link_at(reap->redis, reap->server);
    redis_begin_script(link, SCRIPT_REAP, 4);
    key_arg(link, "nodes", "");
    key_arg(link, "node:", reap->node);
    key_arg(link, "node:readers:", reap->node);
    key_arg(link, "node:members:", reap->node);
    redis_arg(link, text_of(reap->node));
    key_arg(link, "room:readers:", "");
    redis_arg_number(link, REAP_AT_ONCE);
    redis_send(link, on_reaped, reap);
}

static void reap_begin(struct redis *redis, size_t server, struct text node)
{
    if (redis->home->at[server].reaping || node.length != 36)
        return; /* at the next beat */
    struct reap *reap = xcalloc(1, sizeof *reap);
    reap->redis = redis;
    reap->server = server;
    memcpy(reap->node, node.at, 36);
    redis->home->at[server].reaping = true;
    reap_go(reap);
}

/* ---- we live ---- */

struct say_again {
    struct letter letter;
    struct redis *redis;
    size_t server;
};

static void say_again_arrives(struct letter *letter)
{
    struct say_again *again = (struct say_again *)letter;
    redis_presence_say_again(again->redis, redis_link_at(again->redis, again->server));
    free(again);
}

/* Where we have not been heard for long, others may not have been, either: what kept us from it may
 * have been Redis. Who is back first leaves them the time to be back, too. */
static bool spares_the_dead(struct redis *redis, size_t server, bool forgotten)
{
    struct redis_home *home = redis->home;
    int64_t now_ms = clock_mono_ms(), beaten_ms = home->at[server].beaten_ms;
    home->at[server].beaten_ms = now_ms;
    if (forgotten || (beaten_ms && now_ms - beaten_ms > redis->conf->redis.expire_ms * 2 / 3))
        home->at[server].spares_until_ms = now_ms + BACK_MS;
    return now_ms < home->at[server].spares_until_ms;
}

static void on_beat(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct redis_ear *ear = arg;
    struct redis *redis = ear->redis;
    struct redis_home *home = redis->home;
    home->at[ear->server].beating = false;
    if (outcome != REDIS_ANSWERED)
        return;
    const struct redisReply *dead = redis_reply_array(reply, 1);
    bool forgotten = redis_reply_number(reply, 0) == 1 && home->at[ear->server].known;
    bool spares = spares_the_dead(redis, ear->server, forgotten);
    home->at[ear->server].known = true;
    for (size_t i = 0; forgotten && i < home->count; i++) {
        struct say_again *again = xmalloc(sizeof *again);
        *again = (struct say_again){{.deliver = say_again_arrives}, &home->loops[i], ear->server};
        loop_post(again->redis->loop, &again->letter);
    }
    if (forgotten)
        log_warn("redis: this process was forgotten; it says again who is here");
    if (dead && dead->elements && !spares)
        reap_begin(redis, ear->server, redis_reply_text(dead, 0));
}

static void beat(struct redis_ear *ear)
{
    struct redis *redis = ear->redis;
    struct redis_home *home = redis->home;
    struct redis_link *link = ear->link;
    if (home->at[ear->server].beating || !redis_link_ready(link))
        return;
    home->at[ear->server].beating = true;
    redis_begin_script(link, SCRIPT_BEAT, 2);
    key_arg(link, "nodes", "");
    key_arg(link, "node:", home->node);
    redis_arg(link, text_of(home->node));
    redis_arg_number(link, redis->conf->redis.expire_ms);
    key_arg(link, "node:", "");
    redis_arg(link, text_of("host"));
    redis_arg(link, text_of(*redis->conf->announce ? redis->conf->announce : home->host));
    redis_arg(link, text_of("connections"));
    redis_arg_number(link, (int64_t)atomic_load(&counters[COUNT_connections_now]));
    redis_arg(link, text_of("takes"));
    redis_arg_number(link, atomic_load(&home->takes_clients));
    redis_send(link, on_beat, ear);
}

/* ---- the workers that there are ---- */

void redis_workers_unref(struct workers *workers)
{
    if (workers && atomic_fetch_sub(&workers->refs, 1) == 1)
        free(workers);
}

struct workers_news {
    struct letter letter;
    struct redis *redis;
    struct workers *workers;
};

static void workers_arrive(struct letter *letter)
{
    struct workers_news *news = (struct workers_news *)letter;
    redis_workers_unref(news->redis->workers);
    news->redis->workers = news->workers;
    memset(news->redis->handed_out, 0, sizeof news->redis->handed_out);
    free(news);
}

static struct workers *workers_read(const struct redisReply *reply)
{
    struct workers *workers = xcalloc(1, sizeof *workers);
    for (size_t i = 0; i < reply->elements && workers->count < WORKERS_MAX; i++) {
        const struct redisReply *one = redis_reply_array(reply, i);
        struct worker_place *place = &workers->places[workers->count];
        struct text node = redis_reply_text(one, 0), host = redis_reply_text(one, 1);
        if (node.length != 36 || host.length >= sizeof place->host)
            continue;
        memcpy(place->node, node.at, 36);
        memcpy(place->host, host.at, host.length);
        place->connections = (uint64_t)redis_reply_number(one, 2);
        workers->count++;
    }
    return workers;
}

static void on_workers(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct redis *redis = arg;
    struct redis_home *home = redis->home;
    home->asking_workers = false;
    if (outcome != REDIS_ANSWERED || reply->type != REDIS_REPLY_ARRAY)
        return;
    struct workers *workers = workers_read(reply);
    atomic_init(&workers->refs, (unsigned)home->count);
    for (size_t i = 0; i < home->count; i++) {
        struct workers_news *news = xmalloc(sizeof *news);
        *news = (struct workers_news){{.deliver = workers_arrive}, &home->loops[i], workers};
        loop_post(home->loops[i].loop, &news->letter);
    }
}

static void ask_workers(struct redis *redis)
{
    struct redis_home *home = redis->home;
    struct redis_link *link = redis_link_first(redis);
    if (home->asking_workers || !home->wants_workers || !redis_link_ready(link))
        return;
    home->asking_workers = true;
    redis_begin_script(link, SCRIPT_WORKERS, 1);
    key_arg(link, "nodes", "");
    key_arg(link, "node:", "");
    redis_send(link, on_workers, redis);
}

const struct worker_place *redis_do_pick_worker(struct broker *broker, struct text excluded)
{
    struct redis *redis = redis_of(broker);
    struct workers *workers = redis->workers;
    size_t best = WORKERS_MAX;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; workers && i < workers->count; i++) {
        uint64_t load = workers->places[i].connections + redis->handed_out[i];
        if (load < least && !text_is(excluded, workers->places[i].node)) {
            least = load;
            best = i;
        }
    }
    if (best == WORKERS_MAX)
        return NULL;
    redis->handed_out[best]++;
    return &workers->places[best];
}

/* ---- time ---- */

void redis_node_tick(struct redis *redis, unsigned tick)
{
    if (redis->index)
        return;
    for (size_t i = 0; tick % 4 == 0 && i < redis_servers_count(redis->home->servers); i++)
        beat(&redis->ears[i]);
    if (tick % 2 == 0)
        ask_workers(redis);
}

/* The last word. */
void redis_node_goodbye(struct redis *redis)
{
    if (redis->index)
        return;
    for (size_t i = 0; i < redis_servers_count(redis->home->servers); i++) {
        struct redis_link *link = redis_link_at(redis, i);
        redis_begin(link, "DEL");
        key_arg(link, "node:", redis->home->node);
        redis_send(link, NULL, NULL);
    }
}
