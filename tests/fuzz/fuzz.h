/* fuzz.h: what fuzz targets have in common. A target is one function, given bytes of any kind: it
 * must return, and what it asserts must hold. libFuzzer calls it in the preset `fuzz`
 * (script/fuzz); in every other, replay.c calls it with each file of corpus/, as a test. */
#pragma once
#include "text.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct keyring;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The part of *rest before the next byte `end`, which is dropped; all of it, if there is none. */
struct text fuzz_part(struct text *rest, char end);

/* What tokens are signed with here: HS256. */
#define FUZZ_SECRET "the secret of the fuzz targets, 0123456789abcdef"
/* A token with these parts, whatever they are, that is signed as it should be.
 *   returns  freed by the caller */
char *fuzz_sign(struct text header, struct text payload);
/* That key, and one each for RS256 and ES256, which sign nothing. Lives as long as the process. */
const struct keyring *fuzz_keys(void);
