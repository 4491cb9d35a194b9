#include "host.h"

#include "plugin_routes.h"

#include <chatup/bus.h>
#include <chatup/loop.h>
#include <chatup/store.h>

#define SIZE(type, size)    ck_assert_uint_eq(sizeof(struct type), size)
#define AT(type, field, at) ck_assert_uint_eq(offsetof(struct type, field), at)

/* ---- the ABI: if one of these fails, plugins out there break ---- */

START_TEST(nothing_a_plugin_sees_has_moved)
{
#if defined __x86_64__ && defined __LP64__
    SIZE(chatup_text, 16);
    AT(chatup_text, length, 8);
    SIZE(chatup_event, 144);
    AT(chatup_event, flags, 4);
    AT(chatup_event, room, 8);
    AT(chatup_event, id, 24);
    AT(chatup_event, sub, 40);
    AT(chatup_event, name, 56);
    AT(chatup_event, user, 72);
    AT(chatup_event, msg, 88);
    AT(chatup_event, ev, 104);
    AT(chatup_event, data, 120);
    AT(chatup_event, time_ms, 136);
    SIZE(chatup_message, 152);
    AT(chatup_message, flags, 4);
    AT(chatup_message, offset, 8);
    AT(chatup_message, room, 16);
    AT(chatup_message, id, 32);
    AT(chatup_message, sub, 48);
    AT(chatup_message, name, 64);
    AT(chatup_message, user, 80);
    AT(chatup_message, msg, 96);
    AT(chatup_message, ev, 112);
    AT(chatup_message, data, 128);
    AT(chatup_message, time_ms, 144);
    SIZE(chatup_batch, 32);
    AT(chatup_batch, count, 4);
    AT(chatup_batch, messages, 8);
    AT(chatup_batch, room, 16);
    SIZE(chatup_visit, 144);
    AT(chatup_visit, flags, 4);
    AT(chatup_visit, room, 8);
    AT(chatup_visit, sub, 24);
    AT(chatup_visit, name, 40);
    AT(chatup_visit, user, 56);
    AT(chatup_visit, address, 72);
    AT(chatup_visit, path, 88);
    AT(chatup_visit, origin, 104);
    AT(chatup_visit, user_agent, 120);
    AT(chatup_visit, way, 136);
    SIZE(chatup_option, 72);
    AT(chatup_option, type, 8);
    AT(chatup_option, flags, 12);
    AT(chatup_option, preset, 16);
    AT(chatup_option, help, 24);
    AT(chatup_option, min, 32);
    AT(chatup_option, max, 40);
    AT(chatup_option, children, 48);
    AT(chatup_option, child_count, 56);
    AT(chatup_option, choices, 64);
    SIZE(chatup_value, 40);
    AT(chatup_value, text, 8);
    AT(chatup_value, items, 24);
    AT(chatup_value, count, 32);
    SIZE(chatup_counter, 16);
    AT(chatup_counter, help, 8);
    SIZE(chatup_host, 168);
    AT(chatup_host, self, 8);
    AT(chatup_host, log, 16);
    AT(chatup_host, option, 24);
    AT(chatup_host, refuse, 32);
    AT(chatup_host, service, 40);
    AT(chatup_host, count, 48);
    AT(chatup_host, set_msg, 56);
    AT(chatup_host, set_reply, 64);
    AT(chatup_host, set_msg_out, 72);
    AT(chatup_host, drop, 80);
    AT(chatup_host, defer, 88);
    AT(chatup_host, resume, 96);
    AT(chatup_host, set_user, 104);
    AT(chatup_host, set_visit_reply, 112);
    AT(chatup_host, max_msg, 120);
    AT(chatup_host, defer_visit, 128);
    AT(chatup_host, tag, 136);
    AT(chatup_host, has_tag, 144);
    AT(chatup_host, tag_visit, 152);
    AT(chatup_host, visit_has_tag, 160);
    SIZE(chatup_loop, 24);
    AT(chatup_loop, index, 4);
    AT(chatup_loop, count, 8);
    AT(chatup_loop, self, 16);
    SIZE(chatup_plugin, 200);
    AT(chatup_plugin, flags, 4);
    AT(chatup_plugin, name, 8);
    AT(chatup_plugin, version, 16);
    AT(chatup_plugin, summary, 24);
    AT(chatup_plugin, options, 32);
    AT(chatup_plugin, option_count, 40);
    AT(chatup_plugin, route_count, 44);
    AT(chatup_plugin, routes, 48);
    AT(chatup_plugin, counters, 56);
    AT(chatup_plugin, counter_count, 64);
    AT(chatup_plugin, reserved, 68);
    AT(chatup_plugin, needs, 72);
    AT(chatup_plugin, create, 80);
    AT(chatup_plugin, destroy, 88);
    AT(chatup_plugin, shard_open, 96);
    AT(chatup_plugin, shard_close, 104);
    AT(chatup_plugin, message_in, 112);
    AT(chatup_plugin, message_out, 120);
    AT(chatup_plugin, cancelled, 128);
    AT(chatup_plugin, auth, 136);
    AT(chatup_plugin, join, 144);
    AT(chatup_plugin, leave, 152);
    AT(chatup_plugin, state_save, 160);
    AT(chatup_plugin, state_load, 168);
    AT(chatup_plugin, drain, 176);
    AT(chatup_plugin, connect, 184);
    AT(chatup_plugin, left, 192);
    SIZE(chatup_request, 56);
    AT(chatup_request, method, 4);
    AT(chatup_request, path, 8);
    AT(chatup_request, query, 24);
    AT(chatup_request, body, 40);
    SIZE(chatup_response, 40);
    AT(chatup_response, status, 4);
    AT(chatup_response, content_type, 8);
    AT(chatup_response, body, 24);
    SIZE(chatup_route, 40);
    AT(chatup_route, access, 4);
    AT(chatup_route, path, 8);
    AT(chatup_route, max_body, 16);
    AT(chatup_route, handle, 24);
    AT(chatup_route, role, 32);
    SIZE(chatup_routes, 24);
    AT(chatup_routes, later, 8);
    AT(chatup_routes, respond, 16);
    SIZE(chatup_loop_service, 64);
    AT(chatup_loop_service, wall_ms, 8);
    AT(chatup_loop_service, mono_ms, 16);
    AT(chatup_loop_service, timer, 24);
    AT(chatup_loop_service, timer_cancel, 32);
    AT(chatup_loop_service, watch, 40);
    AT(chatup_loop_service, post, 48);
    AT(chatup_loop_service, hold, 56);
    SIZE(chatup_op, 64);
    AT(chatup_op, flags, 4);
    AT(chatup_op, key, 8);
    AT(chatup_op, value, 24);
    AT(chatup_op, number, 40);
    AT(chatup_op, ttl_ms, 48);
    AT(chatup_op, period_ms, 56);
    SIZE(chatup_result, 48);
    AT(chatup_result, count, 4);
    AT(chatup_result, number, 8);
    AT(chatup_result, ttl_ms, 16);
    AT(chatup_result, value, 24);
    AT(chatup_result, members, 40);
    SIZE(chatup_answer, 24);
    AT(chatup_answer, status, 4);
    AT(chatup_answer, happened, 8);
    AT(chatup_answer, count, 12);
    AT(chatup_answer, results, 16);
    SIZE(chatup_store, 24);
    AT(chatup_store, run, 8);
    AT(chatup_store, watch, 16);
    SIZE(chatup_publication, 88);
    AT(chatup_publication, reserved, 4);
    AT(chatup_publication, room, 8);
    AT(chatup_publication, msg, 24);
    AT(chatup_publication, ev, 40);
    AT(chatup_publication, data, 56);
    AT(chatup_publication, user, 72);
    SIZE(chatup_bus, 32);
    AT(chatup_bus, publish, 8);
    AT(chatup_bus, ban, 16);
    AT(chatup_bus, kick, 24);
#endif
    ck_assert_uint_eq(CHATUP_ACCEPT, 0);
    ck_assert_uint_eq(CHATUP_REJECT, 1);
    ck_assert_uint_eq(CHATUP_CONSUME, 2);
    ck_assert_uint_eq(CHATUP_DEFER, 3);
    ck_assert_uint_eq(CHATUP_FAULT, 4);
    ck_assert_uint_eq(CHATUP_STRING, 4);
    ck_assert_uint_eq(CHATUP_DEBUG, 3);
    ck_assert_uint_eq(CHATUP_DELETE, 8);
}
END_TEST

