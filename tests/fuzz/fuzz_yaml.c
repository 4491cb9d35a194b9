/* chatup.yaml, and the rules in it. */
#include "access.h"
#include "config.h"
#include "fuzz.h"
#include "log.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct error err = {.text = ""};
    int fd = memfd_create("chatup.yaml", 0);
    log_set(LOG_ERROR, LOG_TEXT);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct config *conf = config_load(path, NULL, 0, &err);
    assert(conf || !strncmp(err.text, path, strlen(path))); /* it names the file */
    if (conf) {
        struct access *access = access_load(conf, &err);
        assert(access);
        assert(conf->threads >= 1 && conf->limits.connections >= 1);
        access_destroy(access);
    }
    config_destroy(conf);
    close(fd);
    return 0;
}
