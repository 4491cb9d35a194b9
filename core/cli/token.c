#include "cli.h"

#include "alloc.h"
#include "error.h"
#include "key.h"
#include "sign.h"
#include "uuid.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdint.h>
#include <time.h>

enum { ADMIN_SECONDS = 60 };

static const char help[] =
    "usage: chatup token --key FILE [--algorithm NAME] [--kid ID] [--name NAME] [--sub ID]\n"
    "                    [--public JSON] [--claim NAME=VALUE]... [--expire TIME]\n"
    "       chatup token --key FILE [--algorithm NAME] [--kid ID] --admin JSON\n"
    "                    [--claim NAME=VALUE]... [--expire TIME]\n"
    "       chatup token --key FILE [--algorithm NAME] [--kid ID] --payload JSON\n"
    "\n"
    "Signs a token and prints it. The first form makes one for a user, the second one\n"
    "for a call that your servers make once, such as /post and /ban, the third any.\n"
    "\n"
    "  --key FILE          private key (PEM), or the file of an HMAC secret\n"
    "  --algorithm NAME    RS256, PS256, ES256, HS256, or one of them with 384 or 512\n"
    "                      (default: RS256 for RSA, ES256 for P-256, HS256 for a secret)\n"
    "  --kid ID            the key's name, as jwt.keys or admin.keys has it\n"
    "  --name NAME         the user's name: claim name and _public.name\n"
    "  --sub ID            who it is, where names may change: claim sub\n"
    "  --public JSON       what others see of the user, an object: claim _public\n"
    "  --admin JSON        what is to be done, a list: claim items, with aud chatup-admin\n"
    "                      (--claim aud=... for another), a jti of its own, and exp in a\n"
    "                      minute unless --expire says when\n"
    "  --claim NAME=VALUE  a further claim; VALUE is JSON, or else text\n"
    "  --expire TIME       valid for 90s, 5m, 1h or 30d (default: for ever)\n"
    "  --payload JSON      the whole payload, an object or an array\n"
    "  --help              this text\n";

struct token_options {
    const char *key_file, *algorithm, *kid, *sub, *name;
    json_t *public, *claims, *items, *payload; /* owned; claims in the order given */
    int64_t expire_seconds;                    /* 0: not given */
};

static void options_finish(struct token_options *options)
{
    json_decref(options->public);
    json_decref(options->claims);
    json_decref(options->items);
    json_decref(options->payload);
}

/* ---- values ---- */

static json_t *json_parse(const char *option, const char *text, struct error *err)
{
    json_error_t why;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        error_set(err, "%s: not JSON: %s", option, why.text);
    return json;
}

static bool public_parse(struct token_options *options, const char *text, struct error *err)
{
    json_decref(options->public);
    options->public = json_parse("--public", text, err);
    if (options->public && !json_is_object(options->public)) {
        error_set(err, "--public: must be a JSON object, {...}");
        return false;
    }
    return options->public;
}

static bool items_parse(struct token_options *options, const char *text, struct error *err)
{
    json_decref(options->items);
    options->items = json_parse("--admin", text, err);
    return options->items;
}

static bool payload_parse(struct token_options *options, const char *text, struct error *err)
{
    json_decref(options->payload);
    options->payload = json_parse("--payload", text, err);
    return options->payload;
}

static bool claim_parse(struct token_options *options, const char *text, struct error *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        error_set(err, "--claim: must be NAME=VALUE");
        return false;
    }
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!value)
        value = json_string(equals + 1);
    char *name = xstrndup(text, (size_t)(equals - text));
    bool set = json_object_set_new(options->claims, name, value) == 0;
    free(name);
    if (!set)
        error_set(err, "--claim: must be UTF-8");
    return set;
}

static bool expire_parse(struct token_options *options, const char *text, struct error *err)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    errno = 0;
    long long count = strtoll(text, &end, 10);
    if (errno == 0 && count > 0 && count < 1000000)
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (strcmp(end, units[i].unit) == 0) {
                options->expire_seconds = count * units[i].seconds;
                return true;
            }
    error_set(err, "--expire: must be a time such as 90s, 5m, 1h or 30d");
    return false;
}

/* ---- the payload ---- */

/* {"sub": text, "name": text, "_public": {"name": text, ...}, claims ..., "exp": seconds}
 *   returns  a new reference; NULL if a text is not UTF-8 */
static json_t *user_payload(const struct token_options *options)
{
    json_t *payload = json_object();
    json_t *public = options->public ? json_deep_copy(options->public) : json_object();
    bool good = true;
    if (options->sub)
        good &= json_object_set_new(payload, "sub", json_string(options->sub)) == 0;
    if (options->name) {
        good &= json_object_set_new(payload, "name", json_string(options->name)) == 0;
        good &= json_object_set_new(public, "name", json_string(options->name)) == 0;
    }
    good &= json_object_set_new(payload, "_public", public) == 0;
    good &= json_object_update(payload, options->claims) == 0;
    if (options->expire_seconds)
        good &= json_object_set_new(payload, "exp",
                                    json_integer(time(NULL) + options->expire_seconds)) == 0;
    if (!good) {
        json_decref(payload);
        return NULL;
    }
    return payload;
}

