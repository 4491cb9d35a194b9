#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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
    if (flock(file->lock, LOCK_EX | LOCK_NB)) {
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
