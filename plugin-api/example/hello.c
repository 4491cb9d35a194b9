/* hello.c: the smallest plugin that does a bit of everything. Copy it and change it.
 *   /hello               answered, not published          "teh" is published as "the"
 *   forbidden: WORD      messages with it are rejected    hide: WORD is shown as ***
 *   GET /plugin/hello    how many messages came by */
#define _GNU_SOURCE 1 /* memmem */
#include <chatup/plugin.h>
#include <chatup/routes.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORBIDDEN, HIDE }; /* positions in: */
static const struct chatup_option options[] = {
    {.name = "forbidden",
     .type = CHATUP_STRING,
     .preset = "",
     .help = "messages with this text are rejected"},
    {.name = "hide",
     .type = CHATUP_STRING,
     .preset = "",
     .help = "readers see *** instead of this text"},
};

struct hello { /* one per process: all loops read it, so what changes in it is atomic */
    const struct chatup_host *host;
    struct chatup_text forbidden, hide;
    atomic_ulong messages;
};

struct shard { /* one per loop: only that loop touches it */
    struct hello *hello;
    char out[16 * 1024]; /* what we hand to the host, which copies it */
};

static const char *find(struct chatup_text in, struct chatup_text word)
{
    return word.length && in.at ? memmem(in.at, in.length, word.at, word.length) : NULL;
}

/* text with every word replaced, into shard->out; returns its length, 0: does not fit. */
static size_t replace(struct shard *shard, struct chatup_text text, struct chatup_text word,
                      struct chatup_text by)
{
    for (char *to = shard->out, *end = to + sizeof shard->out;;) {
        const char *hit = find(text, word);
        size_t before = hit ? (size_t)(hit - text.at) : text.length;
        if (before + by.length > (size_t)(end - to))
            return 0;
        to = (char *)memcpy(to, text.at, before) + before;
        if (!hit)
            return (size_t)(to - shard->out);
        to = (char *)memcpy(to, by.at, by.length) + by.length;
        text.at = hit + word.length;
        text.length -= before + word.length;
    }
}

static int32_t greet(struct shard *shard, struct chatup_event *event)
{
    size_t room = sizeof shard->out - 4;
    size_t length = (size_t)sprintf(shard->out, "{\"status\":\"ok\",\"message\":\"Hello, ");
    for (size_t i = 0; i < event->name.length && length < room; i++)
        if ((unsigned char)event->name.at[i] >= ' ' && !strchr("\"\\", event->name.at[i]))
            shard->out[length++] = event->name.at[i]; /* what JSON wants escaped is left out */
    length += (size_t)sprintf(shard->out + length, "\"}");
    shard->hello->host->set_reply(event, shard->out, length);
    return CHATUP_CONSUME; /* answered: nothing is published */
}

static int32_t on_message_in(void *arg, struct chatup_event *event)
{
    static const struct chatup_text command = {"/hello", 6}, teh = {"teh", 3}, the = {"the", 3};
    struct shard *shard = arg;
    struct hello *hello = shard->hello;
    atomic_fetch_add(&hello->messages, 1);
    if (event->msg.length == command.length && find(event->msg, command))
        return greet(shard, event);
    if (find(event->msg, hello->forbidden))
        return CHATUP_REJECT; /* without a reply of ours: the sender is told which plugin it was */
    if (find(event->msg, teh)) {
        size_t length = replace(shard, event->msg, teh, the);
        if (!length || hello->host->set_msg(event, shard->out, length) != 0)
            return CHATUP_FAULT;
    }
    return CHATUP_ACCEPT; /* go on to the next plugin */
}

static int32_t on_message_out(void *arg, struct chatup_batch *batch)
{
    static const struct chatup_text stars = {"***", 3};
    struct shard *shard = arg;
    struct hello *hello = shard->hello;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!find(batch->messages[i]->msg, hello->hide))
            continue;
        size_t length = replace(shard, batch->messages[i]->msg, hello->hide, stars);
        if (!length || hello->host->set_msg_out(batch, i, shard->out, length) != 0)
            hello->host->drop(batch, i); /* too long to be changed: better unseen */
    }
    return CHATUP_ACCEPT;
}

static int32_t on_get(void *arg, const struct chatup_request *request,
                      struct chatup_response *response)
{
    struct shard *shard = arg;
    int length = snprintf(shard->out, sizeof shard->out, "{\"hello\":\"world\",\"messages\":%lu}",
                          atomic_load(&shard->hello->messages));
    response->body = (struct chatup_text){shard->out, (size_t)length};
    return CHATUP_ACCEPT;
}

static const struct chatup_route routes[] = {
    {.methods = CHATUP_GET, .access = CHATUP_PUBLIC, .path = "", .handle = on_get},
};

static void *create(const struct chatup_host *host)
{
    struct hello *hello = calloc(1, sizeof *hello);
    if (!hello)
        return NULL;
    hello->host = host; /* valid until destroy, as are the texts of the options */
    hello->forbidden = host->option(host->self, FORBIDDEN).text;
    hello->hide = host->option(host->self, HIDE).text;
    return hello;
}

static void *shard_open(void *hello, const struct chatup_loop *loop)
{
    struct shard *shard = calloc(1, sizeof *shard);
    if (shard)
        shard->hello = hello;
    return shard;
}

static const struct chatup_plugin hello_plugin = {
    .size = sizeof hello_plugin,
    .name = "hello",
    .version = "1.0",
    .summary = "greets, corrects, hides",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .routes = routes,
    .route_count = sizeof routes / sizeof *routes,
    .create = create,
    .destroy = free,
    .shard_open = shard_open,
    .shard_close = free,
    .message_in = on_message_in,
    .message_out = on_message_out,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &hello_plugin;
}
