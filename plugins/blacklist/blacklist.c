/* blacklist.c: words that nobody may say, or that are replaced. They are in the plugins' store, so
 * they are of all loops and machines; servers change them by a signed request.
 *   POST /plugin/blacklist   a token of {blacklistAdd, blacklistRemove, muteAdd, muteRemove}
 *   GET  /plugin/blacklist   {"words": […], "muted": […]}
 *
 * The first loop watches the store. What it hears goes to a thread of ours, which builds what is
 * searched with, and hands it to every loop: ten thousand words take it some 20 ms, and no loop
 * waits for them. */
#include "words.h"

#include <chatup/loop.h>
#include <chatup/routes.h>
#include <chatup/store.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFER_MS = 5000, ROUTE_MS = 30000, BATCH = 32, LOOPS_MAX = 256, HITS_MAX = 64 };

enum { WORDS, MUTED, MUTE_WITH, MAX_WORDS, MAX_WORD_BYTES, EXEMPT }; /* positions in: */
static const struct chatup_option word_item[] = {
    {.name = "word", .type = CHATUP_STRING, .min = 1, .max = 200},
};
static const struct chatup_option tag_item[] = {
    {.name = "tag", .type = CHATUP_STRING, .min = 1, .max = 32},
};
static const struct chatup_option options[] = {
    {.name = "words",
     .type = CHATUP_LIST,
     .preset = "[]",
     .help = "messages with these are refused, beside those of the store",
     .max = 100000,
     .children = word_item,
     .child_count = 1},
    {.name = "muted",
     .type = CHATUP_LIST,
     .preset = "[]",
     .help = "these are replaced, beside those of the store",
     .max = 100000,
     .children = word_item,
     .child_count = 1},
    {.name = "mute_with",
     .type = CHATUP_STRING,
     .preset = "***",
     .help = "what is put in place of a muted word",
     .max = 100},
    {.name = "max_words",
     .type = CHATUP_INT,
     .preset = "20000",
     .help = "in the store, of both kinds each",
     .min = 1,
     .max = 100000},
    {.name = "max_word_bytes",
     .type = CHATUP_INT,
     .preset = "200",
     .help = "of one word that is added",
     .min = 1,
     .max = 1000},
    {.name = "exempt",
     .type = CHATUP_LIST,
     .preset = "[]",
     .help = "whoever, or whatever, a plugin has given one of these tags is let alone",
     .max = 16,
     .children = tag_item,
     .child_count = 1},
};

enum { BLOCKED, REPLACED };
static const struct chatup_counter counters[] = {
    {"blocked", "messages refused for a word"},
    {"muted", "messages in which a word was replaced"},
};

/* ---- lists of words ---- */

struct list { /* texts, one after the other, each with its length in front */
    char *bytes;
    size_t length, count;
};

static void list_free(struct list *list)
{
    free(list->bytes);
    *list = (struct list){NULL, 0, 0};
}

/* 0: no memory */
static int list_set(struct list *list, const struct chatup_text *texts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += sizeof(uint32_t) + texts[i].length;
    char *bytes = malloc(size + 1), *to = bytes;
    if (!bytes)
        return 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t length = (uint32_t)texts[i].length;
        memcpy(to, &length, sizeof length);
        memcpy(to + sizeof length, texts[i].at, length);
        to += sizeof length + length;
    }
    list_free(list);
    *list = (struct list){bytes, size, count};
    return 1;
}

static int list_copy(struct list *to, const struct list *from)
{
    *to = *from;
    to->bytes = malloc(from->length + 1);
    if (to->bytes && from->length)
        memcpy(to->bytes, from->bytes, from->length);
    return to->bytes != NULL;
}

static const char *list_next(const char *at, struct chatup_text *out)
{
    uint32_t length;
    memcpy(&length, at, sizeof length);
    *out = (struct chatup_text){at + sizeof length, length};
    return at + sizeof length + length;
}

/* ---- the plugin ---- */

