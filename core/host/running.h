/* running.h: which plugin runs on this thread, so that a crash can be laid at the right door. */
#pragma once
#include <stddef.h>

/* what: "message_in", "create" …; both outlive the call. plugin NULL: none runs any more. */
void running_set(const char *plugin, const char *what);
/* "plugin <name>, <what>"; "" if none. Async-signal-safe. */
void running_describe(char *out, size_t size);
/* From now on a crash of this process says, on standard error, in which plugin it happened. */
void running_watch_crashes(void);
/* The same of a process that only tries plugins: it also says so if one of them ends the process,
 * or does not return within seconds, which ends it too. */
void running_watch_trial(unsigned seconds);
