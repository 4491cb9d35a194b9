/* template.h: texts with names in braces: "{user.name} in {room.name}". Read-only once parsed: all
 * loops may share one. */
#pragma once
#include <chatup/plugin.h>

#include <stdbool.h>

enum template_name {
    TEMPLATE_ROOM_NAME,
    TEMPLATE_USER_NAME,
    TEMPLATE_USER_SUB,
    TEMPLATE_MSG,
    TEMPLATE_NAMES
};

struct template;

/* Parse text; "{{" stands for one brace. The text is borrowed for as long as the template lives.
 *   why      what is wrong with it, where NULL is returned; empty: out of memory */
struct template *template_parse(struct chatup_text text, char *why, size_t size);
void template_destroy(struct template *template);

/* The text with values in place of names.
 *   values   by enum template_name; absent ones count as empty
 *   escape   write & < > of the values so that Slack takes them as text: "<!channel>" of a user
 *            would else call everybody. What the template itself says stays as it is
 *   returns  to be freed; at is NULL out of memory */
struct chatup_text template_expand(const struct template *template,
                                   const struct chatup_text values[TEMPLATE_NAMES], bool escape);
