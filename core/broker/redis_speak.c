/* What is said: one script, which numbers, stores and announces it at once. */
#include "alloc.h"
#include "config.h"
#include "counters.h"
#include "redis_parts.h"

struct publish {
    struct redis_later later; /* if it is refused here */
    size_t bytes;             /* that wait to be stored: of all loops together limits.store_bytes */
    broker_published *done;
    void *arg;
};

static void on_published(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct publish *publish = arg;
    struct published result = {.status = redis_failure(outcome)};
    struct text what = redis_reply_text(reply, 0);
    if (outcome == REDIS_ANSWERED && text_is(what, "ok")) {
        struct text epoch = redis_reply_text(reply, 1), id = redis_reply_text(reply, 3);
        snprintf(result.at.epoch, sizeof result.at.epoch, "%.*s", (int)epoch.length, epoch.at);
        result.at.offset = (uint64_t)redis_reply_number(reply, 2);
        snprintf(result.id, sizeof result.id, "%.*s", (int)id.length, id.at);
    } else if (outcome == REDIS_ANSWERED && text_is(what, "banned")) {
        result.status = BROKER_BANNED;
        result.ban_ttl = redis_reply_number(reply, 1);
        result.ban_reason = redis_reply_text(reply, 2);
    } else if (outcome == REDIS_ANSWERED) {
        count_up(COUNT_too_many_rooms);
        result.status = BROKER_FULL;
    }
    atomic_fetch_sub(&publish->later.redis->home->waiting_bytes, publish->bytes);
    publish->done(publish->arg, &result);
    free(publish);
}

static void publish_refused(struct letter *letter)
{
    on_published(letter, REDIS_REFUSED, NULL);
}

void redis_do_publish(struct broker *broker, const struct publication *what, broker_published *done,
                      void *arg)
{
    struct redis *redis = redis_of(broker);
    const struct config *conf = redis->conf;
    const struct message_fields *fields = &what->message->fields;
    const struct redis_entry entry = {.kind = ENTRY_MESSAGE};
    struct text name = name_text(what->message->room);
    struct redis_link *link = redis_link_of(redis, name);
    struct buffer blob = {0};
    struct publish *publish = xmalloc(sizeof *publish);
    redis_blob_write(fields, &entry, &blob);
    *publish =
        (struct publish){.later.redis = redis, .bytes = blob.length, .done = done, .arg = arg};
    size_t waiting = atomic_fetch_add(&redis->home->waiting_bytes, blob.length);
    if (blob.failed || waiting + blob.length > (size_t)conf->limits.store_bytes) {
        count_up(COUNT_store_refused);
        publish->later.letter.deliver = publish_refused;
        loop_post(redis->loop, &publish->later.letter);
    } else {
        redis_begin_script(link, SCRIPT_PUBLISH, 6);
        redis_arg_key(link, "room:meta:", name);
        redis_arg_key(link, "room:history:", name);
        redis_arg_key(link, "room:said:", name);
        redis_arg_key(link, "room:said-order:", name);
        redis_arg_key(link, "bans", (struct text){0});
        redis_arg_key(link, "rooms", (struct text){0});
        redis_arg_run(link);
        redis_arg(link, (struct text){blob.at, blob.length});
        redis_arg_key(link, "room:", name);
        redis_arg_number(link, conf->history.size);
        redis_arg_number(link, conf->history.bytes);
        redis_arg_number(link, conf->history.expire_ms);
        redis_arg_number(link, conf->limits.rooms);
        redis_arg(link, name);
        redis_arg(link, fields->id);
        redis_arg(link, what->client_id);
        redis_arg_number(link, conf->limits.dedupe_ms);
        redis_arg_number(link, conf->limits.dedupe_entries);
        if (what->check_ban)
            redis_arg_bans(link, what->message->room,
                           &(struct identity){fields->sub, fields->name, what->address});
        redis_send(link, on_published, publish);
    }
    buffer_finish(&blob);
    message_unref(what->message);
}
