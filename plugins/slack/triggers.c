#include "triggers.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

struct triggers {
    locale_t locale;    /* 0: ASCII only */
    bool concerns[256]; /* some trigger begins with that letter; or it is not of ASCII */
    uint32_t count;
    struct chatup_text folded[];
};

/* One character of valid UTF-8. */
static uint32_t next_code(const unsigned char **p, const unsigned char *end)
{
    uint32_t first = *(*p)++;
    uint32_t code = first < 0x80   ? first
                    : first < 0xe0 ? first & 0x1f
                    : first < 0xf0 ? first & 0xf
                                   : first & 7;
    while (*p < end && (**p & 0xc0) == 0x80)
        code = code << 6 | (*(*p)++ & 0x3f);
    return code;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
}

static char *put_code(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* text in lower case, to be freed; at is NULL out of memory. */
static struct chatup_text fold(locale_t locale, struct chatup_text text)
{
    char *folded = malloc(2 * text.length + 1); /* two bytes may become three, not more */
    if (!folded)
        return (struct chatup_text){NULL, 0};
    char *to = folded;
    const unsigned char *p = (const unsigned char *)text.at, *end = p + text.length;
    while (p < end) {
        uint32_t code = next_code(&p, end);
        if (code < 0x80)
            *to++ = lower((char)code);
        else
            to = put_code(to, locale ? (uint32_t)towlower_l((wint_t)code, locale) : code);
    }
    return (struct chatup_text){folded, (size_t)(to - folded)};
}

struct triggers *triggers_create(const struct chatup_value *items, uint32_t count)
{
    struct triggers *triggers = calloc(1, sizeof *triggers + count * sizeof *triggers->folded);
    if (!triggers)
        return NULL;
    triggers->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    for (; triggers->count < count; triggers->count++) {
        struct chatup_text *folded = &triggers->folded[triggers->count];
        *folded = fold(triggers->locale, items[triggers->count].text);
        if (!folded->at) {
            triggers_destroy(triggers);
            return NULL;
        }
        for (int c = 0; c < 256; c++)
            triggers->concerns[c] |= c >= 0x80 || (folded->length && lower((char)c) == *folded->at);
    }
    return triggers;
}

void triggers_destroy(struct triggers *triggers)
{
    if (!triggers)
        return;
    for (uint32_t i = 0; i < triggers->count; i++)
        free((char *)triggers->folded[i].at);
    if (triggers->locale)
        freelocale(triggers->locale);
    free(triggers);
}

static bool ascii_begins(struct chatup_text text, struct chatup_text folded)
{
    size_t i = 0;
    while (i < folded.length && i < text.length && lower(text.at[i]) == folded.at[i])
        i++;
    return i == folded.length;
}

/* Most texts are ASCII, and have hardly a letter that a trigger begins with: nothing is copied.
 *   rest_out  what was not looked at: empty, but for a text that is not ASCII */
static bool ascii_match(const struct triggers *triggers, struct chatup_text text,
                        struct chatup_text *rest_out)
{
    const char *end = text.at + text.length;
    for (; text.at < end; text.at++) {
        while (text.at < end && !triggers->concerns[(unsigned char)*text.at])
            text.at++;
        text.length = (size_t)(end - text.at);
        if (!text.length || *text.at & 0x80)
            break;
        for (uint32_t i = 0; i < triggers->count; i++)
            if (ascii_begins(text, triggers->folded[i]))
                return true;
    }
    *rest_out = (struct chatup_text){text.at, (size_t)(end - text.at)};
    return false;
}

bool triggers_match(const struct triggers *triggers, struct chatup_text text)
{
    struct chatup_text rest;
    if (ascii_match(triggers, text, &rest))
        return true;
    if (!rest.length)
        return false;
    bool found = false;
    struct chatup_text folded = fold(triggers->locale, text); /* a trigger may have begun before */
    for (uint32_t i = 0; folded.at && !found && i < triggers->count; i++)
        found = memmem(folded.at, folded.length, triggers->folded[i].at,
                       triggers->folded[i].length) != NULL;
    free((char *)folded.at);
    return found;
}
