/* Who is there. Who comes and goes is announced one by one while a room has few members; in a
 * crowded one each would cost every reader an event, N times N in all, so there only their number
 * is, at most once a gap. A room stops being crowded well below where it began, or it would flap.
 */
#include "alloc.h"
#include "buffer.h"
#include "clock.h"
#include "config.h"
#include "embedded_parts.h"
#include "message.h"

/* ---- what is told ---- */

static void announce(struct embedded *owner, struct home_room *room, const char *ev,
                     struct text data, const struct member *who)
{
    struct message *message = home_room_event(owner, room, ev, data, who);
    home_room_announce(owner, room, message);
    message_unref(message);
}

/* {"pubCount":n,"users":n} */
static void number_tell(struct embedded *owner, struct crowd *crowd)
{
    struct home_room *room = crowd->room;
    uint64_t publishers = members_count(room->members), users = members_people(room->members);
    char data[80];
    crowd->number_is_news = false;
    if (publishers == crowd->told_publishers && users == crowd->told_users)
        return;
    int length = snprintf(data, sizeof data, "{\"pubCount\":%llu,\"users\":%llu}",
                          (unsigned long long)publishers, (unsigned long long)users);
    announce(owner, room, "presence", (struct text){data, (size_t)length}, NULL);
    crowd->told_publishers = publishers;
    crowd->told_users = users;
    crowd->cool_at_ms = clock_mono_ms() + owner->conf->rooms.presence_gap_ms;
    list_append(&owner->cooling, &crowd->cooling);
}

static void gap_timer_set(struct embedded *owner)
{
    if (list_empty(&owner->cooling) || ev_is_active(&owner->gap_over))
        return;
    int64_t wait_ms = list_entry(owner->cooling.next, struct crowd, cooling)->cool_at_ms;
    wait_ms -= clock_mono_ms();
    struct ev_loop *ev = loop_ev(owner->loop);
    ev_now_update(ev); /* the turn may have been long */
    ev_timer_set(&owner->gap_over, wait_ms > 0 ? (double)wait_ms / 1000 : 0, 0);
    ev_timer_start(ev, &owner->gap_over);
}

static void on_gap_over(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct embedded *owner = timer->data;
    int64_t now_ms = clock_mono_ms();
    struct crowd *crowd, *after;
    list_for_each_safe (crowd, after, &owner->cooling, cooling) {
        if (crowd->cool_at_ms > now_ms)
            break; /* one gap for all, so the others are later */
        list_remove(&crowd->cooling);
        if (crowd->number_is_news)
            number_tell(owner, crowd);
    }
    gap_timer_set(owner);
}

static void number_changed(struct embedded *owner, struct crowd *crowd)
{
    crowd->number_is_news = true;
    if (!list_empty(&crowd->cooling))
        return; /* told when its gap is over */
    number_tell(owner, crowd);
    gap_timer_set(owner);
}

static struct crowd *crowd_create(struct home_room *room)
{
    struct crowd *crowd = xcalloc(1, sizeof *crowd);
    crowd->room = room;
    crowd->told_publishers = UINT64_MAX;
    list_init(&crowd->cooling);
    return crowd;
}

enum telling { TELL_NOTHING, TELL_WHO, TELL_NUMBER };

/* What to tell of a change to so many members. */
static enum telling telling(const struct embedded *owner, struct home_room *room, uint64_t members)
{
    uint64_t few = (uint64_t)owner->conf->rooms.presence_events;
    if (!few)
        return TELL_NOTHING;
    if (!room->crowd && members > few)
        room->crowd = crowd_create(room);
    struct crowd *crowd = room->crowd;
    if (!crowd)
        return TELL_WHO;
    bool was_crowded = crowd->is_crowded;
    if (members > few)
        crowd->is_crowded = true;
    else if (members <= few - few / 4)
        crowd->is_crowded = false;
    if (was_crowded || crowd->is_crowded)
        return TELL_NUMBER;
    crowd->told_publishers = UINT64_MAX; /* who adds up has another number now */
    return TELL_WHO;
}

/* ---- join ---- */

struct join {
    struct errand errand;
    char member[37];
    struct ban *ban;
    broker_joined *done;
    void *arg;
    struct text user;
    struct identity who;
    char storage[];
};

