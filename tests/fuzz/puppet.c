/* The plugin of fuzz_chain: its hooks are functions of that program, whose addresses are options.
 */
#include <chatup/plugin.h>
#include <stdlib.h>

struct puppet {
    int32_t (*in)(const struct chatup_host *host, struct chatup_event *event);
    int32_t (*out)(const struct chatup_host *host, struct chatup_batch *batch);
    int32_t (*join)(const struct chatup_host *host, struct chatup_visit *visit);
    const struct chatup_host *host;
};

static void *create(const struct chatup_host *host)
{
    struct puppet *puppet = calloc(1, sizeof *puppet);
    puppet->host = host;
    *(uintptr_t *)&puppet->in = (uintptr_t)host->option(host->self, 0).number;
    *(uintptr_t *)&puppet->out = (uintptr_t)host->option(host->self, 1).number;
    *(uintptr_t *)&puppet->join = (uintptr_t)host->option(host->self, 2).number;
    return puppet;
}

static int32_t in(void *shard, struct chatup_event *event)
{
    const struct puppet *puppet = shard;
    return puppet->in(puppet->host, event);
}

static int32_t out(void *shard, struct chatup_batch *batch)
{
    const struct puppet *puppet = shard;
    return puppet->out(puppet->host, batch);
}

static int32_t join(void *shard, struct chatup_visit *visit)
{
    const struct puppet *puppet = shard;
    return puppet->join(puppet->host, visit);
}

const struct chatup_plugin *chatup_plugin_v1(void)
{
    static const struct chatup_option options[] = {
        {"in", CHATUP_INT, 0, NULL, "address of a function", 0, 0, NULL, 0, NULL},
        {"out", CHATUP_INT, 0, NULL, "address of a function", 0, 0, NULL, 0, NULL},
        {"join", CHATUP_INT, 0, NULL, "address of a function", 0, 0, NULL, 0, NULL},
    };
    static const struct chatup_plugin plugin = {.size = sizeof plugin,
                                                .name = "puppet",
                                                .version = "1",
                                                .options = options,
                                                .option_count = 3,
                                                .create = create,
                                                .destroy = free,
                                                .message_in = in,
                                                .message_out = out,
                                                .join = join};
    return &plugin;
}
