#!/usr/bin/env bash
# Who may include whom. Every outside library has one home in core/, and a file includes headers of
# its own folder and of lower layers only. CMake's include paths enforce most of the second rule; this
# also sees what a relative path would slip past them, and the first one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wrong=0
refuse() {
    printf '%s\n' "$*"
    wrong=1
}

# ---- libraries: header, and where alone it may be included ----

home_of() {
    case $1 in
    sqlite3.h) home=core/broker/store ;;
    liburing.h) home=core/net/send_queue ;;
    openssl/ssl.h) home=core/net/ ;;
    dlfcn.h) # plugin check asks what a plugin was not linked with; it opens none
        home=core/host/plugin.c
        [[ $2 != core/cli/plugin_symbols.c ]] || home=$2
        ;;
    yaml.h) home=core/base/ ;;
    jwt.h) home=core/chat/ ;;
    hiredis/*) home=core/broker/redis ;;
    curl/*) home=nowhere ;;
    *) home= ;;
    esac
}

# ---- layers: the lower the number, the less it knows ----

layer_of() {
    case $1 in
    core/base/*) layer=0 folder=base ;;
    core/protocol/*) layer=1 folder=protocol ;;
    core/chat/*) layer=1 folder=chat ;;
    core/broker/*) layer=2 folder=broker ;;
    core/host/*) layer=2 folder=host ;;
    core/pipeline.* | core/plugins_up.* | core/limiter.* | core/settings.*) layer=3 folder=pipeline ;;
    core/routes/*) layer=4 folder=routes ;;
    core/net/*) layer=5 folder=net ;;
    core/cli/* | core/control.* | core/supervisor.* | core/systemd.* | core/trial.* | core/worker*.[ch] | core/main.c) layer=6 folder=cli ;;
    *) layer=-1 folder= ;;
    esac
}

declare -A owner
while IFS= read -r header; do
    name=${header##*/}
    [[ ! ${owner[$name]-} ]] || refuse "$header: there is a ${owner[$name]} too; headers have one name each"
    owner[$name]=$header
done < <(find core -name '*.h' | sort)

seen=0
while IFS=: read -r file line text; do
    seen=$((seen + 1))
    text=${text#*include}
    header=${text#*[<\"]}
    header=${header%%[>\"]*}
    case $file in
    plugin-api/include/*)
        [[ $header =~ ^(std[a-z]+\.h|plugin\.h|chatup/.*)$ ]] ||
            refuse "$file:$line: $header: plugins are not to need more than the C library"
        ;;
    plugins/* | plugin-api/example/*)
        [[ $text == *\"* && ${owner[${header##*/}]-} ]] &&
            refuse "$file:$line: $header is of core/: plugins include chatup/plugin.h only"
        ;;
    core/*)
        layer_of "$file"
        ((layer >= 0)) || refuse "$file: belongs to no layer"
        from=$layer from_folder=$folder
        home_of "$header" "$file"
        [[ ! $home || $file == "$home"* ]] || refuse "$file:$line: $header: its home is $home"
        if [[ $text == *\"* ]]; then
            included=${owner[${header##*/}]-}
            if [[ $header == plugin_templates.h || $header == redis_scripts.h ]]; then
                continue # made by the build, from plugin-api/template and core/broker/redis
            elif [[ ! $included ]]; then
                refuse "$file:$line: $header: is not in core/"
            else
                layer_of "$included"
                ((layer < from)) || [[ $folder == "$from_folder" ]] ||
                    refuse "$file:$line: $included lies higher, or beside"
            fi
        fi
        ;;
    esac
done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include' core plugins plugin-api)
((seen > 100)) || refuse "only $seen includes were found: has the tree moved?"

if ((wrong)); then
    echo "0 passed, 1 failed"
    exit 1
fi
echo "1 passed, 0 failed"
