/* history.c: GET /messages: what was said in a room, all of it or a page.
 *
 * The last message of a page is the argument for the next: with before they come newest first, with
 * after oldest first. A page is only empty when there is nothing more. */
#include "ask.h"
#include "buffer.h"
#include "caller.h"
#include "message.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"

enum { LIMIT_MAX = 1000 };

/* An offset is a SQLite integer at most. */
#define OFFSET_MAX ((uint64_t)INT64_MAX)

/* returns  false after answering */
static bool part_read(struct request *request, struct history_part *part_out)
{
    struct history_part part = HISTORY_WHOLE;
    part.oldest = request_argument(request, "after").at;
    bool is_page = part.oldest || request_argument(request, "before").at;
    if (is_page)
        part.max = LIMIT_MAX;
    if (!request_number(request, "before", OFFSET_MAX, &part.before) ||
        !request_number(request, "after", OFFSET_MAX, &part.after) ||
        !request_number(request, "limit", LIMIT_MAX, &part.max))
        return false;
    if (!part.max) {
        request_reply_error(request, 400, "Wrong limit: 1 or more");
        return false;
    }
    if (part.oldest && part.before != UINT64_MAX) {
        request_reply_error(request, 400, "Wrong after: not together with before");
        return false;
    }
    *part_out = part;
    return true;
}

static void answer(struct request *request, const struct name *room, const struct room_view *view)
{
    const struct snapshot *found = &view->history;
    struct room_asked asked = {0};
    struct buffer json = {0};
    part_read(request, &asked.history); /* as route_messages did */
    size_t written =
        pipeline_write_history(request->pipeline, room, found, !asked.history.oldest, &json);
    if (!written && found->count == asked.history.max) { /* a plugin hides all of it: go on */
        if (asked.history.oldest)
            asked.history.after = found->messages[found->count - 1]->offset;
        else
            asked.history.before = found->messages[0]->offset;
        ask_look(request, name_ref((struct name *)room), &asked, answer);
    } else {
        request_reply_json(request, 200, (struct text){json.at, json.length});
    }
    buffer_finish(&json);
}

static void look(struct request *request, struct name *room)
{
    struct room_asked asked = {0};
    part_read(request, &asked.history); /* as route_messages did */
    ask_look(request, room, &asked, answer);
}

void route_messages(struct request *request)
{
    struct history_part part;
    if (!part_read(request, &part))
        return;
    request_with_channel(request, RIGHT_HISTORY, look);
}
