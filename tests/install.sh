#!/usr/bin/env bash
# tests/install.sh BUILD: installs what was built there into a directory of its own, and does with it
# what the author of a plugin would. The last line is "N passed, N failed".
set -uo pipefail
build=$(cd "$1" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
passed=0 failed=0
step() {
    local what=$1
    shift
    if "$@" >"$root/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
        tail -40 "$root/log"
    fi
}
# says TEXT COMMAND…: it fails, and says so.
says() {
    local text=$1
    shift
    ! "$@" >"$root/says" 2>&1 </dev/null && grep -qF -- "$text" "$root/says" && return
    cat "$root/says"
    return 1
}
prefix=$root/usr
step "install" cmake --install "$build" --prefix "$prefix"
export PATH=$prefix/bin:$PATH CMAKE_PREFIX_PATH=$prefix
export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name chatup-plugin.pc)")
cd "$root" || exit 1

step "the examples build against the package" cmake -S "$prefix/share/chatup/example" -B examples
step "the examples compile" cmake --build examples
for plugin in hello shout; do
    step "$plugin is fine" chatup plugin check "examples/$plugin.so"
    step "$plugin exports one function" \
        test "$(nm -D --defined-only "examples/$plugin.so" | awk '{print $3}')" = chatup_plugin_v1
done
step "pkg-config is enough" sh -c 'cc -shared -fPIC $(pkg-config --cflags chatup-plugin) \
    -o one.so "$0"' "$prefix/share/chatup/example/hello.c"
step "and it is fine" chatup plugin check one.so
for lang in c cpp; do
    step "new $lang" chatup plugin new "mine_$lang" --lang "$lang"
    step "new $lang configures" cmake -S "mine_$lang" -B "mine_$lang/build"
    step "new $lang builds" cmake --build "mine_$lang/build"
    step "new $lang passes its test" ctest --test-dir "mine_$lang/build" --output-on-failure
    step "new $lang has a test of its own, and one that all have" \
        test "$(ctest --test-dir "mine_$lang/build" -N | grep -cE 'Test +#[0-9]+: (test|check)$')" = 2
    step "new $lang tells its options" sh -c 'chatup plugin info "$0" --json | python3 -c "$1"' \
        "mine_$lang/build/mine_$lang.so" 'import json, sys; it = json.load(sys.stdin); option, = it["options"]
assert option == {"name": "word", "type": "string", "default": "please", "secret": False, "min": 1, "max": 100,
                  "help": "messages without it are rejected"}, option
assert it["hooks"] == ["message_in"] and it["version"] == "0.1", it'
done
step "new does not overwrite" says "File exists" chatup plugin new mine_c
step "new wants a name" says "a name is" chatup plugin new 9lives
step "that CMake can live with" says "choose another name" chatup plugin new test
step "new into a directory" chatup plugin new polite --dir courtesy
step "has the plugin's name in it" grep -q 'chatup_add_plugin(polite polite.c)' courtesy/CMakeLists.txt
step "info tells options, ranges and hooks" sh -c 'chatup plugin info mine_c/build/mine_c.so | tr -s " " >info &&
    grep -q "word string messages without it are rejected \[1 to 100 bytes\]; default: please" info && grep -q "hooks: message_in" info'

# The test that comes with a plugin finds what is wrong with it, and so does check.
sed 's/return CHATUP_REJECT;/return CHATUP_ACCEPT;/' mine_c/mine_c.c >changed.c && mv changed.c mine_c/mine_c.c
step "a changed plugin builds" cmake --build mine_c/build
step "and its test fails" says "FAILED  one without it is rejected" ctest --test-dir mine_c/build -R test -V

# In other languages: the headers are all that there is to it.
if command -v rustc >/dev/null; then
    step "a plugin in Rust compiles" rustc -O --crate-type cdylib --edition 2018 -C panic=abort -o calm.so \
        "$prefix/share/chatup/example/rust/calm.rs"
    step "it is fine" chatup plugin check calm.so
    step "it exports one function" \
        test "$(nm -D --defined-only calm.so | awk '{print $3}')" = chatup_plugin_v1
    cat >calm.c <<'TEXT'
#include <chatup/test.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    char why[200];
    struct chatup_test *test = chatup_test_open("./calm.so", "{letters: 5}", 1, why, sizeof why);
    if (!test)
        return puts(why);
    const struct chatup_test_said *said = chatup_test_say(test, 0, "lobby", "u1", "Ann", "ÜBER ALLES!");
    chatup_test_run(test);
    int good = said->msg && !strcmp(said->msg, "über alles!");
    said = chatup_test_say(test, 0, "lobby", "u1", "Ann", "OK");
    chatup_test_run(test);
    good = good && said->msg && !strcmp(said->msg, "OK");
    chatup_test_close(test);
    return !good;
}
TEXT
    step "and calms who shouts" sh -c 'cc -o calm calm.c $(pkg-config --cflags --libs --static chatup-plugin-test) && ./calm'
else
    echo "rustc is not there: the plugin in Rust is not tried"
fi

