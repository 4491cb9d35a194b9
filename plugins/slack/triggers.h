/* triggers.h: which messages are meant: those that contain one of a few texts, in whatever case.
 *
 * Letters are compared one by one, by their simple lower case (of Unicode, where the C library has
 * the locale C.UTF-8; else of ASCII): "#HELP" is "#help" and "ÄRGER" is "ärger", but "STRASSE" is
 * not "straße". Read-only once created: all loops may share one. */
#pragma once
#include <chatup/plugin.h>

#include <stdbool.h>

struct triggers;

/* Triggers are copied. NULL: out of memory. */
struct triggers *triggers_create(const struct chatup_value *items, uint32_t count);
void triggers_destroy(struct triggers *triggers);

/* Is one of them in text? Out of memory counts as no. */
bool triggers_match(const struct triggers *triggers, struct chatup_text text);
