/* limiter.h: how much one address, one user or everybody may do: one for the whole process, shared
 * by all loops without a lock. The numbers are those of the configuration at the time of asking. */
#pragma once
#include "rate.h"
#include <stdbool.h>
#include <stdint.h>

struct address;
struct config;
struct limiter;
struct user;

struct limiter *limiter_create(void);
void limiter_destroy(struct limiter *limiter);

/* ---- connections ---- */

enum limiter_verdict { LIMITER_OK, LIMITER_FULL, LIMITER_ADDRESS, LIMITER_HANDSHAKES };

/* A connection from that address: counted if OK, until limiter_disconnect. */
enum limiter_verdict limiter_connect(struct limiter *limiter, const struct config *conf,
                                     const struct address *address);
void limiter_disconnect(struct limiter *limiter, const struct address *address);
/* The connection turns out to be somebody else's: a proxy handed it on. */
enum limiter_verdict limiter_move(struct limiter *limiter, const struct config *conf,
                                  const struct address *from, const struct address *to);

/* ---- rates ---- */

enum limited { LIMITED_SAY, LIMITED_JOIN, LIMITED_REQUEST };

/* Whether user (NULL: none) from that address may do so once more now.
 *   own      the bucket of the connection; NULL: it has none
 *   returns  0, or how many milliseconds to wait */
int64_t limiter_take(struct limiter *limiter, const struct config *conf, enum limited what,
                     struct bucket *own, const struct address *address, const struct user *user);
/* The same of one frame on a connection. */
int64_t limiter_take_frame(const struct config *conf, struct bucket *own);
