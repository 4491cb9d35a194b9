/* A room that somebody on this loop listens to. First its channel is subscribed; once that is
 * confirmed, what was missed is read; what is heard meanwhile waits, and what the reading had
 * already is dropped by its offset. So nothing falls between, also when the connection breaks and
 * all of it begins again. From then on the loop's copy of the history follows what is heard, and
 * whoever subscribes is answered from it, in one order with the events. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "log.h"
#include "redis_parts.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <limits.h>

enum { UNUSED_MS = 5000, EARLY_MAX_BYTES = 4 * 1024 * 1024 };
/* How often what somebody listens to is read, so that Redis does not forget it (read.lua). */
enum { READ_EMPTY_MS = 100 * 1000, READ_MS = 6 * 3600 * 1000 };

static bool room_is(const struct table_link *link, const void *name)
{
    return name_equal(list_entry(link, struct redis_room, link)->name, name);
}

struct redis_room *redis_room_find(struct redis *redis, const struct name *name)
{
    struct table_link *link = table_find(&redis->rooms, name->hash, room_is, name);
    return link ? list_entry(link, struct redis_room, link) : NULL;
}

static struct redis_room *room_by_text(struct redis *redis, struct text text)
{
    struct name *name = name_create(text);
    struct redis_room *room = name ? redis_room_find(redis, name) : NULL;
    name_unref(name);
    return room;
}

/* ---- telling ---- */

static void history_follow(struct redis *redis, struct redis_room *room, struct message *message,
                           const struct redis_entry *entry)
{
    const struct config *conf = redis->conf;
    if (entry->kind == ENTRY_RM_MESSAGE)
        history_remove(&room->history, entry->target);
    else if (entry->kind == ENTRY_RM_BY_NAME || entry->kind == ENTRY_RM_BY_SUB)
        history_remove_said(&room->history, entry->kind == ENTRY_RM_BY_SUB ? BAN_SUB : BAN_NAME,
                            entry->who);
    history_add(&room->history, message_ref(message), (uint32_t)conf->history.size,
                (uint64_t)conf->history.bytes);
}

/* The next one, or an event that is not stored. */
static void room_take(struct redis *redis, struct redis_room *room, struct message *message,
                      const struct redis_entry *entry)
{
    if (message->offset) {
        room->at.offset = message->offset;
        history_follow(redis, room, message, entry);
    }
    if (room->listening && redis->broker.on_event)
        redis->broker.on_event(redis->broker.up, message);
}

/* Those that wait for a reading up to that one, into another list: an answer may bring the next
 * question. */
static void waiting_move(struct redis_room *room, unsigned reading, struct list *to)
{
    struct list *link = room->waiting.next;
    while (link != &room->waiting) {
        struct list *next = link->next;
        if (redis_subscribe_needs(link) <= reading) {
            list_remove(link);
            list_append(to, link);
        }
        link = next;
    }
}

/* Those that have waited since before then; they are in the order in which they came. */
static void waiting_give_up(struct redis_room *room, int64_t before_ms, struct list *to)
{
    while (!list_empty(&room->waiting)) {
        struct list *first = room->waiting.next;
        if (redis_subscribe_asked_ms(first) >= before_ms)
            break;
        list_remove(first);
        list_append(to, first);
    }
}

static void waiting_answer(struct list *waiting, struct redis_room *room, enum broker_status status)
{
    while (!list_empty(waiting)) {
        struct list *first = waiting->next;
        list_remove(first);
        redis_subscribe_answer(redis_subscribe_at(first), room, status);
    }
}

/* ---- reading ---- */

struct reading {
    struct redis *redis;
    struct name *name;
    unsigned number;
};

static void room_read(struct redis *redis, struct redis_room *room);
static void room_check(struct redis *redis, struct redis_room *room);

struct message **redis_entries_read(const struct redisReply *entries, struct name *room,
                                    size_t *count_out)
{
    size_t all = entries ? entries->elements : 0, count = 0;
    struct message **messages = xmalloc(all * sizeof *messages);
    struct redis_entry entry;
    for (size_t i = all; i--;) {
        struct message *message = redis_entry_read(redis_reply_text(entries, i), room, &entry);
        if (message)
            messages[count++] = message;
        else
            log_event(LOG_ERROR, LOG_FIELDS({"room", name_text(room)}),
                      "redis: an entry of the history cannot be read");
    }
    *count_out = count;
    return messages;
}