struct blacklist {
    const struct chatup_host *host;
    const struct chatup_loop_service *loop;
    const struct chatup_store *store;
    const struct chatup_routes *routes;
    struct chatup_value words, muted;
    struct chatup_text mute_with;
    size_t max_words, max_word_bytes;
    struct chatup_value exempt; /* tags */

    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t wake;
    int stop;
    int has_job; /* the newest lists: those before need not be built any more */
    struct list job_words, job_muted;
    struct words *latest;                       /* a reference; NULL: nothing was built yet */
    const struct chatup_loop *loops[LOOPS_MAX]; /* that take it; NULL: not any more */
};

struct waiting { /* a message that came before the words */
    struct waiting *next;
    uint64_t id;
    size_t length;
    char text[];
};

struct shard {
    struct blacklist *blacklist;
    const struct chatup_loop *loop;
    struct words *current; /* NULL: not there yet */
    struct waiting *waiting, **tail;
    /* Of the first loop, which watches. */
    struct list words, muted;
    int heard_words, heard_muted;
    char *listing; /* the last answer of GET: lent until the next call */
};

/* ---- building ---- */

static size_t gather(struct word *out, const struct list *list, struct chatup_value fixed, int kind)
{
    const char *at = list->bytes;
    size_t count = 0;
    for (uint32_t i = 0; i < fixed.count; i++)
        out[count++] = (struct word){fixed.items[i].text, kind};
    for (size_t i = 0; i < list->count; i++) {
        struct chatup_text text;
        at = list_next(at, &text);
        out[count++] = (struct word){text, kind};
    }
    return count;
}

static struct words *build(const struct blacklist *blacklist, const struct list *words,
                           const struct list *muted)
{
    size_t most = words->count + muted->count + blacklist->words.count + blacklist->muted.count;
    struct word *list = malloc((most + 1) * sizeof *list);
    if (!list)
        return NULL;
    size_t count = gather(list, words, blacklist->words, WORD_BLOCK);
    count += gather(list + count, muted, blacklist->muted, WORD_MUTE);
    struct words *built = words_build(list, count);
    free(list);
    return built;
}

static void on_built(void *arg, void *words, int32_t status);

/* The lock is held: no shard closes meanwhile. */
static void hand_out(struct blacklist *blacklist, struct words *words)
{
    for (size_t i = 0; i < LOOPS_MAX; i++)
        if (blacklist->loops[i])
            blacklist->loop->post(blacklist->loops[i], on_built, words_ref(words));
}

static void *thread_run(void *arg)
{
    struct blacklist *blacklist = arg;
    pthread_mutex_lock(&blacklist->lock);
    for (;;) {
        while (!blacklist->stop && !blacklist->has_job)
            pthread_cond_wait(&blacklist->wake, &blacklist->lock);
        if (blacklist->stop)
            break;
        struct list words = blacklist->job_words, muted = blacklist->job_muted;
        blacklist->job_words = blacklist->job_muted = (struct list){NULL, 0, 0};
        blacklist->has_job = 0;
        pthread_mutex_unlock(&blacklist->lock);
        struct words *built = build(blacklist, &words, &muted);
        list_free(&words);
        list_free(&muted);
        pthread_mutex_lock(&blacklist->lock);
        if (!built)
            continue; /* no memory: the words of before hold */
        words_unref(blacklist->latest);
        blacklist->latest = built;
        hand_out(blacklist, built);
    }
    pthread_mutex_unlock(&blacklist->lock);
    return NULL;
}

/* ---- judging a message ---- */

static const char blocked[] = "{\"status\":\"error\",\"err\":\"blacklistedWord\"}";

/* text with every hit replaced, freed by the caller; NULL: no memory */
static char *replace(const struct blacklist *blacklist, struct chatup_text text,
                     const struct hit *hits, size_t count, size_t *length_out)
{
    char *out = malloc(text.length + count * blacklist->mute_with.length + 1), *to = out;
    size_t done = 0;
    for (size_t i = 0; out && i < count;) {
        size_t begin = hits[i].begin, end = hits[i].end;
        for (i++; i < count && hits[i].begin < end; i++) /* one piece of what overlaps */
            if (hits[i].end > end)
                end = hits[i].end;
        memcpy(to, text.at + done, begin - done);
        to += begin - done;
        memcpy(to, blacklist->mute_with.at, blacklist->mute_with.length);
        to += blacklist->mute_with.length;
        done = end;
    }
    if (!out)
        return NULL;
    memcpy(to, text.at + done, text.length - done);
    to += text.length - done;
    *length_out = (size_t)(to - out);
    return out;
}

