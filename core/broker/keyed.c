#include "keyed.h"
#include "alloc.h"
#include "list.h"
#include "table.h"

#include <stdlib.h>

struct member {
    size_t length;
    char bytes[];
};

struct entry {
    struct table_link link;
    struct space *space;
    enum keyed_type type;
    int64_t number;
    int64_t expires_ms;      /* 0: never */
    struct member *text;     /* a string */
    struct member **members; /* a set, in the order of their bytes */
    int64_t *times;          /* a window, oldest first, */
    size_t first;            /* from this one on */
    size_t count, room;      /* of members, or times */
    uint64_t bytes;
    size_t group_length, key_length;
    char storage[]; /* group, key */
};

struct space {
    struct list link;
    uint64_t bytes;
    size_t length;
    char name[];
};

struct keyed {
    struct table entries;
    struct list spaces;
};

enum { ENTRY_BYTES = 160, MEMBER_BYTES = 32 }; /* what each costs beside its texts, about */

/* ---- finding ---- */

static struct space *space_find(struct keyed *keyed, struct text name, bool make)
{
    struct space *space;
    list_for_each (space, &keyed->spaces, link)
        if (text_equal((struct text){space->name, space->length}, name))
            return space;
    if (!make)
        return NULL;
    space = xcalloc(1, sizeof *space + name.length);
    space->length = name.length;
    memcpy(space->name, name.at, name.length);
    list_append(&keyed->spaces, &space->link);
    return space;
}

static struct keyed_place place_of(const struct entry *entry)
{
    return (struct keyed_place){{entry->space->name, entry->space->length},
                                {entry->storage, entry->group_length},
                                {entry->storage + entry->group_length, entry->key_length}};
}

static uint64_t hash_of(const struct keyed_place *at)
{
    uint64_t hash = table_hash(0, at->space.at, at->space.length);
    hash = table_hash(hash, at->group.at, at->group.length);
    return table_hash(hash, at->key.at, at->key.length);
}

static bool entry_is(const struct table_link *link, const void *key)
{
    const struct keyed_place *at = key;
    struct keyed_place mine = place_of(list_entry(link, struct entry, link));
    return text_equal(mine.key, at->key) && text_equal(mine.group, at->group) &&
           text_equal(mine.space, at->space);
}

static void entry_drop(struct keyed *keyed, struct entry *entry);

/* NULL: it is not there. hash: of at */
static struct entry *entry_find(const struct keyed *keyed, const struct keyed_place *at,
                                uint64_t hash)
{
    struct table_link *link = table_find(&keyed->entries, hash, entry_is, at);
    return link ? list_entry(link, struct entry, link) : NULL;
}

/* What has expired is in the table until somebody looks. */
static bool entry_lives(const struct entry *entry, int64_t now_ms)
{
    return entry && (!entry->expires_ms || entry->expires_ms > now_ms);
}

/* ---- entries ---- */

static struct member *member_create(struct text text)
{
    struct member *member = xmalloc(sizeof *member + text.length + 1);
    member->length = text.length;
    if (text.length)
        memcpy(member->bytes, text.at, text.length);
    member->bytes[text.length] = 0;
    return member;
}

static struct text member_text(const struct member *member)
{
    return (struct text){member->bytes, member->length};
}

static void entry_count(struct entry *entry)
{
    uint64_t bytes = ENTRY_BYTES + entry->group_length + entry->key_length +
                     (entry->text ? entry->text->length : 0);
    if (entry->type == KEYED_WINDOW)
        bytes += entry->room * sizeof *entry->times;
    for (size_t i = 0; entry->type == KEYED_SET && i < entry->count; i++)
        bytes += MEMBER_BYTES + entry->members[i]->length;
    entry->space->bytes += bytes - entry->bytes;
    entry->bytes = bytes;
}

static void bytes_add(struct entry *entry, int64_t more)
{
    entry->bytes += (uint64_t)more;
    entry->space->bytes += (uint64_t)more;
}

