/* The way of a message. On its way in: pipeline_say or pipeline_post, the chain of hooks with the
 * ban check as link 0, the broker, and back to the publisher. On its way out, on every loop that
 * has a reader: pipeline_arrive, then at the end of the turn pipeline_encode, once for all readers.
 */
#include "pipeline.h"
#include "alloc.h"
#include "buffer.h"
#include "chain.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "frame.h"
#include "message.h"
#include "rooms.h"
#include "settings.h"
#include "subscriber.h"
#include "user.h"

/* ---- in ---- */

static struct chatup_text lent(struct text text)
{
    return (struct chatup_text){text.at, text.length};
}

/* {"status":"error","err":"banned","ttl":seconds,"reason":string}; without a reason if it has none
 */
static void write_banned(struct buffer *json, int64_t ttl, struct text reason)
{
    buffer_text(json, "{\"status\":\"error\",\"err\":\"banned\",\"ttl\":");
    buffer_number(json, ttl);
    if (reason.length) {
        buffer_text(json, ",\"reason\":");
        buffer_json_string(json, reason);
    }
    buffer_text(json, "}");
}

/* Link 0 of message_in: who is banned is not heard by any plugin. What servers post passes. */
static int32_t hook_ban(void *arg, struct chatup_event *event)
{
    struct pipeline *pipeline = arg;
    struct turn *turn = (struct turn *)event;
    struct buffer json = {0};
    struct text reason;
    if (event->flags & CHATUP_FROM_POST)
        return CHATUP_ACCEPT;
    const struct identity who = {
        {event->sub.at, event->sub.length}, {event->name.at, event->name.length}, turn->address};
    int64_t ttl = broker_ban_ttl(pipeline->broker, turn->room, &who, &reason);
    if (!ttl)
        return CHATUP_ACCEPT;
    write_banned(&json, ttl, reason);
    turn_set_reply(turn, json.at, json.length);
    buffer_finish(&json);
    return CHATUP_REJECT;
}

struct said { /* a say that the broker is asked about */
    pipeline_said *done;
    void *arg;
};

/* {"status":"ok","i":uuid,"offset":n,"epoch":string} or {"status":"error","err":string} */
static void write_published(struct buffer *json, const struct published *result)
{
    switch (result->status) {
    case BROKER_OK:
        buffer_text(json, "{\"status\":\"ok\",\"i\":");
        buffer_json_string(json, text_of(result->id));
        buffer_text(json, ",\"offset\":");
        buffer_number(json, (int64_t)result->at.offset);
        buffer_text(json, ",\"epoch\":");
        buffer_json_string(json, text_of(result->at.epoch));
        buffer_text(json, "}");
        break;
    case BROKER_BANNED:
        write_banned(json, result->ban_ttl, result->ban_reason);
        break;
    default:
        buffer_text(json, "{\"status\":\"error\",\"err\":");
        buffer_json_string(json, text_of(broker_status_text(result->status)));
        buffer_text(json, "}");
    }
}

static void say_published(void *arg, const struct published *result)
{
    struct said *said = arg;
    struct buffer reply = {0};
    write_published(&reply, result);
    said->done(said->arg, (struct text){reply.at, reply.length});
    buffer_finish(&reply);
    free(said);
}

/* Steps 3 and 4: make the message's fields the event of a turn, and run the hooks. */
static enum chain_verdict turn_run(struct pipeline *pipeline, struct turn *turn, uint32_t flags,
                                   struct name *room, struct address address,
                                   struct message_fields *fields)
{
    count_up(COUNT_messages_in);
    *turn = (struct turn){
        .event = {.size = sizeof turn->event,
                  .flags = flags,
                  .room = lent(name_text(room)),
                  .id = lent(fields->id),
                  .sub = lent(fields->sub),
                  .name = lent(fields->name),
                  .user = lent(fields->user),
                  .msg = lent(fields->msg),
                  .ev = lent(fields->ev),
                  .data = lent(fields->data),
                  .time_ms = fields->time_ms},
        .room = room,
        .address = address,
        .max_msg = (size_t)pipeline->conf->limits.message_bytes,
        .now_ms = fields->time_ms,
    };
    enum chain_verdict verdict = chain_in(pipeline->chain, turn);
    fields->msg = (struct text){turn->event.msg.at, turn->event.msg.length};
    return verdict;
}

