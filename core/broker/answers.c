#include "answers.h"
#include "alloc.h"

struct answers *answers_create(void)
{
    struct answers *answers = xcalloc(1, sizeof *answers);
    list_init(&answers->by_age);
    return answers;
}

static bool answer_is(const struct table_link *link, const void *client_id)
{
    const struct answer *answer = list_entry(link, struct answer, link);
    return text_equal((struct text){answer->client_id, answer->length},
                      *(const struct text *)client_id);
}

static void forget(struct answers *answers, struct answer *answer)
{
    table_remove(&answers->table, &answer->link);
    list_remove(&answer->by_age);
    free(answer);
}

static struct answer *oldest(struct answers *answers)
{
    return list_entry(answers->by_age.next, struct answer, by_age);
}

void answers_destroy(struct answers *answers)
{
    if (!answers)
        return;
    while (!list_empty(&answers->by_age))
        forget(answers, oldest(answers));
    table_finish(&answers->table);
    free(answers);
}

bool answers_any(const struct answers *answers)
{
    return answers && answers->table.count;
}

struct answer *answers_find(struct answers *answers, struct text client_id)
{
    if (!answers)
        return NULL;
    struct table_link *link = table_find(
        &answers->table, table_hash(0, client_id.at, client_id.length), answer_is, &client_id);
    return link ? list_entry(link, struct answer, link) : NULL;
}

void answers_add(struct answers *answers, struct text client_id, uint64_t offset, const char *id,
                 int64_t time_ms, uint32_t max)
{
    struct answer *answer = xmalloc(sizeof *answer + client_id.length);
    answer->time_ms = time_ms;
    answer->offset = offset;
    memcpy(answer->id, id, sizeof answer->id - 1);
    answer->id[sizeof answer->id - 1] = 0;
    answer->length = client_id.length;
    memcpy(answer->client_id, client_id.at, client_id.length);
    table_add(&answers->table, &answer->link, table_hash(0, client_id.at, client_id.length));
    list_append(&answers->by_age, &answer->by_age);
    while (answers->table.count > max)
        forget(answers, oldest(answers));
}

void answers_expire(struct answers *answers, int64_t before_ms)
{
    while (answers_any(answers) && oldest(answers)->time_ms < before_ms)
        forget(answers, oldest(answers));
}

void answers_forget_above(struct answers *answers, uint64_t offset)
{
    struct answer *answer, *after;
    if (!answers)
        return;
    list_for_each_safe (answer, after, &answers->by_age, by_age)
        if (answer->offset > offset)
            forget(answers, answer);
}
