/* ratelimit.c: so many messages per time and user; whoever says more is silent for a while, and for
 * longer each time. The counts are in the store, so they are of all loops, and of all machines. */
#include "rules.h"

#include <chatup/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFER_MS = 2000, DAY_MS = 24 * 60 * 60 * 1000 };

enum { RULES, LEVELS, SCOPE, EXEMPT }; /* positions in: */
static const struct chatup_option rule_fields[] = {
    {.name = "messages", .type = CHATUP_INT, .help = "so many messages", .min = 1, .max = 10000},
    {.name = "per", .type = CHATUP_DURATION, .help = "in so long", .min = 10, .max = DAY_MS},
};
static const struct chatup_option rule[] = {
    {.name = "rule", .type = CHATUP_MAP, .children = rule_fields, .child_count = 2},
};
static const struct chatup_option level[] = {
    {.name = "level", .type = CHATUP_DURATION, .min = 1000, .max = INT64_C(30) * DAY_MS},
};
static const char *const scopes[] = {"user", "room", NULL};
static const struct chatup_option tag_item[] = {
    {.name = "tag", .type = CHATUP_STRING, .min = 1, .max = 32},
};
static const struct chatup_option options[] = {
    {.name = "rules",
     .type = CHATUP_LIST,
     .preset = "[{messages: 15, per: 30s}]",
     .help = "what a user may say; all of them hold",
     .min = 1,
     .max = RULES_MAX,
     .children = rule,
     .child_count = 1},
    {.name = "levels",
     .type = CHATUP_LIST,
     .preset = "[30s, 2m, 10m, 30m]",
     .help = "how long they are silent: the first time, the second …; forgotten after twice that",
     .min = 1,
     .max = LEVELS_MAX,
     .children = level,
     .child_count = 1},
    {.name = "scope",
     .type = CHATUP_ENUM,
     .preset = "user",
     .help = "user: one count for all rooms; room: one for each",
     .choices = scopes},
    {.name = "exempt",
     .type = CHATUP_LIST,
     .preset = "[]",
     .help = "whoever, or whatever, a plugin has given one of these tags is let alone",
     .max = 16,
     .children = tag_item,
     .child_count = 1},
};

enum { LIMITED, ERRORS };
static const struct chatup_counter counters[] = {
    {"limited", "messages refused"},
    {"errors", "messages about which the store gave no answer: on_error decided"},
};

struct ratelimit { /* read-only once created */
    const struct chatup_host *host;
    const struct chatup_store *store;
    struct rules rules;
    int per_room;
    struct chatup_value exempt; /* tags */
};

struct shard {
    const struct ratelimit *limit;
    const struct chatup_loop *loop;
};

/* A message that waits for the store. */
struct question {
    uint64_t id; /* of its deferral */
    size_t length;
    char group[]; /* length bytes */
};

static struct chatup_text group_of(const struct question *question)
{
    return (struct chatup_text){question->group, question->length};
}

/* ---- answers ---- */

/* wait_ms 0: it may pass */
static void settle(const struct shard *shard, struct question *question, int32_t verdict,
                   int64_t wait_ms)
{
    const struct chatup_host *host = shard->limit->host;
    const struct chatup_text none = {NULL, 0};
    struct chatup_text reply = none;
    char json[100];
    if (verdict == CHATUP_REJECT) {
        long long seconds = (long long)(wait_ms + 999) / 1000; /* after it, not shortly before */
        reply.length = (size_t)snprintf(
            json, sizeof json, "{\"status\":\"err\",\"error\":\"rateLimited\",\"ttw\":%lld}",
            seconds > 0 ? seconds : 1);
        reply.at = json;
        host->count(host->self, LIMITED, 1);
    } else if (verdict == CHATUP_FAULT) {
        host->count(host->self, ERRORS, 1);
    }
    host->resume(host->self, question->id, verdict, none, reply);
    free(question);
}

/* The store's, or a question that cannot be put. */
static void fail(const struct shard *shard, struct question *question)
{
    settle(shard, question, CHATUP_FAULT, 0);
}

static void ask(const struct shard *shard, struct question *question, const struct chatup_op *ops,
                uint32_t count, chatup_answered *then)
{
    if (shard->limit->store->run(shard->loop, CHATUP_VOLATILE, group_of(question), ops, count, then,
                                 question) != 0)
        fail(shard, question);
}

static void on_escalated(void *arg, void *question, const struct chatup_answer *answer)
{
    const struct shard *shard = arg;
    /* Without it the block of the lowest level holds, which came before. */
    int64_t wait_ms = answer->status == CHATUP_DONE ? answer->results[1].ttl_ms / 2
                                                    : shard->limit->rules.level_ms[0];
    settle(shard, question, CHATUP_REJECT, wait_ms);
}

