/* chatup plugin new NAME: a project that builds, and whose test passes. The files are those of
 * plugin-api/template, which are built in; NAME in them is the plugin's. */
#include "alloc.h"
#include "buffer.h"
#include "plugin_parts.h"
#include "plugin_templates.h" /* made from plugin-api/template */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "usage: chatup plugin new NAME [--lang c|cpp]\n"
    "\n"
    "Makes the directory NAME with a plugin that builds and passes its test:\n"
    "\n"
    "  cmake -S NAME -B NAME/build && cmake --build NAME/build && ctest --test-dir NAME/build\n";

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length <= 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length && name[0] > '9';
}

static bool write_file(const char *dir, const char *file, const char *template, const char *name)
{
    char path[256];
    struct buffer text = {0};
    for (const char *at = template; *at;) {
        const char *next = strstr(at, "@NAME@");
        size_t length = next ? (size_t)(next - at) : strlen(at);
        buffer_bytes(&text, at, length);
        at += length;
        if (next) {
            buffer_text(&text, name);
            at += sizeof "@NAME@" - 1;
        }
    }
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *out = fopen(path, "wxe");
    bool ok = out && fwrite(text.at, 1, text.length, out) == text.length;
    ok = out && !fclose(out) && ok;
    if (!ok)
        fprintf(stderr, "chatup plugin new: cannot write %s: %s\n", path, strerror(errno));
    buffer_finish(&text);
    return ok;
}

int plugin_new(int argc, char **argv)
{
    const char *name = NULL, *lang = "c";
    char source[80];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--lang") && i + 1 < argc)
            lang = argv[++i];
        else if (argv[i][0] != '-' && !name)
            name = argv[i];
        else
            name = NULL, i = argc;
    }
    bool cpp = !strcmp(lang, "cpp");
    if (!name || (!cpp && strcmp(lang, "c") != 0)) {
        fputs(usage, stderr);
        return 2;
    }
    if (!is_name(name)) {
        fprintf(stderr,
                "chatup plugin new: %s: a name is 1 to 64 lower case letters, digits and _, "
                "and begins with a letter\n",
                name);
        return 1;
    }
    if (mkdir(name, 0777)) {
        fprintf(stderr, "chatup plugin new: %s: %s\n", name, strerror(errno));
        return 1;
    }
    snprintf(source, sizeof source, "%s.%s", name, cpp ? "cpp" : "c");
    if (!write_file(name, source, cpp ? template_plugin_cpp : template_plugin_c, name) ||
        !write_file(name, "CMakeLists.txt", cpp ? template_cmake_cpp : template_cmake_c, name) ||
        !write_file(name, "README.md", template_readme, name))
        return 1;
    printf("%s/%s is yours to change. To build and test it:\n\n"
           "  cmake -S %s -B %s/build && cmake --build %s/build && ctest --test-dir %s/build\n",
           name, source, name, name, name, name);
    return 0;
}