static int by_begin(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/*   edited_out  the new text, freed by the caller, or NULL */
static int32_t judge(const struct shard *shard, struct chatup_text text, char **edited_out,
                     size_t *length_out)
{
    struct hit few[HITS_MAX], *hits = few;
    size_t max = HITS_MAX;
    *edited_out = NULL;
    size_t count = words_find(shard->current, text.at, text.length, hits, max);
    while (count == max) { /* a text of hits: there are fewer than its bytes times a few */
        max *= 4;
        struct hit *more = realloc(hits == few ? NULL : hits, max * sizeof *hits);
        if (!more) {
            if (hits != few)
                free(hits);
            return CHATUP_FAULT;
        }
        hits = more;
        count = words_find(shard->current, text.at, text.length, hits, max);
    }
    int32_t verdict = count == WORDS_NO_MEMORY ? CHATUP_FAULT : CHATUP_ACCEPT;
    for (size_t i = 0; verdict == CHATUP_ACCEPT && i < count; i++)
        if (hits[i].kind & WORD_BLOCK)
            verdict = CHATUP_REJECT;
    if (verdict == CHATUP_ACCEPT && count) {
        qsort(hits, count, sizeof *hits, by_begin);
        *edited_out = replace(shard->blacklist, text, hits, count, length_out);
        if (!*edited_out)
            verdict = CHATUP_FAULT;
    }
    if (hits != few)
        free(hits);
    return verdict;
}

static void tally(const struct chatup_host *host, int32_t verdict, const char *edited)
{
    if (verdict == CHATUP_REJECT)
        host->count(host->self, BLOCKED, 1);
    else if (edited)
        host->count(host->self, REPLACED, 1);
}

static int32_t wait_for_words(struct shard *shard, struct chatup_event *event)
{
    struct waiting *waiting = malloc(sizeof *waiting + event->msg.length);
    if (!waiting)
        return CHATUP_FAULT;
    waiting->next = NULL;
    waiting->length = event->msg.length;
    memcpy(waiting->text, event->msg.at, event->msg.length);
    waiting->id = shard->blacklist->host->defer(event, DEFER_MS);
    if (!waiting->id) {
        free(waiting);
        return CHATUP_FAULT;
    }
    *shard->tail = waiting;
    shard->tail = &waiting->next;
    return CHATUP_DEFER;
}

static int is_exempt(const struct blacklist *blacklist, const struct chatup_event *event)
{
    for (uint32_t i = 0; i < blacklist->exempt.count; i++) {
        struct chatup_text tag = blacklist->exempt.items[i].text;
        if (blacklist->host->has_tag(event, tag.at, tag.length))
            return 1;
    }
    return 0;
}

static int32_t on_message_in(void *arg, struct chatup_event *event)
{
    struct shard *shard = arg;
    const struct chatup_host *host = shard->blacklist->host;
    char *edited;
    size_t length;
    if (!event->msg.length || is_exempt(shard->blacklist, event))
        return CHATUP_ACCEPT;
    if (!shard->current)
        return wait_for_words(shard, event);
    int32_t verdict = judge(shard, event->msg, &edited, &length);
    /* Too long now. That is the sender's doing, not a fault of ours: with enough of those anybody
     * could have this plugin switched off. */
    if (edited && host->set_msg(event, edited, length) != 0)
        verdict = CHATUP_REJECT;
    if (verdict == CHATUP_REJECT)
        host->set_reply(event, blocked, sizeof blocked - 1);
    tally(host, verdict, edited);
    free(edited);
    return verdict;
}

static void on_built(void *arg, void *words, int32_t status)
{
    struct shard *shard = arg;
    if (status != CHATUP_DONE) {
        words_unref(words);
        return;
    }
    const struct chatup_host *host = shard->blacklist->host;
    words_unref(shard->current);
    shard->current = words;
    while (shard->waiting) {
        struct waiting *waiting = shard->waiting;
        char *edited;
        size_t length = 0;
        int32_t verdict =
            judge(shard, (struct chatup_text){waiting->text, waiting->length}, &edited, &length);
        struct chatup_text msg = {edited, length}, reply = {NULL, 0};
        if (verdict == CHATUP_REJECT)
            reply = (struct chatup_text){blocked, sizeof blocked - 1};
        tally(host, verdict, edited);
        host->resume(host->self, waiting->id, verdict, msg, reply);
        shard->waiting = waiting->next;
        free(edited);
        free(waiting);
    }
    shard->tail = &shard->waiting;
}

static void on_cancelled(void *arg, uint64_t id, int32_t why)
{
    struct shard *shard = arg;
    struct waiting **at = &shard->waiting, *waiting;
    (void)why;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    if (!(waiting = *at))
        return;
    if (shard->tail == &waiting->next)
        shard->tail = at;
    *at = waiting->next;
    free(waiting);
}

/* ---- hearing of changes ---- */

static void pass_on(struct shard *shard)
{
    struct blacklist *blacklist = shard->blacklist;
    struct list words, muted;
    if (!shard->heard_words || !shard->heard_muted)
        return;
    if (!list_copy(&words, &shard->words))
        return;
    if (!list_copy(&muted, &shard->muted)) {
        list_free(&words);
        return;
    }
    pthread_mutex_lock(&blacklist->lock);
    list_free(&blacklist->job_words);
    list_free(&blacklist->job_muted);
    blacklist->job_words = words;
    blacklist->job_muted = muted;
    blacklist->has_job = 1;
    pthread_cond_signal(&blacklist->wake);
    pthread_mutex_unlock(&blacklist->lock);
}

static void on_words(void *arg, void *unused, const struct chatup_result *result)
{
    struct shard *shard = arg;
    (void)unused;
    shard->heard_words |= list_set(&shard->words, result->members, result->count);
    pass_on(shard);
}

static void on_muted(void *arg, void *unused, const struct chatup_result *result)
{
    struct shard *shard = arg;
    (void)unused;
    shard->heard_muted |= list_set(&shard->muted, result->members, result->count);
    pass_on(shard);
}

/* ---- GET ---- */

static struct chatup_text text(const char *string)
{
    return (struct chatup_text){string, strlen(string)};
}

static void respond(const struct blacklist *blacklist, uint64_t id, int32_t status, json_t *json)
{
    char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct chatup_response response = {.size = sizeof response, .status = status};
    response.body = text(body ? body : "{\"status\":\"error\",\"err\":\"unavailable\"}");
    if (!body)
        response.status = 503;
    blacklist->routes->respond(blacklist->host->self, id, &response);
    free(body);
    json_decref(json);
}

static json_t *failure(const char *err)
{
    return json_pack("{s:s,s:s}", "status", "error", "err", err);
}

struct call { /* a request that waits for the store */
    uint64_t id;
    json_t *ops; /* of a change: those left, [kind, key, word] */
    size_t done, under_way;
    int64_t revision; /* that the batch under way is for */
};

static void call_end(const struct shard *shard, struct call *call, int32_t status, json_t *json)
{
    respond(shard->blacklist, call->id, status, json);
    json_decref(call->ops);
    free(call);
}

static json_t *members(const struct chatup_result *result)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < result->count; i++)
        json_array_append_new(list, json_stringn(result->members[i].at, result->members[i].length));
    return list;
}

