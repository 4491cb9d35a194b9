#include "options.h"
#include "alloc.h"
#include "config.h"
#include "demo.h"
#include "tls.h"

#include <getopt.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *default_config(void)
{
    const char *named = getenv("CHATUP_CONFIG");
    if (named && *named)
        return named;
    return access("conf/chatup.yaml", F_OK) == 0 ? "conf/chatup.yaml" : "/etc/chatup/chatup.yaml";
}

static int misuse(const char *command, const char *what, const char *argument, const char *usage)
{
    fprintf(stderr, "chatup %s: %s: %s\n%.*s\n", command, argument, what, (int)strcspn(usage, "\n"),
            usage);
    return 2;
}

int cli_options_parse(int argc, char **argv, const char *usage, int arguments,
                      struct cli_options *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"set", required_argument, NULL, 's'},
        {"demo", no_argument, NULL, 'd'},
        {"no-supervisor", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {"plugins", no_argument, NULL, 'p'},
        {"use-container-ip", no_argument, NULL, 'u'},
        {NULL, 0, NULL, 0},
    };
    struct cli_options found = {.sets = xcalloc((size_t)argc, sizeof *found.sets)};
    int code = -1, letter;
    optind = 0; /* start anew, also the second time in a process (glibc, musl) */
    opterr = 0;
    while (code < 0 && (letter = getopt_long(argc, argv, "+:c:h", options, NULL)) >= 0) {
        const char *last = argv[optind > 1 ? optind - 1 : 1];
        switch (letter) {
        case 'c':
            found.config = optarg;
            break;
        case 's':
            found.sets[found.set_count++] = optarg;
            break;
        case 'd':
            found.demo = true;
            break;
        case 'n':
            found.no_supervisor = true;
            break;
        case 'u':
            found.use_container_ip = true;
            break;
        case 'p':
            found.plugins = true;
            break;
        case 'h':
            printf("%s", usage);
            code = 0;
            break;
        default:
            code = misuse(argv[0], letter == ':' ? "needs a value" : "unknown option", last, usage);
        }
    }
    if (code < 0 && argc - optind > arguments)
        code = misuse(argv[0], "unexpected argument", argv[optind + arguments], usage);
    if (code < 0 && argc - optind < arguments)
        code = misuse(argv[0], "is missing", "an argument", usage);
    found.arguments = argv + optind;
    if (code >= 0) {
        cli_options_finish(&found);
        return code;
    }
    if (!found.config)
        found.config = default_config();
    *out = found;
    return -1;
}

void cli_options_finish(struct cli_options *options)
{
    free(options->sets);
    options->sets = NULL;
    options->set_count = 0;
}

/* ---- settings ---- */

static bool demo_if_configured(struct config *conf, struct error *err)
{
    return !conf->demo || demo_prepare(conf, err);
}

/* What this host's name stands for, which containers of one network can reach each other by. */
static bool announce_own_address(struct config *conf, struct error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char name[256] = "", address[NI_MAXHOST], url[NI_MAXHOST + 32];
    gethostname(name, sizeof name - 1);
    int rc = getaddrinfo(name, NULL, &hints, &found);
    if (!rc)
        rc = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0,
                         NI_NUMERICHOST);
    if (rc) {
        error_set(err, "--use-container-ip: %s has no address: %s", name, gai_strerror(rc));
    } else {
        bool v6 = found->ai_family == AF_INET6;
        snprintf(url, sizeof url, "http%s://%s%s%s:%d", *conf->tls.certificate ? "s" : "",
                 v6 ? "[" : "", address, v6 ? "]" : "", conf->port);
        free(conf->announce);
        conf->announce = xstrdup(url);
    }
    if (found)
        freeaddrinfo(found);
    return !rc;
}

static bool announce_and_demo(struct config *conf, struct error *err)
{
    return announce_own_address(conf, err) && demo_if_configured(conf, err);
}

static SSL_CTX *tls_make(const struct config *conf, struct error *err)
{
    return *conf->tls.certificate ? tls_context_create(conf->tls.certificate, conf->tls.key, err)
                                  : NULL;
}

struct settings_source cli_settings_source(const struct cli_options *options, bool serve)
{
    return (struct settings_source){
        .path = options->config,
        .sets = options->sets,
        .set_count = options->set_count,
        .demo = options->demo,
        .amend = !serve                      ? NULL
                 : options->use_container_ip ? announce_and_demo
                 : options->demo             ? demo_prepare
                                             : demo_if_configured,
        .tls_make = tls_make,
        .tls_free = tls_context_destroy,
    };
}