/* Whether what was read follows what is known: then it is news, one by one. */
static bool continues(const struct redis_room *room, const struct position *at, size_t count)
{
    return room->known && !strcmp(room->at.epoch, at->epoch) && room->at.offset <= at->offset &&
           at->offset - room->at.offset == count;
}

/* An entry that was heard or read: the next one is taken, one that is known already is not.
 *   returns  false: something is missing before it */
static bool room_offer(struct redis *redis, struct redis_room *room, struct text text)
{
    struct redis_entry entry;
    struct message *message = redis_entry_read(text, room->name, &entry);
    if (!message) {
        log_event(LOG_ERROR, LOG_FIELDS({"room", name_text(room->name)}),
                  "redis: an entry cannot be read");
        return true;
    }
    bool same = !message->offset || !strcmp(entry.at.epoch, room->at.epoch);
    bool next = !message->offset || message->offset == room->at.offset + 1;
    bool missing = !same || (!next && message->offset > room->at.offset);
    if (same && next)
        room_take(redis, room, message, &entry);
    message_unref(message);
    return !missing;
}

static void room_begin_anew(struct redis *redis, struct redis_room *room, const struct position *at,
                            const struct redisReply *entries)
{
    size_t count, old = 0;
    struct message **messages = redis_entries_read(entries, room->name, &count);
    const struct config *conf = redis->conf;
    int64_t before_ms = clock_wall_ms() - conf->history.expire_ms;
    bool was_known = room->known;
    while (old < count && messages[old]->fields.time_ms < before_ms)
        old++;
    history_finish(&room->history);
    for (size_t i = old; i < count; i++)
        history_add(&room->history, message_ref(messages[i]), (uint32_t)conf->history.size,
                    (uint64_t)conf->history.bytes);
    room->at = *at;
    room->known = true;
    if (was_known && room->listening && redis->broker.on_reset) {
        count_up(COUNT_redis_resets);
        log_event(LOG_WARN, LOG_FIELDS({"room", name_text(room->name)}),
                  "redis: continuity is lost; its readers are told");
        const struct snapshot snapshot = {
            .status = BROKER_OK, .at = *at, .messages = messages + old, .count = count - old};
        redis->broker.on_reset(redis->broker.up, room->name, &snapshot);
    }
    messages_free(messages, count);
}

/* What was heard while reading: the end of it is news. */
static void room_live(struct redis *redis, struct redis_room *room, bool answered)
{
    struct buffer early = room->early;
    bool missing = room->early_lost || room->early.failed;
    struct list waiting;
    list_init(&waiting);
    room->early = (struct buffer){0};
    room->early_lost = false;
    room->state = ROOM_LIVE;
    if (answered)
        waiting_move(room, room->reading, &waiting);
    waiting_answer(&waiting, room, BROKER_OK);
    for (size_t at = 0, length; !missing && at < early.length; at += length) {
        memcpy(&length, early.at + at, sizeof length);
        at += sizeof length;
        missing = !room_offer(redis, room, (struct text){early.at + at, length});
    }
    buffer_finish(&early);
    if (missing)
        room_read(redis, room);
    else if (answered && !list_empty(&room->waiting))
        room_check(redis, room);
}

static void on_read(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct reading *reading = arg;
    struct redis *redis = reading->redis;
    struct redis_room *room = redis_room_find(redis, reading->name);
    bool mine = room && room->state == ROOM_READING && room->reading == reading->number;
    const struct redisReply *entries = redis_reply_array(reply, 2);
    name_unref(reading->name);
    free(reading);
    if (!mine)
        return;
    if (outcome != REDIS_ANSWERED) { /* again with the connection, or by the sweep */
        if (room->checking)
            room_live(redis, room, false);
        return;
    }
    struct position at = {.offset = (uint64_t)redis_reply_number(reply, 1)};
    struct text epoch = redis_reply_text(reply, 0);
    snprintf(at.epoch, sizeof at.epoch, "%.*s", (int)epoch.length, epoch.at);
    size_t count = entries ? entries->elements : 0;
    if (continues(room, &at, count))
        for (size_t i = count; i--;)
            room_offer(redis, room, redis_reply_text(entries, i));
    else
        room_begin_anew(redis, room, &at, entries);
    room_live(redis, room, true);
}

