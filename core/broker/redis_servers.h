/* redis_servers.h: the servers that rooms and keys are spread over, by consistent hashing (Karger
 * et al., 1997): each server has many points on a ring, by its name, and a room is at the first
 * point behind its own. So another server takes its share from all of them, and all processes agree
 * as long as they are told the same names. Immutable; any thread. */
#pragma once
#include "error.h"
#include "redis_link.h"

enum { REDIS_SERVERS_MAX = 32 };

struct redis_servers;

/* Those of redis.servers, or redis.masters, or the one of redis.host and others. The strings of
 * conf are copied. returns  NULL with err if one cannot be understood */
struct redis_servers *redis_servers_create(const struct config *conf, struct error *err);
void redis_servers_destroy(struct redis_servers *servers);
size_t redis_servers_count(const struct redis_servers *servers);
const struct redis_server *redis_servers_at(const struct redis_servers *servers, size_t i);
size_t redis_servers_find(const struct redis_servers *servers, struct text name);
