/* slack.c: messages with certain words go to a Slack channel, by an incoming webhook; as the
 * original's plugin, which takes them out of the chat, or beside it. */
#include "delivery.h"
#include "template.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { URL, TRIGGERS, PRETEXT, USERNAME, MODE, QUEUE, ATTEMPTS, TIMEOUT }; /* positions in: */
static const struct chatup_option trigger_item[] = {
    {.name = "trigger", .type = CHATUP_STRING, .min = 1, .max = 200},
};
static const char *const modes[] = {"redirect", "observe", NULL};
static const struct chatup_option options[] = {
    {.name = "url",
     .type = CHATUP_STRING,
     .flags = CHATUP_SECRET,
     .help = "of the webhook, http or https",
     .min = 1,
     .max = 2000},
    {.name = "triggers",
     .type = CHATUP_LIST,
     .help = "messages with one of these are sent, in whatever case",
     .min = 1,
     .max = 100,
     .children = trigger_item,
     .child_count = 1},
    {.name = "pretext",
     .type = CHATUP_STRING,
     .preset = "New message in {room.name}",
     .help = "a line in front; with {room.name}, {user.name}, {user.sub}, {msg}",
     .max = 1000},
    {.name = "username",
     .type = CHATUP_STRING,
     .preset = "{user.name}",
     .help = "who says it in Slack; as pretext",
     .max = 200},
    {.name = "mode",
     .type = CHATUP_ENUM,
     .preset = "redirect",
     .help = "redirect: not published in the room; observe: published too",
     .choices = modes},
    {.name = "queue",
     .type = CHATUP_INT,
     .preset = "100",
     .help = "messages that may wait, per loop",
     .min = 1,
     .max = 10000},
    {.name = "attempts",
     .type = CHATUP_INT,
     .preset = "5",
     .help = "how often one is tried",
     .min = 1,
     .max = 100},
    {.name = "timeout",
     .type = CHATUP_DURATION,
     .preset = "10s",
     .help = "for one answer of Slack",
     .min = 100,
     .max = 60000},
};

enum { SENT, RETRIED, DROPPED };
static const struct chatup_counter counters[] = {
    {"sent", "messages that Slack took"},
    {"retried", "tries that failed and were repeated"},
    {"dropped", "messages given up, or that found the queue full"},
};

struct slack { /* read-only once created */
    const struct chatup_host *host;
    const struct chatup_loop_service *service;
    struct chatup_value triggers;
    struct chatup_text pretext, username;
    const char *url;
    int redirect;
    size_t queue;
    int64_t attempts, timeout_ms;
};

struct shard {
    const struct slack *slack;
    struct delivery *delivery;
};

/* ---- sending ---- */

static void on_event(void *arg, enum delivery_event event, const char *why)
{
    static const uint32_t counted[] = {SENT, RETRIED, DROPPED};
    const struct shard *shard = arg;
    const struct chatup_host *host = shard->slack->host;
    char line[400];
    host->count(host->self, counted[event], 1);
    if (event != DELIVERY_DROPPED)
        return;
    int length = snprintf(line, sizeof line, "a message did not reach Slack: %s", why);
    host->log(host->self, CHATUP_ERROR, line, (size_t)length);
}

/* {"username", "pretext", "text", "fallback"}, freed by the caller; NULL: no memory */
static char *write_json(const struct slack *slack, const struct chatup_event *event)
{
    const struct chatup_text fields[FIELD_COUNT] = {[FIELD_ROOM] = event->room,
                                                    [FIELD_NAME] = event->name,
                                                    [FIELD_SUB] = event->sub,
                                                    [FIELD_MSG] = event->msg};
    size_t pretext_length = 0, username_length = 0;
    char *pretext = template_fill(slack->pretext, fields, &pretext_length);
    char *username = template_fill(slack->username, fields, &username_length);
    json_t *json = pretext && username
                       ? json_pack("{s:s%,s:s%,s:s%,s:s%}", "username", username, username_length,
                                   "pretext", pretext, pretext_length, "text", event->msg.at,
                                   event->msg.length, "fallback", event->msg.at, event->msg.length)
                       : NULL;
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    free(pretext);
    free(username);
    return text;
}

/* ---- the hook ---- */

