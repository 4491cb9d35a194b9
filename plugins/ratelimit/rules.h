/* rules.h: what the rate limiter asks the store, and what it makes of the answers. Pure. */
#pragma once
#include <chatup/store.h>
#include <stdint.h>

enum { RULES_MAX = 16, LEVELS_MAX = 32 };

struct rules {
    uint32_t rule_count, level_count;
    int64_t messages[RULES_MAX], per_ms[RULES_MAX];
    int64_t level_ms[LEVELS_MAX];
};

/* May one more message pass? All of its ops must be ok, or none of them happens: a message that one
 * rule refuses is not counted by the others.
 *   ops      room for RULES_MAX + 1
 *   returns  how many */
uint32_t rules_ask(const struct rules *rules, struct chatup_op *ops);

enum rules_verdict { RULES_PASS, RULES_BLOCKED, RULES_TOO_MANY };

/*   wait_ms_out  with RULES_BLOCKED how long it lasts */
enum rules_verdict rules_judge(const struct rules *rules, const struct chatup_answer *answer,
                               int64_t *wait_ms_out);

/* One rule was broken: block for as long as the lowest level says, and count. Of several loops that
 * ask this at once one is the first; `happened` says who.
 *   ops  room for 2 */
uint32_t rules_block(const struct rules *rules, struct chatup_op *ops);
/* And block for as long as the level says that was counted: number of the second op's result. A
 * level is remembered for twice its time.
 *   ops  room for 2 */
uint32_t rules_escalate(const struct rules *rules, int64_t level, struct chatup_op *ops,
                        int64_t *wait_ms_out);
