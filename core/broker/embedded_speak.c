/* What is said: numbered, stored, announced. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded_parts.h"
#include "message.h"
#include "store.h"
#include "uuid.h"

struct publish {
    struct errand errand;
    struct message *message;
    bool check_ban;
    struct ban *ban; /* lends its reason to the result */
    struct address address;
    broker_published *done;
    void *arg;
    struct published result;
    int64_t bytes;    /* counted as on their way */
    uint64_t trim_to; /* what the store is to forget; 0: nothing */
    size_t client_id_length;
    char client_id[];
};

static struct text publish_client_id(const struct publish *publish)
{
    return (struct text){publish->client_id, publish->client_id_length};
}

static void publish_home(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    publish->result.status = publish->errand.status;
    atomic_fetch_sub(&publish->errand.from->home->bytes_on_their_way, publish->bytes);
    if (errand_comes_home(&publish->errand))
        publish->done(publish->arg, &publish->result);
    message_unref(publish->message);
    ban_unref(publish->ban);
    errand_free(&publish->errand);
}

static void publish_give_up(struct errand *errand)
{
    struct publish *publish = (struct publish *)errand;
    publish->done(publish->arg, &(struct published){.status = BROKER_UNKNOWN});
}

static void publish_stored(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct errand *errand = &publish->errand;
    struct home_room *room = home_room_find(errand->owner, errand->room);
    if (!room || room->loading) { /* it could not be loaded */
        errand_go_home(errand, BROKER_UNAVAILABLE, publish_home);
        return;
    }
    room->in_flight--;
    if (errand->status != BROKER_OK)
        owner_generation_end(errand->owner, errand->generation);
    if (!publish->message) /* a repetition: it waited for the first one's commit, not for its own */
        errand->status =
            publish->result.at.offset <= room->announced ? BROKER_OK : BROKER_UNAVAILABLE;
    else if (errand->status == BROKER_OK)
        home_room_announce_stored(errand->owner, room, publish->message);
    errand_go_home(errand, errand->status, publish_home);
}

static void publish_at_store(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct store *store = publish->errand.owner->home->store;
    struct error err;
    if (store_batch_join(&publish->errand) && publish->message &&
        (!store_append(store, publish->message, publish_client_id(publish), &err) ||
         (publish->trim_to && !store_trim(store, publish->errand.room, publish->trim_to, &err))))
        store_batch_failed(publish->errand.owner->home, &err);
}

/* The loop that took it checked already; a ban may have overtaken it on the way to the owner. What
 * a ban overtakes on the way from here, it removes. */
static bool publish_is_banned(struct publish *publish, int64_t now_ms)
{
    const struct message_fields *fields = &publish->message->fields;
    const struct identity who = {fields->sub, fields->name, publish->address};
    struct ban *ban = bans_find(&publish->errand.owner->bans, publish->errand.room, &who, now_ms);
    if (!ban)
        return false;
    publish->ban = ban_ref(ban);
    publish->result.ban_ttl = ban_ttl(ban, now_ms);
    publish->result.ban_reason = ban->reason;
    return true;
}

static void publish_at_owner(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct errand *errand = &publish->errand;
    struct embedded *owner = errand->owner;
    const struct message_fields *fields = &publish->message->fields;
    bool refused;
    errand->back = publish_stored;
    struct home_room *room = errand_room(errand, &refused);
    if (!room) {
        if (refused)
            errand_go_home(errand, errand->status, publish_home);
        return;
    }
    int64_t now_ms = clock_wall_ms();
    answers_expire(room->answers, now_ms - owner->conf->limits.dedupe_ms);
    struct answer *answer =
        publish->client_id_length ? answers_find(room->answers, publish_client_id(publish)) : NULL;
    if (answer) {
        publish->result.at.offset = answer->offset;
        memcpy(publish->result.id, answer->id, sizeof publish->result.id);
        message_unref(publish->message);
        publish->message = NULL;
    } else {
        if (publish->check_ban && publish_is_banned(publish, now_ms)) {
            errand_go_home(errand, BROKER_BANNED, publish_home);
            return;
        }
        if (store_overdue_ms(owner)) { /* at once, and not kept */
            errand_go_home(errand, BROKER_UNAVAILABLE, publish_home);
            return;
        }
        publish->message->offset = ++room->offset;
        publish->trim_to = home_room_trim(room, (uint64_t)owner->conf->history.size);
        publish->result.at.offset = room->offset;
        memcpy(publish->result.id, fields->id.at, UUID_LENGTH);
        if (publish->client_id_length)
            answers_add(home_room_answers(room), publish_client_id(publish), room->offset,
                        publish->result.id, fields->time_ms,
                        (uint32_t)owner->conf->limits.dedupe_entries);
    }
    if (answer && answer->offset <= room->announced)
        errand_go_home(errand, BROKER_OK, publish_home);
    else if (answer && store_overdue_ms(owner))
        errand_go_home(errand, BROKER_UNKNOWN, publish_home);
    else
        errand_to_store(errand, room, publish_at_store, publish_stored);
}

/* What it holds until it is stored: the message has its fields and, of about the same size, JSON.
 */
static size_t publish_cost(const struct publication *what)
{
    return sizeof *what->message + 2 * what->message->json.length + what->client_id.length;
}

void embedded_publish(struct broker *broker, const struct publication *what, broker_published *done,
                      void *arg)
{
    struct publish *publish =
        errand_create(broker, what->message->room, sizeof *publish + what->client_id.length);
    publish->message = what->message;
    publish->check_ban = what->check_ban;
    publish->done = done;
    publish->arg = arg;
    publish->address = what->address;
    publish->client_id_length = what->client_id.length;
    if (what->client_id.length)
        memcpy(publish->client_id, what->client_id.at, what->client_id.length);
    memcpy(publish->result.at.epoch, publish->errand.from->home->epoch,
           sizeof publish->result.at.epoch);
    struct embedded_home *home = publish->errand.from->home;
    publish->bytes = (int64_t)(sizeof *publish + publish_cost(what));
    errand_sets_out(&publish->errand, publish_give_up);
    if (atomic_fetch_add(&home->bytes_on_their_way, publish->bytes) >
        publish->errand.from->conf->limits.store_bytes) {
        count_up(COUNT_store_refused);
        errand_go_home(&publish->errand, BROKER_UNAVAILABLE, publish_home);
    } else {
        errand_go(&publish->errand, publish->errand.owner->loop, publish_at_owner);
    }
}
