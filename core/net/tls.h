/* tls.h: certificates, and sessions over them. Home of openssl's TLS. TLS 1.2 and 1.3, HTTP/1.1 by
 * ALPN (RFC 7301), no renegotiation. A context is immutable and counted by openssl: any thread. */
#pragma once
#include "error.h"
#include <openssl/types.h>
#include <stdbool.h>

struct wire;

/* certificate: PEM file, the server's first, then what leads to its root; key: PEM file.
 *   returns  destroyed by the caller; NULL with err: a file that cannot be read, or two that do not
 * fit */
SSL_CTX *tls_context_create(const char *certificate, const char *key, struct error *err);
void tls_context_destroy(SSL_CTX *context);
/* For an accepted socket, over its wire. NULL without memory. */
SSL *tls_session_create(SSL_CTX *context, struct wire *wire);
