#include "send_queue.h"
#include "alloc.h"
#include "log.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>

enum { FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

struct queued_write {
    void *sender;
    const char *bytes;
    size_t length;
    int fd;
};

struct send_queue {
    send_queue_sent *sent;
    bool given_up;
    struct io_uring ring;
    unsigned count;
    size_t used; /* of bytes */
    struct queued_write writes[SEND_QUEUE_COUNT];
    char bytes[SEND_QUEUE_BYTES];
};

/* Rings came before sends did. */
static bool can_send(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool can = probe && io_uring_opcode_supported(probe, IORING_OP_SEND);
    io_uring_free_probe(probe);
    return can;
}

struct send_queue *send_queue_create(send_queue_sent *sent)
{
    struct send_queue *queue = xmalloc(sizeof *queue);
    queue->sent = sent;
    queue->given_up = false;
    queue->count = 0;
    queue->used = 0;
    int err = io_uring_queue_init(SEND_QUEUE_COUNT, &queue->ring, 0);
    if (!err && !can_send(&queue->ring)) {
        io_uring_queue_exit(&queue->ring);
        err = -ENOSYS;
    }
    if (!err)
        return queue;
    free(queue);
    errno = -err;
    return NULL;
}

void send_queue_destroy(struct send_queue *queue)
{
    if (!queue)
        return;
    send_queue_submit(queue);
    io_uring_queue_exit(&queue->ring);
    free(queue);
}

bool send_queue_add(struct send_queue *queue, int fd, const char *bytes, size_t length,
                    void *sender)
{
    if (!queue || length > SEND_QUEUE_WRITE_MAX)
        return false;
    if (queue->count == SEND_QUEUE_COUNT || queue->used + length > SEND_QUEUE_BYTES)
        send_queue_submit(queue);
    if (queue->given_up) /* the ring still has what was refused */
        return false;
    queue->writes[queue->count++] = (struct queued_write){
        sender, memcpy(queue->bytes + queue->used, bytes, length), length, fd};
    queue->used += length;
    return true;
}

/* returns  how many the kernel took: if not all, it is used no more */
static unsigned hand_over(struct send_queue *queue)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < queue->count; i++) {
        struct queued_write *write = &queue->writes[i];
        struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
        io_uring_prep_send(sqe, write->fd, write->bytes, write->length, FLAGS);
        io_uring_sqe_set_data(sqe, write);
    }
    while (taken < queue->count) {
        int now = io_uring_submit(&queue->ring);
        if (now > 0) {
            taken += (unsigned)now;
        } else if (now != -EINTR) {
            log_warn("io_uring refuses what is to be sent (%s); each message is a system call of "
                     "its own until a restart",
                     strerror(-now));
            queue->given_up = true;
            break;
        }
    }
    return taken;
}

static void finish(struct send_queue *queue, const struct queued_write *write, ssize_t result)
{
    queue->sent(write->sender, write->bytes, write->length, result);
}

static void submit_many(struct send_queue *queue)
{
    unsigned taken = hand_over(queue);
    for (unsigned done = 0; done < taken;) {
        unsigned head, here = 0;
        struct io_uring_cqe *cqe;
        io_uring_wait_cqe(&queue->ring, &cqe); /* all are there: none of them could wait */
        io_uring_for_each_cqe (&queue->ring, head, cqe) {
            finish(queue, io_uring_cqe_get_data(cqe), cqe->res);
            here++;
        }
        io_uring_cq_advance(&queue->ring, here);
        done += here;
    }
    for (unsigned i = taken; i < queue->count; i++) /* the senders try again by themselves */
        finish(queue, &queue->writes[i], -EAGAIN);
}

/* For one alone the ring would cost more than the call. */
static void submit_one(struct send_queue *queue)
{
    const struct queued_write *write = &queue->writes[0];
    ssize_t sent = send(write->fd, write->bytes, write->length, FLAGS);
    finish(queue, write, sent < 0 ? -errno : sent);
}

void send_queue_submit(struct send_queue *queue)
{
    if (!queue || !queue->count)
        return;
    if (queue->count == 1)
        submit_one(queue);
    else
        submit_many(queue);
    queue->count = 0;
    queue->used = 0;
}
