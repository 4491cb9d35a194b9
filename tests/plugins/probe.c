/* probe.c: misbehaves on order. `mode` names one entry of a table below; `tag` is what it appends,
 * `verdict` what it answers where the mode asks for that. */
#include <chatup/loop.h>
#include <chatup/plugin.h>
#include <chatup/routes.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MODE, TAG, VERDICT, WAIT };
static const struct chatup_option options[] = {
    {"mode", CHATUP_STRING, 0, "accept", "what to do wrong", 0, 0, NULL, 0, NULL},
    {"tag", CHATUP_STRING, 0, "!", "text to append", 0, 0, NULL, 0, NULL},
    {"verdict", CHATUP_INT, 0, "0", "verdict to answer", -2147483647, 2147483647, NULL, 0, NULL},
    {"wait", CHATUP_DURATION, 0, "30s", "not used", 0, 0, NULL, 0, NULL},
    {"size", CHATUP_SIZE, 0, "4KiB", "not used", 0, 0, NULL, 0, NULL},
    {"flag", CHATUP_BOOL, 0, "true", "not used", 0, 0, NULL, 0, NULL},
};

enum { PARKED_MAX = 64 };

struct parked { /* a deferral that the message "go" resumes */
    uint64_t id;
    int32_t verdict;
};

struct probe { /* of all loops */
    const struct chatup_host *host;
    const struct chatup_loop_service *loop;
    int does_nothing;
    const char *mode, *tag;
    int32_t verdict;
    int64_t wait_ms;
    atomic_long messages;
    char state[32];
    const struct chatup_loop *loops[64];
    pthread_mutex_t lock; /* of what is parked */
    struct parked parked[PARKED_MAX];
    int parked_count;
};

/* The shard of all modes is the probe itself. Which loop an event came by is not told: the index
 * of a deferral's id is its first byte. */

static int is(const struct probe *probe, const char *mode)
{
    return !strcmp(probe->mode, mode);
}

static char *tagged(const struct probe *probe, struct chatup_text text, size_t *length)
{
    *length = text.length + strlen(probe->tag);
    char *copy = malloc(*length + 1);
    if (text.length)
        memcpy(copy, text.at, text.length);
    memcpy(copy + text.length, probe->tag, strlen(probe->tag) + 1);
    return copy;
}

static int32_t append(const struct probe *probe, struct chatup_event *event)
{
    size_t length;
    char *text = tagged(probe, event->msg, &length);
    int32_t result = probe->host->set_msg(event, text, length);
    memset(text, 'x', length); /* the host must have copied it */
    free(text);
    return result;
}

static int32_t reply(const struct probe *probe, struct chatup_event *event, const char *json)
{
    return probe->host->set_reply(event, json, strlen(json));
}

/* {"results": array of what set_msg and set_reply returned for what they must refuse} */
static int32_t try_all(const struct probe *probe, struct chatup_event *event)
{
    const struct chatup_host *host = probe->host;
    static char longest[1024 * 1024 + 2];
    char json[200];
    memset(longest, 'x', sizeof longest);
    snprintf(json, sizeof json, "{\"results\":[%d,%d,%d,%d,%d,%d,%d,%d]}",
             host->set_msg(event, "\xff", 1), host->set_msg(event, "\xed\xa0\x80", 3),
             host->set_msg(event, longest, sizeof longest), host->set_msg(event, NULL, 3),
             reply(probe, event, "[1]"), reply(probe, event, "{\"a\":"),
             reply(probe, event, "{} {}"), host->set_reply(event, NULL, 0));
    return reply(probe, event, json);
}

static void crash(void)
{
    volatile int *volatile nowhere = NULL; /* no compiler is to see through it */
    *nowhere = 1;
}

/* ---- answering later ---- */

struct later {
    struct probe *probe;
    uint64_t id;
    size_t length;
    char text[256];
};

static void resume_now(void *shard, void *arg, int32_t status)
{
    struct later *later = arg;
    struct probe *probe = later->probe;
    const struct chatup_text none = {NULL, 0}, text = {later->text, later->length};
    if (status == CHATUP_DONE) {
        probe->host->resume(probe->host->self, later->id, CHATUP_ACCEPT, text, none);
        if (is(probe, "defer_twice")) /* nothing may come of it */
            probe->host->resume(probe->host->self, later->id, CHATUP_REJECT, none, none);
        probe->host->resume(probe->host->self, later->id ^ (UINT64_C(1) << 33), CHATUP_REJECT, none,
                            none);
    }
    free(later);
}

