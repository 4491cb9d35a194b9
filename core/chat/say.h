/* say.h: what somebody says, over a websocket or by HTTP, and the answers that both give in the
 * same words. No socket, no store: any thread. */
#pragma once
#include "text.h"
#include "token.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

enum { CLIENT_ID_BYTES_MAX = 64, ANSWER_BYTES = 160 };

struct say {
    struct text msg, cid; /* into the JSON; cid absent: none */
};

/* {"msg": string, "cid": string of 1 to 64 bytes, or none}; other keys are not looked at. */
bool say_read(const struct json_t *json, struct say *out);

/* {"status":"error","err":err}, written to out. err: of our own, nothing in it is escaped. */
struct text answer_error(char out[ANSWER_BYTES], const char *err);
/* messageTooLong, with max */
struct text answer_too_long(char out[ANSWER_BYTES], size_t max_bytes);
/* rateLimited, with ttw: how many seconds to wait */
struct text answer_limited(char out[ANSWER_BYTES], int64_t wait_ms);
/* What is wrong with a token. */
const char *token_error(enum token_status status);
