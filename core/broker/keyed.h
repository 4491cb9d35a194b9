/* keyed.h: what plugins keep, in memory: keys in groups, of the types of chatup/store.h, and its
 * batches. Pure: no loop, no disk, and the time is an argument. Not shared.
 *
 * A batch can be taken back, for a home that has to see it on disk first; and it says what of it is
 * to be written, row by row. */
#pragma once
#include "text.h"

#include <chatup/store.h>
#include <stdbool.h>
#include <stdint.h>

struct keyed;

enum keyed_type { KEYED_STRING = 1, KEYED_NUMBER, KEYED_SET, KEYED_WINDOW };

struct keyed_place {
    struct text space, group, key;
};

/* One row: a string, a number, a window (its times as int64_t), or a member of a set. */
struct keyed_row {
    struct keyed_place at;
    enum keyed_type type;
    struct text member; /* of a set */
    struct text value;
    int64_t number;
    int64_t expires_ms; /* Unix time; 0: never */
};

enum keyed_change {
    KEYED_PUT,    /* the row is this */
    KEYED_REMOVE, /* that member is gone */
    KEYED_DELETE, /* all rows of the key are */
    KEYED_EXPIRE  /* all rows of the key have this expires_ms */
};
typedef void keyed_changed(void *arg, enum keyed_change change, const struct keyed_row *row);

struct keyed *keyed_create(void);
void keyed_destroy(struct keyed *keyed);

struct keyed_outcome {             /* of one batch; keyed_outcome_finish */
    struct chatup_answer answer;   /* results are its own, and copies */
    struct chatup_result *results; /* count of them */
    uint32_t count;
    struct undo *undo; /* newest first */
    bool full;         /* it would have taken more than max_bytes: nothing happened */
};

/* Run a batch, whose ops are as chatup/store.h says.
 *   max_bytes  that space may have then
 *   changed    called for what is to be written; NULL: nobody wants to know */
void keyed_run(struct keyed *keyed, struct text space, struct text group,
               const struct chatup_op *ops, uint32_t count, int64_t now_ms, uint64_t max_bytes,
               keyed_changed *changed, void *arg, struct keyed_outcome *out);
/* As if it had not been; no other batch of the group was run since. */
void keyed_take_back(struct keyed *keyed, struct keyed_outcome *outcome);
void keyed_outcome_finish(struct keyed_outcome *outcome);

/* What is stored, at the start. */
void keyed_load(struct keyed *keyed, const struct keyed_row *row);
/* As of GET, or of MEMBERS where it is a set; lent until the next call. members_out is freed by the
 * caller. */
void keyed_look(struct keyed *keyed, const struct keyed_place *at, int64_t now_ms,
                struct chatup_result *result_out, struct chatup_text **members_out);
/* Forget what has expired, a part at a time as table_walk_on; gone is called for each. */
void keyed_expire(struct keyed *keyed, int64_t now_ms,
                  void (*gone)(void *arg, const struct keyed_place *at), void *arg);
uint64_t keyed_bytes(const struct keyed *keyed, struct text space);