static void on_listed(void *arg, void *call, const struct chatup_answer *answer)
{
    const struct shard *shard = arg;
    if (answer->status != CHATUP_DONE)
        call_end(shard, call, 503, failure("unavailable"));
    else
        call_end(shard, call, 200,
                 json_pack("{s:o,s:o}", "words", members(&answer->results[0]), "muted",
                           members(&answer->results[1])));
}

static int32_t call_begin(struct shard *shard, const struct chatup_request *request,
                          struct call **call_out)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return CHATUP_FAULT;
    call->id = shard->blacklist->routes->later(request, ROUTE_MS);
    if (!call->id) {
        free(call);
        return CHATUP_FAULT;
    }
    *call_out = call;
    return CHATUP_DEFER;
}

static int32_t on_get(void *arg, const struct chatup_request *request,
                      struct chatup_response *response)
{
    struct shard *shard = arg;
    struct call *call;
    const struct chatup_op ops[] = {
        {.kind = CHATUP_OP_MEMBERS, .key = text("words")},
        {.kind = CHATUP_OP_MEMBERS, .key = text("muted")},
    };
    (void)response;
    int32_t verdict = call_begin(shard, request, &call);
    if (verdict == CHATUP_DEFER &&
        shard->blacklist->store->run(shard->loop, 0, text("words"), ops, 2, on_listed, call) != 0)
        call_end(shard, call, 503, failure("unavailable"));
    return verdict;
}

