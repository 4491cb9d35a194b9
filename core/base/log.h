/* log.h: one line per event to standard error, as text or JSON. Never a token, never a message's
 * text. Any thread; a line is written with one call, so lines of two threads do not mix.
 *
 *   log_warn("limits.connections is %d", n);
 *   log_event(LOG_WARN, LOG_FIELDS({"room", name_text(room)}), "history is lost");
 *
 * Each place in the source that logs may write ten lines in ten seconds; what it has to say beyond
 * them is counted and told once. Fields have the names room, user, connection and plugin; the loop
 * is added by itself. Whatever a value holds, it stays one line, and JSON stays JSON. */
#pragma once
#include "text.h"
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *name; /* NULL ends the list */
    struct text value;
};

/* A place that logs: how much it said lately. Static storage, zero at first, log.c's to touch. */
struct log_site {
    _Atomic int64_t since_ms; /* when its ten seconds began */
    _Atomic uint32_t lines;   /* since then */
    /* Of the first line that was held back, under log.c's lock. */
    struct log_site *next;
    enum log_level level;
    bool listed;
    char text[160];
};

/* Also while threads are logging. Lines above the level cost one comparison. */
void log_set(enum log_level level, enum log_format format);
/*   fields  ends with an empty one; NULL: none */
__attribute__((format(printf, 4, 5))) void log_write(struct log_site *site, enum log_level level,
                                                     const struct log_field *fields,
                                                     const char *format, ...);
/* Tell what was held back, of places whose ten seconds are over. About once a second. */
void log_tick(void);
/* The same of all places: at the end. */
void log_finish(void);
/* Another clock than clock_mono_ms, for tests. */
void log_set_clock(int64_t (*mono_ms)(void));

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {NULL, {NULL, 0}}})

#define log_event(level_, fields_, ...)                                                            \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        log_write(&log_site_, level_, fields_, __VA_ARGS__);                                       \
    } while (0)
#define log_line(level_, ...) log_event(level_, NULL, __VA_ARGS__)
#define log_error(...)        log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)         log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)         log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)        log_line(LOG_DEBUG, __VA_ARGS__)
