/* Bans and kicks. Redis keeps the bans, and each loop of each process has a copy, so that asking is
 * cheap; what is published is checked again where it is numbered. What changes is told on one
 * channel, which the first loop of each process hears and passes from loop to loop; whoever asked
 * for it is answered when it has been through the loops of its own process. Others follow within
 * the time that a message takes.
 *
 * When that channel is subscribed, again, all bans are read anew; what is heard meanwhile waits. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "log.h"
#include "redis_parts.h"

#include <hiredis/hiredis.h>

/* ---- what is told: an act as text ---- */

/* letter node loop number kind room who expires created reason ban\n…: the last but one are
 * lengths of texts, -1 for everywhere. */
enum { ACT_BAN = 'b', ACT_UNBAN = 'u', ACT_KICK = 'k' };

struct act { /* asked for on this loop, and not answered yet */
    struct list acts;
    struct redis *redis;
    uint64_t number;
    int64_t asked_ms;
    bool kept;     /* Redis has it */
    bool all_know; /* so has each loop here */
    bool removes;  /* a ban: what they said goes, too */
    bool counts;   /* an unban: what was there */
    bool ends;     /* an unban */
    bool copies;   /* it goes to the other servers, too */
    size_t server; /* that it is on its way to */
    struct ban *ban;
    uint64_t count;
    broker_moderated *done;
    void *arg;
};

struct told { /* an act on its tour of the loops */
    struct letter letter;
    struct redis_home *home;
    size_t visited;
    int what;
    char node[37];
    unsigned loop;
    uint64_t number;
    struct ban *ban; /* of a kick, too: kind, room and who */
    bool because_of_ban;
};

static void act_write(const struct redis *redis, int what, uint64_t number, const struct ban *ban,
                      bool because_of_ban, struct buffer *out)
{
    char head[256];
    snprintf(head, sizeof head, "%c %s %u %llu %d %d %zu %lld %lld %zu %d\n", what,
             redis->home->node, redis->index, (unsigned long long)number, (int)ban->kind,
             ban->room ? (int)ban->room->length : -1, ban->who.length, (long long)ban->expires_ms,
             (long long)ban->created_ms, ban->reason.length, because_of_ban);
    buffer_text(out, head);
    if (ban->room)
        buffer_bytes(out, ban->room->at, ban->room->length);
    buffer_bytes(out, ban->who.at, ban->who.length);
    buffer_bytes(out, ban->reason.at, ban->reason.length);
}

static struct ban *ban_of_texts(int kind, int room_length, size_t who, size_t reason,
                                int64_t expires_ms, int64_t created_ms, struct text texts)
{
    size_t room_bytes = room_length < 0 ? 0 : (size_t)room_length;
    if (kind < BAN_NAME || kind > BAN_ADDRESS || room_bytes > texts.length ||
        who > texts.length - room_bytes || reason != texts.length - room_bytes - who)
        return NULL;
    struct name *room = room_length < 0 ? NULL : name_create((struct text){texts.at, room_bytes});
    if (!room && room_length >= 0)
        return NULL;
    struct ban *ban = ban_create(&(struct ban_fields){
        .room = room,
        .kind = (enum ban_kind)kind,
        .who = {texts.at + room_bytes, who},
        .expires_ms = expires_ms,
        .created_ms = created_ms,
        .reason = {texts.at + room_bytes + who, reason},
    });
    name_unref(room);
    return ban;
}

/* payload is NUL-terminated: hiredis does that. */
static struct told *told_read(struct redis_home *home, struct text payload)
{
    struct told *told = xcalloc(1, sizeof *told);
    char what;
    int kind, room_length, because_of_ban;
    size_t who, reason;
    long long expires_ms, created_ms;
    unsigned long long number;
    const char *end = memchr(payload.at, '\n', payload.length);
    if (!end || sscanf(payload.at, "%c %36s %u %llu %d %d %zu %lld %lld %zu %d\n", &what,
                       told->node, &told->loop, &number, &kind, &room_length, &who, &expires_ms,
                       &created_ms, &reason, &because_of_ban) != 11) {
        free(told);
        return NULL;
    }
    end++;
    told->home = home;
    told->what = what;
    told->number = number;
    told->because_of_ban = because_of_ban;
    told->ban = ban_of_texts(kind, room_length, who, reason, expires_ms, created_ms,
                             (struct text){end, payload.length - (size_t)(end - payload.at)});
    if (!told->ban) {
        free(told);
        return NULL;
    }
    return told;
}

/* ---- the hash ---- */

