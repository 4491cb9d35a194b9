/* Keys, in the group of a user, all volatile:
 *   blocked   there while the user may say nothing; it expires
 *   level     how often a rule was broken lately
 *   w0, w1 …  a sliding window for each rule */
#include "rules.h"

#include <string.h>

static struct chatup_text text(const char *string)
{
    return (struct chatup_text){string, strlen(string)};
}

uint32_t rules_ask(const struct rules *rules, struct chatup_op *ops)
{
    static const char *const windows[RULES_MAX] = {"w0",  "w1",  "w2",  "w3", "w4",  "w5",
                                                   "w6",  "w7",  "w8",  "w9", "w10", "w11",
                                                   "w12", "w13", "w14", "w15"};
    uint32_t count = 0;
    ops[count++] =
        (struct chatup_op){.kind = CHATUP_OP_ABSENT, .flags = CHATUP_MUST, .key = text("blocked")};
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        ops[count++] = (struct chatup_op){.kind = CHATUP_OP_WINDOW,
                                          .flags = CHATUP_MUST,
                                          .key = text(windows[i]),
                                          .number = rules->messages[i],
                                          .period_ms = rules->per_ms[i]};
    }
    return count;
}

enum rules_verdict rules_judge(const struct rules *rules, const struct chatup_answer *answer,
                               int64_t *wait_ms_out)
{
    if (answer->happened)
        return RULES_PASS;
    if (answer->results[0].ok != 1) {
        *wait_ms_out = answer->results[0].ttl_ms;
        return RULES_BLOCKED;
    }
    return RULES_TOO_MANY;
}

static int64_t longest(const struct rules *rules)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < rules->level_count; i++)
        if (rules->level_ms[i] > most)
            most = rules->level_ms[i];
    return most;
}

uint32_t rules_block(const struct rules *rules, struct chatup_op *ops)
{
    ops[0] = (struct chatup_op){.kind = CHATUP_OP_SET_NEW,
                                .flags = CHATUP_MUST,
                                .key = text("blocked"),
                                .value = text("1"),
                                .ttl_ms = rules->level_ms[0]};
    ops[1] = (struct chatup_op){
        .kind = CHATUP_OP_ADD, .key = text("level"), .number = 1, .ttl_ms = 2 * longest(rules)};
    return 2;
}

uint32_t rules_escalate(const struct rules *rules, int64_t level, struct chatup_op *ops,
                        int64_t *wait_ms_out)
{
    int64_t i = level < 1 ? 0 : level <= rules->level_count ? level - 1 : rules->level_count - 1;
    *wait_ms_out = rules->level_ms[i];
    ops[0] = (struct chatup_op){.kind = CHATUP_OP_SET,
                                .key = text("blocked"),
                                .value = text("1"),
                                .ttl_ms = rules->level_ms[i]};
    ops[1] = (struct chatup_op){
        .kind = CHATUP_OP_ADD, .key = text("level"), .ttl_ms = 2 * rules->level_ms[i]};
    return 2;
}
