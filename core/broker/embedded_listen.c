/* Who listens, who is there, and what a room looks like. */
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "embedded_parts.h"
#include "message.h"
#include "uuid.h"

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

/* ---- join and leave ---- */

struct join {
    struct errand errand;
    char member[37];
    int64_t ban_ttl;
    broker_joined *done;
    void *arg;
    struct text user, sub, name;
    char storage[];
};

static void announce_presence(struct embedded *owner, struct home_room *room,
                              const struct member *member, const char *ev)
{
    char id[UUID_LENGTH + 1]; /* the member's own would make both its events look like one */
    uuid_next(&owner->uuids, id);
    struct message *message =
        message_create(room->name, &(struct message_fields){.id = text_of(id),
                                                            .time_ms = clock_wall_ms(),
                                                            .user = member->user,
                                                            .sub = member->sub,
                                                            .name = member->name,
                                                            .ev = text_of(ev)});
    home_room_announce(owner, room, message);
    message_unref(message);
}

static void join_home(struct letter *letter)
{
    struct join *join = (struct join *)letter;
    join->done(join->arg, join->errand.status, join->ban_ttl);
    errand_free(&join->errand);
}

static void join_failed(struct letter *letter)
{
    struct join *join = (struct join *)letter;
    errand_go_home(&join->errand, join->errand.status, join_home);
}

static void join_at_owner(struct letter *letter)
{
    struct join *join = (struct join *)letter;
    struct errand *errand = &join->errand;
    bool refused;
    errand->back = join_failed;
    struct home_room *room = errand_room(errand, &refused);
    if (!room) {
        if (refused)
            errand_go_home(errand, errand->status, join_home);
        return;
    }
    join->ban_ttl =
        bans_ttl(&errand->owner->bans, errand->room, join->sub, join->name, clock_wall_ms());
    if (!join->ban_ttl)
        announce_presence(
            errand->owner, room,
            members_add(&room->members, join->member, join->user, join->sub, join->name), "join");
    errand_go_home(errand, BROKER_OK, join_home);
}

void embedded_join(struct broker *broker, struct name *name, const char member[37],
                   struct text user, struct text sub, struct text public_name, broker_joined *done,
                   void *arg)
{
    struct join *join =
        errand_create(broker, name, sizeof *join + user.length + sub.length + public_name.length);
    memcpy(join->member, member, sizeof join->member);
    join->done = done;
    join->arg = arg;
    char *at = join->storage;
    join->user = (struct text){memcpy(at, user.at, user.length), user.length};
    at += user.length;
    join->sub = (struct text){memcpy(at, sub.at, sub.length), sub.length};
    at += sub.length;
    join->name = (struct text){memcpy(at, public_name.at, public_name.length), public_name.length};
    errand_go(&join->errand, join->errand.owner->loop, join_at_owner);
}

struct leave {
    struct errand errand;
    char member[37];
};

static void leave_failed(struct letter *letter)
{
    errand_free((struct errand *)letter);
}

static void leave_at_owner(struct letter *letter)
{
    struct leave *leave = (struct leave *)letter;
    struct home_room *room = home_room_find(leave->errand.owner, leave->errand.room);
    leave->errand.back = leave_failed;
    if (room && !room->ready) { /* behind its join, which waits too */
        errand_await(room, &leave->errand);
        return;
    }
    struct member *member = room ? members_find(&room->members, leave->member) : NULL;
    if (member) {
        announce_presence(leave->errand.owner, room, member, "leave");
        members_remove(&room->members, member);
        room->used_ms = clock_mono_ms();
    }
    errand_free(&leave->errand);
}

void embedded_leave(struct broker *broker, struct name *name, const char member[37])
{
    struct leave *leave = errand_create(broker, name, sizeof *leave);
    memcpy(leave->member, member, sizeof leave->member);
    errand_go(&leave->errand, leave->errand.owner->loop, leave_at_owner);
}

/* ---- look ---- */

struct look {
    struct errand errand;
    uint64_t skip, limit;
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
    look->messages = history_after(&room->history, 0, &look->view.history.count);
    look->view.history.at.offset = room->announced;
    look->view.readers = room->readers;
    look->view.publishers = room->members.table.count;
    look->view.users = members_people(&room->members);
    members_write(&room->members, look->skip, look->limit, &look->clients);
    errand_go_home(errand, BROKER_OK, look_home);
}

void embedded_look(struct broker *broker, struct name *name, uint64_t skip, uint64_t limit,
                   broker_looked *done, void *arg)
{
    struct look *look = errand_create(broker, name, sizeof *look);
    look->skip = skip;
    look->limit = limit;
    look->done = done;
    look->arg = arg;
    memcpy(look->view.history.at.epoch, look->errand.from->home->epoch,
           sizeof look->view.history.at.epoch);
    errand_go(&look->errand, look->errand.owner->loop, look_at_owner);
}
