/* process.h: what a server costs, by /proc: of a process and all that it started. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

struct usage {
    double cpu_seconds; /* user and system time */
    uint64_t rss_bytes;
};

/* Read it; all zero if there is no such process. */
struct usage process_usage(pid_t pid);
