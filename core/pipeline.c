/* The way of a message. On its way in: pipeline_say or pipeline_post, the chain of hooks with the
 * ban check as link 0, the broker, and back to the publisher. On its way out, on every loop that
 * has a reader: pipeline_arrive, then at the end of the turn pipeline_encode, once for all readers.
 */
#include "pipeline.h"
#include "access.h"
#include "alloc.h"
#include "buffer.h"
#include "chain.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "frame.h"
#include "message.h"
#include "name.h"
#include "plugin_set.h"
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

/* A message on its way in: on the stack while nobody has to wait for anything, and kept, with all
 * its texts, when a plugin defers it or it comes behind one that was. */
struct way {
    struct turn turn; /* first */
    struct pipeline *pipeline;
    struct speaker *speaker; /* or NULL */
    struct list waiting;     /* the speaker's */
    struct message_fields fields;
    struct text client_id;
    bool post;
    union {
        pipeline_said *said;
        pipeline_posted *posted;
    } done;
    void *arg;
    char id[UUID_LENGTH + 1];
    char storage[]; /* of one that is kept */
};

enum { SPEAKER_WAITING_MAX = 16 };

void speaker_init(struct speaker *speaker)
{
    *speaker = (struct speaker){0};
    list_init(&speaker->waiting);
}

void speaker_left(struct speaker *speaker)
{
    speaker->left = true;
    if (speaker->deferred)
        turn_left(speaker->deferred);
}

/* ---- its end: step 5 and 6 ---- */

struct said { /* a way that the broker is asked about */
    bool post;
    pipeline_said *said;
    pipeline_posted *posted;
    void *arg;
};

static void way_published(void *arg, const struct published *result)
{
    struct said *said = arg;
    struct buffer reply = {0};
    if (said->post) {
        said->posted(said->arg, result->status, false);
    } else {
        write_published(&reply, result);
        said->said(said->arg, (struct text){reply.at, reply.length});
        buffer_finish(&reply);
    }
    free(said);
}

/* absent: it is not looked at, as of those without an identity, who may be many. */
static struct text identity_key(struct buffer *buffer, struct text sub, struct text client_id)
{
    if (!client_id.at || !sub.length)
        return (struct text){0};
    buffer_text(buffer, "user\x1f"); /* never one of POST /post, which begin with "post" */
    buffer_number(buffer, (int64_t)sub.length); /* both may have any character in them */
    buffer_bytes(buffer, "\x1f", 1);
    buffer_bytes(buffer, sub.at, sub.length);
    buffer_bytes(buffer, client_id.at, client_id.length);
    return (struct text){buffer->at, buffer->length};
}

static void way_publish(struct way *way, struct message *message)
{
    struct said *said = xmalloc(sizeof *said);
    struct buffer key = {0};
    *said = (struct said){.post = way->post, .arg = way->arg};
    if (way->post)
        said->posted = way->done.posted;
    else
        said->said = way->done.said;
    struct publication publication = {
        .message = message,
        .client_id =
            way->post ? way->client_id : identity_key(&key, way->fields.sub, way->client_id),
        .address = way->turn.address,
        .check_ban = !way->post,
    };
    broker_publish(way->pipeline->broker, &publication, way_published, said);
    buffer_finish(&key);
}

/* The reply of a chain that ended, of a way that is not published. */
static void way_answer(struct way *way, enum chain_verdict verdict)
{
    const struct turn *turn = &way->turn;
    struct text reply = {turn->reply, turn->reply_length};
    if (way->post) {
        way->done.posted(way->arg, BROKER_OK, verdict == CHAIN_REJECT);
        return;
    }
    if (!turn->reply)
        reply = text_of(verdict == CHAIN_CONSUME ? "{\"status\":\"ok\"}"
                                                 : "{\"status\":\"error\",\"err\":\"rejected\"}");
    way->done.said(way->arg, reply);
}

static void way_fail(struct way *way, const char *reply)
{
    if (way->post)
        way->done.posted(way->arg, BROKER_UNAVAILABLE, false);
    else
        way->done.said(way->arg, text_of(reply));
}

/* Not freed. */
static void way_end(struct way *way, enum chain_verdict verdict)
{
    way->fields.msg = (struct text){way->turn.event.msg.at, way->turn.event.msg.length};
    struct message *message =
        verdict == CHAIN_ACCEPT ? message_create(way->turn.room, &way->fields) : NULL;
    if (message)
        way_publish(way, message);
    else if (verdict == CHAIN_ACCEPT)
        way_fail(way, "{\"status\":\"error\",\"err\":\"unavailable\"}");
    else
        way_answer(way, verdict);
    turn_finish(&way->turn);
}

/* ---- waiting ---- */

