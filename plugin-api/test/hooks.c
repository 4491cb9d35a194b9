/* The hooks and routes of the plugin, and what it may call in them. What a hook is lent lies in
 * blocks of its own that are freed after it, so that the address sanitizer finds who keeps it. */
#include "parts.h"
#include "tags.h"

/* ---- what is lent ---- */

struct loan {
    void **blocks;
    size_t count;
};

static struct chatup_text lend(struct loan *loan, struct chatup_text text)
{
    if (!text.at)
        return (struct chatup_text){NULL, 0};
    char *block = xmalloc(text.length); /* no NUL behind it */
    if (text.length)
        memcpy(block, text.at, text.length);
    loan->blocks = xrealloc(loan->blocks, (loan->count + 1) * sizeof *loan->blocks);
    loan->blocks[loan->count++] = block;
    return (struct chatup_text){block, text.length};
}

static void loan_end(struct loan *loan)
{
    for (size_t i = 0; i < loan->count; i++)
        free(loan->blocks[i]);
    free(loan->blocks);
}

static struct chatup_text text_of_string(const char *string)
{
    return (struct chatup_text){string, string ? strlen(string) : 0};
}

static struct chatup_text text_or_empty(const char *string)
{
    return text_of_string(string ? string : "");
}

static struct chatup_text if_set(struct chatup_text text, const char *otherwise)
{
    return text.at ? text : text_of_string(otherwise);
}

static struct shard *shard_at(struct chatup_test *test, uint32_t loop)
{
    if (loop < test->loops)
        return &test->now->shards[loop];
    mistake(test, "this test has no loop %u", (unsigned)loop);
    return &test->now->shards[0];
}

static const char *keep_text(struct chatup_test *test, const char *at, size_t length)
{
    return keep(test, xstrndup(length ? at : "", length));
}

/* A verdict that the hook may give, else FAULT. */
static int32_t verdict_of(struct chatup_test *test, const char *hook, int32_t verdict,
                          int32_t highest)
{
    bool known = verdict == CHATUP_FAULT || (verdict >= CHATUP_ACCEPT && verdict <= highest);
    if (!known)
        mistake(test, "%s returned %d", hook, (int)verdict);
    return known ? verdict : CHATUP_FAULT;
}

/* ---- message_in ---- */

struct say {
    struct chatup_test_said said; /* first */
    const char *staged_msg, *staged_reply, *staged_tags;
    struct deferral *deferral;
};

struct asked {                 /* what the plugin gets, for as long as it may have it */
    struct chatup_event event; /* first */
    struct shard *shard;
    struct say *say;
};

struct come {                           /* a connect, an auth or a join */
    struct chatup_test_visited visited; /* first */
    bool edits_user;
    int32_t highest; /* verdict */
    bool tags_count; /* it may give some */
    const char *staged_user, *staged_reply, *staged_tags;
    struct deferral *deferral;
};

struct deferral {
    struct task task; /* first; among the timers */
    struct say *say;  /* or */
    struct come *come;
};

static bool is_message(const char *at, size_t length)
{
    return length <= MESSAGE_BYTES_MAX && (at || !length) && is_utf8(at, length);
}

static int32_t set_msg(struct chatup_event *event, const char *text, size_t length)
{
    struct asked *asked = (struct asked *)event;
    if (!event->msg.at || !is_message(text, length))
        return -1;
    asked->say->staged_msg = keep_text(asked->shard->generation->test, text, length);
    return 0;
}

static int32_t set_reply(struct chatup_event *event, const char *json, size_t length)
{
    struct asked *asked = (struct asked *)event;
    if (!is_object(json, length))
        return -1;
    asked->say->staged_reply = keep_text(asked->shard->generation->test, json, length);
    return 0;
}

/* ---- tags ---- */

void chatup_test_tags(struct chatup_test *test, const char *tags)
{
    char *copy = tags && *tags ? xstrdup(tags) : NULL;
    free(test->tags);
    test->tags = copy;
}