static void join_home(struct letter *letter)
{
    struct join *join = (struct join *)letter;
    const struct ban *ban = join->ban;
    join->done(join->arg, join->errand.status, ban ? ban_ttl(ban, clock_wall_ms()) : 0,
               ban ? ban->reason : (struct text){0});
    ban_unref(join->ban);
    errand_free(&join->errand);
}

static void join_failed(struct letter *letter)
{
    struct join *join = (struct join *)letter;
    errand_go_home(&join->errand, join->errand.status, join_home);
}

static void member_enters(struct embedded *owner, struct home_room *room, const struct join *join)
{
    if (!room->members)
        room->members = members_create();
    const struct member *member =
        members_add(room->members, join->member, join->user, join->who.sub, join->who.name);
    switch (telling(owner, room, members_count(room->members))) {
    case TELL_WHO:
        announce(owner, room, "join", (struct text){0}, member);
        break;
    case TELL_NUMBER:
        number_changed(owner, room->crowd);
        break;
    case TELL_NOTHING:
        break;
    }
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
    struct ban *ban = bans_find(&errand->owner->bans, errand->room, &join->who, clock_wall_ms());
    if (ban)
        join->ban = ban_ref(ban);
    else
        member_enters(errand->owner, room, join);
    errand_go_home(errand, BROKER_OK, join_home);
}

void embedded_join(struct broker *broker, struct name *name, const char member[37],
                   struct text user, const struct identity *who, broker_joined *done, void *arg)
{
    const struct text from[] = {user, who->sub, who->name};
    size_t size = user.length + who->sub.length + who->name.length;
    struct join *join = errand_create(broker, name, sizeof *join + size);
    struct text *const to[] = {&join->user, &join->who.sub, &join->who.name};
    char *at = join->storage;
    for (int i = 0; i < 3; i++) {
        *to[i] = (struct text){at, from[i].length};
        if (from[i].length)
            memcpy(at, from[i].at, from[i].length);
        at += from[i].length;
    }
    join->who.address = who->address;
    memcpy(join->member, member, sizeof join->member);
    join->done = done;
    join->arg = arg;
    errand_go(&join->errand, join->errand.owner->loop, join_at_owner);
}

/* ---- leave ---- */

struct leave {
    struct errand errand;
    char member[37];
};

static void leave_failed(struct letter *letter)
{
    errand_free((struct errand *)letter);
}

static void member_leaves(struct embedded *owner, struct home_room *room, struct member *member)
{
    enum telling what = telling(owner, room, members_count(room->members) - 1);
    if (what == TELL_WHO)
        announce(owner, room, "leave", (struct text){0}, member);
    members_remove(room->members, member);
    if (!members_count(room->members)) {
        members_destroy(room->members);
        room->members = NULL;
    }
    if (what == TELL_NUMBER)
        number_changed(owner, room->crowd);
    room->used_ms = clock_mono_ms();
}

static void leave_at_owner(struct letter *letter)
{
    struct leave *leave = (struct leave *)letter;
    struct home_room *room = home_room_find(leave->errand.owner, leave->errand.room);
    leave->errand.back = leave_failed;
    if (room && room->loading) { /* behind its join, which waits too */
        errand_await(room, &leave->errand);
        return;
    }
    struct member *member = room ? members_find(room->members, leave->member) : NULL;
    if (member)
        member_leaves(leave->errand.owner, room, member);
    errand_free(&leave->errand);
}

void embedded_leave(struct broker *broker, struct name *name, const char member[37])
{
    struct leave *leave = errand_create(broker, name, sizeof *leave);
    memcpy(leave->member, member, sizeof leave->member);
    errand_go(&leave->errand, leave->errand.owner->loop, leave_at_owner);
}

/* ---- life ---- */

void presence_init(struct embedded *owner)
{
    list_init(&owner->cooling);
    ev_timer_init(&owner->gap_over, on_gap_over, 0, 0);
    owner->gap_over.data = owner;
}

void presence_finish(struct embedded *owner)
{
    ev_timer_stop(loop_ev(owner->loop), &owner->gap_over);
}
