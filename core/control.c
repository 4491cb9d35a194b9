#include "control.h"
#include "alloc.h"
#include "config.h"
#include "loop.h"

#include <errno.h>
#include <ev.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 32, BACKLOG = 16, PATIENCE_S = 10 };

struct control {
    struct loop *loop;
    const struct control_verb *verbs;
    void *arg;
    char path[CONTROL_PATH_MAX + 1];
    dev_t device; /* of the socket that we made: another one in its place is not ours to remove */
    ino_t inode;
    int fd;
    ev_io acceptable;
    struct list clients;
    size_t count;
};

struct control_client {
    struct list link;
    struct control *control;
    struct control_call *call; /* NULL: it has not asked yet */
    int fd;
    ev_io readable;
    ev_timer patience; /* for its request */
    char line[CONTROL_LINE_MAX];
    size_t length;
};

bool control_path(const struct config *conf, char out[CONTROL_PATH_MAX + 1], struct error *err)
{
    int length = *conf->control
                     ? snprintf(out, CONTROL_PATH_MAX + 1, "%s", conf->control)
                     : snprintf(out, CONTROL_PATH_MAX + 1, "%s/chatup.sock", conf->data_dir);
    if (length <= CONTROL_PATH_MAX)
        return true;
    error_set(err, "control: the path of the socket has more than %d bytes; name a shorter one",
              CONTROL_PATH_MAX);
    return false;
}

/* ---- a client ---- */

static void client_free(struct control_client *client)
{
    struct ev_loop *ev = loop_ev(client->control->loop);
    if (client->call)
        client->call->client = NULL;
    ev_io_stop(ev, &client->readable);
    ev_timer_stop(ev, &client->patience);
    list_remove(&client->link);
    client->control->count--;
    close(client->fd);
    free(client);
}

void control_answer(struct control_call *call, const char *json)
{
    struct control_client *client = call->client;
    if (client) { /* it is small, and the socket empty: it takes all, or its reader is no good */
        size_t length = strlen(json);
        char *line = xmalloc(length + 1);
        memcpy(line, json, length);
        line[length] = '\n';
        if (send(client->fd, line, length + 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            /* it has left: nobody to tell */
        }
        free(line);
        client_free(client);
    }
    free(call);
}

void control_refuse(struct control_call *call, const char *text)
{
    json_t *json = json_pack("{s:b,s:s}", "ok", 0, "err", text);
    if (!json) /* not UTF-8: a file's name may be so */
        json = json_pack("{s:b,s:s}", "ok", 0, "err", "it failed; see the log");
    char *line = json_dumps(json, JSON_COMPACT);
    control_answer(call, line);
    free(line);
    json_decref(json);
}

static void client_run(struct control_client *client)
{
    struct control *control = client->control;
    const struct control_verb *verb = control->verbs;
    char *argument = strchr(client->line, ' ');
    if (argument)
        *argument++ = 0;
    client->call = xcalloc(1, sizeof *client->call);
    client->call->client = client;
    list_init(&client->call->link);
    ev_timer_stop(loop_ev(control->loop), &client->patience);
    while (verb->name && strcmp(verb->name, client->line) != 0)
        verb++;
    if (!verb->name)
        control_refuse(client->call, "this server knows no such command");
    else if (verb->has_argument != (argument && *argument))
        control_refuse(client->call,
                       verb->has_argument ? "an argument is missing" : "it takes no argument");
    else
        verb->run(control->arg, client->call, argument);
}

static void on_readable(struct ev_loop *ev, ev_io *io, int events)
{
    struct control_client *client = io->data;
    char rest[64];
    bool asked = client->call != NULL; /* then nothing more is expected but its end */
    ssize_t got = asked ? recv(client->fd, rest, sizeof rest, 0)
                        : recv(client->fd, client->line + client->length,
                               sizeof client->line - client->length, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_free(client);
        return;
    }
    if (asked)
        return;
    client->length += (size_t)got;
    char *end = memchr(client->line, '\n', client->length);
    if (end) {
        *end = 0;
        client_run(client);
    } else if (client->length == sizeof client->line) {
        client_free(client);
    }
}

static void on_patience(struct ev_loop *ev, ev_timer *timer, int events)
{
    client_free(timer->data);
}

static void on_acceptable(struct ev_loop *ev, ev_io *io, int events)
{
    struct control *control = io->data;
    int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (control->count == CLIENTS_MAX) {
        close(fd);
        return;
    }
    struct control_client *client = xcalloc(1, sizeof *client);
    client->control = control;
    client->fd = fd;
    list_append(&control->clients, &client->link);
    control->count++;
    ev_io_init(&client->readable, on_readable, fd, EV_READ);
    ev_timer_init(&client->patience, on_patience, PATIENCE_S, 0);
    client->readable.data = client->patience.data = client;
    ev_io_start(ev, &client->readable);
    ev_timer_start(ev, &client->patience);
}

/* ---- life ---- */

/* Make way for our socket. */
static bool path_clear(const struct sockaddr_un *address, struct error *err)
{
    struct stat what;
    if (lstat(address->sun_path, &what))
        return true;
    if (!S_ISSOCK(what.st_mode)) {
        error_set(err, "control: %s is there already, and no socket", address->sun_path);
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead =
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!dead)
        error_set(err, "control: another process answers on %s", address->sun_path);
    return dead &&
           (unlink(address->sun_path) == 0 || errno == ENOENT ||
            (error_set(err, "control: cannot replace %s: %s", address->sun_path, strerror(errno)),
             false));
}

static bool control_listen(struct control *control, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat made;
    strcpy(address.sun_path, control->path);
    if (!path_clear(&address, err))
        return false;
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0 || fchmod(control->fd, 0600) || /* the file gets the socket's mode */
        bind(control->fd, (struct sockaddr *)&address, sizeof address) ||
        listen(control->fd, BACKLOG) || lstat(control->path, &made)) {
        error_set(err, "control: cannot listen on %s: %s", control->path, strerror(errno));
        return false;
    }
    control->device = made.st_dev;
    control->inode = made.st_ino;
    return true;
}

struct control *control_create(struct loop *loop, const char *path,
                               const struct control_verb *verbs, void *arg, struct error *err)
{
    struct control *control = xcalloc(1, sizeof *control);
    *control = (struct control){.loop = loop, .verbs = verbs, .arg = arg, .fd = -1};
    snprintf(control->path, sizeof control->path, "%s", path);
    list_init(&control->clients);
    if (!control_listen(control, err)) {
        control_destroy(control);
        return NULL;
    }
    ev_io_init(&control->acceptable, on_acceptable, control->fd, EV_READ);
    control->acceptable.data = control;
    ev_io_start(loop_ev(loop), &control->acceptable);
    return control;
}

void control_destroy(struct control *control)
{
    struct stat there;
    if (!control)
        return;
    struct control_client *client, *after;
    list_for_each_safe (client, after, &control->clients, link)
        client_free(client);
    if (control->inode && !lstat(control->path, &there) && there.st_ino == control->inode &&
        there.st_dev == control->device)
        unlink(control->path);
    if (control->fd >= 0) {
        ev_io_stop(loop_ev(control->loop), &control->acceptable);
        close(control->fd);
    }
    free(control);
}
