#include "demo.h"
#include "config.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* 32 random bytes in hexadecimal, for HS256 (RFC 7518, section 3.2). */
static bool key_make(const char *path, struct error *err)
{
    uint8_t random[32];
    char hex[2 * sizeof random + 1];
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        error_set(err, "demo: no random bytes: %s", strerror(errno));
        return false;
    }
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return true; /* of an earlier start */
    bool ok = fd >= 0 && write(fd, hex, sizeof hex - 1) == sizeof hex - 1 && !fsync(fd);
    if (!ok)
        error_set(err, "demo: cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_directories(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0700) && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return !mkdir(part, 0700) || errno == EEXIST;
}

bool demo_prepare(struct config *conf, struct error *err)
{
    char path[PATH_MAX], options[PATH_MAX + 32];
    if (!config_is_loopback(conf)) {
        error_set(err,
                  "demo: gives a token to anybody, so it runs on a loopback address only, not "
                  "on listen.address %s",
                  conf->address);
        return false;
    }
    if (!make_directories(conf->data_dir)) {
        error_set(err, "data_dir %s: cannot make it: %s", conf->data_dir, strerror(errno));
        return false;
    }
    snprintf(path, sizeof path, "%s/demo.key", conf->data_dir);
    snprintf(options, sizeof options, "{key_file: \"%s\"}", path);
    if (!key_make(path, err) || !config_add_plugin(conf, "demo", true, options, err))
        return false;
    /* Its page shows what moderators do; a configuration that has its own keeps it. */
    if (!config_has_plugin(conf, "blacklist") &&
        !config_add_plugin(conf, "blacklist", false, "", err))
        return false;
    config_add_key(conf, "HS256", path);
    log_warn("demo: anybody who opens the page gets a token, and may moderate");
    return true;
}