static struct entry *entry_create(struct keyed *keyed, const struct keyed_place *at, uint64_t hash,
                                  enum keyed_type type)
{
    struct entry *entry = xcalloc(1, sizeof *entry + at->group.length + at->key.length);
    entry->space = space_find(keyed, at->space, true);
    entry->type = type;
    entry->group_length = at->group.length;
    entry->key_length = at->key.length;
    memcpy(entry->storage, at->group.at, at->group.length);
    memcpy(entry->storage + at->group.length, at->key.at, at->key.length);
    entry_count(entry);
    table_add(&keyed->entries, &entry->link, hash);
    return entry;
}

static void entry_empty(struct entry *entry)
{
    for (size_t i = 0; entry->type == KEYED_SET && i < entry->count; i++)
        free(entry->members[i]);
    free(entry->text);
    free(entry->members);
    free(entry->times);
    entry->text = NULL;
    entry->members = NULL;
    entry->times = NULL;
    entry->first = entry->count = entry->room = 0;
}

static void entry_detach(struct keyed *keyed, struct entry *entry)
{
    table_remove(&keyed->entries, &entry->link);
    entry->space->bytes -= entry->bytes;
}

static void entry_free(struct entry *entry)
{
    entry_empty(entry);
    free(entry);
}

static void entry_drop(struct keyed *keyed, struct entry *entry)
{
    entry_detach(keyed, entry);
    entry_free(entry);
}

