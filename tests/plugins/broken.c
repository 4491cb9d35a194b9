/* broken.c: plugins that are wrong before they run, one per -DBROKEN_…; without any, one that is
 * fine. Fields given twice: the last one counts. */
#include <chatup/plugin.h>
#include <chatup/routes.h>

#include <stdlib.h>

static int alive;

static void *create(const struct chatup_host *host)
{
    return &alive;
}

static int32_t handle(void *shard, const struct chatup_request *request,
                      struct chatup_response *response)
{
    return CHATUP_ACCEPT;
}

static const struct chatup_option options[] = {
#if defined BROKEN_option_name
    {"", CHATUP_INT, 0, "1", "", 0, 0, NULL, 0, NULL},
#elif defined BROKEN_option_type
    {"level", 17, 0, "1", "", 0, 0, NULL, 0, NULL},
#elif defined BROKEN_option_range
    {"level", CHATUP_INT, 0, "1", "", 5, 1, NULL, 0, NULL},
#elif defined BROKEN_option_twice
    {"level", CHATUP_INT, 0, "1", "", 0, 0, NULL, 0, NULL},
    {"level", CHATUP_INT, 0, "1", "", 0, 0, NULL, 0, NULL},
#elif defined BROKEN_option_preset
    {"level", CHATUP_INT, 0, "many", "", 0, 0, NULL, 0, NULL},
#elif defined BROKEN_option_needed
    {"level", CHATUP_INT, 0, NULL, "", 0, 0, NULL, 0, NULL},
#else
    {"level", CHATUP_INT, 0, "1", "", 0, 0, NULL, 0, NULL},
#endif
};

static const struct chatup_route routes[] = {
    {CHATUP_GET | CHATUP_POST, CHATUP_BODY_JWT, "/here", 0, handle, NULL},
#if defined BROKEN_route_path
    {CHATUP_GET, CHATUP_BODY_JWT, "there", 0, handle, NULL},
#elif defined BROKEN_route_handle
    {CHATUP_GET, CHATUP_BODY_JWT, "/there", 0, NULL, NULL},
#elif defined BROKEN_route_method
    {16, CHATUP_BODY_JWT, "/there", 0, handle, NULL},
#elif defined BROKEN_route_access
    {CHATUP_GET, 9, "/there", 0, handle, NULL},
#elif defined BROKEN_route_public
    {CHATUP_GET, CHATUP_PUBLIC, "/there", 0, handle, NULL},
#elif defined BROKEN_route_role
    {CHATUP_GET, CHATUP_BODY_JWT, "/there", 0, handle, "editor"},
#elif defined BROKEN_route_twice
    {CHATUP_POST | CHATUP_PUT, CHATUP_BODY_JWT, "/here", 0, handle, NULL},
#else
    {CHATUP_PUT, CHATUP_BODY_JWT, "/here", 0, handle, NULL},
#endif
};

#if defined BROKEN_shard
static void shard_close(void *shard)
{
}
#endif

static const struct chatup_plugin broken_plugin = {
#if defined BROKEN_older
    .size = sizeof(struct chatup_plugin) - 8,
#elif defined BROKEN_newer
    .size = sizeof(struct chatup_plugin) + 64,
#elif defined BROKEN_size
    .size = 100000,
#else
    .size = sizeof(struct chatup_plugin),
#endif
#if defined BROKEN_flags
    .flags = 2,
#endif
#if defined BROKEN_no_name
    .name = NULL,
#elif defined BROKEN_bad_name
    .name = "two words",
#else
    .name = "broken",
#endif
#if !defined BROKEN_option_table
    .options = options,
#endif
    .option_count = sizeof options / sizeof *options,
#if !defined BROKEN_route_table
    .routes = routes,
#endif
    .route_count = sizeof routes / sizeof *routes,
#if !defined BROKEN_create
    .create = create,
#endif
#if defined BROKEN_shard
    .shard_close = shard_close,
#endif
};

#if defined BROKEN_symbol
#define chatup_plugin_v1 chatup_plugin_v2
CHATUP_EXPORT const struct chatup_plugin *chatup_plugin_v2(void);
#endif

#if defined BROKEN_undefined
int of_nobody(void);
#endif

const struct chatup_plugin *chatup_plugin_v1(void)
{
#if defined BROKEN_returns_null
    return NULL;
#elif defined BROKEN_undefined
    return of_nobody() ? &broken_plugin : NULL;
#elif defined BROKEN_newer
    static struct {
        struct chatup_plugin known;
        char more[64];
    } newer;
    newer.known = broken_plugin;
    return &newer.known;
#else
    return &broken_plugin;
#endif
}
