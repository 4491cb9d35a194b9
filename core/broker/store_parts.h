/* store_parts.h: what the files store*.c share, and nobody else sees. */
#pragma once
#include "store.h"
#include "store_file.h"

struct sqlite3;
struct sqlite3 *store_database(struct store *store);
bool store_is_corrupt(const struct store *store);
