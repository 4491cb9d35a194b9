/* A line is put together on the stack, every part within a share of it that is its own, so that no
 * part can push out another and JSON is always closed. What a site may still say is counted without
 * a lock; the lock is for those that say too much. */
#include "log.h"
#include "clock.h"
#include "loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LINE_BYTES = 4096, /* what a pipe takes in one piece */
    MESSAGE_BYTES = 1536,
    VALUE_BYTES = 256,
    FIELDS_MAX = 7,
    SITE_LINES = 10,
    SITE_MS = 10000,
};

struct line {
    char at[LINE_BYTES];
    size_t length;
};

static _Atomic int log_max = LOG_INFO, log_shape = LOG_TEXT;
static int64_t (*mono_ms)(void) = clock_mono_ms;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_site *held_back; /* sites that have something to tell */

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set(enum log_level level, enum log_format format)
{
    atomic_store(&log_max, (int)level);
    atomic_store(&log_shape, (int)format);
}

void log_set_clock(int64_t (*clock)(void))
{
    mono_ms = clock;
}

/* ---- text that cannot do harm ---- */

/* Bytes of the character at p, of which there are left; 0 if it is not UTF-8. */
static size_t character_length(const unsigned char *p, size_t left, uint32_t *code_out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = *p < 0x80   ? 1
                    : *p < 0xc2 ? 0
                    : *p < 0xe0 ? 2
                    : *p < 0xf0 ? 3
                    : *p < 0xf5 ? 4
                                : 0;
    if (length > left)
        return 0;
    uint32_t code = length < 2 ? *p : *p & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (length && (code < smallest[length] || code > 0x10ffff || (code & ~0x7ffU) == 0xd800))
        return 0;
    *code_out = code;
    return length;
}

/* What ends a line, moves a cursor or turns round what follows, in some terminal or viewer. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void put(struct line *line, const void *bytes, size_t length)
{
    assert(line->length + length < sizeof line->at);
    memcpy(line->at + line->length, bytes, length);
    line->length += length;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* At most max bytes, three more where it was cut. Quoted: as the inside of a JSON string; else
 * control characters become spaces. */
static void put_clean(struct line *line, struct text text, bool quoted, size_t max)
{
    const unsigned char *p = (const unsigned char *)text.at;
    size_t end = line->length + max;
    for (size_t left = text.length; left;) {
        char piece[8];
        uint32_t code = 0;
        size_t length = character_length(p, left, &code), size;
        if (!length)
            size = (size_t)snprintf(piece, sizeof piece, "\xef\xbf\xbd");
        else if (is_control(code))
            size = (size_t)snprintf(piece, sizeof piece, quoted ? "\\u%04x" : " ", (unsigned)code);
        else if (quoted && (code == '"' || code == '\\'))
            size = (size_t)snprintf(piece, sizeof piece, "\\%c", (char)code);
        else
            memcpy(piece, p, size = length);
        if (line->length + size > end) {
            put_text(line, "…");
            return;
        }
        put(line, piece, size);
        length = length ? length : 1;
        p += length;
        left -= length;
    }
}

static void put_string(struct line *line, struct text text, size_t max)
{
    put_text(line, "\"");
    put_clean(line, text, true, max);
    put_text(line, "\"");
}

/* Whether a value can stand after name= without quotes. */
static bool is_word(struct text text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.at[i] <= ' ' || (unsigned char)text.at[i] >= 0x7f ||
            strchr("\"\\=", text.at[i]))
            return false;
    return text.length > 0 && text.length <= VALUE_BYTES;
}

/* ---- a line ---- */

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm tm;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1000000);
    put_text(line, text);
}

static void put_field(struct line *line, bool json, const char *name, struct text value)
{
    put_text(line, json ? ",\"" : " ");
    put_text(line, name);
    put_text(line, json ? "\":" : "=");
    if (!json && is_word(value))
        put(line, value.at, value.length);
    else
        put_string(line, value, VALUE_BYTES);
}

/*   times  how often it was held back, or 0 */
static void write_line(enum log_level level, struct text message, const struct log_field *fields,
                       uint32_t times)
{
    struct line line;
    bool json = atomic_load_explicit(&log_shape, memory_order_relaxed) == LOG_JSON;
    char more[64];
    line.length = 0;
    if (json)
        put_text(&line, "{\"time\":\"");
    put_time(&line);
    if (json) {
        put_text(&line, "\",\"level\":\"");
        put_text(&line, level_names[level]);
        put_text(&line, "\",\"msg\":");
        put_string(&line, message, MESSAGE_BYTES);
    } else {
        snprintf(more, sizeof more, " %-5s ", level_names[level]);
        put_text(&line, more);
        put_clean(&line, message, false, MESSAGE_BYTES);
    }
    if (times) {
        snprintf(more, sizeof more, json ? ",\"more\":%u" : ": %u times more in %d s", times,
                 SITE_MS / 1000);
        put_text(&line, more);
    }
    for (int i = 0; fields && fields[i].name && i < FIELDS_MAX; i++)
        if (fields[i].value.at)
            put_field(&line, json, fields[i].name, fields[i].value);
    if (loop_name_here())
        put_field(&line, json, "loop", text_of(loop_name_here()));
    put_text(&line, json ? "}\n" : "\n");
    if (write(STDERR_FILENO, line.at, line.length) < 0)
        return; /* nowhere left to say so */
}

/* ---- not too many of them ---- */

/* Under the lock. */
static void site_tell(struct log_site *site)
{
    uint32_t lines = atomic_exchange(&site->lines, 0);
    if (site->listed && lines > SITE_LINES)
        write_line(site->level, text_of(site->text), NULL, lines - SITE_LINES);
    for (struct log_site **at = &held_back; site->listed && *at; at = &(*at)->next)
        if (*at == site) {
            *at = site->next;
            break;
        }
    site->listed = false;
}

/* Its ten seconds are over, or have never begun. Another thread may be here too. */
static void site_renew(struct log_site *site, int64_t now_ms)
{
    pthread_mutex_lock(&lock);
    if (!site->since_ms || now_ms - site->since_ms >= SITE_MS) {
        site_tell(site);
        site->since_ms = now_ms;
    }
    pthread_mutex_unlock(&lock);
}

static void site_hold_back(struct log_site *site, enum log_level level, const char *message)
{
    pthread_mutex_lock(&lock);
    if (!site->listed) {
        site->listed = true;
        site->level = level;
        snprintf(site->text, sizeof site->text, "%s", message);
        site->next = held_back;
        held_back = site;
    }
    pthread_mutex_unlock(&lock);
}

void log_write(struct log_site *site, enum log_level level, const struct log_field *fields,
               const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;
    if ((int)level > atomic_load_explicit(&log_max, memory_order_relaxed))
        return;
    int64_t now_ms = mono_ms(), since_ms = site->since_ms;
    if (!since_ms || now_ms - since_ms >= SITE_MS)
        site_renew(site, now_ms);
    uint32_t before = atomic_fetch_add(&site->lines, 1);
    if (before > SITE_LINES)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (before == SITE_LINES)
        site_hold_back(site, level, message);
    else
        write_line(level, text_of(message), fields, 0);
}

static void tell_all(int64_t before_ms)
{
    pthread_mutex_lock(&lock);
    for (struct log_site *site = held_back, *next; site; site = next) {
        next = site->next;
        if (site->since_ms <= before_ms)
            site_tell(site);
    }
    pthread_mutex_unlock(&lock);
}

void log_tick(void)
{
    tell_all(mono_ms() - SITE_MS);
}

void log_finish(void)
{
    tell_all(INT64_MAX);
}