static int32_t tag_add(struct chatup_test *test, const char **staged, const char *given,
                       const char *tag, size_t length)
{
    char *more = tags_with(*staged ? *staged : given, (struct text){tag, length});
    if (more)
        *staged = keep(test, more);
    return more ? 0 : -1;
}

static int32_t host_tag(struct chatup_event *event, const char *tag, size_t length)
{
    struct asked *asked = (struct asked *)event;
    struct say *say = asked->say;
    return tag_add(asked->shard->generation->test, &say->staged_tags, say->said.tags, tag, length);
}

static int32_t host_has_tag(const struct chatup_event *event, const char *tag, size_t length)
{
    const struct asked *asked = (const struct asked *)event;
    return tags_have(asked->say->said.tags, (struct text){tag, length});
}

/* What was staged counts, unless the plugin has failed. */
static void say_end(struct say *say, int32_t verdict)
{
    say->said.verdict = verdict;
    if (verdict != CHATUP_FAULT && say->staged_msg)
        say->said.msg = say->staged_msg;
    if (verdict != CHATUP_FAULT && say->staged_reply)
        say->said.reply = say->staged_reply;
    if (verdict != CHATUP_FAULT && say->staged_tags)
        say->said.tags = say->staged_tags;
}

static void come_end(struct come *come, int32_t verdict)
{
    come->visited.verdict = verdict;
    if (verdict == CHATUP_FAULT)
        return;
    come->visited.user = come->staged_user;
    come->visited.reply = come->staged_reply;
    if (come->staged_tags)
        come->visited.tags = come->staged_tags;
}

static void deferral_end(struct deferral *deferral, int32_t verdict)
{
    if (deferral->say)
        say_end(deferral->say, verdict);
    else
        come_end(deferral->come, verdict);
}

/* status: CHATUP_DONE is its time-out. Who has left gets no verdict. */
static void deferral_over(struct task *task, int32_t status)
{
    struct deferral *deferral = (struct deferral *)task;
    struct shard *shard = task->shard;
    struct generation *generation = shard->generation;
    if (status != CHATUP_LEFT)
        deferral_end(deferral, CHATUP_FAULT);
    if (generation->api.cancelled && shard->open) {
        struct shard *before = enter(shard);
        generation->api.cancelled(shard->it, task->id,
                                  status == CHATUP_DONE ? CHATUP_TIMEOUT : status);
        leave(generation->test, before);
    }
    free(deferral);
}

void chatup_test_left(struct chatup_test *test, uint64_t id)
{
    struct shard *shard = id_shard(test->now, id);
    struct task *task = shard ? timer_take(shard, id, deferral_over) : NULL;
    if (!task)
        return;
    if (!((struct deferral *)task)->say) {
        deferral_over(task, CHATUP_LEFT);
        return;
    }
    list_append(&test->timers, &task->link); /* it goes on */
    if (!test->now->api.left)
        return;
    struct shard *before = enter(shard);
    test->now->api.left(shard->it, id);
    leave(test, before);
}

/*   open  that of the same hook; NULL: none */
static struct deferral *deferral_open(struct shard *shard, const char *call, int64_t timeout_ms,
                                      const struct deferral *open)
{
    struct chatup_test *test = shard->generation->test;
    if (!is_here(shard, call))
        return NULL;
    if (timeout_ms < 1 || timeout_ms > 60000 || open) {
        mistake(test, "%s: twice, or its timeout is not 1 to 60 000 ms", call);
        return NULL;
    }
    struct deferral *deferral = xcalloc(1, sizeof *deferral);
    deferral->task = (struct task){.shard = shard, .run = deferral_over, .id = id_next(shard)};
    timer_add(test, &deferral->task, timeout_ms);
    return deferral;
}

static uint64_t host_defer(struct chatup_event *event, int64_t timeout_ms)
{
    struct asked *asked = (struct asked *)event;
    struct deferral *deferral =
        deferral_open(asked->shard, "defer", timeout_ms, asked->say->deferral);
    if (!deferral)
        return 0;
    deferral->say = asked->say;
    asked->say->deferral = deferral;
    return deferral->task.id;
}

