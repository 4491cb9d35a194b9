/* home_room.h: a room at the loop that owns it (embedded.c): its numbers, history, answers and
 * members. Lives while it is in use; the store remembers it otherwise. Its owner's loop only. */
#pragma once
#include "answers.h"
#include "history.h"
#include "list.h"
#include "loop.h"
#include "members.h"
#include "name.h"
#include "position.h"
#include "table.h"

struct home_room { /* each word counts: there are many that nothing happens in */
    struct table_link link;
    struct name *name;
    struct loading *loading; /* from the store; NULL: it is ready */
    uint64_t trimmed;        /* the store was told to forget what is up to there */
    uint64_t offset;         /* the last given */
    uint64_t announced;      /* the last that is durable and was told */
    uint32_t in_flight;      /* letters at the store that will come back */
    uint32_t readers;        /* on all loops */
    struct history history;
    struct answers *answers; /* NULL: to no client id yet; home_room_answers makes it */
    struct members *members; /* NULL: nobody is there */
    struct crowd *crowd;     /* NULL: it never was crowded */
    int64_t used_ms;         /* monotonic */
    uint32_t loops[];        /* per loop: readers, and HOME_LISTENS while it wants events */
};

enum { HOME_LISTENS = 1u << 31 };

struct loading { /* embedded_wait.c */
    struct list of_owner;
    struct letter *waiting; /* oldest first */
};

struct crowd { /* embedded_presence.c */
    struct home_room *room;
    bool is_crowded; /* its number is told now and then, not who comes and goes */
    bool number_is_news;
    uint64_t told_publishers, told_users;
    struct list cooling; /* its number was told less than a gap ago */
    int64_t cool_at_ms;
};

struct home_room *home_room_create(struct name *name, size_t loop_count);
void home_room_destroy(struct home_room *room);
bool home_room_in_use(const struct home_room *room);
struct answers *home_room_answers(struct home_room *room);

/* What a reader that comes with since gets. *count_out new references in a new array. */
struct message **home_room_since(const struct home_room *room, const char *epoch,
                                 const struct position *since, bool *recovered_out,
                                 size_t *count_out);

/* The store forgets by count itself. What is gone for other reasons, up to which offset; 0 if that
 * is nothing new. */
uint64_t home_room_trim(struct home_room *room, uint64_t size);
