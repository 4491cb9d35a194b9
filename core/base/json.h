/* json.h: JSON from outside: jansson, after a look at how deep it nests. Any thread. */
#pragma once
#include "text.h"
#include <stdbool.h>

struct json_t;

/* The text of a string, lent; absent of anything else, and of NULL. */
struct text json_text(const struct json_t *value);

/* Whether it nests at most depth levels; counted if not. For who wants jansson's reasons. */
bool json_is_shallow(struct text text, size_t depth);

/* An object or array that nests at most depth levels; a name given twice counts once, the last.
 *   returns  new reference; NULL if it is none */
struct json_t *json_read(struct text text, size_t depth);
