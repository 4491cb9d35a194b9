/* How letters travel, and the rooms they find at their owner. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded_parts.h"
#include "log.h"
#include "message.h"
#include "store.h"

#include <assert.h>

/* ---- travelling ---- */

void errand_go(struct errand *errand, struct loop *loop, void (*step)(struct letter *))
{
    errand->letter.deliver = step;
    loop_post(loop, &errand->letter);
}

void errand_go_home(struct errand *errand, enum broker_status status, void (*step)(struct letter *))
{
    errand->status = status;
    errand_go(errand, errand->from->loop, step);
}

void *errand_create(struct broker *broker, struct name *room, size_t size)
{
    struct errand *errand = xcalloc(1, size);
    errand->from = embedded_of(broker);
    struct embedded_home *home = errand->from->home;
    errand->room = room ? name_ref(room) : NULL;
    errand->owner = room ? embedded_owner(home, room) : &home->loops[0];
    list_init(&errand->asked);
    return errand;
}

void errand_free(struct errand *errand)
{
    name_unref(errand->room);
    free(errand);
}

/* ---- the owner's rooms ---- */

static bool home_room_is(const struct table_link *link, const void *name)
{
    return name_equal(list_entry(link, struct home_room, link)->name, name);
}

struct home_room *home_room_find(struct embedded *owner, const struct name *name)
{
    struct table_link *link = table_find(&owner->rooms, name->hash, home_room_is, name);
    return link ? list_entry(link, struct home_room, link) : NULL;
}

struct load {
    struct errand errand;
    struct store_room found;
};

static void load_arrives(struct letter *letter);

static void load_at_store(struct letter *letter)
{
    struct load *load = (struct load *)letter;
    struct embedded_home *home = load->errand.owner->home;
    struct error err;
    store_turn_begin(home);
    load->errand.status = BROKER_OK;
    if (!store_load(home->store, load->errand.room, clock_wall_ms(), &load->found, &err)) {
        store_load_failed(home, load->errand.room, &err);
        load->errand.status = BROKER_UNAVAILABLE;
    }
    errand_go(&load->errand, load->errand.owner->loop, load_arrives);
}

static struct home_room *room_open(struct embedded *owner, struct name *name, bool beyond_limit)
{
    const struct config *conf = owner->conf;
    size_t count = owner->home->count;
    if (!beyond_limit && owner->rooms.count >= ((size_t)conf->limits.rooms + count - 1) / count)
        return NULL;
    struct home_room *room = home_room_create(name, owner->home->count);
    table_add(&owner->rooms, &room->link, name->hash);
    room->used_ms = clock_mono_ms();
    if (!owner->home->store) {
        room->offset = room->announced = owner->offset_floor;
        return room;
    }
    struct load *load = errand_create(&owner->broker, name, sizeof *load);
    load->errand.back = load_arrives;
    room_awaits_store(owner, room);
    errand_go(&load->errand, owner->home->store_loop, load_at_store);
    return room;
}

void errand_await(struct home_room *room, struct errand *errand)
{
    struct letter **end = &room->loading->waiting;
    while (*end)
        end = &(*end)->next;
    errand->letter.next = NULL;
    *end = &errand->letter;
}

static struct home_room *errand_refuse(struct errand *errand, bool *refused,
                                       enum broker_status status)
{
    *refused = true;
    errand->status = status;
    return NULL;
}

/* The room, ready to be used; NULL if the letter has been dealt with: it waits for the room to be
 * loaded and is delivered again, or status is set and it must go home (*refused). */
struct home_room *errand_room(struct errand *errand, bool *refused)
{
    struct home_room *room = home_room_find(errand->owner, errand->room);
    *refused = false;
    if ((!room || room->loading) && store_overdue_ms(errand->owner))
        return errand_refuse(errand, refused, BROKER_UNAVAILABLE); /* it would only wait */
    if (!room && !(room = room_open(errand->owner, errand->room, errand->beyond_limit))) {
        count_up(COUNT_too_many_rooms);
        return errand_refuse(errand, refused, BROKER_FULL);
    }
    room->used_ms = clock_mono_ms();
    if (room->loading) {
        errand_await(room, errand);
        return NULL;
    }
    history_expire(&room->history, clock_wall_ms() - errand->owner->conf->history.expire_ms);
    return room;
}

/* At once, and in their order: posted again, they would be overtaken by what comes meanwhile. */
static void waiting_deliver(struct letter *letter)
{
    while (letter) {
        struct letter *next = letter->next;
        letter->deliver(letter);
        letter = next;
    }
}

static void load_arrives(struct letter *letter)
{
    struct load *load = (struct load *)letter;
    struct embedded *owner = load->errand.owner;
    struct home_room *room = home_room_find(owner, load->errand.room);
    assert(room && room->loading);
    const struct config *conf = owner->conf;
    struct letter *waiting = room_is_loaded(room);
    if (load->errand.status == BROKER_OK) {
        room->offset = room->announced = load->found.offset;
        for (size_t i = 0; i < load->found.message_count; i++)
            history_add(&room->history, message_ref(load->found.messages[i]),
                        (uint32_t)conf->history.size, (uint64_t)conf->history.bytes);
        for (size_t i = 0; i < load->found.answer_count; i++) {
            struct store_answer *answer = &load->found.answers[i];
            answers_add(home_room_answers(room), (struct text){answer->client_id, answer->length},
                        answer->offset, answer->id, answer->time_ms,
                        (uint32_t)conf->limits.dedupe_entries);
        }
        waiting_deliver(waiting);
    } else { /* those who wait learn it one by one: the room stays unknown */
        table_remove(&owner->rooms, &room->link);
        home_room_destroy(room);
        waiting_fail(waiting, BROKER_UNAVAILABLE);
    }
    store_room_finish(&load->found);
    errand_free(&load->errand);
}

/* ---- announcing ---- */

struct message *home_room_event(struct embedded *owner, struct home_room *room, const char *ev,
                                struct text data, const struct member *who)
{
    char id[UUID_LENGTH + 1]; /* the member's own would make both its events look like one */
    uuid_next(&owner->uuids, id);
    struct message_fields fields = {
        .id = text_of(id), .time_ms = clock_wall_ms(), .ev = text_of(ev), .data = data};
    if (who) {
        fields.user = who->user;
        fields.sub = who->sub;
        fields.name = who->name;
    }
    return alloc_checked(message_create(room->name, &fields)); /* limits.token_bytes bounds it */
}

struct event {
    struct letter letter;
    struct embedded *to;
    struct message *message;
};

static void event_arrives(struct letter *letter)
{
    struct event *event = (struct event *)letter;
    struct broker *broker = &event->to->broker;
    broker->on_event(broker->up, event->message);
    message_unref(event->message);
    free(event);
}

void home_room_announce(struct embedded *owner, struct home_room *room, struct message *message)
{
    for (size_t i = 0; i < owner->home->count; i++) {
        if (!(room->loops[i] & HOME_LISTENS))
            continue;
        struct event *event = xmalloc(sizeof *event);
        event->letter.deliver = event_arrives;
        event->to = &owner->home->loops[i];
        event->message = message_ref(message);
        loop_post(event->to->loop, &event->letter);
    }
}

void home_room_announce_stored(struct embedded *owner, struct home_room *room,
                               struct message *message)
{
    assert(message->offset == room->announced + 1);
    room->announced = message->offset;
    history_add(&room->history, message_ref(message), (uint32_t)owner->conf->history.size,
                (uint64_t)owner->conf->history.bytes);
    home_room_announce(owner, room, message);
}
