#include "home_room.h"
#include "alloc.h"
#include "counters.h"

#include <assert.h>

struct home_room *home_room_create(struct name *name, size_t loop_count)
{
    struct home_room *room = xcalloc(1, sizeof *room + loop_count * sizeof *room->loops);
    room->name = name_ref(name);
    count_up(COUNT_rooms_now);
    return room;
}

void home_room_destroy(struct home_room *room)
{
    assert(!room->loading || !room->loading->waiting);
    if (room->loading)
        list_remove(&room->loading->of_owner);
    free(room->loading);
    history_finish(&room->history);
    answers_destroy(room->answers);
    members_destroy(room->members);
    if (room->crowd)
        list_remove(&room->crowd->cooling);
    free(room->crowd);
    name_unref(room->name);
    free(room);
    count_down(COUNT_rooms_now);
}

bool home_room_in_use(const struct home_room *room)
{
    return room->loading || room->in_flight || room->readers || members_count(room->members);
}

struct answers *home_room_answers(struct home_room *room)
{
    if (!room->answers)
        room->answers = answers_create();
    return room->answers;
}

struct message **home_room_since(const struct home_room *room, const char *epoch,
                                 const struct position *since, bool *recovered_out,
                                 size_t *count_out)
{
    *recovered_out = strcmp(since->epoch, epoch) == 0 &&
                     history_reaches(&room->history, since->offset, room->announced);
    return history_after(&room->history, *recovered_out ? since->offset : 0, count_out);
}

uint64_t home_room_trim(struct home_room *room, uint64_t size)
{
    uint64_t first = history_first(&room->history);
    uint64_t by_count = room->offset > size ? room->offset - size : 0;
    if (first <= by_count + 1 || first - 1 <= room->trimmed)
        return 0;
    return room->trimmed = first - 1;
}
