/* Two connections to one server: made, greeted, watched, and made again. */
#include "alloc.h"
#include "counters.h"
#include "log.h"
#include "redis_link_parts.h"
#include "redis_scripts.h"

#include <assert.h>
#include <poll.h>
#include <sys/random.h>

#include <hiredis/adapters/libev.h>

static const char *const scripts[SCRIPT_COUNT] = {
    [SCRIPT_PUBLISH] = script_publish, [SCRIPT_READ] = script_read,
    [SCRIPT_LOOK] = script_look,       [SCRIPT_PRESENCE] = script_presence,
    [SCRIPT_READERS] = script_readers, [SCRIPT_BAN] = script_ban,
    [SCRIPT_BANS] = script_bans,       [SCRIPT_REMOVE] = script_remove,
    [SCRIPT_ONCE] = script_once,       [SCRIPT_KEEP] = script_keep,
    [SCRIPT_BEAT] = script_beat,       [SCRIPT_REAP] = script_reap,
    [SCRIPT_WORKERS] = script_workers,
};

/* ---- trouble ---- */

void link_trouble(struct redis_link *link, const char *format, ...)
{
    char what[160];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    bool news = !*link->why;
    snprintf(link->why, sizeof link->why, "redis %.90s: %.100s", link->server->name, what);
    if (news) {
        link->since_ms = clock_wall_ms();
        if (!link->ending)
            log_warn("%s; trying again until it is back", link->why);
    }
}

static void trouble_ends(struct redis_link *link)
{
    if (!*link->why || !link->commands.ready || !link->channels.ready ||
        link_is_overdue(link, clock_mono_ms()))
        return;
    log_info("redis %s: back after %lld ms", link->server->name,
             (long long)(clock_wall_ms() - link->since_ms));
    *link->why = 0;
}

/* ---- the end of a connection ---- */

static void end_drop(struct link_end *end)
{
    redisAsyncContext *context = end->context;
    end->context = NULL;
    if (context)
        redisAsyncFree(context); /* answers what is open with no reply */
}

/* However it ended. */
static void end_is_gone(struct link_end *end)
{
    struct redis_link *link = end->link;
    bool was_ready = end->ready;
    unsigned doubling = end->failures < 6 ? end->failures : 6;
    int64_t pause_ms = (int64_t)PAUSE_MIN_MS << doubling;
    uint16_t random = 0;
    end->context = NULL;
    end->ready = false;
    end->failures++;
    if (pause_ms > PAUSE_MAX_MS)
        pause_ms = PAUSE_MAX_MS;
    if (getrandom(&random, sizeof random, 0) < 0)
        random = 0;
    end->next_ms = clock_mono_ms() + pause_ms / 2 + random % (pause_ms / 2 + 1);
    if (!was_ready || link->ending)
        return;
    count_up(COUNT_redis_losses);
    if (end == &link->commands)
        link->up.lost(link->up.arg);
    else
        link->up.deaf(link->up.arg);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct link_end *end = context->data;
    if (end->context != context) /* we dropped it */
        return;
    link_trouble(end->link, "%s", status == REDIS_OK ? "closed" : context->errstr);
    end_is_gone(end);
}

void link_end_give_up(struct link_end *end)
{
    end_drop(end);
    end_is_gone(end);
}

/* ---- its beginning ---- */

static void end_is_ready(struct link_end *end)
{
    struct redis_link *link = end->link;
    count_up(COUNT_redis_connects);
    end->ready = true;
    end->failures = 0;
    end->heard_ms = clock_mono_ms();
    trouble_ends(link);
    if (end == &link->commands)
        link->up.ready(link->up.arg);
    else
        link->up.hearing(link->up.arg);
}

static bool is_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

static void greeted(struct link_end *end)
{
    if (!--end->greetings)
        end_is_ready(end);
}

/* What has to be OK. */
static void on_greeting(redisAsyncContext *context, void *got, void *what)
{
    struct link_end *end = context->data;
    redisReply *reply = got;
    if (!reply || end->context != context)
        return;
    if (is_error(reply)) {
        link_trouble(end->link, "%s: %s", (const char *)what, reply->str);
        link_end_give_up(end);
        return;
    }
    greeted(end);
}

/* The value of "\nname:value\r\n". */
static void info_find(const char *info, const char *name, char *out, size_t size)
{
    const char *at = strstr(info, name);
    size_t length = at ? strcspn(at += strlen(name), "\r\n") : 0;
    snprintf(out, size, "%.*s", (int)length, at ? at : "");
}

