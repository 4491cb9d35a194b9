#include "redis_link.h"
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "list.h"
#include "log.h"
#include "loop.h"
#include "name.h"
#include "redis_scripts.h"

#include <assert.h>
#include <ev.h>
#include <hiredis/async.h>
#include <poll.h>
#include <sys/random.h>

#include <hiredis/adapters/libev.h>

enum {
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 2000,
    TICK_MS = 200,
    PULSE_MS = 1000,
    HEADER_ROOM = 16, /* in front of a command, for the number of its arguments */
    SHA_LENGTH = 40
};

struct link_end { /* one of the two connections */
    struct redis_link *link;
    redisAsyncContext *context; /* NULL: there is none */
    bool ready;
    unsigned greetings; /* replies until it is */
    unsigned failures;  /* since it last was */
    int64_t next_ms;    /* when to try again; monotonic */
    int64_t heard_ms;   /* when anything came last */
};

struct redis_link {
    struct loop *loop;
    const struct redis_server *server;
    const struct config *conf;
    char *self;
    struct redis_up up;
    struct link_end commands, channels;
    ev_timer tick;
    char run[SHA_LENGTH + 1]; /* of the server: another one each time it starts */
    bool appendonly, always;  /* how it keeps what it has */
    char shas[SCRIPT_COUNT][SHA_LENGTH + 1];
    struct { /* who says where the server is, if it is not the configuration */
        redisAsyncContext *context; /* NULL: none is asked */
        size_t at;                  /* which of them */
        bool asking;
        int64_t asked_ms;
        char host[256]; /* what they said last; "": nothing yet */
        int port;
    } sentinel;
    struct list calls; /* without an answer, the oldest first */
    size_t open_bytes;
    int64_t pulse_ms;
    struct buffer out; /* the command that is being written */
    unsigned arguments;
    char why[200]; /* what is wrong; empty while all is well */
    int64_t since_ms;
    bool ending;
};

struct call {
    struct letter letter; /* of one that is refused */
    struct redis_link *link;
    struct list link_calls;
    redis_answered *done; /* NULL: nobody waits for it any more */
    void *arg;
    size_t bytes;
    int64_t sent_ms;
};

static const char *const scripts[SCRIPT_COUNT] = {
    [SCRIPT_PUBLISH] = script_publish, [SCRIPT_READ] = script_read,
    [SCRIPT_LOOK] = script_look,       [SCRIPT_PRESENCE] = script_presence,
    [SCRIPT_READERS] = script_readers, [SCRIPT_BAN] = script_ban,
    [SCRIPT_REMOVE] = script_remove,   [SCRIPT_ONCE] = script_once,
    [SCRIPT_KEEP] = script_keep,       [SCRIPT_BEAT] = script_beat,
    [SCRIPT_REAP] = script_reap,       [SCRIPT_WORKERS] = script_workers,
};

/* Whether the oldest call has waited for too long: then those behind it would, too. */
static bool is_overdue(const struct redis_link *link, int64_t now_ms)
{
    return !list_empty(&link->calls) &&
           now_ms - list_entry(link->calls.next, struct call, link_calls)->sent_ms >
               link->conf->limits.store_wait_ms;
}

/* ---- trouble ---- */

__attribute__((format(printf, 2, 3))) static void trouble(struct redis_link *link,
                                                          const char *format, ...)
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
        is_overdue(link, clock_mono_ms()))
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
    trouble(end->link, "%s", status == REDIS_OK ? "closed" : context->errstr);
    end_is_gone(end);
}

static void end_give_up(struct link_end *end)
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
        trouble(end->link, "%s: %s", (const char *)what, reply->str);
        end_give_up(end);
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
    if (is_error(reply)) {
        trouble(link, "INFO: %s", reply->str);
        end_give_up(end);
        return;
    }
    info_find(reply->str, "\nrun_id:", link->run, sizeof link->run);
    info_find(reply->str, "\nrole:", role, sizeof role);
    if (*role && strcmp(role, "master") != 0) {
        trouble(link, "it is a replica, which cannot be written; name the primary, or Sentinels");
        end_give_up(end);
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
    *(bool *)field = false;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        const char *value = reply->element[1]->str;
        *(bool *)field = !strcmp(value, field == &end->link->always ? "always" : "yes");
    }
    greeted(end);
}

