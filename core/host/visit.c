/* connect, auth, join and leave: who comes and goes. Edits are staged as in turn.c, and so are
 * deferrals. */
#include "chain_parts.h"
#include "config.h"
#include "plugin.h"
#include "tags.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

typedef int32_t visit_hook(void *shard, struct chatup_visit *visit);

static visit_hook *hook_of(const struct shard *shard, enum chain_stage stage)
{
    const struct chatup_plugin *api = &shard->plugin->api;
    return stage == STAGE_CONNECT ? api->connect : stage == STAGE_AUTH ? api->auth : api->join;
}

static enum hook number_of(enum chain_stage stage)
{
    return stage == STAGE_CONNECT ? HOOK_connect : stage == STAGE_AUTH ? HOOK_auth : HOOK_join;
}

/* ---- edits ---- */

static int32_t set_user(struct chatup_visit *arg, const char *json, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit && visit->stage == STAGE_AUTH
               ? stage_object(&visit->staged_user, &visit->staged_user_length, json, length)
               : -1;
}

static int32_t set_visit_reply(struct chatup_visit *arg, const char *json, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit ? stage_object(&visit->staged_reply, &visit->staged_reply_length, json, length)
                 : -1;
}

static int32_t tag_visit(struct chatup_visit *arg, const char *tag, size_t length)
{
    struct visit *visit = (struct visit *)arg;
    return visit && (visit->stage == STAGE_CONNECT || visit->stage == STAGE_AUTH)
               ? stage_tag(&visit->staged_tags, visit->tags, tag, length)
               : -1;
}

static int32_t visit_has_tag(const struct chatup_visit *arg, const char *tag, size_t length)
{
    const struct visit *visit = (const struct visit *)arg;
    return visit && tags_have(visit->tags, (struct text){tag, length});
}

static void visit_forget(struct visit *visit)
{
    free(visit->staged_user);
    free(visit->staged_reply);
    free(visit->staged_tags);
    visit->staged_user = visit->staged_reply = visit->staged_tags = NULL;
}

void visit_finish(struct visit *visit)
{
    assert(!visit->deferral);
    visit_forget(visit);
    free(visit->user);
    free(visit->reply);
    free(visit->own_tags);
    visit->user = visit->reply = visit->own_tags = NULL;
    visit->tags = NULL;
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
    tags_take(&visit->tags, &visit->own_tags, &visit->staged_tags);
}

/* ---- verdicts ---- */

static enum chain_verdict visit_without(const struct shard *shard, struct visit *visit)
{
    visit_forget(visit);
    if (shard->plugin->on_error == ON_ERROR_OPEN)
        return CHAIN_ACCEPT;
    visit->failed = true;
    visit_refuse(visit, "pluginUnavailable", shard->plugin->name);
    return CHAIN_REJECT;
}

static bool is_known(enum chain_stage stage, int32_t verdict)
{
    return verdict == CHATUP_ACCEPT || verdict == CHATUP_REJECT ||
           (verdict == CHATUP_CONSUME && stage == STAGE_JOIN);
}

