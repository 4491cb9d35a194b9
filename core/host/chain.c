/* A hook sees what the hooks before it left, and stages what it changes beside it. The chain looks
 * at its verdict first, and only then makes the staged edits part of the turn, or of the batch, or
 * forgets them: a plugin that fails half-way leaves no trace. */
#include "chain.h"
#include "alloc.h"
#include "buffer.h"
#include "config.h"
#include "message.h"
#include "plugin.h"

#include <assert.h>
#include <jansson.h>

struct chain_link {
    struct plugin *plugin;
    void *shard;
};

struct out_item { /* one message of a batch that is running */
    const struct message *message;
    struct chatup_message view;
    char *msg; /* the accepted edit; NULL: as it is in message */
    size_t msg_length;
    char *staged;
    size_t staged_length;
    bool staged_drop;
};

struct out_batch {
    struct chatup_batch batch; /* first: hooks get a pointer to it */
    size_t count, max_msg;
    size_t room; /* of the arrays, which are kept for the next batch */
    struct out_item *items;
    const struct chatup_message **views; /* what the hooks see: the view in items[i] */
};

struct chain {
    chain_hook *first;
    void *first_arg;
    bool has_out; /* one of the plugins has message_out */
    struct out_batch out;
    size_t count;
    struct chain_link links[];
};

/* ---- the chain ---- */

struct chain *chain_create(struct plugin *const *plugins, size_t count, chain_hook *first,
                           void *first_arg, uint32_t index, uint32_t loops, struct error *err)
{
    struct chain *chain = xcalloc(1, sizeof *chain + count * sizeof *chain->links);
    chain->first = first;
    chain->first_arg = first_arg;
    for (; chain->count < count; chain->count++) {
        struct plugin *plugin = plugins[chain->count];
        struct chain_link *link = &chain->links[chain->count];
        link->plugin = plugin;
        link->shard = plugin->self;
        if (plugin->api.shard_open)
            link->shard = plugin->api.shard_open(
                plugin->self,
                &(struct chatup_loop){sizeof(struct chatup_loop), index, loops, NULL});
        if (!link->shard) {
            error_set(err, "plugin %s: could not open its shard for loop %u of %u", plugin->name,
                      (unsigned)index + 1, (unsigned)loops);
            chain_destroy(chain);
            return NULL;
        }
        chain->has_out |= plugin->api.message_out != NULL;
        chain->out.max_msg = (size_t)plugin->conf->limits.message_bytes;
    }
    return chain;
}

void chain_set_max_msg(struct chain *chain, size_t bytes)
{
    chain->out.max_msg = bytes;
}

void chain_destroy(struct chain *chain)
{
    if (!chain)
        return;
    while (chain->count--) {
        struct chain_link *link = &chain->links[chain->count];
        if (link->plugin->api.shard_close)
            link->plugin->api.shard_close(link->shard);
    }
    free(chain->out.views);
    free(chain->out.items);
    free(chain);
}

void *chain_shard(struct chain *chain, size_t i)
{
    assert(i < chain->count);
    return chain->links[i].shard;
}

/* ---- edits ---- */

static struct chatup_text to_plugin(struct text text)
{
    return (struct chatup_text){text.at, text.length};
}

static bool is_text(const char *at, size_t length, size_t max)
{
    return length <= max && (at || !length) && (!length || utf8_valid((struct text){at, length}));
}

static bool is_json_object(const char *at, size_t length)
{
    json_error_t why;
    json_t *json = at ? json_loadb(at, length, JSON_ALLOW_NUL, &why) : NULL;
    bool is = json_is_object(json);
    json_decref(json);
    return is;
}

/* The old text may be what the new one is made of: copy first. */
static void stage(char **staged, size_t *staged_length, const char *at, size_t length)
{
    char *copy = xstrndup(length ? at : "", length);
    free(*staged);
    *staged = copy;
    *staged_length = length;
}

static int32_t set_msg(struct chatup_event *event, const char *text, size_t length)
{
    struct turn *turn = (struct turn *)event;
    if (!event || !event->msg.at || !is_text(text, length, turn->max_msg))
        return -1;
    stage(&turn->staged_msg, &turn->staged_msg_length, text, length);
    return 0;
}

static int32_t set_reply(struct chatup_event *event, const char *json, size_t length)
{
    struct turn *turn = (struct turn *)event;
    if (!event || length > TURN_REPLY_MAX || !is_json_object(json, length))
        return -1;
    stage(&turn->staged_reply, &turn->staged_reply_length, json, length);
    return 0;
}

static struct out_item *item_of(struct chatup_batch *batch, uint32_t i)
{
    struct out_batch *out = (struct out_batch *)batch;
    return out && i < out->count ? &out->items[i] : NULL;
}