static void on_script(redisAsyncContext *context, void *got, void *sha)
{
    struct link_end *end = context->data;
    redisReply *reply = got;
    if (!reply || end->context != context)
        return;
    if (is_error(reply) || reply->len != SHA_LENGTH) {
        trouble(end->link, "SCRIPT LOAD: %s", is_error(reply) ? reply->str : "no hash");
        end_give_up(end);
        return;
    }
    memcpy(sha, reply->str, SHA_LENGTH + 1);
    greeted(end);
}

static void scripts_load(struct redis_link *link)
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
    scripts_load(link);
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
    trouble(end->link, "%s", context->errstr); /* hiredis frees the context */
    end_is_gone(end);
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
        trouble(link, "%s", context ? context->errstr : "no memory");
        if (context)
            redisAsyncFree(context);
        end_is_gone(end);
        return;
    }
    end->context = context;
    context->data = end;
    redisLibevAttach(loop_ev(link->loop), context);
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
}

/* ---- Sentinels ---- */

/* Where the server is, they are asked about once a second, one of them at a time: when they have
 * chosen another one, the connections to the old one are ended, whether or not it is still there.
 */

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
            end_give_up(ends[i]);
        ends[i]->next_ms = 0; /* at once */
        ends[i]->failures = 0;
    }
}

static void on_master(redisAsyncContext *context, void *got, void *unused)
{
    struct redis_link *link = context->data;
    redisReply *reply = got;
    if (link->sentinel.context != context)
        return;
    link->sentinel.asking = false;
    if (!reply) { /* the context is about to be freed */
        link->sentinel.context = NULL;
        sentinel_next(link);
        if (!*link->sentinel.host)
            trouble(link, "no Sentinel can be reached");
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        master_is_at(link, reply->element[0]->str, atoi(reply->element[1]->str));
    } else {
        if (!*link->sentinel.host)
            trouble(link, "the Sentinels know no master of that name");
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
        redisLibevAttach(loop_ev(link->loop), context);
        redisAsyncSetDisconnectCallback(context, on_sentinel_gone);
    }
    link->sentinel.asking = true;
    redisAsyncCommand(context, on_master, NULL, "SENTINEL get-master-addr-by-name %s",
                      link->server->name);
}

static void sentinel_tick(struct redis_link *link, int64_t now_ms)
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

/* ---- commands ---- */

static void call_free(struct call *call)
{
    call->link->open_bytes -= call->bytes;
    list_remove(&call->link_calls);
    free(call);
}

static void call_answer(struct call *call, enum redis_outcome outcome, const redisReply *reply)
{
    redis_answered *done = call->done;
    call->done = NULL;
    if (done)
        done(call->arg, outcome, reply);
}

/* Refused before anything was done. */
static bool error_is_refusal(const char *error)
{
    static const char *const known[] = {"OOM ",
                                        "READONLY ",
                                        "LOADING ",
                                        "MISCONF ",
                                        "NOSCRIPT ",
                                        "BUSY ",
                                        "NOAUTH ",
                                        "MASTERDOWN ",
                                        "NOPERM ",
                                        "NOREPLICAS ",
                                        "max number of clients"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(error, known[i], strlen(known[i])))
            return true;
    return false;
}

static void call_failed(struct call *call, const char *error)
{
    struct redis_link *link = call->link;
    bool refused = error_is_refusal(error);
    log_warn("redis: %s", error);
    if (refused)
        count_up(COUNT_redis_refused);
    call_answer(call, refused ? REDIS_REFUSED : REDIS_UNKNOWN, NULL);
    if (!strncmp(error, "NOSCRIPT", 8) && link->commands.ready) {
        link->commands.ready = false; /* somebody flushed them */
        link->up.lost(link->up.arg);
        scripts_load(link);
    } else if (!strncmp(error, "READONLY", 8) && link->commands.context) {
        trouble(link, "it is a replica now");
        end_give_up(&link->commands);
    }
}

