/* room.h: who listens to a room on this loop, what is due to them, and how it reaches them.
 *
 * A room lives while somebody is a member or about to be; the table in rooms.h owns it.
 * Its loop only. */
#pragma once
#include "list.h"
#include "name.h"
#include "table.h"

struct frame;
struct message;
struct subscriber;

struct room_batch {
    uint32_t count, room;
    struct message *messages[]; /* references */
};

struct room {               /* each word counts: there are many that nothing happens in */
    struct table_link link; /* rooms.h */
    struct name *name;
    struct list members; /* struct membership by in_room: those that get what the room gets */
    uint32_t member_count;
    uint32_t awaited;         /* subscriptions still under way: they keep the room too */
    uint64_t offset;          /* members have been told everything up to here, once batch is sent */
    struct room_batch *batch; /* what the room got since its last frame; NULL: nothing */
    struct list due;  /* rooms.h: to be flushed at the end of the turn, or when it is quiet */
    int64_t quiet_ms; /* monotonic: a gap after its last frame */
    struct list changed;
};

struct membership { /* a subscriber in a room */
    struct list in_room, in_subscriber;
    struct room *room;
    struct subscriber *sub; /* NULL: left while the subscription was under way */
};

void room_init(struct room *room, struct name *name);
void room_finish(struct room *room);

/* Take a message that is to be sent; refs it. An offset that was told already is ignored.
 *   returns  whether it was taken */
bool room_add(struct room *room, struct message *message);
/* Send frame to every open subscriber: one system call each; what a socket does not take, its
 * queue keeps. Closed subscribers are freed after the turn: pointers held by the caller stay valid.
 *   frame    borrowed
 *   returns  how many took it; a full queue closes its subscriber */
size_t room_fan_out(struct room *room, struct frame *frame);
/* There was no memory for what it has to send: its readers are closed, come back, and get it. */
void room_fail(struct room *room);
void room_batch_drop(struct room *room);
