/* trial.h: a configuration's plugins are loaded in a process of their own before a server takes
 * them: `chatup check --plugins`, which crashes, hangs or refuses in its place. */
#pragma once
#include "error.h"
#include <stdbool.h>

struct loop;
struct settings_source;
struct trial;

enum { TRIAL_S = 10 }; /* it is given up after so long */

/* err is NULL if all went well; else what went wrong, in one sentence. */
typedef void trial_done(void *arg, const struct error *err);

/* Start it; done is called once, later, on that loop, which is the caller's.
 *   returns  NULL with err if it cannot be started, and done is not called */
struct trial *trial_begin(struct loop *loop, const struct settings_source *source, trial_done *done,
                          void *arg, struct error *err);
/* After the loop has ended: done is not called any more. */
void trial_abandon(struct trial *trial);