static int32_t defer(struct probe *probe, struct chatup_event *event)
{
    size_t length;
    int64_t timeout_ms = is(probe, "defer_never") ? probe->wait_ms : 30000;
    struct later *later = calloc(1, sizeof *later);
    char *text = tagged(probe, event->msg, &length);
    later->probe = probe;
    later->length = length < sizeof later->text ? length : sizeof later->text;
    memcpy(later->text, text, later->length);
    free(text);
    later->id = probe->host->defer(event, timeout_ms);
    if (is(probe, "defer_accept")) { /* changed its mind */
        free(later);
        return CHATUP_ACCEPT;
    }
    if (is(probe, "defer_never"))
        free(later);
    else
        probe->loop->timer(probe->loops[later->id >> 56], probe->wait_ms, resume_now, later);
    return CHATUP_DEFER;
}

static void on_cancelled(void *shard, uint64_t id, int32_t why)
{
    struct probe *probe = shard;
    char line[80];
    int length = snprintf(line, sizeof line, "cancelled, why %d", (int)why);
    probe->host->log(probe->host->self, CHATUP_INFO, line, (size_t)length);
}

static int32_t count(struct probe *probe, struct chatup_event *event)
{
    char json[60];
    if (event->msg.length != 5 || memcmp(event->msg.at, "count", 5) != 0) {
        probe->messages++;
        return CHATUP_ACCEPT;
    }
    int length = snprintf(json, sizeof json, "{\"count\":%ld}", probe->messages);
    probe->host->set_reply(event, json, (size_t)length);
    return CHATUP_CONSUME;
}

static struct chatup_text state_save(void *arg)
{
    struct probe *probe = arg;
    int length = snprintf(probe->state, sizeof probe->state, "%ld", probe->messages);
    return (struct chatup_text){probe->state, (size_t)length};
}

static void state_load(void *arg, struct chatup_text state)
{
    struct probe *probe = arg;
    char text[32] = "";
    if (state.length < sizeof text)
        memcpy(text, state.at, state.length);
    probe->messages = atol(text);
}

/* ---- who comes and goes ---- */

static int named(const struct chatup_visit *visit, const char *name)
{
    return visit->name.length == strlen(name) && !memcmp(visit->name.at, name, visit->name.length);
}

static int starts(struct chatup_text text, const char *with)
{
    return text.length >= strlen(with) && !memcmp(text.at, with, strlen(with));
}

static int ends(struct chatup_text text, const char *with)
{
    return text.length >= strlen(with) &&
           !memcmp(text.at + text.length - strlen(with), with, strlen(with));
}

static void resume_visit(void *shard, void *arg, int32_t status)
{
    struct later *later = arg;
    const struct chatup_host *host = later->probe->host;
    const struct chatup_text none = {NULL, 0};
    if (status == CHATUP_DONE)
        host->resume(host->self, later->id, CHATUP_ACCEPT, none, none);
    free(later);
}

static int32_t visit_soon(struct probe *probe, struct chatup_visit *visit)
{
    struct later *later = calloc(1, sizeof *later);
    later->probe = probe;
    later->id = probe->host->defer_visit(visit, 30000);
    probe->loop->timer(probe->loops[later->id >> 56], 1, resume_visit, later);
    return CHATUP_DEFER;
}

/* Deferred, if what says so: "later" and the verdict, "later-bad"; "later-never" waits in vain. */
static int32_t park(struct probe *probe, struct chatup_visit *visit, struct chatup_text what)
{
    static const char asked[] = "asked";
    if (is(probe, "soon"))
        return visit_soon(probe, visit);
    if (!is(probe, "later") || !starts(what, "later"))
        return CHATUP_ACCEPT;
    int never = ends(what, "-never");
    uint64_t id = probe->host->defer_visit(visit, never ? probe->wait_ms : 30000);
    int32_t verdict = ends(what, "-bad")     ? CHATUP_REJECT
                      : ends(what, "-ghost") ? CHATUP_CONSUME
                      : ends(what, "-wrong") ? CHATUP_DEFER
                                             : CHATUP_ACCEPT;
    pthread_mutex_lock(&probe->lock);
    if (!never && probe->parked_count < PARKED_MAX)
        probe->parked[probe->parked_count++] = (struct parked){id, verdict};
    pthread_mutex_unlock(&probe->lock);
    probe->host->log(probe->host->self, CHATUP_INFO, asked, sizeof asked - 1);
    return CHATUP_DEFER;
}

