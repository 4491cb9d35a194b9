/* Where the server is, Sentinels are asked about once a second, one of them at a time: when they
 * have chosen another one, the connections to the old one are ended, whether or not it is still
 * there. */
#include "alloc.h"
#include "log.h"
#include "redis_link_parts.h"

static void sentinel_next(struct redis_link *link)
{
    redisAsyncContext *context = link->sentinel.context;
    link->sentinel.context = NULL;
    link->sentinel.asking = false;
    link->sentinel.at = (link->sentinel.at + 1) % link->server->sentinel_count;
    if (context)
        redisAsyncFree(context);
}

static void master_is_at(struct redis_link *link, const char *host, int port)
{
    if (!strcmp(link->sentinel.host, host) && link->sentinel.port == port)
        return;
    bool moved = *link->sentinel.host;
    snprintf(link->sentinel.host, sizeof link->sentinel.host, "%s", host);
    link->sentinel.port = port;
    log_info("redis %s: is at %s:%d%s", link->server->name, host, port, moved ? " now" : "");
    struct link_end *const ends[] = {&link->commands, &link->channels};
    for (size_t i = 0; i < 2; i++) {
        if (ends[i]->context)
            link_end_give_up(ends[i]);
        ends[i]->next_ms = 0; /* at once */
        ends[i]->failures = 0;
    }
}

static void on_master(redisAsyncContext *context, void *got, void *unused)
{
    struct redis_link *link = context->data;
    redisReply *reply = got;
    struct text host = redis_reply_text(reply, 0), port = redis_reply_text(reply, 1);
    if (link->sentinel.context != context)
        return;
    link->sentinel.asking = false;
    if (!reply) { /* the context is about to be freed */
        link->sentinel.context = NULL;
        sentinel_next(link);
        if (!*link->sentinel.host)
            link_trouble(link, "no Sentinel can be reached");
    } else if (host.at && port.at) {
        master_is_at(link, host.at, atoi(port.at));
    } else {
        if (!*link->sentinel.host)
            link_trouble(link, "the Sentinels know no master of that name");
        sentinel_next(link);
    }
}

static void on_sentinel_gone(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;
    if (link->sentinel.context == context)
        link->sentinel.context = NULL;
}

static void sentinel_ask(struct redis_link *link)
{
    const struct redis_server *from = &link->server->sentinels[link->sentinel.at];
    redisAsyncContext *context = link->sentinel.context;
    if (!context) {
        context = *from->socket ? redisAsyncConnectUnix(from->socket)
                                : redisAsyncConnect(from->host, from->port);
        if (!context || context->err) {
            if (context)
                redisAsyncFree(context);
            sentinel_next(link);
            return;
        }
        link->sentinel.context = context;
        context->data = link;
        link_attach(link, context);
        redisAsyncSetDisconnectCallback(context, on_sentinel_gone);
    }
    link->sentinel.asking = true;
    redisAsyncCommand(context, on_master, NULL, "SENTINEL get-master-addr-by-name %s",
                      link->server->name);
}

void sentinel_tick(struct redis_link *link, int64_t now_ms)
{
    enum { ASK_MS = 1000 };
    if (!link->server->sentinel_count ||
        (now_ms - link->sentinel.asked_ms < ASK_MS && *link->sentinel.host))
        return;
    if (link->sentinel.asking && now_ms - link->sentinel.asked_ms < ASK_MS)
        return;
    if (link->sentinel.asking) /* it does not answer */
        sentinel_next(link);
    link->sentinel.asked_ms = now_ms;
    sentinel_ask(link);
}

void sentinel_end(struct redis_link *link)
{
    if (link->sentinel.context)
        sentinel_next(link);
}
