#include "redis_servers.h"
#include "alloc.h"
#include "config.h"

#include <ctype.h>

enum { POINTS = 128 }; /* of each server */

struct point {
    uint64_t at;
    uint32_t server;
};

struct redis_servers {
    size_t count, sentinel_count, point_count;
    struct redis_server servers[REDIS_SERVERS_MAX];
    struct redis_server sentinels[REDIS_SERVERS_MAX];
    struct point points[REDIS_SERVERS_MAX * POINTS];
};

/* ---- the ring ---- */

/* FNV-1a 64 and the end of splitmix64: the same in every process, unlike table_hash. */
static uint64_t place_of(struct text name, uint32_t number)
{
    uint64_t hash = 0xcbf29ce484222325u ^ number;
    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ (unsigned char)name.at[i]) * 0x100000001b3u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

static int by_place(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static void ring_make(struct redis_servers *servers)
{
    for (uint32_t i = 0; i < servers->count; i++)
        for (uint32_t k = 1; k <= POINTS; k++)
            servers->points[servers->point_count++] =
                (struct point){place_of(text_of(servers->servers[i].name), k), i};
    qsort(servers->points, servers->point_count, sizeof *servers->points, by_place);
}

size_t redis_servers_find(const struct redis_servers *servers, struct text name)
{
    uint64_t at = place_of(name, 0);
    size_t low = 0, high = servers->point_count;
    if (servers->count == 1)
        return 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (servers->points[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return servers->points[low == servers->point_count ? 0 : low].server;
}

/* ---- what the configuration says ---- */

/* The next of a list with commas; absent at its end. */
static struct text next_item(const char **list)
{
    const char *from = *list + strspn(*list, ", ");
    size_t length = strcspn(from, ", ");
    *list = from + length;
    return (struct text){length ? from : NULL, length};
}

/* "host:port", "[v6]:port", or the path of a socket. */
static bool server_parse(struct text text, struct redis_server *out)
{
    char *name = xstrndup(text.at, text.length);
    char *colon = strrchr(name, ':');
    *out = (struct redis_server){.name = name, .host = xstrdup(""), .socket = xstrdup("")};
    if (*name == '/') {
        free(out->socket);
        out->socket = xstrdup(name);
        return true;
    }
    if (!colon || colon == name || !colon[1] || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    bool bracketed = *name == '[' && colon[-1] == ']';
    free(out->host);
    out->host = xstrndup(name + bracketed, (size_t)(colon - name) - 2 * (size_t)bracketed);
    out->port = atoi(colon + 1);
    return out->port > 0 && out->port < 65536;
}

static bool list_parse(const char *list, const char *option, struct redis_server *out,
                       size_t *count_out, struct error *err)
{
    for (;;) {
        struct text item = next_item(&list);
        if (!item.at)
            return true;
        if (*count_out == REDIS_SERVERS_MAX) {
            error_set(err, "redis.%s: at most %d of them", option, REDIS_SERVERS_MAX);
            return false;
        }
        if (!server_parse(item, &out[(*count_out)++])) {
            error_set(err,
                      "redis.%s: \"%.*s\" is no address with a port such as 10.0.0.1:6379 or "
                      "[::1]:6379, and no path of a socket",
                      option, (int)item.length, item.at);
            return false;
        }
    }
}

static bool masters_parse(struct redis_servers *servers, const char *list, struct error *err)
{
    for (;;) {
        struct text item = next_item(&list);
        if (!item.at)
            break;
        if (servers->count == REDIS_SERVERS_MAX) {
            error_set(err, "redis.masters: at most %d of them", REDIS_SERVERS_MAX);
            return false;
        }
        servers->servers[servers->count++] =
            (struct redis_server){.name = xstrndup(item.at, item.length),
                                  .host = xstrdup(""),
                                  .socket = xstrdup(""),
                                  .sentinels = servers->sentinels,
                                  .sentinel_count = servers->sentinel_count};
    }
    if (servers->count)
        return true;
    error_set(err,
              "redis.masters: redis.sentinels are there, so it must name what they watch, such "
              "as mymaster");
    return false;
}

struct redis_servers *redis_servers_create(const struct config *conf, struct error *err)
{
    struct redis_servers *servers = xcalloc(1, sizeof *servers);
    bool ok = list_parse(conf->redis.sentinels, "sentinels", servers->sentinels,
                         &servers->sentinel_count, err) &&
              list_parse(conf->redis.servers, "servers", servers->servers, &servers->count, err);
    if (ok && servers->sentinel_count && servers->count) {
        error_set(err, "redis.servers: redis.sentinels say where they are: name them in "
                       "redis.masters");
        ok = false;
    } else if (ok && servers->sentinel_count) {
        ok = masters_parse(servers, conf->redis.masters, err);
    } else if (ok && !servers->count) {
        char name[300];
        snprintf(name, sizeof name, "%.250s:%d", conf->redis.host, conf->redis.port);
        servers->servers[servers->count++] =
            (struct redis_server){.name = xstrdup(*conf->redis.socket ? conf->redis.socket : name),
                                  .host = xstrdup(conf->redis.host),
                                  .port = conf->redis.port,
                                  .socket = xstrdup(conf->redis.socket)};
    }
    if (!ok) {
        redis_servers_destroy(servers);
        return NULL;
    }
    ring_make(servers);
    return servers;
}

static void server_finish(struct redis_server *server)
{
    free(server->name);
    free(server->host);
    free(server->socket);
}

void redis_servers_destroy(struct redis_servers *servers)
{
    if (!servers)
        return;
    for (size_t i = 0; i < servers->count; i++)
        server_finish(&servers->servers[i]);
    for (size_t i = 0; i < servers->sentinel_count; i++)
        server_finish(&servers->sentinels[i]);
    free(servers);
}

size_t redis_servers_count(const struct redis_servers *servers)
{
    return servers->count;
}

const struct redis_server *redis_servers_at(const struct redis_servers *servers, size_t i)
{
    return &servers->servers[i];
}
