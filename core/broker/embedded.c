/* A call is a letter that travels: from the asking loop to the room's owner, perhaps through the
 * store's thread, back to the owner, and home. Each struct below is one kind of letter, and its
 * steps are the functions in the order it meets them; letter.deliver is the next step.
 *
 * The store commits at the end of its turn everything its inbox held: group commit. If that fails,
 * every letter of it comes back failed, and so does what the owners had numbered on top of it
 * (their generation), so that an offset which was never announced can be given again. */
#include "embedded.h"
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "config.h"
#include "home_room.h"
#include "log.h"
#include "loop.h"
#include "message.h"
#include "store.h"
#include "uuid.h"

#include <assert.h>
#include <ev.h>
#include <sys/random.h>

struct embedded {         /* one loop's handle, and its rooms */
    struct broker broker; /* first */
    struct embedded_home *home;
    struct loop *loop;
    uint32_t index;
    struct table rooms;         /* those this loop owns */
    struct bans bans;           /* all of them, everywhere */
    uint64_t generation;        /* of what this owner numbers; a failed commit ends it */
    uint64_t failed_generation; /* the store's thread only */
    int64_t swept_ms;
    ev_timer sweep;
};

struct embedded_home {
    const struct config *conf;
    char epoch[EPOCH_MAX + 1];
    struct store *store; /* NULL: durability is memory */
    struct loop *store_loop;
    struct turn_end at_store_turn_end;
    struct errand *batch, **batch_tail; /* at the store, waiting for the commit; oldest first */
    bool batch_open, batch_failed;
    bool store_was_failing;
    int64_t purged_ms;
    size_t count;
    struct embedded loops[];
};

/* What every letter that asks something begins with. */
struct errand {
    struct letter letter;
    struct embedded *from, *owner;
    struct name *room;
    enum broker_status status;
    struct errand *next;           /* in the store's batch */
    uint64_t generation;           /* of the owner when it left for the store */
    void (*back)(struct letter *); /* the owner's step after the store */
};

enum { UNUSED_ROOM_MS = 30000, SWEEP_S = 1, PURGE_MS = 600000 };

/* ---- travelling ---- */

static struct embedded *embedded_of(struct broker *broker)
{
    return (struct embedded *)broker;
}

static void go(struct errand *errand, struct loop *loop, void (*step)(struct letter *))
{
    errand->letter.deliver = step;
    loop_post(loop, &errand->letter);
}

static void go_home(struct errand *errand, enum broker_status status, void (*step)(struct letter *))
{
    errand->status = status;
    go(errand, errand->from->loop, step);
}

static void *errand_create(struct broker *broker, struct name *room, size_t size)
{
    struct errand *errand = xcalloc(1, size);
    errand->from = embedded_of(broker);
    errand->room = name_ref(room);
    struct embedded_home *home = errand->from->home;
    errand->owner = &home->loops[(room->hash >> 32) % home->count];
    return errand;
}

static void errand_free(struct errand *errand)
{
    name_unref(errand->room);
    free(errand);
}

/* ---- the owner's rooms ---- */

static bool home_room_is(const struct table_link *link, const void *name)
{
    return name_equal(list_entry(link, struct home_room, link)->name, name);
}

static struct home_room *room_find(struct embedded *owner, const struct name *name)
{
    struct table_link *link = table_find(&owner->rooms, name->hash, home_room_is, name);
    return link ? list_entry(link, struct home_room, link) : NULL;
}

struct load {
    struct errand errand;
    struct store_room found;
};

static void load_arrives(struct letter *letter);
static void load_at_store(struct letter *letter);

static struct home_room *room_open(struct embedded *owner, struct name *name)
{
    const struct config *conf = owner->home->conf;
    size_t count = owner->home->count;
    if (owner->rooms.count >= ((size_t)conf->limits.rooms + count - 1) / count)
        return NULL;
    struct home_room *room = home_room_create(name, owner->home->count);
    table_add(&owner->rooms, &room->link, name->hash);
    room->used_ms = clock_mono_ms();
    room->ready = !owner->home->store;
    if (!room->ready) {
        struct load *load = errand_create(&owner->broker, name, sizeof *load);
        load->errand.back = load_arrives;
        go(&load->errand, owner->home->store_loop, load_at_store);
    }
    return room;
}