/* Asked for, and not used. */
static void deferral_drop(struct deferral *deferral, const char *hook)
{
    mistake(deferral->task.shard->generation->test, "%s deferred and did not return CHATUP_DEFER",
            hook);
    list_remove(&deferral->task.link);
    free(deferral);
}

struct resumption {
    struct task task; /* first */
    uint64_t id;
    int32_t verdict;
    const char *msg, *reply; /* NULL: none */
    size_t msg_length, reply_length;
};

static bool may_edit(const struct deferral *deferral, const struct resumption *what)
{
    if (deferral->come)
        return deferral->come->edits_user && is_object(what->msg, what->msg_length);
    return deferral->say->said.msg && is_message(what->msg, what->msg_length);
}

static void resumption_run(struct task *task, int32_t status)
{
    struct resumption *what = (struct resumption *)task;
    struct chatup_test *test = task->shard->generation->test;
    struct deferral *deferral = (struct deferral *)timer_take(task->shard, what->id, deferral_over);
    (void)status;
    if (!deferral) {
        late(test);
    } else {
        struct come *come = deferral->come;
        const char **edit = come ? &come->staged_user : &deferral->say->staged_msg;
        const char **reply = come ? &come->staged_reply : &deferral->say->staged_reply;
        int32_t verdict =
            verdict_of(test, "resume", what->verdict, come ? come->highest : CHATUP_CONSUME);
        bool good = (!what->msg || may_edit(deferral, what)) &&
                    (!what->reply || is_object(what->reply, what->reply_length));
        if (!good)
            mistake(test, "resume: edit or reply is not what set_msg or set_reply take");
        if (good && what->msg)
            *edit = keep_text(test, what->msg, what->msg_length);
        if (good && what->reply)
            *reply = keep_text(test, what->reply, what->reply_length);
        deferral_end(deferral, good ? verdict : CHATUP_FAULT);
        free(deferral);
    }
    free((char *)what->msg);
    free((char *)what->reply);
    free(what);
}

/* [any thread] */
static void host_resume(void *host, uint64_t id, int32_t verdict, struct chatup_text msg,
                        struct chatup_text reply)
{
    struct generation *generation = host;
    struct shard *shard = id_shard(generation, id);
    if (!shard) {
        late(generation->test);
        return;
    }
    struct resumption *what = xcalloc(1, sizeof *what);
    *what =
        (struct resumption){.task = {.shard = shard, .run = resumption_run, .lane = lane_of(shard)},
                            .id = id,
                            .verdict = verdict,
                            .msg = msg.at ? xstrndup(msg.at, msg.length) : NULL,
                            .msg_length = msg.length,
                            .reply = reply.at ? xstrndup(reply.at, reply.length) : NULL,
                            .reply_length = reply.length};
    task_add(generation->test, &what->task);
}

static void lend_event(struct loan *loan, const struct chatup_event *from, struct chatup_event *to)
{
    *to = (struct chatup_event){
        .size = sizeof *to,
        .flags = from->flags,
        .room = lend(loan, from->room),
        .id = lend(loan, if_set(from->id, "00000000-0000-4000-8000-000000000000")),
        .sub = lend(loan, if_set(from->sub, "")),
        .name = lend(loan, if_set(from->name, "")),
        .user = lend(loan, if_set(from->user, "{}")),
        .msg = lend(loan, from->msg),
        .ev = lend(loan, from->ev),
        .data = lend(loan, from->data),
        .time_ms = from->time_ms ? from->time_ms : clock_wall(),
    };
}

static int32_t call_message_in(struct shard *shard, const struct chatup_event *event,
                               struct say *say)
{
    struct generation *generation = shard->generation;
    struct loan loan = {0};
    struct asked *asked = xcalloc(1, sizeof *asked);
    lend_event(&loan, event, &asked->event);
    asked->shard = shard;
    asked->say = say;
    struct shard *before = enter(shard);
    int32_t verdict = generation->api.message_in(shard->it, &asked->event);
    leave(generation->test, before);
    loan_end(&loan);
    free(asked);
    return verdict_of(generation->test, "message_in", verdict, CHATUP_DEFER);
}

