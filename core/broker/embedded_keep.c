/* What plugins keep. A group has an owner, as a room has, which has its keys in memory and runs the
 * batches about it. A durable batch is in memory at once and on its way to the store; until it is
 * back the group's later ones wait, so that nobody sees what a failed commit takes back. Volatile
 * keys are in a memory of their own and wait for nobody.
 *
 * Who watches a key is known to its owner, which sends what the key is: one letter per watch at a
 * time, and the next when that one has been seen, so that a hundred changes are not a hundred
 * copies of a long list. */
#include "alloc.h"
#include "clock.h"
#include "config.h"
#include "counters.h"
#include "embedded_parts.h"
#include "store.h"

#include <assert.h>

/* ---- a batch ---- */

struct row_copy {
    struct row_copy *next;
    enum keyed_change change;
    struct keyed_row row; /* its texts are in storage */
    char storage[];
};

struct keep_errand {
    struct errand errand; /* its room is the group's name: space, unit separator, group */
    struct keep what;
    bool sorted; /* its turn in the group has come */
    struct keyed_outcome outcome;
    struct row_copy *rows, **rows_tail;
    broker_kept *done;
    void *arg;
    struct chatup_op ops[];
};

/* A group with a batch at the store. */
struct busy_group {
    struct table_link link;
    struct name *name;
    struct letter *waiting; /* oldest first */
};

static void keep_free(struct keep_errand *keep)
{
    while (keep->rows) {
        struct row_copy *row = keep->rows;
        keep->rows = row->next;
        free(row);
    }
    keyed_outcome_finish(&keep->outcome);
    errand_free(&keep->errand);
}

static void keep_tell(struct keep_errand *keep, int32_t status)
{
    const struct chatup_answer failed = {.size = sizeof failed, .status = status};
    keep->done(keep->arg, &failed);
}

static void keep_home(struct letter *letter)
{
    struct keep_errand *keep = (struct keep_errand *)letter;
    if (!errand_comes_home(&keep->errand)) {
        keep_free(keep);
        return;
    }
    if (keep->errand.status == BROKER_OK)
        keep->done(keep->arg, &keep->outcome.answer);
    else
        keep_tell(keep, CHATUP_UNAVAILABLE);
    keep_free(keep);
}

static void keep_give_up(struct errand *errand)
{
    keep_tell((struct keep_errand *)errand, CHATUP_TIMEOUT);
}

/* ---- watches ---- */

struct broker_watch { /* of the loop that asked */
    struct embedded *from, *owner;
    broker_changed *changed; /* NULL: it is over */
    void *arg;
};

struct home_watch { /* of the owner */
    struct list link;
    struct broker_watch *watch;
    bool is_volatile, away, dirty, ended;
    struct keyed_place at; /* texts in storage */
    char storage[];
};

struct news { /* to the watching loop, and back */
    struct letter letter;
    struct home_watch *home;
    struct chatup_result result;
    struct chatup_text *members;
    char value[];
};

static struct keyed *memory_of(struct embedded *owner, bool is_volatile)
{
    return is_volatile ? owner->kept_volatile : owner->kept;
}

static void watch_send(struct home_watch *home);

static void home_watch_free(struct home_watch *home)
{
    list_remove(&home->link);
    free(home->watch);
    free(home);
}

static void news_returns(struct letter *letter)
{
    struct news *news = (struct news *)letter;
    struct home_watch *home = news->home;
    free(news->members);
    free(news);
    home->away = false;
    if (home->ended)
        home_watch_free(home);
    else if (home->dirty)
        watch_send(home);
}

static void news_arrive(struct letter *letter)
{
    struct news *news = (struct news *)letter;
    struct broker_watch *watch = news->home->watch;
    if (watch->changed)
        watch->changed(watch->arg, &news->result);
    letter->deliver = news_returns;
    loop_post(watch->owner->loop, letter);
}