/* A verdict, given at once or later, together with what is staged. */
static enum chain_verdict visit_judge(struct shard *shard, struct visit *visit, int32_t verdict)
{
    if (!is_known(visit->stage, verdict)) {
        enum hook hook = number_of(visit->stage);
        shard_fault(shard, hook, hook_name(hook), verdict);
        return visit_without(shard, visit);
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
    visit->silent |= verdict == CHATUP_CONSUME;
    return verdict == CHATUP_REJECT ? CHAIN_REJECT : CHAIN_ACCEPT;
}

static enum chain_verdict shard_visit(struct shard *shard, struct visit *visit, visit_hook *call)
{
    enum hook hook = number_of(visit->stage);
    const struct chatup_visit lent = visit->visit;
    if (shard_is_off(shard))
        return visit_without(shard, visit);
    int64_t began = hook_begin(shard, hook);
    int32_t verdict = call(shard->self, &visit->visit);
    visit->visit = lent;
    bool deferred = verdict == CHATUP_DEFER && visit->deferral;
    hook_end(shard, hook, began,
             deferred || is_known(visit->stage, verdict) ? verdict : CHATUP_FAULT);
    if (deferred)
        return CHAIN_DEFERRED;
    if (visit->deferral) /* asked for, and not used */
        deferral_free(visit->deferral);
    visit->deferral = NULL;
    return visit_judge(shard, visit, verdict);
}

/* Who is not told to the room may still be rejected by a plugin behind. */
static enum chain_verdict visit_run(struct visit *visit)
{
    struct chain *chain = visit->chain;
    enum chain_verdict verdict = CHAIN_ACCEPT;
    while (verdict == CHAIN_ACCEPT && visit->next < chain->count) {
        struct shard *shard = &chain->shards[visit->next++];
        visit_hook *call = hook_of(shard, visit->stage);
        if (call)
            verdict = shard_visit(shard, visit, call);
    }
    return verdict == CHAIN_ACCEPT && visit->silent ? CHAIN_CONSUME : verdict;
}

static enum chain_verdict visit_begin(struct chain *chain, struct visit *visit,
                                      enum chain_stage stage)
{
    visit->visit.size = sizeof visit->visit;
    visit->chain = chain;
    visit->stage = stage;
    visit->next = 0;
    return visit_run(visit);
}

enum chain_verdict chain_connect(struct chain *chain, struct visit *visit)
{
    return visit_begin(chain, visit, STAGE_CONNECT);
}

enum chain_verdict chain_auth(struct chain *chain, struct visit *visit)
{
    return visit_begin(chain, visit, STAGE_AUTH);
}

enum chain_verdict chain_join(struct chain *chain, struct visit *visit)
{
    return visit_begin(chain, visit, STAGE_JOIN);
}

void chain_leave(struct chain *chain, struct visit *visit)
{
    visit->visit.size = sizeof visit->visit;
    visit->stage = STAGE_LEAVE;
    const struct chatup_visit lent = visit->visit;
    for (size_t i = 0; i < chain->count; i++) {
        struct shard *shard = &chain->shards[i];
        if (!shard->plugin->api.leave || shard_is_off(shard))
            continue;
        int64_t began = hook_begin(shard, HOOK_leave);
        shard->plugin->api.leave(shard->self, &visit->visit);
        hook_end(shard, HOOK_leave, began, CHATUP_ACCEPT);
        visit->visit = lent;
    }
}

/* ---- deferral ---- */

/* As turn_go_on. */
static void visit_go_on(struct deferral *deferral, enum chain_verdict result)
{
    struct visit *visit = deferral->owner;
    visit->deferral = NULL;
    if (result == CHAIN_ACCEPT)
        result = visit_run(visit);
    deferral_free(deferral); /* last: until then the chain may not go */
    if (result != CHAIN_DEFERRED)
        visit->done(visit, result);
}

static void visit_resumed(struct deferral *deferral, int32_t verdict, struct chatup_text user,
                          struct chatup_text reply)
{
    struct visit *visit = deferral->owner;
    bool good = (!user.at || !set_user(&visit->visit, user.at, user.length)) &&
                (!reply.at || !set_visit_reply(&visit->visit, reply.at, reply.length));
    visit_go_on(deferral,
                visit_judge(deferral->pending.shard, visit, good ? verdict : CHATUP_FAULT));
}

static void visit_cancelled(struct deferral *deferral)
{
    visit_go_on(deferral, visit_without(deferral->pending.shard, deferral->owner));
}

static const struct deferral_kind of_visits = {visit_resumed, visit_cancelled};

static uint64_t defer_visit(struct chatup_visit *arg, int64_t timeout_ms)
{
    struct visit *visit = (struct visit *)arg;
    if (!visit || visit->stage == STAGE_LEAVE || visit->deferral)
        return 0;
    visit->deferral =
        deferral_open(&visit->chain->shards[visit->next - 1], timeout_ms, &of_visits, visit);
    return visit->deferral ? visit->deferral->pending.id : 0;
}

void visit_left(struct visit *visit)
{
    struct deferral *deferral = visit->deferral;
    if (!deferral)
        return;
    visit->deferral = NULL;
    deferral_tell(deferral, CHATUP_LEFT);
    deferral_free(deferral);
}

void visit_offer(struct chatup_host *host)
{
    host->set_user = set_user;
    host->set_visit_reply = set_visit_reply;
    host->defer_visit = defer_visit;
    host->tag_visit = tag_visit;
    host->visit_has_tag = visit_has_tag;
}
