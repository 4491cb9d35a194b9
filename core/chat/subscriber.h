/* subscriber.h: one connection that reads, seen from its rooms: frames go in, the socket takes
 * them or the queue keeps them. The socket's file owns it and says how to write. Its loop only. */
#pragma once
#include "list.h"
#include <stdbool.h>
#include <stddef.h>

struct frame;
struct subscriber;

enum subscriber_state { SUBSCRIBER_OPEN, SUBSCRIBER_CLOSING };
enum close_reason { CLOSE_TOO_SLOW, CLOSE_UNAVAILABLE, CLOSE_BROKEN };

struct subscriber_socket { /* what a transport does for a subscriber */
    /* Whether the kernel took all that was written so far; once it has, after it had not, the
     * transport calls subscriber_on_writable. */
    bool (*writable)(struct subscriber *sub);
    /* Write all of it; what the kernel does not take stays with the transport. false: broken. */
    bool (*write)(struct subscriber *sub, const struct frame *frame);
    /* The first frame of one of its rooms was sent. */
    void (*admitted)(struct subscriber *sub);
    /* End it after this turn of the loop, not now: somebody may be walking over it. */
    void (*close)(struct subscriber *sub, enum close_reason why);
};

struct subscriber {
    const struct subscriber_socket *socket;
    enum subscriber_state state;
    struct list memberships; /* of room.h, linked by in_subscriber */
    struct frame **queue;    /* oldest first, only while the socket lags */
    size_t queued, queue_room, queued_bytes;
    size_t queue_limit; /* bytes */
};

enum subscriber_sent { SENT, QUEUED, QUEUE_FULL };

void subscriber_init(struct subscriber *sub, const struct subscriber_socket *socket,
                     size_t queue_limit);
/* Frees the queue. Memberships are the rooms' to end before (rooms_leave_all). */
void subscriber_finish(struct subscriber *sub);

/* frame is borrowed; a queue that keeps it holds its own reference. */
enum subscriber_sent subscriber_send(struct subscriber *sub, struct frame *frame);
void subscriber_on_writable(struct subscriber *sub);
/* No frame reaches it from now on; its queue is dropped. */
void subscriber_close(struct subscriber *sub, enum close_reason why);