static void watch_send(struct home_watch *home)
{
    struct embedded *owner = home->watch->owner;
    struct chatup_result result;
    struct chatup_text *members;
    home->dirty = home->away;
    if (home->away)
        return;
    keyed_look(memory_of(owner, home->is_volatile), &home->at, clock_wall_ms(), &result, &members);
    struct news *news = xmalloc(sizeof *news + result.value.length + 1);
    *news = (struct news){{.deliver = news_arrive}, home, result, members};
    if (result.value.at)
        news->result.value.at = memcpy(news->value, result.value.at, result.value.length);
    home->away = true;
    loop_post(home->watch->from->loop, &news->letter);
}

static bool same_place(const struct keyed_place *a, const struct keyed_place *b)
{
    return text_equal(a->key, b->key) && text_equal(a->group, b->group) &&
           text_equal(a->space, b->space);
}

static void key_changed(struct embedded *owner, bool is_volatile, const struct keyed_place *at)
{
    struct home_watch *home;
    list_for_each (home, &owner->watches, link)
        if (home->is_volatile == is_volatile && same_place(&home->at, at))
            watch_send(home);
}

/* ---- at the owner ---- */

static bool group_is(const struct table_link *link, const void *name)
{
    return name_equal(list_entry(link, struct busy_group, link)->name, name);
}

static struct busy_group *group_find(const struct embedded *owner, const struct name *name)
{
    struct table_link *link = table_find(&owner->busy_groups, name->hash, group_is, name);
    return link ? list_entry(link, struct busy_group, link) : NULL;
}

static void group_wait(struct busy_group *group, struct letter *letter)
{
    struct letter **end = &group->waiting;
    while (*end)
        end = &(*end)->next;
    letter->next = NULL;
    *end = letter;
}

static void keep_at_owner(struct letter *letter);

/* The next ones of the group, until one goes to the store. */
static void group_free(struct embedded *owner, struct busy_group *group)
{
    struct letter *letter = group->waiting;
    table_remove(&owner->busy_groups, &group->link);
    name_unref(group->name);
    free(group);
    while (letter) {
        struct letter *next = letter->next;
        keep_at_owner(letter); /* it may wait again, behind those that do */
        letter = next;
    }
}

static void row_note(void *arg, enum keyed_change change, const struct keyed_row *from)
{
    struct keep_errand *keep = arg;
    bool durable = !keep->what.is_volatile; /* else it is only told that the key has changed */
    size_t size = from->at.key.length + (durable ? from->member.length + from->value.length : 0);
    struct row_copy *row = xmalloc(sizeof *row + size + 1);
    *row = (struct row_copy){.change = change, .row = *from};
    char *to = row->storage;
    row->row.at.space = keep->what.space;
    row->row.at.group = keep->what.group;
    row->row.at.key.at = memcpy(to, from->at.key.at, from->at.key.length);
    to += from->at.key.length;
    *keep->rows_tail = row;
    keep->rows_tail = &row->next;
    if (!durable) {
        row->row.member = row->row.value = (struct text){0};
        return;
    }
    if (from->member.length)
        row->row.member.at = memcpy(to, from->member.at, from->member.length);
    to += from->member.length;
    if (from->value.length)
        row->row.value.at = memcpy(to, from->value.at, from->value.length);
}

static void keep_announce(struct keep_errand *keep)
{
    struct embedded *owner = keep->errand.owner;
    const struct row_copy *last = NULL;
    for (const struct row_copy *row = keep->rows; row; row = row->next) {
        if (!last || !same_place(&last->row.at, &row->row.at))
            key_changed(owner, keep->what.is_volatile, &row->row.at);
        last = row;
    }
}

static void keep_stored(struct letter *letter)
{
    struct keep_errand *keep = (struct keep_errand *)letter;
    struct embedded *owner = keep->errand.owner;
    struct busy_group *group = group_find(owner, keep->errand.room);
    if (keep->errand.status == BROKER_OK) {
        keep_announce(keep);
    } else {
        owner_generation_end(owner, keep->errand.generation);
        keyed_take_back(owner->kept, &keep->outcome);
    }
    assert(group);
    errand_go_home(&keep->errand, keep->errand.status, keep_home); /* before who comes behind */
    group_free(owner, group);
}

