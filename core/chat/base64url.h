/* base64url.h: the alphabet of tokens (RFC 4648, section 5), never with padding. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Characters that length bytes take, without a terminating NUL. */
#define BASE64URL_LENGTH(length) (((length)*4 + 2) / 3)

/* Write BASE64URL_LENGTH(length) characters and a NUL to out. */
void base64url_encode(const void *bytes, size_t length, char *out);

/* Strict: other characters, padding, white space and stray bits at the end are refused, so a value
 * has one spelling.
 *   out         room for length bytes
 *   length_out  bytes written */
bool base64url_decode(const char *text, size_t length, unsigned char *out, size_t *length_out);