static void room_await(struct home_room *room, struct errand *errand)
{
    struct letter **end = &room->waiting;
    while (*end)
        end = &(*end)->next;
    errand->letter.next = NULL;
    *end = &errand->letter;
}

/* The room, ready to be used; NULL if the letter has been dealt with: it waits for the room to be
 * loaded and is delivered again, or status is set and it must go home (*refused). */
static struct home_room *room_for(struct errand *errand, bool *refused)
{
    struct home_room *room = room_find(errand->owner, errand->room);
    *refused = false;
    if (!room && !(room = room_open(errand->owner, errand->room))) {
        *refused = true;
        errand->status = BROKER_FULL;
        return NULL;
    }
    room->used_ms = clock_mono_ms();
    if (room->ready) {
        history_expire(&room->history,
                       clock_wall_ms() - errand->owner->home->conf->history.expire_ms);
        return room;
    }
    room_await(room, errand);
    return NULL;
}

/* At once, and in their order: posted again, they would be overtaken by what comes meanwhile. */
static void waiting_deliver(struct home_room *room)
{
    struct letter *letter = room->waiting;
    room->waiting = NULL;
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
    struct home_room *room = room_find(owner, load->errand.room);
    assert(room && !room->ready);
    const struct config *conf = owner->home->conf;
    if (load->errand.status == BROKER_OK) {
        room->ready = true;
        room->offset = room->announced = load->found.offset;
        for (size_t i = 0; i < load->found.message_count; i++)
            history_add(&room->history, message_ref(load->found.messages[i]),
                        (uint32_t)conf->history.size);
        for (size_t i = 0; i < load->found.answer_count; i++) {
            struct store_answer *answer = &load->found.answers[i];
            answers_add(&room->answers, (struct text){answer->client_id, answer->length},
                        answer->offset, answer->id, answer->time_ms,
                        (uint32_t)conf->limits.dedupe_entries);
        }
        waiting_deliver(room);
    } else { /* those who wait learn it one by one: the room stays unknown */
        struct letter *waiting = room->waiting;
        room->waiting = NULL;
        while (waiting) {
            struct errand *errand = (struct errand *)waiting;
            waiting = waiting->next;
            errand->status = BROKER_UNAVAILABLE;
            errand->back(&errand->letter);
        }
        table_remove(&owner->rooms, &room->link);
        home_room_destroy(room);
    }
    store_room_finish(&load->found);
    errand_free(&load->errand);
}

/* ---- the store's thread ---- */

static void batch_add(struct errand *errand)
{
    struct embedded_home *home = errand->owner->home;
    errand->next = NULL;
    *home->batch_tail = errand;
    home->batch_tail = &errand->next;
}

static void store_failed(struct embedded_home *home, const struct error *err)
{
    home->batch_failed = true;
    if (!home->store_was_failing) /* once, not for every message */
        log_error("%s; nothing can be published until it is mended", err->text);
    home->store_was_failing = true;
}

/* Whether the letter may write: it joins the batch in any case. */
static bool batch_join(struct errand *errand)
{
    struct embedded_home *home = errand->owner->home;
    struct error err;
    batch_add(errand);
    if (errand->generation && errand->generation <= errand->owner->failed_generation) {
        errand->status = BROKER_UNAVAILABLE; /* numbered upon something that failed */
        return false;
    }
    errand->status = BROKER_OK;
    if (!home->batch_open) {
        home->batch_open = true;
        if (!store_begin(home->store, &err))
            store_failed(home, &err);
    }
    return !home->batch_failed;
}

