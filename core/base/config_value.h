/* config_value.h: the text of an option as bool, number, duration, size or string, and back.
 * Failures put the bare sentence in `what` ("must be 1 to 65535"); the caller knows the place and
 * puts it in front. Any thread. */
#pragma once
#include "config.h"
#include "text.h"

/* text is NULL for what is no scalar. value_out->text is the caller's to free. */
bool config_value_read(const struct config_option *option, const char *text,
                       struct config_value *value_out, struct error *what);
/* Into out: 30s, 4KiB or 15; returns it. */
const char *config_value_print(enum config_type type, int64_t number, char *out, size_t size);
/* The position of text in choices, which ends with NULL. */
bool config_value_choose(const char *const *choices, const char *text, int64_t *index_out,
                         struct error *what);

/* "Did you mean": the candidate that is fewest typos away, if they are few. For dotted paths the
 * length of the last part decides what few is. */
struct config_guess {
    const char *word;
    struct text best; /* borrowed from the candidates; absent if none is near */
    size_t distance;  /* of best; before there is one, the first that is too far */
};

struct config_guess config_guess_start(const char *word);
void config_guess_try(struct config_guess *guess, struct text candidate);
/* what = unknown option, did you mean "best"? */
void config_guess_tell(const struct config_guess *guess, struct error *what);
