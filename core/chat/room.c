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
    if (room->batch_count == room->batch_room) {
        uint32_t wider = room->batch_room ? room->batch_room * 2 : 4;
        struct message **batch = realloc(room->batch, wider * sizeof *batch);
        if (!batch) {
            room_batch_drop(room);
            room_fail(room);
            return false;
        }
        room->batch = batch;
        room->batch_room = wider;
    }
    room->batch[room->batch_count++] = message_ref(message);
    return true;
}

size_t room_fan_out(struct room *room, struct frame *frame)
{
    size_t taken = 0;
    struct membership *member;
    list_for_each (member, &room->members, in_room) {
        struct subscriber *sub = member->sub;
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
    for (uint32_t i = 0; i < room->batch_count; i++)
        message_unref(room->batch[i]);
    free(room->batch); /* a quiet room costs nothing */
    room->batch = NULL;
    room->batch_count = room->batch_room = 0;
}