static void keep_at_store(struct letter *letter)
{
    struct keep_errand *keep = (struct keep_errand *)letter;
    struct embedded_home *home = keep->errand.owner->home;
    struct error err;
    if (!store_batch_join(&keep->errand))
        return;
    for (const struct row_copy *row = keep->rows; row; row = row->next)
        if (!store_keep(home->store, row->change, &row->row, &err)) {
            store_batch_failed(home, &err);
            return;
        }
}

static void keep_at_owner(struct letter *letter)
{
    struct keep_errand *keep = (struct keep_errand *)letter;
    struct embedded *owner = keep->errand.owner;
    const struct keep *what = &keep->what;
    bool durable = !what->is_volatile && owner->home->store;
    struct busy_group *busy = durable ? group_find(owner, keep->errand.room) : NULL;
    if (durable && store_overdue_ms(owner)) {
        errand_go_home(&keep->errand, BROKER_UNAVAILABLE, keep_home);
        return;
    }
    if (busy) {
        group_wait(busy, letter);
        return;
    }
    uint64_t max = (uint64_t)owner->conf->limits.plugin_bytes / owner->home->count;
    keep->rows_tail = &keep->rows;
    bool noted = durable || !list_empty(&owner->watches);
    keyed_run(memory_of(owner, what->is_volatile), what->space, what->group, what->ops, what->count,
              clock_wall_ms(), max, noted ? row_note : NULL, keep, &keep->outcome);
    if (keep->outcome.full)
        count_up(COUNT_plugin_store_refused);
    if (!durable || !keep->rows || keep->outcome.full) {
        if (!keep->outcome.full)
            keep_announce(keep);
        errand_go_home(&keep->errand, BROKER_OK, keep_home);
        return;
    }
    busy = xcalloc(1, sizeof *busy);
    busy->name = name_ref(keep->errand.room);
    table_add(&owner->busy_groups, &busy->link, busy->name->hash);
    errand_to_store(&keep->errand, NULL, keep_at_store, keep_stored);
}

/* ---- the calls ---- */

/* A hash is enough to choose an owner, but a busy group is found by its name. */
static struct name *group_name(const struct keep *what)
{
    char text[64 + 1 + 512];
    size_t length = what->space.length;
    memcpy(text, what->space.at, length);
    text[length++] = 0x1f;
    memcpy(text + length, what->group.at, what->group.length);
    return name_create_any((struct text){text, length + what->group.length});
}

static size_t texts_of(const struct keep *what)
{
    size_t size = what->space.length + what->group.length;
    for (uint32_t i = 0; i < what->count; i++)
        size += what->ops[i].key.length + what->ops[i].value.length;
    return size;
}

static struct text text_copy(char **to, struct text from)
{
    struct text copy = {*to, from.length};
    if (from.length)
        memcpy(*to, from.at, from.length);
    *to += from.length;
    return copy;
}

static void op_copy(struct chatup_op *op, char **to)
{
    struct text key = text_copy(to, (struct text){op->key.at, op->key.length});
    struct text value = text_copy(to, (struct text){op->value.at, op->value.length});
    op->key = (struct chatup_text){key.at, key.length};
    op->value = (struct chatup_text){value.at, value.length};
}

void embedded_keep(struct broker *broker, const struct keep *what, broker_kept *done, void *arg)
{
    struct name *name = group_name(what);
    struct keep_errand *keep = errand_create(
        broker, name, sizeof *keep + what->count * sizeof *keep->ops + texts_of(what) + 1);
    char *to = (char *)(keep->ops + what->count);
    name_unref(name);
    keep->what = *what;
    keep->what.space = text_copy(&to, what->space);
    keep->what.group = text_copy(&to, what->group);
    memcpy(keep->ops, what->ops, what->count * sizeof *keep->ops);
    keep->what.ops = keep->ops;
    for (uint32_t i = 0; i < what->count; i++)
        op_copy(&keep->ops[i], &to);
    keep->done = done;
    keep->arg = arg;
    errand_sets_out(&keep->errand, keep_give_up);
    errand_go(&keep->errand, keep->errand.owner->loop, keep_at_owner);
}

