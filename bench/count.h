/* count.h: what arrived. A message carries "#<number>:<nanoseconds>#": its number in its room, 1,
 * 2, 3 …, and when it was sent. Each reader counts what it gets against the number it waits for. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MARK_MAX = 48 };

/* Times, in buckets of 1/32 of their size. */
struct histogram {
    uint64_t buckets[64 * 32];
    uint64_t count, max_ns;
};

/* All that was counted since count_begin(). */
struct count {
    uint64_t messages;
    uint64_t gaps;       /* messages that a reader did not get before a later one */
    uint64_t duplicates; /* or that it got again */
    struct histogram latency;
};

/* What one reader has got, of the one room it reads. */
struct tally {
    uint64_t last;       /* number of its last message */
    char mark[MARK_MAX]; /* a mark that was cut by the end of a read, */
    uint8_t have;        /* and how much of it is here */
};

void count_begin(struct count *count);

/* Look for marks in a piece of a reader's stream, of any text around them that has no '#'. */
void count_text(struct count *count, struct tally *tally, const char *text, size_t length,
                uint64_t now_ns);

/* Write such a text, of exactly `length` bytes (at least MARK_MAX), without a NUL. */
void count_write(char *text, size_t length, uint64_t number, uint64_t now_ns);

uint64_t histogram_at(const struct histogram *histogram, double share);
uint64_t clock_ns(void); /* monotonic, one for all processes of a machine */
