/* The services as a plugin meets them in a check. Each answer is a letter, delivered by the loop
 * that asked: never from within. In CHECK_SILENT it is held until the shard is closed, and then
 * given, as a real store's late answer would be: it reaches nobody. */
#include "alloc.h"
#include "clock.h"
#include "keyed.h"
#include "plugin_check.h"

struct reply {
    struct letter letter; /* first */
    struct list link;     /* among those held */
    struct loop *loop;
    int32_t status;               /* of all that is asked in a mode */
    struct keyed_outcome outcome; /* of the store, with CHATUP_DONE */
    void (*answered)(void *arg, const struct chatup_answer *answer);
    void (*done)(void *arg, int32_t status);
    void *arg;
};

static void reply_arrives(struct letter *letter)
{
    struct reply *reply = (struct reply *)letter;
    const struct chatup_answer failed = {.size = sizeof failed, .status = reply->status};
    if (reply->answered)
        reply->answered(reply->arg,
                        reply->status == CHATUP_DONE ? &reply->outcome.answer : &failed);
    else
        reply->done(reply->arg, reply->status);
    if (reply->answered && reply->status == CHATUP_DONE)
        keyed_outcome_finish(&reply->outcome);
    free(reply);
}

static struct reply *reply_create(const struct check_seat *seat, void *arg)
{
    static const int32_t statuses[] = {[CHECK_WORKS] = CHATUP_DONE,
                                       [CHECK_REFUSES] = CHATUP_UNAVAILABLE,
                                       [CHECK_LOSES] = CHATUP_TIMEOUT,
                                       [CHECK_SILENT] = CHATUP_TIMEOUT};
    struct reply *reply = xcalloc(1, sizeof *reply);
    reply->letter.deliver = reply_arrives;
    reply->loop = seat->loop;
    reply->status = statuses[seat->check->mode];
    reply->arg = arg;
    return reply;
}

static void reply_send(struct check *check, struct reply *reply)
{
    if (check->mode == CHECK_SILENT)
        list_append(&check->held, &reply->link);
    else
        loop_post(reply->loop, &reply->letter);
}

/* ---- watched keys ---- */

struct watch {
    struct letter letter; /* first */
    struct list link;     /* check->watches; of itself once it is over */
    struct check_seat *seat;
    bool is_volatile, queued, over;
    char *group, *key;
    void (*changed)(void *arg, const struct chatup_result *result);
    void *arg;
};

static void watch_free(struct watch *watch)
{
    free(watch->group);
    free(watch->key);
    free(watch);
}

static struct text space_of(bool is_volatile)
{
    return text_of(is_volatile ? "volatile" : "durable");
}

static void watch_arrives(struct letter *letter)
{
    struct watch *watch = (struct watch *)letter;
    struct chatup_result result = {0};
    struct chatup_text *members = NULL;
    watch->queued = false;
    if (watch->over) {
        watch_free(watch);
        return;
    }
    const struct keyed_place at = {space_of(watch->is_volatile), text_of(watch->group),
                                   text_of(watch->key)};
    keyed_look(watch->seat->check->kept, &at, clock_wall_ms(), &result, &members);
    watch->changed(watch->arg, &result);
    free(members);
}

/* Where nothing is known of the store, nothing is told either. */
static void watch_queue(struct watch *watch)
{
    if (watch->queued || watch->seat->check->mode != CHECK_WORKS)
        return;
    watch->queued = true;
    loop_post(watch->seat->loop, &watch->letter);
}

static void *up_watch(void *arg, const char *space, bool is_volatile, struct text group,
                      struct text key, void (*changed)(void *, const struct chatup_result *),
                      void *changed_arg)
{
    struct check_seat *seat = arg;
    struct watch *watch = xcalloc(1, sizeof *watch);
    watch->letter.deliver = watch_arrives;
    watch->seat = seat;
    watch->is_volatile = is_volatile;
    watch->group = xstrndup(group.at, group.length);
    watch->key = xstrndup(key.at, key.length);
    watch->changed = changed;
    watch->arg = changed_arg;
    list_append(&seat->check->watches, &watch->link);
    watch_queue(watch);
    return watch;
}

static void up_unwatch(void *arg, void *handle)
{
    struct watch *watch = handle;
    list_remove(&watch->link);
    watch->over = true;
    if (!watch->queued)
        watch_free(watch);
}

/* ---- store ---- */

static void up_keep(void *arg, const char *space, bool is_volatile, struct text group,
                    const struct chatup_op *ops, uint32_t count,
                    void (*done)(void *, const struct chatup_answer *), void *done_arg)
{
    struct check_seat *seat = arg;
    struct check *check = seat->check;
    struct reply *reply = reply_create(seat, done_arg);
    reply->answered = done;
    if (reply->status == CHATUP_DONE)
        keyed_run(check->kept, space_of(is_volatile), group, ops, count, clock_wall_ms(),
                  UINT64_MAX, NULL, NULL, &reply->outcome);
    reply_send(check, reply);
    struct watch *watch;
    list_for_each (watch, &check->watches, link) /* more often than a server tells them */
        watch_queue(watch);
}

/* ---- bus ---- */

static void bus(void *arg, void (*done)(void *, int32_t), void *done_arg)
{
    struct check_seat *seat = arg;
    struct reply *reply = reply_create(seat, done_arg);
    reply->done = done;
    reply_send(seat->check, reply);
}

static void up_publish(void *arg, const struct plugin *author,
                       const struct chatup_publication *what, void (*done)(void *, int32_t),
                       void *done_arg)
{
    bus(arg, done, done_arg);
}

static void up_ban(void *arg, struct text room, int32_t by, struct text who, int64_t seconds,
                   struct text reason, void (*done)(void *, int32_t), void *done_arg)
{
    bus(arg, done, done_arg);
}

static void up_kick(void *arg, struct text room, int32_t by, struct text who,
                    void (*done)(void *, int32_t), void *done_arg)
{
    bus(arg, done, done_arg);
}

/* ---- life ---- */

void check_services_begin(struct check *check)
{
    list_init(&check->watches);
    list_init(&check->held);
    check->kept = keyed_create();
    for (size_t i = 0; i < CHECK_LOOPS; i++) {
        check->seats[i] = (struct check_seat){check, check->loops[i]};
        check->ups[i] = (struct desk_up){.arg = &check->seats[i],
                                         .keep = up_keep,
                                         .watch = up_watch,
                                         .unwatch = up_unwatch,
                                         .publish = up_publish,
                                         .ban = up_ban,
                                         .kick = up_kick};
    }
}

void check_services_release(struct check *check)
{
    struct reply *reply, *after;
    list_for_each_safe (reply, after, &check->held, link) {
        list_remove(&reply->link);
        loop_post(reply->loop, &reply->letter);
    }
}

void check_services_end(struct check *check)
{
    keyed_destroy(check->kept);
    check->kept = NULL;
}
