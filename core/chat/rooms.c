#include "rooms.h"
#include "alloc.h"
#include "clock.h"
#include "frame.h"
#include "loop.h"
#include "message.h"
#include "subscriber.h"

#include <assert.h>
#include <ev.h>

struct rooms {
    struct table table;
    struct rooms_up up;
    struct loop *loop;
    struct turn_end at_turn_end;
    int64_t gap_ms;
    struct list due;     /* flush at the end of this turn */
    struct list waiting; /* have something to send, but did so less than a gap ago */
    struct list changed; /* their member count is news */
    ev_timer gap_over;   /* of the first of those that wait, */
    int64_t gap_over_ms; /* then */
};

static bool room_is(const struct table_link *link, const void *name)
{
    return name_equal(list_entry(link, struct room, link)->name, name);
}

struct room *rooms_find(struct rooms *rooms, const struct name *name)
{
    struct table_link *link = table_find(&rooms->table, name->hash, room_is, name);
    return link ? list_entry(link, struct room, link) : NULL;
}

size_t rooms_count(const struct rooms *rooms)
{
    return rooms->table.count;
}

/* ---- when ---- */

static void gap_timer_start(struct rooms *rooms, int64_t over_ms, int64_t now_ms)
{
    struct ev_loop *ev = loop_ev(rooms->loop);
    ev_now_update(ev); /* the turn may have been long */
    ev_timer_stop(ev, &rooms->gap_over);
    ev_timer_set(&rooms->gap_over, over_ms > now_ms ? (double)(over_ms - now_ms) / 1000 : 0, 0);
    ev_timer_start(ev, &rooms->gap_over);
    rooms->gap_over_ms = over_ms;
}

static void room_flush(struct rooms *rooms, struct room *room, int64_t now_ms)
{
    list_remove(&room->due);
    struct room_batch *batch = room->batch;
    if (!batch)
        return;
    struct frame *frame = rooms->up.encode(rooms->up.arg, room, batch->messages, batch->count);
    room_batch_drop(room);
    if (frame)
        room_fan_out(room, frame);
    frame_unref(frame);
    room->quiet_ms = now_ms + rooms->gap_ms;
}

/* Rooms that flushed less than a gap ago wait only if they have something to send: a room that says
 * something now and then costs no timer. All of those are looked at, each some times at most: the
 * clock counts milliseconds, and a gap has few. */
static void on_gap_over(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct rooms *rooms = timer->data;
    int64_t now_ms = clock_mono_ms(), next_ms = INT64_MAX;
    struct room *room, *after;
    list_for_each_safe (room, after, &rooms->waiting, due) {
        if (room->quiet_ms <= now_ms) {
            list_remove(&room->due);
            list_append(&rooms->due, &room->due);
        } else if (room->quiet_ms < next_ms) {
            next_ms = room->quiet_ms;
        }
    }
    if (!list_empty(&rooms->waiting))
        gap_timer_start(rooms, next_ms, now_ms);
}

static void on_turn_end(void *arg)
{
    struct rooms *rooms = arg;
    if (!list_empty(&rooms->due)) {
        int64_t now_ms = clock_mono_ms();
        while (!list_empty(&rooms->due))
            room_flush(rooms, list_entry(rooms->due.next, struct room, due), now_ms);
    }
    while (!list_empty(&rooms->changed)) {
        struct room *room = list_entry(rooms->changed.next, struct room, changed);
        list_remove(&room->changed);
        if (room->member_count || !room->awaited) /* 0 means that nobody listens: not yet so */
            rooms->up.count_changed(rooms->up.arg, room, room->member_count);
    }
}

void rooms_add(struct rooms *rooms, struct message *message)
{
    struct room *room = rooms_find(rooms, message->room);
    if (!room || !room->member_count || !room_add(room, message))
        return;
    if (!list_empty(&room->due))
        return; /* or waiting */
    int64_t now_ms = rooms->gap_ms ? clock_mono_ms() : 0;
    if (!rooms->gap_ms || room->quiet_ms <= now_ms) {
        list_append(&rooms->due, &room->due);
        return;
    }
    if (room->quiet_ms > now_ms + rooms->gap_ms) /* the gap was longer then */
        room->quiet_ms = now_ms + rooms->gap_ms;
    list_append(&rooms->waiting, &room->due);
    if (!ev_is_active(&rooms->gap_over) || room->quiet_ms < rooms->gap_over_ms)
        gap_timer_start(rooms, room->quiet_ms, now_ms);
}