/* Where text is, or would be. */
static size_t member_place(const struct entry *entry, struct text text, bool *there_out)
{
    size_t low = 0, high = entry->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct member *member = entry->members[middle];
        size_t shared = member->length < text.length ? member->length : text.length;
        int order = shared ? memcmp(member->bytes, text.at, shared) : 0;
        if (!order)
            order = member->length < text.length ? -1 : member->length > text.length;
        if (!order) {
            *there_out = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *there_out = false;
    return low;
}

static void member_add(struct entry *entry, size_t place, struct text text)
{
    if (entry->count == entry->room) {
        entry->room = entry->room ? entry->room * 2 : 4;
        entry->members = xrealloc(entry->members, entry->room * sizeof *entry->members);
    }
    memmove(entry->members + place + 1, entry->members + place,
            (entry->count - place) * sizeof *entry->members);
    entry->members[place] = member_create(text);
    entry->count++;
    bytes_add(entry, (int64_t)(MEMBER_BYTES + text.length));
}

static void member_remove(struct entry *entry, size_t place)
{
    bytes_add(entry, -(int64_t)(MEMBER_BYTES + entry->members[place]->length));
    free(entry->members[place]);
    entry->count--;
    memmove(entry->members + place, entry->members + place + 1,
            (entry->count - place) * sizeof *entry->members);
}

/* ---- taking back ---- */

struct undo {
    struct undo *next;
    struct entry *before; /* as it was, taken out of the table; NULL: it was not there */
    bool one_time;        /* a window: its newest time is taken back; and expires_ms */
    bool one_member;      /* only that member changed: it was there or not; and expires_ms */
    bool was_there;
    int64_t expires_ms;
    struct member *member;
    size_t space_length, group_length, key_length;
    char storage[]; /* space, group, key */
};

static struct undo *undo_add(struct keyed_outcome *out, const struct keyed_place *at)
{
    struct undo *undo =
        xcalloc(1, sizeof *undo + at->space.length + at->group.length + at->key.length);
    char *to = undo->storage;
    undo->space_length = at->space.length;
    undo->group_length = at->group.length;
    undo->key_length = at->key.length;
    memcpy(to, at->space.at, at->space.length);
    memcpy(to += at->space.length, at->group.at, at->group.length);
    memcpy(to += at->group.length, at->key.at, at->key.length);
    undo->next = out->undo;
    out->undo = undo;
    return undo;
}

/* Before a key that is no set changes, and before one is replaced. */
static void undo_key(struct keyed *keyed, struct keyed_outcome *out, const struct keyed_place *at,
                     struct entry *entry, bool replaced)
{
    struct undo *undo = undo_add(out, at);
    if (!entry)
        return;
    if (replaced) {
        entry_detach(keyed, entry);
        undo->before = entry;
        return;
    }
    undo->before = xmemdup(entry, sizeof *entry + entry->group_length + entry->key_length);
    if (entry->text)
        undo->before->text = member_create(member_text(entry->text));
}

static void undo_free(struct undo *undo)
{
    if (undo->before)
        entry_free(undo->before);
    free(undo->member);
    free(undo);
}

static void undo_apply(struct keyed *keyed, struct undo *undo)
{
    const char *from = undo->storage;
    struct keyed_place at = {.space = {from, undo->space_length}};
    at.group = (struct text){from += undo->space_length, undo->group_length};
    at.key = (struct text){from + undo->group_length, undo->key_length};
    uint64_t hash = hash_of(&at);
    struct entry *entry = entry_find(keyed, &at, hash);
    if (undo->one_member) {
        bool there;
        if (!entry) /* it was emptied, and so dropped */
            entry = entry_create(keyed, &at, hash, KEYED_SET);
        size_t place = member_place(entry, member_text(undo->member), &there);
        if (there && !undo->was_there)
            member_remove(entry, place);
        else if (!there && undo->was_there)
            member_add(entry, place, member_text(undo->member));
        entry->expires_ms = undo->expires_ms;
        if (!entry->count)
            entry_drop(keyed, entry);
        return;
    }
    if (undo->one_time) {
        entry->expires_ms = undo->expires_ms;
        if (!--entry->count)
            entry_drop(keyed, entry);
        return;
    }
    if (entry)
        entry_drop(keyed, entry);
    if (undo->before) {
        undo->before->space->bytes += undo->before->bytes;
        table_add(&keyed->entries, &undo->before->link, hash);
        undo->before = NULL;
    }
}

void keyed_take_back(struct keyed *keyed, struct keyed_outcome *out)
{
    while (out->undo) {
        struct undo *undo = out->undo;
        out->undo = undo->next;
        undo_apply(keyed, undo);
        undo_free(undo);
    }
}

/* ---- a batch ---- */

struct run {
    struct keyed *keyed;
    struct keyed_place at;     /* of the op */
    uint64_t group_hash, hash; /* of at without its key, and with it */
    int64_t now_ms;
    keyed_changed *changed;
    void *arg;
    struct keyed_outcome *out;
};

static void run_to(struct run *run, const struct chatup_op *op)
{
    run->at.key = (struct text){op->key.at, op->key.length};
    run->hash = table_hash(run->group_hash, op->key.at, op->key.length);
}

/* Times of a clock that has been set back since are taken for now: else a full window would stay
 * so until it is as late again. */
static void window_settle(struct entry *entry, int64_t now_ms)
{
    for (size_t i = entry->first + entry->count; i-- > entry->first && entry->times[i] > now_ms;)
        entry->times[i] = now_ms;
}

static struct entry *run_find(const struct run *run)
{
    struct entry *entry = entry_find(run->keyed, &run->at, run->hash);
    if (entry && entry->type == KEYED_WINDOW)
        window_settle(entry, run->now_ms);
    return entry;
}

/* NULL: there is none that has not expired. */
static struct entry *run_entry(const struct run *run)
{
    struct entry *entry = run_find(run);
    return entry_lives(entry, run->now_ms) ? entry : NULL;
}

static enum keyed_type type_of(int32_t kind)
{
    switch (kind) {
    case CHATUP_OP_ADD:
        return KEYED_NUMBER;
    case CHATUP_OP_SET_ADD:
    case CHATUP_OP_SET_REMOVE:
    case CHATUP_OP_MEMBERS:
        return KEYED_SET;
    case CHATUP_OP_WINDOW:
        return KEYED_WINDOW;
    default:
        return KEYED_STRING;
    }
}

static bool any_type(int32_t kind)
{
    return kind == CHATUP_OP_SET_NEW || kind == CHATUP_OP_ABSENT || kind == CHATUP_OP_DELETE ||
           kind == CHATUP_OP_SET;
}

static int64_t ttl_of(const struct entry *entry, int64_t now_ms)
{
    return entry && entry->expires_ms ? entry->expires_ms - now_ms : 0;
}

static int64_t expiry(const struct run *run, int64_t ttl_ms)
{
    return !ttl_ms ? 0 : ttl_ms > INT64_MAX - run->now_ms ? INT64_MAX : run->now_ms + ttl_ms;
}

/* How many times of a window still count, and when the next one is free. */
static size_t window_count(const struct entry *entry, const struct chatup_op *op, int64_t now_ms,
                           int64_t *free_in_ms)
{
    *free_in_ms = 0;
    if (!entry)
        return 0;
    const int64_t *time = entry->times + entry->first, *end = time + entry->count;
    while (time < end && *time <= now_ms - op->period_ms)
        time++;
    size_t inside = (size_t)(end - time);
    if (inside >= (size_t)op->number) /* until so many of the oldest are out */
        *free_in_ms = end[-op->number] + op->period_ms - now_ms;
    return inside;
}

/* As things stand: what the op would answer, without doing anything. */
static int32_t op_would(const struct run *run, const struct chatup_op *op,
                        const struct entry *entry)
{
    int64_t free_in_ms, sum;
    bool there;
    if (entry && !any_type(op->kind) && entry->type != type_of(op->kind))
        return -1;
    switch (op->kind) {
    case CHATUP_OP_GET:
    case CHATUP_OP_DELETE:
        return entry != NULL;
    case CHATUP_OP_SET_NEW:
    case CHATUP_OP_ABSENT:
        return entry == NULL;
    case CHATUP_OP_ADD:
        return __builtin_add_overflow(entry ? entry->number : 0, op->number, &sum) ? -1 : 1;
    case CHATUP_OP_SET_ADD:
    case CHATUP_OP_SET_REMOVE:
        there = false;
        if (entry)
            member_place(entry, (struct text){op->value.at, op->value.length}, &there);
        return (op->kind == CHATUP_OP_SET_ADD) != there;
    case CHATUP_OP_WINDOW:
        return window_count(entry, op, run->now_ms, &free_in_ms) < (size_t)op->number;
    default:
        return 1;
    }
}

static void tell(const struct run *run, enum keyed_change change, const struct entry *entry,
                 struct text member)
{
    if (!run->changed)
        return;
    struct keyed_row row = {.at = run->at, .member = member};
    if (entry) {
        row.type = entry->type;
        row.number = entry->number;
        row.expires_ms = entry->expires_ms;
        if (entry->text)
            row.value = member_text(entry->text);
        if (entry->times)
            row.value = (struct text){(const char *)(entry->times + entry->first),
                                      entry->count * sizeof *entry->times};
    }
    run->changed(run->arg, change, &row);
}

/* As run_entry; one that has expired is gone then. */
static struct entry *run_entry_clean(const struct run *run)
{
    struct entry *entry = run_find(run);
    if (!entry || entry_lives(entry, run->now_ms))
        return entry;
    tell(run, KEYED_DELETE, NULL, (struct text){0});
    undo_key(run->keyed, run->out, &run->at, entry, true);
    return NULL;
}

static void do_set(const struct run *run, const struct chatup_op *op, struct entry *entry)
{
    undo_key(run->keyed, run->out, &run->at, entry, true);
    tell(run, KEYED_DELETE, NULL, (struct text){0}); /* it may have been a set */
    entry = entry_create(run->keyed, &run->at, run->hash, KEYED_STRING);
    entry->text = member_create((struct text){op->value.at, op->value.length});
    entry->expires_ms = expiry(run, op->ttl_ms);
    entry_count(entry);
    tell(run, KEYED_PUT, entry, (struct text){0});
}

static void do_add(const struct run *run, const struct chatup_op *op, struct entry *entry,
                   struct chatup_result *result)
{
    undo_key(run->keyed, run->out, &run->at, entry, false);
    if (!entry)
        entry = entry_create(run->keyed, &run->at, run->hash, KEYED_NUMBER);
    entry->number += op->number;
    if (op->ttl_ms)
        entry->expires_ms = expiry(run, op->ttl_ms);
    result->number = entry->number;
    result->ttl_ms = ttl_of(entry, run->now_ms);
    tell(run, KEYED_PUT, entry, (struct text){0});
}

static void do_member(const struct run *run, const struct chatup_op *op, struct entry *entry,
                      struct chatup_result *result)
{
    struct text text = {op->value.at ? op->value.at : "", op->value.length};
    bool there = false, adds = op->kind == CHATUP_OP_SET_ADD;
    size_t place = entry ? member_place(entry, text, &there) : 0;
    result->ok = adds != there;
    struct undo *undo = undo_add(run->out, &run->at);
    undo->one_member = true;
    undo->was_there = there;
    undo->expires_ms = entry ? entry->expires_ms : 0;
    undo->member = member_create(text);
    if (!entry && adds)
        entry = entry_create(run->keyed, &run->at, run->hash, KEYED_SET);
    if (adds && op->ttl_ms && entry->expires_ms != expiry(run, op->ttl_ms)) {
        entry->expires_ms = expiry(run, op->ttl_ms);
        tell(run, KEYED_EXPIRE, entry, (struct text){0});
    }
    if (adds && !there) {
        member_add(entry, place, text);
        tell(run, KEYED_PUT, entry, text);
    } else if (!adds && there) {
        tell(run, KEYED_REMOVE, entry, text);
        member_remove(entry, place);
        if (!entry->count)
            entry_drop(run->keyed, entry);
    }
}

static void do_members(const struct entry *entry, struct chatup_result *result)
{
    size_t count = entry ? entry->count : 0, bytes = 0;
    result->number = (int64_t)count;
    result->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        bytes += entry->members[i]->length;
    char *block = xmalloc(count * sizeof(struct chatup_text) + bytes + 1);
    struct chatup_text *members = (struct chatup_text *)block;
    char *to = block + count * sizeof *members;
    for (size_t i = 0; i < count; i++) {
        memcpy(to, entry->members[i]->bytes, entry->members[i]->length);
        members[i] = (struct chatup_text){to, entry->members[i]->length};
        to += entry->members[i]->length;
    }
    result->members = members;
}

static void time_add(struct entry *entry, int64_t now_ms)
{
    if (entry->first + entry->count == entry->room) {
        if (entry->first > entry->room / 2) { /* so each is moved once at most, on the average */
            memmove(entry->times, entry->times + entry->first, entry->count * sizeof *entry->times);
            entry->first = 0;
        } else {
            entry->room = entry->room ? entry->room * 2 : 4;
            entry->times = xrealloc(entry->times, entry->room * sizeof *entry->times);
        }
    }
    entry->times[entry->first + entry->count++] = now_ms;
}

static void do_window(const struct run *run, const struct chatup_op *op, struct entry *entry,
                      struct chatup_result *result)
{
    int64_t free_in_ms;
    size_t inside = window_count(entry, op, run->now_ms, &free_in_ms);
    result->number = (int64_t)inside;
    result->ttl_ms = free_in_ms;
    result->ok = inside < (size_t)op->number;
    if (!result->ok)
        return;
    struct undo *undo = undo_add(run->out, &run->at);
    undo->one_time = true; /* those that are too old do not come back: nobody would see them */
    undo->expires_ms = entry ? entry->expires_ms : 0;
    if (!entry)
        entry = entry_create(run->keyed, &run->at, run->hash, KEYED_WINDOW);
    entry->first += entry->count - inside;
    entry->count = inside;
    time_add(entry, run->now_ms);
    if (entry->expires_ms < run->now_ms + op->period_ms)
        entry->expires_ms = run->now_ms + op->period_ms;
    entry_count(entry);
    result->number++;
    window_count(entry, op, run->now_ms, &free_in_ms);
    result->ttl_ms = free_in_ms;
    tell(run, KEYED_PUT, entry, (struct text){0});
}

static void op_do(struct run *run, const struct chatup_op *op, struct chatup_result *result)
{
    struct entry *entry = run_entry_clean(run);
    result->ok = op_would(run, op, entry);
    if (result->ok < 0)
        return;
    switch (op->kind) {
    case CHATUP_OP_GET:
        result->ttl_ms = ttl_of(entry, run->now_ms);
        if (entry) {
            struct member *copy = member_create(member_text(entry->text));
            result->value = (struct chatup_text){copy->bytes, copy->length};
        }
        break;
    case CHATUP_OP_ABSENT:
        result->ttl_ms = ttl_of(entry, run->now_ms);
        break;
    case CHATUP_OP_SET:
        do_set(run, op, entry);
        break;
    case CHATUP_OP_SET_NEW:
        result->ttl_ms = ttl_of(entry, run->now_ms);
        if (!entry)
            do_set(run, op, entry);
        break;
    case CHATUP_OP_DELETE:
        if (entry) {
            tell(run, KEYED_DELETE, NULL, (struct text){0});
            undo_key(run->keyed, run->out, &run->at, entry, true);
        }
        break;
    case CHATUP_OP_ADD:
        do_add(run, op, entry, result);
        break;
    case CHATUP_OP_SET_ADD:
    case CHATUP_OP_SET_REMOVE:
        do_member(run, op, entry, result);
        break;
    case CHATUP_OP_MEMBERS:
        do_members(entry, result);
        break;
    case CHATUP_OP_WINDOW:
        do_window(run, op, entry, result);
        break;
    }
}

/* The results of ops that did not happen: what stood in the way. */
static void op_explain(const struct run *run, const struct chatup_op *op,
                       struct chatup_result *result)
{
    const struct entry *entry = run_entry(run);
    result->ok = op_would(run, op, entry);
    if (op->kind == CHATUP_OP_WINDOW && result->ok >= 0)
        result->number = (int64_t)window_count(entry, op, run->now_ms, &result->ttl_ms);
    else
        result->ttl_ms = ttl_of(entry, run->now_ms);
}

void keyed_run(struct keyed *keyed, struct text space, struct text group,
               const struct chatup_op *ops, uint32_t count, int64_t now_ms, uint64_t max_bytes,
               keyed_changed *changed, void *arg, struct keyed_outcome *out)
{
    struct run run = {.keyed = keyed,
                      .at = {.space = space, .group = group},
                      .now_ms = now_ms,
                      .changed = changed,
                      .arg = arg,
                      .out = out};
    run.group_hash = table_hash(table_hash(0, space.at, space.length), group.at, group.length);
    uint64_t before = keyed_bytes(keyed, space);
    *out = (struct keyed_outcome){.results = xcalloc(count, sizeof *out->results)};
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        if (!(ops[i].flags & CHATUP_MUST))
            continue;
        run_to(&run, &ops[i]);
        all &= op_would(&run, &ops[i], run_entry(&run)) == 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        run_to(&run, &ops[i]);
        if (all)
            op_do(&run, &ops[i], &out->results[i]);
        else
            op_explain(&run, &ops[i], &out->results[i]);
    }
    uint64_t after = keyed_bytes(keyed, space);
    if (after > max_bytes && after > before) {
        keyed_take_back(keyed, out);
        out->full = true;
    }
    out->answer = (struct chatup_answer){.size = sizeof out->answer,
                                         .status = out->full ? CHATUP_UNAVAILABLE : CHATUP_DONE,
                                         .happened = all && !out->full,
                                         .count = out->full ? 0 : count,
                                         .results = out->full ? NULL : out->results};
    out->count = count;
}

