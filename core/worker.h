/* worker.h: a whole server, built of its parts: `chatup serve`. Main thread. */
#pragma once
#include "error.h"
#include <stdbool.h>
#include <stddef.h>

struct config;
struct settings;

/* The sockets that a worker accepts from, one per loop. They are made before it, so that a
 * supervisor can keep them while one worker dies and the next one starts: who connects meanwhile
 * waits, and is not refused. */
struct listening {
    int *fds; /* -1: given away */
    size_t count;
    int port; /* as it is, also if the configuration says 0 */
};

/* A port that is in use is waited for a moment: its owner may be about to die.
 *   returns  false with err; out is as it was */
bool listening_open(const struct config *conf, struct listening *out, struct error *err);
void listening_close(struct listening *listening);

/* Run until SIGTERM or SIGINT. SIGHUP loads the settings again.
 *   settings   taken
 *   listening  as many sockets as settings has threads; they are taken, also if this fails
 *   ready      called once it serves, or NULL
 *   returns    0; 1 with err if it could not start */
int worker_serve(struct settings *settings, struct listening *listening, void (*ready)(void *arg),
                 void *arg, struct error *err);
