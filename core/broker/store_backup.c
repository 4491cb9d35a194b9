/* SQLite copies page by page; what is written meanwhile on the same connection goes into the copy
 * too, so it never has to begin anew. The copy is marked: who starts on it begins a new epoch. */
#include "alloc.h"
#include "store_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGES_PER_STEP = 128 };

struct store_backup {
    char path[STORE_PATH_MAX], part[STORE_PATH_MAX + 8];
    sqlite3 *db;
    sqlite3_backup *copy;
    int fd; /* of part; its content is brought to the disk piece by piece: at the end it is quick */
};

static bool system_failed(const char *path, struct error *err)
{
    error_set(err, "backup: %s: %s", path, strerror(errno));
    return false;
}

static bool database_failed(struct store_backup *backup, struct error *err)
{
    error_set(err, "backup: %s: %s", backup->path, sqlite3_errmsg(backup->db));
    return false;
}

static bool part_create(struct store_backup *backup, struct error *err)
{
    struct stat there;
    if (!lstat(backup->path, &there)) {
        error_set(err, "backup: %s is there already: choose another name", backup->path);
        return false;
    }
    unlink(backup->part); /* of one that a crash has ended */
    backup->fd = open(backup->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return backup->fd >= 0 || system_failed(backup->part, err);
}

static bool copy_begin(struct store_backup *backup, struct store *store, struct error *err)
{
    if (sqlite3_open_v2(backup->part, &backup->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                        NULL) ||
        sqlite3_exec(backup->db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", NULL, NULL,
                     NULL))
        return database_failed(backup, err);
    backup->copy = sqlite3_backup_init(backup->db, "main", store_database(store), "main");
    return backup->copy || database_failed(backup, err);
}

struct store_backup *store_backup_open(struct store *store, const char *path, struct error *err)
{
    if (*path != '/' || strlen(path) >= STORE_PATH_MAX) {
        error_set(err, "backup: %.200s: must be an absolute path", path);
        return NULL;
    }
    if (store_is_corrupt(store)) {
        error_set(err, "backup: the store is corrupt, a copy would be too");
        return NULL;
    }
    struct store_backup *backup = xcalloc(1, sizeof *backup);
    backup->fd = -1;
    strcpy(backup->path, path);
    snprintf(backup->part, sizeof backup->part, "%s.part", path);
    if (part_create(backup, err) && copy_begin(backup, store, err))
        return backup;
    store_backup_close(backup);
    return NULL;
}

static bool directory_sync(const char *path, struct error *err)
{
    char dir[STORE_PATH_MAX];
    strcpy(dir, path);
    strrchr(dir, '/')[1] = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && !fsync(fd);
    if (!ok)
        system_failed(dir, err);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* One file, marked, on disk, under its name. */
static bool copy_end(struct store_backup *backup, struct error *err)
{
    int rc = sqlite3_backup_finish(backup->copy);
    backup->copy = NULL;
    if (rc || sqlite3_exec(backup->db,
                           "PRAGMA journal_mode = DELETE;"
                           "INSERT OR REPLACE INTO meta VALUES('backup', '1');",
                           NULL, NULL, NULL))
        return database_failed(backup, err);
    sqlite3_close(backup->db);
    backup->db = NULL;
    if (fsync(backup->fd))
        return system_failed(backup->part, err);
    /* Unlike rename, link does not replace what has come to be there; not every system has it. */
    if (link(backup->part, backup->path)) {
        if (errno == EEXIST || rename(backup->part, backup->path))
            return system_failed(backup->path, err);
    } else {
        unlink(backup->part);
    }
    return directory_sync(backup->path, err);
}

enum store_backup_step store_backup_step(struct store_backup *backup, struct error *err)
{
    int rc = sqlite3_backup_step(backup->copy, PAGES_PER_STEP);
    if (rc == SQLITE_DONE)
        return copy_end(backup, err) ? STORE_BACKUP_DONE : STORE_BACKUP_FAILED;
    if (rc != SQLITE_OK && rc != SQLITE_BUSY) {
        error_set(err, "backup: %s: %s", backup->path, sqlite3_errstr(rc));
        return STORE_BACKUP_FAILED;
    }
    if (!fdatasync(backup->fd))
        return STORE_BACKUP_MORE;
    system_failed(backup->part, err);
    return STORE_BACKUP_FAILED;
}

void store_backup_close(struct store_backup *backup)
{
    if (!backup)
        return;
    if (backup->copy)
        sqlite3_backup_finish(backup->copy);
    sqlite3_close(backup->db);
    if (backup->fd >= 0) {
        unlink(backup->part);
        close(backup->fd);
    }
    free(backup);
}
