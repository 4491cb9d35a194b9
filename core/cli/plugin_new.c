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
    "usage: chatup plugin new NAME [--lang c|cpp] [--dir DIR]\n"
    "\n"
    "Makes the directory DIR, or NAME, with a plugin that builds and passes its test:\n"
    "\n"
    "  cmake -S DIR -B DIR/build && cmake --build DIR/build && ctest --test-dir DIR/build\n";

struct project {
    const char *name, *dir;
    bool cpp;
};

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length <= 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length && name[0] > '9';
}

/* No target of CMake may be called so. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {"all", "clean", "help", "install", "package", "test"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static bool write_file(const struct project *project, const char *file, const char *template)
{
    char path[4096];
    struct buffer text = {0};
    for (const char *at = template; *at;) {
        const char *next = strstr(at, "@NAME@");
        size_t length = next ? (size_t)(next - at) : strlen(at);
        buffer_bytes(&text, at, length);
        at += length;
        if (next) {
            buffer_text(&text, project->name);
            at += sizeof "@NAME@" - 1;
        }
    }
    snprintf(path, sizeof path, "%s/%s", project->dir, file);
    FILE *out = fopen(path, "wxe");
    bool ok = out && fwrite(text.at, 1, text.length, out) == text.length;
    ok = out && !fclose(out) && ok;
    if (!ok)
        fprintf(stderr, "chatup plugin new: cannot write %s: %s\n", path, strerror(errno));
    buffer_finish(&text);
    return ok;
}

static bool write_all(const struct project *project)
{
    char source[80];
    snprintf(source, sizeof source, "%s.%s", project->name, project->cpp ? "cpp" : "c");
    return write_file(project, source, project->cpp ? template_plugin_cpp : template_plugin_c) &&
           write_file(project, "test.c", template_test_c) &&
           write_file(project, "CMakeLists.txt",
                      project->cpp ? template_cmake_cpp : template_cmake_c) &&
           write_file(project, "README.md", template_readme);
}

static int project_make(const struct project *project)
{
    const char *name = project->name, *dir = project->dir;
    if (!is_name(name) || is_reserved(name)) {
        fprintf(stderr, "chatup plugin new: %s: %s\n", name,
                is_name(name) ? "CMake means something else by that: choose another name"
                              : "a name is 1 to 64 lower case letters, digits and _, and begins "
                                "with a letter");
        return 1;
    }
    if (mkdir(dir, 0777)) {
        fprintf(stderr, "chatup plugin new: %s: %s\n", dir, strerror(errno));
        return 1;
    }
    if (!write_all(project))
        return 1;
    printf("%s/%s.%s is yours to change. To build and test it:\n\n"
           "  cmake -S %s -B %s/build && cmake --build %s/build && ctest --test-dir %s/build\n",
           dir, name, project->cpp ? "cpp" : "c", dir, dir, dir, dir);
    return 0;
}

int plugin_new(int argc, char **argv)
{
    struct project project = {0};
    const char *lang = "c";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--lang") && i + 1 < argc)
            lang = argv[++i];
        else if (!strcmp(argv[i], "--dir") && i + 1 < argc)
            project.dir = argv[++i];
        else if (argv[i][0] != '-' && !project.name)
            project.name = argv[i];
        else
            project.name = NULL, i = argc;
    }
    project.cpp = !strcmp(lang, "cpp");
    if (!project.name || (!project.cpp && strcmp(lang, "c") != 0)) {
        fputs(usage, stderr);
        return 2;
    }
    if (!project.dir)
        project.dir = project.name;
    return project_make(&project);
}
