#include "client.h"
#include "flow.h"
#include "token.h"

#include <inttypes.h>

enum { PATIENCE_SECONDS = 20 };

/* ---- publisher ---- */

struct publisher *publisher_connect(struct server *server)
{
    struct publisher *publisher = calloc(1, sizeof *publisher);
    publisher->ws = websocket_open(server, "/pub", 0, NULL);
    return publisher;
}

struct publisher *publisher_open(struct server *server, const char *token)
{
    struct publisher *publisher = publisher_connect(server);
    assert_json(publisher_ask(publisher, "auth", json_string(token)), "\"ok\"");
    return publisher;
}

struct publisher *publisher_enter(struct server *server, const char *name, const char *room)
{
    struct publisher *publisher = publisher_open(server, token_user(name, NULL));
    publisher_join(publisher, room);
    return publisher;
}

void publisher_join(struct publisher *publisher, const char *room)
{
    assert_json(publisher_ask(publisher, "join", json_pack("{s:s}", "room", room)), "\"ok\"");
}

int64_t publisher_send(struct publisher *publisher, const char *verb, json_t *value)
{
    json_t *request = json_pack("{s:I,s:o}", "id", ++publisher->last_id, verb, value);
    ck_assert_msg(request != NULL, "a request that is no JSON");
    char *text = json_dumps(request, JSON_COMPACT);
    bool sent = websocket_send(publisher->ws, text);
    free(text);
    json_decref(request);
    return sent ? publisher->last_id : 0;
}

int64_t publisher_send_say(struct publisher *publisher, const char *text, const char *cid)
{
    return publisher_send(publisher, "say", json_pack("{s:s,s:s*}", "msg", text, "cid", cid));
}

