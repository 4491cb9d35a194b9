/* store.h: what outlives the process: rooms, messages, answers to client ids, bans. Home of
 * sqlite3 (one file, WAL, synchronous FULL). Every call on one thread: the store's.
 *
 * Writes happen between begin and commit. After a failed call in between, roll back. */
#pragma once
#include "bans.h"
#include "error.h"
#include "keyed.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message;
struct name;
struct store;

struct store_limits {
    uint32_t history_size;
    uint64_t history_bytes; /* 0: any */
    int64_t history_expire_ms;
    int64_t dedupe_ms;
    uint32_t dedupe_entries; /* per room */
};

/* Open or make <dir>/chatup.db, and bring it to this version's schema, in one transaction. Refuses
 * a directory that another process has open, a file of a newer version, a corrupt one. A backup, or
 * a copy of the file, begins a new epoch.
 *   dir      made if it is not there (one level), mode 0700
 *   returns  NULL with err */
struct store *store_open(const char *dir, const struct store_limits *limits, struct error *err);
void store_close(struct store *store);
void store_set_limits(struct store *store, const struct store_limits *limits);
/* The store's identity: offsets count within it. */
const char *store_epoch(const struct store *store);

/* Whether the file can be trusted: it is not known to be corrupt, and still in its place. */
bool store_check(const struct store *store, struct error *err);
/* If it is known to be corrupt, read all of it to see whether it still is, which takes its time. */
bool store_recheck(struct store *store, struct error *err);
/* Checks it first. */
bool store_begin(struct store *store, struct error *err);
/* Until a commit that failed is rolled back, it is not sure to be gone. */
bool store_commit(struct store *store, struct error *err);
void store_rollback(struct store *store);

/* Append the message, which has its offset, and what was answered to its client id (absent: none).
 */
bool store_append(struct store *store, const struct message *message, struct text client_id,
                  struct error *err);
/* Forget what the room said up to there. */
bool store_trim(struct store *store, const struct name *room, uint64_t up_to, struct error *err);
/* Write something, to see whether that is possible. */
bool store_probe(struct store *store, int64_t now_ms, struct error *err);
/* Keep a ban, in place of an earlier one for the same person and room; or forget that. */
bool store_ban(struct store *store, const struct ban *ban, struct error *err);
bool store_unban(struct store *store, const struct ban *ban, struct error *err);
/* Empty a message, or what that person said in the room (BAN_NAME or BAN_SUB), as in history.h. */
bool store_remove(struct store *store, const struct name *room, uint64_t offset, struct error *err);
bool store_remove_said(struct store *store, const struct name *room, enum ban_kind kind,
                       struct text who, struct error *err);

struct store_page { /* zero-initialised is before the first */
    int64_t cursor;
    bool more;           /* rooms behind it that were not looked at yet */
    struct name **rooms; /* references; may be none, also of a page that is not the last */
    size_t count;
};
/* The next rooms in which store_remove_said would empty something. Looks at so few of them that
 * others may write in between. A failed call leaves the page as it was. */
bool store_rooms_of(struct store *store, enum ban_kind kind, struct text who,
                    struct store_page *page, struct error *err);
void store_page_add(struct store_page *page, struct name *room);
void store_page_finish(struct store_page *page); /* drops the rooms; the cursor stays */
/* Remember a key until expires_ms (broker_once), or not any longer. */
bool store_once(struct store *store, const struct name *key, int64_t expires_ms, struct error *err);
bool store_once_forget(struct store *store, const struct name *key, struct error *err);
/* A change of what plugins keep. */
bool store_keep(struct store *store, enum keyed_change change, const struct keyed_row *row,
                struct error *err);
/* Forget some of what is older than the limits say: a slice, so that publishing does not wait long.
 * more: it is not all; call it again, but for the next round. Not between begin and commit. */
bool store_purge(struct store *store, int64_t now_ms, bool *more_out, struct error *err);

struct store_answer {
    char *client_id;
    size_t length;
    uint64_t offset;
    int64_t time_ms;
    char id[37];
};

struct store_room {
    uint64_t offset;           /* the last ever given; 0: a room never heard of */
    struct message **messages; /* oldest first, tombstones among them */
    size_t message_count;
    struct store_answer *answers; /* oldest first */
    size_t answer_count;
};

bool store_load(struct store *store, struct name *room, int64_t now_ms, struct store_room *out,
                struct error *err);
void store_room_finish(struct store_room *room); /* drops what is still in it */
bool store_each_ban(struct store *store, int64_t now_ms,
                    void (*each)(void *arg, const struct ban *ban), void *arg, struct error *err);
bool store_each_once(struct store *store,
                     void (*each)(void *arg, struct name *key, int64_t expires_ms), void *arg,
                     struct error *err);

/* All rows that plugins keep and that have not expired; lent. */
bool store_each_kept(struct store *store, int64_t now_ms,
                     void (*visit)(void *arg, const struct keyed_row *row), void *arg,
                     struct error *err);

/* ---- backup: a copy of all that is committed when it ends, while writing goes on ---- */

struct store_backup;
enum store_backup_step { STORE_BACKUP_MORE, STORE_BACKUP_DONE, STORE_BACKUP_FAILED };

/* Begin at <path>.part.
 *   path     absolute; nothing is there
 *   returns  NULL with err */
struct store_backup *store_backup_open(struct store *store, const char *path, struct error *err);
/* Copy some more; not between begin and commit. DONE: path is there, on disk. */
enum store_backup_step store_backup_step(struct store_backup *backup, struct error *err);
/* Of one that is not done, nothing stays. */
void store_backup_close(struct store_backup *backup);
