/* What plugins ask of the rest of the program: the store, and the bus. Each answer comes later, on
 * the loop that asked; what they publish begins its way when the hook and its chain have ended. */
#include "alloc.h"
#include "bans.h"
#include "broker.h"
#include "clock.h"
#include "name.h"
#include "pipeline.h"
#include "plugin.h"

/* ---- bus ---- */

struct errand_up {
    struct letter letter;
    struct pipeline *pipeline;
    struct name *room;
    struct text msg, ev, data, user, who;
    const struct plugin *author;
    enum ban_kind kind;
    void (*done)(void *arg, int32_t status);
    void *arg;
    char storage[];
};

static int32_t status_of(enum broker_status status)
{
    return status == BROKER_OK        ? CHATUP_DONE
           : status == BROKER_UNKNOWN ? CHATUP_TIMEOUT
                                      : CHATUP_UNAVAILABLE;
}

static void keep(char **to, struct text *out, struct text from)
{
    *out = from;
    if (!from.at)
        return;
    out->at = *to;
    if (from.length)
        memcpy(*to, from.at, from.length);
    *to += from.length;
}

static struct text text_from(struct chatup_text text)
{
    return (struct text){text.at, text.length};
}

static struct errand_up *up_create(struct pipeline *pipeline, struct text room, size_t storage,
                                   void (*done)(void *arg, int32_t status), void *arg)
{
    struct errand_up *what = xcalloc(1, sizeof *what + storage + 1);
    what->pipeline = pipeline;
    what->room = room.at ? name_create(room) : NULL;
    what->done = done;
    what->arg = arg;
    return what;
}

static void up_end(struct errand_up *what, int32_t status)
{
    what->done(what->arg, status);
    name_unref(what->room);
    free(what);
}

static void published(void *arg, enum broker_status status, bool rejected)
{
    up_end(arg, status_of(status));
}

static void publish_now(struct letter *letter)
{
    struct errand_up *what = (struct errand_up *)letter;
    if (!what->room) {
        up_end(what, CHATUP_UNAVAILABLE);
        return;
    }
    const struct post post = {.room = what->room,
                              .user = what->user,
                              .msg = what->msg,
                              .ev = what->ev,
                              .data = what->data,
                              .author = what->author};
    pipeline_post(what->pipeline, NULL, &post, published, what);
}

static void up_publish(void *arg, const struct plugin *author,
                       const struct chatup_publication *from,
                       void (*done)(void *arg, int32_t status), void *done_arg)
{
    struct pipeline *pipeline = arg;
    size_t size = from->msg.length + from->ev.length + from->data.length + from->user.length;
    struct errand_up *what = up_create(pipeline, text_from(from->room), size, done, done_arg);
    char *to = what->storage;
    keep(&to, &what->msg, text_from(from->msg));
    keep(&to, &what->ev, text_from(from->ev));
    keep(&to, &what->data, text_from(from->data));
    keep(&to, &what->user, text_from(from->user));
    what->author = author;
    what->letter.deliver = publish_now;
    loop_post(pipeline->loop, &what->letter);
}

static void moderated(void *arg, enum broker_status status, uint64_t count)
{
    up_end(arg, status_of(status));
}

static enum ban_kind kind_of(int32_t by)
{
    return by == CHATUP_BY_SUB ? BAN_SUB : BAN_NAME;
}

static void up_ban(void *arg, struct text room, int32_t by, struct text who, int64_t seconds,
                   struct text reason, void (*done)(void *arg, int32_t status), void *done_arg)
{
    struct pipeline *pipeline = arg;
    struct errand_up *what = up_create(pipeline, room, 0, done, done_arg);
    int64_t now_ms = clock_wall_ms();
    struct ban *ban = ban_create(&(struct ban_fields){
        .room = what->room,
        .kind = kind_of(by),
        .who = who,
        .created_ms = now_ms,
        .expires_ms = seconds ? now_ms + seconds * 1000 : BAN_FOR_EVER,
        .reason = {reason.at, reason.length < BAN_REASON_MAX ? reason.length : BAN_REASON_MAX}});
    broker_ban(pipeline->broker, ban, moderated, what);
}

static void kick_now(struct letter *letter)
{
    struct errand_up *what = (struct errand_up *)letter;
    const struct kick kick = {.room = what->room, .kind = what->kind, .who = what->who};
    broker_kick(what->pipeline->broker, &kick, moderated, what);
}

static void up_kick(void *arg, struct text room, int32_t by, struct text who,
                    void (*done)(void *arg, int32_t status), void *done_arg)
{
    struct pipeline *pipeline = arg;
    struct errand_up *what = up_create(pipeline, room, who.length, done, done_arg);
    char *to = what->storage;
    keep(&to, &what->who, who);
    what->kind = kind_of(by);
    what->letter.deliver = kick_now;
    loop_post(pipeline->loop, &what->letter);
}

/* ---- store ---- */

static void up_keep(void *arg, const char *space, bool is_volatile, struct text group,
                    const struct chatup_op *ops, uint32_t count,
                    void (*done)(void *arg, const struct chatup_answer *answer), void *done_arg)
{
    const struct pipeline *pipeline = arg;
    const struct keep what = {.space = text_of(space),
                              .group = group,
                              .is_volatile = is_volatile,
                              .ops = ops,
                              .count = count};
    broker_keep(pipeline->broker, &what, done, done_arg);
}

static void *up_watch(void *arg, const char *space, bool is_volatile, struct text group,
                      struct text key,
                      void (*changed)(void *arg, const struct chatup_result *result),
                      void *changed_arg)
{
    const struct pipeline *pipeline = arg;
    const struct keep what = {.space = text_of(space), .group = group, .is_volatile = is_volatile};
    return broker_watch(pipeline->broker, &what, key, changed, changed_arg);
}

static void up_unwatch(void *arg, void *watch)
{
    const struct pipeline *pipeline = arg;
    broker_unwatch(pipeline->broker, watch);
}

struct desk_up plugins_up(struct pipeline *pipeline)
{
    return (struct desk_up){.arg = pipeline,
                            .keep = up_keep,
                            .watch = up_watch,
                            .unwatch = up_unwatch,
                            .publish = up_publish,
                            .ban = up_ban,
                            .kick = up_kick};
}
