/* Plugins that do anything: two in a chain, one closed and one open, whose edits, replies, tags and
 * verdicts are the input's. Whatever they do, what is published is UTF-8 and not too long, and what
 * somebody is answered is a JSON object. */
#include "buffer.h"
#include "chain.h"
#include "config.h"
#include "desk.h"
#include "fuzz.h"
#include "log.h"
#include "message.h"
#include "plugin.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_MSG = 64 };

static struct text input; /* what plugins have not used yet */
static uint8_t next_byte(void)
{
    if (!input.length)
        return 0;
    input.length--;
    return (uint8_t)*input.at++;
}

/* Up to 127 bytes of any kind; now and then without an address. */
static struct text next_text(void)
{
    uint8_t length = next_byte();
    struct text text = {input.at, length & 127};
    if (text.length > input.length)
        text.length = input.length;
    input.at += text.length;
    input.length -= text.length;
    return length & 128 && !text.length ? (struct text){0} : text;
}

/* ---- the hooks ---- */

static int32_t on_in(const struct chatup_host *host, struct chatup_event *event)
{
    for (int i = next_byte() % 6; i > 0; i--) {
        struct text text;
        uint8_t what = next_byte();
        text = next_text();
        if (what % 4 == 0)
            host->set_msg(event, text.at, text.length);
        else if (what % 4 == 1)
            host->set_reply(event, text.at, text.length);
        else if (what % 4 == 2)
            host->tag(event, text.at, text.length);
        else
            host->has_tag(event, text.at, text.length);
    }
    assert(!event->msg.at || utf8_valid((struct text){event->msg.at, event->msg.length}));
    uint8_t verdict = next_byte() % 8;
    return verdict < 5 ? CHATUP_ACCEPT : verdict == 7 ? next_byte() : verdict - 4;
}

static int32_t on_out(const struct chatup_host *host, struct chatup_batch *batch)
{
    for (int i = next_byte() % 6; i > 0; i--) {
        uint8_t which = next_byte();
        struct text text = next_text();
        if (which & 1)
            host->drop(batch, which >> 1);
        else
            host->set_msg_out(batch, which >> 1, text.at, text.length);
    }
    uint8_t verdict = next_byte() % 8;
    return verdict < 6 ? CHATUP_ACCEPT : next_byte();
}

static int32_t on_join(const struct chatup_host *host, struct chatup_visit *visit)
{
    struct text text = next_text();
    host->set_visit_reply(visit, text.at, text.length);
    text = next_text();
    host->visit_has_tag(visit, text.at, text.length);
    uint8_t verdict = next_byte() % 8;
    return verdict < 4 ? CHATUP_ACCEPT : next_byte();
}

/* ---- the chain ---- */

static struct config *conf;
static struct plugin *plugins[2];
static struct desk desk;
static struct chain *chain;

static void chain_open(void)
{
    char path[64], yaml[1000];
    struct error err = {.text = ""};
    int fd = memfd_create("chatup.yaml", 0);
    int length = snprintf(yaml, sizeof yaml, "plugins:\n");
    for (int i = 0; i < 2; i++)
        length += snprintf(yaml + length, sizeof yaml - (size_t)length,
                           "  - {name: p%d, file: %s, on_error: %s, config: {in: %lld, out: %lld, "
                           "join: %lld}}\n",
                           i, FUZZ_PUPPET, i ? "open" : "closed", (long long)(uintptr_t)on_in,
                           (long long)(uintptr_t)on_out, (long long)(uintptr_t)on_join);
    if (fd < 0 || write(fd, yaml, (size_t)length) != length)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    log_set(LOG_ERROR, LOG_TEXT);
    if (!(conf = config_load(path, NULL, 0, &err)))
        abort();
    desk_init(&desk, NULL, 0, 1, NULL);
    for (size_t i = 0; i < 2; i++)
        if (!(plugins[i] = plugin_load(conf, i, NULL, &err)))
            abort();
    chain = chain_create(plugins, 2, NULL, NULL, &desk, &err);
    assert(chain);
    close(fd);
}

static bool is_object(struct text json)
{
    json_t *parsed = json_loadb(json.at, json.length, JSON_ALLOW_NUL, NULL);
    bool good = json_is_object(parsed);
    json_decref(parsed);
    return good;
}

static void say(void)
{
    static const char text[] = "a text";
    struct turn turn = {.event = {.room = {"lobby", 5},
                                  .sub = {"u", 1},
                                  .name = {"Ann", 3},
                                  .user = {"{}", 2},
                                  .msg = {text, sizeof text - 1}},
                        .max_msg = MAX_MSG};
    enum chain_verdict verdict = chain_in(chain, &turn);
    struct text msg = {turn.event.msg.at, turn.event.msg.length};
    if (verdict == CHAIN_ACCEPT)
        assert(msg.at && utf8_valid(msg) && msg.length <= MAX_MSG);
    if (turn.reply)
        assert(is_object((struct text){turn.reply, turn.reply_length}));
    turn_finish(&turn);
}

static void hear(void)
{
    struct name *room = name_create(text_of("lobby"));
    struct message *messages[3];
    struct buffer json = {0};
    for (size_t i = 0; i < 3; i++) {
        messages[i] = message_create(room, &(struct message_fields){.id = text_of("id"),
                                                                    .msg = text_of("heard"),
                                                                    .user = text_of("{}")});
        messages[i]->offset = i + 1;
    }
    buffer_text(&json, "[");
    chain_out(chain, room, messages, 3, &json);
    buffer_text(&json, "]");
    json_t *parsed = json_loadb(json.at, json.length, JSON_ALLOW_NUL, NULL);
    assert(json_is_array(parsed) && json_array_size(parsed) <= 3);
    json_decref(parsed);
    buffer_finish(&json);
    for (size_t i = 0; i < 3; i++)
        message_unref(messages[i]);
    name_unref(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!chain)
        chain_open();
    input = (struct text){(const char *)data, size};
    while (input.length) {
        if (next_byte() & 1)
            say();
        else
            hear();
    }
    return 0;
}
