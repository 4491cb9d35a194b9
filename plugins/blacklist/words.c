#include "words.h"
#include "fold.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct node {
    uint32_t fail;   /* the longest suffix of this that is a prefix of a word */
    uint32_t next;   /* the longest suffix of this that is a word; 0: none */
    uint16_t length; /* of the word that ends here, in symbols; 0: none does */
    uint8_t kind;
};

struct edge {
    uint64_t key; /* node << 21 | code; 0: free, since no code is 0 */
    uint32_t to;
};

enum { ASCII = 128 };

struct words {
    atomic_uint refs;
    struct node *nodes; /* 0: the root */
    uint32_t count, room;
    struct edge *edges;
    uint32_t edge_count, mask;
    uint32_t first[ASCII]; /* the root's edges for ASCII again, of both cases */
};

/* ---- edges ---- */

static uint64_t key_of(uint32_t node, uint32_t code)
{
    return (uint64_t)node << 21 | code;
}

static uint32_t slot_of(uint64_t key, uint32_t mask)
{
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & mask;
}

/* 0: none; no edge leads to the root */
static uint32_t edge_find(const struct words *words, uint32_t node, uint32_t code)
{
    uint64_t key = key_of(node, code);
    for (uint32_t i = slot_of(key, words->mask);; i = (i + 1) & words->mask) {
        if (words->edges[i].key == key)
            return words->edges[i].to;
        if (!words->edges[i].key)
            return 0;
    }
}

static void edge_put(struct edge *edges, uint32_t mask, struct edge edge)
{
    uint32_t i = slot_of(edge.key, mask);
    while (edges[i].key)
        i = (i + 1) & mask;
    edges[i] = edge;
}

static int edges_grow(struct words *words)
{
    uint32_t mask = words->mask ? words->mask * 2 + 1 : 1023;
    struct edge *edges = calloc((size_t)mask + 1, sizeof *edges);
    if (!edges)
        return 0;
    for (uint32_t i = 0; words->edges && i <= words->mask; i++)
        if (words->edges[i].key)
            edge_put(edges, mask, words->edges[i]);
    free(words->edges);
    words->edges = edges;
    words->mask = mask;
    return 1;
}

/* ---- building ---- */

/* 0: no memory */
static uint32_t node_add(struct words *words, uint32_t parent, uint32_t code)
{
    if (words->count == words->room) {
        uint32_t room = words->room ? words->room * 2 : 1024;
        struct node *nodes = realloc(words->nodes, room * sizeof *nodes);
        if (!nodes)
            return 0;
        words->nodes = nodes;
        words->room = room;
    }
    if (2 * (words->edge_count + 1) > words->mask && !edges_grow(words))
        return 0;
    words->nodes[words->count] = (struct node){0};
    edge_put(words->edges, words->mask,
             (struct edge){.key = key_of(parent, code), .to = words->count});
    words->edge_count++;
    return words->count++;
}

static int word_add(struct words *words, const struct word *word, struct folded *symbols)
{
    size_t count = fold(word->text.at, word->text.length, symbols), first = 0;
    while (count && symbols[count - 1].code == ' ')
        count--;
    while (first < count && symbols[first].code == ' ')
        first++;
    if (first == count || count - first > UINT16_MAX)
        return 1;
    uint32_t node = 0;
    for (size_t i = first; i < count; i++) {
        uint32_t next = edge_find(words, node, symbols[i].code);
        if (!next && !(next = node_add(words, node, symbols[i].code)))
            return 0;
        node = next;
    }
    words->nodes[node].length = (uint16_t)(count - first);
    words->nodes[node].kind |= (uint8_t)word->kind;
    return 1;
}

struct child {
    uint32_t parent, code, node;
};

static int by_node(const void *a, const void *b)
{
    const struct child *x = a, *y = b;
    return x->node < y->node ? -1 : x->node > y->node;
}

/* Where to go on when no edge fits. A node's suffix is shorter than it, so nodes are taken in the
 * order of their depth. */
static int link_nodes(struct words *words)
{
    struct child *children = malloc((words->edge_count + 1) * sizeof *children);
    uint32_t *depth = calloc(words->count, sizeof *depth), deepest = 0, n = 0;
    if (!children || !depth) {
        free(children);
        free(depth);
        return 0;
    }
    for (uint32_t i = 0; i <= words->mask; i++)
        if (words->edges[i].key)
            children[n++] =
                (struct child){(uint32_t)(words->edges[i].key >> 21),
                               (uint32_t)(words->edges[i].key & 0x1fffff), words->edges[i].to};
    qsort(children, n, sizeof *children,
          by_node); /* a parent has a smaller number than its child */
    for (uint32_t i = 0; i < n; i++) {
        depth[children[i].node] = depth[children[i].parent] + 1;
        if (depth[children[i].node] > deepest)
            deepest = depth[children[i].node];
    }
    uint32_t *order = malloc((words->count + 1) * sizeof *order);
    uint32_t *starts = calloc((size_t)deepest + 2, sizeof *starts);
    int ok = order && starts;
    for (uint32_t i = 0; ok && i < n; i++)
        starts[depth[children[i].node] + 1]++;
    for (uint32_t d = 1; ok && d <= deepest + 1; d++)
        starts[d] += starts[d - 1];
    for (uint32_t i = 0; ok && i < n; i++)
        order[starts[depth[children[i].node]]++] = i;
    for (uint32_t i = 0; ok && i < n; i++) {
        const struct child *child = &children[order[i]];
        struct node *node = &words->nodes[child->node];
        uint32_t at = child->parent, to = 0;
        while (at) {
            at = words->nodes[at].fail;
            if ((to = edge_find(words, at, child->code)))
                break;
        }
        node->fail = to;
        node->next = words->nodes[to].length ? to : words->nodes[to].next;
    }
    free(order);
    free(starts);
    free(children);
    free(depth);
    return ok;
}