static void field_write(struct buffer *out, enum ban_kind kind, const struct name *room,
                        struct text who)
{
    static const char kinds[] = "nsa";
    out->length = 0;
    buffer_bytes(out, &kinds[kind], 1);
    buffer_text(out, ":");
    buffer_number(out, room ? room->length : -1);
    buffer_text(out, ":");
    if (room)
        buffer_bytes(out, room->at, room->length);
    buffer_bytes(out, who.at, who.length);
}

static void value_write(struct buffer *out, const struct ban *ban)
{
    out->length = 0;
    buffer_number(out, ban->expires_ms);
    buffer_text(out, " ");
    buffer_number(out, ban->created_ms);
    buffer_text(out, " ");
    buffer_bytes(out, ban->reason.at, ban->reason.length);
}

void redis_arg_bans(struct redis_link *link, const struct name *room, const struct identity *who)
{
    struct buffer field = {0};
    char site[ADDRESS_SITE_SIZE];
    address_site_format(&who->address, site);
    const struct text texts[] = {
        [BAN_NAME] = who->name, [BAN_SUB] = who->sub, [BAN_ADDRESS] = text_of(site)};
    for (int kind = BAN_NAME; kind <= BAN_ADDRESS; kind++) {
        if (!texts[kind].length)
            continue;
        for (int everywhere = 0; everywhere <= 1; everywhere++) {
            field_write(&field, (enum ban_kind)kind, everywhere ? NULL : room, texts[kind]);
            redis_arg(link, (struct text){field.at, field.length});
        }
    }
    buffer_finish(&field);
}

/* A field and its value; NULL: they are none. */
static struct ban *ban_read(struct text field, struct text value)
{
    struct buffer texts = {0};
    long long expires_ms, created_ms;
    int room_length, field_at = 0, reason_at = 0;
    const char *kinds = "nsa", *kind;
    if (field.length < 5 || !(kind = memchr(kinds, *field.at, 3)) ||
        sscanf(field.at + 1, ":%d:%n", &room_length, &field_at) != 1 || !field_at ||
        sscanf(value.at, "%lld %lld%n", &expires_ms, &created_ms, &reason_at) != 2)
        return NULL;
    struct text names = {field.at + 1 + field_at, field.length - 1 - (size_t)field_at};
    struct text reason = {value.at + reason_at + 1, value.length - (size_t)reason_at - 1};
    size_t room_bytes = room_length < 0 ? 0 : (size_t)room_length;
    if (names.length < room_bytes || (size_t)reason_at >= value.length)
        return NULL;
    buffer_bytes(&texts, names.at, names.length);
    buffer_bytes(&texts, reason.at, reason.length);
    struct ban *ban =
        ban_of_texts((int)(kind - kinds), room_length, names.length - room_bytes, reason.length,
                     expires_ms, created_ms, (struct text){texts.at, texts.length});
    buffer_finish(&texts);
    return ban;
}

/* ---- acts that wait for their answer ---- */

static void act_end(struct act *act, enum broker_status status)
{
    list_remove(&act->acts);
    act->done(act->arg, status, act->count);
    ban_unref(act->ban);
    free(act);
}

static void act_removed(void *arg, enum broker_status status, uint64_t count)
{
    struct act *act = arg;
    act->count = count;
    act_end(act, status);
}

/* Redis has it, and all loops know. */
static void act_holds(struct act *act)
{
    struct ban *ban = act->ban;
    if (!act->kept || !act->all_know)
        return;
    list_remove(&act->acts); /* removing has time limits of its own */
    if (!act->removes) {
        act_end(act, BROKER_OK);
        return;
    }
    broker_remove(&act->redis->broker,
                  &(struct removal){.room = ban->room, .kind = ban->kind, .who = ban->who},
                  act_removed, act);
}

static void ban_send(struct act *act);

static void on_kept(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct act *act = arg;
    if (outcome != REDIS_ANSWERED) {
        act_end(act, redis_failure(outcome));
        return;
    }
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer < 0) {
        count_up(COUNT_too_many_bans);
        act_end(act, BROKER_FULL_BANS);
        return;
    }
    if (act->counts && !act->server)
        act->count = (uint64_t)reply->integer;
    if (act->copies && ++act->server < redis_servers_count(act->redis->home->servers)) {
        ban_send(act);
        return;
    }
    act->kept = true;
    act_holds(act);
}

struct all_know {
    struct letter letter;
    struct redis *redis;
    uint64_t number;
};