/* absent: it is not looked at, as of those without an identity, who may be many. */
static struct text identity_key(struct buffer *buffer, const struct user *user,
                                struct text client_id)
{
    if (!client_id.at || !*user->sub)
        return (struct text){0};
    buffer_text(buffer, "user\x1f"); /* never one of POST /post, which begin with "post" */
    buffer_number(buffer, (int64_t)strlen(user->sub)); /* both may have any character in them */
    buffer_bytes(buffer, "\x1f", 1);
    buffer_text(buffer, user->sub);
    buffer_bytes(buffer, client_id.at, client_id.length);
    return (struct text){buffer->at, buffer->length};
}

void pipeline_say(struct pipeline *pipeline, struct user *user, const struct address *address,
                  struct name *room, struct text msg, struct text client_id, pipeline_said *done,
                  void *arg)
{
    char id[UUID_LENGTH + 1];
    uuid_next(&pipeline->uuids, id);
    struct message_fields fields = {
        .id = {id, UUID_LENGTH},
        .time_ms = clock_wall_ms(),
        .user = {user->public_json, user->public_length},
        .sub = text_of(user->sub),
        .name = text_of(user->name),
        .msg = msg,
    };
    struct turn turn;
    enum chain_verdict verdict = turn_run(pipeline, &turn, 0, room, *address, &fields);
    struct message *message = verdict == CHAIN_ACCEPT ? message_create(room, &fields) : NULL;
    if (verdict == CHAIN_ACCEPT && !message) {
        done(arg, text_of("{\"status\":\"error\",\"err\":\"unavailable\"}"));
    } else if (verdict == CHAIN_ACCEPT) {
        struct said *said = xmalloc(sizeof *said);
        *said = (struct said){done, arg};
        struct buffer key = {0};
        struct publication publication = {.message = message,
                                          .client_id = identity_key(&key, user, client_id),
                                          .address = *address,
                                          .check_ban = true};
        broker_publish(pipeline->broker, &publication, say_published, said);
        buffer_finish(&key);
    } else if (turn.reply) {
        done(arg, (struct text){turn.reply, turn.reply_length});
    } else {
        done(arg,
             text_of(verdict == CHAIN_CONSUME ? "{\"status\":\"ok\"}"
                                              : "{\"status\":\"error\",\"err\":\"rejected\"}"));
    }
    turn_finish(&turn);
}

struct posted {
    pipeline_posted *done;
    void *arg;
};

static void post_published(void *arg, const struct published *result)
{
    struct posted *posted = arg;
    posted->done(posted->arg, result->status, false);
    free(posted);
}

void pipeline_post(struct pipeline *pipeline, const struct post *post, pipeline_posted *done,
                   void *arg)
{
    char id[UUID_LENGTH + 1];
    uuid_next(&pipeline->uuids, id);
    struct message_fields fields = {
        .id = {id, UUID_LENGTH},
        .time_ms = clock_wall_ms(),
        .user = post->user,
        .name = post->name,
        .msg = post->msg,
        .ev = post->ev,
        .data = post->data,
    };
    struct turn turn;
    enum chain_verdict verdict =
        turn_run(pipeline, &turn, CHATUP_FROM_POST, post->room, (struct address){{0}}, &fields);
    struct message *message = verdict == CHAIN_ACCEPT ? message_create(post->room, &fields) : NULL;
    if (verdict == CHAIN_ACCEPT && !message) {
        done(arg, BROKER_UNAVAILABLE, false);
    } else if (verdict == CHAIN_ACCEPT) {
        struct posted *posted = xmalloc(sizeof *posted);
        *posted = (struct posted){done, arg};
        broker_publish(pipeline->broker,
                       &(struct publication){.message = message, .client_id = post->client_id},
                       post_published, posted);
    } else {
        done(arg, BROKER_OK, verdict == CHAIN_REJECT);
    }
    turn_finish(&turn);
}