static void load_at_store(struct letter *letter)
{
    struct load *load = (struct load *)letter;
    struct embedded_home *home = load->errand.owner->home;
    struct error err;
    load->errand.status = BROKER_OK;
    if (!store_load(home->store, load->errand.room, clock_wall_ms(), &load->found, &err)) {
        log_error("%s", err.text);
        load->errand.status = BROKER_UNAVAILABLE;
    }
    go(&load->errand, load->errand.owner->loop, load_arrives);
}

static void batch_finish(void *arg)
{
    struct embedded_home *home = arg;
    struct error err;
    if (home->batch_open) {
        if (!home->batch_failed && !store_commit(home->store, &err))
            store_failed(home, &err);
        if (home->batch_failed)
            store_rollback(home->store);
        else if (home->store_was_failing) {
            log_info("store: it can be written again");
            home->store_was_failing = false;
        }
    }
    struct errand *errand = home->batch;
    home->batch = NULL;
    home->batch_tail = &home->batch;
    while (errand) {
        struct errand *next = errand->next;
        if (home->batch_failed && errand->status == BROKER_OK) {
            errand->status = BROKER_UNAVAILABLE;
            if (errand->generation > errand->owner->failed_generation)
                errand->owner->failed_generation = errand->generation;
        }
        go(errand, errand->owner->loop, errand->back);
        errand = next;
    }
    home->batch_open = home->batch_failed = false;
}

static void store_turn_end(void *arg)
{
    struct embedded_home *home = arg;
    struct error err;
    batch_finish(home);
    int64_t now_ms = clock_mono_ms();
    if (now_ms - home->purged_ms > PURGE_MS) {
        home->purged_ms = now_ms;
        if (!store_purge(home->store, clock_wall_ms(), &err))
            log_error("%s", err.text);
    }
}

/* The owner's side of a failed commit: what it numbered in that generation never was. */
static void room_take_back(struct table_link *link, void *arg)
{
    struct home_room *room = list_entry(link, struct home_room, link);
    if (room->offset == room->announced)
        return;
    room->offset = room->announced;
    answers_forget_above(&room->answers, room->announced);
}

static void generation_end(struct embedded *owner, uint64_t generation)
{
    if (generation != owner->generation)
        return;
    owner->generation++;
    table_walk(&owner->rooms, room_take_back, NULL);
}

static void to_store(struct errand *errand, struct home_room *room, void (*step)(struct letter *),
                     void (*back)(struct letter *))
{
    room->in_flight++;
    errand->generation = errand->owner->generation;
    errand->back = back;
    if (errand->owner->home->store) {
        go(errand, errand->owner->home->store_loop, step);
        return;
    }
    errand->status = BROKER_OK;
    back(&errand->letter);
}

/* ---- announcing ---- */

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

static void announce(struct embedded *owner, struct home_room *room, struct message *message)
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

static void announce_stored(struct embedded *owner, struct home_room *room, struct message *message)
{
    assert(message->offset == room->announced + 1);
    room->announced = message->offset;
    history_add(&room->history, message_ref(message), (uint32_t)owner->home->conf->history.size);
    announce(owner, room, message);
}

/* ---- publish ---- */

struct publish {
    struct errand errand;
    struct message *message;
    bool check_ban;
    broker_published *done;
    void *arg;
    struct published result;
    size_t client_id_length;
    char client_id[];
};

static struct text publish_client_id(const struct publish *publish)
{
    return (struct text){publish->client_id, publish->client_id_length};
}

static void publish_home(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    publish->result.status = publish->errand.status;
    publish->done(publish->arg, &publish->result);
    message_unref(publish->message);
    errand_free(&publish->errand);
}

static void publish_stored(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct errand *errand = &publish->errand;
    struct home_room *room = room_find(errand->owner, errand->room);
    if (!room || !room->ready) { /* it could not be loaded */
        go_home(errand, BROKER_UNAVAILABLE, publish_home);
        return;
    }
    room->in_flight--;
    if (errand->status != BROKER_OK)
        generation_end(errand->owner, errand->generation);
    if (!publish->message) /* a repetition: it waited for the first one's commit, not for its own */
        errand->status =
            publish->result.at.offset <= room->announced ? BROKER_OK : BROKER_UNAVAILABLE;
    else if (errand->status == BROKER_OK)
        announce_stored(errand->owner, room, publish->message);
    go_home(errand, errand->status, publish_home);
}

