/* metrics.c: GET /metrics: the counters, as Prometheus reads them (text format 0.0.4). Only for
 * networks of metrics_from: they tell how busy a site is. */
#include "address.h"
#include "buffer.h"
#include "config.h"
#include "counters.h"
#include "pipeline.h"
#include "route.h"

#include <string.h>

static const struct {
    const char *name, *help;
} metrics[] = {
#define X(name, help) {#name, help},
    COUNTERS(X)
#undef X
};

static bool is_gauge(const char *name)
{
    static const char suffix[] = "_now";
    size_t length = strlen(name);
    return length > sizeof suffix - 1 && !strcmp(name + length - (sizeof suffix - 1), suffix);
}

static void write_metric(struct buffer *out, size_t index)
{
    const char *name = metrics[index].name;
    buffer_text(out, "# HELP chatup_");
    buffer_text(out, name);
    buffer_text(out, " ");
    buffer_text(out, metrics[index].help);
    buffer_text(out, "\n# TYPE chatup_");
    buffer_text(out, name);
    buffer_text(out, is_gauge(name) ? " gauge\nchatup_" : " counter\nchatup_");
    buffer_text(out, name);
    buffer_text(out, " ");
    buffer_number(out, (int64_t)atomic_load_explicit(&counters[index], memory_order_relaxed));
    buffer_text(out, "\n");
}

void route_metrics(struct request *request)
{
    const struct config_networks *from = &request->pipeline->conf->metrics_networks;
    struct address address;
    struct buffer out = {0};
    if (!address_parse(text_of(request->address), &address) ||
        !networks_contain(from->networks, from->count, &address)) {
        request_reply_error(request, 403, "forbidden");
        return;
    }
    for (size_t i = 0; i < COUNTER_COUNT; i++)
        write_metric(&out, i);
    request->reply(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                   (struct text){out.at, out.length}, "cache-control: no-store\r\n");
    buffer_finish(&out);
}
