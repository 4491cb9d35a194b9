/* signed.h: bodies that are signed tokens, as your servers send them. */
#pragma once

struct json_t;
struct request;

/* The payload of the body, a token, whitespace around it ignored: an object or an array.
 *   returns  new reference; NULL after answering 400 or 401 */
struct json_t *signed_payload(struct request *request);