/* ---- loading ---- */

static struct plugin *load(const struct config *conf, size_t index)
{
    struct error err = {""};
    struct plugin *plugin = plugin_load(conf, index, NULL, &err);
    ck_assert_msg(plugin != NULL, "%s", err.text);
    return plugin;
}

/* The only plugin of a YAML is refused with exactly these words. */
static void refused(const char *plugins, const char *message)
{
    struct config *conf = config_of(plugins);
    struct error err = {""};
    ck_assert_ptr_null(plugin_load(conf, 0, NULL, &err));
    ck_assert_str_eq(err.text, message);
    config_destroy(conf);
}

START_TEST(a_plugin_is_loaded_with_its_options)
{
    struct config *conf =
        config_of("  - {name: probe, on_error: open, config: {tag: grün, size: 2KiB}}\n");
    struct plugin *plugin = load(conf, 0);
    void *self = plugin->host.self;
    ck_assert_str_eq(plugin->name, "probe");
    ck_assert_str_eq(plugin->api.summary, "misbehaves on order");
    ck_assert_int_eq(plugin->on_error, ON_ERROR_OPEN);
    ck_assert_ptr_nonnull(plugin->self);
    ck_assert_uint_eq(plugin->host.size, sizeof(struct chatup_host));
    ck_assert_str_eq(plugin->host.option(self, 0).text.at, "accept");
    ck_assert_str_eq(plugin->host.option(self, 1).text.at, "grün");
    ck_assert_uint_eq(plugin->host.option(self, 1).text.length, 5);
    ck_assert_int_eq(plugin->host.option(self, 2).number, 0);
    ck_assert_int_eq(plugin->host.option(self, 3).number, 30000);
    ck_assert_int_eq(plugin->host.option(self, 4).number, 2048);
    ck_assert_int_eq(plugin->host.option(self, 5).number, 1);
    plugin_unload(plugin);
    config_destroy(conf);
}
END_TEST

