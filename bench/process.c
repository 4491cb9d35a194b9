#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROCESSES = 65536 };

struct entry {
    pid_t pid, parent;
    double cpu_seconds;
    uint64_t rss_bytes;
};

static int entry_read(const char *pid, struct entry *entry_out)
{
    char path[300], text[1024];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    char *behind_name = strrchr(text, ')'); /* a program's name may have blanks and brackets */
    unsigned long user, kernel;
    long rss;
    int parent;
    if (!behind_name || sscanf(behind_name + 2,
                               "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d "
                               "%*d %*d %*d %*u %*u %ld",
                               &parent, &user, &kernel, &rss) != 4)
        return 0;
    entry_out->pid = atoi(pid);
    entry_out->parent = parent;
    entry_out->cpu_seconds = (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    entry_out->rss_bytes = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
    return 1;
}

static void usage_add(struct usage *usage, pid_t pid, const struct entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (entries[i].pid == pid) {
            usage->cpu_seconds += entries[i].cpu_seconds;
            usage->rss_bytes += entries[i].rss_bytes;
        }
        if (entries[i].parent == pid && entries[i].pid != pid)
            usage_add(usage, entries[i].pid, entries, n);
    }
}

struct usage process_usage(pid_t pid)
{
    static struct entry entries[PROCESSES];
    struct usage usage = {0, 0};
    size_t n = 0;
    DIR *proc = opendir("/proc");
    if (!proc)
        return usage;
    struct dirent *file;
    while ((file = readdir(proc)) && n < PROCESSES)
        if (isdigit((unsigned char)*file->d_name))
            n += (size_t)entry_read(file->d_name, &entries[n]);
    closedir(proc);
    usage_add(&usage, pid, entries, n);
    return usage;
}
