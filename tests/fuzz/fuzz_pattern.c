/* Patterns of channels: lines with pattern, name and sub; held against a matcher that is as simple
 * as it is slow. */
#include "fuzz.h"
#include "pattern.h"

#include <stdbool.h>

enum { NAME_BYTES = 200 };

/* pattern: as pattern.h has it, right; reach[i]: the pattern so far can stand for name[0..i). */
static bool slow_match(struct text pattern, struct text name, struct text sub)
{
    bool reach[NAME_BYTES + 1] = {true};
    for (size_t p = 0; p < pattern.length; p++) {
        bool next[NAME_BYTES + 1] = {false};
        struct text one = {pattern.at + p, 1};
        bool star = *one.at == '*';
        if (*one.at == '{') {
            one = sub;
            p += strlen("{sub}") - 1;
        } else if (*one.at == '\\') {
            one.at = pattern.at + ++p;
        }
        for (size_t i = 0; i <= name.length; i++) {
            if (star)
                next[i] = reach[i] || (i && next[i - 1]);
            else if (i >= one.length && reach[i - one.length])
                next[i] = !one.length || !memcmp(name.at + i - one.length, one.at, one.length);
        }
        memcpy(reach, next, sizeof reach);
    }
    return reach[name.length];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size};
    struct text source = fuzz_part(&rest, '\n'), name = fuzz_part(&rest, '\n'), sub = rest;
    struct pattern pattern;
    struct error what;
    if (!source.length || name.length > NAME_BYTES || !pattern_init(&pattern, source, &what))
        return 0;
    bool matches = pattern_matches(&pattern, name, sub);
    assert(matches == ((!pattern.has_sub || sub.length) && slow_match(source, name, sub)));
    assert(!matches || pattern_could_match(&pattern, name));
    pattern_reaches_over(&pattern, name);
    pattern_finish(&pattern);
    return 0;
}
