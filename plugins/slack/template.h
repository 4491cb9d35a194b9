/* template.h: texts with {room.name}, {user.name}, {user.sub} and {msg} in them. Pure. */
#pragma once
#include <chatup/plugin.h>

enum template_field { FIELD_ROOM, FIELD_NAME, FIELD_SUB, FIELD_MSG, FIELD_COUNT };

/* NULL: the template is right; else what is wrong with it, into why. */
const char *template_check(struct chatup_text text, char *why, size_t size);
/* Of one that is right. Freed by the caller; NULL: no memory. */
char *template_fill(struct chatup_text text, const struct chatup_text fields[FIELD_COUNT],
                    size_t *length_out);
