#include "ask.h"
#include "alloc.h"
#include "buffer.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"

static void reply_failure(struct request *request, enum broker_status status)
{
    request_reply_error(request, 503, broker_status_text(status));
}

/* ---- one look at a room ---- */

struct look {
    struct request *request;
    struct name *room;
    ask_looked *answer;
};

static void looked(void *arg, const struct room_view *view)
{
    struct look *look = arg;
    if (view->history.status == BROKER_OK)
        look->answer(look->request, look->room, view);
    else
        reply_failure(look->request, view->history.status);
    name_unref(look->room);
    free(look);
}

void ask_look(struct request *request, struct name *room, const struct room_asked *asked,
              ask_looked *answer)
{
    struct look *look = xmalloc(sizeof *look);
    *look = (struct look){request, room, answer};
    broker_look(request->pipeline->broker, room, asked, looked, look);
}

/* ---- many things at once ---- */

struct ask {
    struct request *request;
    struct speaker speaker;
    size_t waiting;            /* for so many answers, and for ask_close */
    enum broker_status status; /* of the first that failed */
    bool rejected;
    const char *counts;
    uint64_t count;
};

struct ask *ask_open(struct request *request, const char *counts)
{
    struct ask *ask = xmalloc(sizeof *ask);
    *ask = (struct ask){.request = request, .waiting = 1, .status = BROKER_OK, .counts = counts};
    speaker_init(&ask->speaker);
    return ask;
}

struct speaker *ask_speaker(struct ask *ask)
{
    return &ask->speaker;
}

void ask_add(struct ask *ask)
{
    ask->waiting++;
}

static void reply_ok(const struct ask *ask)
{
    struct buffer json = {0};
    if (!ask->counts) {
        ask->request->reply(ask->request, 200, "text/plain", text_of("OK"), NULL);
        return;
    }
    buffer_text(&json, "{\"status\":\"ok\",");
    buffer_json_string(&json, text_of(ask->counts));
    buffer_text(&json, ":");
    buffer_number(&json, (int64_t)ask->count);
    buffer_text(&json, "}");
    request_reply_json(ask->request, 200, (struct text){json.at, json.length});
    buffer_finish(&json);
}

void ask_close(struct ask *ask)
{
    if (--ask->waiting)
        return;
    if (ask->status != BROKER_OK)
        reply_failure(ask->request, ask->status);
    else if (ask->rejected)
        request_reply_error(ask->request, 422, "rejected");
    else
        reply_ok(ask);
    free(ask);
}

void ask_answered(struct ask *ask, enum broker_status status, bool rejected)
{
    if (ask->status == BROKER_OK)
        ask->status = status;
    ask->rejected |= rejected;
    ask_close(ask);
}

void ask_moderated(void *arg, enum broker_status status, uint64_t count)
{
    struct ask *ask = arg;
    ask->count += count;
    ask_answered(ask, status, false);
}
