/* store_file.h: whether the database's files are still the ones that were opened. A file that was
 * deleted or replaced takes what is written to it without complaint, and the next start finds none
 * of it. The store's thread only. */
#pragma once
#include "error.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { STORE_PATH_MAX = 4096 };

struct store_file {
    char path[STORE_PATH_MAX], log_path[STORE_PATH_MAX + 4]; /* chatup.db, chatup.db-wal */
    ino_t inode, log_inode;
    dev_t device;
    int lock; /* an open descriptor: its lock goes with the process, however that ends */
};

/* Make the directory if need be, and lock it.
 *   returns  false with err; store_file_finish in any case */
bool store_file_init(struct store_file *file, const char *dir, struct error *err);
void store_file_finish(struct store_file *file);
/* Before it is opened: SQLite would play any log that lies there into any file.
 *   returns  false with err if the log is of another file */
bool store_file_check_log(const struct store_file *file, struct error *err);
/* Remember which files these are: both exist by now. */
bool store_file_remember(struct store_file *file, struct error *err);
/* returns  false with err if they are not there any more, or others are */
bool store_file_check(const struct store_file *file, struct error *err);
