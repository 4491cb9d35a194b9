#include "server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

/* One more socket on the address. With share false it fails if anybody listens there already:
 * SO_REUSEPORT alone would let two servers split the clients without a word. */
static int socket_bound(const struct addrinfo *info, int port, bool share)
{
    struct sockaddr_storage address;
    int one = 1;
    memcpy(&address, info->ai_addr, info->ai_addrlen);
    if (info->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)port);
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (share)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, info->ai_addrlen) || listen(fd, BACKLOG)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, (struct sockaddr *)&address, &length))
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

bool listen_open(const char *address, int port, size_t count, int *fds_out, int *port_out,
                 struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *info = NULL;
    int failed = getaddrinfo(address, NULL, &hints, &info);
    if (failed) {
        error_set(err, "listen.address: %s: %s", address, gai_strerror(failed));
        return false;
    }
    size_t opened = 0;
    int probe = port ? socket_bound(info, port, false) : -1;
    if (probe >= 0 || !port) {
        if (probe >= 0)
            close(probe);
        for (; opened < count; opened++) {
            fds_out[opened] = socket_bound(info, port, true);
            if (fds_out[opened] < 0)
                break;
            port = port_of(fds_out[opened]);
        }
    }
    if (opened < count) {
        error_set(err, "listen: %s port %d: %s", address, port,
                  errno == EADDRINUSE ? "already in use; stop the other program or set listen.port"
                                      : strerror(errno));
        while (opened)
            close(fds_out[--opened]);
        freeaddrinfo(info);
        return false;
    }
    freeaddrinfo(info);
    *port_out = port;
    return true;
}