static int has(struct chatup_text text, struct chatup_text part)
{
    for (size_t i = 0; i + part.length <= text.length; i++)
        if (!strncasecmp(text.at + i, part.at, part.length))
            return 1;
    return 0;
}

static int32_t on_message_in(void *arg, struct chatup_event *event)
{
    static const char redirected[] = "{\"status\":\"ok\",\"message\":\"messageRedirected\"}";
    static const char busy[] = "{\"status\":\"error\",\"err\":\"slackBusy\"}";
    struct shard *shard = arg;
    const struct slack *slack = shard->slack;
    const struct chatup_host *host = slack->host;
    uint32_t i = 0;
    while (i < slack->triggers.count && !has(event->msg, slack->triggers.items[i].text))
        i++;
    if (i == slack->triggers.count)
        return CHATUP_ACCEPT;
    char *json = write_json(slack, event);
    if (!json)
        return CHATUP_FAULT;
    int queued = delivery_add(shard->delivery, json);
    if (!queued) {
        free(json);
        on_event(shard, DELIVERY_DROPPED, "too many are waiting");
    }
    if (!slack->redirect)
        return CHATUP_ACCEPT;
    host->set_reply(event, queued ? redirected : busy,
                    queued ? sizeof redirected - 1 : sizeof busy - 1);
    return queued ? CHATUP_CONSUME : CHATUP_REJECT;
}

/* ---- start and end ---- */

static int check(const struct chatup_host *host, uint32_t i)
{
    char why[160];
    if (!template_check(host->option(host->self, i).text, why, sizeof why))
        return 1;
    host->refuse(host->self, i, why, strlen(why));
    return 0;
}

static int check_url(const struct chatup_host *host)
{
    static const char why[] = "must begin with https:// or http://"; /* the URL is a secret */
    const char *url = host->option(host->self, URL).text.at;
    if (!strncasecmp(url, "https://", 8) || !strncasecmp(url, "http://", 7))
        return 1;
    host->refuse(host->self, URL, why, sizeof why - 1);
    return 0;
}

static void *create(const struct chatup_host *host)
{
    if (!check(host, PRETEXT) || !check(host, USERNAME) || !check_url(host))
        return NULL;
    struct slack *slack = calloc(1, sizeof *slack);
    if (!slack)
        return NULL;
    *slack = (struct slack){
        .host = host,
        .service = host->service(host->self, CHATUP_LOOP),
        .triggers = host->option(host->self, TRIGGERS),
        .pretext = host->option(host->self, PRETEXT).text,
        .username = host->option(host->self, USERNAME).text,
        .url = host->option(host->self, URL).text.at,
        .redirect = host->option(host->self, MODE).number == 0,
        .queue = (size_t)host->option(host->self, QUEUE).number,
        .attempts = host->option(host->self, ATTEMPTS).number,
        .timeout_ms = host->option(host->self, TIMEOUT).number,
    };
    return slack;
}

static void *shard_open(void *arg, const struct chatup_loop *loop)
{
    const struct slack *slack = arg;
    struct shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    shard->slack = slack;
    shard->delivery = delivery_create(&(struct delivery_options){.service = slack->service,
                                                                 .loop = loop,
                                                                 .url = slack->url,
                                                                 .max_queued = slack->queue,
                                                                 .attempts = slack->attempts,
                                                                 .timeout_ms = slack->timeout_ms,
                                                                 .on_event = on_event,
                                                                 .arg = shard});
    if (!shard->delivery) {
        free(shard);
        return NULL;
    }
    return shard;
}

static void shard_close(void *arg)
{
    struct shard *shard = arg;
    delivery_destroy(shard->delivery);
    free(shard);
}

static const char *const needs[] = {CHATUP_LOOP, NULL};

static const struct chatup_plugin slack_plugin = {
    .size = sizeof slack_plugin,
    .name = "slack",
    .version = "1.0",
    .summary = "sends messages with certain words to Slack",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .counters = counters,
    .counter_count = sizeof counters / sizeof *counters,
    .needs = needs,
    .create = create,
    .destroy = free,
    .shard_open = shard_open,
    .shard_close = shard_close,
    .message_in = on_message_in,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &slack_plugin;
}
