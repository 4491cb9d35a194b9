/* systemd.h: what systemd wants to hear of a service, without its library. Any thread. */
#pragma once
#include <stdbool.h>

/* Whether systemd started this process, and so restarts it when it dies. */
bool systemd_runs_us(void);
/* "READY=1": to $NOTIFY_SOCKET, if there is one. */
void systemd_notify(const char *state);