const struct chatup_test_said *chatup_test_event(struct chatup_test *test, uint32_t loop,
                                                 const struct chatup_event *event)
{
    struct shard *shard = shard_at(test, loop);
    const struct chatup_plugin *api = &test->now->api;
    struct say *say = keep(test, xcalloc(1, sizeof *say));
    if (test->tags)
        say->said.tags = keep_text(test, test->tags, strlen(test->tags));
    if (event->msg.at)
        say->said.msg = keep_text(test, event->msg.at, event->msg.length);
    if (!api->message_in || (event->flags & CHATUP_FROM_POST && !(api->flags & CHATUP_SEES_POST)))
        return &say->said;
    int32_t verdict = call_message_in(shard, event, say);
    if (verdict == CHATUP_DEFER && !say->deferral) {
        mistake(test, "message_in returned CHATUP_DEFER without defer");
        verdict = CHATUP_FAULT;
    }
    if (verdict == CHATUP_DEFER) {
        say->said.verdict = verdict;
        say->said.id = say->deferral->task.id;
        return &say->said;
    }
    if (say->deferral)
        deferral_drop(say->deferral, "message_in");
    say_end(say, verdict);
    return &say->said;
}

const struct chatup_test_said *chatup_test_say(struct chatup_test *test, uint32_t loop,
                                               const char *room, const char *sub, const char *name,
                                               const char *text)
{
    struct chatup_event event = {.size = sizeof event,
                                 .room = text_of_string(room),
                                 .sub = text_or_empty(sub),
                                 .name = text_or_empty(name),
                                 .msg = text_of_string(text)};
    return chatup_test_event(test, loop, &event);
}

/* ---- message_out ---- */

struct show {
    struct chatup_batch batch; /* first */
    struct shard *shard;
    const char **staged;
    bool *dropped;
};

static struct show *show_of(struct chatup_batch *batch, uint32_t i, const char *call)
{
    struct show *show = (struct show *)batch;
    if (i < batch->count)
        return show;
    mistake(show->shard->generation->test, "%s: there is no message %u", call, (unsigned)i);
    return NULL;
}

static int32_t set_msg_out(struct chatup_batch *batch, uint32_t i, const char *text, size_t length)
{
    struct show *show = show_of(batch, i, "set_msg_out");
    if (!show || !batch->messages[i]->msg.at || !is_message(text, length))
        return -1;
    show->staged[i] = keep_text(show->shard->generation->test, text, length);
    return 0;
}

static int32_t host_drop(struct chatup_batch *batch, uint32_t i)
{
    struct show *show = show_of(batch, i, "drop");
    if (!show)
        return -1;
    show->dropped[i] = true;
    return 0;
}

static void lend_message(struct loan *loan, const struct chatup_message *from,
                         struct chatup_message *to)
{
    *to = (struct chatup_message){
        .size = sizeof *to,
        .flags = from->flags,
        .offset = from->offset,
        .room = lend(loan, from->room),
        .id = lend(loan, if_set(from->id, "00000000-0000-4000-8000-000000000000")),
        .sub = lend(loan, if_set(from->sub, "")),
        .name = lend(loan, if_set(from->name, "")),
        .user = lend(loan, if_set(from->user, "{}")),
        .msg = lend(loan, from->msg),
        .ev = lend(loan, from->ev),
        .data = lend(loan, from->data),
        .time_ms = from->time_ms ? from->time_ms : clock_wall(),
    };
}

