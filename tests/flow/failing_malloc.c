/* Preloaded into a server: while the file named by FAILING_MALLOC exists, there is no memory for
 * anything larger than 64 KiB. glibc's own allocator does the rest. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { LARGEST = 64 * 1024 };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

static int fails(size_t size)
{
    const char *path = size > LARGEST ? getenv("FAILING_MALLOC") : NULL;
    if (!path || access(path, F_OK) != 0)
        return 0;
    errno = ENOMEM;
    return 1;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return fails(size) ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return size && fails(count * size) ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
    return fails(size) ? NULL : __libc_realloc(p, size);
}