struct words *words_build(const struct word *list, size_t count)
{
    struct words *words = calloc(1, sizeof *words);
    size_t longest = 0;
    for (size_t i = 0; i < count; i++)
        if (list[i].text.length > longest)
            longest = list[i].text.length;
    struct folded *symbols = malloc(FOLDED_MAX(longest) * sizeof *symbols);
    int ok =
        words && symbols && edges_grow(words) && (words->nodes = calloc(1024, sizeof(struct node)));
    if (ok) {
        atomic_init(&words->refs, 1);
        words->room = 1024;
        words->count = 1;
    }
    for (size_t i = 0; ok && i < count; i++)
        ok = word_add(words, &list[i], symbols);
    ok = ok && link_nodes(words);
    for (uint32_t code = 1; ok && code < ASCII; code++)
        words->first[code] = edge_find(words, 0, fold_ascii(code));
    free(symbols);
    if (ok)
        return words;
    if (words) {
        free(words->nodes);
        free(words->edges);
    }
    free(words);
    return NULL;
}

struct words *words_ref(struct words *words)
{
    atomic_fetch_add(&words->refs, 1);
    return words;
}

void words_unref(struct words *words)
{
    if (!words || atomic_fetch_sub(&words->refs, 1) > 1)
        return;
    free(words->nodes);
    free(words->edges);
    free(words);
}

/* ---- finding ---- */

struct seen {                     /* a text that is searched */
    const struct folded *symbols; /* NULL: it is plain (fold.h) */
    const char *text;
    size_t count; /* of symbols */
};

static inline uint32_t code_at(const struct seen *seen, size_t i)
{
    return seen->symbols ? seen->symbols[i].code : fold_ascii((unsigned char)seen->text[i]);
}

/* No word goes on over this place between two symbols. */
static int is_boundary(const struct seen *seen, size_t place)
{
    if (place == 0 || place == seen->count)
        return 1;
    if (fold_is_mark(code_at(seen, place)))
        return 0;
    return !fold_is_word(code_at(seen, place - 1)) || !fold_is_word(code_at(seen, place));
}

/* The longest suffix of what node is, with code behind it, that is a prefix of a word. */
static uint32_t step(const struct words *words, uint32_t node, uint32_t code)
{
    for (; node; node = words->nodes[node].fail) {
        uint32_t next = edge_find(words, node, code);
        if (next)
            return next;
    }
    return code < ASCII ? words->first[code] : edge_find(words, 0, code);
}

/* Compiled twice, once for plain texts. */
static inline __attribute__((always_inline)) size_t find(const struct words *words,
                                                         const struct seen *seen, struct hit *hits,
                                                         size_t max)
{
    size_t found = 0;
    uint32_t node = 0;
    for (size_t i = 0; found < max && i < seen->count; i++) {
        if (!node && !seen->symbols) { /* most symbols of most texts */
            while (i < seen->count && !words->first[(unsigned char)seen->text[i]])
                i++;
            if (i == seen->count)
                break;
        }
        node = step(words, node, code_at(seen, i));
        for (uint32_t word = words->nodes[node].length ? node : words->nodes[node].next;
             word && found < max; word = words->nodes[word].next) {
            size_t begin = i + 1 - words->nodes[word].length;
            if (is_boundary(seen, begin) && is_boundary(seen, i + 1))
                hits[found++] = (struct hit){seen->symbols ? seen->symbols[begin].begin : begin,
                                             seen->symbols ? seen->symbols[i].end : i + 1,
                                             words->nodes[word].kind};
        }
    }
    return found;
}

size_t words_find(const struct words *words, const char *text, size_t length, struct hit *hits,
                  size_t max)
{
    enum { ON_STACK = 2048 };
    if (fold_is_plain(text, length))
        return find(words, &(struct seen){.text = text, .count = length}, hits, max);
    struct folded few[ON_STACK], *symbols = few;
    if (FOLDED_MAX(length) > ON_STACK && !(symbols = malloc(FOLDED_MAX(length) * sizeof *symbols)))
        return WORDS_NO_MEMORY;
    size_t count = fold(text, length, symbols);
    size_t found = find(words, &(struct seen){symbols, text, count}, hits, max);
    if (symbols != few)
        free(symbols);
    return found;
}
