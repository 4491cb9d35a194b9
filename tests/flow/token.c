#include "token.h"
#include "flow.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>

static char *base64url(const unsigned char *bytes, size_t length)
{
    char *text = malloc((length + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)text, bytes, (int)length);
    for (char *p = text; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    text[strcspn(text, "=")] = 0;
    return text;
}

char *token_sign(const char *header, const char *payload, const char *secret)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length;
    char *head = base64url((const unsigned char *)header, strlen(header));
    char *body = base64url((const unsigned char *)payload, strlen(payload));
    char *what = textf("%s.%s", head, body);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)what, strlen(what),
         digest, &length);
    return textf("%s.%s", what, base64url(digest, length));
}

char *token_for(const char *payload, ...)
{
    char *text;
    va_list args;
    va_start(args, payload);
    if (vasprintf(&text, payload, args) < 0)
        abort();
    va_end(args);
    return token_sign("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", text, TOKEN_SECRET);
}

char *token_user(const char *name, const char *sub)
{
    json_t *user = json_pack("{s:s,s:{s:s}}", "name", name, "_public", "name", name);
    if (sub)
        json_object_set_new(user, "sub", json_string(sub));
    return token_for("%s", json_text(user));
}
