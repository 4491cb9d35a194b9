/* The symbols of a plugin. It exports one function: a second plugin's function of the same name
 * must not meet it. And what it uses must come from it or from the libraries that it names itself:
 * what it takes from the program today is gone with the program's next version, and opens here. */
#include "alloc.h"
#include "buffer.h"
#include "plugin_check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const char *at;
    size_t size;
};

static const void *part(const struct file *file, size_t offset, size_t size)
{
    return offset <= file->size && size <= file->size - offset ? file->at + offset : NULL;
}

/* Section i; NULL: there is none, or it is not all in the file. */
static const ElfW(Shdr) * section(const struct file *file, size_t i)
{
    const ElfW(Ehdr) *head = part(file, 0, sizeof *head);
    if (!head || head->e_shentsize != sizeof(ElfW(Shdr)) || i >= head->e_shnum)
        return NULL;
    const ElfW(Shdr) *found = part(file, head->e_shoff + i * sizeof *found, sizeof *found);
    return found && part(file, found->sh_offset, found->sh_size) ? found : NULL;
}

/* Some functions are of whoever builds with sanitizers: the program has them. */
static bool is_of_sanitizer(const char *name)
{
    static const char *const beginnings[] = {"__asan_",      "__ubsan_",  "__tsan_", "__lsan_",
                                             "__sanitizer_", "__sancov_", "__msan_"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (!strncmp(name, beginnings[i], strlen(beginnings[i])))
            return true;
    return false;
}

/* Names that a linker makes, and those of C++ templates, which the library's headers export: they
 * are weak, and harm nobody. */
static bool is_usual(const char *name, unsigned bind)
{
    static const char *const names[] = {"chatup_plugin_v1", "_init", "_fini",
                                        "_edata",           "_end",  "__bss_start"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return true;
    return (bind == STB_WEAK && !strncmp(name, "_Z", 2)) || is_of_sanitizer(name);
}

struct symbols {
    struct buffer exported, missing; /* the first ones, with a comma in front */
    size_t exported_count, missing_count, seen;
    bool stays; /* one is unique: dlclose would not unload it */
};

static void note(struct buffer *list, size_t *count, const char *name)
{
    enum { SHOWN = 5 };
    if (++*count <= SHOWN) {
        buffer_text(list, *count > 1 ? ", " : "");
        buffer_text(list, name);
    } else if (*count == SHOWN + 1) {
        buffer_text(list, " …");
    }
}

static void look(struct symbols *all, const ElfW(Sym) * symbol, const char *name, void *so)
{
    unsigned bind = symbol->st_info >> 4, visibility = symbol->st_other & 3;
    all->seen++;
    if (symbol->st_shndx == SHN_UNDEF) {
        /* dlsym of a library looks into it and what it names, not into the program */
        if (bind != STB_WEAK && !is_of_sanitizer(name) && !dlsym(so, name))
            note(&all->missing, &all->missing_count, name);
        return;
    }
    if (bind == STB_LOCAL || (visibility != STV_DEFAULT && visibility != STV_PROTECTED))
        return;
    all->stays |= bind == STB_GNU_UNIQUE;
    if (!is_usual(name, bind))
        note(&all->exported, &all->exported_count, name);
}

static bool look_at_all(struct symbols *all, const struct file *file, void *so)
{
    const ElfW(Ehdr) *head = part(file, 0, sizeof *head);
    for (size_t i = 0; head && i < head->e_shnum; i++) {
        const ElfW(Shdr) *table = section(file, i);
        if (!table || table->sh_type != SHT_DYNSYM)
            continue;
        const ElfW(Shdr) *strings = section(file, table->sh_link);
        const ElfW(Sym) *symbols = part(file, table->sh_offset, table->sh_size);
        const char *names = strings ? part(file, strings->sh_offset, strings->sh_size) : NULL;
        if (!names || !strings->sh_size || names[strings->sh_size - 1])
            return false;
        for (size_t s = 1; s < table->sh_size / sizeof *symbols; s++)
            if (symbols[s].st_name < strings->sh_size && names[symbols[s].st_name])
                look(all, &symbols[s], names + symbols[s].st_name, so);
        return true;
    }
    return false;
}

static void tell(struct check *check, const struct symbols *all)
{
    check_report(check, !all->exported_count,
                 all->exported_count ? "it exports more than chatup_plugin_v1: %.*s; build it with "
                                       "-fvisibility=hidden, as chatup_add_plugin does"
                                     : "it exports chatup_plugin_v1 only%.*s",
                 (int)all->exported.length, all->exported.at ? all->exported.at : "");
    check_report(check, !all->missing_count,
                 all->missing_count ? "what it uses and no library that it names has: %.*s; link "
                                      "it with these, and with -Wl,-z,defs"
                                    : "it names the libraries that it uses%.*s",
                 (int)all->missing.length, all->missing.at ? all->missing.at : "");
    if (all->stays)
        check_report(check, false,
                     "it has unique symbols, and can never be unloaded; build it with "
                     "-fno-gnu-unique");
}

void check_symbols(struct check *check, const char *path, void *so)
{
    struct symbols all = {0};
    struct stat what;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct file file = {MAP_FAILED, 0};
    check_step(check, "symbols");
    if (fd >= 0 && !fstat(fd, &what) && what.st_size > 0) {
        file.size = (size_t)what.st_size;
        file.at = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (file.at != MAP_FAILED && look_at_all(&all, &file, so))
        tell(check, &all);
    else
        check_report(check, false, "its symbols cannot be read");
    if (file.at != MAP_FAILED)
        munmap((void *)file.at, file.size);
    if (fd >= 0)
        close(fd);
    buffer_finish(&all.exported);
    buffer_finish(&all.missing);
}