static int32_t set_msg_out(struct chatup_batch *batch, uint32_t i, const char *text, size_t length)
{
    struct out_item *item = item_of(batch, i);
    if (!item || !item->message->fields.msg.at ||
        !is_text(text, length, ((struct out_batch *)batch)->max_msg))
        return -1;
    stage(&item->staged, &item->staged_length, text, length);
    return 0;
}

static int32_t drop(struct chatup_batch *batch, uint32_t i)
{
    struct out_item *item = item_of(batch, i);
    if (!item)
        return -1;
    item->staged_drop = true;
    return 0;
}

void chain_offer(struct chatup_host *host)
{
    host->set_msg = set_msg;
    host->set_reply = set_reply;
    host->set_msg_out = set_msg_out;
    host->drop = drop;
}

/* ---- message_in ---- */

static void turn_forget_msg(struct turn *turn)
{
    free(turn->staged_msg);
    turn->staged_msg = NULL;
}

static void turn_forget_reply(struct turn *turn)
{
    free(turn->staged_reply);
    turn->staged_reply = NULL;
}

static void turn_take_msg(struct turn *turn)
{
    if (!turn->staged_msg)
        return;
    free(turn->msg);
    turn->msg = turn->staged_msg;
    turn->event.msg = (struct chatup_text){turn->msg, turn->staged_msg_length};
    turn->staged_msg = NULL;
}

static void turn_take_reply(struct turn *turn)
{
    free(turn->reply);
    turn->reply = turn->staged_reply;
    turn->reply_length = turn->reply ? turn->staged_reply_length : 0;
    turn->staged_reply = NULL;
}

void turn_set_reply(struct turn *turn, const char *json, size_t length)
{
    stage(&turn->reply, &turn->reply_length, json, length);
}

/* {"status": "error", "err": string, "by": plugin, absent for the core} */
static void turn_refuse(struct turn *turn, const char *what, const char *by)
{
    char json[160]; /* names of plugins are short, and need no escapes */
    int length = snprintf(json, sizeof json, "{\"status\":\"error\",\"err\":\"%s\"%s%s%s}", what,
                          by ? ",\"by\":\"" : "", by ? by : "", by ? "\"" : "");
    assert(length > 0 && (size_t)length < sizeof json);
    turn_set_reply(turn, json, (size_t)length);
}

void turn_finish(struct turn *turn)
{
    turn_forget_msg(turn);
    turn_forget_reply(turn);
    free(turn->msg);
    free(turn->reply);
    turn->msg = turn->reply = NULL;
    turn->reply_length = 0;
}

static enum chain_verdict link_fault_in(struct chain_link *link, struct turn *turn, int32_t verdict)
{
    turn_forget_msg(turn);
    turn_forget_reply(turn);
    plugin_fault(link->plugin, "message_in", verdict);
    if (link->plugin->on_error == ON_ERROR_OPEN)
        return CHAIN_ACCEPT;
    turn_refuse(turn, "pluginUnavailable", link->plugin->name);
    return CHAIN_REJECT;
}

static enum chain_verdict link_in(struct chain_link *link, struct turn *turn)
{
    const struct chatup_event lent = turn->event;
    int32_t verdict = link->plugin->api.message_in(link->shard, &turn->event);
    turn->event = lent; /* what a hook writes there itself is no edit: nobody checked it */
    switch (verdict) {
    case CHATUP_ACCEPT:
        turn_take_msg(turn);
        if (turn->staged_reply)
            turn_take_reply(turn);
        return CHAIN_ACCEPT;
    case CHATUP_REJECT:
        turn_forget_msg(turn);
        turn_take_reply(turn);
        if (!turn->reply)
            turn_refuse(turn, "rejected", link->plugin->name);
        return CHAIN_REJECT;
    case CHATUP_CONSUME:
        turn_forget_msg(turn);
        turn_take_reply(turn);
        return CHAIN_CONSUME;
    default:
        return link_fault_in(link, turn, verdict);
    }
}

static enum chain_verdict first_in(struct chain *chain, struct turn *turn)
{
    int32_t verdict = chain->first(chain->first_arg, &turn->event);
    assert(verdict == CHATUP_ACCEPT || verdict == CHATUP_REJECT || verdict == CHATUP_CONSUME);
    if (verdict == CHATUP_REJECT && !turn->reply)
        turn_refuse(turn, "rejected", NULL);
    return verdict == CHATUP_ACCEPT   ? CHAIN_ACCEPT
           : verdict == CHATUP_REJECT ? CHAIN_REJECT
                                      : CHAIN_CONSUME;
}

