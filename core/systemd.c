#include "systemd.h"
#include "log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool systemd_runs_us(void)
{
    return variable("NOTIFY_SOCKET") || variable("INVOCATION_ID");
}

void systemd_notify(const char *state)
{
    const char *path = variable("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    if (!path)
        return;
    if ((*path != '/' && *path != '@') || length >= sizeof address.sun_path) {
        log_warn("NOTIFY_SOCKET: %s is no socket's address", path);
        return;
    }
    memcpy(address.sun_path, path, length);
    if (*path == '@') /* an abstract one */
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        log_warn("systemd was not told %s: %s", state, strerror(errno));
    if (fd >= 0)
        close(fd);
}
