/* The services store, bus and routes: what a shard asks of the rest of the program is a pending of
 * it. When the shard closes first, the plugin is told, and the answer that comes later is nobody's.
 */
#include "alloc.h"
#include "chain.h"
#include "desk.h"
#include "name.h"
#include "plugin.h"
#include "running.h"

#include <jansson.h>

static struct shard *shard_of(const struct chatup_loop *loop)
{
    return loop->self;
}

static struct text from_plugin(struct chatup_text text)
{
    return (struct text){text.at, text.length};
}

/* ---- what is asked for ---- */

struct question {
    struct pending pending; /* first */
    bool orphan;            /* its shard was told already */
    bool asked;             /* somebody will answer, and frees it then */
    chatup_answered *answered;
    chatup_bus_done *done;
    void *arg;
};

static void question_tell(struct question *question, int32_t status,
                          const struct chatup_answer *answer)
{
    void *self = question->pending.shard->self;
    running_set(question->pending.shard->plugin->name, question->answered ? "store" : "bus");
    if (question->answered)
        question->answered(self, question->arg, answer);
    else if (question->done)
        question->done(self, question->arg, status);
    running_set(NULL, NULL);
}

static void question_cancelled(struct pending *pending)
{
    static const struct chatup_answer cancelled = {.size = sizeof cancelled,
                                                   .status = CHATUP_CANCELLED};
    struct question *question = (struct question *)pending;
    if (!pending->shard->closed)
        question_tell(question, CHATUP_CANCELLED, &cancelled);
    pending_close(pending);
    question->orphan = true;
    if (!question->asked)
        free(question);
}

static struct question *question_open(const struct chatup_loop *loop)
{
    struct question *question = xcalloc(1, sizeof *question);
    if (!pending_open(&question->pending, shard_of(loop), true, question_cancelled)) {
        free(question);
        return NULL;
    }
    question->asked = shard_of(loop)->desk->up != NULL;
    return question;
}

static void question_end(struct question *question, int32_t status,
                         const struct chatup_answer *answer)
{
    if (!question->orphan) {
        question_tell(question, status, answer);
        pending_close(&question->pending);
    }
    free(question);
}

/* ---- store ---- */

enum { KEY_MAX = 512, VALUE_MAX = 64 * 1024, OPS_MAX = 32, WINDOW_MAX = 10000 };

static bool is_key(struct chatup_text key)
{
    return key.at && key.length >= 1 && key.length <= KEY_MAX &&
           utf8_valid((struct text){key.at, key.length});
}

static bool is_op(const struct chatup_op *op)
{
    const int64_t year_ms = INT64_C(366) * 24 * 60 * 60 * 1000;
    if (op->kind < CHATUP_OP_GET || op->kind > CHATUP_OP_WINDOW || op->flags & ~1u ||
        !is_key(op->key) || op->value.length > VALUE_MAX || (op->value.length && !op->value.at) ||
        op->ttl_ms < 0)
        return false;
    return op->kind != CHATUP_OP_WINDOW || (op->number >= 1 && op->number <= WINDOW_MAX &&
                                            op->period_ms >= 1 && op->period_ms <= year_ms);
}

static void kept(void *arg, const struct chatup_answer *answer)
{
    question_end(arg, 0, answer);
}

static int32_t service_run(const struct chatup_loop *loop, uint32_t flags, struct chatup_text group,
                           const struct chatup_op *ops, uint32_t count, chatup_answered *done,
                           void *arg)
{
    const struct shard *shard = shard_of(loop);
    if (!is_key(group) || !done || count < 1 || count > OPS_MAX || flags & ~1u)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        if (!is_op(&ops[i]))
            return -1;
    struct question *question = question_open(loop);
    if (!question)
        return -1;
    question->answered = done;
    question->arg = arg;
    const struct desk_up *up = shard->desk->up;
    if (up)
        up->keep(up->arg, shard->plugin->name, flags & CHATUP_VOLATILE, from_plugin(group), ops,
                 count, kept, question);
    return 0;
}

struct key_watch {
    struct list link; /* the shard's */
    struct shard *shard;
    void *watch;
    chatup_changed *changed;
    void *arg;
};

static void key_changed(void *arg, const struct chatup_result *result)
{
    const struct key_watch *watch = arg;
    running_set(watch->shard->plugin->name, "watch");
    watch->changed(watch->shard->self, watch->arg, result);
    running_set(NULL, NULL);
}

