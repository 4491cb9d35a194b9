/* access.h: who may do what in which channel. The only place that decides it.
 *
 * The first rule whose pattern matches the channel decides: those of the YAML (`channels`) in their
 * order, then three of our own: "user:*" and "private:*" are for tokens whose claim names them, and
 * "*" can be read by anyone, entered and spoken in with a token.
 *
 * Made once of a configuration, changed never: any thread. What a question costs grows with the
 * number of rules, and where a rule says `claim` with the token's patterns: ask when somebody comes
 * to a channel, not at each message. */
#pragma once
#include "error.h"
#include "right.h"
#include <stdbool.h>

struct access;
struct config;
struct name;
struct user;

/* Warns in the log where a rule opens names that would be private without it.
 *   conf     its rules are pointed into: it must live as long
 *   returns  destroyed by the caller; NULL with err if a pattern is wrong */
struct access *access_load(const struct config *conf, struct error *err);
void access_destroy(struct access *access);

enum access_verdict {
    ACCESS_GRANTED,
    ACCESS_TOKEN_NEEDED, /* a guest, where some token has the right: 403, too */
    ACCESS_FORBIDDEN,    /* 403 */
};

/* Never depends on whether the room exists.
 *   user   NULL: a guest
 *   right  one bit */
enum access_verdict access_ask(const struct access *access, const struct name *room,
                               const struct user *user, enum right right);
bool access_allows(const struct access *access, const struct name *room, const struct user *user,
                   enum right right);
/* Whether everybody who may read there may see what was said before, too. Where that depends on
 * what a token says for itself: no. */
bool access_readers_see_history(const struct access *access, const struct name *room);
