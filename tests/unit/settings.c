#include "settings.h"
#include "config.h"
#include "keyring.h"
#include "unit.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/chatup-settings-XXXXXX";
static int made, freed;
static bool fails;

static void begin(void)
{
    close(mkstemp(path));
    made = freed = 0;
    fails = false;
}

static void end(void)
{
    unlink(path);
}

static bool amend(struct config *conf, struct error *err)
{
    if (fails)
        error_set(err, "not today");
    else
        config_add_key(conf, "RS256", "tests/data/original_example.crt");
    return !fails;
}

static SSL_CTX *tls_make(const struct config *conf, struct error *err)
{
    if (*conf->announce)
        error_set(err, "no certificate");
    if (*conf->announce || strcmp(conf->origins, "tls") != 0)
        return NULL;
    made++;
    return SSL_CTX_new(TLS_server_method());
}

static void tls_free(SSL_CTX *tls)
{
    freed++;
    SSL_CTX_free(tls);
}

static struct settings *load(const char *set, bool (*with)(struct config *, struct error *),
                             struct error *err)
{
    static const char *sets[1];
    static struct settings_source source;
    sets[0] = set;
    source = (struct settings_source){.path = path,
                                      .sets = sets,
                                      .set_count = set ? 1 : 0,
                                      .amend = with,
                                      .tls_make = tls_make,
                                      .tls_free = tls_free};
    return settings_load(&source, err);
}

START_TEST(settings_are_the_configuration_and_what_is_made_of_it)
{
    struct error err = {"left over"};
    struct settings *settings = load("origins=tls", amend, &err);
    ck_assert_msg(settings != NULL, "%s", err.text);
    ck_assert_uint_eq(keyring_count(settings->keys), 1);
    ck_assert(keyring_has_example_key(settings->keys));
    ck_assert_ptr_nonnull(settings->tls);
    settings_unref(settings_ref(settings));
    ck_assert_int_eq(freed, 0);
    settings_unref(settings);
    ck_assert_int_eq(made, 1);
    ck_assert_int_eq(freed, 1);
    settings = load(NULL, NULL, &err); /* all of it may be absent */
    ck_assert_ptr_nonnull(settings);
    ck_assert_ptr_null(settings->tls);
    settings_unref(settings);
    settings_unref(NULL);
}
END_TEST

START_TEST(what_is_wrong_is_said_and_leaves_nothing_behind)
{
    struct error err = {{0}};
    ck_assert_ptr_null(load("threads=many", amend, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "threads"));
    fails = true;
    ck_assert_ptr_null(load(NULL, amend, &err));
    ck_assert_str_eq(err.text, "not today");
    fails = false;
    ck_assert_ptr_null(load("announce=http://x", amend, &err));
    ck_assert_str_eq(err.text, "no certificate");
    ck_assert_ptr_null(load("listen.address=0.0.0.0", amend, &err));
    ck_assert_int_eq(strncmp(err.text, path, strlen(path)), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "example key"));
    ck_assert_int_eq(made, freed);
}
END_TEST

static void *reader_run(void *arg)
{
    for (int i = 0; i < 10000; i++)
        settings_unref(settings_ref(arg));
    settings_unref(arg); /* its own */
    return NULL;
}

START_TEST(the_last_to_leave_frees_them)
{
    enum { THREADS = 4 };
    struct error err;
    pthread_t threads[THREADS];
    struct settings *settings = load("origins=tls", amend, &err);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, reader_run, settings_ref(settings));
    settings_unref(settings);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(freed, 1);
}
END_TEST

UNIT_MAIN_IN("settings", begin, end, settings_are_the_configuration_and_what_is_made_of_it,
             what_is_wrong_is_said_and_leaves_nothing_behind, the_last_to_leave_frees_them)
