#include "json.h"
#include "counters.h"

#include <jansson.h>

struct text json_text(const json_t *value)
{
    return (struct text){json_string_value(value), json_string_length(value)};
}

/* Brackets outside strings: what a parser would recurse into. */
static bool nests_within(struct text text, size_t depth)
{
    size_t level = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++level > depth)
            return false;
        else if (!in_string && (c == ']' || c == '}') && level)
            level--;
    }
    return true;
}

bool json_is_shallow(struct text text, size_t depth)
{
    if (nests_within(text, depth))
        return true;
    count_up(COUNT_too_deep_json);
    return false;
}

json_t *json_read(struct text text, size_t depth)
{
    return json_is_shallow(text, depth) ? json_loadb(text.at, text.length, 0, NULL) : NULL;
}
