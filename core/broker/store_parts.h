/* store_parts.h: what the files store*.c share, and nobody else sees. */
#pragma once
#include "store.h"
#include "store_file.h"

struct sqlite3;

/* ---- store.c ---- */

struct sqlite3 *store_database(struct store *store);
bool store_is_corrupt(const struct store *store);
/* Say what SQLite says, and what the system said to it; note if that is that the file is corrupt.
 *   returns  false */
bool store_failed(struct store *store, struct error *err);
/* Statements that give no rows, and need none. */
bool store_execute(struct store *store, const char *sql);

/* ---- store_schema.c ---- */

/* The value of a key, "" if there is none.
 *   returns  false with err if the file could not be read */
bool store_read_meta(struct store *store, const char *key, char *out, size_t size,
                     struct error *err);
/* Before anything is written to the file.
 *   returns  false with err if this version does not know that one */
bool store_read_version(struct store *store, const struct store_file *file, long *version_out,
                        struct error *err);
/* The file becomes what this version wants, in one transaction: it is whole, or as it was. A backup
 * or a copy begins a new epoch. */
bool store_make_schema(struct store *store, const struct store_file *file, long version,
                       struct error *err);