static void publish_at_store(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct error err;
    if (batch_join(&publish->errand) && publish->message &&
        !store_append(publish->errand.owner->home->store, publish->message,
                      publish_client_id(publish), &err))
        store_failed(publish->errand.owner->home, &err);
}

static void publish_at_owner(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct errand *errand = &publish->errand;
    struct embedded *owner = errand->owner;
    const struct message_fields *fields = &publish->message->fields;
    bool refused;
    errand->back = publish_stored;
    struct home_room *room = room_for(errand, &refused);
    if (!room) {
        if (refused)
            go_home(errand, errand->status, publish_home);
        return;
    }
    int64_t now_ms = clock_wall_ms();
    answers_expire(&room->answers, now_ms - owner->home->conf->limits.dedupe_ms);
    struct answer *answer =
        publish->client_id_length ? answers_find(&room->answers, publish_client_id(publish)) : NULL;
    if (answer) {
        publish->result.at.offset = answer->offset;
        memcpy(publish->result.id, answer->id, sizeof publish->result.id);
        message_unref(publish->message);
        publish->message = NULL;
    } else {
        /* The loop that took it checked already; a ban may have overtaken it on the way here. */
        if (publish->check_ban &&
            (publish->result.ban_ttl =
                 bans_ttl(&owner->bans, errand->room, fields->sub, fields->name, now_ms))) {
            go_home(errand, BROKER_BANNED, publish_home);
            return;
        }
        publish->message->offset = ++room->offset;
        publish->result.at.offset = room->offset;
        memcpy(publish->result.id, fields->id.at, UUID_LENGTH);
        if (publish->client_id_length)
            answers_add(&room->answers, publish_client_id(publish), room->offset,
                        publish->result.id, fields->time_ms,
                        (uint32_t)owner->home->conf->limits.dedupe_entries);
    }
    if (answer && answer->offset <= room->announced)
        go_home(errand, BROKER_OK, publish_home);
    else
        to_store(errand, room, publish_at_store, publish_stored);
}

static void embedded_publish(struct broker *broker, const struct publication *what,
                             broker_published *done, void *arg)
{
    struct publish *publish =
        errand_create(broker, what->message->room, sizeof *publish + what->client_id.length);
    publish->message = what->message;
    publish->check_ban = what->check_ban;
    publish->done = done;
    publish->arg = arg;
    publish->client_id_length = what->client_id.length;
    if (what->client_id.length)
        memcpy(publish->client_id, what->client_id.at, what->client_id.length);
    memcpy(publish->result.at.epoch, publish->errand.from->home->epoch,
           sizeof publish->result.at.epoch);
    go(&publish->errand, publish->errand.owner->loop, publish_at_owner);
}

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
    go_home(&subscribe->errand, subscribe->errand.status, subscribe_home);
}

/* Registered and shown the history in one step: this answer and the events after it are one queue,
 * so nothing falls between them. */
static void subscribe_at_owner(struct letter *letter)
{
    struct subscribe *subscribe = (struct subscribe *)letter;
    struct errand *errand = &subscribe->errand;
    bool refused;
    errand->back = subscribe_failed;
    struct home_room *room = room_for(errand, &refused);
    if (!room) {
        if (refused)
            go_home(errand, errand->status, subscribe_home);
        return;
    }
    room->loops[errand->from->index] |= HOME_LISTENS;
    subscribe->messages =
        home_room_since(room, errand->owner->home->epoch, &subscribe->since,
                        &subscribe->snapshot.recovered, &subscribe->snapshot.count);
    subscribe->snapshot.at.offset = room->announced;
    go_home(errand, BROKER_OK, subscribe_home);
}

