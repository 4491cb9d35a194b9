/* A backup is made by the store's thread, a slice at the end of a turn: publishing goes on. */
#include "alloc.h"
#include "embedded_parts.h"
#include "log.h"
#include "store.h"

static const double SLICE_S = 0.005;

struct backup {
    struct letter letter;
    struct embedded_home *home;
    struct store_backup *copy;
    ev_timer tick;
    bool due; /* not after each turn: a busy store has many */
    void (*done)(void *arg, const struct error *err);
    void *arg;
    char path[];
};

static void backup_end(struct backup *backup, const struct error *err)
{
    store_backup_close(backup->copy);
    if (backup->home->backup == backup) {
        ev_timer_stop(loop_ev(backup->home->store_loop), &backup->tick);
        backup->home->backup = NULL;
    }
    if (!err)
        log_info("backup: %s is made", backup->path);
    backup->done(backup->arg, err);
    free(backup);
}

static void on_tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct backup *backup = timer->data;
    backup->due = true; /* a transaction may be open now */
}

void backup_slice(struct embedded_home *home)
{
    struct backup *backup = home->backup;
    struct error err;
    if (!backup || !backup->due)
        return;
    backup->due = false;
    store_turn_begin(home);
    enum store_backup_step step = store_backup_step(backup->copy, &err);
    if (step != STORE_BACKUP_MORE)
        backup_end(backup, step == STORE_BACKUP_DONE ? NULL : &err);
}

static void backup_arrives(struct letter *letter)
{
    struct backup *backup = (struct backup *)letter;
    struct embedded_home *home = backup->home;
    struct error err;
    if (home->backup) {
        error_set(&err, "backup: another one is being made");
        backup_end(backup, &err);
        return;
    }
    backup->copy = store_backup_open(home->store, backup->path, &err);
    if (!backup->copy) {
        backup_end(backup, &err);
        return;
    }
    home->backup = backup;
    ev_timer_init(&backup->tick, on_tick, 0, SLICE_S);
    backup->tick.data = backup;
    ev_timer_start(loop_ev(home->store_loop), &backup->tick);
}

void embedded_backup(struct embedded_home *home, const char *path,
                     void (*done)(void *arg, const struct error *err), void *arg)
{
    if (!home->store) {
        struct error err;
        error_set(&err, "backup: durability is memory: nothing is stored");
        done(arg, &err);
        return;
    }
    struct backup *backup = xcalloc(1, sizeof *backup + strlen(path) + 1);
    backup->letter.deliver = backup_arrives;
    backup->home = home;
    backup->done = done;
    backup->arg = arg;
    strcpy(backup->path, path);
    loop_post(home->store_loop, &backup->letter);
}

bool backup_finish(struct embedded_home *home)
{
    struct error err;
    error_set(&err, "backup: the server ended before it was made");
    if (!home->backup)
        return false;
    backup_end(home->backup, &err);
    return true;
}