static void on_info(redisAsyncContext *context, void *got, void *unused)
{
    struct link_end *end = context->data;
    struct redis_link *link = end->link;
    redisReply *reply = got;
    char role[16];
    if (!reply || end->context != context)
        return;
    if (is_error(reply) || !reply->str) {
        link_trouble(link, "INFO: %s", reply->str ? reply->str : "no text");
        link_end_give_up(end);
        return;
    }
    info_find(reply->str, "\nrun_id:", link->run, sizeof link->run);
    info_find(reply->str, "\nrole:", role, sizeof role);
    if (*role && strcmp(role, "master") != 0) {
        link_trouble(link,
                     "it is a replica, which cannot be written; name the primary, or Sentinels");
        link_end_give_up(end);
        return;
    }
    greeted(end);
}

/* Where CONFIG is forbidden, it is taken for one that may lose something. */
static void on_config(redisAsyncContext *context, void *got, void *field)
{
    struct link_end *end = context->data;
    redisReply *reply = got;
    if (!reply || end->context != context)
        return;
    *(bool *)field =
        text_is(redis_reply_text(reply, 1), field == &end->link->always ? "always" : "yes");
    greeted(end);
}

static void on_script(redisAsyncContext *context, void *got, void *sha)
{
    struct link_end *end = context->data;
    redisReply *reply = got;
    if (!reply || end->context != context)
        return;
    if (is_error(reply) || reply->len != SHA_LENGTH) {
        link_trouble(end->link, "SCRIPT LOAD: %s", is_error(reply) ? reply->str : "no hash");
        link_end_give_up(end);
        return;
    }
    memcpy(sha, reply->str, SHA_LENGTH + 1);
    greeted(end);
}

void link_load_scripts(struct redis_link *link)
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        struct buffer text = {0};
        buffer_text(&text, script_common);
        buffer_text(&text, scripts[i]);
        link->commands.greetings++;
        redisAsyncCommand(link->commands.context, on_script, link->shas[i], "SCRIPT LOAD %b",
                          text.at, text.length);
        buffer_finish(&text);
    }
}

static void on_channel(redisAsyncContext *context, void *got, void *unused);

static void greet(struct link_end *end)
{
    struct redis_link *link = end->link;
    const struct config *conf = link->conf;
    redisAsyncContext *context = end->context;
    end->greetings = 1;
    if (*conf->redis.password && *conf->redis.user)
        redisAsyncCommand(context, on_greeting, (void *)"AUTH", "AUTH %s %s", conf->redis.user,
                          conf->redis.password);
    else if (*conf->redis.password)
        redisAsyncCommand(context, on_greeting, (void *)"AUTH", "AUTH %s", conf->redis.password);
    else
        redisAsyncCommand(context, on_greeting, (void *)"PING", "PING");
    if (end == &link->channels) {
        end->greetings++; /* its own channel: that subscribes at all, and stays */
        redisAsyncCommand(context, on_channel, NULL, "SUBSCRIBE %s", link->self);
        return;
    }
    if (conf->redis.db) {
        end->greetings++;
        redisAsyncCommand(context, on_greeting, (void *)"SELECT", "SELECT %d", conf->redis.db);
    }
    end->greetings += 3;
    redisAsyncCommand(context, on_info, NULL, "INFO");
    redisAsyncCommand(context, on_config, &link->appendonly, "CONFIG GET appendonly");
    redisAsyncCommand(context, on_config, &link->always, "CONFIG GET appendfsync");
    link_load_scripts(link);
}

static void on_connect(const redisAsyncContext *context, int status)
{
    struct link_end *end = context->data;
    if (end->context != context)
        return;
    if (status == REDIS_OK) {
        greet(end);
        return;
    }
    link_trouble(end->link, "%s", context->errstr); /* hiredis frees the context */
    end_is_gone(end);
}

void link_attach(struct redis_link *link, redisAsyncContext *context)
{
    redisLibevAttach(loop_ev(link->loop), context);
}

static void end_connect(struct link_end *end)
{
    struct redis_link *link = end->link;
    const struct redis_server *server = link->server;
    redisAsyncContext *context;
    end->heard_ms = clock_mono_ms();
    if (server->sentinel_count && !*link->sentinel.host) {
        end->next_ms = end->heard_ms + TICK_MS; /* they are being asked */
        return;
    }
    if (server->sentinel_count)
        context = redisAsyncConnect(link->sentinel.host, link->sentinel.port);
    else if (*server->socket)
        context = redisAsyncConnectUnix(server->socket);
    else
        context = redisAsyncConnect(server->host, server->port);
    if (!context || context->err) {
        link_trouble(link, "%s", context ? context->errstr : "no memory");
        if (context)
            redisAsyncFree(context);
        end_is_gone(end);
        return;
    }
    end->context = context;
    context->data = end;
    link_attach(link, context);
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->commands.ready;
}

bool redis_link_hears(const struct redis_link *link)
{
    return link->channels.ready;
}

const char *redis_link_trouble(const struct redis_link *link, int64_t *since_ms)
{
    *since_ms = link->since_ms;
    return *link->why ? link->why : NULL;
}

/* ---- subscriptions ---- */

