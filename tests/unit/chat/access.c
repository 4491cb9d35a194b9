/* Who may do what where: rules as the YAML has them, tokens as a site signs them. */
#include "access.h"
#include "alloc.h"
#include "config.h"
#include "keyring.h"
#include "name.h"
#include "sign.h"
#include "unit.h"
#include "user.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NOW_MS       INT64_C(1700000000000)

/* ---- a directory with a key and a YAML ---- */

static const char secret[] = "0123456789abcdef0123456789abcdef";
static char directory[] = "/tmp/chatup-access-XXXXXX";
static struct keyring *keys;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void begin(void)
{
    struct config_key key = {(char *)"HS256", NULL, (char *)secret, NULL};
    struct config conf = {.jwt.keys = {&key, 1}};
    struct error err;
    strcpy(strrchr(directory, '-'), "-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    write_file("key", secret);
    keys = keyring_load(&conf, &err);
    ck_assert_ptr_nonnull(keys);
}

static void end(void)
{
    keyring_destroy(keys);
    unlink("chatup.yaml");
    unlink("key");
    ck_assert_int_eq(rmdir(directory), 0);
}

static struct config *rules_load(const char *yaml, struct access **access_out)
{
    struct error err = {0};
    write_file("chatup.yaml", yaml);
    struct config *conf = config_load("chatup.yaml", NULL, 0, &err);
    ck_assert_msg(conf, "%s: %s", yaml, err.text);
    *access_out = access_load(conf, &err);
    ck_assert_msg(*access_out, "%s: %s", yaml, err.text);
    return conf;
}

static enum token_status user_of(const char *payload, struct user **user_out)
{
    struct error err = {0};
    json_t *json = json_loads(payload, 0, NULL);
    ck_assert_msg(json, "%s", payload);
    char *token = sign_token("key", "HS256", NULL, json, &err);
    ck_assert_msg(token, "%s", err.text);
    enum token_status status = user_from_token(keys, token, strlen(token), NOW_MS, user_out);
    free(token);
    json_decref(json);
    return status;
}

/* {"_public":{}, claims} */
static struct user *user_with(const char *claims)
{
    char payload[1024];
    struct user *user = NULL;
    snprintf(payload, sizeof payload, "{\"_public\":{\"name\":\"Ann\"}%s%s}", *claims ? "," : "",
             claims);
    ck_assert_msg(user_of(payload, &user) == TOKEN_OK, "%s", payload);
    return user;
}

/* ==== the rules ==== */

#define DEFAULTS ""

#define STAFF                                                                                      \
    "channels:\n"                                                                                  \
    "  - {pattern: 'staff:*', read: 'role:staff', say: ['role:editor', claim]}\n"                  \
    "  - {pattern: 'news', read: anyone, say: 'role:editor', users: nobody}\n"                     \
    "  - {pattern: 'news*', read: token, history: claim}\n"                                        \
    "  - {pattern: 'closed', read: nobody}\n"                                                      \
    "  - {pattern: 'log', read: anyone, join: nobody, history: token, users: claim}\n"

#define OWN                                                                                        \
    "channels:\n"                                                                                  \
    "  - {pattern: 'user:{sub}', read: token, join: nobody}\n"                                     \
    "  - {pattern: 'user:{sub}:*', read: token}\n"                                                 \
    "  - {pattern: 'inbox:{sub}', read: token}\n"                                                  \
    "  - {pattern: 'inbox:*', read: nobody}\n"

#define MEMBERS                                                                                    \
    "channels:\n"                                                                                  \
    "  - {pattern: 'user:*', read: nobody}\n"                                                      \
    "  - {pattern: '*', read: token}\n"

#define ALL_CLAIMED "channels: [{pattern: '*', read: [claim, 'role:admin']}]\n"
#define ESCAPED     "channels: [{pattern: 'a\\*', read: nobody}, {pattern: 'a*', read: token}]\n"

#define GUEST NULL
#define PLAIN ""
#define ANN   "\"sub\":\"42\""

/* A letter for each right that is given: read, join, say, history, users. In its place ? is 401,
 * - is 403. */
static const struct {
    const char *rules, *claims, *channel, *rights;
} cases[] = {
    /* Without rules: rooms are public, user: and private: are not. */
    {DEFAULTS, GUEST, "lobby", "r??hu"},
    {DEFAULTS, PLAIN, "lobby", "rjshu"},
    {DEFAULTS, ANN, "lobby", "rjshu"},
    {DEFAULTS, "\"channels\":[]", "lobby", "rjshu"},
    {DEFAULTS, "\"channels\":{\"lobby\":[]}", "lobby", "rjshu"}, /* a claim takes nothing away */
    {DEFAULTS, "\"channels\":{\"lobby\":[\"read\"]}", "lobby", "rjshu"},
    {DEFAULTS, "\"role\":\"staff\"", "lobby", "rjshu"},
    {DEFAULTS, GUEST, "user:42", "?????"},
    {DEFAULTS, PLAIN, "user:42", "-----"},
    {DEFAULTS, ANN, "user:42", "-----"}, /* being 42 is not enough */
    {DEFAULTS, "\"role\":\"admin\"", "user:42", "-----"},
    {DEFAULTS, "\"channels\":[\"user:42\"]", "user:42", "rjshu"},
    {DEFAULTS, "\"channels\":[\"user:42\"]", "user:43", "-----"},
    {DEFAULTS, "\"channels\":[\"user:42\"]", "user:4", "-----"},
    {DEFAULTS, "\"channels\":[\"user:42\"]", "user:421", "-----"},
    {DEFAULTS, "\"channels\":[\"user:42\"]", "User:42", "rjshu"}, /* another name, a public one */
    {DEFAULTS, "\"channels\":[\"user:*\"]", "user:43", "rjshu"},
    {DEFAULTS, "\"channels\":[\"*\"]", "user:43", "rjshu"},
    {DEFAULTS, "\"channels\":{\"user:42\":[\"read\"]}", "user:42", "r----"},
    {DEFAULTS, "\"channels\":{\"user:42\":[\"read\",\"history\"]}", "user:42", "r--h-"},
    {DEFAULTS, "\"channels\":{\"user:42\":[\"*\"]}", "user:42", "rjshu"},
    {DEFAULTS, "\"channels\":{\"user:42\":[]}", "user:42", "-----"},
    {DEFAULTS, "\"channels\":{\"user:*\":[\"read\"],\"user:42\":[\"say\"]}", "user:42", "r-s--"},
    {DEFAULTS, "\"sub\":\"42\",\"channels\":[\"user:{sub}\"]", "user:42", "rjshu"},
    {DEFAULTS, "\"sub\":\"42\",\"channels\":[\"user:{sub}\"]", "user:43", "-----"},
    {DEFAULTS, "\"channels\":[\"user:{sub}\"]", "user:Ann", "-----"}, /* a name is no sub */
    {DEFAULTS, "\"name\":\"Ann\",\"channels\":[\"user:{sub}\"]", "user:Ann", "-----"},
    {DEFAULTS, "\"sub\":42,\"channels\":[\"user:{sub}\"]", "user:42", "rjshu"},
    {DEFAULTS, GUEST, "private:", "?????"},
    {DEFAULTS, GUEST, "private:staff", "?????"},
    {DEFAULTS, PLAIN, "private:staff", "-----"},
    {DEFAULTS, "\"channels\":{\"private:staff\":[\"join\",\"say\"]}", "private:staff", "-js--"},
    {DEFAULTS, GUEST, "private", "r??hu"},
    {DEFAULTS, GUEST, "user", "r??hu"},
    {DEFAULTS, GUEST, " user:42", "r??hu"},
    {DEFAULTS, GUEST, "a/user:42", "r??hu"},
    /* Roles, and claims beside them. */
    {STAFF, GUEST, "staff:1", "?????"},
    {STAFF, PLAIN, "staff:1", "-----"},
    {STAFF, "\"role\":\"staff\"", "staff:1", "rj-hu"},
    {STAFF, "\"roles\":[\"dj\",\"staff\"]", "staff:1", "rj-hu"},
    {STAFF, "\"roles\":[\"staff\"],\"role\":\"editor\"", "staff:1", "rjshu"},
    {STAFF, "\"role\":\"Staff\"", "staff:1", "-----"},
    {STAFF, "\"role\":\"staff \"", "staff:1", "-----"},
    {STAFF, "\"role\":\"\"", "staff:1", "-----"},
    {STAFF, "\"channels\":[\"staff:1\"]", "staff:1",
     "--s--"}, /* counts where the rule asks for it */
    {STAFF, "\"channels\":{\"staff:1\":[\"read\"]}", "staff:1", "-----"},
    {STAFF, "\"channels\":[\"staff:1\"],\"role\":\"staff\"", "staff:1", "rjshu"},
    {STAFF, "\"role\":\"staff\"", "staff", "rjshu"}, /* the rule is for staff:* */
    {STAFF, GUEST, "staff", "r??hu"},
    /* The first match decides. */
    {STAFF, GUEST, "news", "r??h-"},
    {STAFF, PLAIN, "news", "rj-h-"},
    {STAFF, "\"role\":\"editor\"", "news", "rjsh-"},
    {STAFF, GUEST, "newsroom", "?????"},
    {STAFF, PLAIN, "newsroom", "rjs-u"},
    {STAFF, "\"channels\":[\"news*\"]", "newsroom", "rjshu"},
    {STAFF, "\"role\":\"editor\"", "newsroom", "rjs-u"},
    {STAFF, GUEST, "closed", "-----"}, /* no token would help */
    {STAFF, "\"role\":\"staff\",\"channels\":[\"*\"]", "closed", "-----"},
    {STAFF, GUEST, "log", "r--??"},
    {STAFF, PLAIN, "log", "r--h-"},
    {STAFF, "\"channels\":{\"log\":[\"users\"]}", "log", "r--hu"},
    {STAFF, GUEST, "user:42", "?????"}, /* our own rules are still behind them */
    {STAFF, GUEST, "lobby", "r??hu"},
    /* Everybody's own. */
    {OWN, GUEST, "user:42", "?????"},
    {OWN, ANN, "user:42", "r--hu"},
    {OWN, ANN, "user:43", "-----"},
    {OWN, ANN, "user:42:x", "rjshu"},
    {OWN, ANN, "user:421", "-----"},
    {OWN, PLAIN, "user:Ann", "-----"},
    {OWN, "\"name\":\"Ann\"", "user:Ann", "-----"},
    {OWN, "\"sub\":\"\"", "user:", "-----"},
    {OWN, "\"sub\":\"*\"", "user:42", "-----"},
    {OWN, "\"sub\":\"*\"", "user:*", "r--hu"},
    {OWN, "\"sub\":\"{sub}\"", "user:42", "-----"},
    {OWN, "\"channels\":[\"user:42\"]", "user:42", "rjshu"}, /* not 42, so our own rule decides */
    {OWN, "\"sub\":\"42\",\"channels\":[\"user:42\"]", "user:42", "r--hu"},
    {OWN, GUEST, "inbox:42", "?????"}, /* some token would help */
    {OWN, ANN, "inbox:42", "rjshu"},
    {OWN, ANN, "inbox:43", "-----"},
    {OWN, "\"channels\":[\"*\"]", "inbox:43", "-----"},
    /* A rule for "*" is for all names, ours included. */
    {MEMBERS, GUEST, "lobby", "?????"},
    {MEMBERS, PLAIN, "lobby", "rjshu"},
    {MEMBERS, PLAIN, "private:x", "rjshu"},
    {MEMBERS, "\"channels\":[\"user:42\"]", "user:42", "-----"},
    {MEMBERS, GUEST, "user:42", "-----"},
    {ALL_CLAIMED, GUEST, "lobby", "?????"},
    {ALL_CLAIMED, PLAIN, "lobby", "-----"},
    {ALL_CLAIMED, "\"channels\":[\"lo*\"]", "lobby", "rjshu"},
    {ALL_CLAIMED, "\"channels\":[\"lo\\\\*\"]", "lobby", "-----"},
    {ALL_CLAIMED, "\"channels\":[\"lo\\\\*\"]", "lo*", "rjshu"},
    {ALL_CLAIMED, "\"channels\":[\"private:*\"]", "lobby", "-----"},
    {ALL_CLAIMED, "\"roles\":[\"admin\"]", "lobby", "rjshu"},
    {ESCAPED, PLAIN, "a*", "-----"},
    {ESCAPED, PLAIN, "ab", "rjshu"},
    {ESCAPED, GUEST, "ab", "?????"},
};

START_TEST(a_caller_has_the_rights_that_the_first_matching_rule_gives)
{
    static const char letters[] = "rjshu";
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct access *access;
        struct config *conf = rules_load(cases[i].rules, &access);
        struct user *user = cases[i].claims ? user_with(cases[i].claims) : NULL;
        struct name *room = name_create(text_of(cases[i].channel));
        char rights[RIGHT_COUNT + 1] = "";
        for (unsigned right = 0; right < RIGHT_COUNT; right++) {
            enum access_verdict verdict = access_ask(access, room, user, 1u << right);
            rights[right] = verdict == ACCESS_GRANTED        ? letters[right]
                            : verdict == ACCESS_TOKEN_NEEDED ? '?'
                                                             : '-';
            ck_assert_int_eq(access_allows(access, room, user, 1u << right),
                             verdict == ACCESS_GRANTED);
        }
        ck_assert_msg(!strcmp(rights, cases[i].rights), "%zu, %s, %s: %s, not %s", i,
                      cases[i].claims ? cases[i].claims : "a guest", cases[i].channel, rights,
                      cases[i].rights);
        name_unref(room);
        user_unref(user);
        access_destroy(access);
        config_destroy(conf);
    }
}
END_TEST

