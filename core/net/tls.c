#include "tls.h"
#include "wire.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the socket ---- */

/* openssl's own calls read and write, which take a longer way to a socket than recv and send do,
 * and raise SIGPIPE. */

static int is_retry(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

static int socket_write(BIO *bio, const char *bytes, int size)
{
    ssize_t sent = wire_put(BIO_get_data(bio), bytes, (size_t)size);
    BIO_clear_retry_flags(bio);
    if (is_retry(sent))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int socket_read(BIO *bio, char *bytes, int size)
{
    const struct wire *wire = BIO_get_data(bio);
    ssize_t got = recv(wire->io.fd, bytes, (size_t)size, 0);
    BIO_clear_retry_flags(bio);
    if (is_retry(got))
        BIO_set_retry_read(bio);
    else if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)got;
}

static long socket_control(BIO *bio, int what, long number, void *arg)
{
    return what == BIO_CTRL_FLUSH ? 1
           : what == BIO_CTRL_EOF ? BIO_test_flags(bio, BIO_FLAGS_IN_EOF)
                                  : 0;
}

static BIO_METHOD *socket_method;

static void socket_method_make(void)
{
    socket_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket of ChatUp");
    if (socket_method) {
        BIO_meth_set_write(socket_method, socket_write);
        BIO_meth_set_read(socket_method, socket_read);
        BIO_meth_set_ctrl(socket_method, socket_control);
    }
}

/* NULL without memory. */
static BIO *socket_bio(struct wire *wire)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, socket_method_make);
    BIO *bio = socket_method ? BIO_new(socket_method) : NULL;
    if (bio) {
        BIO_set_data(bio, wire);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- contexts ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *offered, unsigned offered_length, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_length, ours, sizeof ours - 1, offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* nothing in common: as if none had been offered */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The first error of openssl's queue is the cause, what follows are its callers. */
static SSL_CTX *refuse(SSL_CTX *context, const char *option, const char *file, struct error *err)
{
    unsigned long cause = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(cause) ? strerror(ERR_GET_REASON(cause)) : ERR_reason_error_string(cause);
    if (ERR_GET_LIB(cause) == ERR_LIB_PEM && ERR_GET_REASON(cause) == PEM_R_NO_START_LINE)
        reason = "there is none in it; a PEM file is expected";
    error_set(err, "%s: %s: %s", option, file, reason ? reason : "openssl refuses it");
    ERR_clear_error();
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *tls_context_create(const char *certificate, const char *key, struct error *err)
{
    static const unsigned char id[] = "chatup";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return refuse(NULL, "tls", "openssl", err);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(context, id, sizeof id - 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return refuse(context, "tls.certificate", certificate, err);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        return refuse(context, is_other ? "tls.key does not fit tls.certificate" : "tls.key", key,
                      err);
    }
    return context;
}

void tls_context_destroy(SSL_CTX *context)
{
    SSL_CTX_free(context);
}

SSL *tls_session_create(SSL_CTX *context, struct wire *wire)
{
    SSL *ssl = SSL_new(context);
    BIO *bio = ssl ? socket_bio(wire) : NULL;
    if (!bio) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    return ssl;
}