/* ---- POST ---- */

static const struct {
    const char *name, *key;
    int32_t kind;
} changes[] = {
    {"blacklistAdd", "words", CHATUP_OP_SET_ADD},
    {"blacklistRemove", "words", CHATUP_OP_SET_REMOVE},
    {"muteAdd", "muted", CHATUP_OP_SET_ADD},
    {"muteRemove", "muted", CHATUP_OP_SET_REMOVE},
};

enum { CHANGES = sizeof changes / sizeof *changes };

/* Append [which change, word] to ops for what one object asks for; 0: it is wrong, and why says so.
 */
static int read_change(const struct blacklist *blacklist, const json_t *object, json_t *ops,
                       char *why, size_t size)
{
    const char *name;
    json_t *list, *word;
    size_t i;
    if (!json_is_object(object)) {
        snprintf(why, size, "Wrong JWT content: an object of lists expected");
        return 0;
    }
    json_object_foreach((json_t *)object, name, list)
    {
        size_t which = 0;
        while (which < CHANGES && strcmp(changes[which].name, name) != 0)
            which++;
        if (which == CHANGES || !json_is_array(list)) {
            snprintf(why, size, "Wrong JWT content: %.60s: %s", name,
                     which == CHANGES
                         ? "not one of blacklistAdd, blacklistRemove, muteAdd, muteRemove"
                         : "a list expected");
            return 0;
        }
        json_array_foreach(list, i, word)
        {
            if (json_string_length(word) < 1 ||
                json_string_length(word) > blacklist->max_word_bytes) {
                snprintf(why, size, "Wrong JWT content: %s[%zu]: a word of 1 to %zu bytes expected",
                         name, i, blacklist->max_word_bytes);
                return 0;
            }
            json_array_append_new(ops, json_pack("[i,O]", (int)which, word));
        }
    }
    return 1;
}

/* ---- changing ---- */

/* So that max_words holds whoever changes at the same time, each batch is for one revision of the
 * lists: it makes that revision's key, which must be new, and says that there is another one. Who
 * comes second looks again. */

enum { REVISION_MS = 600000, OWN_OPS = 2 };

static void sizes_ask(struct shard *shard, struct call *call);
static void change_next(struct shard *shard, struct call *call, int64_t revision);

static void on_changed(void *arg, void *data, const struct chatup_answer *answer)
{
    struct shard *shard = arg;
    struct call *call = data;
    if (answer->status != CHATUP_DONE) {
        call_end(shard, call, 503,
                 failure(answer->status == CHATUP_TIMEOUT ? "unknown" : "unavailable"));
        return;
    }
    if (!answer->happened) {
        sizes_ask(shard, call);
        return;
    }
    call->done += call->under_way;
    change_next(shard, call, call->revision + 1); /* what was counted still holds */
}

