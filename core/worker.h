/* worker.h: a whole server, built of its parts: `chatup serve`. Main thread. */
#pragma once
#include "error.h"

struct config;

/* Run until SIGTERM or SIGINT.
 *   returns  0; 1 with err if it could not start */
int worker_serve(struct config *conf, struct error *err);
