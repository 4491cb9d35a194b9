/* Gives a fuzz target every file of its corpus: fuzz_token DIRECTORY. Each is copied to memory of
 * just its size, so that a sanitizer sees the first byte that is read beyond it. */
#include "alloc.h"
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static void replay(const char *path)
{
    struct stat about;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &about)) {
        perror(path);
        exit(1);
    }
    uint8_t *bytes = xmalloc((size_t)about.st_size);
    if (fread(bytes, 1, (size_t)about.st_size, file) != (size_t)about.st_size)
        abort();
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last one of a crash is its cause */
    LLVMFuzzerTestOneInput(bytes, (size_t)about.st_size);
    free(bytes);
}

int main(int argc, char **argv)
{
    struct dirent **entries;
    int seen = 0, count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    if (count < 0) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
        if (*entries[i]->d_name != '.' && ++seen)
            replay(path);
        free(entries[i]);
    }
    free(entries);
    printf("%d passed, %d failed\n", seen, !seen);
    return !seen;
}