/* The next ones, or the end. */
static void change_next(struct shard *shard, struct call *call, int64_t revision)
{
    char key[40];
    struct chatup_op ops[BATCH];
    uint32_t count = OWN_OPS;
    size_t left = json_array_size(call->ops) - call->done;
    snprintf(key, sizeof key, "revision-%lld", (long long)revision + 1);
    ops[0] = (struct chatup_op){
        .kind = CHATUP_OP_SET_NEW, .flags = CHATUP_MUST, .key = text(key), .ttl_ms = REVISION_MS};
    ops[1] = (struct chatup_op){.kind = CHATUP_OP_ADD, .key = text("revision"), .number = 1};
    for (; count < BATCH && count - OWN_OPS < left; count++) {
        const json_t *op = json_array_get(call->ops, call->done + count - OWN_OPS);
        size_t which = (size_t)json_integer_value(json_array_get(op, 0));
        const json_t *word = json_array_get(op, 1);
        ops[count] = (struct chatup_op){
            .kind = changes[which].kind,
            .key = text(changes[which].key),
            .value = {json_string_value(word), json_string_length(word)},
        };
    }
    call->under_way = count - OWN_OPS;
    call->revision = revision;
    if (!left)
        call_end(shard, call, 200,
                 json_pack("{s:s,s:I}", "status", "ok", "changes", (json_int_t)call->done));
    else if (shard->blacklist->store->run(shard->loop, 0, text("words"), ops, count, on_changed,
                                          call) != 0)
        call_end(shard, call, 503, failure("unavailable"));
}

static void on_sizes(void *arg, void *data, const struct chatup_answer *answer)
{
    struct shard *shard = arg;
    struct call *call = data;
    if (answer->status != CHATUP_DONE) {
        call_end(shard, call, 503, failure("unavailable"));
        return;
    }
    size_t adds[2] = {answer->results[0].count, answer->results[1].count};
    for (size_t i = call->done; i < json_array_size(call->ops); i++) {
        json_int_t which = json_integer_value(json_array_get(json_array_get(call->ops, i), 0));
        if (changes[which].kind == CHATUP_OP_SET_ADD)
            adds[which / 2]++;
    }
    for (int i = 0; i < 2; i++)
        if (adds[i] > shard->blacklist->max_words) {
            call_end(shard, call, 400, failure("tooManyWords"));
            return;
        }
    change_next(shard, call, answer->results[2].number);
}

static void sizes_ask(struct shard *shard, struct call *call)
{
    const struct chatup_op ops[] = {
        {.kind = CHATUP_OP_MEMBERS, .key = text("words")},
        {.kind = CHATUP_OP_MEMBERS, .key = text("muted")},
        {.kind = CHATUP_OP_ADD, .key = text("revision"), .number = 0},
    };
    if (shard->blacklist->store->run(shard->loop, 0, text("words"), ops, 3, on_sizes, call) != 0)
        call_end(shard, call, 503, failure("unavailable"));
}

static int32_t on_post(void *arg, const struct chatup_request *request,
                       struct chatup_response *response)
{
    struct shard *shard = arg;
    char why[200] = "Wrong JWT content";
    struct call *call;
    json_t *body = json_loadb(request->body.at, request->body.length, 0, NULL);
    json_t *ops = json_array();
    int good = json_is_array(body) || read_change(shard->blacklist, body, ops, why, sizeof why);
    for (size_t i = 0; good && i < json_array_size(body); i++)
        good = read_change(shard->blacklist, json_array_get(body, i), ops, why, sizeof why);
    json_decref(body);
    if (!good) {
        json_t *json = failure(why);
        json_decref(ops);
        free(shard->listing);
        shard->listing = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        if (!shard->listing)
            return CHATUP_FAULT;
        response->status = 400;
        response->body = text(shard->listing);
        return CHATUP_ACCEPT;
    }
    int32_t verdict = call_begin(shard, request, &call);
    if (verdict != CHATUP_DEFER) {
        json_decref(ops);
        return verdict;
    }
    call->ops = ops;
    sizes_ask(shard, call);
    return verdict;
}

static const struct chatup_route routes[] = {
    {CHATUP_POST, CHATUP_BODY_JWT, "", 0, on_post},
    {CHATUP_GET, CHATUP_BEARER_JWT, "", 0, on_get},
};

