#include "tags.h"
#include "alloc.h"

static bool is_tag(struct text tag)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-_.:";
    if (!tag.at || tag.length < 1 || tag.length > TAG_BYTES_MAX)
        return false;
    for (size_t i = 0; i < tag.length; i++)
        if (!memchr(good, tag.at[i], sizeof good - 1))
            return false;
    return true;
}

/* The one that begins at at. */
static struct text tag_at(const char *at)
{
    return (struct text){at, strcspn(at, " ")};
}

static const char *tag_after(struct text tag)
{
    const char *end = tag.at + tag.length;
    return *end ? end + 1 : NULL;
}

bool tags_have(const char *tags, struct text tag)
{
    if (!is_tag(tag))
        return false;
    for (const char *at = tags; at; at = tag_after(tag_at(at)))
        if (text_equal(tag_at(at), tag))
            return true;
    return false;
}

char *tags_with(const char *tags, struct text tag)
{
    size_t count = 0, length = tags ? strlen(tags) : 0;
    if (!is_tag(tag))
        return NULL;
    if (tags_have(tags, tag))
        return xstrdup(tags);
    for (const char *at = tags; at; at = tag_after(tag_at(at)))
        count++;
    if (count == TAGS_MAX)
        return NULL;
    char *more = xmalloc(length + 1 + tag.length + 1);
    if (length) {
        memcpy(more, tags, length);
        more[length++] = ' ';
    }
    memcpy(more + length, tag.at, tag.length);
    more[length + tag.length] = 0;
    return more;
}