static void all_know(struct letter *letter)
{
    struct all_know *news = (struct all_know *)letter;
    struct act *act, *after;
    list_for_each_safe (act, after, &news->redis->acts, acts) {
        if (act->number == news->number) {
            act->all_know = true;
            act_holds(act);
            break;
        }
    }
    free(news);
}

/* ---- the tour ---- */

static void told_free(struct told *told)
{
    ban_unref(told->ban);
    free(told);
}

static void ban_kicks(struct redis *redis, const struct ban *ban, bool because_of_ban)
{
    const struct kick kick = {
        .room = ban->room, .kind = ban->kind, .who = ban->who, .ban = because_of_ban};
    if (redis->broker.on_kick)
        redis->broker.on_kick(redis->broker.up, &kick);
}

static void told_visits(struct letter *letter);

static void told_is_round(struct told *told)
{
    struct redis_home *home = told->home;
    if (!strcmp(told->node, home->node) && told->loop < home->count) {
        struct all_know *news = xcalloc(1, sizeof *news);
        news->letter.deliver = all_know;
        news->redis = &home->loops[told->loop];
        news->number = told->number;
        loop_post(news->redis->loop, &news->letter);
    }
    told_free(told);
}

static void told_visits(struct letter *letter)
{
    struct told *told = (struct told *)letter;
    struct redis *redis = &told->home->loops[told->visited];
    if (told->what == ACT_BAN)
        bans_put(&redis->bans, told->ban);
    if (told->what == ACT_UNBAN)
        bans_lift(&redis->bans, told->ban);
    else
        ban_kicks(redis, told->ban, told->because_of_ban);
    if (++told->visited < told->home->count)
        loop_post(told->home->loops[told->visited].loop, &told->letter);
    else
        told_is_round(told);
}

void redis_bans_heard(struct redis *redis, struct text payload)
{
    struct told *told = told_read(redis->home, payload);
    if (!told) {
        log_error("redis: an act on the control channel cannot be read; is there a process of "
                  "another version?");
        return;
    }
    told->letter.deliver = told_visits;
    if (redis->home->bans_loading) {
        told->letter.next = NULL;
        *redis->home->told_tail = &told->letter;
        redis->home->told_tail = &told->letter.next;
    } else {
        told_visits(&told->letter);
    }
}

/* ---- all of them anew ---- */

struct loaded {
    struct letter letter;
    struct redis_home *home;
    size_t visited, count;
    struct ban **bans; /* the oldest first */
};

static int by_age(const void *a, const void *b)
{
    const struct ban *x = *(struct ban *const *)a, *y = *(struct ban *const *)b;
    return (x->created_ms > y->created_ms) - (x->created_ms < y->created_ms);
}

static bool is_news(const struct bans *bans, const struct ban *ban)
{
    const struct ban *known = bans_same(bans, ban);
    return !known || known->created_ms != ban->created_ms;
}

/* Of those that were made while nothing was heard nobody here has been told. Each costs a walk over
 * all connections: of a great many, as they are when a process begins, the latest have to do. */
static void loaded_visits(struct letter *letter)
{
    enum { KICKS_MAX = 256 };
    size_t kicks = 0;
    struct loaded *loaded = (struct loaded *)letter;
    struct redis *redis = &loaded->home->loops[loaded->visited];
    bool *news = xcalloc(loaded->count, sizeof *news);
    for (size_t i = 0; i < loaded->count; i++)
        news[i] = is_news(&redis->bans, loaded->bans[i]);
    bans_finish(&redis->bans);
    bans_init(&redis->bans);
    for (size_t i = 0; i < loaded->count; i++)
        bans_put(&redis->bans, loaded->bans[i]);
    for (size_t i = loaded->count; i-- && kicks < KICKS_MAX;) {
        if (!news[i] || !ban_ttl(loaded->bans[i], clock_wall_ms()))
            continue;
        ban_kicks(redis, loaded->bans[i], true);
        kicks++;
    }
    free(news);
    if (++loaded->visited < loaded->home->count) {
        loop_post(loaded->home->loops[loaded->visited].loop, &loaded->letter);
        return;
    }
    atomic_store(&loaded->home->bans_known, true);
    for (size_t i = 0; i < loaded->count; i++)
        ban_unref(loaded->bans[i]);
    free(loaded->bans);
    free(loaded);
}

/* In the order in which they were heard, behind what was read: letters of one loop keep it. */
static void told_go_on(struct redis_home *home)
{
    struct letter *letter = home->told;
    home->bans_loading = false;
    home->told = NULL;
    home->told_tail = &home->told;
    while (letter) {
        struct letter *next = letter->next;
        letter->deliver(letter);
        letter = next;
    }
}

