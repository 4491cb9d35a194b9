/* The CHATUP_* variables that the containers of the original ChatUp were configured with. They
 * keep working, each checked like the option it stands for; a variable that is empty is not set. */
#include "alloc.h"
#include "config_parts.h"
#include "config_schema.h"
#include "config_value.h"
#include "log.h"

#include <sys/stat.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool refuse(const char *name, const char *what, struct error *err)
{
    error_set(err, "%s: %.100s: %s", name, variable(name), what);
    return false;
}

/* ---- one variable, one option ---- */

static bool apply_plain(struct config *conf, struct error *err)
{
    static const struct {
        const char *name, *path;
    } plain[] = {
        {"CHATUP_PORT", "listen.port"},     {"CHATUP_ORIGINS", "origins"},
        {"CHATUP_THREADS", "threads"},      {"CHATUP_MESSAGEHISTORYSIZE", "history.size"},
        {"CHATUP_REDISHOST", "redis.host"}, {"CHATUP_REDISPORT", "redis.port"},
        {"CHATUP_SSLKEY", "tls.key"},       {"CHATUP_SSLCERT", "tls.certificate"},
    };
    struct error what;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const char *value = variable(plain[i].name);
        if (value && !config_schema_put(conf, plain[i].path, value, &what))
            return refuse(plain[i].name, what.text, err);
    }
    return true;
}

/* Seconds without a unit, as the original had them. */
static bool apply_expire(struct config *conf, struct error *err)
{
    static const char name[] = "CHATUP_MESSAGEHISTORYEXPIRE";
    static const struct config_option seconds = {.type = CONFIG_INT, .max = INT32_MAX};
    const char *value = variable(name);
    struct config_value number;
    struct error what;
    char duration[32];
    if (!value)
        return true;
    if (!config_value_read(&seconds, value, &number, &what))
        return refuse(name, "must be a whole number of seconds", err);
    snprintf(duration, sizeof duration, "%llds", (long long)number.number);
    return config_schema_put(conf, "history.expire", duration, &what) ||
           refuse(name, what.text, err);
}

/* ---- announce ---- */

static bool is_hostname(const char *text)
{
    return text[strspn(
               text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[:]")] == 0;
}

/* HOSTNAME, ANNOUNCEDPORT and ANNOUNCESSL are parts of what is one URL here. */
static bool apply_announce(struct config *conf, struct error *err)
{
    static const struct config_option port_option = {.type = CONFIG_INT, .min = 1, .max = 65535};
    static const struct config_option tls_option = {.type = CONFIG_BOOL};
    const char *port_name = "CHATUP_ANNOUNCEDPORT";
    if (!variable(port_name))
        port_name = "CHATUP_ANNOUCEDPORT"; /* as the original spells it */
    const char *host = variable("CHATUP_HOSTNAME"), *port = variable(port_name);
    const char *tls = variable("CHATUP_ANNOUNCESSL");
    struct config_value number = {0}, secure = {0};
    struct error what;
    char url[320];
    if (port && !config_value_read(&port_option, port, &number, &what))
        return refuse(port_name, what.text, err);
    if (tls && !config_value_read(&tls_option, tls, &secure, &what))
        return refuse("CHATUP_ANNOUNCESSL", what.text, err);
    if (!host) {
        if (port || secure.number)
            log_warn("%s: ignored without CHATUP_HOSTNAME",
                     port ? port_name : "CHATUP_ANNOUNCESSL");
        return true;
    }
    if (!is_hostname(host) || strlen(host) > 255)
        return refuse("CHATUP_HOSTNAME", "must be a name or address, without http:// or path", err);
    snprintf(url, sizeof url, "http%s://%s%s%s", secure.number ? "s" : "", host, port ? ":" : "",
             port ? port : "");
    return config_schema_put(conf, "announce", url, &what) ||
           refuse("CHATUP_HOSTNAME", what.text, err);
}

/* ---- the key ---- */

/* A variable holds one line, so "\n" written in it stands for a new one. */
static char *with_newlines(const char *text)
{
    char *copy = xstrdup(text), *to = copy;
    for (const char *from = text; *from; from++) {
        if (from[0] == '\\' && from[1] == 'n')
            *to++ = '\n', from++;
        else
            *to++ = *from;
    }
    *to = 0;
    return copy;
}

/* A PEM text, or the file that has it. Its value is never shown: it may be the wrong half. */
static bool apply_key(struct config *conf, struct error *err)
{
    const char *value = variable("CHATUP_JWTKEY");
    struct stat info;
    if (!value)
        return true;
    if (!strncmp(value, "-----BEGIN ", 11)) {
        char *pem = with_newlines(value);
        config_keys_clear(&conf->jwt.keys);
        config_keys_add(&conf->jwt.keys, "RS256", NULL, pem, NULL);
        free(pem);
        return true;
    }
    if (stat(value, &info) == 0 && S_ISREG(info.st_mode)) {
        config_keys_clear(&conf->jwt.keys);
        config_keys_add(&conf->jwt.keys, "RS256", value, NULL, NULL);
        return true;
    }
    error_set(err, "CHATUP_JWTKEY: must be a PEM public key (-----BEGIN …) or a file that exists");
    return false;
}

/* ---- without a counterpart ---- */

static void warn_of_gone(void)
{
    static const char *const ignored[] = {"CHATUP_STICKY", "CHATUP_SENTRYDSN"};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (variable(ignored[i]))
            log_warn("%s: ignored: it has no counterpart here", ignored[i]);
}

bool config_env_apply(struct config *conf, struct error *err)
{
    warn_of_gone();
    return apply_plain(conf, err) && apply_expire(conf, err) && apply_announce(conf, err) &&
           apply_key(conf, err);
}
