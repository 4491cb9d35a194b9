/* Commands to Redis and what comes back: each with a deadline, in order. */
#include "alloc.h"
#include "counters.h"
#include "log.h"
#include "redis_link_parts.h"

bool link_is_overdue(const struct redis_link *link, int64_t now_ms)
{
    return !list_empty(&link->calls) &&
           now_ms - list_entry(link->calls.next, struct call, link_calls)->sent_ms >
               link->conf->limits.store_wait_ms;
}

static bool is_error(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

static void call_free(struct call *call)
{
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
        link_load_scripts(link);
    } else if (!strncmp(error, "READONLY", 8) && link->commands.context) {
        link_trouble(link, "it is a replica now");
        link_end_give_up(&link->commands);
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
    char room[NUMBER_MAX];
    redis_arg(link, number_write(room, number));
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
    char epoch[17];
    link->epochs += UINT64_C(0x9e3779b97f4a7c15); /* odd: none comes twice */
    snprintf(epoch, sizeof epoch, "%016llx", (unsigned long long)link->epochs);
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
        !link_is_overdue(link, now_ms)) {
        char *at = link->out.at + HEADER_ROOM - length;
        memcpy(at, header, (size_t)length);
        size_t bytes = (size_t)(link->out.at + link->out.length - at);
        sent = redisAsyncFormattedCommand(link->commands.context, on_reply, call, at, bytes) ==
               REDIS_OK;
    }
    if (sent) {
        list_append(&link->calls, &call->link_calls);
    } else {
        call->letter.deliver = call_refused;
        loop_post(link->loop, &call->letter);
    }
    enum { KEPT_BYTES = 64 * 1024 };
    if (link->out.failed || link->out.room > KEPT_BYTES)
        buffer_finish(&link->out);
}

void link_give_up_late(struct redis_link *link, int64_t now_ms)
{
    struct call *call, *after;
    int64_t wait_ms = link->conf->limits.store_wait_ms;
    list_for_each_safe (call, after, &link->calls, link_calls) {
        if (now_ms - call->sent_ms <= wait_ms)
            break;
        if (!call->done)
            continue;
        count_up(COUNT_store_late);
        link_trouble(link, "no answer within limits.store_wait");
        call_answer(call, REDIS_UNKNOWN, NULL);
        after = list_entry(call->link_calls.next, struct call, link_calls);
    }
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
