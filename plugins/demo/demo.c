/* demo.c: signed tokens for anybody who gives a name, so that the demo page needs no login, and
 * what servers sign, for anybody too, so that it can show what moderators do. POST
 * /plugin/demo/token  {"name": string} -> {"token": string}, else {"status", "err"} with 400 POST
 * /plugin/demo/admin  {"items": list or object} -> {"token": string}, likewise Who a token is about
 * follows from the name alone: two tabs with two names are two people, and a ban of a name outlives
 * its token. */
#include <chatup/plugin.h>
#include <chatup/routes.h>

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    NAME_CHARACTERS = 40,
    BODY_BYTES = 1024,
    ITEMS_BYTES = 16 * 1024,
    KEY_BYTES = 64 * 1024,
    SERVER_SECONDS = 60,
};

enum { KEY_FILE, TTL }; /* positions in: */
static const struct chatup_option options[] = {
    {.name = "key_file",
     .type = CHATUP_STRING,
     .help = "file with the HMAC secret that tokens are signed with"},
    {.name = "ttl",
     .type = CHATUP_DURATION,
     .preset = "12h",
     .help = "how long a token is valid",
     .min = 60 * 1000,
     .max = INT64_C(365) * 24 * 60 * 60 * 1000},
};

struct demo { /* read-only once created */
    unsigned char *key;
    int key_length;
    int64_t ttl_seconds;
};

struct shard {
    struct demo *demo;
    char *answer; /* the last one: lent to the host until the next call */
};

/* ---- names ---- */

/* By these a name could look like another one, or like none: controls (also those of C1),
 * zero-width spaces, changes of the writing direction, line separators. The joiners U+200C and
 * U+200D stay: Persian and many an emoji are written with them. */
static bool is_hidden(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x200b, 0x200b},
        {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    return false;
}

/* One character of UTF-8 that jansson has found valid. */
static uint32_t next_code(const unsigned char **p)
{
    uint32_t first = *(*p)++;
    uint32_t code = first < 0x80   ? first
                    : first < 0xe0 ? first & 0x1f
                    : first < 0xf0 ? first & 0xf
                                   : first & 7;
    while ((**p & 0xc0) == 0x80)
        code = code << 6 | (*(*p)++ & 0x3f);
    return code;
}

/* NULL if name will do, trimmed, as name_out; else what is wrong with it. */
static const char *check_name(const json_t *json, struct chatup_text *name_out)
{
    const char *name = json_string_value(json);
    size_t length = json_string_length(json), characters = 0;
    if (!name)
        return "nameMissing";
    for (; length && strchr(" \t\r\n", *name); name++)
        length--;
    while (length && strchr(" \t\r\n", name[length - 1]))
        length--;
    const unsigned char *p = (const unsigned char *)name, *end = p + length;
    while (p < end && ++characters <= NAME_CHARACTERS)
        if (is_hidden(next_code(&p)))
            return "nameInvalid";
    if (characters < 1 || characters > NAME_CHARACTERS)
        return characters ? "nameTooLong" : "nameMissing";
    *name_out = (struct chatup_text){name, length};
    return NULL;
}

/* ---- tokens ---- */

/* returns  the token, freed by the caller; NULL out of memory. claims is taken. */
static char *sign(const struct demo *demo, json_t *claims)
{
    char *token = NULL, *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;
    jwt_t *jwt = NULL;
    if (text && jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, text) == 0 &&
        jwt_set_alg(jwt, JWT_ALG_HS256, demo->key, demo->key_length) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    free(text);
    json_decref(claims);
    return token;
}

/* {"sub": "demo:" + name, "name", "_public": {"name"}, "channels": [one's own], "iat", "exp"} */
static json_t *claims_of_user(struct chatup_text name, time_t now, int64_t ttl_seconds)
{
    char sub[sizeof "demo:" + 4 * NAME_CHARACTERS];
    snprintf(sub, sizeof sub, "demo:%.*s", (int)name.length, name.at);
    return json_pack("{s:s, s:s%, s:{s:s%}, s:[s], s:I, s:I}", "sub", sub, "name", name.at,
                     name.length, "_public", "name", name.at, name.length, "channels", "user:{sub}",
                     "iat", (json_int_t)now, "exp", (json_int_t)(now + ttl_seconds));
}

/* {"aud": "chatup-admin", "exp", "jti", "items"}: good for one call, for a minute. items is lent.
 *   returns  NULL: out of memory, or of random bytes */
static json_t *claims_of_server(json_t *items, time_t now)
{
    unsigned char random[16];
    char jti[2 * sizeof random + 1];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return NULL;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(jti + 2 * i, 3, "%02x", random[i]);
    return json_pack("{s:s, s:I, s:s, s:O}", "aud", "chatup-admin", "exp",
                     (json_int_t)(now + SERVER_SECONDS), "jti", jti, "items", items);
}

