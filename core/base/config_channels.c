/* The list of channel rules: who may do what in the channels that a pattern names.
 *
 *   - pattern: "staff:*"
 *     read: role:staff                 # or a list: any one of them suffices
 *     say: [role:editor, claim]
 *
 * read has to be said: who leaves it out may have meant that nobody reads, or that everybody does.
 * What else is left out follows from it: see follows. */
#include "alloc.h"
#include "config_parts.h"
#include "pattern.h"

enum { RULES_MAX = 1000, WORDS_MAX = 100, ROLE_BYTES_MAX = 64 };

/* The right that one which is left out is as; of read, which never is, read. */
static const size_t follows[RIGHT_COUNT] = {0, 0, 1, 0, 0}; /* read, join, say, history, users */

/* ---- who ---- */

static bool role_is_good(const char *role)
{
    size_t length = strlen(role);
    for (const char *p = role; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return length >= 1 && length <= ROLE_BYTES_MAX;
}

static bool read_word(struct config_who *who, const struct config_node *node, bool alone,
                      struct error *err)
{
    static const char role[] = "role:";
    const char *word = node->text ? node->text : "";
    if (!strcmp(word, "anyone")) {
        who->anyone = true;
    } else if (!strcmp(word, "token")) {
        who->token = true;
    } else if (!strcmp(word, "claim")) {
        who->claim = true;
    } else if (!strncmp(word, role, sizeof role - 1)) {
        word += sizeof role - 1;
        if (!role_is_good(word))
            return config_node_refuse(node, err,
                                      "role: and 1 to %d bytes without control "
                                      "characters",
                                      ROLE_BYTES_MAX);
        who->roles = xrealloc(who->roles, (who->role_count + 1) * sizeof *who->roles);
        who->roles[who->role_count++] = xstrdup(word);
    } else if (strcmp(word, "nobody") != 0) {
        return config_node_refuse(node, err,
                                  "must be anyone, token, claim, role:NAME or nobody, or a list");
    } else if (!alone) {
        return config_node_refuse(node, err, "nobody stands alone");
    }
    return true;
}

/* One word or a list of them. */
static bool read_words(struct config_who *who, const struct config_node *node, struct error *err)
{
    if (node->kind != CONFIG_LIST)
        return read_word(who, node, true, err);
    const struct config_node *word;
    size_t count = 0;
    list_for_each (word, &node->children, link)
        if (++count > WORDS_MAX)
            return config_node_refuse(word, err, "at most %d in one list", WORDS_MAX);
    list_for_each (word, &node->children, link)
        if (!read_word(who, word, count == 1, err))
            return false;
    return count || config_node_refuse(node, err, "an empty list; write nobody if you mean it");
}

/* A guest has no name to show and nobody to ban, so it cannot join, nor speak. */
static bool guests_fit(struct config_who *who, bool said, const struct config_node *node,
                       size_t right, struct error *err)
{
    bool may_be_guest = 1u << right != RIGHT_JOIN && 1u << right != RIGHT_SAY;
    if (!who->anyone || may_be_guest)
        return true;
    if (said)
        return config_node_refuse(node, err,
                                  "needs a token at least: anyone is for read, history "
                                  "and users");
    who->anyone = false;
    who->token = true;
    return true;
}

/* ---- rules ---- */

static void channel_clear(struct config_channel *channel)
{
    for (size_t right = 0; right < RIGHT_COUNT; right++) {
        struct config_who *who = &channel->who[right];
        for (size_t i = 0; i < who->role_count; i++)
            free(who->roles[i]);
        free(who->roles);
    }
    free(channel->pattern);
}

static bool read_pattern(const struct config *conf, struct config_channel *channel,
                         const struct config_node *node, struct error *err)
{
    struct pattern pattern;
    struct error what;
    if (!node->text)
        return config_node_refuse(node, err, "must be a string");
    if (!pattern_init(&pattern, text_of(node->text), &what))
        return config_node_refuse(node, err, "%s", what.text);
    pattern_finish(&pattern);
    for (size_t i = 0; i < conf->channel_count; i++)
        if (!strcmp(conf->channels[i].pattern, node->text))
            return config_node_refuse(node, err, "channels[%zu] has it, and the first one decides",
                                      i);
    channel->pattern = xstrdup(node->text);
    return true;
}

/* What it fills is cleared by the caller, whatever it returns. */
static bool read_channel(const struct config *conf, struct config_channel *channel,
                         const struct config_node *entry, struct error *err)
{
    struct config_field fields[1 + RIGHT_COUNT] = {{"pattern", NULL}};
    struct config_field *rights = fields + 1;
    for (size_t right = 0; right < RIGHT_COUNT; right++)
        rights[right].name = right_names[right];
    if (!config_fields(entry, fields, 1 + RIGHT_COUNT, err))
        return false;
    if (!fields[0].node)
        return config_node_refuse(entry, err, "pattern is missing, for example \"staff:*\"");
    if (!rights[0].node)
        return config_node_refuse(entry, err,
                                  "read is missing: anyone, token, claim, role:NAME or "
                                  "nobody");
    if (!read_pattern(conf, channel, fields[0].node, err))
        return false;
    for (size_t right = 0; right < RIGHT_COUNT; right++) {
        bool said = rights[right].node;
        if (!said)
            rights[right].node = rights[follows[right]].node;
        if (!read_words(&channel->who[right], rights[right].node, err) ||
            !guests_fit(&channel->who[right], said, rights[right].node, right, err))
            return false;
    }
    return true;
}

bool config_channels_read(struct config *conf, const struct config_node *list, struct error *err)
{
    if (list->kind != CONFIG_LIST)
        return config_node_refuse(list, err, "must be a list of {pattern: …, read: …}");
    const struct config_node *entry;
    list_for_each (entry, &list->children, link) {
        struct config_channel channel = {0};
        if (conf->channel_count == RULES_MAX)
            return config_node_refuse(entry, err, "at most %d rules", RULES_MAX);
        if (!read_channel(conf, &channel, entry, err)) {
            channel_clear(&channel);
            return false;
        }
        conf->channels =
            xrealloc(conf->channels, (conf->channel_count + 1) * sizeof *conf->channels);
        conf->channels[conf->channel_count++] = channel;
    }
    return true;
}

void config_channels_clear(struct config *conf)
{
    for (size_t i = 0; i < conf->channel_count; i++)
        channel_clear(&conf->channels[i]);
    free(conf->channels);
    conf->channels = NULL;
    conf->channel_count = 0;
}