void keyed_outcome_finish(struct keyed_outcome *out)
{
    for (uint32_t i = 0; out->results && i < out->count; i++) {
        free((void *)out->results[i].members);
        if (out->results[i].value.at)
            free((char *)out->results[i].value.at - offsetof(struct member, bytes));
    }
    free(out->results);
    while (out->undo) {
        struct undo *undo = out->undo;
        out->undo = undo->next;
        undo_free(undo);
    }
    *out = (struct keyed_outcome){.undo = NULL};
}

/* ---- the rest ---- */

void keyed_load(struct keyed *keyed, const struct keyed_row *row)
{
    uint64_t hash = hash_of(&row->at);
    struct entry *entry = entry_find(keyed, &row->at, hash);
    bool there;
    if (!entry)
        entry = entry_create(keyed, &row->at, hash, row->type);
    entry->number = row->number;
    entry->expires_ms = row->expires_ms;
    if (row->type == KEYED_STRING) {
        free(entry->text);
        entry->text = member_create(row->value);
    } else if (row->type == KEYED_WINDOW) {
        entry->count = entry->room = row->value.length / sizeof *entry->times;
        free(entry->times);
        entry->first = 0;
        entry->times = xmemdup(row->value.at, entry->count * sizeof *entry->times);
    } else if (row->type == KEYED_SET) {
        size_t place = member_place(entry, row->member, &there);
        if (!there)
            member_add(entry, place, row->member);
        return;
    }
    entry_count(entry);
}