static void room_read(struct redis *redis, struct redis_room *room)
{
    struct reading *reading = xmalloc(sizeof *reading);
    struct redis_link *link = room->via;
    *reading = (struct reading){redis, name_ref(room->name), ++room->reading};
    room->checking = false;
    room->state = ROOM_READING;
    room->used_ms = room->read_ms = clock_mono_ms();
    redis_begin_script(link, SCRIPT_READ, 2);
    redis_arg_key(link, "room:meta:", name_text(room->name));
    redis_arg_key(link, "room:history:", name_text(room->name));
    redis_arg_run(link);
    redis_arg(link, text_of(room->known ? room->at.epoch : ""));
    redis_arg_number(link, room->known ? (int64_t)room->at.offset : 0);
    redis_send(link, on_read, reading);
}

/* Of a room that is live: it may lag behind what others were answered already, and who subscribes
 * now must not see what was removed before. One reading for all who ask meanwhile. */
static void room_check(struct redis *redis, struct redis_room *room)
{
    room_read(redis, room);
    room->checking = true;
}

unsigned redis_room_await(struct redis *redis, struct redis_room *room, struct list *link)
{
    list_append(&room->waiting, link);
    if (room->state == ROOM_LIVE)
        room_check(redis, room);
    else if (room->state == ROOM_READING)
        return room->reading + 1; /* that one has begun before */
    return room->state == ROOM_READING ? room->reading : 0;
}

/* ---- hearing ---- */

static void room_subscribe(struct redis *redis, struct redis_room *room)
{
    struct buffer channel = {0};
    buffer_text(&channel, redis->conf->redis.prefix);
    buffer_text(&channel, ":room:");
    buffer_bytes(&channel, room->name->at, room->name->length);
    room->state = ROOM_AWAITED;
    redis_subscribe(room->via, (struct text){channel.at, channel.length});
    buffer_finish(&channel);
}

static void room_unsubscribe(struct redis *redis, struct redis_room *room)
{
    struct buffer channel = {0};
    buffer_text(&channel, redis->conf->redis.prefix);
    buffer_text(&channel, ":room:");
    buffer_bytes(&channel, room->name->at, room->name->length);
    redis_unsubscribe(room->via, (struct text){channel.at, channel.length});
    buffer_finish(&channel);
}

void redis_room_subscribed(struct redis *redis, struct text name)
{
    struct redis_room *room = room_by_text(redis, name);
    if (room && room->state == ROOM_AWAITED)
        room_read(redis, room);
}

void redis_room_heard(struct redis *redis, struct text name, struct text payload)
{
    struct redis_room *room = room_by_text(redis, name);
    if (!room)
        return;
    if (room->state == ROOM_LIVE) {
        if (!room_offer(redis, room, payload)) {
            count_up(COUNT_redis_gaps);
            room_read(redis, room); /* what is missing, and this one with it */
        }
    } else if (room->state == ROOM_READING) {
        if (room->early.length + payload.length > EARLY_MAX_BYTES || room->early.failed) {
            room->early_lost = true;
        } else {
            buffer_bytes(&room->early, &payload.length, sizeof payload.length);
            buffer_bytes(&room->early, payload.at, payload.length);
        }
    }
}

/* ---- the connection ---- */

struct concerned { /* the rooms of one server */
    struct redis *redis;
    const struct redis_link *link;
};

static void room_hearing(struct table_link *link, void *arg)
{
    struct redis_room *room = list_entry(link, struct redis_room, link);
    const struct concerned *concerned = arg;
    if (room->via == concerned->link)
        room_subscribe(concerned->redis, room);
}

void redis_rooms_hearing(struct redis *redis, const struct redis_link *link)
{
    table_walk(&redis->rooms, room_hearing, &(struct concerned){redis, link});
}

static void room_deaf(struct table_link *link, void *arg)
{
    struct redis_room *room = list_entry(link, struct redis_room, link);
    const struct concerned *concerned = arg;
    if (room->via != concerned->link)
        return;
    buffer_finish(&room->early);
    room->early_lost = false;
    room->state = ROOM_DEAF;
}

void redis_rooms_deaf(struct redis *redis, const struct redis_link *link)
{
    table_walk(&redis->rooms, room_deaf, &(struct concerned){redis, link});
}

