#include "follower.h"
#include "flow.h"

enum { PATIENCE_SECONDS = 20 };

static const struct {
    const char *path, *content_type;
} kinds[] = {[FOLLOW_EVENTS] = {"/ev", "text/event-stream"},
             [FOLLOW_LINES] = {"/sub", "application/x-ndjson"},
             [FOLLOW_POLL] = {"/lp", "application/json"}};

const char *follower_path(enum follower_kind kind)
{
    return kinds[kind].path;
}

struct follower *follower_create(struct server *server, enum follower_kind kind,
                                 const char *channels)
{
    struct follower *follower = calloc(1, sizeof *follower);
    follower->server = server;
    follower->kind = kind;
    follower->book = reader_create(server, json_of(channels));
    follower->channels = url_encode(channels);
    follower->expires = -1;
    return follower;
}

/* ---- asking ---- */

void follower_ask(struct follower *follower)
{
    bool by_header = follower->kind == FOLLOW_EVENTS;
    const char *since = follower->since ? follower->since : "";
    char *headers = textf("%s%s%s%s%s%s", follower->token ? "Authorization: Bearer " : "",
                          follower->token ? follower->token : "", follower->token ? "\r\n" : "",
                          by_header && *since ? "Last-Event-ID: " : "", by_header ? since : "",
                          by_header && *since ? "\r\n" : "");
    char *target = textf("%s?channels=%s%s%s", kinds[follower->kind].path, follower->channels,
                         by_header || !*since ? "" : "&since=", by_header ? "" : since);
    char *request = http_text(follower->server, "GET", target, headers, NULL);
    if (!follower->stream)
        follower->stream = stream_open(follower->server->port, 0);
    stream_send(follower->stream, request, strlen(request));
    free(headers);
    free(target);
    free(request);
}

void follower_connect(struct follower *follower)
{
    const char *end;
    if (follower->kind == FOLLOW_POLL)
        return;
    follower_ask(follower);
    while (!stream_available(follower->stream) ||
           !(end = strstr(stream_at(follower->stream), "\r\n\r\n")))
        ck_assert_int_eq(stream_receive(follower->stream, deadline_in(PATIENCE_SECONDS)),
                         STREAM_MORE);
    struct http_answer answer = {.head = strndup(stream_at(follower->stream),
                                                 (size_t)(end - stream_at(follower->stream)) + 2)};
    ck_assert_msg(!strncmp(answer.head, "HTTP/1.1 200 ", 13), "%s", answer.head);
    ck_assert_str_eq(http_header(&answer, "content-type"), kinds[follower->kind].content_type);
    ck_assert_str_eq(http_header(&answer, "cache-control"), "no-store");
    ck_assert_ptr_null(http_header(&answer, "content-length"));
    stream_take(follower->stream, strlen(answer.head) + 2);
    free(answer.head);
}

void follower_cut(struct follower *follower)
{
    if (follower->stream)
        stream_cut(follower->stream);
    follower->stream = NULL;
}

/* ---- taking ---- */

static void set(char **field, const char *text)
{
    free(*field);
    *field = strdup(text);
}

/* A line without its end, to be freed; NULL if the connection is over. */
static char *line_next(struct follower *follower)
{
    struct stream *stream = follower->stream;
    const char *end;
    while (!stream_available(stream) ||
           !(end = memchr(stream_at(stream), '\n', stream_available(stream)))) {
        enum stream_got got = stream_receive(stream, deadline_in(PATIENCE_SECONDS));
        ck_assert_msg(got != STREAM_LATE, "nothing comes; so far: %s", stream_at(stream));
        if (got == STREAM_ENDED)
            return NULL;
    }
    char *line = strndup(stream_at(stream), (size_t)(end - stream_at(stream)));
    stream_take(stream, strlen(line) + 1);
    return line;
}

/* returns  false for {"expires":…} and {"close":…}, which are no frames */
static bool is_frame(struct follower *follower, const json_t *json)
{
    if (json_object_get(json, "expires"))
        follower->expires = get_int(json, "expires");
    else if (json_object_get(json, "close")) {
        follower->close_code = (int)get_int(json, "close");
        set(&follower->close_reason, get_string(json, "reason"));
    } else
        return true;
    return false;
}

