/* store.h: what outlives the process: rooms, messages, answers to client ids, bans. Home of
 * sqlite3 (one file, WAL, synchronous FULL). Every call on one thread: the store's.
 *
 * Writes happen between begin and commit. After a failed call in between, roll back. */
#pragma once
#include "error.h"
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ban;
struct message;
struct name;
struct store;

struct store_limits {
    uint32_t history_size;
    int64_t history_expire_ms;
    int64_t dedupe_ms;
    uint32_t dedupe_entries; /* per room */
};

/* Open or make <dir>/chatup.db. Refuses a directory that another process has open.
 *   dir      made if it is not there (one level), mode 0700
 *   returns  NULL with err */
struct store *store_open(const char *dir, const struct store_limits *limits, struct error *err);
void store_close(struct store *store);
void store_set_limits(struct store *store, const struct store_limits *limits);
/* The store's identity: offsets count within it. */
const char *store_epoch(const struct store *store);

bool store_begin(struct store *store, struct error *err);
bool store_commit(struct store *store, struct error *err);
void store_rollback(struct store *store);

/* Append the message, which has its offset, and what was answered to its client id (absent: none).
 */
bool store_append(struct store *store, const struct message *message, struct text client_id,
                  struct error *err);
/* Keep a ban and empty what the banned said in that room. */
bool store_ban(struct store *store, const struct ban *ban, struct error *err);
/* Remember a key until expires_ms (broker_once), or not any longer. */
bool store_once(struct store *store, const struct name *key, int64_t expires_ms, struct error *err);
bool store_once_forget(struct store *store, const struct name *key, struct error *err);
/* Forget what is older than the limits say. */
bool store_purge(struct store *store, int64_t now_ms, struct error *err);

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
