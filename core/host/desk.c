/* An id is the loop (8 bits), a slot (24) and the slot's generation (32): a slot that is used again
 * has another generation, so ids of what is over find nothing. */
#include "desk.h"
#include "alloc.h"
#include "chain.h"

#include <assert.h>

enum { SLOT_BITS = 24, SLOTS_MAX = 1 << 20, NO_SLOT = UINT32_MAX };

void desk_init(struct desk *desk, struct loop *loop, uint32_t index, uint32_t count,
               const struct desk_up *up)
{
    *desk = (struct desk){.loop = loop, .index = index, .count = count, .up = up};
    desk->free_slot = (uint32_t)NO_SLOT;
    list_init(&desk->chains);
}

void desk_finish(struct desk *desk)
{
    if (!desk->count) /* it was never made */
        return;
    assert(!desk->used && list_empty(&desk->chains));
    free(desk->slots);
    desk->slots = NULL;
}

static bool slots_grow(struct desk *desk)
{
    uint32_t count = desk->slot_count ? desk->slot_count * 2 : 64;
    if (count > SLOTS_MAX)
        return false;
    desk->slots = xrealloc(desk->slots, count * sizeof *desk->slots);
    for (uint32_t i = count; i-- > desk->slot_count;) {
        desk->slots[i] = (struct desk_slot){.generation = 1, .next_free = desk->free_slot};
        desk->free_slot = i;
    }
    desk->slot_count = count;
    return true;
}

bool pending_open(struct pending *pending, struct shard *shard, bool counts,
                  void (*cancel)(struct pending *))
{
    struct desk *desk = shard->desk;
    if (desk->free_slot == (uint32_t)NO_SLOT && !slots_grow(desk))
        return false;
    uint32_t i = desk->free_slot;
    struct desk_slot *slot = &desk->slots[i];
    desk->free_slot = slot->next_free;
    desk->used++;
    slot->pending = pending;
    pending->shard = shard;
    pending->counts = counts;
    pending->cancel = cancel;
    pending->id = (uint64_t)desk->index << 56 | (uint64_t)i << 32 | (uint64_t)slot->generation;
    list_append(&shard->pendings, &pending->link);
    shard->open += counts;
    return true;
}

void pending_close(struct pending *pending)
{
    struct shard *shard = pending->shard;
    struct desk *desk = shard->desk;
    uint32_t i = (uint32_t)(pending->id >> 32) & ((1u << SLOT_BITS) - 1);
    struct desk_slot *slot = &desk->slots[i];
    assert(slot->pending == pending);
    slot->pending = NULL;
    if (!++slot->generation)
        slot->generation = 1;
    slot->next_free = desk->free_slot;
    desk->free_slot = i;
    desk->used--;
    list_remove(&pending->link);
    if (pending->counts) {
        shard->open--;
        chain_look(shard->chain);
    }
}

struct pending *pending_find(struct desk *desk, uint64_t id, void (*cancel)(struct pending *))
{
    uint32_t i = (uint32_t)(id >> 32) & ((1u << SLOT_BITS) - 1);
    if (pending_loop(id) != desk->index || i >= desk->slot_count)
        return NULL;
    const struct desk_slot *slot = &desk->slots[i];
    if (!slot->pending || slot->pending->id != id || slot->pending->cancel != cancel)
        return NULL;
    return slot->pending;
}

uint32_t pending_loop(uint64_t id)
{
    return (uint32_t)(id >> 56);
}
