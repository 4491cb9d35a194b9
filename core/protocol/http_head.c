#include "http_head.h"
#include "buffer.h"

#include <strings.h>

/* ---- characters (RFC 9110, section 5.6.2) ---- */

static bool is_token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct text text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!is_token_char((unsigned char)text.at[i]))
            return false;
    return text.length > 0;
}

static bool text_is_nocase(struct text text, const char *string)
{
    return text.length == strlen(string) && !strncasecmp(text.at, string, text.length);
}

bool http_list_has(struct text list, const char *element)
{
    while (list.length) {
        const char *comma = memchr(list.at, ',', list.length);
        size_t length = comma ? (size_t)(comma - list.at) : list.length;
        if (text_is_nocase(text_trimmed((struct text){list.at, length}, " \t"), element))
            return true;
        size_t step = comma ? length + 1 : length;
        list.at += step;
        list.length -= step;
    }
    return false;
}

/* ---- the first line ---- */

static enum http_method method_of(struct text text)
{
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {{"GET", HTTP_GET},       {"POST", HTTP_POST}, {"PUT", HTTP_PUT},
                   {"DELETE", HTTP_DELETE}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (text_is(text, methods[i].name))
            return methods[i].method;
    return HTTP_OTHER;
}

/* "/path?query", "http://host/path?query" or, of OPTIONS, "*" (RFC 9112, section 3.2). */
static bool target_read(struct text target, struct http_head *head)
{
    for (size_t i = 0; i < target.length; i++)
        if ((unsigned char)target.at[i] <= ' ' || target.at[i] == 0x7f || target.at[i] == '#')
            return false;
    if (text_is(target, "*") && head->method == HTTP_OPTIONS) {
        head->path = target;
        return true;
    }
    size_t scheme = target.length > 7 && !strncasecmp(target.at, "http://", 7)    ? 7
                    : target.length > 8 && !strncasecmp(target.at, "https://", 8) ? 8
                                                                                  : 0;
    if (scheme) { /* what it asks of is said by Host, too */
        target.at += scheme;
        target.length -= scheme;
        size_t host = 0;
        while (host < target.length && target.at[host] != '/' && target.at[host] != '?')
            host++;
        target.at += host;
        target.length -= host;
        if (!target.length || *target.at == '?') {
            head->path = text_of("/");
            head->query =
                target.length ? (struct text){target.at + 1, target.length - 1} : (struct text){0};
            return host > 0;
        }
        if (!host)
            return false;
    }
    if (!target.length || *target.at != '/')
        return false;
    const char *query = memchr(target.at, '?', target.length);
    head->path = (struct text){target.at, query ? (size_t)(query - target.at) : target.length};
    if (query)
        head->query = (struct text){query + 1, target.length - head->path.length - 1};
    return true;
}

static int version_read(struct text version, struct http_head *head)
{
    if (version.length != 8 || strncmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.' ||
        version.at[5] < '0' || version.at[5] > '9' || version.at[7] < '0' || version.at[7] > '9')
        return 400;
    if (version.at[5] != '1')
        return 505;
    head->is_1_0 = head->close = version.at[7] == '0';
    return 0;
}

/* returns  0, or the status to refuse it with */
static int request_line_read(struct text line, struct http_head *head, const char **why)
{
    const char *space = memchr(line.at, ' ', line.length);
    struct text method = {line.at, space ? (size_t)(space - line.at) : line.length};
    *why = "the first line is not METHOD TARGET HTTP/1.1";
    if (!space || !is_token(method))
        return 400;
    head->method = method_of(method);
    struct text rest = {space + 1, line.length - method.length - 1};
    space = memchr(rest.at, ' ', rest.length);
    if (!space)
        return 400;
    struct text target = {rest.at, (size_t)(space - rest.at)};
    struct text version = {space + 1, rest.length - target.length - 1};
    int status = version_read(version, head);
    if (status) {
        if (status == 505)
            *why = "HTTP/1.1, please";
        return status;
    }
    *why = "the target is not a path";
    return target_read(target, head) ? 0 : 400;
}

/* ---- headers ---- */

static bool value_is_good(struct text value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool length_read(struct text value, int64_t *length_out)
{
    int64_t length = 0;
    for (size_t i = 0; i < value.length; i++) {
        if (value.at[i] < '0' || value.at[i] > '9' || i == 18)
            return false;
        length = length * 10 + (value.at[i] - '0');
    }
    *length_out = length;
    return value.length > 0;
}

/* A name or an address, and perhaps a port; or nothing (RFC 9110, section 7.2). */
static bool host_is_good(struct text host)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-._~!$&'()*+,;=:[]%";
    for (size_t i = 0; i < host.length; i++)
        if (!memchr(good, host.at[i], sizeof good - 1))
            return false;
    return host.length <= 255;
}

static bool header_read(struct text name, struct text value, struct http_head *head,
                        const char **why)
{
    const struct {
        const char *name;
        struct text *field;
        bool once;
    } plain[] = {
        {"host", &head->host, true},
        {"origin", &head->origin, true},
        {"authorization", &head->authorization, true},
        {"idempotency-key", &head->idempotency_key, true},
        {"last-event-id", &head->last_event_id, true},
        {"sec-websocket-key", &head->websocket_key, true},
        {"user-agent", &head->user_agent, false},
        {"forwarded", &head->forwarded, false},
        {"x-forwarded-for", &head->forwarded_for, false},
        {"x-forwarded-proto", &head->forwarded_proto, false},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!text_is_nocase(name, plain[i].name))
            continue;
        if (plain[i].once && plain[i].field->at) {
            *why = "a header that may come once came twice";
            return false;
        }
        *plain[i].field = value;
        return true;
    }
    if (text_is_nocase(name, "content-length")) {
        *why = "Content-Length is not one number";
        return head->content_length < 0 && length_read(value, &head->content_length);
    }
    if (text_is_nocase(name, "transfer-encoding")) {
        head->has_transfer_encoding = true;
    } else if (text_is_nocase(name, "connection")) {
        head->close |= http_list_has(value, "close");
        head->connection_upgrade |= http_list_has(value, "upgrade");
    } else if (text_is_nocase(name, "upgrade")) {
        head->upgrade_websocket |= http_list_has(value, "websocket");
    } else if (text_is_nocase(name, "sec-websocket-version")) {
        head->websocket_13 = text_is(value, "13");
    } else if (text_is_nocase(name, "expect")) {
        if (text_is_nocase(value, "100-continue"))
            head->expects_continue = true;
        else
            head->expects_else = true;
    }
    return true;
}

