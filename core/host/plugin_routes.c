#include "plugin_routes.h"
#include "plugin.h"

#define PREFIX "/plugin/"

const struct chatup_route *plugin_route_find(struct plugin *const *plugins, size_t count,
                                             struct text path, uint32_t method, size_t *plugin_out,
                                             struct text *rest_out, uint32_t *allowed_out)
{
    const struct chatup_route *found = NULL;
    const size_t prefix = sizeof PREFIX - 1;
    size_t i = 0;
    *allowed_out = 0;
    if (path.length < prefix || memcmp(path.at, PREFIX, prefix) != 0)
        return NULL;
    struct text name = {path.at + prefix, path.length - prefix};
    const char *slash = memchr(name.at, '/', name.length);
    if (slash)
        name.length = (size_t)(slash - name.at);
    while (i < count && !text_is(name, plugins[i]->name))
        i++;
    if (i == count)
        return NULL;
    struct text rest = {name.at + name.length, path.length - prefix - name.length};
    const struct chatup_plugin *api = &plugins[i]->api;
    for (uint32_t r = 0; r < api->route_count; r++) {
        if (!text_is(rest, api->routes[r].path))
            continue;
        *allowed_out |= api->routes[r].methods;
        if (api->routes[r].methods & method)
            found = &api->routes[r];
    }
    if (*allowed_out) {
        *plugin_out = i;
        *rest_out = rest;
    }
    return found;
}