static void embedded_subscribe(struct broker *broker, struct name *name,
                               const struct position *since, broker_subscribed *done, void *arg)
{
    struct subscribe *subscribe = errand_create(broker, name, sizeof *subscribe);
    subscribe->since = *since;
    subscribe->done = done;
    subscribe->arg = arg;
    memcpy(subscribe->snapshot.at.epoch, subscribe->errand.from->home->epoch,
           sizeof subscribe->snapshot.at.epoch);
    go(&subscribe->errand, subscribe->errand.owner->loop, subscribe_at_owner);
}

/* ---- readers ---- */

struct readers {
    struct errand errand;
    uint32_t count;
};

static void readers_at_owner(struct letter *letter)
{
    struct readers *readers = (struct readers *)letter;
    struct home_room *room = room_find(readers->errand.owner, readers->errand.room);
    if (room) {
        uint32_t *at = &room->loops[readers->errand.from->index];
        room->readers += readers->count;
        room->readers -= *at & ~HOME_LISTENS;
        *at = readers->count ? readers->count | HOME_LISTENS : 0;
        room->used_ms = clock_mono_ms();
    }
    errand_free(&readers->errand);
}

static void embedded_readers(struct broker *broker, struct name *name, uint32_t count)
{
    struct readers *readers = errand_create(broker, name, sizeof *readers);
    readers->count = count;
    go(&readers->errand, readers->errand.owner->loop, readers_at_owner);
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
    char id[37]; /* the member's own would make both its events look like one */
    struct uuid_source source = {.left = 0};
    uuid_next(&source, id);
    struct message *message =
        message_create(room->name, &(struct message_fields){.id = text_of(id),
                                                            .time_ms = clock_wall_ms(),
                                                            .user = member->user,
                                                            .sub = member->sub,
                                                            .name = member->name,
                                                            .ev = text_of(ev)});
    announce(owner, room, message);
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
    go_home(&join->errand, join->errand.status, join_home);
}

static void join_at_owner(struct letter *letter)
{
    struct join *join = (struct join *)letter;
    struct errand *errand = &join->errand;
    bool refused;
    errand->back = join_failed;
    struct home_room *room = room_for(errand, &refused);
    if (!room) {
        if (refused)
            go_home(errand, errand->status, join_home);
        return;
    }
    join->ban_ttl =
        bans_ttl(&errand->owner->bans, errand->room, join->sub, join->name, clock_wall_ms());
    if (!join->ban_ttl)
        announce_presence(
            errand->owner, room,
            members_add(&room->members, join->member, join->user, join->sub, join->name), "join");
    go_home(errand, BROKER_OK, join_home);
}