static bool line_read(struct text line, struct http_head *head, const char **why)
{
    const char *colon = memchr(line.at, ':', line.length);
    struct text name = {line.at, colon ? (size_t)(colon - line.at) : line.length};
    *why = "a header is not NAME: VALUE";
    if (!colon || !is_token(name))
        return false; /* folded lines, and spaces before the colon, end here too */
    struct text value =
        text_trimmed((struct text){colon + 1, line.length - name.length - 1}, " \t");
    *why = "a header contains control characters";
    return value_is_good(value) && header_read(name, value, head, why);
}

/* ---- the whole ---- */

static int head_check(const struct http_head *head, const char **why)
{
    *why = "exactly one Host, please";
    if (!head->is_1_0 && !head->host.at)
        return 400;
    if (head->host.at && !host_is_good(head->host))
        return 400;
    return 0;
}

long http_head_parse(const char *bytes, size_t length, size_t max_bytes, struct http_head *head,
                     const char **why)
{
    const char *p = bytes, *end = bytes + (length < max_bytes ? length : max_bytes);
    size_t lines = 0;
    *head = (struct http_head){.content_length = -1};
    while (p + 1 < end && p[0] == '\r' && p[1] == '\n' && p - bytes < 8)
        p += 2; /* a few empty lines before a request are forgiven (RFC 9112, section 2.2) */
    const char *first = p;
    if (p < end && !is_token_char((unsigned char)*p) && *p != '\r') {
        *why = "this is not HTTP";
        return -400;
    }
    for (;;) {
        const char *lf = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        if (!lf)
            break;
        *why = "a line does not end with CR LF";
        if (lf == p || lf[-1] != '\r')
            return -400;
        struct text line = {p, (size_t)(lf - 1 - p)};
        if (memchr(line.at, '\r', line.length))
            return -400;
        bool is_first = p == first;
        p = lf + 1;
        if (is_first) {
            int status = request_line_read(line, head, why);
            if (status)
                return -status;
        } else if (!line.length) {
            int status = head_check(head, why);
            return status ? -status : p - bytes;
        } else if (++lines > HTTP_HEADERS_MAX) {
            *why = "too many headers";
            return -431;
        } else if (!line_read(line, head, why)) {
            return -400;
        }
    }
    if (length < max_bytes)
        return 0;
    *why = p == first ? "the target is too long" : "the headers are too long";
    return p == first ? -414 : -431;
}

void http_head_join(const char *bytes, size_t length, const char *name, struct buffer *out)
{
    const char *end = bytes + length;
    for (const char *p = bytes, *lf; (lf = memchr(p, '\n', (size_t)(end - p))); p = lf + 1) {
        const char *colon = memchr(p, ':', (size_t)(lf - p));
        if (!colon || !text_is_nocase((struct text){p, (size_t)(colon - p)}, name))
            continue;
        if (out->length)
            buffer_text(out, ",");
        buffer_bytes(out, colon + 1, (size_t)(lf - 1 - (colon + 1)));
    }
}