static int32_t call_message_out(struct show *show, const struct chatup_message *messages,
                                uint32_t count)
{
    struct chatup_test *test = show->shard->generation->test;
    struct loan loan = {0};
    struct chatup_message *views = xcalloc(count, sizeof *views);
    const struct chatup_message **pointers = xcalloc(count, sizeof(struct chatup_message *));
    for (uint32_t i = 0; i < count; i++) {
        lend_message(&loan, &messages[i], &views[i]);
        pointers[i] = &views[i];
    }
    show->batch = (struct chatup_batch){.size = sizeof show->batch,
                                        .count = count,
                                        .messages = pointers,
                                        .room = lend(&loan, messages[0].room)};
    struct shard *before = enter(show->shard);
    int32_t verdict = test->now->api.message_out(show->shard->it, &show->batch);
    leave(test, before);
    loan_end(&loan);
    free(views);
    free(pointers);
    return verdict_of(test, "message_out", verdict, CHATUP_REJECT);
}

const struct chatup_test_shown *chatup_test_batch(struct chatup_test *test, uint32_t loop,
                                                  const struct chatup_message *messages,
                                                  uint32_t count)
{
    struct chatup_test_shown *shown = keep(test, xcalloc(1, sizeof *shown));
    const char **msgs = keep(test, xcalloc(count, sizeof(char *)));
    struct show *show = xcalloc(1, sizeof *show);
    show->shard = shard_at(test, loop);
    show->staged = xcalloc(count, sizeof(char *));
    show->dropped = xcalloc(count, sizeof *show->dropped);
    if (count && test->now->api.message_out)
        shown->verdict = call_message_out(show, messages, count);
    for (uint32_t i = 0; i < count && shown->verdict != CHATUP_REJECT; i++) {
        bool counts = shown->verdict == CHATUP_ACCEPT;
        if (counts && show->dropped[i])
            continue;
        if (counts && show->staged[i])
            msgs[i] = show->staged[i];
        else if (messages[i].msg.at)
            msgs[i] = keep_text(test, messages[i].msg.at, messages[i].msg.length);
    }
    shown->count = count;
    shown->msgs = msgs;
    free(show->staged);
    free(show->dropped);
    free(show);
    return shown;
}

const struct chatup_test_shown *chatup_test_out(struct chatup_test *test, uint32_t loop,
                                                const char *room, ...)
{
    struct chatup_message *messages = NULL;
    uint32_t count = 0;
    const char *text;
    va_list args;
    va_start(args, room);
    while ((text = va_arg(args, const char *))) {
        messages = xrealloc(messages, (count + 1) * sizeof *messages);
        messages[count] = (struct chatup_message){.size = sizeof *messages,
                                                  .offset = count + 1,
                                                  .room = text_of_string(room),
                                                  .msg = text_of_string(text)};
        count++;
    }
    va_end(args);
    const struct chatup_test_shown *shown = chatup_test_batch(test, loop, messages, count);
    free(messages);
    return shown;
}

/* ---- auth, join, leave ---- */

struct visiting {              /* what the plugin gets, for as long as it may have it */
    struct chatup_visit visit; /* first */
    struct shard *shard;
    struct come *come; /* NULL: it leaves */
};

static int32_t tag_visit(struct chatup_visit *visit, const char *tag, size_t length)
{
    struct visiting *visiting = (struct visiting *)visit;
    struct come *come = visiting->come;
    return come && come->tags_count ? tag_add(visiting->shard->generation->test, &come->staged_tags,
                                              come->visited.tags, tag, length)
                                    : -1;
}

static int32_t visit_has_tag(const struct chatup_visit *visit, const char *tag, size_t length)
{
    const struct visiting *visiting = (const struct visiting *)visit;
    const struct come *come = visiting->come;
    return tags_have(come ? come->visited.tags : visiting->shard->generation->test->tags,
                     (struct text){tag, length});
}

static int32_t set_user(struct chatup_visit *visit, const char *json, size_t length)
{
    struct visiting *visiting = (struct visiting *)visit;
    if (!visiting->come || !visiting->come->edits_user || !is_object(json, length))
        return -1;
    visiting->come->staged_user = keep_text(visiting->shard->generation->test, json, length);
    return 0;
}