START_TEST(a_file_that_is_no_plugin_is_refused)
{
    size_t length;
    char *bytes = read_all(TEST_PLUGINS "/fine.so", &length);
    char magic[] = "ELF, it says";
    write_file("short.so", bytes, length / 2);
    write_file("stub.so", bytes, 20);
    write_file("text.so", magic, sizeof magic);
    write_file("empty.so", "", 0);
    free(bytes);
    refused("  - {name: nowhere}\n",
            "plugin nowhere: cannot read " TEST_PLUGINS
            "/nowhere.so: No such file or directory; its "
            "place is plugins_dir/<name>.so, or what its entry in the YAML says as file");
    refused("  - {name: folder, file: /tmp}\n", "plugin folder: /tmp is no regular file");
    refused("  - {name: text, file: text.so}\n",
            "plugin text: text.so is no shared object: build it with -shared -fPIC");
    refused("  - {name: empty, file: empty.so}\n",
            "plugin empty: empty.so is no shared object: build it with -shared -fPIC");
    refused("  - {name: short, file: short.so}\n",
            "plugin short: short.so is cut short: copy it again");
    refused("  - {name: stub, file: stub.so}\n",
            "plugin stub: stub.so is cut short: copy it again");
}
END_TEST

START_TEST(a_program_is_no_plugin)
{
    struct config *conf = config_of("  - {name: true, file: /bin/true}\n");
    struct error err = {""};
    ck_assert_ptr_null(plugin_load(conf, 0, NULL, &err));
    ck_assert_int_eq(strncmp(err.text, "plugin true: cannot open /bin/true: ", 36), 0);
    ck_assert_ptr_null(strstr(err.text, "/proc/"));
    config_destroy(conf);
}
END_TEST