/* ---- start and end ---- */

static void *create(const struct chatup_host *host)
{
    struct blacklist *blacklist = calloc(1, sizeof *blacklist);
    if (!blacklist)
        return NULL;
    blacklist->host = host;
    blacklist->loop = host->service(host->self, CHATUP_LOOP);
    blacklist->store = host->service(host->self, CHATUP_STORE);
    blacklist->routes = host->service(host->self, CHATUP_ROUTES);
    blacklist->words = host->option(host->self, WORDS);
    blacklist->muted = host->option(host->self, MUTED);
    blacklist->mute_with = host->option(host->self, MUTE_WITH).text;
    blacklist->max_words = (size_t)host->option(host->self, MAX_WORDS).number;
    blacklist->max_word_bytes = (size_t)host->option(host->self, MAX_WORD_BYTES).number;
    blacklist->exempt = host->option(host->self, EXEMPT);
    pthread_mutex_init(&blacklist->lock, NULL);
    pthread_cond_init(&blacklist->wake, NULL);
    if (pthread_create(&blacklist->thread, NULL, thread_run, blacklist) == 0)
        return blacklist;
    host->refuse(host->self, UINT32_MAX, "no thread can be made", 21);
    free(blacklist);
    return NULL;
}

static void destroy(void *arg)
{
    struct blacklist *blacklist = arg;
    pthread_mutex_lock(&blacklist->lock);
    blacklist->stop = 1;
    pthread_cond_signal(&blacklist->wake);
    pthread_mutex_unlock(&blacklist->lock);
    pthread_join(blacklist->thread, NULL);
    list_free(&blacklist->job_words);
    list_free(&blacklist->job_muted);
    words_unref(blacklist->latest);
    pthread_cond_destroy(&blacklist->wake);
    pthread_mutex_destroy(&blacklist->lock);
    free(blacklist);
}

static void *shard_open(void *arg, const struct chatup_loop *loop)
{
    struct blacklist *blacklist = arg;
    struct shard *shard = loop->index < LOOPS_MAX ? calloc(1, sizeof *shard) : NULL;
    if (!shard)
        return NULL;
    *shard = (struct shard){.blacklist = blacklist, .loop = loop};
    shard->tail = &shard->waiting;
    pthread_mutex_lock(&blacklist->lock);
    blacklist->loops[loop->index] = loop;
    if (blacklist->latest) /* other loops were quicker */
        shard->current = words_ref(blacklist->latest);
    pthread_mutex_unlock(&blacklist->lock);
    if (loop->index == 0) { /* one is enough to hear of changes */
        blacklist->store->watch(loop, 0, text("words"), text("words"), on_words, NULL);
        blacklist->store->watch(loop, 0, text("words"), text("muted"), on_muted, NULL);
    }
    return shard;
}

static void shard_close(void *arg)
{
    struct shard *shard = arg;
    pthread_mutex_lock(&shard->blacklist->lock);
    shard->blacklist->loops[shard->loop->index] = NULL;
    pthread_mutex_unlock(&shard->blacklist->lock);
    words_unref(shard->current);
    list_free(&shard->words);
    list_free(&shard->muted);
    free(shard->listing);
    free(shard);
}

static const char *const needs[] = {CHATUP_LOOP, CHATUP_STORE, CHATUP_ROUTES, NULL};

static const struct chatup_plugin blacklist_plugin = {
    .size = sizeof blacklist_plugin,
    .name = "blacklist",
    .version = "1.0",
    .summary = "words that nobody may say, or that are replaced",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .routes = routes,
    .route_count = sizeof routes / sizeof *routes,
    .counters = counters,
    .counter_count = sizeof counters / sizeof *counters,
    .needs = needs,
    .create = create,
    .destroy = destroy,
    .shard_open = shard_open,
    .shard_close = shard_close,
    .message_in = on_message_in,
    .cancelled = on_cancelled,
};

const struct chatup_plugin *chatup_plugin_v1(void)
{
    return &blacklist_plugin;
}
