/* libcurl's multi interface tells which descriptors it waits for and when it wants to be called
 * (curl.se/libcurl/c/libcurl-multi.html); the host's loop does both. One request at a time keeps
 * the order, and lets a 429 hold up all that are behind it. */
#include "delivery.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PAUSE_MS = 1000, PAUSE_MAX_MS = 60000, RETRY_AFTER_MAX_MS = 5 * 60 * 1000 };

struct item {
    struct item *next;
    char *json;
    int64_t tries;
};

struct delivery {
    struct delivery_options options;
    CURLM *multi;
    CURL *easy; /* of the request under way; NULL: none */
    struct curl_slist *headers;
    struct item *first, **tail;
    size_t count;
    uint64_t curl_timer, pause_timer; /* 0: none */
    uint32_t seed;
};

static void tell(const struct delivery *delivery, enum delivery_event event, const char *why)
{
    delivery->options.on_event(delivery->options.arg, event, why);
}

static void item_drop_first(struct delivery *delivery)
{
    struct item *item = delivery->first;
    delivery->first = item->next;
    if (!delivery->first)
        delivery->tail = &delivery->first;
    if (!--delivery->count)
        delivery->options.service->hold(delivery->options.loop, -1);
    free(item->json);
    free(item);
}

static void send_next(struct delivery *delivery);

/* ---- pauses ---- */

static void on_pause_over(void *shard, void *arg, int32_t status)
{
    struct delivery *delivery = arg;
    delivery->pause_timer = 0;
    if (status == CHATUP_DONE)
        send_next(delivery);
}

static void pause_for(struct delivery *delivery, int64_t ms)
{
    delivery->pause_timer =
        delivery->options.service->timer(delivery->options.loop, ms, on_pause_over, delivery);
}

/* Twice as long each time, and up to half of that more or less, so that many servers do not come
 * back at once. */
static int64_t backoff_ms(struct delivery *delivery, int64_t tries)
{
    int64_t ms = FIRST_PAUSE_MS;
    while (--tries > 0 && ms < PAUSE_MAX_MS)
        ms *= 2;
    delivery->seed = delivery->seed * 1664525 + 1013904223;
    return ms / 2 + (int64_t)(delivery->seed >> 8) % ms;
}

/* ---- the end of a request ---- */

static void easy_free(struct delivery *delivery)
{
    curl_multi_remove_handle(delivery->multi, delivery->easy);
    curl_easy_cleanup(delivery->easy);
    delivery->easy = NULL;
}

/* What is wrong for ever, and what may go better the next time. */
static int may_retry(CURLcode code, long status)
{
    if (code == CURLE_OK)
        return status == 429 || status == 408 || status >= 500;
    return code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT;
}

static void request_done(struct delivery *delivery, CURLcode code)
{
    struct item *item = delivery->first;
    long status = 0;
    curl_off_t retry_after = 0;
    char why[320];
    curl_easy_getinfo(delivery->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(delivery->easy, CURLINFO_RETRY_AFTER, &retry_after); /* seconds or a date */
    easy_free(delivery);
    if (code == CURLE_OK && status >= 200 && status < 300) {
        item_drop_first(delivery);
        tell(delivery, DELIVERY_SENT, "");
        send_next(delivery);
        return;
    }
    int64_t pause_ms = backoff_ms(delivery, ++item->tries);
    if (retry_after > 0)
        pause_ms =
            retry_after < RETRY_AFTER_MAX_MS / 1000 ? retry_after * 1000 : RETRY_AFTER_MAX_MS;
    if (may_retry(code, status) && item->tries < delivery->options.attempts) {
        tell(delivery, DELIVERY_RETRIED, "");
        pause_for(delivery, pause_ms);
        return;
    }
    if (code == CURLE_OK)
        snprintf(why, sizeof why, "it answered %ld, %lld times", status, (long long)item->tries);
    else
        snprintf(why, sizeof why, "%s, %lld times", curl_easy_strerror(code),
                 (long long)item->tries);
    item_drop_first(delivery);
    tell(delivery, DELIVERY_DROPPED, why);
    if (status == 429)
        pause_for(delivery, pause_ms);
    else
        send_next(delivery);
}

static void look(struct delivery *delivery)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(delivery->multi, &left));)
        if (message->msg == CURLMSG_DONE && message->easy_handle == delivery->easy)
            request_done(delivery, message->data.result);
}

