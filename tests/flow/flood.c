#include "flood.h"
#include "flow.h"
#include "token.h"

#include <inttypes.h>
#include <stdio.h>

enum { REPEATS = 100, WAIT_SECONDS = 30 };

static char *flood_text(const struct flood *flood, int number)
{
    return textf("%s-%d", flood->name, number);
}

static bool flood_send(struct flood *flood, struct publisher *ann)
{
    char *text = flood_text(flood, flood->sent);
    bool sent = publisher_send_say(ann, text, text);
    free(text);
    flood->sent++; /* also if it failed: it may have arrived, or not */
    return sent;
}

static bool flood_receive(struct flood *flood, struct publisher *ann)
{
    json_t *frame = publisher_receive(ann);
    if (!frame)
        return false;
    json_t *reply = json_object_get(frame, "reply");
    int i = flood->answered;
    ck_assert_msg(json_object_get(reply, "offset") || flood->errors_allowed, "say was answered %s",
                  json_text(reply));
    if (json_object_get(reply, "offset")) {
        snprintf(flood->answers[i].id, 37, "%s", get_string(reply, "i"));
        flood->answers[i].offset = get_int(reply, "offset");
    }
    flood->answered++;
    return true;
}

static void *flood_run(void *arg)
{
    struct flood *flood = arg;
    struct publisher *ann = publisher_enter(flood->server, "Ann", flood->room);
    bool open = true;
    while (open && flood->sent < FLOOD_MAX && !flood->stop) {
        while (open && flood->sent - flood->answered < FLOOD_WINDOW)
            open = flood_send(flood, ann);
        if (open)
            open = flood_receive(flood, ann);
        if (flood->slow || (flood->errors_allowed && !flood->answers[flood->answered - 1].offset))
            pause_ms((int)flow_slow()); /* not a million errors, either */
    }
    while (flood->answered < flood->sent && flood_receive(flood, ann))
        ; /* answers that were on their way */
    publisher_cut(ann);
    return NULL;
}

struct flood *flood_start(struct server *server, const char *room, const char *name,
                          bool errors_allowed)
{
    struct flood *flood = calloc(1, sizeof *flood);
    flood->server = server;
    flood->room = room;
    flood->name = name;
    flood->errors_allowed = errors_allowed;
    flood->answers = calloc(FLOOD_MAX, sizeof *flood->answers);
    ck_assert_int_eq(pthread_create(&flood->thread, NULL, flood_run, flood), 0);
    return flood;
}

void flood_stop(struct flood *flood)
{
    flood->stop = true;
    pthread_join(flood->thread, NULL);
}

void flood_wait(const struct flood *flood, int answered)
{
    int64_t deadline = deadline_in(WAIT_SECONDS);
    while (flood->answered < answered) {
        ck_assert_msg(now_ms() < deadline, "only %d of %d are answered", flood->answered, answered);
        pause_ms(2);
    }
}

void flood_repeat(struct flood *flood, struct server *server)
{
    struct publisher *ann = publisher_enter(server, "Ann", flood->room);
    int last = flood->answered - REPEATS;
    for (int i = 0; i < flood->sent; i++) {
        bool ok = i < flood->answered && flood->answers[i].offset;
        if (ok && i < last)
            continue;
        char *text = flood_text(flood, i);
        json_t *reply = publisher_say(ann, text, text);
        ck_assert_msg(reply && json_object_get(reply, "offset"), "%s again: %s", text,
                      json_text(reply));
        if (ok) {
            ck_assert_str_eq(get_string(reply, "i"), flood->answers[i].id);
            ck_assert_int_eq(get_int(reply, "offset"), flood->answers[i].offset);
        }
        free(text);
    }
    publisher_close(ann);
}

void flood_expect_there(const struct flood *flood, const struct account *account)
{
    for (int i = 0; i < flood->answered; i++) {
        int64_t offset = flood->answers[i].offset;
        if (!offset)
            continue;
        json_t *message = json_array_get(account->messages, (size_t)(offset - 1));
        ck_assert_msg(message && !strcmp(get_string(message, "i"), flood->answers[i].id),
                      "answered ok with offset %" PRId64 ", which is %s", offset,
                      json_text(message));
    }
}
