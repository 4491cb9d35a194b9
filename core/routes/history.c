/* history.c: GET /messages: what was said in a room, newest first. */
#include "ask.h"
#include "buffer.h"
#include "caller.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"

static void answer(struct request *request, const struct name *room, const struct room_view *view)
{
    struct buffer json = {0};
    pipeline_write_history(request->pipeline, room, &view->history, &json);
    request_reply_json(request, 200, (struct text){json.at, json.length});
    buffer_finish(&json);
}

void route_messages(struct request *request)
{
    struct name *room = request_channel_with(request, RIGHT_HISTORY);
    if (room)
        ask_look(request, room, 0, 0, answer);
}
