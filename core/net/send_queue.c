#include "send_queue.h"
#include "alloc.h"
#include "log.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>

struct queued_write {
    void *sender;
    const char *bytes;
    size_t length;
};

struct send_queue {
    send_queue_sent *sent;
    bool given_up; /* the kernel refused a write that it should have taken */
    struct io_uring ring;
    unsigned count;
    size_t used; /* of bytes */
    struct queued_write writes[SEND_QUEUE_COUNT];
    char bytes[SEND_QUEUE_BYTES];
};

struct send_queue *send_queue_create(send_queue_sent *sent)
{
    struct send_queue *queue = xmalloc(sizeof *queue);
    queue->sent = sent;
    queue->given_up = false;
    queue->count = 0;
    queue->used = 0;
    int err = io_uring_queue_init(SEND_QUEUE_COUNT, &queue->ring, 0);
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
    if (!queue || queue->given_up || length > SEND_QUEUE_WRITE_MAX)
        return false;
    if (queue->count == SEND_QUEUE_COUNT || queue->used + length > SEND_QUEUE_BYTES)
        send_queue_submit(queue);
    struct queued_write *write = &queue->writes[queue->count++];
    write->sender = sender;
    write->bytes = memcpy(queue->bytes + queue->used, bytes, length);
    write->length = length;
    queue->used += length;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    io_uring_prep_send(sqe, fd, write->bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, write);
    return true;
}

bool send_queue_is_empty(const struct send_queue *queue)
{
    return !queue || !queue->count;
}

/* returns  how many the kernel took: all, or it is out of memory */
static unsigned hand_over(struct send_queue *queue)
{
    unsigned taken = 0;
    while (taken < queue->count) {
        int now = io_uring_submit(&queue->ring);
        if (now > 0)
            taken += (unsigned)now;
        else if (now != -EINTR)
            break;
    }
    return taken;
}

void send_queue_submit(struct send_queue *queue)
{
    if (send_queue_is_empty(queue))
        return;
    unsigned taken = hand_over(queue);
    for (unsigned done = 0; done < taken;) {
        unsigned head, here = 0;
        struct io_uring_cqe *cqe;
        io_uring_wait_cqe(&queue->ring, &cqe); /* all are there: none of them could wait */
        io_uring_for_each_cqe(&queue->ring, head, cqe)
        {
            const struct queued_write *write = io_uring_cqe_get_data(cqe);
            queue->sent(write->sender, write->bytes, write->length, cqe->res);
            here++;
        }
        io_uring_cq_advance(&queue->ring, here);
        done += here;
    }
    for (unsigned i = taken; i < queue->count; i++) { /* the senders try again by themselves */
        const struct queued_write *write = &queue->writes[i];
        queue->sent(write->sender, write->bytes, write->length, -EAGAIN);
    }
    if (taken < queue->count) {
        queue->given_up = true;
        log_warn("io_uring refuses what is to be sent; it is used no more until a restart");
    }
    queue->count = 0;
    queue->used = 0;
}