static int32_t set_visit_reply(struct chatup_visit *visit, const char *json, size_t length)
{
    struct visiting *visiting = (struct visiting *)visit;
    if (!visiting->come || !is_object(json, length))
        return -1;
    visiting->come->staged_reply = keep_text(visiting->shard->generation->test, json, length);
    return 0;
}

static uint64_t defer_visit(struct chatup_visit *visit, int64_t timeout_ms)
{
    struct visiting *visiting = (struct visiting *)visit;
    struct come *come = visiting->come;
    struct deferral *deferral =
        come ? deferral_open(visiting->shard, "defer_visit", timeout_ms, come->deferral) : NULL;
    if (!deferral)
        return 0;
    deferral->come = come;
    come->deferral = deferral;
    return deferral->task.id;
}

static struct visiting *visiting_create(struct shard *shard, struct loan *loan, const char *room,
                                        const char *sub, const char *name, const char *user)
{
    struct visiting *visiting = xcalloc(1, sizeof *visiting);
    visiting->shard = shard;
    visiting->visit = (struct chatup_visit){
        .size = sizeof visiting->visit,
        .room = lend(loan, text_of_string(room)),
        .sub = lend(loan, text_or_empty(sub)),
        .name = lend(loan, text_or_empty(name)),
        .user = lend(loan, text_of_string(user ? user : "{}")),
        .address = lend(loan, text_of_string("127.0.0.1")),
    };
    return visiting;
}

typedef int32_t visit_hook(void *shard, struct chatup_visit *visit);

/*   visiting  taken, with its loan */
static const struct chatup_test_visited *visit(struct visiting *visiting, struct loan *loan,
                                               struct come *come, visit_hook *hook,
                                               const char *name)
{
    struct shard *shard = visiting->shard;
    struct chatup_test *test = shard->generation->test;
    int32_t verdict = CHATUP_ACCEPT;
    keep(test, come);
    visiting->come = come;
    if (test->tags)
        come->visited.tags = keep_text(test, test->tags, strlen(test->tags));
    struct shard *before = enter(shard);
    if (hook)
        verdict = hook(shard->it, &visiting->visit);
    leave(test, before);
    loan_end(loan);
    free(visiting);
    if (verdict == CHATUP_DEFER && come->deferral) {
        come->visited.verdict = CHATUP_DEFER;
        come->visited.id = come->deferral->task.id;
        return &come->visited;
    }
    if (come->deferral)
        deferral_drop(come->deferral, name);
    come_end(come, verdict_of(test, name, verdict, come->highest));
    return &come->visited;
}

const struct chatup_test_visited *chatup_test_connect(struct chatup_test *test, uint32_t loop,
                                                      uint32_t way, const char *path,
                                                      const char *address, const char *origin,
                                                      const char *user_agent)
{
    struct loan loan = {0};
    struct come *come = xcalloc(1, sizeof *come);
    struct visiting *visiting = xcalloc(1, sizeof *visiting);
    come->highest = CHATUP_REJECT;
    come->tags_count = true;
    visiting->shard = shard_at(test, loop);
    visiting->visit = (struct chatup_visit){
        .size = sizeof visiting->visit,
        .sub = lend(&loan, text_or_empty(NULL)),
        .name = lend(&loan, text_or_empty(NULL)),
        .address = lend(&loan, text_of_string(address ? address : "127.0.0.1")),
        .path = lend(&loan, text_of_string(path)),
        .origin = lend(&loan, text_of_string(origin)),
        .user_agent = lend(&loan, text_of_string(user_agent)),
        .way = way,
    };
    return visit(visiting, &loan, come, test->now->api.connect, "connect");
}

const struct chatup_test_visited *chatup_test_auth(struct chatup_test *test, uint32_t loop,
                                                   const char *sub, const char *name,
                                                   const char *user_json)
{
    struct loan loan = {0};
    struct come *come = xcalloc(1, sizeof *come);
    come->edits_user = come->tags_count = true;
    come->highest = CHATUP_REJECT;
    struct visiting *visiting =
        visiting_create(shard_at(test, loop), &loan, NULL, sub, name, user_json);
    return visit(visiting, &loan, come, test->now->api.auth, "auth");
}

