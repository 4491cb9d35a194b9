/* disk.c: a disk that misbehaves on order, for chatup.db and what lies beside it. The file that
 * CHATUP_DISK names says how:
 *   slow      what is written or synced waits until the file says otherwise
 *   eio       writing fails, as of a broken disk;  enospc, erofs: of a full, of a read-only one
 *   eio-sync  writing goes well, syncing does not
 *   eio-read  reading fails
 * No file, or anything else: all is well. Linked into a test, or loaded before the server's
 * libraries (LD_PRELOAD). */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))
SEEN ssize_t pread64(int fd, void *bytes, size_t size, off_t at);
SEEN ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at);
SEEN int ftruncate64(int fd, off_t size);
SEEN int fdatasync(int fd);
SEEN int fsync(int fd);

enum act { READ, WRITE, SYNC };

static bool is_ours(int fd)
{
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = 0;
    return strstr(path, "/chatup.db");
}

static void order_read(char *order, size_t size)
{
    const char *path = getenv("CHATUP_DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t length = fd < 0 ? 0 : read(fd, order, size - 1);
    order[length < 0 ? 0 : length] = 0;
    if (fd >= 0)
        close(fd);
}

/* returns  the error that it ends with; 0: none */
static int fate(int fd, enum act act)
{
    static const struct {
        const char *order;
        bool fails[3]; /* by act */
        int error;
    } orders[] = {
        {"eio", {[WRITE] = true, [SYNC] = true}, EIO},
        {"enospc", {[WRITE] = true}, ENOSPC},
        {"erofs", {[WRITE] = true, [SYNC] = true}, EROFS},
        {"eio-sync", {[SYNC] = true}, EIO},
        {"eio-read", {[READ] = true}, EIO},
    };
    char order[32];
    order_read(order, sizeof order);
    if (!*order || !is_ours(fd))
        return 0;
    while (act != READ && !strcmp(order, "slow")) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        order_read(order, sizeof order);
    }
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (!strcmp(order, orders[i].order) && orders[i].fails[act])
            return orders[i].error;
    return 0;
}

#define OR_FAIL(fd, act, call)                                                                     \
    int error = fate(fd, act);                                                                     \
    if (!error)                                                                                    \
        return call;                                                                               \
    errno = error;                                                                                 \
    return -1

ssize_t pread64(int fd, void *bytes, size_t size, off_t at)
{
    OR_FAIL(fd, READ, syscall(SYS_pread64, fd, bytes, size, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at)
{
    OR_FAIL(fd, WRITE, syscall(SYS_pwrite64, fd, bytes, size, at));
}

int ftruncate64(int fd, off_t size)
{
    OR_FAIL(fd, WRITE, (int)syscall(SYS_ftruncate, fd, size));
}

int fdatasync(int fd)
{
    OR_FAIL(fd, SYNC, (int)syscall(SYS_fdatasync, fd));
}

int fsync(int fd)
{
    OR_FAIL(fd, SYNC, (int)syscall(SYS_fsync, fd));
}