static void on_channel(redisAsyncContext *context, void *got, void *unused)
{
    struct link_end *end = context->data;
    struct redis_link *link = end->link;
    redisReply *reply = got;
    if (!reply || end->context != context)
        return;
    if (is_error(reply)) {
        link_trouble(link, "SUBSCRIBE: %s", reply->str);
        link_end_give_up(end);
        return;
    }
    struct text kind = redis_reply_text(reply, 0), channel = redis_reply_text(reply, 1);
    end->heard_ms = clock_mono_ms();
    if (text_is(channel, link->self)) {
        if (!end->ready)
            greeted(end);
        else if (text_is(kind, "message"))
            link->up.pulse(link->up.arg, (uint64_t)redis_reply_number(reply, 2));
    } else if (text_is(kind, "message")) {
        link->up.heard(link->up.arg, channel, redis_reply_text(reply, 2));
    } else if (text_is(kind, "subscribe")) {
        link->up.subscribed(link->up.arg, channel);
    }
}

void redis_subscribe(struct redis_link *link, struct text channel)
{
    if (link->channels.ready && link->channels.context)
        redisAsyncCommand(link->channels.context, on_channel, NULL, "SUBSCRIBE %b", channel.at,
                          channel.length);
}

void redis_unsubscribe(struct redis_link *link, struct text channel)
{
    if (link->channels.ready && link->channels.context)
        redisAsyncCommand(link->channels.context, on_channel, NULL, "UNSUBSCRIBE %b", channel.at,
                          channel.length);
}

/* ---- time ---- */

static void end_look(struct link_end *end, int64_t now_ms)
{
    struct redis_link *link = end->link;
    int64_t wait_ms = link->conf->limits.store_wait_ms;
    if (!end->context) {
        if (now_ms >= end->next_ms)
            end_connect(end);
    } else if (now_ms - end->heard_ms > wait_ms + PULSE_MS) {
        link_trouble(link, end->ready ? "silent" : "no connection within limits.store_wait");
        link_end_give_up(end);
    }
}

/* Something goes out on one connection and comes in on the other, so that one that is dead shows,
 * whatever is between us and it. */
uint64_t redis_link_pulse(struct redis_link *link)
{
    link->pulse_ms = clock_mono_ms();
    redis_begin(link, "PUBLISH");
    redis_arg(link, text_of(link->self));
    redis_arg_number(link, (int64_t)++link->pulses);
    redis_send(link, NULL, NULL);
    return link->pulses;
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct redis_link *link = timer->data;
    int64_t now_ms = clock_mono_ms();
    link_give_up_late(link, now_ms);
    if (!link->commands.ready) /* then the other's silence says nothing */
        link->channels.heard_ms =
            link->channels.context && link->channels.ready ? now_ms : link->channels.heard_ms;
    sentinel_tick(link, now_ms);
    end_look(&link->commands, now_ms);
    end_look(&link->channels, now_ms);
    if (link->commands.ready && now_ms - link->pulse_ms >= PULSE_MS)
        redis_link_pulse(link);
    trouble_ends(link);
}

/* ---- life ---- */

void redis_link_use(struct redis_link *link, const struct config *conf)
{
    link->conf = conf;
}

struct redis_link *redis_link_create(struct loop *loop, const struct redis_server *server,
                                     const struct config *conf, const char *self,
                                     const struct redis_up *up)
{
    struct redis_link *link = xcalloc(1, sizeof *link);
    link->loop = loop;
    link->server = server;
    link->conf = conf;
    link->self = xstrdup(self);
    link->up = *up;
    if (getrandom(&link->epochs, sizeof link->epochs, 0) != sizeof link->epochs)
        abort();
    link->commands.link = link->channels.link = link;
    list_init(&link->calls);
    ev_timer_init(&link->tick, on_tick, 0, TICK_MS / 1000.0);
    link->tick.data = link;
    ev_timer_start(loop_ev(loop), &link->tick);
    return link;
}

/* What was said last shall not be lost because nobody waits for it. */
static void end_flush(struct link_end *end)
{
    enum { TRIES = 20, TRY_MS = 10 };
    int done = !end->context;
    for (int i = 0; !done && i < TRIES; i++) {
        struct pollfd fd = {.fd = end->context->c.fd, .events = POLLOUT};
        if (poll(&fd, 1, TRY_MS) < 0 || redisBufferWrite(&end->context->c, &done) != REDIS_OK)
            return;
    }
}

void redis_link_end(struct redis_link *link)
{
    link->ending = true;
    ev_timer_stop(loop_ev(link->loop), &link->tick);
    if (link->commands.ready)
        end_flush(&link->commands);
    end_drop(&link->commands);
    end_drop(&link->channels);
    sentinel_end(link);
    link->commands.ready = link->channels.ready = false;
    assert(list_empty(&link->calls));
}

void redis_link_destroy(struct redis_link *link)
{
    if (!link)
        return;
    buffer_finish(&link->out);
    free(link->self);
    free(link);
}
