#include "delivery.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MS = 1000, /* before the second attempt; twice as long before the next */
    BACKOFF_MAX_MS = 60 * 1000,
    PAUSE_MAX_MS = 5 * 60 * 1000, /* whatever Retry-After says */
    OVERFLOW_LOG_MS = 1000,
    ANSWER_BYTES = 40, /* Slack's errors are one word: "invalid_token" */
};

struct post {
    char *json;
    uint32_t attempts;
};

enum state { IDLE, SENDING, WAITING };

struct delivery {
    const struct delivery_conf *conf;
    const struct chatup_loop *loop;
    CURLM *multi;
    CURL *easy; /* one for all: its connection is used again */
    struct curl_slist *headers;
    enum state state;
    bool draining, closing;
    uint64_t curl_timer; /* what libcurl asked for; 0: none */
    uint64_t timer;      /* SENDING: the request's time-out; WAITING: when to go on */
    uint32_t failures;   /* one after the other, of whatever post */
    int64_t not_before_ms;
    bool asked_to_wait; /* by the server: not_before_ms holds also in a drain */
    unsigned seed;
    char answer[ANSWER_BYTES + 1];
    size_t answer_length;
    uint32_t overflows; /* not logged yet */
    int64_t overflow_logged_ms;
    uint32_t first, count; /* of a ring of conf->queue posts */
    struct post posts[];
};

static void proceed(struct delivery *delivery);