void keyed_look(struct keyed *keyed, const struct keyed_place *at, int64_t now_ms,
                struct chatup_result *result_out, struct chatup_text **members_out)
{
    const struct entry *entry = entry_find(keyed, at, hash_of(at));
    if (!entry_lives(entry, now_ms))
        entry = NULL;
    *result_out = (struct chatup_result){.ok = entry != NULL, .ttl_ms = ttl_of(entry, now_ms)};
    *members_out = NULL;
    if (!entry)
        return;
    result_out->number = entry->number;
    if (entry->text)
        result_out->value = (struct chatup_text){entry->text->bytes, entry->text->length};
    if (entry->type == KEYED_SET) {
        do_members(entry, result_out);
        *members_out = (struct chatup_text *)result_out->members;
    }
}

struct expiring {
    struct keyed *keyed;
    int64_t now_ms;
    void (*gone)(void *arg, const struct keyed_place *at);
    void *arg;
};

static void expire(struct table_link *link, void *arg)
{
    const struct expiring *what = arg;
    struct entry *entry = list_entry(link, struct entry, link);
    if (!entry->expires_ms || entry->expires_ms > what->now_ms)
        return;
    struct keyed_place at = place_of(entry);
    if (what->gone)
        what->gone(what->arg, &at);
    entry_drop(what->keyed, entry);
}

void keyed_expire(struct keyed *keyed, int64_t now_ms,
                  void (*gone)(void *arg, const struct keyed_place *at), void *arg)
{
    struct expiring what = {keyed, now_ms, gone, arg};
    table_walk_on(&keyed->entries, expire, &what);
}

uint64_t keyed_bytes(const struct keyed *keyed, struct text space)
{
    const struct space *found = space_find((struct keyed *)keyed, space, false);
    return found ? found->bytes : 0;
}

struct keyed *keyed_create(void)
{
    struct keyed *keyed = xcalloc(1, sizeof *keyed);
    list_init(&keyed->spaces);
    return keyed;
}

static void entry_end(struct table_link *link, void *keyed)
{
    entry_drop(keyed, list_entry(link, struct entry, link));
}

void keyed_destroy(struct keyed *keyed)
{
    if (!keyed)
        return;
    table_walk(&keyed->entries, entry_end, keyed);
    table_finish(&keyed->entries);
    struct space *space, *after;
    list_for_each_safe (space, after, &keyed->spaces, link)
        free(space);
    free(keyed);
}