/* ---- who ---- */

static void room_count_changed(struct rooms *rooms, struct room *room)
{
    if (list_empty(&room->changed))
        list_append(&rooms->changed, &room->changed);
}

static void room_release(struct rooms *rooms, struct room *room)
{
    if (room->member_count || room->awaited)
        return;
    rooms->up.count_changed(rooms->up.arg, room, 0);
    table_remove(&rooms->table, &room->link);
    room_finish(room);
    free(room);
}

struct membership *rooms_await(struct rooms *rooms, struct name *name, struct subscriber *sub)
{
    struct room *room = rooms_find(rooms, name);
    if (!room) {
        room = xmalloc(sizeof *room);
        room_init(room, name);
        table_add(&rooms->table, &room->link, name->hash);
    }
    room->awaited++;
    struct membership *member = xmalloc(sizeof *member);
    member->room = room;
    member->sub = sub;
    list_init(&member->in_room);
    list_append(&sub->memberships, &member->in_subscriber);
    return member;
}

bool rooms_admit(struct rooms *rooms, struct membership *member, uint64_t offset,
                 struct frame *first)
{
    struct room *room = member->room;
    if (!member->sub || member->sub->state != SUBSCRIBER_OPEN) {
        rooms_refuse(rooms, member);
        return false;
    }
    if (room->batch)
        room_flush(rooms, room, clock_mono_ms());
    room->offset = offset;
    room->awaited--;
    room->member_count++;
    list_append(&room->members, &member->in_room);
    room_count_changed(rooms, room);
    if (!first)
        subscriber_close(member->sub, CLOSE_UNAVAILABLE);
    else if (subscriber_send(member->sub, first) == QUEUE_FULL)
        subscriber_close(member->sub, CLOSE_TOO_SLOW);
    if (member->sub->state == SUBSCRIBER_OPEN)
        member->sub->socket->admitted(member->sub);
    return true;
}

void rooms_refuse(struct rooms *rooms, struct membership *member)
{
    list_remove(&member->in_subscriber);
    member->room->awaited--;
    room_release(rooms, member->room);
    free(member);
}

void rooms_leave_all(struct rooms *rooms, struct subscriber *sub)
{
    struct membership *member, *after;
    list_for_each_safe (member, after, &sub->memberships, in_subscriber) {
        struct room *room = member->room;
        list_remove(&member->in_subscriber);
        if (list_empty(&member->in_room)) { /* under way: the answer will find nobody */
            member->sub = NULL;
            continue;
        }
        list_remove(&member->in_room);
        free(member);
        room->member_count--;
        room_count_changed(rooms, room);
        room_release(rooms, room);
    }
}

/* ---- life ---- */

struct rooms *rooms_create(struct loop *loop, const struct rooms_up *up, int64_t flush_gap_ms)
{
    struct rooms *rooms = xcalloc(1, sizeof *rooms);
    rooms->loop = loop;
    rooms->up = *up;
    rooms->gap_ms = flush_gap_ms;
    list_init(&rooms->due);
    list_init(&rooms->waiting);
    list_init(&rooms->changed);
    ev_timer_init(&rooms->gap_over, on_gap_over, 0, 0);
    rooms->gap_over.data = rooms;
    rooms->at_turn_end = (struct turn_end){.run = on_turn_end, .arg = rooms};
    loop_on_turn_end(loop, &rooms->at_turn_end);
    return rooms;
}

void rooms_set_flush_gap(struct rooms *rooms, int64_t flush_gap_ms)
{
    int64_t now_ms = clock_mono_ms();
    struct room *room;
    rooms->gap_ms = flush_gap_ms;
    list_for_each (room, &rooms->waiting, due) /* nobody waits longer than who comes now */
        if (room->quiet_ms > now_ms + flush_gap_ms)
            room->quiet_ms = now_ms + flush_gap_ms;
    if (!list_empty(&rooms->waiting))
        gap_timer_start(rooms, now_ms, now_ms);
}

void rooms_destroy(struct rooms *rooms)
{
    if (!rooms)
        return;
    assert(!rooms->table.count);
    table_finish(&rooms->table);
    ev_timer_stop(loop_ev(rooms->loop), &rooms->gap_over);
    free(rooms);
}
