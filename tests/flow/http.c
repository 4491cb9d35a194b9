#include "http.h"
#include "flow.h"

#include <ctype.h>
#include <stdio.h>

enum { ANSWER_SECONDS = 20 };

static bool more(struct stream *stream, int64_t deadline)
{
    enum stream_got got = stream_receive(stream, deadline);
    ck_assert_msg(got != STREAM_LATE, "no answer in time; so far: %s", stream_at(stream));
    return got == STREAM_MORE;
}

struct http_answer *http_receive(struct stream *stream, bool is_head, int64_t deadline)
{
    const char *end;
    while (!stream_available(stream) || !(end = strstr(stream_at(stream), "\r\n\r\n")))
        if (!more(stream, deadline))
            return NULL;
    struct http_answer *answer = calloc(1, sizeof *answer);
    size_t head_length = (size_t)(end - stream_at(stream)) + 2;
    answer->head = strndup(stream_at(stream), head_length);
    stream_take(stream, head_length + 2);
    ck_assert_msg(sscanf(answer->head, "HTTP/1.%*1[01] %d", &answer->status) == 1,
                  "not an answer: %s", answer->head);

    const char *length = http_header(answer, "Content-Length");
    ck_assert_ptr_null(http_header(answer, "Transfer-Encoding"));
    if (is_head || answer->status == 101 || answer->status == 204) {
        answer->body = strdup("");
        return answer;
    }
    if (length) {
        answer->length = strtoull(length, NULL, 10);
        while (stream_available(stream) < answer->length)
            ck_assert_msg(more(stream, deadline), "the body is cut off: %s%s", answer->head,
                          stream_at(stream));
    } else {
        while (more(stream, deadline))
            ;
        answer->length = stream_available(stream);
    }
    answer->body = strndup(stream_at(stream), answer->length);
    stream_take(stream, answer->length);
    answer->json = json_loadb(answer->body, answer->length, JSON_REJECT_DUPLICATES, NULL);
    return answer;
}

char *http_header(const struct http_answer *answer, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = answer->head; (line = strstr(line, "\r\n")) && line[2];) {
        line += 2;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        line += length + 1;
        line += strspn(line, " \t");
        return strndup(line, strcspn(line, "\r\n"));
    }
    return NULL;
}

char *http_text(struct server *server, const char *method, const char *target, const char *headers,
                const char *body)
{
    char *length = body ? textf("Content-Length: %zu\r\n", strlen(body)) : textf("%s", "");
    return textf("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n%s", method, target, server->port,
                 headers ? headers : "", length, body ? body : "");
}

static struct http_answer *ask(struct server *server, const char *request, bool is_head)
{
    struct stream *stream = stream_open(server->port, 0);
    stream_send(stream, request, strlen(request)); /* it may answer before it has read all */
    struct http_answer *answer = http_receive(stream, is_head, deadline_in(ANSWER_SECONDS));
    ck_assert_msg(answer != NULL, "closed without an answer to: %.200s", request);
    stream_cut(stream);
    return answer;
}

struct http_answer *http_raw(struct server *server, const char *request)
{
    return ask(server, request, false);
}

struct http_answer *http_call(struct server *server, const char *method, const char *target,
                              const char *headers, const char *body)
{
    char *request = http_text(server, method, target, headers, body);
    return ask(server, request, !strcmp(method, "HEAD"));
}

struct http_answer *http_get(struct server *server, const char *target)
{
    return http_call(server, "GET", target, NULL, NULL);
}

struct http_answer *http_post(struct server *server, const char *target, const char *body)
{
    return http_call(server, "POST", target, NULL, body);
}

char *url_encode(const char *text)
{
    char *encoded = calloc(3, strlen(text) + 1), *p = encoded;
    for (; *text; text++) {
        if (isalnum((unsigned char)*text))
            *p++ = *text;
        else
            p += sprintf(p, "%%%02X", (unsigned char)*text);
    }
    return encoded;
}