static int32_t service_watch(const struct chatup_loop *loop, uint32_t flags,
                             struct chatup_text group, struct chatup_text key,
                             chatup_changed *changed, void *arg)
{
    struct shard *shard = shard_of(loop);
    const struct desk_up *up = shard->desk->up;
    if (!is_key(group) || !is_key(key) || !changed || flags & ~1u)
        return -1;
    struct key_watch *watch = xcalloc(1, sizeof *watch);
    watch->shard = shard;
    watch->changed = changed;
    watch->arg = arg;
    list_append(&shard->key_watches, &watch->link);
    if (up)
        watch->watch = up->watch(up->arg, shard->plugin->name, flags & CHATUP_VOLATILE,
                                 from_plugin(group), from_plugin(key), key_changed, watch);
    return 0;
}

void shard_unwatch_keys(struct shard *shard)
{
    const struct desk_up *up = shard->desk->up;
    struct key_watch *watch, *after;
    list_for_each_safe (watch, after, &shard->key_watches, link) {
        if (up)
            up->unwatch(up->arg, watch->watch);
        list_remove(&watch->link);
        free(watch);
    }
}

const struct chatup_store store_service = {
    .size = sizeof store_service,
    .run = service_run,
    .watch = service_watch,
};

/* ---- bus ---- */

static bool is_json(struct chatup_text text)
{
    json_error_t why;
    json_t *json =
        text.at ? json_loadb(text.at, text.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why) : NULL;
    bool is = json != NULL;
    json_decref(json);
    return is;
}

static bool is_bus_text(struct chatup_text text, size_t max)
{
    return !text.at || (text.length <= max && utf8_valid((struct text){text.at, text.length}));
}

static void bus_done(void *arg, int32_t status)
{
    question_end(arg, status, NULL);
}

static struct question *bus_question(const struct chatup_loop *loop, chatup_bus_done *done,
                                     void *arg)
{
    struct question *question = question_open(loop);
    if (question) {
        question->done = done;
        question->arg = arg;
    }
    return question;
}

static int32_t service_publish(const struct chatup_loop *loop,
                               const struct chatup_publication *what, chatup_bus_done *done,
                               void *arg)
{
    const struct shard *shard = shard_of(loop);
    const struct desk_up *up = shard->desk->up;
    size_t max = (size_t)shard->plugin->conf->limits.message_bytes;
    if (what->size < sizeof *what || !what->room.at || !what->room.length ||
        what->room.length > 200 || !is_bus_text(what->room, 200) ||
        (!what->msg.at && !what->ev.at) || !is_bus_text(what->msg, max) ||
        !is_bus_text(what->ev, max) || what->data.length > max || what->user.length > max ||
        (what->data.at && !is_json(what->data)) || (what->user.at && !is_json(what->user)))
        return -1;
    struct question *question = bus_question(loop, done, arg);
    if (question && up)
        up->publish(up->arg, shard->plugin, what, bus_done, question);
    return question ? 0 : -1;
}

static bool is_person(struct chatup_text room, int32_t by, struct chatup_text who)
{
    return (by == CHATUP_BY_NAME || by == CHATUP_BY_SUB) && who.at && who.length &&
           is_bus_text(who, 200) && (!room.at || room.length) && is_bus_text(room, 200);
}

static int32_t service_ban(const struct chatup_loop *loop, struct chatup_text room, int32_t by,
                           struct chatup_text who, int64_t seconds, struct chatup_text reason,
                           chatup_bus_done *done, void *arg)
{
    const struct desk_up *up = shard_of(loop)->desk->up;
    if (!is_person(room, by, who) || seconds < 0 || seconds > INT64_C(100) * 366 * 24 * 3600 ||
        !is_bus_text(reason, 1000))
        return -1;
    struct question *question = bus_question(loop, done, arg);
    if (question && up)
        up->ban(up->arg, from_plugin(room), by, from_plugin(who), seconds, from_plugin(reason),
                bus_done, question);
    return question ? 0 : -1;
}

static int32_t service_kick(const struct chatup_loop *loop, struct chatup_text room, int32_t by,
                            struct chatup_text who, chatup_bus_done *done, void *arg)
{
    const struct desk_up *up = shard_of(loop)->desk->up;
    if (!is_person(room, by, who))
        return -1;
    struct question *question = bus_question(loop, done, arg);
    if (question && up)
        up->kick(up->arg, from_plugin(room), by, from_plugin(who), bus_done, question);
    return question ? 0 : -1;
}

const struct chatup_bus bus_service = {
    .size = sizeof bus_service,
    .publish = service_publish,
    .ban = service_ban,
    .kick = service_kick,
};