static void positions_write(struct follower *follower)
{
    char *all = strdup("");
    for (size_t i = 0; i < follower->book->count; i++) {
        const struct account *account = &follower->book->accounts[i];
        char *one = account->epoch ? position_of(account->epoch, account->offset) : strdup("");
        char *more = textf("%s%s%s", all, i ? "," : "", one);
        free(one);
        free(all);
        all = more;
    }
    free(follower->since);
    follower->since = all;
}

static json_t *take(struct follower *follower, json_t *json)
{
    json_decref(follower->frame);
    follower->frame = json;
    reader_account_frame(follower->book, json);
    return json;
}

static json_t *line_frame(struct follower *follower)
{
    for (char *line; (line = line_next(follower)); free(line)) {
        follower->heartbeats += !*line;
        json_t *json = *line ? json_of(line) : NULL;
        if (json && is_frame(follower, json)) {
            free(line);
            take(follower, json);
            positions_write(follower);
            return json;
        }
        json_decref(json);
    }
    return NULL;
}

/* One event: fields, a line each, up to an empty one. */
static json_t *event_frame(struct follower *follower)
{
    char *id = NULL, *event = NULL;
    json_t *data = NULL;
    for (char *line; (line = line_next(follower)); free(line)) {
        if (!strncmp(line, "id: ", 4))
            set(&id, line + 4);
        else if (!strncmp(line, "event: ", 7))
            set(&event, line + 7);
        else if (!strncmp(line, "data: ", 6))
            data = json_of(line + 6);
        else if (line[0] == ':')
            follower->heartbeats++;
        else
            ck_assert_msg(!*line || !strncmp(line, "retry: ", 7), "no line of an event: %s", line);
        if (*line || !data)
            continue;
        if (is_frame(follower, data)) {
            ck_assert_ptr_null(event);
            take(follower, data);
            positions_write(follower);
            ck_assert_str_eq(id, follower->since); /* the server says where we are */
            free(line);
            free(id);
            return data;
        }
        ck_assert_str_eq(event, json_object_get(data, "close") ? "close" : "expires");
        ck_assert_ptr_null(id);
        json_decref(data);
        data = NULL;
        free(event);
        event = NULL;
    }
    return NULL;
}

json_t *follower_answer(struct follower *follower)
{
    struct http_answer *answer =
        http_receive(follower->stream, false, deadline_in(PATIENCE_SECONDS));
    size_t i;
    json_t *frame;
    if (!answer)
        return NULL;
    ck_assert_msg(answer->status == 200, "%s%s", answer->head, answer->body);
    json_decref(follower->frame);
    follower->frame = answer->json;
    json_array_foreach(get_array(answer->json, "frames"), i, frame)
        reader_account_frame(follower->book, frame);
    set(&follower->since, get_string(answer->json, "since"));
    char *said = strdup(follower->since);
    positions_write(follower);
    ck_assert_str_eq(said, follower->since);
    free(said);
    free(answer->head);
    free(answer->body);
    free(answer);
    return follower->frame;
}

json_t *follower_next(struct follower *follower)
{
    switch (follower->kind) {
    case FOLLOW_EVENTS:
        return event_frame(follower);
    case FOLLOW_LINES:
        return line_frame(follower);
    default:
        follower_ask(follower);
        return follower_answer(follower);
    }
}

void follower_wait_message(struct follower *follower, const char *channel, const char *text)
{
    struct account *account = reader_account(follower->book, channel);
    for (size_t i = 0;; i++) {
        while (i >= json_array_size(account->messages))
            ck_assert_msg(follower_next(follower) != NULL, "closed, waiting for %s", text);
        const json_t *message = json_array_get(account->messages, i);
        const char *msg = json_string_value(json_object_get(message, "msg"));
        if (msg && !strcmp(msg, text))
            return;
    }
}
