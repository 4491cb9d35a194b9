#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
    struct chatup_text literal; /* absent: a name */
    enum template_name name;
};

struct template
{
    size_t count;
    struct part parts[];
};

static const char *const names[TEMPLATE_NAMES] = {
    [TEMPLATE_ROOM_NAME] = "room.name",
    [TEMPLATE_USER_NAME] = "user.name",
    [TEMPLATE_USER_SUB] = "user.sub",
    [TEMPLATE_MSG] = "msg",
};

/* Part that begins at at, which goes behind it; false: why says what is wrong. */
static bool next_part(const char **at, const char *end, struct part *out, char *why, size_t size)
{
    const char *begin = *at;
    if (*begin != '{') {
        const char *brace = memchr(begin, '{', (size_t)(end - begin));
        *at = brace ? brace : end;
        out->literal = (struct chatup_text){begin, (size_t)(*at - begin)};
        return true;
    }
    if (end - begin > 1 && begin[1] == '{') {
        *at = begin + 2;
        out->literal = (struct chatup_text){begin, 1};
        return true;
    }
    begin++;
    const char *close = memchr(begin, '}', (size_t)(end - begin));
    if (!close) {
        snprintf(why, size, "{%.*s is not closed; a brace itself is written {{",
                 end - begin > 40 ? 40 : (int)(end - begin), begin);
        return false;
    }
    size_t length = (size_t)(close - begin);
    for (size_t i = 0; i < TEMPLATE_NAMES; i++)
        if (strlen(names[i]) == length && memcmp(names[i], begin, length) == 0) {
            *at = close + 1;
            out->name = (enum template_name)i;
            return true;
        }
    snprintf(
        why, size,
        "{%.*s} is no field: known are {room.name}, {user.name}, {user.sub} and {msg}; a brace "
        "itself is written {{",
        length > 40 ? 40 : (int)length, begin);
    return false;
}

struct template *template_parse(struct chatup_text text, char *why, size_t size)
{
    size_t most = 1; /* a part ends where a brace is, or after a name */
    for (size_t i = 0; i < text.length; i++)
        most += 2 * (text.at[i] == '{');
    struct template *template = calloc(1, sizeof *template + most * sizeof *template->parts);
    *why = '\0';
    if (!template)
        return NULL;
    for (const char *at = text.at, *end = at + text.length; at < end; template->count++)
        if (!next_part(&at, end, &template->parts[template->count], why, size)) {
            free(template);
            return NULL;
        }
    return template;
}

void template_destroy(struct template *template)
{
    free(template);
}

static void write_escaped(FILE *out, struct chatup_text text)
{
    for (size_t i = 0; i < text.length; i++)
        switch (text.at[i]) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        default:
            putc_unlocked(text.at[i], out);
        }
}

struct chatup_text template_expand(const struct template *template,
                                   const struct chatup_text values[TEMPLATE_NAMES], bool escape)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return (struct chatup_text){NULL, 0};
    for (size_t i = 0; i < template->count; i++) {
        const struct part *part = &template->parts[i];
        struct chatup_text piece = part->literal.at ? part->literal : values[part->name];
        if (escape && !part->literal.at)
            write_escaped(out, piece);
        else if (piece.length)
            fwrite(piece.at, 1, piece.length, out);
    }
    if (fclose(out) != 0) {
        free(text);
        return (struct chatup_text){NULL, 0};
    }
    return (struct chatup_text){text, length};
}
