/* The service store, over the server's own keyed store. A batch takes two turns: one in which it
 * happens, and one in which its loop is told; between them others' may happen. */
#include "parts.h"

#include "keyed.h"

enum { KEY_MAX = 512, VALUE_MAX = 64 * 1024, OPS_MAX = 32, WINDOW_MAX = 10000 };

static struct text core_text(struct chatup_text text)
{
    return (struct text){text.at, text.length};
}

static struct text space_of(uint32_t flags)
{
    return text_of(flags & CHATUP_VOLATILE ? "volatile" : "durable");
}

/* ---- watched keys ---- */

struct key_watch {
    struct task task; /* first */
    struct list link; /* test->keys */
    struct keyed_place at;
    bool queued;
    chatup_changed *changed;
    void *arg;
    char storage[]; /* group, key */
};

static void key_watch_run(struct task *task, int32_t status)
{
    struct key_watch *watch = (struct key_watch *)task;
    struct chatup_test *test = task->shard->generation->test;
    struct chatup_result result = {0};
    struct chatup_text *members = NULL;
    watch->queued = false;
    if (status != CHATUP_DONE)
        return;
    keyed_look(test->keyed, &watch->at, clock_wall(), &result, &members);
    struct shard *before = enter(task->shard);
    watch->changed(task->shard->it, watch->arg, &result);
    leave(test, before);
    free(members);
}

static void key_watch_queue(struct chatup_test *test, struct key_watch *watch)
{
    if (!watch->queued)
        task_add(test, &watch->task);
    watch->queued = true;
}

static void key_changed(struct chatup_test *test, const struct keyed_place *at)
{
    struct key_watch *watch;
    list_for_each (watch, &test->keys, link)
        if (text_equal(watch->at.space, at->space) && text_equal(watch->at.group, at->group) &&
            text_equal(watch->at.key, at->key))
            key_watch_queue(test, watch);
}

static void on_changed(void *test, enum keyed_change change, const struct keyed_row *row)
{
    (void)change;
    key_changed(test, &row->at);
}

static void on_gone(void *test, const struct keyed_place *at)
{
    key_changed(test, at);
}

void store_expire(struct chatup_test *test)
{
    keyed_expire(test->keyed, clock_wall(), on_gone, test);
}

void watches_forget(struct shard *shard)
{
    struct key_watch *watch, *after;
    list_for_each_safe (watch, after, &shard->generation->test->keys, link) {
        if (watch->task.shard != shard)
            continue;
        list_remove(&watch->link);
        free(watch);
    }
}

/* ---- batches ---- */

struct question {
    struct task task; /* first */
    uint32_t flags, count;
    struct chatup_text group;
    struct chatup_op *ops;
    struct keyed_outcome outcome;
    chatup_answered *done;
    void *arg;
    char *texts; /* all that group and ops point to */
};

static void question_end(struct question *question, const struct chatup_answer *answer)
{
    struct shard *before = enter(question->task.shard);
    question->done(question->task.shard->it, question->arg, answer);
    leave(question->task.shard->generation->test, before);
    keyed_outcome_finish(&question->outcome);
    free(question->ops);
    free(question->texts);
    free(question);
}

static void question_answer(struct task *task, int32_t status)
{
    struct question *question = (struct question *)task;
    struct chatup_answer ended = {.size = sizeof ended, .status = status};
    bool whole = status == CHATUP_DONE && question->outcome.answer.status == CHATUP_DONE;
    if (status == CHATUP_DONE)
        ended.status = question->outcome.answer.status;
    question_end(question, whole ? &question->outcome.answer : &ended);
}

static void question_run(struct task *task, int32_t status)
{
    struct question *question = (struct question *)task;
    struct chatup_test *test = task->shard->generation->test;
    int32_t failure = CHATUP_DONE;
    if (status != CHATUP_DONE) {
        question_answer(task, status);
        return;
    }
    if (test->store_fails) {
        test->store_fails--;
        failure = test->store_status;
    }
    if (failure != CHATUP_UNAVAILABLE) {
        test->batches++;
        keyed_run(test->keyed, space_of(question->flags), core_text(question->group), question->ops,
                  question->count, clock_wall(), UINT64_MAX, on_changed, test, &question->outcome);
        question->outcome.answer.size = sizeof question->outcome.answer;
    }
    if (failure != CHATUP_DONE)
        question->outcome.answer.status = failure;
    task->run = question_answer;
    task->lane = lane_of(task->shard);
    task_add(test, task);
}