static const struct {
    const char *what, *message;
} broken[] = {
    {"undefined", "cannot open " TEST_PLUGINS "/undefined.so: undefined symbol: of_nobody; it must "
                  "bring all it uses (link it with -Wl,-z,defs)"},
    {"symbol", TEST_PLUGINS
     "/symbol.so has no function chatup_plugin_v1: it is no plugin of chatup " CHATUP_VERSION
     ", or lacks CHATUP_EXPORT"},
    {"returns_null", "its chatup_plugin_v1 returned NULL: it must return a static struct"},
    {"older", "built for an older chatup (its table has 192 bytes, not 200): rebuild it "
              "against " CHATUP_VERSION "'s headers"},
    {"size", "its table claims 100000 bytes: set size to sizeof (struct chatup_plugin)"},
    {"flags", "needs what chatup " CHATUP_VERSION " does not have (flags 0x2): use a newer chatup"},
    {"no_name", "its table has no proper name: use 1 to 64 letters, digits, - and _"},
    {"bad_name", "its table has no proper name: use 1 to 64 letters, digits, - and _"},
    {"create", "its table has no create: set it"},
    {"shard", "its table has one of shard_open and shard_close: set both or none"},
    {"option_table", "its table of options is missing or longer than 256"},
    {"option_name", "its option 0 has no proper name: use 1 to 64 letters, digits, - and _"},
    {"option_type", "its option level has the unknown type 17: use one of enum chatup_option_type"},
    {"option_range", "its option level has a min above its max"},
    {"option_twice", "it has two options level: remove one"},
    {"route_table", "its table of routes is missing or longer than 256"},
    {"route_path",
     "the path of its route 1 must be \"\" or begin with \"/\", without spaces, ? and #"},
    {"route_handle", "its route /plugin/route_handle/there has no handle: set it"},
    {"route_method",
     "its route /plugin/route_method/there has the unknown methods 0x10: or CHATUP_GET "
     "and its like"},
    {"route_access",
     "its route /plugin/route_access/there has the unknown access 9: use one of enum "
     "chatup_access"},
    {"route_public", "anyone may call its route /plugin/route_public/there: allow that with "
                     "public_routes: true in its entry of the YAML, or do not load it"},
    {"route_role", "its route /plugin/route_role/there names a role: only one with "
                   "CHATUP_BEARER_JWT can, and it must not be empty"},
    {"route_twice",
     "two of its routes answer the same requests to /plugin/route_twice/here: remove one"},
};

START_TEST(what_is_wrong_with_a_plugin_is_said_with_its_name_and_the_remedy)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char yaml[100], message[600];
        snprintf(yaml, sizeof yaml, "  - {name: %s}\n", broken[i].what);
        snprintf(message, sizeof message, "plugin %s: %s", broken[i].what, broken[i].message);
        refused(yaml, message);
    }
}
END_TEST

START_TEST(a_public_route_is_allowed_by_the_yaml)
{
    struct config *conf = config_of("  - {name: route_public, public_routes: true}\n");
    plugin_unload(load(conf, 0));
    config_destroy(conf);
}
END_TEST

START_TEST(a_plugin_for_a_newer_chatup_runs)
{
    struct config *conf = config_of("  - {name: newer}\n");
    struct plugin *plugin = load(conf, 0);
    ck_assert_uint_eq(plugin->api.size, sizeof(struct chatup_plugin) + 64);
    ck_assert_str_eq(plugin->api.name, "broken");
    plugin_unload(plugin);
    config_destroy(conf);
}
END_TEST

