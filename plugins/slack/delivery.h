/* delivery.h: a queue of requests to one URL, sent one after the other by libcurl on an event loop:
 * nothing blocks, and what fails is tried again. One per shard, its loop only. */
#pragma once
#include <chatup/loop.h>
#include <stdint.h>

struct delivery;

enum delivery_event { DELIVERY_SENT, DELIVERY_RETRIED, DELIVERY_DROPPED };

struct delivery_options {
    const struct chatup_loop_service *service;
    const struct chatup_loop *loop;
    const char *url;
    size_t max_queued;
    int64_t attempts, timeout_ms;
    /* why: of what was dropped, one sentence without the URL; "" else. */
    void (*on_event)(void *arg, enum delivery_event event, const char *why);
    void *arg;
};

/* Borrows options' pointers. NULL: no memory. */
struct delivery *delivery_create(const struct delivery_options *options);
/* What is still queued is dropped, and told. */
void delivery_destroy(struct delivery *delivery);
/* json is taken, freed with free(). 0: the queue is full, and json is not taken. */
int delivery_add(struct delivery *delivery, char *json);
