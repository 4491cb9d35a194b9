/* rooms.h: the rooms that have readers on this loop, and when each is due for a frame.
 *
 * A room that has been quiet for a gap is flushed at the end of the turn in which it got something;
 * a busy one at most once a gap. Its loop only; rooms live on the heap until their last member
 * has left. */
#pragma once
#include "room.h"

struct loop;
struct rooms;

struct rooms_up { /* what lies above */
    /* The frame for these messages of the room; NULL: nothing is left to be sent. Steps 8 and 9. */
    struct frame *(*encode)(void *arg, struct room *room, struct message *const *messages,
                            size_t count);
    /* The number of members changed, told once a turn; 0: the room is about to be freed. */
    void (*count_changed)(void *arg, struct room *room, uint32_t count);
    void *arg;
};

/* flush_gap_ms: 0 sends at the end of every turn. */
struct rooms *rooms_create(struct loop *loop, const struct rooms_up *up, int64_t flush_gap_ms);
/* Another gap, for the rooms that are waiting too. */
void rooms_set_flush_gap(struct rooms *rooms, int64_t flush_gap_ms);
/* No member is left by then. */
void rooms_destroy(struct rooms *rooms);

size_t rooms_count(const struct rooms *rooms);
struct room *rooms_find(struct rooms *rooms, const struct name *name);

/* A subscription in two steps. rooms_await: sub is about to join, the broker is asked; the room is
 * made if need be. rooms_admit: the broker has answered; what was due is flushed first, so that the
 * new member starts where everybody is, at offset; it gets what comes from now on. */
struct membership *rooms_await(struct rooms *rooms, struct name *name, struct subscriber *sub);
/* False if sub has left meanwhile: the membership is freed, as it is by rooms_refuse. */
bool rooms_admit(struct rooms *rooms, struct membership *member, uint64_t offset,
                 struct frame *first);
void rooms_refuse(struct rooms *rooms, struct membership *member);
/* sub's socket is gone. */
void rooms_leave_all(struct rooms *rooms, struct subscriber *sub);

/* A message for a room of this loop; none for others. */
void rooms_add(struct rooms *rooms, struct message *message);