json_t *publisher_receive(struct publisher *publisher)
{
    enum websocket_got got = websocket_receive(publisher->ws, deadline_in(PATIENCE_SECONDS));
    ck_assert_msg(got != WS_GOT_LATE, "no reply");
    json_decref(publisher->frame);
    publisher->frame = NULL;
    if (got == WS_GOT_CLOSE)
        return NULL;
    publisher->frame =
        json_loadb(publisher->ws->message, publisher->ws->length, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(json_object_get(publisher->frame, "reply") &&
                      json_object_get(publisher->frame, "id"),
                  "not a reply: %s", publisher->ws->message);
    return publisher->frame;
}

json_t *publisher_ask(struct publisher *publisher, const char *verb, json_t *value)
{
    int64_t id = publisher_send(publisher, verb, value);
    json_t *frame = publisher_receive(publisher);
    if (!frame)
        return NULL;
    ck_assert_msg(json_integer_value(json_object_get(frame, "id")) == id,
                  "the reply of another request than %" PRId64 ": %s", id, json_text(frame));
    return json_object_get(frame, "reply");
}

json_t *publisher_say(struct publisher *publisher, const char *text, const char *cid)
{
    return publisher_ask(publisher, "say", json_pack("{s:s,s:s*}", "msg", text, "cid", cid));
}

int64_t publisher_say_ok(struct publisher *publisher, const char *text)
{
    json_t *reply = publisher_say(publisher, text, NULL);
    const char *status = json_string_value(json_object_get(reply, "status"));
    ck_assert_msg(status && !strcmp(status, "ok"), "said %.80s, was answered %s", text,
                  json_text(reply));
    return get_int(reply, "offset");
}

int64_t publisher_say_until_ok(struct publisher *publisher, const char *text)
{
    int64_t deadline = deadline_in(60);
    for (;;) {
        json_t *reply = publisher_say(publisher, text, text);
        if (json_object_get(reply, "offset"))
            return get_int(reply, "offset");
        ck_assert_msg(now_ms() < deadline, "%s is never taken: %s", text, json_text(reply));
        pause_ms(10);
    }
}

static void publisher_free(struct publisher *publisher)
{
    json_decref(publisher->frame);
    free(publisher);
}

void publisher_close(struct publisher *publisher)
{
    websocket_close(publisher->ws);
    publisher_free(publisher);
}

void publisher_cut(struct publisher *publisher)
{
    websocket_cut(publisher->ws);
    publisher_free(publisher);
}

/* ---- accounting ---- */

struct account *reader_account(struct reader *reader, const char *channel)
{
    for (size_t i = 0; i < reader->count; i++)
        if (!strcmp(reader->accounts[i].channel, channel))
            return &reader->accounts[i];
    ck_abort_msg("a frame of a channel that was not asked for: %s", channel);
}

static void account_add(struct reader *reader, const char *channel)
{
    reader->accounts = realloc(reader->accounts, ++reader->count * sizeof *reader->accounts);
    reader->accounts[reader->count - 1] = (struct account){
        .channel = strdup(channel), .messages = json_array(), .events = json_array()};
}

static bool was_seen(const struct account *account, int64_t offset)
{
    for (size_t i = json_array_size(account->messages); i-- > 0;)
        if (get_int(json_array_get(account->messages, i), "o") == offset)
            return true;
    return false;
}

/* The position goes to offset; what it passes over is missing. */
static void advance(struct account *account, int64_t offset)
{
    account->missing += (size_t)(offset - account->offset - 1);
    account->offset = offset;
}

static void account_message(struct account *account, json_t *message)
{
    if (!json_object_get(message, "o")) {
        json_array_append(account->events, message);
        return;
    }
    int64_t offset = get_int(message, "o");
    if (offset > account->offset) {
        advance(account, offset);
        json_array_append(account->messages, message);
    } else if (was_seen(account, offset)) {
        account->duplicates++;
    } else {
        account->misplaced++;
    }
}

static void account_first_frame(struct account *account, const json_t *frame)
{
    json_t *oldest = json_array_get(get_array(frame, "messages"), 0);
    account->first_frames++;
    if (json_is_true(json_object_get(frame, "recovered"))) {
        account->recovered++;
        if (account->epoch) /* else the caller gave a position of its own */
            ck_assert_str_eq(account->epoch, get_string(frame, "epoch"));
        else
            account->offset = oldest ? get_int(oldest, "o") - 1 : get_int(frame, "offset");
    } else {
        json_array_clear(account->messages);
        account->offset = oldest ? get_int(oldest, "o") - 1 : get_int(frame, "offset");
    }
    free(account->epoch);
    account->epoch = strdup(get_string(frame, "epoch"));
}

static void account_frame(struct account *account, const json_t *frame)
{
    size_t i;
    json_t *message;
    if (json_object_get(frame, "recovered"))
        account_first_frame(account, frame);
    ck_assert_msg(account->epoch != NULL, "a live frame before the first: %s", json_text(frame));
    json_array_foreach(get_array(frame, "messages"), i, message) account_message(account, message);
    int64_t offset = get_int(frame, "offset");
    if (offset < account->offset)
        account->misplaced++;
    else if (offset > account->offset) {
        advance(account, offset);
        account->missing++; /* offset itself is of a message that did not come */
    }
}

void account_expect_clean(const struct account *account)
{
    ck_assert_msg(!account->missing && !account->duplicates && !account->misplaced,
                  "%s, up to %s:%" PRId64 ": %zu missing, %zu twice, %zu out of order",
                  account->channel, account->epoch, account->offset, account->missing,
                  account->duplicates, account->misplaced);
}

/* ---- reader ---- */

void reader_account_frame(struct reader *reader, const json_t *frame)
{
    account_frame(reader_account(reader, get_string(frame, "channel")), frame);
}

static bool frame_take(struct reader *reader)
{
    json_decref(reader->frame);
    reader->frame =
        json_loadb(reader->ws->message, reader->ws->length, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(reader->frame != NULL, "not JSON: %.300s", reader->ws->message);
    reader_account_frame(reader, reader->frame);
    return true;
}

json_t *reader_next(struct reader *reader)
{
    enum websocket_got got = websocket_receive(reader->ws, deadline_in(PATIENCE_SECONDS));
    ck_assert_msg(got != WS_GOT_LATE, "nothing comes");
    return got == WS_GOT_TEXT && frame_take(reader) ? reader->frame : NULL;
}

bool reader_take_arrived(struct reader *reader)
{
    enum websocket_got got;
    while ((got = websocket_receive(reader->ws, 0)) == WS_GOT_TEXT)
        frame_take(reader);
    return got == WS_GOT_LATE;
}

static void more(struct reader *reader, const char *why)
{
    ck_assert_msg(reader_next(reader) != NULL, "closed with %d \"%s\" while waiting for %s",
                  reader->ws->close_code, reader->ws->close_reason, why);
}

static void wait_first_frames(struct reader *reader, size_t before)
{
    for (size_t i = 0; i < reader->count; i++)
        while (reader->accounts[i].first_frames <= before)
            more(reader, "the first frame");
}

struct reader *reader_create(struct server *server, const json_t *channels)
{
    struct reader *reader = calloc(1, sizeof *reader);
    size_t i;
    json_t *item;
    reader->server = server;
    json_array_foreach(channels, i, item) account_add(
        reader, json_is_string(item) ? json_string_value(item) : get_string(item, "channel"));
    return reader;
}

static char *query_for(const json_t *channels)
{
    char *text = json_text(channels), *encoded = url_encode(text);
    char *target = textf("/ws?channels=%s", encoded);
    free(text);
    free(encoded);
    return target;
}

struct reader *reader_open_query(struct server *server, json_t *channels)
{
    struct reader *reader = reader_create(server, channels);
    reader->ws = websocket_open(server, query_for(channels), 0, NULL);
    wait_first_frames(reader, 0);
    json_decref(channels);
    return reader;
}

struct reader *reader_open_frame(struct server *server, json_t *channels)
{
    struct reader *reader = reader_create(server, channels);
    reader->ws = websocket_open(server, "/ws", 0, NULL);
    websocket_send(reader->ws, json_text(json_pack("{s:o}", "channels", channels)));
    wait_first_frames(reader, 0);
    return reader;
}

struct reader *reader_open(struct server *server, const char *channel)
{
    return reader_open_query(server, json_pack("[s]", channel));
}

struct reader *reader_open_stalled(struct server *server, const char *channel, int receive_bytes)
{
    json_t *channels = json_pack("[s]", channel);
    struct reader *reader = reader_create(server, channels);
    reader->ws = websocket_open(server, query_for(channels), receive_bytes, NULL);
    json_decref(channels);
    return reader;
}

struct reader *reader_open_path(struct server *server, const char *target, size_t count)
{
    struct reader *reader = calloc(1, sizeof *reader);
    reader->server = server;
    ck_assert_int_eq(strncmp(target, "/ws/", 4), 0);
    char *names = strndup(target + 4, strcspn(target + 4, "?")), *rest = names, *name;
    while ((name = strsep(&rest, "/")))
        account_add(reader, name);
    free(names);
    ck_assert_uint_eq(reader->count, count);
    reader->ws = websocket_open(server, target, 0, NULL);
    wait_first_frames(reader, 0);
    return reader;
}

void reader_wait_offset(struct reader *reader, const char *channel, int64_t offset)
{
    struct account *account = reader_account(reader, channel);
    while (account->offset < offset)
        more(reader, "a message");
}

json_t *reader_wait_message(struct reader *reader, const char *channel, const char *text)
{
    struct account *account = reader_account(reader, channel);
    for (size_t i = 0;; i++) {
        while (i >= json_array_size(account->messages))
            more(reader, text);
        json_t *message = json_array_get(account->messages, i);
        const char *msg = json_string_value(json_object_get(message, "msg"));
        if (msg && !strcmp(msg, text))
            return message;
    }
}

/* Events may be stored, as those of /post: both lists are looked at, the stored ones from the
 * start. */
json_t *reader_wait_event(struct reader *reader, const char *channel, const char *ev)
{
    struct account *account = reader_account(reader, channel);
    for (;;) {
        while (account->looked_at < json_array_size(account->events)) {
            json_t *event = json_array_get(account->events, account->looked_at++);
            if (!strcmp(get_string(event, "ev"), ev))
                return event;
        }
        for (size_t i = 0; i < json_array_size(account->messages); i++) {
            json_t *message = json_array_get(account->messages, i);
            const char *name = json_string_value(json_object_get(message, "ev"));
            if (name && !strcmp(name, ev))
                return message;
        }
        more(reader, ev);
    }
}

void reader_cut(struct reader *reader)
{
    websocket_cut(reader->ws);
    reader->ws = NULL;
}

void reader_resume(struct reader *reader)
{
    json_t *channels = json_array();
    size_t before = reader->accounts[0].first_frames;
    for (size_t i = 0; i < reader->count; i++) {
        const struct account *account = &reader->accounts[i];
        ck_assert_uint_eq(account->first_frames, before);
        char *since = position_of(account->epoch, account->offset);
        json_array_append_new(channels,
                              json_pack("{s:s,s:s}", "channel", account->channel, "since", since));
        free(since);
    }
    if (reader->ws)
        websocket_cut(reader->ws);
    char *target = query_for(channels);
    reader->ws = websocket_open(reader->server, target, 0, NULL);
    free(target);
    json_decref(channels);
    wait_first_frames(reader, before);
}

void reader_close(struct reader *reader)
{
    if (reader->ws)
        websocket_close(reader->ws);
    for (size_t i = 0; i < reader->count; i++) {
        struct account *account = &reader->accounts[i];
        free(account->channel);
        free(account->epoch);
        json_decref(account->messages);
        json_decref(account->events);
    }
    free(reader->accounts);
    json_decref(reader->frame);
    free(reader);
}

char *position_of(const char *epoch, int64_t offset)
{
    return textf("%s:%" PRId64, epoch, offset);
}

json_t *texts_of(const json_t *messages)
{
    json_t *texts = json_array(), *message;
    size_t i;
    ck_assert_msg(json_is_array(messages), "not an array of messages: %s", json_text(messages));
    json_array_foreach((json_t *)(uintptr_t)messages, i, message)
        json_array_append_new(texts, json_string(get_string(message, "msg")));
    return texts;
}

void wait_stats(struct server *server, const char *channel, int subs, int pubs, int users)
{
    int64_t deadline = deadline_in(PATIENCE_SECONDS);
    for (;;) {
        struct http_answer *stats =
            http_get(server, textf("/stats?channel=%s", url_encode(channel)));
        ck_assert_int_eq(stats->status, 200);
        if (get_int(stats->json, "subCount") == subs && get_int(stats->json, "pubCount") == pubs &&
            get_int(stats->json, "users") == users)
            return;
        ck_assert_msg(now_ms() < deadline, "not %d, %d, %d: %s", subs, pubs, users, stats->body);
        pause_ms(10);
    }
}

struct http_answer *wait_ready(struct server *server, int status)
{
    int64_t deadline = deadline_in(30);
    for (;;) {
        struct http_answer *ready = http_get(server, "/health/ready");
        if (ready->status == status)
            return ready;
        ck_assert_msg(now_ms() < deadline, "/health/ready is never %d, but %d: %s", status,
                      ready->status, ready->body);
        pause_ms(20);
    }
}
