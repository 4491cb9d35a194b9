/* stats.c: GET /stats: who is in a room. */
#include "ask.h"
#include "buffer.h"
#include "caller.h"
#include "name.h"
#include "pipeline.h"
#include "route.h"

enum { LIMIT_PRESET = 50, LIMIT_MAX = 1000, SKIP_MAX = 1000 * 1000 * 1000 };

/* returns  false after answering */
static bool get_page(struct request *request, uint64_t *skip_out, uint64_t *limit_out)
{
    *limit_out = LIMIT_PRESET;
    *skip_out = 0;
    return request_number(request, "limit", LIMIT_MAX, limit_out) &&
           request_number(request, "skip", SKIP_MAX, skip_out);
}

static void write_count(struct buffer *out, const char *key, uint64_t count)
{
    buffer_text(out, key);
    buffer_number(out, (int64_t)count);
}

/* {"subCount":n,"pubCount":n,"users":n,"limit":n,"skip":n,"clients":[object,…]} */
static void answer(struct request *request, const struct name *room, const struct room_view *view)
{
    struct buffer json = {0};
    uint64_t skip = 0, limit = 0;
    get_page(request, &skip, &limit); /* as route_stats did */
    write_count(&json, "{\"subCount\":", view->readers);
    write_count(&json, ",\"pubCount\":", view->publishers);
    write_count(&json, ",\"users\":", view->users);
    write_count(&json, ",\"limit\":", limit);
    write_count(&json, ",\"skip\":", skip);
    buffer_text(&json, ",\"clients\":");
    buffer_bytes(&json, view->clients.at, view->clients.length);
    buffer_text(&json, "}");
    request_reply_json(request, 200, (struct text){json.at, json.length});
    buffer_finish(&json);
}

static void look(struct request *request, struct name *room)
{
    struct room_asked asked = {0};
    get_page(request, &asked.skip, &asked.limit); /* as route_stats did */
    ask_look(request, room, &asked, answer);
}

void route_stats(struct request *request)
{
    uint64_t skip, limit;
    if (get_page(request, &skip, &limit))
        request_with_channel(request, RIGHT_USERS, look);
}