START_TEST(an_option_is_refused_with_its_place)
{
    refused("  - {name: probe, config: {moed: fault}}\n",
            "chatup.yaml:3:28: plugins[0].config.moed: unknown option, did you mean \"mode\"?");
    refused("  - {name: option_needed}\n",
            "chatup.yaml:3:5: plugins[0].config.level: is missing, the plugin needs it");
    refused(
        "  - {name: option_preset}\n",
        "chatup.yaml:3:5: plugins[0].config.level: the plugin's own default is wrong: it must be a "
        "whole number");
    refused("  - {name: probe, config: {mode: refuse}}\n",
            "chatup.yaml:3:28: plugins[0].config.mode: plugin probe: is not to my liking");
    refused("  - {name: probe, config: {mode: refuse_and_start}}\n",
            "chatup.yaml:3:28: plugins[0].config.mode: plugin probe: is not to my liking");
    refused("  - {name: probe, config: {mode: refuse_whole}}\n",
            "plugin probe: refused to start: not today");
    refused("  - {name: probe, config: {mode: null_create}}\n",
            "plugin probe: its create refused to start and gave no reason");
}
END_TEST

START_TEST(what_a_plugin_logs_has_its_name)
{
    struct config *conf = config_of(
        "  - {name: talker, file: " TEST_PLUGINS "/probe.so, config: {mode: log}}\n"
        "  - {name: asker, file: " TEST_PLUGINS "/probe.so, config: {mode: unknown_option}}\n");
    int saved = log_begin();
    plugin_unload(load(conf, 0));
    plugin_unload(load(conf, 1));
    char *log = log_end(saved);
    ck_assert_ptr_nonnull(strstr(log, "warn  hello log plugin=talker\n"));
    ck_assert_ptr_nonnull(
        strstr(log, "error it asked for its option 99, but has only 6 plugin=asker\n"));
    free(log);
    config_destroy(conf);
}
END_TEST

/* ---- the private copy ---- */

START_TEST(a_replaced_file_is_new_code_for_the_next_load_only)
{
    size_t length;
    char *bytes = read_all(TEST_PLUGINS "/probe.so", &length);
    write_file("x.so", bytes, length);
    free(bytes);
    struct config *conf = config_of("  - {name: x, file: x.so}\n");
    struct plugin *before = load(conf, 0);
    bytes = read_all(TEST_PLUGINS "/fine.so", &length);
    write_file("x.so", bytes, length); /* in place: the worst way to do it */
    free(bytes);
    struct plugin *after = load(conf, 0);
    ck_assert_str_eq(before->api.name, "probe");
    ck_assert_str_eq(after->api.name, "broken");
    struct chatup_event event = {.size = sizeof event};
    ck_assert_int_eq(before->api.message_in(before->self, &event), CHATUP_ACCEPT);
    plugin_unload(before);
    plugin_unload(after);
    config_destroy(conf);
}
END_TEST

START_TEST(a_library_that_stays_mapped_is_not_taken_for_the_next_one)
{
    struct config *conf = config_of("  - {name: sticky}\n  - {name: probe}\n");
    plugin_unload(load(conf, 0));
    struct plugin *probe = load(conf, 1);
    ck_assert_str_eq(probe->api.name, "probe");
    plugin_unload(probe);
    config_destroy(conf);
}
END_TEST

START_TEST(two_entries_of_one_file_share_nothing)
{
    struct config *conf = config_of("  - {name: a, file: " TEST_PLUGINS "/fine.so}\n"
                                    "  - {name: b, file: " TEST_PLUGINS "/fine.so}\n");
    struct plugin *a = load(conf, 0), *b = load(conf, 1);
    ck_assert_ptr_ne(a->self, b->self); /* the address of a static variable */
    plugin_unload(b);
    plugin_unload(a);
    config_destroy(conf);
}
END_TEST

START_TEST(an_unloaded_plugin_leaves_no_descriptor)
{
    struct config *conf = config_of("  - {name: probe}\n  - {name: returns_null}\n");
    struct error err;
    int first = dup(0);
    for (int i = 0; i < 50; i++) {
        plugin_unload(load(conf, 0));
        ck_assert_ptr_null(plugin_load(conf, 1, NULL, &err));
    }
    int last = dup(0);
    ck_assert_int_eq(last, first + 1);
    close(first);
    close(last);
    plugin_unload(NULL);
    config_destroy(conf);
}
END_TEST

