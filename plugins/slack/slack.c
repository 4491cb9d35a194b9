/* slack.c: messages with one of a few texts in them go to a webhook of Slack (or of whatever takes
 * its format), in place of the room or as well.
 *   {"username": string, "pretext": string, "text": string, "fallback": string}
 * Which messages: triggers.c; what is said: template.c; how it gets there: delivery.c. */
#include "delivery.h"
#include "template.h"
#include "triggers.h"

#include <chatup/plugin.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSED = DELIVERY_DROPPED + 1 }; /* enum delivery_count, and this, are positions in: */
static const struct chatup_counter counters[] = {
    {"sent", "messages that the webhook took"},
    {"retried", "requests that failed and were made again"},
    {"dropped", "messages given up; the log says why"},
    {"refused", "messages refused with slackBusy"},
};

enum { REDIRECT, OBSERVE };
static const char *const modes[] = {"redirect", "observe", NULL};
static const struct chatup_option trigger = {
    .name = "trigger", .type = CHATUP_STRING, .min = 1, .max = 200};

enum { URL, TRIGGERS, MODE, PRETEXT, USERNAME, QUEUE, ATTEMPTS, TIMEOUT }; /* positions in: */
static const struct chatup_option options[] = {
    {.name = "url",
     .type = CHATUP_STRING,
     .flags = CHATUP_SECRET,
     .help = "the webhook, http or https",
     .min = 1,
     .max = 2000},
    {.name = "triggers",
     .type = CHATUP_LIST,
     .help = "messages with one of these texts in them are sent, whatever their case",
     .min = 1,
     .max = 100,
     .children = &trigger,
     .child_count = 1},
    {.name = "mode",
     .type = CHATUP_ENUM,
     .preset = "redirect",
     .help = "redirect: they are not published; observe: they are published too",
     .choices = modes},
    {.name = "pretext",
     .type = CHATUP_STRING,
     .preset = "New message in {room.name}",
     .help = "what Slack shows above: {room.name}, {user.name}, {user.sub}, {msg}",
     .max = 1000},
    {.name = "username",
     .type = CHATUP_STRING,
     .preset = "{user.name}",
     .help = "whom Slack shows as the sender; the same names",
     .max = 1000},
    {.name = "queue",
     .type = CHATUP_INT,
     .preset = "100",
     .help = "messages waiting, per loop",
     .min = 1,
     .max = 10000},
    {.name = "attempts",
     .type = CHATUP_INT,
     .preset = "5",
     .help = "requests made for a message before it is dropped",
     .min = 1,
     .max = 20},
    {.name = "timeout",
     .type = CHATUP_DURATION,
     .preset = "10s",
     .help = "of one request",
     .min = 100,
     .max = 60 * 1000},
};

struct slack { /* read-only once created */
    const struct chatup_host *host;
    struct delivery_conf delivery;
    struct triggers *triggers;
    struct template *pretext, *username, *text;
    bool observe;
};

struct shard {
    struct slack *slack;
    struct delivery *delivery;
};

/* ---- messages ---- */

/* What is posted, to be freed; NULL out of memory. */
static char *post_of(const struct slack *slack, const struct chatup_event *event)
{
    const struct chatup_text values[TEMPLATE_NAMES] = {
        [TEMPLATE_ROOM_NAME] = event->room,
        [TEMPLATE_USER_NAME] = event->name,
        [TEMPLATE_USER_SUB] = event->sub,
        [TEMPLATE_MSG] = event->msg,
    };
    struct chatup_text username = template_expand(slack->username, values, false),
                       pretext = template_expand(slack->pretext, values, true),
                       text = template_expand(slack->text, values, true);
    json_t *json = NULL;
    if (username.at && pretext.at && text.at)
        json = json_pack("{s:s%, s:s%, s:s%, s:s%}", "username", username.at, username.length,
                         "pretext", pretext.at, pretext.length, "text", text.at, text.length,
                         "fallback", text.at, text.length);
    char *post = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    free((char *)username.at);
    free((char *)pretext.at);
    free((char *)text.at);
    return post;
}