static void on_bans(void *arg, enum redis_outcome outcome, const struct redisReply *reply)
{
    struct redis *redis = arg;
    if (outcome == REDIS_ANSWERED && reply->type == REDIS_REPLY_ARRAY) {
        struct loaded *loaded = xcalloc(1, sizeof *loaded);
        loaded->home = redis->home;
        loaded->letter.deliver = loaded_visits;
        loaded->bans = xcalloc(reply->elements / 2, sizeof *loaded->bans);
        for (size_t i = 0; i + 1 < reply->elements; i += 2) {
            struct ban *ban = ban_read(redis_reply_text(reply, i), redis_reply_text(reply, i + 1));
            if (ban)
                loaded->bans[loaded->count++] = ban;
        }
        qsort(loaded->bans, loaded->count, sizeof *loaded->bans, by_age);
        loaded_visits(&loaded->letter);
        redis->home->bans_read = true;
        for (size_t i = 1; i < redis_servers_count(redis->home->servers); i++)
            redis_bans_copy(redis, i);
    } else {
        redis->home->bans_wanted = true; /* again, by the sweep */
    }
    told_go_on(redis->home);
}

/* The first loop: when its channel is subscribed, when it can ask again, and about once a second.
 */
void redis_bans_load(struct redis *redis)
{
    struct redis_home *home = redis->home;
    struct redis_link *link = redis_link_first(redis);
    if (!home->bans_wanted || home->bans_loading || !redis_link_ready(link))
        return;
    home->bans_loading = true;
    home->bans_wanted = false;
    redis_begin(link, "HGETALL");
    redis_arg_key(link, "bans", (struct text){0});
    redis_send(link, on_bans, redis);
}

static void copy_key(struct redis_link *link, const struct redis *redis)
{
    redis_arg_key(link, "bans:copy:", text_of(redis->home->node));
}

/* Some of them, since there is a limit to what one command has. */
static void copy_part(const struct redis *redis, struct redis_link *link, struct ban *const *bans,
                      size_t count)
{
    struct buffer text = {0};
    redis_begin(link, "HSET");
    copy_key(link, redis);
    for (size_t i = 0; i < count; i++) {
        field_write(&text, bans[i]->kind, bans[i]->room, bans[i]->who);
        redis_arg(link, (struct text){text.at, text.length});
        value_write(&text, bans[i]);
        redis_arg(link, (struct text){text.at, text.length});
    }
    redis_send(link, NULL, NULL);
    buffer_finish(&text);
}

void redis_bans_copy(struct redis *redis, size_t server)
{
    enum { PART = 1000, COPY_MS = 60000 };
    struct redis_link *link = redis_link_at(redis, server);
    uint64_t total;
    size_t count;
    const struct bans_asked all = {.limit = UINT64_MAX};
    if (!redis->home->bans_read || !redis_link_ready(link))
        return;
    struct ban **list = bans_list(&redis->bans, &all, &count, &total);
    redis_begin(link, "DEL");
    copy_key(link, redis);
    redis_send(link, NULL, NULL);
    for (size_t i = 0; i < count; i += PART)
        copy_part(redis, link, list + i, count - i < PART ? count - i : PART);
    redis_begin(link, "PEXPIRE"); /* should we not come to the end */
    copy_key(link, redis);
    redis_arg_number(link, COPY_MS);
    redis_send(link, NULL, NULL);
    redis_begin_script(link, SCRIPT_BANS, 2);
    redis_arg_key(link, "bans", (struct text){0});
    copy_key(link, redis);
    redis_arg_number(link, (int64_t)count);
    redis_send(link, NULL, NULL);
    for (size_t i = 0; i < count; i++)
        ban_unref(list[i]);
    free(list);
}

void redis_bans_sweep(struct redis *redis, int64_t now_ms)
{
    struct act *act;
    bans_expire(&redis->bans, clock_wall_ms());
    if (!redis->index)
        redis_bans_load(redis);
    while (!list_empty(&redis->acts)) {
        act = list_entry(redis->acts.next, struct act, acts);
        if (now_ms - act->asked_ms <= redis->conf->limits.store_wait_ms || !act->kept)
            break; /* what Redis has not answered yet has a deadline of its own */
        act_end(act, BROKER_UNKNOWN);
    }
}

