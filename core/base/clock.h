/* clock.h: what time it is. Any thread. What decides by time takes it as an argument, so that a
 * test can say what time it is. */
#pragma once
#include <stdint.h>
#include <time.h>

/* Milliseconds since 1970: what people and tokens mean by time. May jump. */
static inline int64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Milliseconds that never go back: what time-outs and gaps are measured by. */
static inline int64_t clock_mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The same in nanoseconds. */
static inline int64_t clock_mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What is cheapest to measure short times with: a counter of the processor where there is one that
 * counts evenly (x86-64's TSC), else nanoseconds. */
static inline int64_t clock_ticks(void)
{
#if defined __x86_64__
    return (int64_t)__builtin_ia32_rdtsc();
#else
    return clock_mono_ns();
#endif
}

/* How long a tick is. Takes 2 ms. */
static inline double clock_measure_tick_ns(void)
{
    enum { MEASURED_NS = 2000000 };
    int64_t ns = clock_mono_ns(), ticks = clock_ticks(), passed;
    while ((passed = clock_mono_ns() - ns) < MEASURED_NS)
        ;
    int64_t counted = clock_ticks() - ticks;
    return counted > 0 ? (double)passed / (double)counted : 1;
}
