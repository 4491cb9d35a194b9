/* list.h: an intrusive doubly linked list. The head is a link that points to itself when empty.
 * Whoever owns the structs owns the list; a removed link points to itself, so removing it twice
 * does no harm. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define list_entry(link_, type, member) ((type *)((char *)(link_)-offsetof(type, member)))

/* Walk the structs of a list; only the _safe form allows the body to remove the current one. */
#define list_for_each(pos, head, member)                                                           \
    for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head);         \
         pos = list_entry(pos->member.next, __typeof__(*pos), member))
#define list_for_each_safe(pos, after, head, member)                                               \
    for (pos = list_entry((head)->next, __typeof__(*pos), member),                                 \
        after = list_entry(pos->member.next, __typeof__(*pos), member);                            \
         &pos->member != (head);                                                                   \
         pos = after, after = list_entry(after->member.next, __typeof__(*pos), member))

static inline void list_init(struct list *head)
{
    head->prev = head->next = head;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}