enum chain_verdict chain_in(struct chain *chain, struct turn *turn)
{
    turn->event.size = sizeof turn->event;
    enum chain_verdict verdict = chain->first ? first_in(chain, turn) : CHAIN_ACCEPT;
    for (size_t i = 0; verdict == CHAIN_ACCEPT && i < chain->count; i++)
        if (chain->links[i].plugin->api.message_in)
            verdict = link_in(&chain->links[i], turn);
    return verdict;
}

/* ---- message_out ---- */

static void batch_fill(struct out_batch *out, struct message *const *messages, size_t count)
{
    if (count > out->room) {
        out->room = count;
        out->views = xrealloc(out->views, count * sizeof *out->views);
        out->items = xrealloc(out->items, count * sizeof *out->items);
    }
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct message *message = messages[i];
        const struct message_fields *fields = &message->fields;
        if (message->removed)
            continue;
        struct out_item *item = &out->items[out->count++];
        *item = (struct out_item){.message = message};
        item->view = (struct chatup_message){
            .size = sizeof(struct chatup_message),
            .offset = message->offset,
            .room = to_plugin(name_text(message->room)),
            .id = to_plugin(fields->id),
            .sub = to_plugin(fields->sub),
            .name = to_plugin(fields->name),
            .user = to_plugin(fields->user),
            .msg = to_plugin(fields->msg),
            .ev = to_plugin(fields->ev),
            .data = to_plugin(fields->data),
            .time_ms = fields->time_ms,
        };
    }
}

static void batch_rollback(struct out_batch *out)
{
    for (size_t i = 0; i < out->count; i++) {
        free(out->items[i].staged);
        out->items[i].staged = NULL;
        out->items[i].staged_drop = false;
    }
}

static void batch_commit(struct out_batch *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        struct out_item item = out->items[i];
        if (item.staged_drop) {
            free(item.staged);
            free(item.msg);
            continue;
        }
        if (item.staged) {
            free(item.msg);
            item.msg = item.staged;
            item.msg_length = item.staged_length;
            item.staged = NULL;
            item.view.msg = (struct chatup_text){item.msg, item.msg_length};
        }
        out->items[kept++] = item;
    }
    out->count = kept;
}

static void batch_finish(struct out_batch *out)
{
    batch_rollback(out);
    for (size_t i = 0; i < out->count; i++)
        free(out->items[i].msg);
    out->count = 0;
}

/* false: nothing of the batch may be shown. */
static bool link_out(struct chain_link *link, const struct name *room, struct out_batch *out)
{
    for (size_t i = 0; i < out->count; i++)
        out->views[i] = &out->items[i].view;
    out->batch = (struct chatup_batch){.size = sizeof out->batch,
                                       .count = (uint32_t)out->count,
                                       .messages = out->views,
                                       .room = to_plugin(name_text(room))};
    int32_t verdict = link->plugin->api.message_out(link->shard, &out->batch);
    if (verdict == CHATUP_ACCEPT) {
        batch_commit(out);
        return true;
    }
    if (verdict == CHATUP_REJECT)
        return false;
    plugin_fault(link->plugin, "message_out", verdict);
    batch_rollback(out);
    return link->plugin->on_error == ON_ERROR_OPEN;
}

static void write_comma(size_t written, struct buffer *to)
{
    if (written)
        buffer_bytes(to, ",", 1);
}

static void write_item(const struct out_item *item, struct buffer *to)
{
    if (!item->msg) {
        message_write_json(item->message, to);
        return;
    }
    struct message_fields fields = item->message->fields;
    fields.msg = (struct text){item->msg, item->msg_length};
    struct message *edited = message_create(item->message->room, &fields);
    if (!edited) {
        buffer_fail(to);
        return;
    }
    edited->offset = item->message->offset;
    message_write_json(edited, to);
    message_unref(edited);
}

size_t chain_out(struct chain *chain, const struct name *room, struct message *const *messages,
                 size_t count, struct buffer *to)
{
    struct out_batch *out = &chain->out;
    size_t written = 0;
    if (!chain->has_out) {
        for (size_t i = 0; i < count; i++) {
            if (messages[i]->removed)
                continue;
            write_comma(written++, to);
            message_write_json(messages[i], to);
        }
        return written;
    }
    assert(count <= UINT32_MAX);
    batch_fill(out, messages, count);
    bool shown = true;
    for (size_t i = 0; shown && out->count && i < chain->count; i++)
        if (chain->links[i].plugin->api.message_out)
            shown = link_out(&chain->links[i], room, out);
    for (; shown && written < out->count; written++) {
        write_comma(written, to);
        write_item(&out->items[written], to);
    }
    batch_finish(out);
    return written;
}
