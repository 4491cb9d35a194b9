/* ask.h: what a route asks of the broker, and the one answer when that is known.
 *
 * A request is not to be touched once it may have been answered: after ask_look, after ask_close.
 */
#pragma once
#include "broker.h"
#include <stdbool.h>
#include <stdint.h>

struct name;
struct request;
struct speaker;

/* ---- one look at a room ---- */

/* Answers the request; only called for a view with BROKER_OK. */
typedef void ask_looked(struct request *request, const struct name *room,
                        const struct room_view *view);
/* broker_look, then answer(); when the broker refuses, 503 has been answered instead.
 *   room  the reference is taken
 * answer may also look again. */
void ask_look(struct request *request, struct name *room, const struct room_asked *asked,
              ask_looked *answer);

/* ---- many things at once ---- */

enum { ASK_ITEMS_MAX = 1000 }; /* of one request */

/* Counts what is still open. When nothing is, answers: 503 if something was not stored, 422 if a
 * plugin rejected something, else 200 "OK"; and frees itself. */
struct ask;
/*   counts  what the numbers of ask_moderated count, for {"status":"ok","<counts>":n} instead of
 *           "OK"; or NULL */
struct ask *ask_open(struct request *request, const char *counts);
/* Keeps the order of what one request publishes. */
struct speaker *ask_speaker(struct ask *ask);
void ask_add(struct ask *ask); /* before each thing is asked for: its answer may come at once */
void ask_answered(struct ask *ask, enum broker_status status, bool rejected);
void ask_moderated(void *ask, enum broker_status status, uint64_t count); /* a broker_moderated */
void ask_close(struct ask *ask); /* all is asked for; not used by its opener any more */
