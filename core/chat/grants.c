#include "grants.h"
#include "alloc.h"
#include "json.h"
#include "pattern.h"

#include <jansson.h>

struct grant {
    struct pattern pattern;
    unsigned rights; /* bits of enum right */
};

struct grants {
    struct grant *items;
    size_t count;
    char **roles;
    size_t role_count;
};

/* ---- reading ---- */

/* ["read","say"] or ["*"] */
static bool read_rights(const json_t *list, unsigned *rights_out)
{
    unsigned rights = 0;
    size_t i;
    json_t *word;
    json_array_foreach(list, i, word)
    {
        unsigned right = text_is(json_text(word), "*") ? RIGHTS_ALL : right_of(json_text(word));
        if (!right)
            return false;
        rights |= right;
    }
    *rights_out = rights;
    return json_is_array(list);
}

static bool add_grant(struct grants *grants, struct text pattern, unsigned rights)
{
    struct grant *grant = &grants->items[grants->count];
    struct error what;
    if (!pattern_init(&grant->pattern, pattern, &what))
        return false;
    grant->rights = rights;
    grants->count++;
    return true;
}

static bool read_channels(struct grants *grants, json_t *channels)
{
    size_t count = json_is_array(channels) ? json_array_size(channels) : json_object_size(channels);
    if (!channels)
        return true;
    if ((!json_is_array(channels) && !json_is_object(channels)) || count > GRANTS_PATTERNS_MAX)
        return false;
    grants->items = xcalloc(count, sizeof *grants->items);

    size_t i;
    const char *key;
    json_t *value;
    json_array_foreach(channels, i,
                       value) if (!json_is_string(value) ||
                                  !add_grant(grants, json_text(value), RIGHTS_ALL)) return false;
    json_object_foreach(channels, key, value)
    {
        unsigned rights;
        if (!read_rights(value, &rights) || !add_grant(grants, text_of(key), rights))
            return false;
    }
    return true;
}

static bool add_role(struct grants *grants, const json_t *role)
{
    if (!json_is_string(role) || grants->role_count == GRANTS_ROLES_MAX)
        return false;
    grants->roles[grants->role_count++] = xstrdup(json_string_value(role));
    return true;
}

static bool read_roles(struct grants *grants, const json_t *role, const json_t *roles)
{
    if (!role && !roles)
        return true;
    if (roles && (!json_is_array(roles) || json_array_size(roles) > GRANTS_ROLES_MAX))
        return false;
    grants->roles = xcalloc(json_array_size(roles) + 1, sizeof *grants->roles);
    if (role && !add_role(grants, role))
        return false;
    size_t i;
    json_t *item;
    json_array_foreach(roles, i, item) if (!add_role(grants, item)) return false;
    return true;
}

bool grants_read(const json_t *payload, struct grants **grants_out)
{
    json_t *channels = json_object_get(payload, "channels");
    const json_t *role = json_object_get(payload, "role"),
                 *roles = json_object_get(payload, "roles");
    if (!channels && !role && !roles) {
        *grants_out = NULL;
        return true;
    }
    struct grants *grants = xcalloc(1, sizeof *grants);
    if (!read_channels(grants, channels) || !read_roles(grants, role, roles)) {
        grants_destroy(grants);
        return false;
    }
    *grants_out = grants;
    return true;
}

void grants_destroy(struct grants *grants)
{
    if (!grants)
        return;
    for (size_t i = 0; i < grants->count; i++)
        pattern_finish(&grants->items[i].pattern);
    for (size_t i = 0; i < grants->role_count; i++)
        free(grants->roles[i]);
    free(grants->items);
    free(grants->roles);
    free(grants);
}

/* ---- asking ---- */

bool grants_name(const struct grants *grants, struct text room, struct text sub, enum right right)
{
    for (size_t i = 0; grants && i < grants->count; i++)
        if ((grants->items[i].rights & right) &&
            pattern_matches(&grants->items[i].pattern, room, sub))
            return true;
    return false;
}

bool grants_have_role(const struct grants *grants, const char *role)
{
    for (size_t i = 0; grants && i < grants->role_count; i++)
        if (!strcmp(grants->roles[i], role))
            return true;
    return false;
}
