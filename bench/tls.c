#include "tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

/* A struct tls is an SSL; only this file knows. The context lives as long as the process. */
static SSL_CTX *context(void)
{
    static SSL_CTX *made;
    if (!made) {
        made = SSL_CTX_new(TLS_client_method());
        assert(made);
        SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                   SSL_MODE_RELEASE_BUFFERS);
    }
    return made;
}

struct tls *tls_open(int fd)
{
    SSL *ssl = SSL_new(context());
    assert(ssl);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    return (struct tls *)ssl;
}

void tls_close(struct tls *tls)
{
    SSL_free((SSL *)tls);
}

/* What a call that did not succeed means, in errno. */
static ssize_t result(SSL *ssl, int n, int want_read)
{
    int error = SSL_get_error(ssl, n);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ ? want_read : error == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}

ssize_t tls_recv(struct tls *tls, void *data, size_t length)
{
    int n = SSL_read((SSL *)tls, data, (int)length);
    return n > 0 ? n : result((SSL *)tls, n, EAGAIN);
}

ssize_t tls_send(struct tls *tls, const void *data, size_t length)
{
    int n = SSL_write((SSL *)tls, data, (int)length);
    return n > 0 ? n : result((SSL *)tls, n, EINPROGRESS);
}
