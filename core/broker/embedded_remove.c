/* Removal: of one message, of what somebody said in a room, of what they said everywhere. The last
 * is many of the second: the rooms are looked up in the store a page at a time, so that publishing
 * goes on in between, and each is dealt with by its owner. */
#include "alloc.h"
#include "buffer.h"
#include "embedded_parts.h"
#include "message.h"
#include "store.h"

/* ---- in one room ---- */

struct removing {
    struct errand errand;
    struct removal what; /* texts into storage */
    uint64_t count;
    struct message *notice;
    broker_moderated *done;
    void *arg;
    char storage[];
};

static bool is_of_person(const struct removal *what)
{
    return !what->id.length && !what->offset;
}

static void removing_home(struct letter *letter)
{
    struct removing *removing = (struct removing *)letter;
    if (errand_comes_home(&removing->errand))
        removing->done(removing->arg, removing->errand.status, removing->count);
    message_unref(removing->notice);
    errand_free(&removing->errand);
}

static void removing_give_up(struct errand *errand)
{
    struct removing *removing = (struct removing *)errand;
    removing->done(removing->arg, BROKER_UNKNOWN, 0);
}

static void removing_stored(struct letter *letter)
{
    struct removing *removing = (struct removing *)letter;
    struct errand *errand = &removing->errand;
    const struct removal *what = &removing->what;
    struct home_room *room = home_room_find(errand->owner, errand->room);
    if (!room || room->loading) { /* it could not be loaded */
        errand_go_home(errand, BROKER_UNAVAILABLE, removing_home);
        return;
    }
    room->in_flight--;
    if (errand->status == BROKER_OK) {
        removing->count = is_of_person(what)
                              ? history_remove_said(&room->history, what->kind, what->who)
                              : history_remove(&room->history, what->offset);
        home_room_announce_stored(errand->owner, room, removing->notice);
    } else {
        owner_generation_end(errand->owner, errand->generation);
    }
    if (!home_room_in_use(room))
        room->used_ms = 0; /* it was opened for this, beyond the limit: not for long */
    errand_go_home(errand, errand->status, removing_home);
}

static void removing_at_store(struct letter *letter)
{
    struct removing *removing = (struct removing *)letter;
    const struct removal *what = &removing->what;
    struct embedded_home *home = removing->errand.owner->home;
    struct error err;
    if (!store_batch_join(&removing->errand))
        return;
    bool ok = is_of_person(what)
                  ? store_remove_said(home->store, what->room, what->kind, what->who, &err)
                  : store_remove(home->store, what->room, what->offset, &err);
    if (!ok || !store_append(home->store, removing->notice, (struct text){0}, &err))
        store_batch_failed(home, &err);
}

/* {"i":id,"o":offset}, as much of it as is known. */
static void write_message(struct buffer *data, struct text id, uint64_t offset)
{
    buffer_text(data, "{");
    if (id.length) {
        buffer_text(data, "\"i\":");
        buffer_json_string(data, id);
    }
    if (offset) {
        buffer_text(data, id.length ? ",\"o\":" : "\"o\":");
        buffer_number(data, (int64_t)offset);
    }
    buffer_text(data, "}");
}

/* The event's data. One that the history has no more may still be on somebody's screen, so it is
 * told all the same, as far as it is known.
 *   returns  false: there is nothing to remove */
static bool removing_write(struct removing *removing, const struct home_room *room,
                           struct buffer *data)
{
    struct removal *what = &removing->what;
    if (is_of_person(what)) {
        buffer_json_string(data, what->who);
        return true;
    }
    const struct message *message = history_find(&room->history, what->id, what->offset);
    if (message ? !history_may_remove(message) : what->offset > room->announced)
        return false;
    if (message)
        what->offset = message->offset;
    write_message(data, message ? message->fields.id : what->id, what->offset);
    return true;
}

static void removing_at_owner(struct letter *letter)
{
    struct removing *removing = (struct removing *)letter;
    struct errand *errand = &removing->errand;
    struct buffer data = {0};
    bool refused;
    errand->back = removing_stored;
    struct home_room *room = errand_room(errand, &refused);
    if (!room) {
        if (refused)
            errand_go_home(errand, errand->status, removing_home);
        return;
    }
    if (!removing_write(removing, room, &data)) {
        errand_go_home(errand, BROKER_OK, removing_home);
        return;
    }
    if (store_overdue_ms(errand->owner)) {
        buffer_finish(&data);
        errand_go_home(errand, BROKER_UNAVAILABLE, removing_home);
        return;
    }
    removing->notice =
        home_room_event(errand->owner, room, is_of_person(&removing->what) ? "rmUserMsg" : "rmMsg",
                        (struct text){data.at, data.length}, NULL);
    removing->notice->offset = ++room->offset;
    buffer_finish(&data);
    errand_to_store(errand, room, removing_at_store, removing_stored);
}

static void remove_in_room(struct broker *broker, const struct removal *removal,
                           broker_moderated *done, void *arg)
{
    struct removing *removing = errand_create(
        broker, removal->room, sizeof *removing + removal->id.length + removal->who.length);
    struct removal *what = &removing->what;
    *what = *removal;
    what->room = removing->errand.room;
    what->id.at = removing->storage;
    what->who.at = removing->storage + what->id.length;
    if (what->id.length)
        memcpy(removing->storage, removal->id.at, what->id.length);
    if (what->who.length)
        memcpy(removing->storage + what->id.length, removal->who.at, what->who.length);
    removing->errand.beyond_limit = true; /* what must be removed is removed */
    removing->done = done;
    removing->arg = arg;
    errand_sets_out(&removing->errand, removing_give_up);
    errand_go(&removing->errand, removing->errand.owner->loop, removing_at_owner);
}

