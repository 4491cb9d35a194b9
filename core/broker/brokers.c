#include "brokers.h"
#include "alloc.h"
#include "config.h"
#include "embedded.h"

struct brokers {
    struct embedded_home *embedded; /* one of both */
    struct redis_home *redis;
};

struct brokers *brokers_open(const struct config *conf, const char node[37], enum redis_role role,
                             const char *host, struct loop *const *loops, size_t loop_count,
                             struct error *err)
{
    struct brokers *brokers = xcalloc(1, sizeof *brokers);
    if (role == REDIS_SERVER && conf->broker == BROKER_EMBEDDED)
        brokers->embedded = embedded_open(conf, loops, loop_count, err);
    else
        brokers->redis = redis_open(conf, node, role, host, loops, loop_count, err);
    if (brokers->embedded || brokers->redis)
        return brokers;
    free(brokers);
    return NULL;
}

struct broker *brokers_get(struct brokers *brokers, size_t i)
{
    return brokers->redis ? redis_broker(brokers->redis, i) : embedded_broker(brokers->embedded, i);
}

bool brokers_on_redis(const struct brokers *brokers)
{
    return brokers->redis;
}

void brokers_take_clients(struct brokers *brokers, bool takes)
{
    if (brokers->redis)
        redis_take_clients(brokers->redis, takes);
}

void brokers_start(struct brokers *brokers)
{
    if (brokers->embedded)
        embedded_start(brokers->embedded);
}

void brokers_stop(struct brokers *brokers)
{
    if (brokers->embedded)
        embedded_stop(brokers->embedded);
    else
        redis_stop(brokers->redis);
}

bool brokers_drain(struct brokers *brokers)
{
    if (brokers->embedded)
        return embedded_drain(brokers->embedded);
    redis_stop(brokers->redis); /* of one that is half built */
    return false;
}

void brokers_close(struct brokers *brokers)
{
    if (!brokers)
        return;
    embedded_close(brokers->embedded);
    redis_close(brokers->redis);
    free(brokers);
}

void brokers_backup(struct brokers *brokers, const char *path,
                    void (*done)(void *arg, const struct error *err), void *arg)
{
    struct error err;
    if (brokers->embedded) {
        embedded_backup(brokers->embedded, path, done, arg);
        return;
    }
    error_set(&err,
              "what is said is kept by Redis: back that up (BGSAVE, or its append-only file)");
    done(arg, &err);
}