/* {"aud": "chatup-admin", "exp": seconds, "jti": uuid, claims ..., "items": JSON} */
static json_t *admin_payload(const struct token_options *options)
{
    struct uuid_source source = {.left = 0};
    char jti[UUID_LENGTH + 1];
    uuid_next(&source, jti);
    int64_t seconds = options->expire_seconds ? options->expire_seconds : ADMIN_SECONDS;
    json_t *payload = json_pack("{s:s,s:I,s:s}", "aud", "chatup-admin", "exp",
                                (json_int_t)(time(NULL) + seconds), "jti", jti);
    json_object_update(payload, options->claims);
    json_object_set(payload, "items", options->items);
    return payload;
}

static bool token_run(const struct token_options *options, struct error *err)
{
    json_t *payload = options->payload ? json_incref(options->payload)
                      : options->items ? admin_payload(options)
                                       : user_payload(options);
    if (!payload) {
        error_set(err, "names must be UTF-8");
        return false;
    }
    char *token = sign_token(options->key_file, options->algorithm, options->kid, payload, err);
    json_decref(payload);
    if (!token)
        return false;
    bool printed = puts(token) != EOF && fflush(stdout) == 0;
    if (!printed)
        error_set(err, "cannot print the token: %s", strerror(errno));
    free(token);
    return printed;
}

/* ---- the command ---- */

/* Fill *options; what is wrong with them goes to err.
 *   returns  false to end here: err is empty if the help was asked for */
static bool options_parse(int argc, char **argv, struct token_options *options, struct error *err)
{
    static const struct option names[] = {
        {"key", required_argument, NULL, 'k'},    {"algorithm", required_argument, NULL, 'a'},
        {"sub", required_argument, NULL, 's'},    {"name", required_argument, NULL, 'n'},
        {"public", required_argument, NULL, 'p'}, {"claim", required_argument, NULL, 'c'},
        {"expire", required_argument, NULL, 'e'}, {"payload", required_argument, NULL, 'P'},
        {"kid", required_argument, NULL, 'i'},    {"admin", required_argument, NULL, 'A'},
        {"help", no_argument, NULL, 'h'},         {0},
    };
    int option;
    bool good = true;
    optind = 0; /* from the start, whoever called getopt before */
    while (good && (option = getopt_long(argc, argv, ":", names, NULL)) != -1) {
        switch (option) {
        case 'k':
            options->key_file = optarg;
            break;
        case 'a':
            options->algorithm = optarg;
            break;
        case 's':
            options->sub = optarg;
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'p':
            good = public_parse(options, optarg, err);
            break;
        case 'c':
            good = claim_parse(options, optarg, err);
            break;
        case 'e':
            good = expire_parse(options, optarg, err);
            break;
        case 'P':
            good = payload_parse(options, optarg, err);
            break;
        case 'i':
            options->kid = optarg;
            break;
        case 'A':
            good = items_parse(options, optarg, err);
            break;
        case 'h':
            return false;
        case ':':
            error_set(err, "a value must follow %s", argv[optind - 1]);
            return false;
        default:
            error_set(err, "unknown option %s", argv[optind - 1]);
            return false;
        }
    }
    if (!good)
        return false;
    if (optind < argc)
        error_set(err, "unexpected %s", argv[optind]);
    else if (!options->key_file)
        error_set(err, "--key is missing");
    else if (options->algorithm && !key_algorithm(options->algorithm))
        error_set(err, "--algorithm is none of " KEY_ALGORITHMS);
    else if (options->items && (options->sub || options->name || options->public))
        error_set(err, "--admin is of a server: no --sub, --name or --public with it");
    else if (options->payload &&
             (options->sub || options->name || options->public || options->items ||
              options->expire_seconds || json_object_size(options->claims)))
        error_set(err, "--payload is the whole payload: no other claims with it");
    return !*err->text;
}

int cli_token(int argc, char **argv)
{
    struct token_options options = {.claims = json_object()};
    struct error err = {0};
    int status = 0;
    if (options_parse(argc, argv, &options, &err)) {
        if (!token_run(&options, &err)) {
            fprintf(stderr, "chatup token: %s\n", err.text);
            status = 1;
        }
    } else if (*err.text) {
        fprintf(stderr, "chatup token: %s (see chatup token --help)\n", err.text);
        status = 2;
    } else {
        fputs(help, stdout);
    }
    options_finish(&options);
    return status;
}