/* ---- out ---- */

/* Step 7: something was announced. */
static void pipeline_arrive(void *arg, struct message *message)
{
    struct pipeline *pipeline = arg;
    rooms_add(pipeline->rooms, message);
}

/* Steps 8 and 9: {"channel":"lobby","offset":15,"messages":[…]}, in a websocket frame. The first
 * frame of a subscription says where it stands too. */
static struct frame *encode(struct pipeline *pipeline, struct name *room, uint64_t offset,
                            const struct snapshot *first, struct message *const *messages,
                            size_t count)
{
    struct position upto = {.offset = offset};
    struct buffer json = {0};
    buffer_text(&json, "{\"channel\":");
    buffer_json_string(&json, name_text(room));
    if (first) {
        buffer_text(&json, ",\"epoch\":");
        buffer_json_string(&json, text_of(first->at.epoch));
    }
    buffer_text(&json, ",\"offset\":");
    buffer_number(&json, (int64_t)offset);
    if (first)
        buffer_text(&json, first->recovered ? ",\"recovered\":true" : ",\"recovered\":false");
    buffer_text(&json, ",\"messages\":[");
    chain_out(pipeline->chain, room, messages, count, &json);
    buffer_text(&json, "]}");
    if (first)
        upto = first->at;
    /* of json that has failed there is no text, and so no frame */
    struct frame *frame = frame_create_in((struct text){json.at, json.length}, room, &upto,
                                          !first || !first->recovered || count > 0);
    buffer_finish(&json);
    return frame;
}

static struct frame *pipeline_encode(void *arg, struct room *room, struct message *const *messages,
                                     size_t count)
{
    struct frame *frame = encode(arg, room->name, room->offset, NULL, messages, count);
    if (!frame)
        room_fail(room);
    return frame;
}

static void pipeline_count_changed(void *arg, struct room *room, uint32_t count)
{
    struct pipeline *pipeline = arg;
    broker_readers(pipeline->broker, room->name, count);
}

struct subscription {
    struct pipeline *pipeline;
    struct membership *member;
    bool live; /* no history for it */
};

/* Nothing that was said before; continuous only if there is nothing to be shown. */
static struct snapshot without_history(const struct snapshot *snapshot)
{
    struct snapshot live = *snapshot;
    live.recovered = snapshot->recovered && !snapshot->count;
    live.messages = NULL;
    live.count = 0;
    return live;
}

static void pipeline_subscribed(void *arg, const struct snapshot *snapshot)
{
    struct subscription *subscription = arg;
    struct pipeline *pipeline = subscription->pipeline;
    struct membership *member = subscription->member;
    if (snapshot->status != BROKER_OK) {
        if (member->sub)
            subscriber_close(member->sub, CLOSE_UNAVAILABLE);
        rooms_refuse(pipeline->rooms, member);
    } else {
        struct snapshot shown = subscription->live ? without_history(snapshot) : *snapshot;
        struct frame *frame = encode(pipeline, member->room->name, shown.at.offset, &shown,
                                     shown.messages, shown.count);
        rooms_admit(pipeline->rooms, member, snapshot->at.offset, frame);
        frame_unref(frame);
    }
    free(subscription);
}

static void subscribe(struct pipeline *pipeline, struct subscriber *sub, struct name *room,
                      const struct position *since, bool live)
{
    struct subscription *subscription = xmalloc(sizeof *subscription);
    *subscription = (struct subscription){pipeline, rooms_await(pipeline->rooms, room, sub), live};
    broker_subscribe(pipeline->broker, room, since, pipeline_subscribed, subscription);
}

