#include "settings.h"
#include "access.h"
#include "alloc.h"
#include "config.h"
#include "keyring.h"
#include "log.h"

#include <assert.h>
#include <stdatomic.h>

static bool keys_load(struct settings *settings, struct error *err)
{
    struct error why;
    if (keyrings_load(settings->conf, &settings->keys, &settings->admin_keys, &why))
        return true;
    error_set(err, "%.160s: %.340s", settings->conf->path, why.text);
    return false;
}

struct settings *settings_load(const struct settings_source *source, struct error *err)
{
    struct settings *settings = xcalloc(1, sizeof *settings);
    settings->source = source;
    atomic_init(&settings->refs, 1);
    settings->conf = config_load(source->path, source->sets, source->set_count, err);
    if (settings->conf) /* also for what is warned of from here on */
        log_set(settings->conf->log_level, settings->conf->log_format);
    bool ok = settings->conf && (!source->amend || source->amend(settings->conf, err)) &&
              keys_load(settings, err) && (settings->access = access_load(settings->conf, err));
    if (ok && source->tls_make) /* NULL without a word in err: it is not configured */
        ok = (err->text[0] = 0, settings->tls = source->tls_make(settings->conf, err)) ||
             !err->text[0];
    if (ok)
        return settings;
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