void redis_bans_stop(struct redis *redis)
{
    while (!list_empty(&redis->acts))
        act_end(list_entry(redis->acts.next, struct act, acts), BROKER_UNKNOWN);
    if (!redis->index && redis->home->told) {
        struct letter *letter = redis->home->told;
        redis->home->told = NULL;
        while (letter) {
            struct letter *next = letter->next;
            told_free((struct told *)letter);
            letter = next;
        }
        redis->home->told_tail = &redis->home->told;
    }
}

/* ---- the calls ---- */

static struct act *act_create(struct broker *broker, struct ban *ban, broker_moderated *done,
                              void *arg)
{
    struct redis *redis = redis_of(broker);
    struct act *act = xcalloc(1, sizeof *act);
    act->redis = redis;
    act->number = ++redis->act_number;
    act->asked_ms = clock_mono_ms();
    act->ban = ban;
    act->done = done;
    act->arg = arg;
    list_append(&redis->acts, &act->acts);
    return act;
}

static void channel_arg(struct redis_link *link)
{
    redis_arg_key(link, "control", (struct text){0});
}

/* To that server; the first one counts, tells it, and is asked first. */
static void ban_send(struct act *act)
{
    struct redis *redis = act->redis;
    struct redis_link *link = redis_link_at(redis, act->server);
    const struct ban *ban = act->ban;
    struct buffer text = {0};
    redis_begin_script(link, SCRIPT_BAN, 1);
    redis_arg_key(link, "bans", (struct text){0});
    field_write(&text, ban->kind, ban->room, ban->who);
    redis_arg(link, (struct text){text.at, text.length});
    text.length = 0;
    if (!act->ends)
        value_write(&text, ban);
    redis_arg(link, (struct text){text.at, text.length});
    redis_arg_number(link, act->server ? INT32_MAX : redis->conf->limits.bans);
    channel_arg(link);
    text.length = 0;
    if (!act->server)
        act_write(redis, act->ends ? ACT_UNBAN : ACT_BAN, act->number, ban, !act->ends, &text);
    redis_arg(link, (struct text){text.at, text.length});
    buffer_finish(&text);
    redis_send(link, on_kept, act);
}

void redis_do_ban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    struct act *act = act_create(broker, ban, done, arg);
    act->removes = ban->kind != BAN_ADDRESS; /* messages do not know theirs */
    act->copies = true;
    ban_send(act);
}

void redis_do_unban(struct broker *broker, struct ban *ban, broker_moderated *done, void *arg)
{
    struct act *act = act_create(broker, ban, done, arg);
    act->counts = act->ends = act->copies = true;
    ban_send(act);
}

void redis_do_kick(struct broker *broker, const struct kick *kick, broker_moderated *done,
                   void *arg)
{
    struct ban *whom = ban_create(&(struct ban_fields){
        .room = kick->room, .kind = kick->kind, .who = kick->who, .expires_ms = BAN_FOR_EVER});
    struct act *act = act_create(broker, whom, done, arg);
    struct redis_link *link = redis_link_first(act->redis);
    struct buffer text = {0};
    act_write(act->redis, ACT_KICK, act->number, whom, kick->ban, &text);
    redis_begin(link, "PUBLISH");
    channel_arg(link);
    redis_arg(link, (struct text){text.at, text.length});
    buffer_finish(&text);
    redis_send(link, on_kept, act);
}

int64_t redis_do_ban_ttl(struct broker *broker, const struct name *room, const struct identity *who,
                         struct text *reason_out)
{
    return bans_ttl(&redis_of(broker)->bans, room, who, clock_wall_ms(), reason_out);
}

struct listing {
    struct letter letter;
    struct redis *redis;
    struct bans_asked asked;
    broker_listed *done;
    void *arg;
};

static void listing_arrives(struct letter *letter)
{
    struct listing *listing = (struct listing *)letter;
    struct bans *bans = &listing->redis->bans;
    uint64_t total;
    size_t count;
    bans_expire(bans, clock_wall_ms());
    struct ban **list = bans_list(bans, &listing->asked, &count, &total);
    listing->done(listing->arg, list, count, total);
    for (size_t i = 0; i < count; i++)
        ban_unref(list[i]);
    free(list);
    name_unref(listing->asked.room);
    free(listing);
}

void redis_do_list_bans(struct broker *broker, const struct bans_asked *asked, broker_listed *done,
                        void *arg)
{
    struct listing *listing = xcalloc(1, sizeof *listing);
    listing->letter.deliver = listing_arrives;
    listing->redis = redis_of(broker);
    listing->asked = *asked;
    if (asked->room)
        name_ref(asked->room);
    listing->done = done;
    listing->arg = arg;
    loop_post(listing->redis->loop, &listing->letter);
}