static void on_reply(redisAsyncContext *context, void *got, void *arg)
{
    struct call *call = arg;
    redisReply *reply = got;
    call->link->commands.heard_ms = clock_mono_ms();
    list_remove(&call->link_calls); /* so that the time-out does not find it */
    if (!reply)
        call_answer(call, REDIS_UNKNOWN, NULL);
    else if (is_error(reply))
        call_failed(call, reply->str);
    else
        call_answer(call, REDIS_ANSWERED, reply);
    call_free(call);
}

static void call_refused(struct letter *letter)
{
    struct call *call = (struct call *)letter;
    count_up(COUNT_redis_refused);
    call_answer(call, REDIS_REFUSED, NULL);
    call_free(call);
}

static void command_begin(struct redis_link *link)
{
    link->out.length = 0;
    link->arguments = 0;
    buffer_bytes(&link->out, "                ", HEADER_ROOM);
}

void redis_arg(struct redis_link *link, struct text text)
{
    link->arguments++;
    buffer_text(&link->out, "$");
    buffer_number(&link->out, (int64_t)text.length);
    buffer_text(&link->out, "\r\n");
    buffer_bytes(&link->out, text.at ? text.at : "", text.length);
    buffer_text(&link->out, "\r\n");
}

void redis_arg_number(struct redis_link *link, int64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)number);
    redis_arg(link, (struct text){digits, (size_t)length});
}

void redis_arg_key(struct redis_link *link, const char *part, struct text name)
{
    const char *prefix = link->conf->redis.prefix;
    size_t prefix_length = strlen(prefix), part_length = strlen(part);
    link->arguments++;
    buffer_text(&link->out, "$");
    buffer_number(&link->out, (int64_t)(prefix_length + 1 + part_length + name.length));
    buffer_text(&link->out, "\r\n");
    buffer_bytes(&link->out, prefix, prefix_length);
    buffer_text(&link->out, ":");
    buffer_bytes(&link->out, part, part_length);
    buffer_bytes(&link->out, name.at ? name.at : "", name.length);
    buffer_text(&link->out, "\r\n");
}

void redis_arg_run(struct redis_link *link)
{
    uint64_t random = 0;
    char epoch[17];
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        abort();
    snprintf(epoch, sizeof epoch, "%016llx", (unsigned long long)random);
    redis_arg(link, text_of(link->run));
    /* What a replica that takes over has not got is lost, however it is kept. */
    bool keeps = link->appendonly && link->always && !link->server->sentinel_count;
    redis_arg(link, text_of(keeps ? "1" : "0"));
    redis_arg(link, text_of(epoch));
}

void redis_begin(struct redis_link *link, const char *command)
{
    command_begin(link);
    redis_arg(link, text_of(command));
}

void redis_begin_script(struct redis_link *link, enum redis_script script, unsigned keys)
{
    command_begin(link);
    redis_arg(link, text_of("EVALSHA"));
    redis_arg(link, text_of(link->shas[script]));
    redis_arg_number(link, keys);
}

void redis_send(struct redis_link *link, redis_answered *done, void *arg)
{
    struct call *call = xcalloc(1, sizeof *call);
    char header[HEADER_ROOM];
    int length = snprintf(header, sizeof header, "*%u\r\n", link->arguments);
    int64_t now_ms = clock_mono_ms();
    call->link = link;
    call->done = done;
    call->arg = arg;
    call->sent_ms = now_ms;
    list_init(&call->link_calls);
    bool sent = false;
    if (link->commands.ready && link->commands.context && !link->out.failed &&
        !is_overdue(link, now_ms)) {
        char *at = link->out.at + HEADER_ROOM - length;
        memcpy(at, header, (size_t)length);
        call->bytes = (size_t)(link->out.at + link->out.length - at);
        sent = redisAsyncFormattedCommand(link->commands.context, on_reply, call, at,
                                          call->bytes) == REDIS_OK;
        if (!sent)
            call->bytes = 0;
    }
    if (sent) {
        link->open_bytes += call->bytes;
        list_append(&link->calls, &call->link_calls);
    } else {
        call->letter.deliver = call_refused;
        loop_post(link->loop, &call->letter);
    }
    enum { KEPT_BYTES = 64 * 1024 };
    if (link->out.failed || link->out.room > KEPT_BYTES)
        buffer_finish(&link->out);
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->commands.ready;
}