void pipeline_subscribe(struct pipeline *pipeline, struct subscriber *sub, struct name *room,
                        const struct position *since)
{
    subscribe(pipeline, sub, room, since, false);
}

void pipeline_subscribe_live(struct pipeline *pipeline, struct subscriber *sub, struct name *room,
                             const struct position *since)
{
    subscribe(pipeline, sub, room, since, true);
}

void pipeline_leave(struct pipeline *pipeline, struct subscriber *sub)
{
    rooms_leave_all(pipeline->rooms, sub);
}

/* The room's numbering began anew: readers get a first frame again. */
static void pipeline_reset(void *arg, struct name *name, const struct snapshot *snapshot)
{
    struct pipeline *pipeline = arg;
    struct room *room = rooms_find(pipeline->rooms, name);
    if (!room)
        return;
    room_batch_drop(room);
    room->offset = snapshot->at.offset;
    struct frame *frame =
        encode(pipeline, name, snapshot->at.offset, snapshot, snapshot->messages, snapshot->count);
    if (frame)
        room_fan_out(room, frame);
    else
        room_fail(room);
    frame_unref(frame);
}

size_t pipeline_write_history(struct pipeline *pipeline, const struct name *room,
                              const struct snapshot *history, bool newest_first, struct buffer *out)
{
    size_t last = history->count - 1;
    struct message **in_order = xmalloc(history->count * sizeof *in_order);
    for (size_t i = 0; i < history->count; i++)
        in_order[i] = history->messages[newest_first ? last - i : i];
    buffer_text(out, "[");
    size_t written = chain_out(pipeline->chain, room, in_order, history->count, out);
    buffer_text(out, "]");
    free(in_order);
    return written;
}

static void pipeline_kick(void *arg, const struct kick *kick)
{
    struct pipeline *pipeline = arg;
    if (pipeline->on_kick)
        pipeline->on_kick(pipeline->net, kick);
}

/* ---- life ---- */

bool pipeline_init(struct pipeline *pipeline, uint32_t index, uint32_t loop_count,
                   struct error *err)
{
    pipeline->chain = chain_create(pipeline->plugins, pipeline->plugin_count, hook_ban, pipeline,
                                   index, loop_count, err);
    if (!pipeline->chain)
        return false;
    pipeline->rooms = rooms_create(pipeline->loop,
                                   &(struct rooms_up){.encode = pipeline_encode,
                                                      .count_changed = pipeline_count_changed,
                                                      .arg = pipeline},
                                   pipeline->conf->rooms.flush_gap_ms);
    pipeline->broker->on_event = pipeline_arrive;
    pipeline->broker->on_reset = pipeline_reset;
    pipeline->broker->on_kick = pipeline_kick;
    pipeline->broker->up = pipeline;
    return true;
}

void pipeline_use(struct pipeline *pipeline, struct settings *settings)
{
    struct settings *before = pipeline->settings;
    pipeline->settings = settings_ref(settings);
    pipeline->generation++;
    pipeline->conf = settings->conf;
    pipeline->keys = settings->keys;
    pipeline->admin_keys = settings->admin_keys;
    pipeline->access = settings->access;
    pipeline->tls = settings->tls;
    if (pipeline->rooms) { /* a reload */
        chain_set_max_msg(pipeline->chain, (size_t)settings->conf->limits.message_bytes);
        rooms_set_flush_gap(pipeline->rooms, settings->conf->rooms.flush_gap_ms);
        broker_use(pipeline->broker, settings->conf);
        if (pipeline->on_settings)
            pipeline->on_settings(pipeline->net);
    }
    settings_unref(before);
}

void pipeline_finish(struct pipeline *pipeline)
{
    chain_destroy(pipeline->chain);
    rooms_destroy(pipeline->rooms);
    settings_unref(pipeline->settings);
}
