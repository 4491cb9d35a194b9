/* message_in. A hook sees what the hooks before it left, and stages what it changes beside it. The
 * chain looks at its verdict first, and only then makes the staged edits part of the turn, or
 * forgets them: a plugin that fails half-way leaves no trace.
 *
 * A turn that was deferred goes on behind the link that did so. */
#include "chain_parts.h"
#include "config.h"
#include "plugin.h"
#include "running.h"
#include "tags.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- edits ---- */

static int32_t set_msg(struct chatup_event *event, const char *text, size_t length)
{
    struct turn *turn = (struct turn *)event;
    if (!event || !event->msg.at || !is_text(text, length, turn->max_msg))
        return -1;
    stage(&turn->staged_msg, &turn->staged_msg_length, text, length);
    return 0;
}

static int32_t set_reply(struct chatup_event *event, const char *json, size_t length)
{
    struct turn *turn = (struct turn *)event;
    return event ? stage_object(&turn->staged_reply, &turn->staged_reply_length, json, length) : -1;
}

static int32_t tag(struct chatup_event *event, const char *at, size_t length)
{
    struct turn *turn = (struct turn *)event;
    return event ? stage_tag(&turn->staged_tags, turn->tags, at, length) : -1;
}

static int32_t has_tag(const struct chatup_event *event, const char *at, size_t length)
{
    const struct turn *turn = (const struct turn *)event;
    return event && tags_have(turn->tags, (struct text){at, length});
}

/* ---- message_in ---- */

static void turn_forget_edits(struct turn *turn)
{
    free(turn->staged_msg);
    free(turn->staged_tags);
    turn->staged_msg = turn->staged_tags = NULL;
}

static void turn_forget_reply(struct turn *turn)
{
    free(turn->staged_reply);
    turn->staged_reply = NULL;
}

static void turn_take_msg(struct turn *turn)
{
    if (!turn->staged_msg)
        return;
    free(turn->msg);
    turn->msg = turn->staged_msg;
    turn->event.msg = (struct chatup_text){turn->msg, turn->staged_msg_length};
    turn->staged_msg = NULL;
}

static void turn_take_reply(struct turn *turn)
{
    free(turn->reply);
    turn->reply = turn->staged_reply;
    turn->reply_length = turn->reply ? turn->staged_reply_length : 0;
    turn->staged_reply = NULL;
}

void turn_set_reply(struct turn *turn, const char *json, size_t length)
{
    stage(&turn->reply, &turn->reply_length, json, length);
}

/* {"status": "error", "err": string, "by": plugin, absent for the core} */
static void turn_refuse(struct turn *turn, const char *what, const char *by)
{
    char json[160]; /* names of plugins are short, and need no escapes */
    int length = snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"%s\"%s%s%s}", what,
                          by ? ",\"by\":\"" : "", by ? by : "", by ? "\"" : "");
    assert(length > 0 && (size_t)length < sizeof json);
    turn_set_reply(turn, json, (size_t)length);
}

void turn_finish(struct turn *turn)
{
    turn_forget_edits(turn);
    turn_forget_reply(turn);
    free(turn->msg);
    free(turn->reply);
    free(turn->own_tags);
    turn->msg = turn->reply = turn->own_tags = NULL;
    turn->tags = NULL;
    turn->reply_length = 0;
}

/* The plugin has no say about it: what it staged is forgotten, and on_error decides. */
static enum chain_verdict turn_without(const struct shard *shard, struct turn *turn)
{
    turn_forget_edits(turn);
    turn_forget_reply(turn);
    if (shard->plugin->on_error == ON_ERROR_OPEN)
        return CHAIN_ACCEPT;
    turn_refuse(turn, "pluginUnavailable", shard->plugin->name);
    return CHAIN_REJECT;
}

static enum chain_verdict shard_fault_in(struct shard *shard, struct turn *turn, int32_t verdict)
{
    shard_fault(shard, HOOK_message_in, "message_in", verdict);
    return turn_without(shard, turn);
}

/* A verdict, given at once or later, together with what is staged. */
static enum chain_verdict turn_judge(struct shard *shard, struct turn *turn, int32_t verdict)
{
    switch (verdict) {
    case CHATUP_ACCEPT:
        turn_take_msg(turn);
        tags_take(&turn->tags, &turn->own_tags, &turn->staged_tags);
        if (turn->staged_reply)
            turn_take_reply(turn);
        return CHAIN_ACCEPT;
    case CHATUP_REJECT:
        turn_forget_edits(turn);
        turn_take_reply(turn);
        if (!turn->reply)
            turn_refuse(turn, "rejected", shard->plugin->name);
        return CHAIN_REJECT;
    case CHATUP_CONSUME:
        turn_forget_edits(turn);
        turn_take_reply(turn);
        return CHAIN_CONSUME;
    default:
        return shard_fault_in(shard, turn, verdict);
    }
}