/* ---- everywhere ---- */

struct sweep {
    struct errand errand;
    enum ban_kind kind;
    struct text who;        /* into storage */
    struct store_page page; /* rooms that have something of theirs */
    size_t visited;         /* loops, where there is no store to ask */
    size_t open;            /* removals */
    uint64_t count;
    broker_moderated *done;
    void *arg;
    char storage[];
};

static void sweep_find(struct sweep *sweep);

static void sweep_answer(struct sweep *sweep)
{
    store_page_finish(&sweep->page);
    if (!sweep->errand.given_up)
        sweep->done(sweep->arg, sweep->errand.status, sweep->count);
    errand_free(&sweep->errand);
}

static void sweep_refused(struct letter *letter)
{
    sweep_answer((struct sweep *)letter);
}

/* One after the other, or a thousand of them would keep everybody else from writing. */
static void sweep_begin(struct sweep *sweep)
{
    struct errand **end = &sweep->errand.from->sweeps;
    bool is_first = !*end;
    if (!is_first && (*end)->given_up) { /* nor will this one come back */
        errand_go_home(&sweep->errand, BROKER_UNAVAILABLE, sweep_refused);
        return;
    }
    while (*end)
        end = &(*end)->next;
    *end = &sweep->errand;
    if (is_first)
        sweep_find(sweep);
}

static void sweep_end(struct sweep *sweep)
{
    struct embedded *from = sweep->errand.from;
    from->sweeps = sweep->errand.next;
    if (from->sweeps)
        sweep_find((struct sweep *)from->sweeps);
    sweep_answer(sweep);
}

/* Whether it finds anything in time counts, not how long all of it takes. Those behind it have not
 * begun: that outcome is known. */
static void sweep_give_up(struct errand *errand)
{
    struct sweep *sweep = (struct sweep *)errand;
    struct errand *waiting = errand->next;
    errand->next = NULL;
    sweep->done(sweep->arg, BROKER_UNKNOWN, 0);
    while (waiting) {
        struct errand *next = waiting->next;
        waiting->status = BROKER_UNAVAILABLE;
        sweep_answer((struct sweep *)waiting);
        waiting = next;
    }
}

static void sweep_next(struct sweep *sweep)
{
    if (sweep->page.more && sweep->errand.status == BROKER_OK && !sweep->errand.given_up)
        sweep_find(sweep);
    else
        sweep_end(sweep);
}

static void sweep_removed(void *arg, enum broker_status status, uint64_t count)
{
    struct sweep *sweep = arg;
    sweep->count += count;
    if (status != BROKER_OK)
        sweep->errand.status = status;
    if (!--sweep->open)
        sweep_next(sweep);
}

static void sweep_found(struct letter *letter)
{
    struct sweep *sweep = (struct sweep *)letter;
    struct store_page *page = &sweep->page;
    if (!errand_comes_home(&sweep->errand)) {
        sweep_end(sweep);
        return;
    }
    sweep->open = page->count;
    for (size_t i = 0; i < page->count; i++)
        remove_in_room(
            &sweep->errand.from->broker,
            &(struct removal){.room = page->rooms[i], .kind = sweep->kind, .who = sweep->who},
            sweep_removed, sweep);
    if (!page->count)
        sweep_next(sweep);
}

static void sweep_at_store(struct letter *letter)
{
    struct sweep *sweep = (struct sweep *)letter;
    struct embedded_home *home = sweep->errand.owner->home;
    struct error err;
    store_turn_begin(home);
    bool ok = store_rooms_of(home->store, sweep->kind, sweep->who, &sweep->page, &err);
    if (!ok)
        store_load_failed(home, NULL, &err);
    errand_go_home(&sweep->errand, ok ? BROKER_OK : BROKER_UNAVAILABLE, sweep_found);
}

static void room_look(struct table_link *link, void *arg)
{
    struct home_room *room = list_entry(link, struct home_room, link);
    struct sweep *sweep = arg;
    if (history_has_said(&room->history, sweep->kind, sweep->who))
        store_page_add(&sweep->page, room->name);
}

/* Without a store all there is is in the rooms, loop by loop. */
static void sweep_visits(struct letter *letter)
{
    struct sweep *sweep = (struct sweep *)letter;
    struct embedded_home *home = sweep->errand.owner->home;
    table_walk(&home->loops[sweep->visited].rooms, room_look, sweep);
    if (++sweep->visited < home->count)
        errand_go(&sweep->errand, home->loops[sweep->visited].loop, sweep_visits);
    else
        errand_go_home(&sweep->errand, BROKER_OK, sweep_found);
}

static void sweep_find(struct sweep *sweep)
{
    struct embedded_home *home = sweep->errand.owner->home;
    store_page_finish(&sweep->page);
    if (store_overdue_ms(sweep->errand.from)) {
        errand_go_home(&sweep->errand, BROKER_UNAVAILABLE, sweep_found);
    } else if (home->store) {
        errand_sets_out(&sweep->errand, sweep_give_up);
        errand_go(&sweep->errand, home->store_loop, sweep_at_store);
    } else {
        errand_go(&sweep->errand, home->loops[0].loop, sweep_visits);
    }
}

void embedded_remove(struct broker *broker, const struct removal *removal, broker_moderated *done,
                     void *arg)
{
    if (removal->room) {
        remove_in_room(broker, removal, done, arg);
        return;
    }
    struct sweep *sweep = errand_create(broker, NULL, sizeof *sweep + removal->who.length);
    sweep->kind = removal->kind;
    sweep->who = (struct text){memcpy(sweep->storage, removal->who.at, removal->who.length),
                               removal->who.length};
    sweep->done = done;
    sweep->arg = arg;
    sweep_begin(sweep);
}
