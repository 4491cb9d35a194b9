/* plugin_routes.h: which route of which plugin answers a path under /plugin. Any thread. */
#pragma once
#include "text.h"

#include <chatup/routes.h>

struct plugin;

/* The route for "/plugin/<name>" or "/plugin/<name>/…", matched exactly.
 *   path         of the request, without the query
 *   plugin_out   position in plugins; set unless *allowed_out is 0
 *   rest_out     what is behind /plugin/<name>, into path: "" or "/…"; set with plugin_out
 *   allowed_out  methods that the path answers, or-ed; 0: there is no such path (404)
 *   returns      NULL if the path is unknown, or is known and does not answer method (405) */
const struct chatup_route *plugin_route_find(struct plugin *const *plugins, size_t count,
                                             struct text path, uint32_t method, size_t *plugin_out,
                                             struct text *rest_out, uint32_t *allowed_out);