static void embedded_join(struct broker *broker, struct name *name, const char member[37],
                          struct text user, struct text sub, struct text public_name,
                          broker_joined *done, void *arg)
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
    go(&join->errand, join->errand.owner->loop, join_at_owner);
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
    struct home_room *room = room_find(leave->errand.owner, leave->errand.room);
    leave->errand.back = leave_failed;
    if (room && !room->ready) { /* behind its join, which waits too */
        room_await(room, &leave->errand);
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

static void embedded_leave(struct broker *broker, struct name *name, const char member[37])
{
    struct leave *leave = errand_create(broker, name, sizeof *leave);
    memcpy(leave->member, member, sizeof leave->member);
    go(&leave->errand, leave->errand.owner->loop, leave_at_owner);
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
    go_home(&look->errand, look->errand.status, look_home);
}

static void look_at_owner(struct letter *letter)
{
    struct look *look = (struct look *)letter;
    struct errand *errand = &look->errand;
    bool refused;
    errand->back = look_failed;
    struct home_room *room = room_for(errand, &refused);
    if (!room) {
        if (refused)
            go_home(errand, errand->status, look_home);
        return;
    }
    look->messages = history_after(&room->history, 0, &look->view.history.count);
    look->view.history.at.offset = room->announced;
    look->view.readers = room->readers;
    look->view.publishers = room->members.table.count;
    look->view.users = members_people(&room->members);
    members_write(&room->members, look->skip, look->limit, &look->clients);
    go_home(errand, BROKER_OK, look_home);
}

static void embedded_look(struct broker *broker, struct name *name, uint64_t skip, uint64_t limit,
                          broker_looked *done, void *arg)
{
    struct look *look = errand_create(broker, name, sizeof *look);
    look->skip = skip;
    look->limit = limit;
    look->done = done;
    look->arg = arg;
    memcpy(look->view.history.at.epoch, look->errand.from->home->epoch,
           sizeof look->view.history.at.epoch);
    go(&look->errand, look->errand.owner->loop, look_at_owner);
}

/* ---- ban ---- */

struct ban_errand {
    struct errand errand;
    struct ban *ban;
    struct message *notice;
    broker_banned *done;
    void *arg;
};

struct ban_news {
    struct letter letter;
    struct embedded *to;
    struct ban *ban;
};

static void ban_arrives(struct letter *letter)
{
    struct ban_news *news = (struct ban_news *)letter;
    bans_put(&news->to->bans, news->ban);
    ban_unref(news->ban);
    free(news);
}

static void ban_home(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    ban->done(ban->arg, ban->errand.status);
    ban_unref(ban->ban);
    message_unref(ban->notice);
    errand_free(&ban->errand);
}

static void ban_stored(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    struct errand *errand = &ban->errand;
    struct embedded *owner = errand->owner;
    struct home_room *room = room_find(owner, errand->room);
    if (!room || !room->ready) {
        go_home(errand, BROKER_UNAVAILABLE, ban_home);
        return;
    }
    room->in_flight--;
    if (errand->status == BROKER_OK) {
        bans_put(&owner->bans, ban->ban); /* the owner decides; the others follow */
        for (size_t i = 0; i < owner->home->count; i++) {
            if (&owner->home->loops[i] == owner)
                continue;
            struct ban_news *news = xmalloc(sizeof *news);
            news->letter.deliver = ban_arrives;
            news->to = &owner->home->loops[i];
            news->ban = ban_ref(ban->ban);
            loop_post(news->to->loop, &news->letter);
        }
        history_ban(&room->history, ban->ban);
        announce_stored(owner, room, ban->notice);
    } else {
        generation_end(owner, errand->generation);
    }
    go_home(errand, errand->status, ban_home);
}

static void ban_at_store(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    struct embedded_home *home = ban->errand.owner->home;
    struct error err;
    if (batch_join(&ban->errand) &&
        (!store_ban(home->store, ban->ban, &err) ||
         !store_append(home->store, ban->notice, (struct text){NULL, 0}, &err)))
        store_failed(home, &err);
}

static void ban_at_owner(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    struct errand *errand = &ban->errand;
    bool refused;
    errand->back = ban_stored;
    struct home_room *room = room_for(errand, &refused);
    if (!room) {
        if (refused)
            go_home(errand, errand->status, ban_home);
        return;
    }
    ban->notice->offset = ++room->offset;
    to_store(errand, room, ban_at_store, ban_stored);
}

static void embedded_ban(struct broker *broker, struct ban *what, struct message *notice,
                         broker_banned *done, void *arg)
{
    struct ban_errand *ban = errand_create(broker, what->room, sizeof *ban);
    ban->ban = what;
    ban->notice = notice;
    ban->done = done;
    ban->arg = arg;
    go(&ban->errand, ban->errand.owner->loop, ban_at_owner);
}

static int64_t embedded_ban_ttl(struct broker *broker, const struct name *room, struct text sub,
                                struct text name)
{
    return bans_ttl(&embedded_of(broker)->bans, room, sub, name, clock_wall_ms());
}

/* ---- life ---- */

static const struct broker_home embedded_calls = {
    .publish = embedded_publish,
    .subscribe = embedded_subscribe,
    .readers = embedded_readers,
    .join = embedded_join,
    .leave = embedded_leave,
    .look = embedded_look,
    .ban = embedded_ban,
    .ban_ttl = embedded_ban_ttl,
};

static void room_sweep(struct table_link *link, void *arg)
{
    struct embedded *owner = arg;
    struct home_room *room = list_entry(link, struct home_room, link);
    if (home_room_in_use(room) || owner->swept_ms - room->used_ms < UNUSED_ROOM_MS)
        return;
    if (!owner->home->store) { /* there is no other copy: it lives as long as its messages */
        history_expire(&room->history, clock_wall_ms() - owner->home->conf->history.expire_ms);
        if (room->history.count)
            return;
    }
    table_remove(&owner->rooms, link);
    home_room_destroy(room);
}

static void on_sweep(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded *owner = timer->data;
    owner->swept_ms = clock_mono_ms();
    table_walk(&owner->rooms, room_sweep, owner);
    bans_expire(&owner->bans, clock_wall_ms());
}

static void ban_load(void *arg, const struct ban *ban)
{
    struct embedded_home *home = arg;
    for (size_t i = 0; i < home->count; i++)
        bans_put(&home->loops[i].bans, (struct ban *)ban);
}

struct embedded_home *embedded_open(const struct config *conf, struct loop *const *loops,
                                    size_t loop_count, struct error *err)
{
    struct embedded_home *home = xcalloc(1, sizeof *home + loop_count * sizeof home->loops[0]);
    home->conf = conf;
    home->count = loop_count;
    home->batch_tail = &home->batch;
    for (size_t i = 0; i < loop_count; i++) {
        struct embedded *loop = &home->loops[i];
        *loop = (struct embedded){.broker.home = &embedded_calls,
                                  .home = home,
                                  .loop = loops[i],
                                  .index = (uint32_t)i,
                                  .generation = 1};
        ev_timer_init(&loop->sweep, on_sweep, SWEEP_S, SWEEP_S);
        loop->sweep.data = loop;
        ev_timer_start(loop_ev(loops[i]), &loop->sweep);
    }
    if (conf->durability == DURABILITY_MEMORY) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            abort();
        snprintf(home->epoch, sizeof home->epoch, "%016llx", (unsigned long long)random);
        return home;
    }
    const struct store_limits limits = {
        .history_size = (uint32_t)conf->history.size,
        .history_expire_ms = conf->history.expire_ms,
        .dedupe_ms = conf->limits.dedupe_ms,
        .dedupe_entries = (uint32_t)conf->limits.dedupe_entries,
    };
    home->store = store_open(conf->data_dir, &limits, err);
    if (!home->store || !store_each_ban(home->store, clock_wall_ms(), ban_load, home, err)) {
        embedded_close(home);
        return NULL;
    }
    snprintf(home->epoch, sizeof home->epoch, "%s", store_epoch(home->store));
    home->store_loop = loop_create("store");
    home->at_store_turn_end = (struct turn_end){.run = store_turn_end, .arg = home};
    loop_on_turn_end(home->store_loop, &home->at_store_turn_end);
    return home;
}

struct broker *embedded_broker(struct embedded_home *home, size_t i)
{
    return &home->loops[i].broker;
}

void embedded_start(struct embedded_home *home)
{
    if (home->store_loop)
        loop_start(home->store_loop);
}

void embedded_stop(struct embedded_home *home)
{
    if (!home->store_loop)
        return;
    loop_stop(home->store_loop);
    loop_join(home->store_loop);
}

bool embedded_drain(struct embedded_home *home)
{
    return home->store_loop && loop_drain(home->store_loop);
}

static void room_free(struct table_link *link, void *arg)
{
    table_remove(arg, link);
    home_room_destroy(list_entry(link, struct home_room, link));
}

void embedded_close(struct embedded_home *home)
{
    if (!home)
        return;
    for (size_t i = 0; i < home->count; i++) {
        struct embedded *loop = &home->loops[i];
        ev_timer_stop(loop_ev(loop->loop), &loop->sweep);
        table_walk(&loop->rooms, room_free, &loop->rooms);
        table_finish(&loop->rooms);
        bans_finish(&loop->bans);
    }
    loop_destroy(home->store_loop);
    store_close(home->store);
    free(home);
}
