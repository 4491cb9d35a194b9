#include "access.h"
#include "alloc.h"
#include "config.h"
#include "grants.h"
#include "log.h"
#include "name.h"
#include "pattern.h"
#include "user.h"

#include <assert.h>

struct rule {
    struct pattern pattern;
    const struct config_who *who; /* RIGHT_COUNT of them, of the configuration or ours */
};

struct access {
    size_t count;
    struct rule rules[];
};

/* ---- our own rules, behind those of the YAML ---- */

static const struct config_who who_is_claimed[RIGHT_COUNT] = {
    {.claim = true}, {.claim = true}, {.claim = true}, {.claim = true}, {.claim = true}};
static const struct config_who who_is_public[RIGHT_COUNT] = {
    {.anyone = true}, {.token = true}, {.token = true}, {.anyone = true}, {.anyone = true}};

static const struct {
    const char *pattern;
    const struct config_who *who;
} own_rules[] = {{"user:*", who_is_claimed}, {"private:*", who_is_claimed}, {"*", who_is_public}};

enum { OWN_RULES = sizeof own_rules / sizeof *own_rules };

/* ---- loading ---- */

static bool is_open(const struct config_who *who)
{
    for (size_t right = 0; right < RIGHT_COUNT; right++)
        if (who[right].anyone || who[right].token)
            return true;
    return false;
}

/* The first rule of the YAML that opens some of the names of our private rule. */
static void warn_of_opened(const struct access *access, const struct config *conf,
                           const char *private_pattern)
{
    struct text prefix = {private_pattern, strlen(private_pattern) - 1}; /* without the star */
    for (size_t i = 0; i < conf->channel_count; i++) {
        const struct rule *rule = &access->rules[i];
        if (!strcmp(conf->channels[i].pattern, private_pattern))
            return; /* those behind it are not asked about these names */
        if (!is_open(rule->who) || !pattern_reaches_over(&rule->pattern, prefix))
            continue;
        log_warn("%s: channels[%zu]: \"%s\" also opens names that begin with %.*s, which are "
                 "private otherwise; put a rule for \"%s\" before it",
                 conf->path, i, conf->channels[i].pattern, (int)prefix.length, prefix.at,
                 private_pattern);
        return;
    }
}

static bool rule_init(struct rule *rule, const char *pattern, const struct config_who *who,
                      struct error *what)
{
    rule->who = who;
    return pattern_init(&rule->pattern, text_of(pattern), what);
}

struct access *access_load(const struct config *conf, struct error *err)
{
    size_t count = conf->channel_count + OWN_RULES;
    struct access *access = xcalloc(1, sizeof *access + count * sizeof *access->rules);
    struct error what;
    for (; access->count < count; access->count++) {
        size_t i = access->count, own = i - conf->channel_count;
        bool ok = i < conf->channel_count ? rule_init(&access->rules[i], conf->channels[i].pattern,
                                                      conf->channels[i].who, &what)
                                          : rule_init(&access->rules[i], own_rules[own].pattern,
                                                      own_rules[own].who, &what);
        if (!ok) {
            error_set(err, "channels[%zu].pattern: %s", i, what.text);
            access_destroy(access);
            return NULL;
        }
    }
    for (size_t own = 0; own < OWN_RULES; own++)
        if (own_rules[own].who == who_is_claimed)
            warn_of_opened(access, conf, own_rules[own].pattern);
    return access;
}

void access_destroy(struct access *access)
{
    for (size_t i = 0; access && i < access->count; i++)
        pattern_finish(&access->rules[i].pattern);
    free(access);
}

/* ---- asking ---- */

/* What {sub} stands for: the claim of that name only. Where it is missing the identity may be a
 * name that users choose for themselves. */
static struct text sub_of(const struct user *user)
{
    return user && user->sub_claimed ? text_of(user->sub) : (struct text){0};
}

static bool includes(const struct config_who *who, const struct name *room, const struct user *user,
                     enum right right)
{
    if (who->anyone || !user)
        return who->anyone;
    if (who->token ||
        (who->claim && grants_name(user->grants, name_text(room), sub_of(user), right)))
        return true;
    for (size_t i = 0; i < who->role_count; i++)
        if (grants_have_role(user->grants, who->roles[i]))
            return true;
    return false;
}

static bool is_nobody(const struct config_who *who)
{
    return !who->anyone && !who->token && !who->claim && !who->role_count;
}

enum access_verdict access_ask(const struct access *access, const struct name *room,
                               const struct user *user, enum right right)
{
    bool token_helps = false; /* with some sub a rule would have been for the guest */
    for (size_t i = 0; i < access->count; i++) {
        const struct rule *rule = &access->rules[i];
        const struct config_who *who = &rule->who[right_index(right)];
        if (!user && rule->pattern.has_sub && !is_nobody(who))
            token_helps |= pattern_could_match(&rule->pattern, name_text(room));
        if (!pattern_matches(&rule->pattern, name_text(room), sub_of(user)))
            continue;
        if (includes(who, room, user, right))
            return ACCESS_GRANTED;
        return !user && (token_helps || !is_nobody(who)) ? ACCESS_TOKEN_NEEDED : ACCESS_FORBIDDEN;
    }
    assert(!"the last rule matches every name");
    return ACCESS_FORBIDDEN;
}

bool access_allows(const struct access *access, const struct name *room, const struct user *user,
                   enum right right)
{
    return access_ask(access, room, user, right) == ACCESS_GRANTED;
}

/* Whether all of read are among those of history. */
static bool is_within(const struct config_who *read, const struct config_who *history)
{
    if (history->anyone || (history->token && !read->anyone) || is_nobody(read))
        return true;
    if (read->anyone || read->token || read->claim)
        return false;
    for (size_t i = 0; i < read->role_count; i++) {
        bool found = false;
        for (size_t k = 0; k < history->role_count; k++)
            found |= !strcmp(read->roles[i], history->roles[k]);
        if (!found)
            return false;
    }
    return true;
}

bool access_readers_see_history(const struct access *access, const struct name *room)
{
    for (size_t i = 0; i < access->count; i++) {
        const struct rule *rule = &access->rules[i];
        if (!pattern_could_match(&rule->pattern, name_text(room)))
            continue;
        if (!is_within(&rule->who[right_index(RIGHT_READ)], &rule->who[right_index(RIGHT_HISTORY)]))
            return false;
        if (!rule->pattern.has_sub) /* it decides; with a sub, others may come to the next ones */
            return true;
    }
    return true;
}
