/* tags.h: words that plugins mark an event or a user with, for those that are asked later. All of
 * one are a text: "staff vip"; NULL: none. Pure. */
#pragma once
#include "text.h"

enum { TAGS_MAX = 8, TAG_BYTES_MAX = 32 };

bool tags_have(const char *tags, struct text tag);
/* tags with tag, which is 1 to 32 letters, digits, -, _, . and :
 *   returns  freed by the caller; NULL: that is no tag, or one too many */
char *tags_with(const char *tags, struct text tag);