static int32_t park_message(struct probe *probe, struct chatup_event *event)
{
    uint64_t id = probe->host->defer(event, 30000);
    pthread_mutex_lock(&probe->lock);
    if (probe->parked_count < PARKED_MAX)
        probe->parked[probe->parked_count++] = (struct parked){id, CHATUP_ACCEPT};
    pthread_mutex_unlock(&probe->lock);
    probe->host->log(probe->host->self, CHATUP_INFO, "parked", 6);
    return CHATUP_DEFER;
}

static void on_left(void *shard, uint64_t id)
{
    const struct probe *probe = shard;
    probe->host->log(probe->host->self, CHATUP_INFO, "the sender has left", 19);
}

/* Everything that is parked, from a thread that may be another one's. */
static int32_t go(struct probe *probe)
{
    static const char no[] = "{\"status\":\"error\",\"err\":\"notNow\"}";
    const struct chatup_text none = {NULL, 0}, reply = {no, sizeof no - 1};
    pthread_mutex_lock(&probe->lock);
    while (probe->parked_count) {
        struct parked parked = probe->parked[--probe->parked_count];
        probe->host->resume(probe->host->self, parked.id, parked.verdict, none,
                            parked.verdict == CHATUP_REJECT ? reply : none);
        probe->host->resume(probe->host->self, parked.id, CHATUP_REJECT, none, none);
    }
    pthread_mutex_unlock(&probe->lock);
    return CHATUP_CONSUME;
}

static const char *or_none(struct chatup_text text)
{
    return text.at ? text.at : "none";
}

#define SHOWN(text) (text).at ? (int)(text).length : 4, or_none(text)

/* A reload: what waits here is nobody else's. */
static void on_drain(void *shard)
{
    struct probe *probe = shard;
    if (is(probe, "later"))
        go(probe);
}

static int32_t on_connect(void *shard, struct chatup_visit *visit)
{
    static const char no[] = "{\"status\":\"error\",\"err\":\"notHere\"}";
    struct probe *probe = shard;
    char line[300];
    if (is(probe, "later") || is(probe, "soon"))
        return park(probe, visit, visit->user_agent);
    if (is(probe, "tag_visits") && visit->user_agent.at)
        return probe->host->tag_visit(visit, visit->user_agent.at, visit->user_agent.length)
                   ? CHATUP_FAULT
                   : CHATUP_ACCEPT;
    if (!is(probe, "connect"))
        return CHATUP_ACCEPT;
    if (visit->room.at || visit->user.at || visit->sub.length || visit->name.length ||
        probe->host->set_user(visit, "{}", 2) != -1) /* only auth may */
        return CHATUP_FAULT;
    int length = snprintf(line, sizeof line, "opens %u %.*s from %.*s, page %.*s, agent %.*s",
                          (unsigned)visit->way, SHOWN(visit->path), SHOWN(visit->address),
                          SHOWN(visit->origin), SHOWN(visit->user_agent));
    probe->host->log(probe->host->self, CHATUP_INFO, line, (size_t)length);
    if (ends(visit->user_agent, "bad"))
        probe->host->set_visit_reply(visit, no, sizeof no - 1);
    return ends(visit->user_agent, "bad") || ends(visit->user_agent, "plain") ? CHATUP_REJECT
           : ends(visit->user_agent, "ghost")                                 ? CHATUP_CONSUME
                                                                              : CHATUP_ACCEPT;
}

static int32_t on_auth(void *shard, struct chatup_visit *visit)
{
    static const char no[] = "{\"status\":\"error\",\"err\":\"notYou\"}";
    static const char renamed[] = "{\"name\":\"renamed\"}";
    struct probe *probe = shard;
    if (is(probe, "later") || is(probe, "soon"))
        return park(probe, visit, visit->name);
    if (is(probe, "tag_visits") && named(visit, "vip"))
        return probe->host->tag_visit(visit, "vip", 3) ? CHATUP_FAULT : CHATUP_ACCEPT;
    if (!is(probe, "visits"))
        return CHATUP_ACCEPT;
    if (named(visit, "rename"))
        probe->host->set_user(visit, renamed, sizeof renamed - 1);
    if (!named(visit, "bad"))
        return CHATUP_ACCEPT;
    probe->host->set_visit_reply(visit, no, sizeof no - 1);
    return CHATUP_REJECT;
}

