#include "subscriber.h"
#include "alloc.h"
#include "frame.h"

void subscriber_init(struct subscriber *sub, const struct subscriber_socket *socket,
                     size_t queue_limit)
{
    *sub = (struct subscriber){.socket = socket, .queue_limit = queue_limit};
    list_init(&sub->memberships);
}

static void queue_drop(struct subscriber *sub)
{
    for (size_t i = 0; i < sub->queued; i++)
        frame_unref(sub->queue[i]);
    free(sub->queue);
    sub->queue = NULL;
    sub->queued = sub->queue_room = sub->queued_bytes = 0;
}

void subscriber_finish(struct subscriber *sub)
{
    queue_drop(sub);
}

enum subscriber_sent subscriber_send(struct subscriber *sub, struct frame *frame)
{
    if (!sub->queued && sub->socket->writable(sub)) {
        if (!sub->socket->write(sub, frame))
            subscriber_close(sub, CLOSE_BROKEN);
        return SENT;
    }
    if (sub->queued_bytes + frame->length > sub->queue_limit)
        return QUEUE_FULL;
    if (sub->queued == sub->queue_room) {
        size_t room = sub->queue_room ? sub->queue_room * 2 : 8;
        struct frame **queue = realloc(sub->queue, room * sizeof *queue);
        if (!queue)
            return QUEUE_FULL;
        sub->queue = queue;
        sub->queue_room = room;
    }
    sub->queue[sub->queued++] = frame_ref(frame);
    sub->queued_bytes += frame->length;
    return QUEUED;
}

void subscriber_on_writable(struct subscriber *sub)
{
    size_t sent = 0;
    if (!sub->queued) /* told without having asked */
        return;
    while (sent < sub->queued && sub->socket->writable(sub)) {
        sub->queued_bytes -= sub->queue[sent]->length;
        bool ok = sub->socket->write(sub, sub->queue[sent]);
        frame_unref(sub->queue[sent++]);
        if (!ok) {
            memmove(sub->queue, sub->queue + sent, (sub->queued -= sent) * sizeof *sub->queue);
            subscriber_close(sub, CLOSE_BROKEN);
            return;
        }
    }
    memmove(sub->queue, sub->queue + sent, (sub->queued -= sent) * sizeof *sub->queue);
    if (!sub->queued)
        queue_drop(sub);
}

void subscriber_close(struct subscriber *sub, enum close_reason why)
{
    if (sub->state == SUBSCRIBER_CLOSING)
        return;
    sub->state = SUBSCRIBER_CLOSING;
    queue_drop(sub);
    sub->socket->close(sub, why);
}
