// shout.cpp: C++ behind the C interface. Messages in capitals only are published as ordinary ones,
// and who shouts too often is told so. Everything is freed by destructors; no exception leaves a hook.
#include <chatup/plugin.h>

#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

struct Shout { // one for all loops: read-only once created
    const chatup_host *host;
    int64_t allowed;
};

struct Shard { // one per loop, so that no lock is needed for what is in it
    const Shout *shout;
    std::unordered_map<std::string, int64_t> shouts;
};

std::string_view view(chatup_text text)
{
    return text.at ? std::string_view(text.at, text.length) : std::string_view();
}

bool is_shouted(std::string_view text)
{
    bool letters = false;
    for (char c : text) {
        if (c >= 'a' && c <= 'z')
            return false;
        letters |= c >= 'A' && c <= 'Z';
    }
    return letters && text.size() > 3;
}

int32_t judge(Shard &shard, chatup_event *event)
{
    static const std::string_view reply = R"({"status":"error","err":"doNotShout"})";
    const chatup_host *host = shard.shout->host;
    if (!is_shouted(view(event->msg)))
        return CHATUP_ACCEPT;
    if (shard.shouts.size() > 10000) // what users can grow has a limit
        shard.shouts.clear();
    if (++shard.shouts[std::string(view(event->sub))] > shard.shout->allowed) {
        host->set_reply(event, reply.data(), reply.size());
        return CHATUP_REJECT;
    }
    std::string quiet(view(event->msg));
    for (char &c : quiet)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return host->set_msg(event, quiet.data(), quiet.size()) ? CHATUP_FAULT : CHATUP_ACCEPT;
}

int32_t on_message_in(void *shard, chatup_event *event)
{
    try {
        return judge(*static_cast<Shard *>(shard), event);
    } catch (const std::exception &) {
        return CHATUP_FAULT;
    }
}

const chatup_option *options()
{
    static chatup_option all[1];
    all[0].name = "allowed";
    all[0].type = CHATUP_INT;
    all[0].preset = "3";
    all[0].help = "so often a user may shout, on one loop";
    all[0].max = 1000;
    return all;
}

} // namespace

const chatup_plugin *chatup_plugin_v1(void)
{
    static chatup_plugin plugin;
    plugin.size = sizeof plugin;
    plugin.name = "shout";
    plugin.version = "1.0";
    plugin.summary = "calms those who shout";
    plugin.options = options();
    plugin.option_count = 1;
    plugin.create = [](const chatup_host *host) -> void * {
        return new (std::nothrow) Shout{host, host->option(host->self, 0).number};
    };
    plugin.destroy = [](void *shout) { delete static_cast<Shout *>(shout); };
    plugin.shard_open = [](void *shout, const chatup_loop *) -> void * {
        return new (std::nothrow) Shard{static_cast<Shout *>(shout), {}};
    };
    plugin.shard_close = [](void *shard) { delete static_cast<Shard *>(shard); };
    plugin.message_in = on_message_in;
    return &plugin;
}