static int32_t on_join(void *shard, struct chatup_visit *visit)
{
    struct probe *probe = shard;
    if (is(probe, "later") || is(probe, "soon"))
        return park(probe, visit, visit->room);
    if (is(probe, "tag_visits") &&
        (probe->host->tag_visit(visit, "x", 1) != -1 ||
         (named(visit, "vip") && !probe->host->visit_has_tag(visit, "vip", 3))))
        return CHATUP_FAULT;
    if (!is(probe, "visits"))
        return CHATUP_ACCEPT;
    if (probe->host->set_user(visit, "{}", 2) != -1) /* only auth may */
        return CHATUP_FAULT;
    if (visit->room.length == 6 && !memcmp(visit->room.at, "closed", 6))
        return CHATUP_REJECT;
    return named(visit, "ghost") ? CHATUP_CONSUME : CHATUP_ACCEPT;
}

static void on_leave(void *shard, const struct chatup_visit *visit)
{
    const struct probe *probe = shard;
    char line[100];
    if (!is(probe, "visits") && !is(probe, "later"))
        return;
    int length = snprintf(line, sizeof line, "%.*s left %.*s", (int)visit->sub.length,
                          visit->sub.at, (int)visit->room.length, visit->room.at);
    probe->host->log(probe->host->self, CHATUP_INFO, line, (size_t)length);
}

/* {"max": bytes of a text} */
static int32_t say_max(const struct probe *probe, struct chatup_event *event)
{
    char json[60];
    snprintf(json, sizeof json, "{\"max\":%zu}", probe->host->max_msg(probe->host->self));
    reply(probe, event, json);
    return CHATUP_CONSUME;
}

/* Whoever has the tag is marked with it, or is shown to have it. */
static int32_t use_tags(const struct probe *probe, struct chatup_event *event)
{
    const struct chatup_host *host = probe->host;
    size_t length = strlen(probe->tag);
    if (is(probe, "if_tag"))
        return host->has_tag(event, probe->tag, length) ? append(probe, event) : CHATUP_ACCEPT;
    if (host->tag(event, "no tag", 6) != -1 || host->tag(event, NULL, 0) != -1 ||
        host->tag(event, probe->tag, length) != 0)
        return CHATUP_FAULT;
    if (host->has_tag(event, probe->tag, length)) /* for those behind only */
        append(probe, event);
    return is(probe, "tag_then_fault") ? CHATUP_FAULT : CHATUP_ACCEPT;
}

static int32_t on_message_in(void *shard, struct chatup_event *event)
{
    if (((struct probe *)shard)->does_nothing) /* and costs nothing, to be measured */
        return CHATUP_ACCEPT;
    struct probe *probe = shard;
    if (!strncmp(probe->mode, "defer", 5) && event->msg.length && event->msg.at[0] != '!')
        return is(probe, "defer_nothing") ? CHATUP_DEFER : defer(probe, event);
    if (is(probe, "later") && event->msg.length == 2 && !memcmp(event->msg.at, "go", 2))
        return go(probe);
    if (is(probe, "later") && starts(event->msg, "later"))
        return park_message(probe, event);
    if (is(probe, "tag") || is(probe, "tag_then_fault") || is(probe, "if_tag"))
        return use_tags(probe, event);
    if (is(probe, "max"))
        return say_max(probe, event);
    if (is(probe, "state"))
        return count(probe, event);
    if (is(probe, "crash") && event->msg.length == 5)
        crash();
    if (is(probe, "append"))
        append(probe, event);
    else if (is(probe, "append_twice"))
        return append(probe, event) || append(probe, event); /* replaces, does not add */
    else if (is(probe, "empty"))
        probe->host->set_msg(event, NULL, 0);
    else if (is(probe, "edit_then_fault"))
        return append(probe, event) || reply(probe, event, "{\"mine\":1}") ? CHATUP_ACCEPT
                                                                           : CHATUP_FAULT;
    else if (is(probe, "verdict"))
        return probe->verdict;
    else if (is(probe, "reply_verdict"))
        return append(probe, event), reply(probe, event, "{\"mine\":1}"), probe->verdict;
    else if (is(probe, "try_all"))
        return try_all(probe, event), CHATUP_CONSUME;
    else if (is(probe, "bad_reply"))
        return reply(probe, event, "not json"), CHATUP_CONSUME;
    else if (is(probe, "scribble"))
        event->msg = event->room = (struct chatup_text){"scribble", 8};
    return CHATUP_ACCEPT;
}

static int32_t append_out(const struct probe *probe, struct chatup_batch *batch, uint32_t i)
{
    size_t length;
    char *text = tagged(probe, batch->messages[i]->msg, &length);
    int32_t result = probe->host->set_msg_out(batch, i, text, length);
    memset(text, 'x', length);
    free(text);
    return result;
}