static enum chain_verdict shard_in(struct shard *shard, struct turn *turn)
{
    const struct chatup_event lent = turn->event;
    if (shard_is_off(shard))
        return turn_without(shard, turn);
    int64_t began = hook_begin(shard, HOOK_message_in);
    int32_t verdict = shard->plugin->api.message_in(shard->self, &turn->event);
    turn->event = lent; /* what a hook writes there itself is no edit: nobody checked it */
    if (verdict == CHATUP_DEFER && !turn->deferral)
        verdict = CHATUP_FAULT; /* it would never be resumed */
    hook_end(shard, HOOK_message_in, began, verdict);
    if (verdict == CHATUP_DEFER)
        return CHAIN_DEFERRED;
    if (turn->deferral)
        deferral_free(turn->deferral);
    turn->deferral = NULL;
    return turn_judge(shard, turn, verdict);
}

static enum chain_verdict first_in(struct chain *chain, struct turn *turn)
{
    int32_t verdict = chain->first(chain->first_arg, &turn->event);
    assert(verdict == CHATUP_ACCEPT || verdict == CHATUP_REJECT || verdict == CHATUP_CONSUME);
    if (verdict == CHATUP_REJECT && !turn->reply)
        turn_refuse(turn, "rejected", NULL);
    return verdict == CHATUP_ACCEPT   ? CHAIN_ACCEPT
           : verdict == CHATUP_REJECT ? CHAIN_REJECT
                                      : CHAIN_CONSUME;
}

static enum chain_verdict turn_run(struct turn *turn)
{
    const struct chain *chain = turn->chain;
    enum chain_verdict verdict = CHAIN_ACCEPT;
    bool posted = turn->event.flags & CHATUP_FROM_POST;
    while (verdict == CHAIN_ACCEPT && turn->next < chain->count) {
        struct shard *shard = &turn->chain->shards[turn->next++];
        const struct plugin *plugin = shard->plugin;
        if (plugin->api.message_in && plugin != turn->author &&
            (!posted || plugin->api.flags & CHATUP_SEES_POST))
            verdict = shard_in(shard, turn);
    }
    return verdict;
}

enum chain_verdict chain_in(struct chain *chain, struct turn *turn)
{
    turn->event.size = sizeof turn->event;
    turn->chain = chain;
    turn->next = 0;
    enum chain_verdict verdict = chain->first ? first_in(chain, turn) : CHAIN_ACCEPT;
    return verdict == CHAIN_ACCEPT ? turn_run(turn) : verdict;
}

/* ---- deferral ---- */

void turn_left(struct turn *turn)
{
    const struct pending *pending = &turn->deferral->pending;
    const struct shard *shard = pending->shard;
    turn->left = true;
    if (!shard->plugin->api.left || shard->closed)
        return;
    running_set(shard->plugin->name, "left");
    shard->plugin->api.left(shard->self, pending->id);
    running_set(NULL, NULL);
}

/* The turn goes on behind the link that deferred it. Nothing is touched after done. */
static void turn_go_on(struct deferral *deferral, enum chain_verdict result)
{
    struct turn *turn = deferral->owner;
    turn->deferral = NULL;
    if (result == CHAIN_ACCEPT)
        result = turn_run(turn);
    if (result == CHAIN_DEFERRED)
        turn_moved(turn);
    deferral_free(deferral); /* last: until then the chain may not go */
    if (result != CHAIN_DEFERRED)
        turn->done(turn, result);
    else if (turn->left)
        turn_left(turn);
}

static void turn_resumed(struct deferral *deferral, int32_t verdict, struct chatup_text msg,
                         struct chatup_text reply)
{
    struct turn *turn = deferral->owner;
    bool good = (!msg.at || !set_msg(&turn->event, msg.at, msg.length)) &&
                (!reply.at || !set_reply(&turn->event, reply.at, reply.length));
    turn_go_on(deferral, turn_judge(deferral->pending.shard, turn, good ? verdict : CHATUP_FAULT));
}

static void turn_cancelled(struct deferral *deferral)
{
    turn_go_on(deferral, turn_without(deferral->pending.shard, deferral->owner));
}

static const struct deferral_kind of_turns = {turn_resumed, turn_cancelled};

static uint64_t defer(struct chatup_event *event, int64_t timeout_ms)
{
    struct turn *turn = (struct turn *)event;
    if (!event || turn->deferral || !turn->next)
        return 0;
    turn->deferral =
        deferral_open(&turn->chain->shards[turn->next - 1], timeout_ms, &of_turns, turn);
    return turn->deferral ? turn->deferral->pending.id : 0;
}

void turn_moved(struct turn *turn)
{
    turn->deferral->owner = turn;
}

void turn_offer(struct chatup_host *host)
{
    host->set_msg = set_msg;
    host->set_reply = set_reply;
    host->defer = defer;
    host->tag = tag;
    host->has_tag = has_tag;
}