bool redis_link_hears(const struct redis_link *link)
{
    return link->channels.ready;
}

size_t redis_link_open_bytes(const struct redis_link *link)
{
    return link->open_bytes;
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
        trouble(link, "SUBSCRIBE: %s", reply->str);
        end_give_up(end);
        return;
    }
    struct text kind = redis_reply_text(reply, 0), channel = redis_reply_text(reply, 1);
    end->heard_ms = clock_mono_ms();
    if (text_is(channel, link->self)) {
        if (!end->ready)
            greeted(end);
        else if (text_is(kind, "message"))
            link->up.pulse(link->up.arg);
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

/* ---- replies ---- */

static const redisReply *part(const redisReply *reply, size_t i)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i]
                                                                            : NULL;
}

struct text redis_reply_text(const struct redisReply *reply, size_t i)
{
    const redisReply *found = part(reply, i);
    if (!found || (found->type != REDIS_REPLY_STRING && found->type != REDIS_REPLY_STATUS))
        return (struct text){0};
    return (struct text){found->str, (size_t)found->len};
}

int64_t redis_reply_number(const struct redisReply *reply, size_t i)
{
    const redisReply *found = part(reply, i);
    if (found && found->type == REDIS_REPLY_INTEGER)
        return found->integer;
    return found && found->str ? strtoll(found->str, NULL, 10) : 0;
}

const struct redisReply *redis_reply_array(const struct redisReply *reply, size_t i)
{
    const redisReply *found = part(reply, i);
    return found && found->type == REDIS_REPLY_ARRAY ? found : NULL;
}

/* ---- time ---- */

/* Those that have waited for too long get to know that nobody knows. */
static void give_up_late(struct redis_link *link, int64_t now_ms)
{
    struct call *call, *after;
    int64_t wait_ms = link->conf->limits.store_wait_ms;
    list_for_each_safe (call, after, &link->calls, link_calls) {
        if (now_ms - call->sent_ms <= wait_ms)
            break;
        if (!call->done)
            continue;
        count_up(COUNT_store_late);
        trouble(link, "no answer within limits.store_wait");
        call_answer(call, REDIS_UNKNOWN, NULL);
        after = list_entry(call->link_calls.next, struct call, link_calls);
    }
}

static void end_look(struct link_end *end, int64_t now_ms)
{
    struct redis_link *link = end->link;
    int64_t wait_ms = link->conf->limits.store_wait_ms;
    if (!end->context) {
        if (now_ms >= end->next_ms)
            end_connect(end);
    } else if (now_ms - end->heard_ms > wait_ms + PULSE_MS) {
        trouble(link, end->ready ? "silent" : "no connection within limits.store_wait");
        end_give_up(end);
    }
}

/* Something goes out on one connection and comes in on the other, so that one that is dead shows,
 * whatever is between us and it. */
void redis_link_pulse(struct redis_link *link)
{
    link->pulse_ms = clock_mono_ms();
    redis_begin(link, "PUBLISH");
    redis_arg(link, text_of(link->self));
    redis_arg(link, text_of("."));
    redis_send(link, NULL, NULL);
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct redis_link *link = timer->data;
    int64_t now_ms = clock_mono_ms();
    give_up_late(link, now_ms);
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
    if (link->sentinel.context)
        sentinel_next(link);
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
