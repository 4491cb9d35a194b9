/* auth, join and leave: who comes and goes. Edits are staged as in turn.c. */
#include "chain_parts.h"
#include "clock.h"
#include "config.h"
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- edits ---- */

static int32_t set_user(struct chatup_visit *arg, const char *json, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit && visit->may_edit_user
               ? stage_object(&visit->staged_user, &visit->staged_user_length, json, length)
               : -1;
}

static int32_t set_visit_reply(struct chatup_visit *arg, const char *json, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit ? stage_object(&visit->staged_reply, &visit->staged_reply_length, json, length)
                 : -1;
}

/* ---- auth, join, leave ---- */

static void visit_forget(struct visit *visit)
{
    free(visit->staged_user);
    free(visit->staged_reply);
    visit->staged_user = visit->staged_reply = NULL;
}

void visit_finish(struct visit *visit)
{
    visit_forget(visit);
    free(visit->user);
    free(visit->reply);
    visit->user = visit->reply = NULL;
}

static void visit_refuse(struct visit *visit, const char *what, const char *by)
{
    char json[160];
    int length = snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"%s\",\"by\":\"%s\"}",
                          what, by);
    stage(&visit->reply, &visit->reply_length, json, (size_t)length);
}

static void visit_take(struct visit *visit)
{
    if (visit->staged_user) {
        free(visit->user);
        visit->user = visit->staged_user;
        visit->user_length = visit->staged_user_length;
        visit->visit.user = (struct chatup_text){visit->user, visit->user_length};
        visit->staged_user = NULL;
    }
    if (visit->staged_reply) {
        free(visit->reply);
        visit->reply = visit->staged_reply;
        visit->reply_length = visit->staged_reply_length;
        visit->staged_reply = NULL;
    }
}

static enum chain_verdict visit_fault(struct shard *shard, enum hook hook, struct visit *visit)
{
    visit_forget(visit);
    if (shard->plugin->on_error == ON_ERROR_OPEN)
        return CHAIN_ACCEPT;
    visit_refuse(visit, "pluginUnavailable", shard->plugin->name);
    return CHAIN_REJECT;
}

static enum chain_verdict shard_visit(struct shard *shard, enum hook hook, struct visit *visit,
                                      int32_t (*call)(void *, struct chatup_visit *))
{
    const struct chatup_visit lent = visit->visit;
    if (shard_is_off(shard))
        return visit_fault(shard, hook, visit);
    int64_t began = hook_begin(shard, hook);
    int32_t verdict = call(shard->self, &visit->visit);
    visit->visit = lent;
    bool known = verdict == CHATUP_ACCEPT || verdict == CHATUP_REJECT ||
                 (verdict == CHATUP_CONSUME && hook == HOOK_join);
    hook_end(shard, hook, began, known ? verdict : CHATUP_FAULT);
    if (!known) {
        shard_fault(shard, hook, hook_name(hook), verdict);
        return visit_fault(shard, hook, visit);
    }
    if (verdict == CHATUP_REJECT) {
        free(visit->staged_user);
        visit->staged_user = NULL;
        free(visit->reply);
        visit->reply = NULL;
    }
    visit_take(visit);
    if (verdict == CHATUP_REJECT && !visit->reply)
        visit_refuse(visit, "rejected", shard->plugin->name);
    return verdict == CHATUP_ACCEPT   ? CHAIN_ACCEPT
           : verdict == CHATUP_REJECT ? CHAIN_REJECT
                                      : CHAIN_CONSUME;
}

enum chain_verdict chain_auth(struct chain *chain, struct visit *visit)
{
    enum chain_verdict verdict = CHAIN_ACCEPT;
    visit->visit.size = sizeof visit->visit;
    visit->may_edit_user = true;
    for (size_t i = 0; verdict == CHAIN_ACCEPT && i < chain->count; i++)
        if (chain->shards[i].plugin->api.auth)
            verdict =
                shard_visit(&chain->shards[i], HOOK_auth, visit, chain->shards[i].plugin->api.auth);
    return verdict;
}

/* Who is not told to the room may still be rejected by a plugin behind. */
enum chain_verdict chain_join(struct chain *chain, struct visit *visit)
{
    enum chain_verdict verdict = CHAIN_ACCEPT;
    bool silent = false;
    visit->visit.size = sizeof visit->visit;
    for (size_t i = 0; verdict != CHAIN_REJECT && i < chain->count; i++) {
        if (!chain->shards[i].plugin->api.join)
            continue;
        verdict =
            shard_visit(&chain->shards[i], HOOK_join, visit, chain->shards[i].plugin->api.join);
        silent |= verdict == CHAIN_CONSUME;
    }
    return verdict == CHAIN_REJECT ? verdict : silent ? CHAIN_CONSUME : CHAIN_ACCEPT;
}

void chain_leave(struct chain *chain, const struct chatup_visit *visit)
{
    struct chatup_visit lent = *visit;
    lent.size = sizeof lent;
    for (size_t i = 0; i < chain->count; i++) {
        struct shard *shard = &chain->shards[i];
        if (!shard->plugin->api.leave || shard_is_off(shard))
            continue;
        int64_t began = hook_begin(shard, HOOK_leave);
        struct chatup_visit copy = lent;
        shard->plugin->api.leave(shard->self, &copy);
        hook_end(shard, HOOK_leave, began, CHATUP_ACCEPT);
    }
}

void visit_offer(struct chatup_host *host)
{
    host->set_user = set_user;
    host->set_visit_reply = set_visit_reply;
}
