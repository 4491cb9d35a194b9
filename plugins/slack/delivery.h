/* delivery.h: what is to be posted to the webhook by one shard, in order, one request at a time.
 *
 * A post is tried until it is taken, refused for good, or was tried often enough; the next one
 * waits, so order is kept, and a pause that the server asks for (429) is one of the whole queue.
 * libcurl's multi interface does the talking: it says which descriptors and which timer it wants
 * (chatup/loop.h), so the loop never waits for a server or a name server. Its loop only. */
#pragma once
#include <chatup/loop.h>
#include <chatup/plugin.h>

#include <stdbool.h>

enum delivery_count {
    DELIVERY_SENT,
    DELIVERY_RETRIED,
    DELIVERY_DROPPED
}; /* counters of the host */

struct delivery_conf { /* lives longer than its deliveries */
    const struct chatup_host *host;
    const struct chatup_loop_service *time;
    const char *url;
    int64_t timeout_ms; /* of one request */
    uint32_t queue;     /* at most that many posts, with the one that is being sent */
    uint32_t attempts;  /* requests per post */
};

/* Once per generation, before the first delivery. false: why says what this libcurl cannot do. */
bool delivery_global_init(char *why, size_t size);
bool delivery_url_valid(const char *url);

struct delivery;

struct delivery *delivery_create(const struct delivery_conf *conf, const struct chatup_loop *loop);

bool delivery_full(const struct delivery *delivery);
/* Queue a post, and begin if nothing is under way. Not to be called when it is full.
 *   json  taken, to be freed by free */
void delivery_add(struct delivery *delivery, char *json);
/* Count and log a message that found the queue full, with others like it in one line a second. */
void delivery_overflow(struct delivery *delivery);

/* The end is near: wait for nothing but what the server asked for. */
void delivery_drain(struct delivery *delivery);
/* What is still queued is dropped, counted and logged. NULL is fine. */
void delivery_destroy(struct delivery *delivery);