/* The event says what the fields say, but for what hooks have made of the text. */
static void way_show(struct way *way)
{
    const struct message_fields *fields = &way->fields;
    struct chatup_event *event = &way->turn.event;
    struct chatup_text edited = event->msg;
    *event = (struct chatup_event){.size = sizeof *event,
                                   .flags = way->post ? CHATUP_FROM_POST : 0,
                                   .room = lent(name_text(way->turn.room)),
                                   .id = lent(fields->id),
                                   .sub = lent(fields->sub),
                                   .name = lent(fields->name),
                                   .user = lent(fields->user),
                                   .msg = way->turn.msg ? edited : lent(fields->msg),
                                   .ev = lent(fields->ev),
                                   .data = lent(fields->data),
                                   .time_ms = fields->time_ms};
}

static void keep_text(char **to, struct text *text)
{
    if (!text->at)
        return;
    if (text->length)
        memcpy(*to, text->at, text->length);
    text->at = *to;
    *to += text->length;
}

/* A copy on the heap, of all that it borrows too. */
static struct way *way_keep(const struct way *from)
{
    const struct message_fields *f = &from->fields;
    bool borrows_tags = from->turn.tags && !from->turn.own_tags;
    size_t tags = borrows_tags ? strlen(from->turn.tags) + 1 : 0;
    size_t size = f->user.length + f->sub.length + f->name.length + f->msg.length + f->ev.length +
                  f->data.length + from->client_id.length + tags;
    struct way *way = xmalloc(sizeof *way + size + 1);
    char *to = way->storage;
    *way = *from;
    name_ref(way->turn.room);
    way->fields.id = (struct text){way->id, UUID_LENGTH};
    keep_text(&to, &way->fields.user);
    keep_text(&to, &way->fields.sub);
    keep_text(&to, &way->fields.name);
    keep_text(&to, &way->fields.msg);
    keep_text(&to, &way->fields.ev);
    keep_text(&to, &way->fields.data);
    keep_text(&to, &way->client_id);
    if (borrows_tags)
        way->turn.tags = memcpy(to, from->turn.tags, tags);
    way_show(way);
    return way;
}

static void way_free(struct way *way)
{
    name_unref(way->turn.room);
    free(way);
}

static bool way_run(struct way *way)
{
    enum chain_verdict verdict = chain_in(way->pipeline->chain, &way->turn);
    if (verdict == CHAIN_DEFERRED)
        return false;
    way_end(way, verdict);
    return true;
}

/* It was deferred, and stays where it is. */
static void way_wait(struct way *way)
{
    struct speaker *speaker = way->speaker;
    turn_moved(&way->turn);
    if (!speaker)
        return;
    speaker->busy = true;
    speaker->deferred = &way->turn;
    if (speaker->left)
        turn_left(&way->turn);
}

/* One that was deferred has ended: those behind it follow, until one of them is deferred. Whoever
 * waits keeps the speaker; after the last one it may be gone. It is busy as long as somebody
 * waits, so that nobody who comes meanwhile gets in front. */
static void deferred_done(struct turn *turn, enum chain_verdict verdict)
{
    struct way *way = (struct way *)turn;
    struct speaker *speaker = way->speaker;
    bool more = speaker && !list_empty(&speaker->waiting);
    if (speaker)
        speaker->deferred = NULL;
    if (speaker && !more)
        speaker->busy = false;
    way_end(way, verdict);
    way_free(way);
    while (more) {
        way = list_entry(speaker->waiting.next, struct way, waiting);
        list_remove(&way->waiting);
        speaker->count--;
        more = !list_empty(&speaker->waiting);
        speaker->busy = more;
        if (!way_run(way)) {
            way_wait(way);
            return;
        }
        way_free(way);
    }
}

/* Steps 3 and 4: make the message's fields the event of a turn, and run the hooks. */
static void way_begin(struct way *way)
{
    struct speaker *speaker = way->speaker;
    count_up(COUNT_messages_in);
    way->turn.max_msg = (size_t)way->pipeline->conf->limits.message_bytes;
    way->turn.now_ms = way->fields.time_ms;
    way->turn.done = deferred_done;
    if (speaker && speaker->busy) {
        if (speaker->count >= SPEAKER_WAITING_MAX) {
            way_fail(way, "{\"status\":\"error\",\"err\":\"busy\"}");
            return;
        }
        speaker->count++;
        list_append(&speaker->waiting, &way_keep(way)->waiting);
        return;
    }
    way_show(way);
    if (!way_run(way))
        way_wait(way_keep(way));
}

void pipeline_say(struct pipeline *pipeline, struct speaker *speaker, struct user *user,
                  const struct address *address, struct name *room, struct text msg,
                  struct text client_id, pipeline_said *done, void *arg)
{
    struct way way = {.turn = {.room = room, .address = *address, .tags = user->tags},
                      .pipeline = pipeline,
                      .speaker = speaker,
                      .fields = {.time_ms = clock_wall_ms(),
                                 .user = {user->public_json, user->public_length},
                                 .sub = text_of(user->sub),
                                 .name = text_of(user->name),
                                 .msg = msg},
                      .client_id = client_id,
                      .done.said = done,
                      .arg = arg};
    uuid_next(&pipeline->uuids, way.id);
    way.fields.id = (struct text){way.id, UUID_LENGTH};
    way_begin(&way);
}

