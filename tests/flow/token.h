/* token.h: tokens as a site's own server would sign them. All text lives until the test ends. */
#pragma once

/* In the configuration of every test's server, for HS256. */
#define TOKEN_SECRET "the secret of the flow tests, 0123456789abcdef"

/* The payload is any text, to be able to sign nonsense too. */
char *token_sign(const char *header, const char *payload, const char *secret);
__attribute__((format(printf, 1, 2))) char *token_for(const char *payload, ...);
/* {"name":name,"_public":{"name":name}}, with "sub" unless it is NULL. */
char *token_user(const char *name, const char *sub);
