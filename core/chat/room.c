#include "room.h"
#include "alloc.h"
#include "counters.h"
#include "frame.h"
#include "message.h"
#include "subscriber.h"

void room_init(struct room *room, struct name *name)
{
    *room = (struct room){.name = name_ref(name)};
    list_init(&room->members);
    list_init(&room->due);
    list_init(&room->changed);
}

void room_finish(struct room *room)
{
    room_batch_drop(room);
    list_remove(&room->due);
    list_remove(&room->changed);
    name_unref(room->name);
}

bool room_add(struct room *room, struct message *message)
{
    if (message->offset) {
        if (message->offset <= room->offset)
            return false;
        room->offset = message->offset;
    }
    struct room_batch *batch = room->batch;
    if (!batch || batch->count == batch->room) {
        uint32_t count = batch ? batch->count : 0, wider = batch ? batch->room * 2 : 3;
        batch = realloc(batch, sizeof *batch + wider * sizeof *batch->messages);
        if (!batch) {
            room_batch_drop(room);
            room_fail(room);
            return false;
        }
        batch->count = count;
        batch->room = wider;
        room->batch = batch;
    }
    batch->messages[batch->count++] = message_ref(message);
    return true;
}

/* Who comes next is fetched while this one's send is under way, which takes longer than that: its
 * subscriber, and what is in front of it, since a connection's socket is there. */
static void fetch_next(const struct room *room, const struct membership *member)
{
    enum { LINE = 64 };
    const struct list *next = member->in_room.next;
    if (next == &room->members)
        return;
    const char *sub = (const char *)list_entry(next, struct membership, in_room)->sub;
    __builtin_prefetch(sub);
    __builtin_prefetch(sub - LINE);
    __builtin_prefetch(sub - 2 * LINE);
    __builtin_prefetch(next->next);
}

size_t room_fan_out(struct room *room, struct frame *frame)
{
    size_t taken = 0;
    struct membership *member;
    list_for_each (member, &room->members, in_room) {
        struct subscriber *sub = member->sub;
        fetch_next(room, member);
        if (sub->state != SUBSCRIBER_OPEN)
            continue;
        /* One slow reader must cost the room nothing, so it leaves; its client reconnects. */
        if (subscriber_send(sub, frame) == QUEUE_FULL)
            subscriber_close(sub, CLOSE_TOO_SLOW);
        else
            taken++;
    }
    count_add(COUNT_deliveries, taken);
    return taken;
}

void room_fail(struct room *room)
{
    struct membership *member;
    list_for_each (member, &room->members, in_room)
        subscriber_close(member->sub, CLOSE_UNAVAILABLE);
}

void room_batch_drop(struct room *room)
{
    struct room_batch *batch = room->batch;
    for (uint32_t i = 0; batch && i < batch->count; i++)
        message_unref(batch->messages[i]);
    free(batch); /* a quiet room costs nothing */
    room->batch = NULL;
}