# A server with two of them says so.
mkdir served
cat >served/chatup.yaml <<TEXT
listen: { address: 127.0.0.1, port: 0 }
data_dir: $root/served
durability: memory
plugins:
  - { name: mine_cpp, file: $root/mine_cpp/build/mine_cpp.so, config: { word: thanks }, on_error: open }
  - { name: hello, file: $root/examples/hello.so, public_routes: true }
TEXT
coproc server { exec chatup serve --demo -c served/chatup.yaml 2>&1; }
server_pid=$server_PID
while read -r line <&"${server[0]}" && [[ $line != "chatup: "* ]]; do
    echo "$line"
done >served/log
step "list tells the plugins in their order" sh -c 'chatup plugin list -c served/chatup.yaml | tr -s " " >list &&
    grep -q "^ 1 mine_cpp 0.1 on open .*/mine_cpp.so$" list && grep -q "^ 2 hello 1.0 on closed " list &&
    grep -q "^ 3 demo .*usr/lib.*/chatup/plugins/demo.so$" list && grep -q "^ 2 hello message_out 0 " list'
url=${line#chatup: }
fetch() { python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' "${url%/}$1"; }
step "the page and the client library are served as installed" sh -c "$(declare -f fetch); url=$url; fetch / | grep -q demo.js &&
    fetch /chatup.js | grep -q ChatUpProtocol && fetch /chatup.mjs | grep -q export && fetch /chatup.css | grep -q chatup-message"
step "no more of the client than that is installed" sh -c "cd '$prefix/share/chatup/client' && ls | tr '\n' ' ' | grep -x 'demo dist examples '"
kill "$server_pid" || cat served/log
wait "$server_pid"
step "list without a server fails" says "chatup plugin list: no server is running" chatup plugin list -c served/chatup.yaml

# Each header compiles alone, in the oldest C and C++ that they promise.
for header in "$prefix"/include/chatup/*.h; do
    name=$(basename "$header")
    step "$name is C99" sh -c 'echo "#include <chatup/$1>" | cc -std=c99 -pedantic-errors -Wall -Wextra -Werror \
        -I"$2/include" -fsyntax-only -xc -' sh "$name" "$prefix"
    step "$name is C++11" sh -c 'echo "#include <chatup/$1>" | c++ -std=c++11 -pedantic-errors -Wall -Wextra \
        -Werror -I"$2/include" -fsyntax-only -xc++ -' sh "$name" "$prefix"
done

# What is wrong with a plugin is said by check, too.
cat >bad.c <<'TEXT'
#include <chatup/plugin.h>
#include <stdlib.h>
#include <unistd.h>
#if MODE == 7
int helper(void);
int helper(void)
{
    return 0;
}
#endif
extern void *json_array(void);
static void *create(const struct chatup_host *host)
{
#if MODE == 8
    json_array();
#endif
    if (MODE == 1)
        abort();
    if (MODE == 2)
        exit(0);
    if (MODE == 6)
        _exit(0);
    while (MODE == 3)
        pause();
    return (void *)host;
}
static int32_t in(void *shard, struct chatup_event *event)
{
    if (MODE == 9 && event->msg.length > 100000)
        abort();
    return MODE == 4 ? 77 : MODE == 5 ? CHATUP_DEFER : CHATUP_ACCEPT;
}
const struct chatup_plugin *chatup_plugin_v1(void)
{
    static const struct chatup_plugin plugin = {
        .size = sizeof plugin, .name = "bad", .create = create, .message_in = in};
    return &plugin;
}
TEXT
for mode in 1 2 3 4 5 6 7 8 9; do
    step "bad.so builds" cc -shared -fPIC -DMODE=$mode -I"$prefix/include" -o bad$mode.so bad.c
done
step "an abort is told" says "aborted (SIGABRT) in plugin bad1, create" chatup plugin check bad1.so
step "an exit is told" says "the process was ended in plugin bad2, create" chatup plugin check bad2.so
step "a hang is told" says "no answer in time in plugin bad3, create" chatup plugin check bad3.so
step "a wrong verdict is told" says "message_in: an ordinary text: it failed" chatup plugin check bad4.so
step "a bare deferral is told" says "message_in: an ordinary text: it failed" chatup plugin check bad5.so
step "an exit without goodbye is told" says "the process ended, or it had no answer in time: options, create" \
    chatup plugin check bad6.so
step "a second export is told" says "it exports more than chatup_plugin_v1: helper" chatup plugin check bad7.so
step "what is the program's is told" says "no library that it names has: json_array" chatup plugin check bad8.so
step "the step of a crash is told" says "it ended the process (Aborted): message_in: a megabyte" chatup plugin check bad9.so
cp examples/hello.so foreign.so
printf '\xb7\x12' | dd of=foreign.so bs=1 seek=18 conv=notrunc 2>/dev/null # e_machine
step "another machine is told" says "is for another machine: build it for this one" chatup plugin info foreign.so
printf '#include <stdlib.h>\n__attribute__((constructor)) static void end(void) { exit(0); }\n' >ends.c
step "ends.so builds" cc -shared -fPIC -o ends.so ends.c
step "a constructor that ends the process is told" says "the process was ended in plugin ends, loading" \
    chatup plugin check ends.so
step "no plugin is told" says "is no shared object" chatup plugin info bad.c

echo "$passed passed, $failed failed"
((failed == 0))
