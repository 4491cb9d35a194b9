#include "cli.h"

#include "alloc.h"
#include "base64url.h"
#include "error.h"
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <unistd.h>

enum { RSA_BITS = 2048, SECRET_BYTES = 48, KID_BYTES_MAX = 64 };

static const char help[] =
    "usage: chatup keygen [--algorithm NAME] [--kid ID] --out PREFIX\n"
    "\n"
    "Makes a key to sign tokens with and says what to put into chatup.yaml.\n"
    "Writes PREFIX.key and PREFIX.pub, for HS256 and its like PREFIX.secret;\n"
    "never over an existing file.\n"
    "\n"
    "  --algorithm NAME  RS256, PS256, ES256, HS256, or one of them with 384 or 512\n"
    "                    (default: RS256)\n"
    "  --kid ID          the key's name, for when there are several; letters, digits and -_.:\n"
    "  --out PREFIX      path and first part of the files' names\n"
    "  --help            this text\n";

struct keygen {
    const struct key_algorithm *algorithm;
    const char *prefix;
    const char *kid; /* NULL: none */
};

static char *path_with(const char *prefix, const char *ending)
{
    char *path;
    return asprintf(&path, "%s%s", prefix, ending) < 0 ? alloc_checked(NULL) : path;
}

/* ---- files ---- */

/* Write a new file; what could not be written whole is removed. */
static bool file_write(const char *path, mode_t mode, const void *bytes, size_t length,
                       struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        if (errno == EEXIST)
            error_set(err, "%s exists and is left alone; choose another --out", path);
        else
            error_set(err, "%s: %s", path, strerror(errno));
        return false;
    }
    errno = ENOSPC; /* of a short write */
    bool written = write(fd, bytes, length) == (ssize_t)length && fsync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && written) {
        why = errno;
        written = false;
    }
    if (!written) {
        error_set(err, "%s: %s", path, strerror(why));
        unlink(path);
    }
    return written;
}

static bool file_write_bio(const char *path, mode_t mode, BIO *bio, struct error *err)
{
    char *text;
    long length = BIO_get_mem_data(bio, &text);
    return file_write(path, mode, text, (size_t)length, err);
}

/* ---- keys ---- */

static bool secret_write(const char *path, struct error *err)
{
    unsigned char bytes[SECRET_BYTES];
    char text[BASE64URL_LENGTH(SECRET_BYTES) + 1];
    if (RAND_priv_bytes(bytes, sizeof bytes) != 1) {
        error_set(err, "openssl has no random numbers");
        return false;
    }
    base64url_encode(bytes, sizeof bytes, text);
    /* Without a newline: other programs may take the file as it is. */
    return file_write(path, 0600, text, strlen(text), err);
}

static bool pair_write(const struct keygen *keygen, const char *key_path, const char *pub_path,
                       struct error *err)
{
    bool written = false;
    BIO *key_text = alloc_checked(BIO_new(BIO_s_secmem()));
    BIO *pub_text = alloc_checked(BIO_new(BIO_s_mem()));
    EVP_PKEY *pkey = keygen->algorithm->family == KEY_EC ? EVP_EC_gen(keygen->algorithm->curve)
                                                         : EVP_RSA_gen(RSA_BITS);
    if (!pkey || !PEM_write_bio_PrivateKey(key_text, pkey, NULL, NULL, 0, NULL, NULL) ||
        !PEM_write_bio_PUBKEY(pub_text, pkey)) {
        error_set(err, "openssl cannot make a key for %s", keygen->algorithm->name);
        goto out;
    }
    written = file_write_bio(key_path, 0600, key_text, err);
    if (written && !file_write_bio(pub_path, 0644, pub_text, err)) {
        unlink(key_path); /* ours, of a moment ago: no half pairs */
        written = false;
    }
out:
    EVP_PKEY_free(pkey);
    BIO_free(key_text);
    BIO_free(pub_text);
    return written;
}

/* ---- the command ---- */

/* What the user does next. Absolute, because the server may be started elsewhere. */
static void next_steps_print(const struct keygen *keygen, const char *sign_with,
                             const char *check_with)
{
    char *check_path = realpath(check_with, NULL);
    printf("In chatup.yaml, so that the server believes tokens signed with it:\n"
           "\n"
           "jwt:\n"
           "  keys:\n"
           "    - algorithm: %s\n"
           "      file: %s\n",
           keygen->algorithm->name, check_path ? check_path : check_with);
    if (keygen->kid)
        printf("      kid: \"%s\"\n", keygen->kid);
    printf("\n"
           "Keep %s secret. A token for a first try:\n"
           "\n"
           "  chatup token --key %s --algorithm %s%s%s --name alice --expire 1h\n",
           sign_with, sign_with, keygen->algorithm->name, keygen->kid ? " --kid " : "",
           keygen->kid ? keygen->kid : "");
    free(check_path);
}

static bool keygen_run(const struct keygen *keygen, struct error *err)
{
    bool is_secret = keygen->algorithm->family == KEY_HMAC;
    char *sign_with = path_with(keygen->prefix, is_secret ? ".secret" : ".key");
    char *check_with = path_with(keygen->prefix, is_secret ? ".secret" : ".pub");
    bool written =
        is_secret ? secret_write(sign_with, err) : pair_write(keygen, sign_with, check_with, err);
    if (written)
        next_steps_print(keygen, sign_with, check_with);
    free(sign_with);
    free(check_with);
    return written;
}

static int misuse(const char *what, const char *which)
{
    fprintf(stderr, "chatup keygen: %s%s (see chatup keygen --help)\n", what, which);
    return 2;
}

static bool is_kid(const char *text)
{
    size_t length = strlen(text);
    return length >= 1 && length <= KID_BYTES_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:") ==
               length;
}

int cli_keygen(int argc, char **argv)
{
    static const struct option options[] = {
        {"algorithm", required_argument, NULL, 'a'},
        {"kid", required_argument, NULL, 'k'},
        {"out", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct keygen keygen = {.algorithm = key_algorithm("RS256")};
    int option;
    optind = 0; /* from the start, whoever called getopt before */
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        switch (option) {
        case 'a':
            keygen.algorithm = key_algorithm(optarg);
            if (!keygen.algorithm)
                return misuse("--algorithm is none of " KEY_ALGORITHMS, "");
            break;
        case 'k': /* as it is printed for YAML and the shell */
            keygen.kid = optarg;
            if (!is_kid(optarg))
                return misuse("--kid must be 1 to 64 letters, digits and -_.:", "");
            break;
        case 'o':
            keygen.prefix = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        case ':':
            return misuse("a value must follow ", argv[optind - 1]);
        default:
            return misuse("unknown option ", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return misuse("unexpected ", argv[optind]);
    if (!keygen.prefix || !*keygen.prefix)
        return misuse("--out is missing", "");

    struct error err = {0};
    if (keygen_run(&keygen, &err))
        return 0;
    fprintf(stderr, "chatup keygen: %s\n", err.text);
    return 1;
}