/* ---- routes ---- */

/* claims is taken; without any: 400, as wrong says why. */
static int32_t answer_with(struct shard *shard, struct chatup_response *response, const char *wrong,
                           json_t *claims)
{
    json_t *answer;
    if (wrong) {
        response->status = 400;
        answer = json_pack("{s:s, s:s}", "status", "error", "err", wrong);
    } else {
        char *token = sign(shard->demo, claims);
        answer = token ? json_pack("{s:s}", "token", token) : NULL;
        free(token);
    }
    free(shard->answer);
    shard->answer = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    if (!shard->answer)
        return CHATUP_FAULT;
    response->body = (struct chatup_text){shard->answer, strlen(shard->answer)};
    return CHATUP_ACCEPT;
}

static json_t *read_body(const struct chatup_request *request)
{
    json_error_t why;
    return json_loadb(request->body.at ? request->body.at : "", request->body.length,
                      JSON_ALLOW_NUL, &why);
}

static int32_t on_token(void *arg, const struct chatup_request *request,
                        struct chatup_response *response)
{
    struct shard *shard = arg;
    struct chatup_text name;
    json_t *body = read_body(request);
    const char *wrong =
        json_is_object(body) ? check_name(json_object_get(body, "name"), &name) : "notAnObject";
    int32_t verdict =
        answer_with(shard, response, wrong,
                    wrong ? NULL : claims_of_user(name, time(NULL), shard->demo->ttl_seconds));
    json_decref(body);
    return verdict;
}

static int32_t on_admin(void *arg, const struct chatup_request *request,
                        struct chatup_response *response)
{
    json_t *body = read_body(request), *items = json_object_get(body, "items");
    bool well = json_is_array(items) || json_is_object(items);
    const char *wrong = !json_is_object(body) ? "notAnObject" : well ? NULL : "itemsMissing";
    int32_t verdict =
        answer_with(arg, response, wrong, wrong ? NULL : claims_of_server(items, time(NULL)));
    json_decref(body);
    return verdict;
}

static const struct chatup_route routes[] = {
    {CHATUP_POST, CHATUP_PUBLIC, "/token", BODY_BYTES, on_token},
    {CHATUP_POST, CHATUP_PUBLIC, "/admin", ITEMS_BYTES, on_admin},
};

/* ---- start and end ---- */

/* All bytes of the file but one newline at its end, as the core reads such a key. */
static bool read_key(struct demo *demo, const char *file, char *why, size_t size)
{
    FILE *f = fopen(file, "re");
    size_t length = f ? fread(demo->key, 1, KEY_BYTES + 1, f) : 0;
    bool failed = !f || ferror(f);
    if (failed)
        snprintf(why, size, "cannot read %s: %s", file, strerror(errno));
    if (f)
        fclose(f);
    if (failed)
        return false;
    if (length && length <= KEY_BYTES && demo->key[length - 1] == '\n')
        length--;
    demo->key_length = (int)length;
    if (length < 1 || length > KEY_BYTES)
        snprintf(why, size, "%s must have 1 byte to 64 KiB", file);
    return length >= 1 && length <= KEY_BYTES;
}

static void destroy(void *arg)
{
    struct demo *demo = arg;
    free(demo->key);
    free(demo);
}

static void *create(const struct chatup_host *host)
{
    char why[200];
    struct demo *demo = calloc(1, sizeof *demo);
    if (!demo || !(demo->key = malloc(KEY_BYTES + 1))) {
        free(demo);
        return NULL;
    }
    demo->ttl_seconds = host->option(host->self, TTL).number / 1000;
    if (!read_key(demo, host->option(host->self, KEY_FILE).text.at, why, sizeof why)) {
        host->refuse(host->self, KEY_FILE, why, strlen(why));
        destroy(demo);
        return NULL;
    }
    return demo;
}

static void *shard_open(void *demo, const struct chatup_loop *loop)
{
    struct shard *shard = calloc(1, sizeof *shard);
    (void)loop;
    if (shard)
        shard->demo = demo;
    return shard;
}

static void shard_close(void *arg)
{
    struct shard *shard = arg;
    free(shard->answer);
    free(shard);
}

static const struct chatup_plugin demo_plugin = {
    .size = sizeof demo_plugin,
    .name = "demo",
    .version = "1.0",
    .summary = "signed tokens for anybody",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .routes = routes,
    .route_count = sizeof routes / sizeof *routes,
    .create = create,
    .destroy = destroy,
    .shard_open = shard_open,
    .shard_close = shard_close,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &demo_plugin;
}
