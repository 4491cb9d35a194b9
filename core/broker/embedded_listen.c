/* Who listens, and what a room looks like. */
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "embedded_parts.h"
#include "message.h"

/* ---- subscribe ---- */

struct subscribe {
    struct errand errand;
    struct position since;
    struct snapshot snapshot;
    struct message **messages;
    broker_subscribed *done;
    void *arg;
};

static void subscribe_home(struct letter *letter)
{
    struct subscribe *subscribe = (struct subscribe *)letter;
    subscribe->snapshot.status = subscribe->errand.status;
    subscribe->snapshot.messages = subscribe->messages;
    subscribe->done(subscribe->arg, &subscribe->snapshot);
    messages_free(subscribe->messages, subscribe->snapshot.count);
    errand_free(&subscribe->errand);
}

static void subscribe_failed(struct letter *letter)
{
    struct subscribe *subscribe = (struct subscribe *)letter;
    errand_go_home(&subscribe->errand, subscribe->errand.status, subscribe_home);
}

/* Registered and shown the history in one step: this answer and the events after it are one queue,
 * so nothing falls between them. */
static void subscribe_at_owner(struct letter *letter)
{
    struct subscribe *subscribe = (struct subscribe *)letter;
    struct errand *errand = &subscribe->errand;
    bool refused;
    errand->back = subscribe_failed;
    struct home_room *room = errand_room(errand, &refused);
    if (!room) {
        if (refused)
            errand_go_home(errand, errand->status, subscribe_home);
        return;
    }
    room->loops[errand->from->index] |= HOME_LISTENS;
    subscribe->messages =
        home_room_since(room, errand->owner->home->epoch, &subscribe->since,
                        &subscribe->snapshot.recovered, &subscribe->snapshot.count);
    subscribe->snapshot.at.offset = room->announced;
    errand_go_home(errand, BROKER_OK, subscribe_home);
}

void embedded_subscribe(struct broker *broker, struct name *name, const struct position *since,
                        broker_subscribed *done, void *arg)
{
    struct subscribe *subscribe = errand_create(broker, name, sizeof *subscribe);
    subscribe->since = *since;
    subscribe->done = done;
    subscribe->arg = arg;
    memcpy(subscribe->snapshot.at.epoch, subscribe->errand.from->home->epoch,
           sizeof subscribe->snapshot.at.epoch);
    errand_go(&subscribe->errand, subscribe->errand.owner->loop, subscribe_at_owner);
}

/* ---- readers ---- */

struct readers {
    struct errand errand;
    uint32_t count;
};

static void readers_at_owner(struct letter *letter)
{
    struct readers *readers = (struct readers *)letter;
    struct home_room *room = home_room_find(readers->errand.owner, readers->errand.room);
    if (room) {
        uint32_t *at = &room->loops[readers->errand.from->index];
        room->readers += readers->count;
        room->readers -= *at & ~HOME_LISTENS;
        *at = readers->count ? readers->count | HOME_LISTENS : 0;
        room->used_ms = clock_mono_ms();
    }
    errand_free(&readers->errand);
}

void embedded_readers(struct broker *broker, struct name *name, uint32_t count)
{
    struct readers *readers = errand_create(broker, name, sizeof *readers);
    readers->count = count;
    errand_go(&readers->errand, readers->errand.owner->loop, readers_at_owner);
}

/* ---- look ---- */

struct look {
    struct errand errand;
    struct room_asked asked;
    struct room_view view;
    struct message **messages;
    struct buffer clients;
    broker_looked *done;
    void *arg;
};

static void look_home(struct letter *letter)
{
    struct look *look = (struct look *)letter;
    look->view.history.status = look->errand.status;
    look->view.history.messages = look->messages;
    look->view.clients = (struct text){look->clients.at, look->clients.length};
    look->done(look->arg, &look->view);
    messages_free(look->messages, look->view.history.count);
    buffer_finish(&look->clients);
    errand_free(&look->errand);
}

static void look_failed(struct letter *letter)
{
    struct look *look = (struct look *)letter;
    errand_go_home(&look->errand, look->errand.status, look_home);
}

static void look_at_owner(struct letter *letter)
{
    struct look *look = (struct look *)letter;
    struct errand *errand = &look->errand;
    bool refused;
    errand->back = look_failed;
    struct home_room *room = errand_room(errand, &refused);
    if (!room) {
        if (refused)
            errand_go_home(errand, errand->status, look_home);
        return;
    }
    look->messages = history_page(&room->history, &look->asked.history, &look->view.history.count);
    look->view.history.at.offset = room->announced;
    look->view.readers = room->readers;
    look->view.publishers = members_count(room->members);
    look->view.users = members_people(room->members);
    members_write(room->members, look->asked.skip, look->asked.limit, &look->clients);
    errand_go_home(errand, BROKER_OK, look_home);
}

void embedded_look(struct broker *broker, struct name *name, const struct room_asked *asked,
                   broker_looked *done, void *arg)
{
    struct look *look = errand_create(broker, name, sizeof *look);
    look->asked = *asked;
    look->done = done;
    look->arg = arg;
    memcpy(look->view.history.at.epoch, look->errand.from->home->epoch,
           sizeof look->view.history.at.epoch);
    errand_go(&look->errand, look->errand.owner->loop, look_at_owner);
}
