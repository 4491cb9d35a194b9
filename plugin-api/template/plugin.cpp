// @NAME@.cpp: says what it does here. No exception may leave a hook: the host is C.
#include <chatup/plugin.h>
#include <new>
#include <string>
#include <string_view>

namespace {

std::string_view view(chatup_text text)
{
    return text.at ? std::string_view(text.at, text.length) : std::string_view();
}

struct Plugin { // one for all loops: read-only once created
    const chatup_host *host;
    std::string word;
};

const chatup_option *options()
{
    static chatup_option all[1];
    all[0].name = "word";
    all[0].type = CHATUP_STRING;
    all[0].preset = "please";
    all[0].help = "messages without it are rejected";
    all[0].min = 1;
    all[0].max = 100;
    return all;
}

int32_t on_message_in(void *shard, chatup_event *event)
{
    static const std::string_view reply = "{\"status\":\"error\",\"err\":\"sayPlease\"}";
    const auto *plugin = static_cast<const Plugin *>(shard);
    if (!event->msg.at || view(event->msg).find(plugin->word) != std::string_view::npos)
        return CHATUP_ACCEPT;
    plugin->host->set_reply(event, reply.data(), reply.size());
    return CHATUP_REJECT;
}

void *create(const chatup_host *host)
{
    try {
        return new Plugin{host, std::string(view(host->option(host->self, 0).text))};
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void destroy(void *plugin)
{
    delete static_cast<Plugin *>(plugin);
}

} // namespace

const chatup_plugin *chatup_plugin_v1(void)
{
    static chatup_plugin plugin;
    plugin.size = sizeof plugin;
    plugin.name = "@NAME@";
    plugin.version = "0.1";
    plugin.summary = "rejects messages without a certain word";
    plugin.options = options();
    plugin.option_count = 1;
    plugin.create = create;
    plugin.destroy = destroy;
    plugin.message_in = on_message_in;
    return &plugin;
}
