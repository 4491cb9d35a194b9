/* @NAME@.c: says what it does here. */
#include <chatup/plugin.h>
#include <stdlib.h>
#include <string.h>

enum { WORD }; /* positions in: */
static const struct chatup_option options[] = {
    {.name = "word",
     .type = CHATUP_STRING,
     .preset = "please",
     .help = "messages without it are rejected",
     .min = 1,
     .max = 100},
};

struct plugin { /* one for all loops: read-only once created */
    const struct chatup_host *host;
    struct chatup_text word;
};

static int contains(struct chatup_text text, struct chatup_text part)
{
    for (size_t i = 0; i + part.length <= text.length; i++)
        if (!memcmp(text.at + i, part.at, part.length))
            return 1;
    return 0;
}

static int32_t on_message_in(void *shard, struct chatup_event *event)
{
    const struct plugin *plugin = shard;
    static const char reply[] = "{\"status\":\"error\",\"err\":\"sayPlease\"}";
    if (!event->msg.at || contains(event->msg, plugin->word))
        return CHATUP_ACCEPT;
    plugin->host->set_reply(event, reply, sizeof reply - 1);
    return CHATUP_REJECT;
}

static void *create(const struct chatup_host *host)
{
    struct plugin *plugin = calloc(1, sizeof *plugin);
    if (!plugin)
        return NULL;
    plugin->host = host;
    plugin->word = host->option(host->self, WORD).text;
    return plugin;
}

static const struct chatup_plugin plugin = {
    .size = sizeof plugin,
    .name = "@NAME@",
    .version = "0.1",
    .summary = "rejects messages without a certain word",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .create = create,
    .destroy = free,
    .message_in = on_message_in,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &plugin;
}