void pipeline_post(struct pipeline *pipeline, struct speaker *speaker, const struct post *post,
                   pipeline_posted *done, void *arg)
{
    struct way way = {.turn = {.room = post->room, .author = post->author},
                      .pipeline = pipeline,
                      .speaker = speaker,
                      .fields = {.time_ms = clock_wall_ms(),
                                 .user = post->user,
                                 .name = post->name,
                                 .msg = post->msg,
                                 .ev = post->ev,
                                 .data = post->data},
                      .client_id = post->client_id,
                      .post = true,
                      .done.posted = done,
                      .arg = arg};
    uuid_next(&pipeline->uuids, way.id);
    way.fields.id = (struct text){way.id, UUID_LENGTH};
    way_begin(&way);
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
enum { AROUND_FRAME = 128, AROUND_MESSAGE = 32 }; /* about what encode writes beside messages */

static struct frame *encode(struct pipeline *pipeline, struct name *room, uint64_t offset,
                            const struct snapshot *first, struct message *const *messages,
                            size_t count)
{
    struct position upto = {.offset = offset};
    struct buffer json = {0};
    size_t size = AROUND_FRAME;
    for (size_t i = 0; i < count; i++)
        size += messages[i]->json.length + AROUND_MESSAGE;
    frame_begin(&json, size);
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
    return frame_end(&json, room, &upto, !first || !first->recovered || count > 0);
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

/* The room's numbering began anew: readers get a first frame again, one for all of them. So where
 * a reader may not see the history, nobody is shown it. */
static void pipeline_reset(void *arg, struct name *name, const struct snapshot *snapshot)
{
    struct pipeline *pipeline = arg;
    struct room *room = rooms_find(pipeline->rooms, name);
    if (!room)
        return;
    room_batch_drop(room);
    room->offset = snapshot->at.offset;
    struct snapshot shown =
        access_readers_see_history(pipeline->access, name) ? *snapshot : without_history(snapshot);
    struct frame *frame =
        encode(pipeline, name, shown.at.offset, &shown, shown.messages, shown.count);
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
    pipeline->desk_up = plugins_up(pipeline);
    desk_init(&pipeline->desk, pipeline->loop, index, loop_count, &pipeline->desk_up);
    pipeline->chain = chain_create(pipeline->set ? pipeline->set->plugins : NULL,
                                   pipeline->set ? pipeline->set->count : 0, hook_ban, pipeline,
                                   &pipeline->desk, err);
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

static void plugins_gone(void *set)
{
    plugin_set_unref(set);
}

bool pipeline_prepare_plugins(struct pipeline *pipeline, struct plugin_set *set, struct error *err)
{
    if (!pipeline->set) { /* after pipeline_end_plugins */
        error_set(err, "the server is about to end");
        return false;
    }
    pipeline->next_chain =
        chain_create(set->plugins, set->count, hook_ban, pipeline, &pipeline->desk, err);
    if (pipeline->next_chain)
        pipeline->next_set = plugin_set_ref(set);
    return pipeline->next_chain != NULL;
}

void pipeline_use_plugins(struct pipeline *pipeline)
{
    enum { DRAIN_MS = 10000 }; /* what is open then is cancelled */
    struct chain *before = pipeline->chain;
    struct plugin_set *before_set = pipeline->set;
    pipeline->chain = pipeline->next_chain;
    pipeline->set = pipeline->next_set;
    pipeline->next_chain = NULL;
    pipeline->next_set = NULL;
    chain_retire(before, DRAIN_MS, plugins_gone, before_set); /* which keeps its reference */
}

void pipeline_forget_plugins(struct pipeline *pipeline)
{
    chain_destroy(pipeline->next_chain);
    plugin_set_unref(pipeline->next_set);
    pipeline->next_chain = NULL;
    pipeline->next_set = NULL;
}

void pipeline_end_plugins(struct pipeline *pipeline)
{
    struct error err;
    pipeline_forget_plugins(pipeline);
    if (!pipeline->chain)
        return;
    struct chain *before = pipeline->chain;
    pipeline->chain = chain_create(NULL, 0, hook_ban, pipeline, &pipeline->desk, &err);
    chain_destroy(before);
    chains_end(&pipeline->desk, pipeline->chain);
    plugin_set_unref(pipeline->set);
    pipeline->set = NULL;
}

void pipeline_finish(struct pipeline *pipeline)
{
    chain_destroy(pipeline->chain);
    desk_finish(&pipeline->desk);
    rooms_destroy(pipeline->rooms);
    settings_unref(pipeline->settings);
}