static int32_t on_message_in(void *arg, struct chatup_event *event)
{
    static const char busy[] = "{\"status\":\"error\",\"err\":\"slackBusy\"}",
                      redirected[] = "{\"status\":\"ok\",\"message\":\"messageRedirected\"}";
    struct shard *shard = arg;
    struct slack *slack = shard->slack;
    if (!event->msg.at || !triggers_match(slack->triggers, event->msg))
        return CHATUP_ACCEPT;
    if (delivery_full(shard->delivery)) {
        if (slack->observe) {
            delivery_overflow(shard->delivery);
            return CHATUP_ACCEPT;
        }
        slack->host->count(slack->host->self, REFUSED, 1);
        slack->host->set_reply(event, busy, sizeof busy - 1);
        return CHATUP_REJECT;
    }
    char *post = post_of(slack, event);
    if (!post)
        return CHATUP_FAULT;
    delivery_add(shard->delivery, post);
    if (slack->observe)
        return CHATUP_ACCEPT;
    slack->host->set_reply(event, redirected, sizeof redirected - 1);
    return CHATUP_CONSUME;
}

/* ---- start and end ---- */

static void destroy(void *arg)
{
    struct slack *slack = arg;
    triggers_destroy(slack->triggers);
    template_destroy(slack->pretext);
    template_destroy(slack->username);
    template_destroy(slack->text);
    free(slack);
}

/* false: option, if it is one, is wrong for the reason why; empty: out of memory. */
static bool set_up(struct slack *slack, uint32_t *option, char *why, size_t size)
{
    const struct chatup_host *host = slack->host;
    struct chatup_value triggers = host->option(host->self, TRIGGERS);
    *option = UINT32_MAX;
    if (!delivery_global_init(why, size) ||
        !(slack->text = template_parse((struct chatup_text){"{msg}", 5}, why, size)) ||
        !(slack->triggers = triggers_create(triggers.items, triggers.count)))
        return false;
    *option = PRETEXT;
    slack->pretext = template_parse(host->option(host->self, PRETEXT).text, why, size);
    if (!slack->pretext)
        return false;
    *option = USERNAME;
    slack->username = template_parse(host->option(host->self, USERNAME).text, why, size);
    if (!slack->username)
        return false;
    *option = URL;
    if (!delivery_url_valid(slack->delivery.url)) {
        strcpy(why, "must begin with https:// or http://");
        return false;
    }
    return true;
}

static void *create(const struct chatup_host *host)
{
    char why[200] = "";
    uint32_t option;
    struct slack *slack = calloc(1, sizeof *slack);
    if (!slack)
        return NULL;
    slack->host = host;
    slack->observe = host->option(host->self, MODE).number == OBSERVE;
    slack->delivery = (struct delivery_conf){
        .host = host,
        .time = host->service(host->self, CHATUP_LOOP),
        .url = host->option(host->self, URL).text.at,
        .timeout_ms = host->option(host->self, TIMEOUT).number,
        .queue = (uint32_t)host->option(host->self, QUEUE).number,
        .attempts = (uint32_t)host->option(host->self, ATTEMPTS).number,
    };
    if (set_up(slack, &option, why, sizeof why))
        return slack;
    if (*why)
        host->refuse(host->self, option, why, strlen(why));
    destroy(slack);
    return NULL;
}

static void *shard_open(void *arg, const struct chatup_loop *loop)
{
    struct slack *slack = arg;
    struct shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return NULL;
    shard->slack = slack;
    shard->delivery = delivery_create(&slack->delivery, loop);
    if (shard->delivery)
        return shard;
    free(shard);
    return NULL;
}

static void drain(void *arg)
{
    struct shard *shard = arg;
    delivery_drain(shard->delivery);
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
    .summary = "messages with certain words go to a webhook of Slack",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .counters = counters,
    .counter_count = sizeof counters / sizeof *counters,
    .needs = needs,
    .create = create,
    .destroy = destroy,
    .shard_open = shard_open,
    .shard_close = shard_close,
    .message_in = on_message_in,
    .drain = drain,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &slack_plugin;
}
