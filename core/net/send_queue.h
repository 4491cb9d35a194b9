/* send_queue.h: what a turn of the loop has for many sockets, given to the kernel in one system
 * call, by io_uring(7); home of liburing. Each write is what send(2) with MSG_DONTWAIT would make
 * of it: done when the call returns, and to as many bytes as the socket had room for.
 *
 * One loop's only. NULL is a queue that takes nothing: the caller sends by itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct send_queue;

enum {
    SEND_QUEUE_COUNT = 64, /* writes; then it is submitted by itself */
    SEND_QUEUE_BYTES = 64 * 1024,
    SEND_QUEUE_WRITE_MAX = 4096 /* what is longer costs more to copy than a system call */
};

/* What became of one write: result is how many bytes were taken, or -errno. bytes are the queue's,
 * for as long as the call lasts; the queue is not to be used meanwhile. */
typedef void send_queue_sent(void *sender, const char *bytes, size_t length, ssize_t result);

/* returns  destroyed by the caller; NULL with errno set: the kernel has no io_uring, or not for us
 */
struct send_queue *send_queue_create(send_queue_sent *sent);
/* What is in it is submitted first. */
void send_queue_destroy(struct send_queue *queue);

/* Copies the bytes; sent is called for them once, from send_queue_submit or from an add that finds
 * the queue full. One sender's second write needs a submit in between: should the first be cut
 * short, it must come behind the rest of that. returns  false: not taken, too long or no queue */
bool send_queue_add(struct send_queue *queue, int fd, const char *bytes, size_t length,
                    void *sender);
void send_queue_submit(struct send_queue *queue);
