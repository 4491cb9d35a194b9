/* Bans and kicks. One loop keeps the bans: it counts them and gives them their order; every loop
 * has a copy. A letter that changes something goes to the keeper, to the store, and then on a tour
 * of all loops, the keeper first: two about the same person arrive everywhere in one order, and
 * when a letter is home, what it says holds everywhere.
 *
 * Then what the banned one said is removed. Whatever was numbered before the ban came to a room's
 * owner is in front of the removal at the store, so nothing slips in between. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded_parts.h"
#include "store.h"

struct moderation { /* a ban, an unban or a kick under way */
    struct errand errand;
    size_t visited; /* so many loops */
    struct ban *ban;
    struct kick kick; /* what on_kick is told; its who is a text of the ban, or in storage */
    uint64_t count;
    broker_moderated *done;
    void *arg;
    char storage[];
};

static void moderation_free(struct moderation *what)
{
    ban_unref(what->ban);
    name_unref(what->kick.room);
    errand_free(&what->errand);
}

static void moderation_home(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    if (errand_comes_home(&what->errand))
        what->done(what->arg, what->errand.status, what->count);
    moderation_free(what);
}

static void moderation_give_up(struct errand *errand)
{
    struct moderation *what = (struct moderation *)errand;
    what->done(what->arg, BROKER_UNKNOWN, 0);
}

/* On to the next loop, for visit to happen there; after the last, home. */
static void tour_go(struct moderation *what, void (*visit)(struct letter *),
                    void (*home)(struct letter *))
{
    struct embedded_home *all = what->errand.owner->home;
    if (++what->visited < all->count)
        errand_go(&what->errand, all->loops[what->visited].loop, visit);
    else
        errand_go_home(&what->errand, BROKER_OK, home);
}

static struct embedded *tour_at(const struct moderation *what)
{
    return &what->errand.owner->home->loops[what->visited];
}

static void kick_tell(struct embedded *loop, const struct kick *kick)
{
    if (loop->broker.on_kick)
        loop->broker.on_kick(loop->broker.up, kick);
}

static struct moderation *moderation_create(struct broker *broker, size_t storage,
                                            broker_moderated *done, void *arg)
{
    struct moderation *what = errand_create(broker, NULL, sizeof *what + storage);
    what->done = done;
    what->arg = arg;
    return what;
}

/* ---- ban ---- */

static void ban_removed(void *arg, enum broker_status status, uint64_t count)
{
    struct moderation *what = arg;
    if (!what->errand.given_up)
        what->done(what->arg, status, count);
    moderation_free(what);
}

static void ban_in_force(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    const struct ban *ban = what->ban;
    if (ban->kind == BAN_ADDRESS) { /* messages do not know theirs */
        moderation_home(letter);
        return;
    }
    errand_comes_home(&what->errand); /* removing has time limits of its own */
    embedded_remove(&what->errand.from->broker,
                    &(struct removal){.room = ban->room, .kind = ban->kind, .who = ban->who},
                    ban_removed, what);
}

static void ban_visits(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    bans_put(&tour_at(what)->bans, what->ban);
    kick_tell(tour_at(what), &what->kick);
    tour_go(what, ban_visits, ban_in_force);
}

static void ban_stored(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    what->errand.owner->bans_under_way--;
    if (what->errand.status == BROKER_OK)
        ban_visits(letter);
    else
        errand_go_home(&what->errand, what->errand.status, moderation_home);
}

static void ban_at_store(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    struct embedded_home *home = what->errand.owner->home;
    struct error err;
    if (store_batch_join(&what->errand) && !store_ban(home->store, what->ban, &err))
        store_batch_failed(home, &err);
}

static void ban_at_keeper(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    struct embedded *keeper = what->errand.owner;
    bans_expire(&keeper->bans, clock_wall_ms());
    uint64_t count = keeper->bans.table.count + keeper->bans_under_way;
    if (count >= (uint64_t)keeper->conf->limits.bans && !bans_same(&keeper->bans, what->ban)) {
        count_up(COUNT_too_many_bans);
        errand_go_home(&what->errand, BROKER_FULL_BANS, moderation_home);
        return;
    }
    if (store_overdue_ms(keeper)) {
        errand_go_home(&what->errand, BROKER_UNAVAILABLE, moderation_home);
        return;
    }
    keeper->bans_under_way++;
    errand_to_store(&what->errand, NULL, ban_at_store, ban_stored);
}