static void say(struct delivery *delivery, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct delivery *delivery, int32_t level, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const struct chatup_host *host = delivery->conf->host;
    host->log(host->self, level, line,
              (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}

static void count(struct delivery *delivery, enum delivery_count counter, uint64_t more)
{
    const struct chatup_host *host = delivery->conf->host;
    host->count(host->self, counter, more);
}

/* ---- the queue ---- */

static struct post *head(struct delivery *delivery)
{
    return &delivery->posts[delivery->first];
}

static void pop(struct delivery *delivery)
{
    free(head(delivery)->json);
    *head(delivery) = (struct post){0};
    delivery->first = (delivery->first + 1) % delivery->conf->queue;
    if (!--delivery->count)
        delivery->conf->time->hold(delivery->loop, -1);
}

bool delivery_full(const struct delivery *delivery)
{
    return delivery->count == delivery->conf->queue;
}

void delivery_add(struct delivery *delivery, char *json)
{
    uint32_t at = (delivery->first + delivery->count) % delivery->conf->queue;
    delivery->posts[at] = (struct post){.json = json};
    if (!delivery->count++) /* a reload waits a while for what is queued */
        delivery->conf->time->hold(delivery->loop, 1);
    if (delivery->state == IDLE)
        proceed(delivery);
}

static void log_overflows(struct delivery *delivery)
{
    if (!delivery->overflows)
        return;
    say(delivery, CHATUP_ERROR, "%u messages did not reach Slack: %u are waiting already",
        delivery->overflows, delivery->conf->queue);
    delivery->overflows = 0;
}

void delivery_overflow(struct delivery *delivery)
{
    int64_t now = delivery->conf->time->mono_ms();
    count(delivery, DELIVERY_DROPPED, 1);
    delivery->overflows++;
    if (delivery->overflow_logged_ms && now - delivery->overflow_logged_ms < OVERFLOW_LOG_MS)
        return; /* with the next, or when a place becomes free */
    log_overflows(delivery);
    delivery->overflow_logged_ms = now;
}

/* ---- one request ---- */

/* Some of the answer is kept for the log; all of it is read, so that the connection stays good. */
static size_t on_answer(char *data, size_t size, size_t length, void *arg)
{
    struct delivery *delivery = arg;
    size_t space = ANSWER_BYTES + 1 - delivery->answer_length; /* one too many: it is no word */
    size_t some = length < space ? length : space;
    for (size_t i = 0; i < some; i++, delivery->answer_length++)
        if (delivery->answer_length < ANSWER_BYTES)
            delivery->answer[delivery->answer_length] = data[i];
    return size * length;
}

/* The answer where it is one word, as Slack's reasons are, else "": pages of HTML and messages sent
 * back do not belong in a log. */
static const char *reason(struct delivery *delivery)
{
    if (delivery->answer_length > ANSWER_BYTES)
        return "";
    delivery->answer[delivery->answer_length] = '\0';
    size_t word = strspn(delivery->answer, "abcdefghijklmnopqrstuvwxyz_");
    return word == delivery->answer_length ? delivery->answer : "";
}

static int64_t backoff(struct delivery *delivery)
{
    int64_t most = BACKOFF_MS;
    for (uint32_t i = 1; i < delivery->failures && most < BACKOFF_MAX_MS && !delivery->draining;
         i++)
        most *= 2;
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    /* Half of it is left to chance: the loops and workers that failed together do not come back
     * together. */
    return most / 2 + rand_r(&delivery->seed) % (most / 2 + 1);
}

static void drop(struct delivery *delivery, const char *why)
{
    say(delivery, CHATUP_ERROR, "a message did not reach Slack: %s, %u times", why,
        head(delivery)->attempts);
    count(delivery, DELIVERY_DROPPED, 1);
    pop(delivery);
}

/* The attempt failed, another may not: the same post again, or the next if it was the last. */
static void retry(struct delivery *delivery, int64_t pause_ms, const char *why)
{
    delivery->failures++;
    delivery->asked_to_wait = pause_ms > 0;
    int64_t wait_ms = pause_ms > 0 ? pause_ms : backoff(delivery);
    delivery->not_before_ms = delivery->conf->time->mono_ms() + wait_ms;
    if (head(delivery)->attempts >= delivery->conf->attempts) {
        drop(delivery, why);
        return;
    }
    say(delivery, CHATUP_WARN, "attempt %u of %u: %s; the next in %lld ms",
        head(delivery)->attempts, delivery->conf->attempts, why, (long long)wait_ms);
    count(delivery, DELIVERY_RETRIED, 1);
}

/* The request is over. code: what libcurl says; CURLE_OK: there is an answer. */
static void finish(struct delivery *delivery, CURLcode code)
{
    const struct chatup_loop_service *time = delivery->conf->time;
    long status = 0;
    curl_off_t pause_s = 0;
    char why[160];
    curl_easy_getinfo(delivery->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(delivery->easy, CURLINFO_RETRY_AFTER, &pause_s); /* dates too */
    curl_multi_remove_handle(delivery->multi, delivery->easy);
    delivery->state = IDLE;
    if (delivery->timer)
        time->timer_cancel(delivery->loop, delivery->timer); /* makes it 0 */
    if (code != CURLE_OK) /* no error text of libcurl: it may name the address */
        snprintf(why, sizeof why, "%s", curl_easy_strerror(code));
    else
        snprintf(why, sizeof why, "it answered %ld%s%s", status, *reason(delivery) ? " " : "",
                 reason(delivery));
    bool later = status == 429 || status == 503; /* those two may say when */
    int64_t pause_ms = !later || pause_s <= 0          ? 0
                       : pause_s < PAUSE_MAX_MS / 1000 ? pause_s * 1000
                                                       : PAUSE_MAX_MS;
    if (code != CURLE_OK || status >= 500 || status == 429) {
        retry(delivery, code == CURLE_OK ? pause_ms : 0, why);
    } else {
        delivery->failures = 0;
        if (status >= 200 && status < 300) {
            count(delivery, DELIVERY_SENT, 1);
            pop(delivery);
        } else { /* the next attempt would get the same answer */
            drop(delivery, why);
        }
    }
    if (!delivery_full(delivery))
        log_overflows(delivery);
    proceed(delivery);
}

static void on_timeout(void *shard, void *arg, int32_t status)
{
    struct delivery *delivery = arg;
    delivery->timer = 0;
    /* Ours, not CURLOPT_TIMEOUT, so that it is the host's clock that counts. */
    if (status == CHATUP_DONE && delivery->state == SENDING)
        finish(delivery, CURLE_OPERATION_TIMEDOUT);
}

static void begin(struct delivery *delivery)
{
    struct post *post = head(delivery);
    post->attempts++;
    delivery->answer_length = 0;
    delivery->state = SENDING;
    delivery->timer = delivery->conf->time->timer(delivery->loop, delivery->conf->timeout_ms,
                                                  on_timeout, delivery);
    curl_easy_setopt(delivery->easy, CURLOPT_POSTFIELDS, post->json); /* not copied */
    curl_easy_setopt(delivery->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(post->json));
    /* Does nothing but ask for a timer: there is no way from here back into finish. */
    if (curl_multi_add_handle(delivery->multi, delivery->easy) != CURLM_OK)
        abort(); /* out of memory */
}

/* ---- what comes next ---- */

static void on_waited(void *shard, void *arg, int32_t status)
{
    struct delivery *delivery = arg;
    delivery->timer = 0;
    if (delivery->state == WAITING)
        delivery->state = IDLE;
    if (status == CHATUP_DONE)
        proceed(delivery);
}

static void proceed(struct delivery *delivery)
{
    if (delivery->closing || delivery->state != IDLE || !delivery->count)
        return;
    const struct chatup_loop_service *time = delivery->conf->time;
    int64_t wait_ms = delivery->not_before_ms - time->mono_ms();
    if (wait_ms <= 0) {
        begin(delivery);
        return;
    }
    delivery->state = WAITING;
    delivery->timer = time->timer(delivery->loop, wait_ms, on_waited, delivery);
}

/* ---- libcurl and the loop ---- */

static void act(struct delivery *delivery, curl_socket_t fd, int events)
{
    int running, left;
    CURLMsg *message;
    curl_multi_socket_action(delivery->multi, fd, events, &running);
    while ((message = curl_multi_info_read(delivery->multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            finish(delivery, message->data.result);
            return; /* there is one request only, and message is gone with it */
        }
}

static void on_ready(void *shard, void *arg, int32_t fd, uint32_t events)
{
    act(arg, fd,
        (events & CHATUP_READ ? CURL_CSELECT_IN : 0) |
            (events & CHATUP_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct delivery *delivery = arg;
    uint32_t events = what == CURL_POLL_IN      ? CHATUP_READ
                      : what == CURL_POLL_OUT   ? CHATUP_WRITE
                      : what == CURL_POLL_INOUT ? CHATUP_READ | CHATUP_WRITE
                                                : 0;
    delivery->conf->time->watch(delivery->loop, fd, events, on_ready, delivery);
    return 0;
}

static void on_curl_timer(void *shard, void *arg, int32_t status)
{
    struct delivery *delivery = arg;
    delivery->curl_timer = 0;
    if (status == CHATUP_DONE)
        act(delivery, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wish(CURLM *multi, long delay_ms, void *arg)
{
    struct delivery *delivery = arg;
    const struct chatup_loop_service *time = delivery->conf->time;
    if (delivery->curl_timer)
        time->timer_cancel(delivery->loop, delivery->curl_timer); /* makes it 0 */
    if (delay_ms >= 0 && !delivery->closing)
        delivery->curl_timer = time->timer(delivery->loop, delay_ms, on_curl_timer, delivery);
    return 0;
}

/* ---- begin and end ---- */

bool delivery_global_init(char *why, size_t size)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    *why = '\0';
    if (!(info->features & CURL_VERSION_ASYNCHDNS))
        snprintf(why, size,
                 "this libcurl looks names up while everybody waits: build it with its "
                 "threaded resolver");
    else if (!(info->features & CURL_VERSION_THREADSAFE))
        snprintf(why, size, "this libcurl cannot be initialized beside other threads");
    if (*why)
        return false;
    /* All generations of this plugin, and other plugins, share one libcurl. It locks and counts for
     * itself: only the first call does something. It is never undone, and the library stays when
     * the plugin goes: a thread of its resolver may still wait for a name server then. */
    Dl_info curl;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        !dladdr((void *)curl_global_init, &curl) ||
        !dlopen(curl.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE)) {
        snprintf(why, size, "libcurl does not start");
        return false;
    }
    return true;
}

bool delivery_url_valid(const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL;
    bool valid = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                 curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                 (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);
    curl_free(scheme);
    curl_url_cleanup(parts);
    return valid;
}

static bool set_up(struct delivery *delivery)
{
    CURL *easy = delivery->easy = curl_easy_init();
    delivery->multi = curl_multi_init();
    delivery->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!easy || !delivery->multi || !delivery->headers)
        return false;
    curl_multi_setopt(delivery->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(delivery->multi, CURLMOPT_SOCKETDATA, delivery);
    curl_multi_setopt(delivery->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
    curl_multi_setopt(delivery->multi, CURLMOPT_TIMERDATA, delivery);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, delivery->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chatup-slack");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, delivery);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L); /* signals are the host's */
    /* Else giving up on a name that is still looked up waits for the name server. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    /* One request at a time: nothing to gain from HTTP/2. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_URL, delivery->conf->url) == CURLE_OK;
}

struct delivery *delivery_create(const struct delivery_conf *conf, const struct chatup_loop *loop)
{
    struct delivery *delivery = calloc(1, sizeof *delivery + conf->queue * sizeof *delivery->posts);
    if (!delivery)
        return NULL;
    delivery->conf = conf;
    delivery->loop = loop;
    delivery->seed = (unsigned)conf->time->mono_ms() ^ (unsigned)(uintptr_t)delivery;
    if (set_up(delivery))
        return delivery;
    delivery_destroy(delivery);
    return NULL;
}

void delivery_drain(struct delivery *delivery)
{
    const struct chatup_loop_service *time = delivery->conf->time;
    delivery->draining = true;
    if (delivery->asked_to_wait)
        return;
    delivery->not_before_ms = 0;
    if (delivery->state == WAITING)
        time->timer_cancel(delivery->loop, delivery->timer); /* makes it IDLE */
    proceed(delivery);
}

void delivery_destroy(struct delivery *delivery)
{
    if (!delivery)
        return;
    const struct chatup_loop_service *time = delivery->conf->time;
    delivery->closing = true;
    if (delivery->timer)
        time->timer_cancel(delivery->loop, delivery->timer);
    if (delivery->state == SENDING)
        curl_multi_remove_handle(delivery->multi, delivery->easy);
    curl_multi_cleanup(delivery->multi); /* first: it closes connections, and tells on_socket */
    curl_easy_cleanup(delivery->easy);
    curl_slist_free_all(delivery->headers);
    if (delivery->curl_timer)
        time->timer_cancel(delivery->loop, delivery->curl_timer);
    log_overflows(delivery);
    if (delivery->count) {
        say(delivery, CHATUP_ERROR, "%u messages did not reach Slack: the plugin ends",
            delivery->count);
        count(delivery, DELIVERY_DROPPED, delivery->count);
    }
    while (delivery->count)
        pop(delivery);
    free(delivery);
}