/* ---- what libcurl waits for ---- */

static void on_ready(void *shard, void *arg, int32_t fd, uint32_t events)
{
    struct delivery *delivery = arg;
    int running, what = 0;
    if (events & CHATUP_READ)
        what |= CURL_CSELECT_IN;
    if (events & CHATUP_WRITE)
        what |= CURL_CSELECT_OUT;
    curl_multi_socket_action(delivery->multi, fd, what, &running);
    look(delivery);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct delivery *delivery = arg;
    uint32_t events = what == CURL_POLL_IN      ? CHATUP_READ
                      : what == CURL_POLL_OUT   ? CHATUP_WRITE
                      : what == CURL_POLL_INOUT ? CHATUP_READ | CHATUP_WRITE
                                                : 0;
    delivery->options.service->watch(delivery->options.loop, fd, events, on_ready, delivery);
    return 0;
}

static void on_curl_time(void *shard, void *arg, int32_t status)
{
    struct delivery *delivery = arg;
    int running;
    delivery->curl_timer = 0;
    if (status != CHATUP_DONE)
        return;
    curl_multi_socket_action(delivery->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    look(delivery);
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct delivery *delivery = arg;
    const struct delivery_options *options = &delivery->options;
    if (delivery->curl_timer)
        options->service->timer_cancel(options->loop, delivery->curl_timer);
    if (ms >= 0)
        delivery->curl_timer = options->service->timer(options->loop, ms, on_curl_time, delivery);
    return 0;
}

/* ---- a request ---- */

static size_t ignore(char *bytes, size_t size, size_t count, void *arg)
{
    return size * count; /* what it answers is of no interest, but for the status */
}

static void send_next(struct delivery *delivery)
{
    if (!delivery->first || delivery->easy || delivery->pause_timer)
        return;
    CURL *easy = delivery->easy = curl_easy_init();
    if (!easy) {
        pause_for(delivery, FIRST_PAUSE_MS);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_URL, delivery->options.url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, delivery->first->json);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, delivery->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)delivery->options.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chatup-slack/1.0");
    curl_multi_add_handle(delivery->multi, easy); /* its timer calls us soon */
}

int delivery_add(struct delivery *delivery, char *json)
{
    if (delivery->count >= delivery->options.max_queued)
        return 0;
    struct item *item = calloc(1, sizeof *item);
    if (!item)
        return 0;
    item->json = json;
    *delivery->tail = item;
    delivery->tail = &item->next;
    if (!delivery->count++) /* a reload waits a while for what is queued */
        delivery->options.service->hold(delivery->options.loop, 1);
    send_next(delivery);
    return 1;
}

/* ---- life ---- */

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT); /* never undone: others may use the library too */
}

struct delivery *delivery_create(const struct delivery_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (!delivery)
        return NULL;
    delivery->options = *options;
    delivery->tail = &delivery->first;
    delivery->seed = (uint32_t)(options->service->mono_ms() + options->loop->index * 7919);
    delivery->headers = curl_slist_append(NULL, "content-type: application/json");
    delivery->multi = curl_multi_init();
    if (!delivery->multi || !delivery->headers) {
        delivery_destroy(delivery);
        return NULL;
    }
    curl_multi_setopt(delivery->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(delivery->multi, CURLMOPT_SOCKETDATA, delivery);
    curl_multi_setopt(delivery->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(delivery->multi, CURLMOPT_TIMERDATA, delivery);
    return delivery;
}

void delivery_destroy(struct delivery *delivery)
{
    if (!delivery)
        return;
    if (delivery->easy)
        easy_free(delivery);
    while (delivery->first) {
        item_drop_first(delivery);
        tell(delivery, DELIVERY_DROPPED, "the plugin ends");
    }
    if (delivery->multi)
        curl_multi_cleanup(delivery->multi);
    curl_slist_free_all(delivery->headers);
    if (delivery->curl_timer)
        delivery->options.service->timer_cancel(delivery->options.loop, delivery->curl_timer);
    if (delivery->pause_timer)
        delivery->options.service->timer_cancel(delivery->options.loop, delivery->pause_timer);
    free(delivery);
}