const struct chatup_test_visited *chatup_test_join(struct chatup_test *test, uint32_t loop,
                                                   const char *room, const char *sub,
                                                   const char *name)
{
    struct loan loan = {0};
    struct come *come = xcalloc(1, sizeof *come);
    come->highest = CHATUP_CONSUME;
    struct visiting *visiting = visiting_create(shard_at(test, loop), &loan, room, sub, name, NULL);
    return visit(visiting, &loan, come, test->now->api.join, "join");
}

void chatup_test_leave(struct chatup_test *test, uint32_t loop, const char *room, const char *sub,
                       const char *name)
{
    struct shard *shard = shard_at(test, loop);
    if (!test->now->api.leave)
        return;
    struct loan loan = {0};
    struct visiting *visiting = visiting_create(shard, &loan, room, sub, name, NULL);
    struct shard *before = enter(shard);
    test->now->api.leave(shard->it, &visiting->visit);
    leave(test, before);
    loan_end(&loan);
    free(visiting);
}

/* ---- routes ---- */

struct request {
    struct chatup_request request; /* first */
    struct shard *shard;
    struct chatup_test_answer *answer;
    struct later *later;
};

struct later {
    struct task task; /* first; among the timers */
    struct chatup_test_answer *answer;
};

/* response NULL: none, of that status */
static void answer_set(struct chatup_test *test, struct chatup_test_answer *answer, int32_t status,
                       const struct chatup_response *response)
{
    answer->status = status;
    if (!response)
        return;
    const struct chatup_text *type = &response->content_type;
    if (response->status)
        answer->status = response->status;
    answer->content_type = type->at ? keep_text(test, type->at, type->length) : "application/json";
    answer->body =
        keep_text(test, response->body.at, response->body.at ? response->body.length : 0);
    answer->length = response->body.at ? response->body.length : 0;
}

static void later_over(struct task *task, int32_t status)
{
    struct later *later = (struct later *)task;
    answer_set(task->shard->generation->test, later->answer, status == CHATUP_DONE ? 504 : 503,
               NULL);
    free(later);
}

static uint64_t routes_later(const struct chatup_request *arg, int64_t timeout_ms)
{
    struct request *request = (struct request *)arg;
    struct shard *shard = request->shard;
    if (!is_here(shard, "later"))
        return 0;
    if (timeout_ms < 1 || timeout_ms > 60000 || request->later) {
        mistake(shard->generation->test, "later: twice, or its timeout is not 1 to 60 000 ms");
        return 0;
    }
    struct later *later = xcalloc(1, sizeof *later);
    later->task = (struct task){.shard = shard, .run = later_over, .id = id_next(shard)};
    later->answer = request->answer;
    request->later = later;
    timer_add(shard->generation->test, &later->task, timeout_ms);
    return later->task.id;
}

struct responding {
    struct task task; /* first */
    uint64_t id;
    struct chatup_response response;
};

static void responding_run(struct task *task, int32_t status)
{
    struct responding *what = (struct responding *)task;
    struct chatup_test *test = task->shard->generation->test;
    struct later *later = (struct later *)timer_take(task->shard, what->id, later_over);
    (void)status;
    if (later)
        answer_set(test, later->answer, 200, &what->response);
    else
        late(test);
    free(later);
    free((char *)what->response.content_type.at);
    free((char *)what->response.body.at);
    free(what);
}