void embedded_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    struct moderation *what = moderation_create(broker, 0, done, arg);
    what->ban = ban;
    what->kick = (struct kick){
        .room = ban->room ? name_ref(ban->room) : NULL,
        .kind = ban->kind,
        .who = ban->who,
        .ban = true,
    };
    errand_sets_out(&what->errand, moderation_give_up);
    errand_go(&what->errand, what->errand.owner->loop, ban_at_keeper);
}

/* ---- unban ---- */

static void unban_visits(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    bool was_there = bans_lift(&tour_at(what)->bans, what->ban);
    if (!what->visited)
        what->count = was_there;
    tour_go(what, unban_visits, moderation_home);
}

static void unban_stored(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    if (what->errand.status == BROKER_OK)
        unban_visits(letter);
    else
        errand_go_home(&what->errand, what->errand.status, moderation_home);
}

static void unban_at_store(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    struct embedded_home *home = what->errand.owner->home;
    struct error err;
    if (store_batch_join(&what->errand) && !store_unban(home->store, what->ban, &err))
        store_batch_failed(home, &err);
}

static void unban_at_keeper(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    bans_expire(&what->errand.owner->bans, clock_wall_ms());
    if (store_overdue_ms(what->errand.owner))
        errand_go_home(&what->errand, BROKER_UNAVAILABLE, moderation_home);
    else
        errand_to_store(&what->errand, NULL, unban_at_store, unban_stored);
}

void embedded_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    struct moderation *what = moderation_create(broker, 0, done, arg);
    what->ban = ban;
    errand_sets_out(&what->errand, moderation_give_up);
    errand_go(&what->errand, what->errand.owner->loop, unban_at_keeper);
}

/* ---- kick ---- */

static void kick_visits(struct letter *letter)
{
    struct moderation *what = (struct moderation *)letter;
    kick_tell(tour_at(what), &what->kick);
    tour_go(what, kick_visits, moderation_home);
}

void embedded_kick(struct broker *broker, const struct kick *kick, broker_moderated *done,
                   void *arg)
{
    struct moderation *what = moderation_create(broker, kick->who.length, done, arg);
    what->kick = *kick;
    what->kick.room = kick->room ? name_ref(kick->room) : NULL;
    what->kick.who.at = memcpy(what->storage, kick->who.at, kick->who.length);
    errand_go(&what->errand, what->errand.owner->loop, kick_visits);
}

/* ---- who is banned ---- */

int64_t embedded_ban_ttl(struct broker *broker, const struct name *room, const struct identity *who,
                         struct text *reason_out)
{
    return bans_ttl(&embedded_of(broker)->bans, room, who, clock_wall_ms(), reason_out);
}

struct listing {
    struct errand errand;
    struct bans_asked asked;
    broker_listed *done;
    void *arg;
};

static void listing_home(struct letter *letter)
{
    struct listing *listing = (struct listing *)letter;
    struct bans *bans = &listing->errand.from->bans;
    uint64_t total;
    size_t count;
    bans_expire(bans, clock_wall_ms());
    struct ban **list = bans_list(bans, &listing->asked, &count, &total);
    listing->done(listing->arg, list, count, total);
    for (size_t i = 0; i < count; i++)
        ban_unref(list[i]);
    free(list);
    errand_free(&listing->errand);
}

void embedded_list_bans(struct broker *broker, const struct bans_asked *asked, broker_listed *done,
                        void *arg)
{
    struct listing *listing = errand_create(broker, asked->room, sizeof *listing);
    listing->asked = *asked;
    listing->asked.room = listing->errand.room;
    listing->done = done;
    listing->arg = arg;
    errand_go_home(&listing->errand, BROKER_OK, listing_home);
}
