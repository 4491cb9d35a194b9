/* What is numbered and stored: messages, and bans with their notice. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "embedded_parts.h"
#include "message.h"
#include "store.h"
#include "uuid.h"

/* ---- publish ---- */

struct publish {
    struct errand errand;
    struct message *message;
    bool check_ban;
    broker_published *done;
    void *arg;
    struct published result;
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
    publish->done(publish->arg, &publish->result);
    message_unref(publish->message);
    errand_free(&publish->errand);
}

static void publish_stored(struct letter *letter)
{
    struct publish *publish = (struct publish *)letter;
    struct errand *errand = &publish->errand;
    struct home_room *room = home_room_find(errand->owner, errand->room);
    if (!room || !room->ready) { /* it could not be loaded */
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
    struct error err;
    if (store_batch_join(&publish->errand) && publish->message &&
        !store_append(publish->errand.owner->home->store, publish->message,
                      publish_client_id(publish), &err))
        store_batch_failed(publish->errand.owner->home, &err);
}

/* A ban holds for what is numbered after it, also while it is not stored yet: what slipped in
 * between would stay in the history. */
static int64_t ban_ttl_at_owner(const struct embedded *owner, const struct name *room,
                                struct text sub, struct text name, int64_t now_ms)
{
    int64_t ttl = bans_ttl(&owner->bans, room, sub, name, now_ms);
    return ttl ? ttl : bans_ttl(&owner->bans_on_their_way, room, sub, name, now_ms);
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
    answers_expire(&room->answers, now_ms - owner->conf->limits.dedupe_ms);
    struct answer *answer =
        publish->client_id_length ? answers_find(&room->answers, publish_client_id(publish)) : NULL;
    if (answer) {
        publish->result.at.offset = answer->offset;
        memcpy(publish->result.id, answer->id, sizeof publish->result.id);
        message_unref(publish->message);
        publish->message = NULL;
    } else {
        /* The loop that took it checked already; a ban may have overtaken it on the way here. */
        int64_t ttl = !publish->check_ban ? 0
                                          : ban_ttl_at_owner(owner, errand->room, fields->sub,
                                                             fields->name, now_ms);
        if (ttl) {
            publish->result.ban_ttl = ttl;
            errand_go_home(errand, BROKER_BANNED, publish_home);
            return;
        }
        publish->message->offset = ++room->offset;
        publish->result.at.offset = room->offset;
        memcpy(publish->result.id, fields->id.at, UUID_LENGTH);
        if (publish->client_id_length)
            answers_add(&room->answers, publish_client_id(publish), room->offset,
                        publish->result.id, fields->time_ms,
                        (uint32_t)owner->conf->limits.dedupe_entries);
    }
    if (answer && answer->offset <= room->announced)
        errand_go_home(errand, BROKER_OK, publish_home);
    else
        errand_to_store(errand, room, publish_at_store, publish_stored);
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
    publish->client_id_length = what->client_id.length;
    if (what->client_id.length)
        memcpy(publish->client_id, what->client_id.at, what->client_id.length);
    memcpy(publish->result.at.epoch, publish->errand.from->home->epoch,
           sizeof publish->result.at.epoch);
    errand_go(&publish->errand, publish->errand.owner->loop, publish_at_owner);
}

/* ---- ban ---- */

struct ban_errand {
    struct errand errand;
    struct ban *ban;
    struct message *notice;
    broker_banned *done;
    void *arg;
};

struct ban_news {
    struct letter letter;
    struct embedded *to;
    struct ban *ban;
};

static void ban_arrives(struct letter *letter)
{
    struct ban_news *news = (struct ban_news *)letter;
    bans_put(&news->to->bans, news->ban);
    ban_unref(news->ban);
    free(news);
}

static void ban_home(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    ban->done(ban->arg, ban->errand.status);
    ban_unref(ban->ban);
    message_unref(ban->notice);
    errand_free(&ban->errand);
}

static void ban_stored(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    struct errand *errand = &ban->errand;
    struct embedded *owner = errand->owner;
    struct home_room *room = home_room_find(owner, errand->room);
    if (!room || !room->ready) {
        errand_go_home(errand, BROKER_UNAVAILABLE, ban_home);
        return;
    }
    room->in_flight--;
    bans_drop(&owner->bans_on_their_way, ban->ban);
    if (errand->status == BROKER_OK) {
        bans_put(&owner->bans, ban->ban); /* the owner decides; the others follow */
        for (size_t i = 0; i < owner->home->count; i++) {
            if (&owner->home->loops[i] == owner)
                continue;
            struct ban_news *news = xmalloc(sizeof *news);
            news->letter.deliver = ban_arrives;
            news->to = &owner->home->loops[i];
            news->ban = ban_ref(ban->ban);
            loop_post(news->to->loop, &news->letter);
        }
        history_ban(&room->history, ban->ban);
        home_room_announce_stored(owner, room, ban->notice);
    } else {
        owner_generation_end(owner, errand->generation);
    }
    errand_go_home(errand, errand->status, ban_home);
}

static void ban_at_store(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    struct embedded_home *home = ban->errand.owner->home;
    struct error err;
    if (store_batch_join(&ban->errand) &&
        (!store_ban(home->store, ban->ban, &err) ||
         !store_append(home->store, ban->notice, (struct text){NULL, 0}, &err)))
        store_batch_failed(home, &err);
}

static void ban_at_owner(struct letter *letter)
{
    struct ban_errand *ban = (struct ban_errand *)letter;
    struct errand *errand = &ban->errand;
    bool refused;
    errand->back = ban_stored;
    struct home_room *room = errand_room(errand, &refused);
    if (!room) {
        if (refused)
            errand_go_home(errand, errand->status, ban_home);
        return;
    }
    ban->notice->offset = ++room->offset;
    bans_put(&errand->owner->bans_on_their_way, ban->ban);
    errand_to_store(errand, room, ban_at_store, ban_stored);
}

void embedded_ban(struct broker *broker, struct ban *what, struct message *notice,
                  broker_banned *done, void *arg)
{
    struct ban_errand *ban = errand_create(broker, what->room, sizeof *ban);
    ban->ban = what;
    ban->notice = notice;
    ban->done = done;
    ban->arg = arg;
    errand_go(&ban->errand, ban->errand.owner->loop, ban_at_owner);
}
