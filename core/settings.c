#include "settings.h"
#include "access.h"
#include "alloc.h"
#include "config.h"
#include "keyring.h"
#include "log.h"
#include "redis_servers.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

static bool keys_load(struct settings *settings, struct error *err)
{
    struct error why;
    if (keyrings_load(settings->conf, &settings->keys, &settings->admin_keys, &why))
        return true;
    error_set(err, "%.160s: %.340s", settings->conf->path, why.text);
    return false;
}

/* https://www.example.org: a scheme (apps have others), a host, perhaps a port, nothing behind it
 */
static bool is_origin(const char *at, size_t length)
{
    const char *host = memmem(at, length, "://", 3);
    size_t before = host ? (size_t)(host - at) + 3 : 0;
    return before > 3 && before < length && !memchr(at + before, '/', length - before);
}

/* A slash too many, and no page may call: better told here than found in a browser's console. */
static void warn_of_origins(const char *origins)
{
    if (!strcmp(origins, "*"))
        return;
    for (const char *p = origins; *p; p += strspn(p, ", ")) {
        size_t length = strcspn(p, ", ");
        if (length && !is_origin(p, length))
            log_warn("origins: \"%.*s\" is not written as browsers do, https://www.example.org: "
                     "it allows no page",
                     (int)length, p);
        p += length;
    }
}

const char *role_name(enum role role)
{
    static const char *const names[] = {
        [ROLE_SERVE] = "serve", [ROLE_WORKER] = "worker", [ROLE_DISPATCHER] = "dispatcher"};
    return names[role];
}

/* Whether it can be understood where Redis is, also if nothing is on it yet. */
static bool redis_is_right(const struct config *conf, struct error *err)
{
    struct error why;
    struct redis_servers *servers = redis_servers_create(conf, &why);
    if (!servers)
        error_set(err, "%.100s: %.400s", conf->path, why.text);
    redis_servers_destroy(servers);
    return servers;
}

struct settings *settings_load(const struct settings_source *source, struct error *err)
{
    struct settings *settings = xcalloc(1, sizeof *settings);
    settings->source = source;
    atomic_init(&settings->refs, 1);
    settings->conf = config_load(source->path, source->sets, source->set_count, err);
    if (settings->conf) /* also for what is warned of from here on */
        log_set(settings->conf->log_level, settings->conf->log_format);
    bool ok = settings->conf && redis_is_right(settings->conf, err) &&
              (!source->amend || source->amend(settings->conf, err)) && keys_load(settings, err) &&
              (settings->access = access_load(settings->conf, err));
    if (ok && source->tls_make) /* NULL without a word in err: it is not configured */
        ok = (err->text[0] = 0, settings->tls = source->tls_make(settings->conf, err)) ||
             !err->text[0];
    if (ok) {
        warn_of_origins(settings->conf->origins);
        return settings;
    }
    settings_unref(settings);
    return NULL;
}

struct settings *settings_ref(struct settings *settings)
{
    unsigned before = atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return settings;
}

void settings_unref(struct settings *settings)
{
    if (!settings || atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (settings->tls)
        settings->source->tls_free(settings->tls);
    access_destroy(settings->access);
    keyring_destroy(settings->admin_keys);
    keyring_destroy(settings->keys);
    config_destroy(settings->conf);
    free(settings);
}

bool settings_may_follow(const struct settings *now, const struct settings *next, struct error *err)
{
    if (!now->tls != !next->tls) {
        error_set(err, "%s: tls: cannot be switched on or off while the server runs: restart it",
                  next->conf->path);
        return false;
    }
    return config_may_follow(now->conf, next->conf, err);
}
