/* say.h: what somebody says, over a websocket or by HTTP, and the answers that both give in the
 * same words. No socket, no store: any thread. */
#pragma once
#include "text.h"
#include "token.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_t;

enum { REQUEST_ID_BYTES_MAX = 64, CLIENT_ID_BYTES_MAX = 64, ANSWER_BYTES = 160 };

struct say {
    struct text msg, cid; /* into the JSON; cid absent: none */
};

/* Without a parser: a request that does no more than to say,
 *   {"id":1,"say":{"msg":"hello","cid":"c-1"}}
 * in this order, without white space, and with nothing escaped, as clients write nearly all of
 * them. message  UTF-8 id_out   as it stands there, a number or a string returns  false: it is
 * something else, or wrong: json_read and say_read tell. Of what it takes they say the same. */
bool say_scan(struct text message, struct text *id_out, struct say *out);

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
