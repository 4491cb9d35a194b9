/* control.h: the socket on which this machine's operator tells a running server what to do: `chatup
 * reload`, `chatup status`. A unix socket that only its user may open.
 *
 * One request per connection: a line of a verb and perhaps one argument, "backup /var/x.db\n". One
 * answer, a line of JSON: {"ok":true, …} or {"ok":false,"err":"what went wrong"}. Its loop only,
 * but for create and destroy. */
#pragma once
#include "error.h"
#include "list.h"
#include <stdbool.h>
#include <stddef.h>

struct config;
struct control;
struct loop;

enum { CONTROL_PATH_MAX = 107, CONTROL_LINE_MAX = 4096 };

/* Where the socket of a server with this configuration is.
 *   returns  false with err if that path is too long for a socket */
bool control_path(const struct config *conf, char out[CONTROL_PATH_MAX + 1], struct error *err);

/* A request that waits for its answer. Whoever has it answers once, now or later, also if the
 * client has left meanwhile. */
struct control_call {
    struct list link; /* for whoever has it */
    struct control_client *client;
};
/*   json  one line, lent: an object with "ok" */
void control_answer(struct control_call *call, const char *json);
/* {"ok":false,"err":text} */
void control_refuse(struct control_call *call, const char *text);

struct control_verb { /* in a table that ends with a name of NULL */
    const char *name;
    bool has_argument;
    void (*run)(void *arg, struct control_call *call, const char *argument);
};

/* Listen on path. What a dead process has left there is replaced; a socket on which somebody
 * answers is not, nor is a file that is no socket. Before the loop runs.
 *   arg      of the verbs
 *   returns  NULL with err */
struct control *control_create(struct loop *loop, const char *path,
                               const struct control_verb *verbs, void *arg, struct error *err);
/* After the loop has ended. A call that is answered still later finds nobody. */
void control_destroy(struct control *control);