/* ---- the calls ---- */

static bool is_key(struct chatup_text key)
{
    return key.at && key.length >= 1 && key.length <= KEY_MAX && is_utf8(key.at, key.length);
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

static struct chatup_text copy_to(char **to, struct chatup_text text)
{
    struct chatup_text copy = {*to, text.length};
    if (text.length)
        memcpy(*to, text.at, text.length);
    *to += text.length;
    return text.at ? copy : text;
}

static void question_copy(struct question *question, struct chatup_text group,
                          const struct chatup_op *ops, uint32_t count)
{
    size_t bytes = group.length;
    for (uint32_t i = 0; i < count; i++)
        bytes += ops[i].key.length + ops[i].value.length;
    char *to = question->texts = xmalloc(bytes);
    question->group = copy_to(&to, group);
    question->ops = xmemdup(ops, count * sizeof *ops);
    question->count = count;
    for (uint32_t i = 0; i < count; i++) {
        question->ops[i].key = copy_to(&to, ops[i].key);
        question->ops[i].value = copy_to(&to, ops[i].value);
    }
}

static int32_t store_run(const struct chatup_loop *loop, uint32_t flags, struct chatup_text group,
                         const struct chatup_op *ops, uint32_t count, chatup_answered *done,
                         void *arg)
{
    struct shard *shard = shard_of(loop);
    struct chatup_test *test = shard->generation->test;
    if (!is_here(shard, "run"))
        return -1;
    bool ok = is_key(group) && done && count >= 1 && count <= OPS_MAX && !(flags & ~1u);
    for (uint32_t i = 0; ok && i < count; i++)
        ok = is_op(&ops[i]);
    if (!ok) {
        mistake(test, "run: a batch is not as chatup/store.h says");
        return -1;
    }
    struct question *question = xcalloc(1, sizeof *question);
    question->task =
        (struct task){.shard = shard, .run = question_run, .lane = lane_of_store(shard)};
    question->flags = flags;
    question->done = done;
    question->arg = arg;
    question_copy(question, group, ops, count);
    task_add(test, &question->task);
    return 0;
}

static int32_t store_watch(const struct chatup_loop *loop, uint32_t flags, struct chatup_text group,
                           struct chatup_text key, chatup_changed *changed, void *arg)
{
    struct shard *shard = shard_of(loop);
    struct chatup_test *test = shard->generation->test;
    if (!is_here(shard, "watch"))
        return -1;
    if (!is_key(group) || !is_key(key) || !changed || flags & ~1u) {
        mistake(test, "watch: a key is not as chatup/store.h says");
        return -1;
    }
    struct key_watch *watch = xcalloc(1, sizeof *watch + group.length + key.length);
    char *to = watch->storage;
    watch->task = (struct task){.shard = shard, .run = key_watch_run, .lane = lane_of(shard)};
    watch->at.space = space_of(flags);
    watch->at.group = core_text(copy_to(&to, group));
    watch->at.key = core_text(copy_to(&to, key));
    watch->changed = changed;
    watch->arg = arg;
    list_append(&test->keys, &watch->link);
    key_watch_queue(test, watch);
    return 0;
}

const struct chatup_store test_store_service = {
    .size = sizeof test_store_service,
    .run = store_run,
    .watch = store_watch,
};

void store_open(struct chatup_test *test)
{
    test->keyed = keyed_create();
}

void store_close(struct chatup_test *test)
{
    keyed_destroy(test->keyed);
}

void chatup_test_store_fails(struct chatup_test *test, uint32_t count, int32_t status)
{
    test->store_fails = count;
    test->store_status = status;
}

void chatup_test_store_holds(struct chatup_test *test, int hold)
{
    test->store_holds = hold != 0;
}

uint32_t chatup_test_batches(struct chatup_test *test)
{
    return test->batches;
}
