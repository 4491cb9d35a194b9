/* The service bus: what is said, banned and kicked goes into the log. */
#include "parts.h"

#include <jansson.h>

struct act {
    struct task task; /* first */
    chatup_bus_done *done;
    void *arg;
    char *line;
};

static void act_run(struct task *task, int32_t status)
{
    struct act *act = (struct act *)task;
    struct shard *shard = task->shard;
    struct chatup_test *test = shard->generation->test;
    if (status == CHATUP_DONE && test->bus_fails) {
        test->bus_fails--;
        status = test->bus_status;
    }
    if (status == CHATUP_DONE)
        log_line(test, "%s", act->line);
    if (act->done) {
        struct shard *before = enter(shard);
        act->done(shard->it, act->arg, status);
        leave(test, before);
    }
    free(act->line);
    free(act);
}

/* line is taken */
static int32_t act_add(struct shard *shard, chatup_bus_done *done, void *arg, char *line)
{
    struct act *act = xcalloc(1, sizeof *act);
    *act = (struct act){.task = {.shard = shard, .run = act_run, .lane = lane_of(shard)},
                        .done = done,
                        .arg = arg,
                        .line = line};
    task_add(shard->generation->test, &act->task);
    return 0;
}

__attribute__((format(printf, 1, 2))) static char *line_of(const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return xstrdup(line);
}

static bool is_text(struct chatup_text text, size_t max)
{
    return !text.at || (text.length <= max && is_utf8(text.at, text.length));
}

static bool is_json(struct chatup_text text)
{
    json_t *json = text.at && text.length <= MESSAGE_BYTES_MAX
                       ? json_loadb(text.at, text.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
                       : NULL;
    bool is = json != NULL;
    json_decref(json);
    return is || !text.at;
}

static int32_t bus_publish(const struct chatup_loop *loop, const struct chatup_publication *what,
                           chatup_bus_done *done, void *arg)
{
    struct shard *shard = shard_of(loop);
    if (!is_here(shard, "publish"))
        return -1;
    if (what->size < sizeof *what || !what->room.at || !what->room.length ||
        !is_text(what->room, 200) || (!what->msg.at && !what->ev.at) ||
        !is_text(what->msg, MESSAGE_BYTES_MAX) || !is_text(what->ev, MESSAGE_BYTES_MAX) ||
        !is_json(what->data) || !is_json(what->user)) {
        mistake(shard->generation->test, "publish: not as chatup/bus.h says");
        return -1;
    }
    if (what->msg.at)
        return act_add(shard, done, arg,
                       line_of("publish %.*s: %.*s", SHOWN(what->room), SHOWN(what->msg)));
    return act_add(
        shard, done, arg,
        line_of("publish %.*s %.*s %.*s", SHOWN(what->room), SHOWN(what->ev), SHOWN(what->data)));
}

static bool is_person(const struct shard *shard, struct chatup_text room, int32_t by,
                      struct chatup_text who)
{
    bool is = (by == CHATUP_BY_NAME || by == CHATUP_BY_SUB) && who.at && who.length &&
              is_text(who, 200) && (!room.at || room.length) && is_text(room, 200);
    if (!is)
        mistake(shard->generation->test, "ban or kick: not as chatup/bus.h says");
    return is;
}

static const char *by_what(int32_t by)
{
    return by == CHATUP_BY_NAME ? "name" : "sub";
}

static int32_t bus_ban(const struct chatup_loop *loop, struct chatup_text room, int32_t by,
                       struct chatup_text who, int64_t seconds, struct chatup_text reason,
                       chatup_bus_done *done, void *arg)
{
    static const struct chatup_text everywhere = {"*", 1};
    struct shard *shard = shard_of(loop);
    if (!is_here(shard, "ban") || !is_person(shard, room, by, who))
        return -1;
    if (seconds < 0 || !is_text(reason, 1000)) {
        mistake(shard->generation->test, "ban: seconds or reason are not as chatup/bus.h says");
        return -1;
    }
    if (!room.at)
        room = everywhere;
    return act_add(shard, done, arg,
                   line_of("ban %.*s %s %.*s %lld %.*s", SHOWN(room), by_what(by), SHOWN(who),
                           (long long)seconds, SHOWN(reason)));
}

static int32_t bus_kick(const struct chatup_loop *loop, struct chatup_text room, int32_t by,
                        struct chatup_text who, chatup_bus_done *done, void *arg)
{
    static const struct chatup_text everywhere = {"*", 1};
    struct shard *shard = shard_of(loop);
    if (!is_here(shard, "kick") || !is_person(shard, room, by, who))
        return -1;
    if (!room.at)
        room = everywhere;
    return act_add(shard, done, arg,
                   line_of("kick %.*s %s %.*s", SHOWN(room), by_what(by), SHOWN(who)));
}

const struct chatup_bus test_bus_service = {
    .size = sizeof test_bus_service,
    .publish = bus_publish,
    .ban = bus_ban,
    .kick = bus_kick,
};

void chatup_test_bus_fails(struct chatup_test *test, uint32_t count, int32_t status)
{
    test->bus_fails = count;
    test->bus_status = status;
}
