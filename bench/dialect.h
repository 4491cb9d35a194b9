/* dialect.h: how each server is spoken to. All of it is data, but for the first words. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* A holder keeps many rooms in being in which nothing happens, and reads them all. */
enum role { READER, PUBLISHER, HOLDER, N_ROLES };
enum { ROOMS_HELD = 100 }; /* by each; as many as limits.channels lets by default */

struct dialect {
    const char *name;
    const char *target[N_ROLES];       /* by role, or NULL; %s is the room */
    const char *say[2];                /* what a publisher puts before and behind its text */
    unsigned frames_to_ready[N_ROLES]; /* so many frames of the server, then it listens */
    bool acknowledges;                 /* each say is answered by one frame */
    bool posts;                        /* publishers use HTTP instead of a websocket */
    const char *greeting;              /* what a client answers to the first frame */
    const char *ping, *pong;           /* frames that are no messages, and the answer to them */
};

/* NULL if there is none of that name. */
const struct dialect *dialect_find(const char *name);
