/* json.h: JSON from outside: jansson, after a look at how deep it nests. Any thread. */
#pragma once
#include "text.h"

struct json_t;

/* An object or array that nests at most depth levels; a name given twice counts once, the last.
 *   returns  new reference; NULL if it is none */
struct json_t *json_read(struct text text, size_t depth);
