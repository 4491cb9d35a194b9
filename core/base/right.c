#include "right.h"

const char *const right_names[RIGHT_COUNT] = {"read", "join", "say", "history", "users"};

unsigned right_of(struct text word)
{
    for (size_t i = 0; i < RIGHT_COUNT; i++)
        if (text_is(word, right_names[i]))
            return 1u << i;
    return 0;
}