/* ---- routes ---- */

static const struct chatup_route routes_a[] = {
    {.methods = CHATUP_GET, .path = ""},
    {.methods = CHATUP_GET | CHATUP_POST, .path = "/token"},
    {.methods = CHATUP_DELETE, .path = "/token"},
};
static const struct chatup_route routes_b[] = {{.methods = CHATUP_PUT, .path = "/token"}};
static struct plugin plugin_a = {.name = "a", .api = {.routes = routes_a, .route_count = 3}};
static struct plugin plugin_b = {.name = "ab", .api = {.routes = routes_b, .route_count = 1}};
static struct plugin *const pair[] = {&plugin_a, &plugin_b};

static const struct chatup_route *find(const char *path, uint32_t method, uint32_t allowed)
{
    uint32_t methods = 99;
    size_t plugin = 77;
    struct text rest = {NULL, 55};
    const struct chatup_route *route =
        plugin_route_find(pair, 2, text_of(path), method, &plugin, &rest, &methods);
    ck_assert_uint_eq(methods, allowed);
    if (allowed) {
        ck_assert_uint_eq(plugin, strncmp(path, "/plugin/ab", 10) ? 0 : 1);
        ck_assert_ptr_eq(rest.at + rest.length, path + strlen(path));
        ck_assert_uint_eq(rest.length, strlen(path) - strlen("/plugin/a") - plugin);
    } else
        ck_assert_ptr_null(route);
    return route;
}

START_TEST(a_route_is_found_by_the_plugins_name_and_the_exact_rest)
{
    ck_assert_ptr_eq(find("/plugin/a", CHATUP_GET, CHATUP_GET), &routes_a[0]);
    ck_assert_ptr_eq(find("/plugin/a/token", CHATUP_POST, 11), &routes_a[1]);
    ck_assert_ptr_eq(find("/plugin/a/token", CHATUP_DELETE, 11), &routes_a[2]);
    ck_assert_ptr_eq(find("/plugin/ab/token", CHATUP_PUT, CHATUP_PUT), &routes_b[0]);
}
END_TEST

START_TEST(an_unknown_path_allows_nothing)
{
    const char *paths[] = {"",          "/",          "/plugin",          "/plugin/",
                           "/plugin/b", "/plugin/ab", "/plugin/a/",       "/plugin/a/tok",
                           "/pluginsa", "/plugin//a", "/plugin/a/token/", "/plugin/abc/token",
                           "plugin/a",  "/plugin/A",  "/plugin/a//token"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        find(paths[i], CHATUP_GET, 0);
}
END_TEST

START_TEST(another_method_is_told_which_are_allowed)
{
    ck_assert_ptr_null(find("/plugin/a", CHATUP_POST, CHATUP_GET));
    ck_assert_ptr_null(find("/plugin/a/token", CHATUP_PUT, 11));
    ck_assert_ptr_null(find("/plugin/a/token", 0, 11));
}
END_TEST

HOST_MAIN("plugin", nothing_a_plugin_sees_has_moved, a_plugin_is_loaded_with_its_options,
          a_file_that_is_no_plugin_is_refused, a_program_is_no_plugin,
          what_is_wrong_with_a_plugin_is_said_with_its_name_and_the_remedy,
          a_public_route_is_allowed_by_the_yaml, a_plugin_for_a_newer_chatup_runs,
          an_option_is_refused_with_its_place, what_a_plugin_logs_has_its_name,
          a_replaced_file_is_new_code_for_the_next_load_only,
          a_library_that_stays_mapped_is_not_taken_for_the_next_one,
          two_entries_of_one_file_share_nothing, an_unloaded_plugin_leaves_no_descriptor,
          a_route_is_found_by_the_plugins_name_and_the_exact_rest, an_unknown_path_allows_nothing,
          another_method_is_told_which_are_allowed)
