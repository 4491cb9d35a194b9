#include "config_value.h"
#include "alloc.h"

#include <inttypes.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Smallest first: a number is printed in the largest unit that leaves no rest. */
static const struct unit plain[] = {{"", 1}, {NULL, 0}};
static const struct unit durations[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {
    {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

static const struct {
    const struct unit *units; /* of numbers */
    const char *what;
} types[] = {
    [CONFIG_BOOL] = {NULL, "must be true or false"},
    [CONFIG_INT] = {plain, "must be a whole number"},
    [CONFIG_DURATION] = {durations, "must be a duration such as 500ms, 30s, 5m, 12h or 30d"},
    [CONFIG_SIZE] = {sizes, "must be a size such as 512, 4KiB or 1MiB"},
    [CONFIG_STRING] = {NULL, "must be a string"},
};

static bool read_bool(const char *text, int64_t *number)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strcmp(text, words[i])) {
            *number = i % 2;
            return true;
        }
    }
    return false;
}

/* Decimal digits and a unit, nothing else. A bare 0 needs no unit; only plain numbers have a sign.
 */
static bool read_number(const char *text, const struct unit *units, int64_t *number)
{
    bool negative = units == plain && *text == '-';
    const char *digits = text + negative, *p = digits;
    int64_t sum = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        int64_t digit = negative ? -(*p - '0') : *p - '0';
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    if (p == digits)
        return false;
    while (units->name && strcmp(units->name, p) != 0)
        units++;
    if (!units->name && (sum || *p))
        return false;
    return !__builtin_mul_overflow(sum, units->name ? units->factor : 1, number);
}

static const char *print_number(int64_t number, const struct unit *units, char *out, size_t size)
{
    const struct unit *best = units;
    for (const struct unit *unit = units; number && unit->name; unit++)
        if (number % unit->factor == 0)
            best = unit;
    snprintf(out, size, "%" PRId64 "%s", number / best->factor, number ? best->name : "");
    return out;
}

const char *config_value_print(enum config_type type, int64_t number, char *out, size_t size)
{
    return print_number(number, types[type].units ? types[type].units : plain, out, size);
}

static bool in_range(const struct config_option *option, int64_t number, struct error *what)
{
    const bool units = types[option->type].units;
    char min[32], max[32];
    if ((!option->min && !option->max) || (number >= option->min && number <= option->max))
        return true;
    config_value_print(option->type, option->min, min, sizeof min);
    config_value_print(option->type, option->max, max, sizeof max);
    if (!units && !number)
        error_set(what, "must not be empty");
    else if (!units && option->max == INT64_MAX)
        error_set(what, "must be at least %s bytes long", min);
    else if (!units)
        error_set(what, "must be %s to %s bytes long", min, max);
    else if (option->max == INT64_MAX)
        error_set(what, "must be at least %s", min);
    else
        error_set(what, "must be %s to %s", min, max);
    return false;
}

bool config_value_read(const struct config_option *option, const char *text,
                       struct config_value *value_out, struct error *what)
{
    struct config_value value = {0};
    const struct unit *units = types[option->type].units;
    bool is_string = option->type == CONFIG_STRING;
    if (!text || !(units ? read_number(text, units, &value.number)
                         : is_string || read_bool(text, &value.number))) {
        error_set(what, "%s", types[option->type].what);
        return false;
    }
    if (option->type != CONFIG_BOOL &&
        !in_range(option, is_string ? (int64_t)strlen(text) : value.number, what))
        return false;
    if (is_string)
        value.text = xstrdup(text);
    *value_out = value;
    return true;
}

bool config_value_choose(const char *const *choices, const char *text, int64_t *index_out,
                         struct error *what)
{
    const size_t last = sizeof what->text - 1;
    size_t at = (size_t)snprintf(what->text, sizeof what->text, "must be ");
    for (size_t i = 0; choices[i]; i++) {
        if (text && !strcmp(text, choices[i])) {
            *index_out = (int64_t)i;
            what->text[0] = 0;
            return true;
        }
        const char *comma = !i ? "" : choices[i + 1] ? ", " : " or ";
        at += (size_t)snprintf(what->text + at, sizeof what->text - at, "%s%s", comma, choices[i]);
        if (at > last)
            at = last; /* a plugin may have more of them than a sentence holds */
    }
    return false;
}

/* ---- did you mean ---- */

#define WORD_MAX 48

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, drop, replace or swap with their neighbour (optimal string alignment). */
static size_t typos_between(struct text a, struct text b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b.length; j++) {
            char x = a.at[i - 1], y = b.at[j - 1];
            row[j] = min_of(last[j - 1] + (x != y), min_of(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == b.at[j - 2] && y == a.at[i - 2])
                row[j] = min_of(row[j], before[j - 2] + 1);
        }
    }
    return row[b.length];
}

struct config_guess config_guess_start(const char *word)
{
    const char *dot = strrchr(word, '.');
    size_t few = (strlen(dot ? dot + 1 : word) + 2) / 3;
    return (struct config_guess){.word = word, .distance = min_of(few, 3) + 1};
}

void config_guess_try(struct config_guess *guess, struct text candidate)
{
    struct text word = text_of(guess->word);
    if (word.length > WORD_MAX || candidate.length > WORD_MAX)
        return;
    size_t distance = typos_between(word, candidate);
    if (distance < guess->distance) {
        guess->distance = distance;
        guess->best = candidate;
    }
}

void config_guess_tell(const struct config_guess *guess, struct error *what)
{
    if (guess->best.at)
        error_set(what, "unknown option, did you mean \"%.*s\"?", (int)guess->best.length,
                  guess->best.at);
    else
        error_set(what, "unknown option");
}