/* [any thread] */
static void routes_respond(void *host, uint64_t id, const struct chatup_response *response)
{
    struct generation *generation = host;
    struct chatup_test *test = generation->test;
    struct shard *shard = id_shard(generation, id);
    if (response->size < sizeof *response) {
        mistake(test, "respond: the size of the response is not set");
        return;
    }
    if (!shard) {
        late(test);
        return;
    }
    struct responding *what = xcalloc(1, sizeof *what);
    what->task = (struct task){.shard = shard, .run = responding_run, .lane = lane_of(shard)};
    what->id = id;
    what->response = *response;
    if (response->content_type.at)
        what->response.content_type.at =
            xstrndup(response->content_type.at, response->content_type.length);
    if (response->body.at)
        what->response.body.at = xstrndup(response->body.at, response->body.length);
    task_add(test, &what->task);
}

const struct chatup_routes test_routes_service = {
    .size = sizeof test_routes_service,
    .later = routes_later,
    .respond = routes_respond,
};

/* NULL with the status that the server would answer. */
static const struct chatup_route *route_find(const struct chatup_plugin *api, uint32_t method,
                                             const char *path, size_t path_length, size_t body,
                                             int32_t *status_out)
{
    *status_out = 404;
    for (uint32_t i = 0; i < api->route_count; i++) {
        const struct chatup_route *route = &api->routes[i];
        if (strlen(route->path) != path_length || memcmp(route->path, path, path_length) != 0)
            continue;
        *status_out = 405;
        if (!(route->methods & method))
            continue;
        *status_out = 413;
        return route->max_body && body > route->max_body ? NULL : route;
    }
    return NULL;
}

static int32_t call_route(struct request *request, const struct chatup_route *route,
                          uint32_t method, struct chatup_text path, struct chatup_text query,
                          struct chatup_text body)
{
    struct shard *shard = request->shard;
    struct chatup_test *test = shard->generation->test;
    struct loan loan = {0};
    struct chatup_response response = {.size = sizeof response};
    request->request = (struct chatup_request){.size = sizeof request->request,
                                               .method = method,
                                               .path = lend(&loan, path),
                                               .query = lend(&loan, query),
                                               .body = lend(&loan, body)};
    struct shard *before = enter(shard);
    int32_t verdict = route->handle(shard->it, &request->request, &response);
    leave(test, before);
    if (verdict == CHATUP_ACCEPT) /* the body is valid until the next call, the loan no more */
        answer_set(test, request->answer, 200, &response);
    loan_end(&loan);
    return verdict;
}

const struct chatup_test_answer *chatup_test_route(struct chatup_test *test, uint32_t loop,
                                                   uint32_t method, const char *path,
                                                   const char *body)
{
    struct chatup_test_answer *answer = keep(test, xcalloc(1, sizeof *answer));
    size_t path_length = strcspn(path, "?");
    struct chatup_text query = text_of_string(path[path_length] ? path + path_length + 1 : NULL);
    const struct chatup_route *route = route_find(&test->now->api, method, path, path_length,
                                                  body ? strlen(body) : 0, &answer->status);
    if (!route)
        return answer;
    struct request *request = xcalloc(1, sizeof *request);
    answer->status = 0;
    request->shard = shard_at(test, loop);
    request->answer = answer;
    int32_t verdict = call_route(request, route, method, (struct chatup_text){path, path_length},
                                 query, text_or_empty(body));
    if (verdict != CHATUP_ACCEPT && (verdict != CHATUP_DEFER || !request->later)) {
        mistake(test, "the route %s returned %d", *route->path ? route->path : "\"\"",
                (int)verdict);
        answer_set(test, answer, 500, NULL);
    }
    if (verdict != CHATUP_DEFER && request->later) {
        list_remove(&request->later->task.link);
        free(request->later);
    }
    free(request);
    return answer;
}

void hooks_offer(struct chatup_host *host)
{
    host->set_msg = set_msg;
    host->set_reply = set_reply;
    host->set_msg_out = set_msg_out;
    host->drop = host_drop;
    host->defer = host_defer;
    host->resume = host_resume;
    host->set_user = set_user;
    host->set_visit_reply = set_visit_reply;
    host->defer_visit = defer_visit;
    host->tag = host_tag;
    host->has_tag = host_has_tag;
    host->tag_visit = tag_visit;
    host->visit_has_tag = visit_has_tag;
}
