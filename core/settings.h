/* settings.h: what a reload changes, as one thing: the configuration and all that is made of its
 * text. Nobody edits a settings once it is loaded; a reload loads another, and each loop goes over
 * to it between two turns (pipeline_use).
 *
 * Counted: whoever keeps a pointer to it, or into it, over a turn of the loop holds a reference.
 * Any thread. */
#pragma once
#include "error.h"
#include <stdbool.h>
#include <stddef.h>

struct access;
struct config;
struct keyring;
struct ssl_ctx_st; /* openssl's SSL_CTX */

enum role {
    ROLE_SERVE,      /* a whole server */
    ROLE_WORKER,     /* the sockets, on Redis */
    ROLE_DISPATCHER, /* the HTTP API, on Redis */
};

struct settings {
    struct config *conf;
    struct keyring *keys;       /* of users */
    struct keyring *admin_keys; /* of your servers */
    struct access *access;      /* who may do what in which channel */
    struct ssl_ctx_st *tls;     /* NULL: none */
    const struct settings_source *source;
    _Atomic unsigned refs;
};

/* "serve", "worker", "dispatcher" */
const char *role_name(enum role role);

/* Where settings come from, at the start and at each reload. Outlives them. */
struct settings_source {
    const char *path;        /* of the file */
    const char *const *sets; /* --set path=value, set_count of them */
    size_t set_count;
    bool demo; /* --demo */
    enum role role;
    /* Called in this order, NULL: nothing to do. What --demo adds to a configuration; and what
     * is made of certificates, which net/ knows how to. */
    bool (*amend)(struct config *conf, struct error *err);
    struct ssl_ctx_st *(*tls_make)(const struct config *conf, struct error *err);
    void (*tls_free)(struct ssl_ctx_st *tls);
};

/* Read and check all of it. Warns in the log about what is allowed, and not wise; the log goes by
 * the new level and format from then on: whoever does not use what was loaded sets it back.
 *   returns  one reference; NULL with err, which begins with the file's name or the variable's */
struct settings *settings_load(const struct settings_source *source, struct error *err);
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings *settings);

/* Whether a server that runs with now can go over to next.
 *   returns  false with err: which option cannot change, and its place in the file */
bool settings_may_follow(const struct settings *now, const struct settings *next,
                         struct error *err);