struct watch_letter {
    struct letter letter;
    struct broker_watch *watch;
    struct home_watch *home;
};

static void watch_begins(struct letter *letter)
{
    struct watch_letter *what = (struct watch_letter *)letter;
    list_append(&what->watch->owner->watches, &what->home->link);
    watch_send(what->home);
    free(what);
}

struct broker_watch *embedded_watch(struct broker *broker, const struct keep *where,
                                    struct text key, broker_changed *changed, void *arg)
{
    struct embedded *from = embedded_of(broker);
    struct name *name = group_name(where);
    struct broker_watch *watch = xcalloc(1, sizeof *watch);
    *watch = (struct broker_watch){from, embedded_owner(from->home, name), changed, arg};
    name_unref(name);
    struct home_watch *home =
        xcalloc(1, sizeof *home + where->space.length + where->group.length + key.length + 1);
    char *to = home->storage;
    home->at.space = text_copy(&to, where->space);
    home->at.group = text_copy(&to, where->group);
    home->at.key = text_copy(&to, key);
    home->watch = watch;
    home->is_volatile = where->is_volatile;
    struct watch_letter *what = xcalloc(1, sizeof *what);
    *what = (struct watch_letter){{.deliver = watch_begins}, watch, home};
    loop_post(watch->owner->loop, &what->letter);
    return watch;
}

/* Behind what made it known to the owner. News that are away come back first. */
static void watch_ends(struct letter *letter)
{
    struct watch_letter *what = (struct watch_letter *)letter;
    struct embedded *owner = what->watch->owner;
    struct home_watch *home;
    list_for_each (home, &owner->watches, link)
        if (home->watch == what->watch)
            break;
    home->ended = true;
    if (!home->away)
        home_watch_free(home);
    free(what);
}

void embedded_unwatch(struct broker *broker, struct broker_watch *watch)
{
    struct watch_letter *what = xcalloc(1, sizeof *what);
    watch->changed = NULL;
    *what = (struct watch_letter){{.deliver = watch_ends}, watch, NULL};
    loop_post(watch->owner->loop, &what->letter);
}

/* ---- life ---- */

void keep_init(struct embedded *loop)
{
    loop->kept = keyed_create();
    loop->kept_volatile = keyed_create();
    list_init(&loop->watches);
}

void keep_load(void *arg, const struct keyed_row *row)
{
    struct embedded_home *home = arg;
    const struct keep what = {.space = row->at.space, .group = row->at.group};
    struct name *name = group_name(&what);
    keyed_load(embedded_owner(home, name)->kept, row);
    name_unref(name);
}

struct gone {
    struct embedded *owner;
    bool is_volatile;
};

static void keep_gone(void *arg, const struct keyed_place *at)
{
    const struct gone *gone = arg;
    struct home_watch *home;
    list_for_each (home, &gone->owner->watches, link)
        if (home->is_volatile == gone->is_volatile && same_place(&home->at, at))
            home->dirty = true; /* told when the walk is over */
}

/* What is on disk goes with the store's purge. A group at the store may have to be taken back: its
 * keys wait. */
void keep_expire(struct embedded *owner, int64_t now_ms)
{
    struct gone gone = {owner, true};
    struct home_watch *home;
    keyed_expire(owner->kept_volatile, now_ms, keep_gone, &gone);
    gone.is_volatile = false;
    if (!owner->busy_groups.count)
        keyed_expire(owner->kept, now_ms, keep_gone, &gone);
    list_for_each (home, &owner->watches, link)
        if (home->dirty && !home->away)
            watch_send(home);
}

void keep_finish(struct embedded *loop)
{
    struct home_watch *home, *after;
    list_for_each_safe (home, after, &loop->watches, link) {
        home_watch_free(home);
    }
    keyed_destroy(loop->kept);
    keyed_destroy(loop->kept_volatile);
    table_finish(&loop->busy_groups);
}