static void on_blocked(void *arg, void *question, const struct chatup_answer *answer)
{
    const struct shard *shard = arg;
    struct chatup_op ops[2];
    int64_t wait_ms;
    if (answer->status != CHATUP_DONE) {
        fail(shard, question);
    } else if (!answer->happened) { /* another message of theirs was first, a moment ago */
        settle(shard, question, CHATUP_REJECT, answer->results[0].ttl_ms);
    } else {
        uint32_t count =
            rules_escalate(&shard->limit->rules, answer->results[1].number, ops, &wait_ms);
        ask(shard, question, ops, count, on_escalated);
    }
}

static void on_asked(void *arg, void *question, const struct chatup_answer *answer)
{
    const struct shard *shard = arg;
    const struct rules *rules = &shard->limit->rules;
    struct chatup_op ops[2];
    int64_t wait_ms = 0;
    if (answer->status != CHATUP_DONE) {
        fail(shard, question);
        return;
    }
    switch (rules_judge(rules, answer, &wait_ms)) {
    case RULES_PASS:
        settle(shard, question, CHATUP_ACCEPT, 0);
        break;
    case RULES_BLOCKED:
        settle(shard, question, CHATUP_REJECT, wait_ms);
        break;
    case RULES_TOO_MANY:
        ask(shard, question, ops, rules_block(rules, ops), on_blocked);
    }
}

/* ---- the hook ---- */

/* "sub", or "room", a separator, "sub": of a user with an identity; NULL: too long, or none. A
 * group has at most 512 bytes. */
static struct question *question_create(const struct shard *shard, const struct chatup_event *event)
{
    struct chatup_text who = event->sub.length ? event->sub : event->name;
    size_t room = shard->limit->per_room ? event->room.length + 1 : 0;
    if (!who.length || room + who.length > 512)
        return NULL;
    struct question *question = calloc(1, sizeof *question + room + who.length);
    if (!question)
        return NULL;
    if (room) {
        memcpy(question->group, event->room.at, event->room.length);
        question->group[event->room.length] = '\x1f';
    }
    memcpy(question->group + room, who.at, who.length);
    question->length = room + who.length;
    return question;
}

static int is_exempt(const struct ratelimit *limit, const struct chatup_event *event)
{
    for (uint32_t i = 0; i < limit->exempt.count; i++) {
        struct chatup_text tag = limit->exempt.items[i].text;
        if (limit->host->has_tag(event, tag.at, tag.length))
            return 1;
    }
    return 0;
}

static int32_t on_message_in(void *arg, struct chatup_event *event)
{
    struct shard *shard = arg;
    const struct ratelimit *limit = shard->limit;
    struct chatup_op ops[RULES_MAX + 1];
    if (!event->sub.length && !event->name.length)
        return CHATUP_ACCEPT; /* nobody that could be counted */
    if (is_exempt(limit, event))
        return CHATUP_ACCEPT;
    struct question *question = question_create(shard, event);
    if (!question)
        return CHATUP_FAULT;
    question->id = limit->host->defer(event, DEFER_MS);
    if (!question->id) {
        free(question);
        return CHATUP_FAULT;
    }
    ask(shard, question, ops, rules_ask(&limit->rules, ops), on_asked);
    return CHATUP_DEFER;
}

/* ---- start and end ---- */

static void *create(const struct chatup_host *host)
{
    struct ratelimit *limit = calloc(1, sizeof *limit);
    if (!limit)
        return NULL;
    struct chatup_value rules = host->option(host->self, RULES);
    struct chatup_value levels = host->option(host->self, LEVELS);
    limit->host = host;
    limit->store = host->service(host->self, CHATUP_STORE);
    limit->per_room = host->option(host->self, SCOPE).number == 1;
    limit->exempt = host->option(host->self, EXEMPT);
    limit->rules.rule_count = rules.count;
    for (uint32_t i = 0; i < rules.count; i++) {
        limit->rules.messages[i] = rules.items[i].items[0].number;
        limit->rules.per_ms[i] = rules.items[i].items[1].number;
    }
    limit->rules.level_count = levels.count;
    for (uint32_t i = 0; i < levels.count; i++)
        limit->rules.level_ms[i] = levels.items[i].number;
    return limit;
}

static void *shard_open(void *limit, const struct chatup_loop *loop)
{
    struct shard *shard = calloc(1, sizeof *shard);
    if (shard)
        *shard = (struct shard){limit, loop};
    return shard;
}

static const char *const needs[] = {CHATUP_STORE, NULL};

static const struct chatup_plugin ratelimit_plugin = {
    .size = sizeof ratelimit_plugin,
    .name = "ratelimit",
    .version = "1.0",
    .summary = "limits how much a user may say, for longer each time",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .counters = counters,
    .counter_count = sizeof counters / sizeof *counters,
    .needs = needs,
    .create = create,
    .destroy = free,
    .shard_open = shard_open,
    .shard_close = free,
    .message_in = on_message_in,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &ratelimit_plugin;
}