/* What is logged while they are loaded. */
static const char *warnings_of(const char *yaml)
{
    static char text[2048];
    struct access *access;
    int log = open("log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
        before = dup(STDERR_FILENO);
    dup2(log, STDERR_FILENO);
    struct config *conf = rules_load(yaml, &access);
    dup2(before, STDERR_FILENO);
    ssize_t got = pread(log, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    close(before);
    close(log);
    unlink("log");
    access_destroy(access);
    config_destroy(conf);
    return text;
}

START_TEST(a_rule_that_opens_private_names_is_warned_of)
{
    static const struct {
        const char *rules, *warning; /* NULL: none */
    } loads[] = {
        {"", NULL},
        {"[{pattern: '*', read: anyone}]", "channels[0]: \"*\" also opens names that begin with "
                                           "user:, which are private otherwise; put a rule for "
                                           "\"user:*\" before it"},
        {"[{pattern: '*', read: anyone}]", "channels[0]: \"*\" also opens names that begin with "
                                           "private:, which"},
        {"[{pattern: a, read: anyone}, {pattern: 'p*', read: claim, users: token}]",
         "channels[1]: \"p*\" also opens names that begin with private:"},
        {"[{pattern: '{sub}', read: token}]", "channels[0]: \"{sub}\" also opens"},
        {"[{pattern: '*', read: [claim, 'role:a']}]", NULL},
        {"[{pattern: '*', read: nobody}]", NULL},
        {"[{pattern: 'user:*', read: anyone}]", NULL}, /* it says so */
        {"[{pattern: 'user:{sub}', read: token}]", NULL},
        {"[{pattern: 'room*', read: anyone}]", NULL},
        {"[{pattern: 'user:*', read: claim}, {pattern: 'private:*', read: claim},"
         " {pattern: '*', read: anyone}]",
         NULL},
        {"[{pattern: 'user:1', read: claim}, {pattern: '*', read: anyone}]", "begin with user:"},
    };
    for (size_t i = 0; i < COUNT(loads); i++) {
        char yaml[512];
        snprintf(yaml, sizeof yaml, "channels: %s\n", loads[i].rules);
        const char *text = warnings_of(yaml);
        ck_assert_msg(loads[i].warning ? strstr(text, loads[i].warning) != NULL : !*text, "%s: %s",
                      yaml, text);
    }
}
END_TEST

/* ==== the claims ==== */

static enum token_status claims_status(const char *claims)
{
    char *payload;
    struct user *user = NULL;
    ck_assert_int_gt(asprintf(&payload, "{\"_public\":{},%s}", claims), 0);
    enum token_status status = user_of(payload, &user);
    ck_assert_int_eq(user != NULL, status == TOKEN_OK);
    user_unref(user);
    free(payload);
    return status;
}

START_TEST(claims_are_right_or_the_token_is_wrong)
{
    static const struct {
        const char *claims;
        bool right;
    } claims[] = {
        {"\"channels\":[]", true},
        {"\"channels\":{}", true},
        {"\"channels\":[\"a\",\"b*\"]", true},
        {"\"channels\":[\"a\",\"a\"]", true},
        {"\"channels\":{\"a\":[\"read\",\"join\",\"say\",\"history\",\"users\"]}", true},
        {"\"channels\":{\"a\":[\"*\"]}", true},
        {"\"channels\":{\"a\":[\"read\",\"read\",\"*\"]}", true},
        {"\"channels\":{\"a\":[]}", true},
        {"\"channels\":{\"\xc3\xa9*\":[]}", true},
        {"\"channels\":null", false},
        {"\"channels\":true", false},
        {"\"channels\":1", false},
        {"\"channels\":\"a\"", false},
        {"\"channels\":[1]", false},
        {"\"channels\":[null]", false},
        {"\"channels\":[[\"a\"]]", false},
        {"\"channels\":[{\"a\":[\"read\"]}]", false},
        {"\"channels\":[\"\"]", false},
        {"\"channels\":[\"{id}\"]", false},
        {"\"channels\":[\"a\\\\\"]", false},
        {"\"channels\":[\"a\\\\b\"]", false},
        {"\"channels\":{\"\":[\"read\"]}", false},
        {"\"channels\":{\"a\":null}", false},
        {"\"channels\":{\"a\":\"read\"}", false},
        {"\"channels\":{\"a\":\"*\"}", false},
        {"\"channels\":{\"a\":true}", false},
        {"\"channels\":{\"a\":{\"read\":true}}", false},
        {"\"channels\":{\"a\":[\"write\"]}", false},
        {"\"channels\":{\"a\":[\"Read\"]}", false},
        {"\"channels\":{\"a\":[\"read \"]}", false},
        {"\"channels\":{\"a\":[\"read\",\"\"]}", false},
        {"\"channels\":{\"a\":[\"read\",1]}", false},
        {"\"channels\":{\"a\":[[\"read\"]]}", false},
        {"\"channels\":{\"a\":[\"read\"],\"b\":[\"wrong\"]}", false},
        {"\"role\":\"a\"", true},
        {"\"role\":\"\"", true},
        {"\"role\":null", false},
        {"\"role\":1", false},
        {"\"role\":[\"a\"]", false},
        {"\"roles\":[]", true},
        {"\"roles\":[\"a\",\"b\",\"a\"]", true},
        {"\"roles\":\"a\"", false},
        {"\"roles\":null", false},
        {"\"roles\":[1]", false},
        {"\"roles\":[[\"a\"]]", false},
        {"\"roles\":{\"a\":true}", false},
        {"\"role\":\"a\",\"roles\":[1]", false},
        {"\"channels\":[\"a\"],\"role\":1", false},
        {"\"Channels\":1,\"Role\":2,\"scope\":3", true}, /* other claims are others' business */
    };
    for (size_t i = 0; i < COUNT(claims); i++)
        ck_assert_msg(claims_status(claims[i].claims) ==
                          (claims[i].right ? TOKEN_OK : TOKEN_CONTENT),
                      "%s", claims[i].claims);
}
END_TEST

/* "key":[ item, item …, last ] */
static char *claim_of(const char *key, const char *item, size_t count, const char *last)
{
    size_t room = strlen(key) + (strlen(item) + 8) * count + strlen(last) + 16;
    char *claim = xmalloc(room), *at = claim + sprintf(claim, "\"%s\":[", key);
    for (size_t i = 0; i < count; i++)
        at += sprintf(at, "%s\"%s%zu\"", i ? "," : "", item, i);
    sprintf(at, "]%s", last);
    return claim;
}

static void assert_claim(char *claim, enum token_status status)
{
    ck_assert_int_eq(claims_status(claim), status);
    free(claim);
}

START_TEST(claims_are_limited)
{
    assert_claim(claim_of("channels", "a", 1000, ""), TOKEN_OK);
    assert_claim(claim_of("channels", "a", 1001, ""), TOKEN_CONTENT);
    assert_claim(claim_of("roles", "a", 100, ""), TOKEN_OK);
    assert_claim(claim_of("roles", "a", 101, ""), TOKEN_CONTENT);
    assert_claim(claim_of("roles", "a", 99, ",\"role\":\"b\""), TOKEN_OK);
    assert_claim(claim_of("roles", "a", 100, ",\"role\":\"b\""), TOKEN_CONTENT);

    char pattern[201] = {0};
    memset(pattern, 'x', 200);
    assert_claim(claim_of("channels", pattern, 0, ""), TOKEN_OK);
    assert_claim(claim_of("channels", pattern, 1, ""), TOKEN_CONTENT); /* 201 with its number */
    pattern[199] = 0;
    assert_claim(claim_of("channels", pattern, 1, ""), TOKEN_OK);
}
END_TEST

START_TEST(only_the_claim_sub_is_a_sub)
{
    static const struct {
        const char *claims;
        bool claimed;
    } users[] = {{"\"sub\":\"42\"", true}, {"\"sub\":42", true},  {"\"sub\":\"\"", false},
                 {"\"sub\":null", false},  {"\"sub\":{}", false}, {"\"name\":\"Ann\"", false},
                 {"\"x\":1", false}};
    for (size_t i = 0; i < COUNT(users); i++) {
        struct user *user = user_with(users[i].claims);
        ck_assert_msg(user->sub_claimed == users[i].claimed, "%s", users[i].claims);
        user_unref(user);
    }
}
END_TEST

START_TEST(whether_all_readers_see_the_history_is_known_without_asking_each)
{
    static const struct {
        const char *yaml, *room;
        bool all;
    } rules[] = {
        {"{pattern: a, read: anyone}", "a", true},
        {"{pattern: a, read: anyone, history: token}", "a", false},
        {"{pattern: a, read: token, history: token}", "a", true},
        {"{pattern: a, read: role:x, history: [role:y, role:x]}", "a", true},
        {"{pattern: a, read: [role:x, role:z], history: [role:y, role:x]}", "a", false},
        {"{pattern: a, read: role:x, history: token}", "a", true},
        {"{pattern: a, read: claim}", "a", false}, /* a token may have one right alone */
        {"{pattern: a, read: anyone, history: nobody}", "b", true},
        {"{pattern: 'a:{sub}', read: token, history: nobody}", "a:1", false},
        {"{pattern: 'a:{sub}', read: token}, {pattern: '*', read: anyone, history: token}", "a:1",
         false},
    };
    for (size_t i = 0; i < COUNT(rules); i++) {
        char yaml[200];
        struct access *access;
        snprintf(yaml, sizeof yaml, "channels: [%s]\n", rules[i].yaml);
        struct config *conf = rules_load(yaml, &access);
        struct name *room = name_create(text_of(rules[i].room));
        ck_assert_msg(access_readers_see_history(access, room) == rules[i].all, "%s",
                      rules[i].yaml);
        name_unref(room);
        access_destroy(access);
        config_destroy(conf);
    }
}
END_TEST

UNIT_MAIN_IN("access", begin, end, a_caller_has_the_rights_that_the_first_matching_rule_gives,
             a_rule_that_opens_private_names_is_warned_of, claims_are_right_or_the_token_is_wrong,
             claims_are_limited, only_the_claim_sub_is_a_sub,
             whether_all_readers_see_the_history_is_known_without_asking_each)
