/* supervisor.h: the small process that starts the worker process again when that dies. It keeps
 * the listening sockets, so that who connects meanwhile waits instead of being refused. Main
 * thread, the only one: it forks. */
#pragma once
#include "error.h"

struct settings;

/* Run until told to stop, or until the worker ends by itself with 0. Signals are passed on; the
 * worker dies with the supervisor.
 *   settings  taken
 *   returns   in the supervisor, the worker's exit code; in the worker process, that too, with err
 *             if it could not start. err stays empty where the other process has told already */
int supervisor_serve(struct settings *settings, struct error *err);
