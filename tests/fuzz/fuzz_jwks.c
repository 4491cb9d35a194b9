/* A file of keys as identity providers publish them. */
#include "error.h"
#include "fuzz.h"
#include "jwks.h"
#include "key.h"

static bool take(void *arg, struct key *key, const char *kid, const char *place, struct error *err)
{
    size_t *count = arg;
    assert(key->algorithm && key->pkey && place);
    if (key->algorithm->family != KEY_HMAC)
        key_verify(key, "a.b", 3, (const unsigned char *)"0123", 4);
    key_finish(key);
    ++*count;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {.text = ""};
    size_t count = 0;
    bool good = jwks_read("fuzz.jwks", (const char *)data, size, take, &count, &err);
    assert(good ? count > 0 : strlen(err.text) > 0);
    return 0;
}
