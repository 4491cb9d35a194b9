/* message_out: once per batch and loop, never once per reader. Edits are staged as in turn.c. */
#include "alloc.h"
#include "buffer.h"
#include "chain_parts.h"
#include "clock.h"
#include "config.h"
#include "message.h"
#include "plugin.h"

#include <assert.h>

struct out_item { /* one message of a batch that is running */
    const struct message *message;
    struct chatup_message view;
    char *msg; /* the accepted edit; NULL: as it is in message */
    size_t msg_length;
    char *staged;
    size_t staged_length;
    bool staged_drop;
};

/* ---- edits ---- */

static struct chatup_text to_plugin(struct text text)
{
    return (struct chatup_text){text.at, text.length};
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
static bool shard_out(struct shard *shard, const struct name *room, struct out_batch *out)
{
    if (shard_is_off(shard))
        return shard->plugin->on_error == ON_ERROR_OPEN;
    for (size_t i = 0; i < out->count; i++)
        out->views[i] = &out->items[i].view;
    out->batch = (struct chatup_batch){.size = sizeof out->batch,
                                       .count = (uint32_t)out->count,
                                       .messages = out->views,
                                       .room = to_plugin(name_text(room))};
    int64_t began = hook_begin(shard, HOOK_message_out);
    int32_t verdict = shard->plugin->api.message_out(shard->self, &out->batch);
    hook_end(shard, HOOK_message_out, began, verdict);
    if (verdict == CHATUP_ACCEPT) {
        batch_commit(out);
        return true;
    }
    if (verdict == CHATUP_REJECT)
        return false;
    shard_fault(shard, HOOK_message_out, "message_out", verdict);
    batch_rollback(out);
    return shard->plugin->on_error == ON_ERROR_OPEN;
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
        if (chain->shards[i].plugin->api.message_out)
            shown = shard_out(&chain->shards[i], room, out);
    for (; shown && written < out->count; written++) {
        write_comma(written, to);
        write_item(&out->items[written], to);
    }
    batch_finish(out);
    return written;
}

void batch_offer(struct chatup_host *host)
{
    host->set_msg_out = set_msg_out;
    host->drop = drop;
}
