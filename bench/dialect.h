/* dialect.h: how each server is spoken to. All of it is data, but for the first words. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum role { READER, PUBLISHER };

struct dialect {
    const char *name;
    const char *target[2];       /* by role; %s is the room */
    const char *say[2];          /* what a publisher puts before and behind its text */
    unsigned frames_to_ready[2]; /* by role: so many frames of the server, then it listens */
    bool acknowledges;           /* each say is answered by one frame */
    bool posts;                  /* publishers use HTTP instead of a websocket */
    const char *greeting;        /* what a client answers to the first frame */
    const char *ping, *pong;     /* frames that are no messages, and the answer to them */
};

/* NULL if there is none of that name. */
const struct dialect *dialect_find(const char *name);
