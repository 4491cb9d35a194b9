/* page.c: the page at /, and the client library for other pages: small files of client_dir. They
 * are read at each request: an edit shows at the next reload, and there is nothing to keep. */
#include "alloc.h"
#include "config.h"
#include "pipeline.h"
#include "route.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1024 * 1024 };

#define HEADERS "cache-control: no-cache\r\nx-content-type-options: nosniff\r\n"
/* The page shows what strangers wrote: should a text ever become HTML, it can run nothing. It
 * connects to anywhere: to workers, which have names of their own. */
#define POLICY                                                                                     \
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "connect-src 'self' ws: wss: http: https:; img-src 'self' data:; base-uri 'none'; "            \
    "form-action 'self'; "                                                                         \
    "frame-ancestors 'self'\r\n"

struct page {
    const char *path, *file, *content_type, *headers;
};

#define HTML   "text/html; charset=utf-8"
#define CSS    "text/css; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

static const struct page pages[] = {
    {"/", "demo/index.html", HTML, HEADERS POLICY},
    {"/demo.css", "demo/demo.css", CSS, HEADERS},
    {"/demo.js", "demo/demo.js", SCRIPT, HEADERS},
    {"/chatup.js", "dist/chatup.js", SCRIPT, HEADERS},
    {"/chatup.mjs", "dist/chatup.mjs", SCRIPT, HEADERS},
    {"/protocol.mjs", "dist/protocol.mjs", SCRIPT, HEADERS},
    {"/chatup.css", "dist/chatup.css", CSS, HEADERS},
    {"/examples/original.html", "examples/original.html", HTML, HEADERS POLICY},
    {"/examples/original.css", "examples/original.css", CSS, HEADERS},
    {"/examples/original.js", "examples/original.js", SCRIPT, HEADERS},
};

static const struct page *page_find(struct text path)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (text_is(path, pages[i].path))
            return &pages[i];
    return NULL;
}

/* returns  length bytes, freed by the caller; NULL if there is no such file, or it is too large */
static char *file_read(const char *path, size_t *length_out)
{
    char *bytes = NULL;
    struct stat about;
    size_t length = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not stop the loop */
    if (fd < 0)
        return NULL;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size <= FILE_BYTES_MAX) {
        size_t size = (size_t)about.st_size;
        bytes = xmalloc(size);
        while (length < size && (got = read(fd, bytes + length, size - length)) > 0)
            length += (size_t)got;
        if (got < 0) {
            free(bytes);
            bytes = NULL;
        }
        *length_out = length;
    }
    close(fd);
    return bytes;
}

void route_page(struct request *request)
{
    const char *dir = request->pipeline->conf->client_dir;
    const struct page *page = page_find(request->path);
    char path[PATH_MAX];
    size_t length;
    char *bytes = NULL;
    if (page && *dir && snprintf(path, sizeof path, "%s/%s", dir, page->file) < (int)sizeof path)
        bytes = file_read(path, &length);
    if (bytes)
        request->reply(request, 200, page->content_type, (struct text){bytes, length},
                       page->headers);
    else
        request_reply_error(request, 404, "Not found");
    free(bytes);
}
