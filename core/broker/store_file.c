#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 150, LOCK_PAUSE_MS = 20 };

bool store_file_init(struct store_file *file, const char *dir, struct error *err)
{
    char path[STORE_PATH_MAX + 8];
    *file = (struct store_file){.lock = -1};
    snprintf(file->path, sizeof file->path, "%s/chatup.db", dir);
    snprintf(file->log_path, sizeof file->log_path, "%s-wal", file->path);
    if (mkdir(dir, 0700) && errno != EEXIST) {
        error_set(err, "data_dir %s: cannot make it: %s", dir, strerror(errno));
        return false;
    }
    snprintf(path, sizeof path, "%s/lock", dir);
    file->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->lock < 0) {
        error_set(err, "data_dir %s: cannot write there: %s", dir, strerror(errno));
        return false;
    }
    int tries = 0; /* its owner may be about to die: the kernel takes a moment for that */
    while (flock(file->lock, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK && tries++ < LOCK_TRIES) {
            nanosleep(&(struct timespec){0, LOCK_PAUSE_MS * 1000000L}, NULL);
            continue;
        }
        error_set(err,
                  "data_dir %s: another chatup is using it; stop that one or choose another "
                  "directory",
                  dir);
        return false;
    }
    return true;
}

void store_file_finish(struct store_file *file)
{
    if (file->lock >= 0)
        close(file->lock);
    file->lock = -1;
}

/* A file that has ever had such a log says so in its header; a backup does not. */
bool store_file_check_log(const struct store_file *file, struct error *err)
{
    enum { HEADER = 20, WRITE_VERSION = 18, WITH_LOG = 2 };
    unsigned char header[HEADER];
    int fd = access(file->log_path, F_OK) ? -1 : open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true; /* no log; or no file, which is said when it is opened */
    bool whole = read(fd, header, sizeof header) == sizeof header;
    close(fd);
    if (!whole || header[WRITE_VERSION] >= WITH_LOG)
        return true;
    error_set(err,
              "store: %s is not of the file that is there now: it would be spoilt; move this log "
              "away, then start again",
              file->log_path);
    return false;
}

static bool file_stat(const char *path, struct stat *stat_out, struct error *err)
{
    if (!stat(path, stat_out))
        return true;
    error_set(err,
              "store: %s: %s, while it is in use: put it back as it was; or make a backup, which "
              "still has everything, and start chatup with that",
              path, strerror(errno));
    return false;
}

bool store_file_remember(struct store_file *file, struct error *err)
{
    struct stat data, log;
    if (!file_stat(file->path, &data, err) || !file_stat(file->log_path, &log, err))
        return false;
    file->device = data.st_dev;
    file->inode = data.st_ino;
    file->log_inode = log.st_ino;
    return true;
}

bool store_file_check(const struct store_file *file, struct error *err)
{
    struct stat data, log;
    if (!file_stat(file->path, &data, err) || !file_stat(file->log_path, &log, err))
        return false;
    if (data.st_dev == file->device && data.st_ino == file->inode && log.st_ino == file->log_inode)
        return true;
    error_set(err, "store: %s was replaced while it is in use: restart chatup to use the new one",
              file->path);
    return false;
}
