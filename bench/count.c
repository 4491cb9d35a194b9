#include "count.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- times ---- */

static size_t bucket_of(uint64_t ns)
{
    if (ns < 32)
        return ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(ns);
    return (top - 4) * 32 + (ns >> (top - 5) & 31);
}

static uint64_t bucket_start(size_t bucket)
{
    if (bucket < 32)
        return bucket;
    size_t top = bucket / 32 + 4;
    return (32 + (uint64_t)bucket % 32) << (top - 5);
}

static void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->buckets[bucket_of(ns)]++;
    histogram->count++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (size_t i = 0; i < sizeof histogram->buckets / sizeof *histogram->buckets; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted)
            return bucket_start(i);
    }
    return histogram->max_ns;
}

/* ---- messages ---- */

void count_begin(struct count *count)
{
    memset(count, 0, sizeof *count);
}

static void message_counted(struct count *count, struct tally *tally, uint64_t number,
                            uint64_t sent_ns, uint64_t now_ns)
{
    count->messages++;
    if (number <= tally->last) {
        count->duplicates++;
        return;
    }
    count->gaps += number - tally->last - 1;
    tally->last = number;
    histogram_add(&count->latency, now_ns > sent_ns ? now_ns - sent_ns : 0);
}

/* The mark that begins behind a '#': 1 it is one, 0 it is none, -1 the text ends within it. */
static int mark_read(const char **at, const char *end, uint64_t *number_out, uint64_t *ns_out)
{
    const char *p = *at;
    uint64_t value[2] = {0, 0};
    static const char ends[2] = {':', '#'};
    for (int i = 0; i < 2; i++) {
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            value[i] = value[i] * 10 + (uint64_t)(*p - '0');
        if (p == end)
            return -1;
        if (*p++ != ends[i])
            return 0;
    }
    *number_out = value[0];
    *ns_out = value[1];
    *at = p;
    return 1;
}

/* A mark began in an earlier piece: complete it with what this one brings. */
static size_t mark_completed(struct count *count, struct tally *tally, const char *text,
                             size_t length, uint64_t now_ns)
{
    size_t taken = 0;
    while (taken < length && tally->have < MARK_MAX) {
        char c = text[taken++];
        tally->mark[tally->have++] = c;
        if (c == '#')
            break;
    }
    const char *at = tally->mark + 1;
    uint64_t number, ns;
    int found = mark_read(&at, tally->mark + tally->have, &number, &ns);
    if (found < 0 && tally->have < MARK_MAX)
        return taken;
    tally->have = 0;
    if (found > 0)
        message_counted(count, tally, number, ns, now_ns);
    return taken;
}

void count_text(struct count *count, struct tally *tally, const char *text, size_t length,
                uint64_t now_ns)
{
    const char *at = text, *end = text + length, *mark;
    if (tally->have)
        at += mark_completed(count, tally, text, length, now_ns);
    while (at < end && (mark = memchr(at, '#', (size_t)(end - at)))) {
        uint64_t number, ns;
        at = mark + 1;
        int found = mark_read(&at, end, &number, &ns);
        if (found > 0) {
            message_counted(count, tally, number, ns, now_ns);
        } else if (found < 0 && end - mark < MARK_MAX) {
            tally->have = (uint8_t)(end - mark);
            memcpy(tally->mark, mark, tally->have);
            return;
        }
    }
}

void count_write(char *text, size_t length, uint64_t number, uint64_t now_ns)
{
    char mark[MARK_MAX + 1];
    int n = snprintf(mark, sizeof mark, "#%llu:%llu#", (unsigned long long)number,
                     (unsigned long long)now_ns);
    memcpy(text, mark, (size_t)n);
    memset(text + n, 'x', length - (size_t)n);
}
