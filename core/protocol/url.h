/* url.h: percent-encoding (RFC 3986, section 2.1). Pure. */
#pragma once
#include "text.h"
#include <stdbool.h>

struct buffer;

/* Append what text means. In a query a plus sign is a space, as forms encode it; in a path it is
 * itself.
 *   returns  false if a % is not followed by two digits, or stands for NUL */
bool url_decode(struct text text, bool in_query, struct buffer *out);
/* Whether path is that of name ("/ws"), or lies below it ("/ws/lobby"). */
bool path_is_at(struct text path, const char *name);
/* The arguments of a query, decoded, with NUL bytes between them: see route.h. */
bool url_decode_query(struct text query, struct buffer *out);