static int32_t on_message_out(void *shard, struct chatup_batch *batch)
{
    const struct probe *probe = shard;
    const struct chatup_host *host = probe->host;
    uint32_t count = batch->count;
    if (is(probe, "out_verdict"))
        return probe->verdict;
    if (is(probe, "out_append") || is(probe, "out_fault"))
        for (uint32_t i = 0; i < count; i++)
            append_out(probe, batch, i);
    if (is(probe, "out_drop") || is(probe, "out_fault"))
        host->drop(batch, 0);
    if (is(probe, "out_drop_all"))
        for (uint32_t i = 0; i < count; i++)
            append_out(probe, batch, i), host->drop(batch, i);
    if (is(probe, "out_try_all") &&
        (host->set_msg_out(batch, count, "x", 1) != -1 || host->drop(batch, count) != -1 ||
         host->set_msg_out(batch, 0, "\xff", 1) != -1 ||
         host->set_msg_out(batch, 0, NULL, 1) != -1))
        return CHATUP_REJECT;
    if (is(probe, "out_scribble")) {
        batch->count = 99;
        batch->messages = NULL;
    }
    return is(probe, "out_fault") ? CHATUP_FAULT : CHATUP_ACCEPT;
}

/* The body is [status]. */
static int32_t on_status(void *shard, const struct chatup_request *request,
                         struct chatup_response *response)
{
    char digits[8] = "";
    if (request->body.length > 2 && request->body.length < sizeof digits)
        memcpy(digits, request->body.at + 1, request->body.length - 2);
    response->status = atoi(digits);
    response->body = (struct chatup_text){"HTTP/1.1 299 mine", 17};
    return CHATUP_ACCEPT;
}

static const struct chatup_route routes[] = {
    {CHATUP_POST, CHATUP_BODY_JWT, "/status", 0, on_status},
    {CHATUP_GET, CHATUP_BEARER_JWT, "/editors", 0, on_status, "editor"},
};

static void *create(const struct chatup_host *host)
{
    struct probe *probe = calloc(1, sizeof *probe);
    const char *mode = host->option(host->self, MODE).text.at;
    *probe = (struct probe){.host = host,
                            .mode = mode,
                            .tag = host->option(host->self, TAG).text.at,
                            .verdict = (int32_t)host->option(host->self, VERDICT).number,
                            .wait_ms = host->option(host->self, WAIT).number,
                            .loop = host->service(host->self, CHATUP_LOOP)};
    probe->does_nothing = is(probe, "nothing");
    pthread_mutex_init(&probe->lock, NULL);
    if (is(probe, "crash_create"))
        crash();
    if (is(probe, "abort_create"))
        abort();
    if (is(probe, "exit_create"))
        exit(0);
    while (is(probe, "hang_create"))
        pause();
    if (is(probe, "refuse") || is(probe, "refuse_and_start"))
        host->refuse(host->self, MODE, "is not to my liking, at all", 19);
    if (is(probe, "refuse_whole"))
        host->refuse(host->self, UINT32_MAX, "not today", 9);
    if (is(probe, "unknown_option"))
        probe->tag = host->option(host->self, 99).text.at ? "some" : "none";
    if (is(probe, "log"))
        host->log(host->self, CHATUP_WARN, "hello log, and no more", 9);
    if (is(probe, "null_create") || is(probe, "refuse") || is(probe, "refuse_whole")) {
        free(probe);
        return NULL;
    }
    return probe;
}

static void *shard_open(void *arg, const struct chatup_loop *loop)
{
    struct probe *probe = arg;
    probe->loops[loop->index % 64] = loop;
    if (is(probe, "crash_shard"))
        crash();
    return is(probe, "no_shard") && loop->index == 1 ? NULL : probe;
}

static void shard_close(void *shard)
{
}

static const struct chatup_plugin probe_plugin = {
    .size = sizeof probe_plugin,
    .name = "probe",
    .version = "1.0",
    .summary = "misbehaves on order",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .routes = routes,
    .route_count = sizeof routes / sizeof *routes,
    .create = create,
    .destroy = free,
    .shard_open = shard_open,
    .shard_close = shard_close,
    .message_in = on_message_in,
    .message_out = on_message_out,
    .cancelled = on_cancelled,
    .connect = on_connect,
    .auth = on_auth,
    .join = on_join,
    .leave = on_leave,
    .left = on_left,
    .drain = on_drain,
    .state_save = state_save,
    .state_load = state_load,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &probe_plugin;
}