/* Commands are taken again: read what could not be. */
static void room_ready(struct table_link *link, void *arg)
{
    struct redis_room *room = list_entry(link, struct redis_room, link);
    const struct concerned *concerned = arg;
    if (room->via != concerned->link)
        return;
    if (room->state == ROOM_READING && !room->checking)
        room_read(concerned->redis, room);
    else if (room->state == ROOM_LIVE && !list_empty(&room->waiting))
        room_check(concerned->redis, room);
}

void redis_rooms_ready(struct redis *redis, const struct redis_link *link)
{
    table_walk(&redis->rooms, room_ready, &(struct concerned){redis, link});
}

static void room_say_readers(struct table_link *link, void *arg)
{
    struct redis_room *room = list_entry(link, struct redis_room, link);
    const struct concerned *concerned = arg;
    if (room->readers && room->via == concerned->link)
        redis_presence_readers(concerned->redis, room->name, room->readers);
}

void redis_rooms_say_readers(struct redis *redis, const struct redis_link *link)
{
    table_walk(&redis->rooms, room_say_readers, &(struct concerned){redis, link});
}

/* ---- life ---- */

struct redis_room *redis_room_open(struct redis *redis, struct name *name)
{
    struct redis_room *room = redis_room_find(redis, name);
    size_t count = redis->home->count;
    if (room)
        return room;
    if (redis->rooms.count >= ((size_t)redis->conf->limits.rooms + count - 1) / count)
        return NULL;
    room = xcalloc(1, sizeof *room);
    room->name = name_ref(name);
    room->via = redis_link_of(redis, name_text(name));
    list_init(&room->waiting);
    table_add(&redis->rooms, &room->link, name->hash);
    count_up(COUNT_rooms_now);
    room->used_ms = clock_mono_ms();
    if (redis_link_hears(room->via))
        room_subscribe(redis, room);
    return room;
}

static void room_destroy(struct redis *redis, struct redis_room *room)
{
    table_remove(&redis->rooms, &room->link);
    assert(list_empty(&room->waiting));
    buffer_finish(&room->early);
    history_finish(&room->history);
    name_unref(room->name);
    free(room);
    count_down(COUNT_rooms_now);
}

struct sweep {
    struct redis *redis;
    int64_t now_ms;
    struct list late;
};

static void room_sweep(struct table_link *link, void *arg)
{
    struct redis_room *room = list_entry(link, struct redis_room, link);
    struct sweep *sweep = arg;
    struct redis *redis = sweep->redis;
    int64_t wait_ms = redis->conf->limits.store_wait_ms;
    waiting_give_up(room, sweep->now_ms - wait_ms, &sweep->late);
    int64_t read_ms = room->at.offset ? READ_MS : READ_EMPTY_MS;
    bool to_be_kept = room->listening && sweep->now_ms - room->read_ms > read_ms;
    if (room->state == ROOM_LIVE && (to_be_kept || !list_empty(&room->waiting))) {
        room_check(redis, room);
        return;
    }
    if (room->state == ROOM_READING && !room->checking && redis_link_ready(room->via) &&
        sweep->now_ms - room->read_ms > wait_ms) {
        room_read(redis, room);
        return;
    }
    if (room->listening || !list_empty(&room->waiting) || sweep->now_ms - room->used_ms < UNUSED_MS)
        return;
    if (room->state != ROOM_DEAF)
        room_unsubscribe(redis, room);
    room_destroy(redis, room);
}

void redis_rooms_sweep(struct redis *redis, int64_t now_ms)
{
    struct sweep sweep = {redis, now_ms};
    list_init(&sweep.late);
    table_walk(&redis->rooms, room_sweep, &sweep);
    waiting_answer(&sweep.late, NULL, BROKER_UNAVAILABLE);
}

static void room_wait_no_more(struct table_link *link, void *arg)
{
    waiting_move(list_entry(link, struct redis_room, link), UINT_MAX, arg);
}

void redis_rooms_stop(struct redis *redis)
{
    struct list waiting;
    list_init(&waiting);
    table_walk(&redis->rooms, room_wait_no_more, &waiting);
    waiting_answer(&waiting, NULL, BROKER_UNAVAILABLE);
}

static void room_end(struct table_link *link, void *arg)
{
    room_destroy(arg, list_entry(link, struct redis_room, link));
}

void redis_rooms_finish(struct redis *redis)
{
    table_walk(&redis->rooms, room_end, redis);
    table_finish(&redis->rooms);
}
