/* forwarded.h: what trusted proxies say of their clients: the headers Forwarded (RFC 7239) and
 * X-Forwarded-For, and the PROXY protocol (haproxy.org, proxy-protocol.txt, versions 1 and 2).
 * Pure. */
#pragma once
#include "address.h"

/* The client of a request that a trusted proxy handed on: each proxy adds the one it was asked by
 * at the right, so the rightmost that is no trusted proxy itself is as far as anybody can be
 * believed.
 *   header   the value of X-Forwarded-For; with is_forwarded, of Forwarded
 *   returns  false, out untouched, if it says nothing that can be read */
bool forwarded_client(struct text header, bool is_forwarded, const struct network *trusted,
                      size_t trusted_count, struct address *out);

/* Whether that client came by https, as the element of Forwarded that names it says; http if none
 * does. */
bool forwarded_is_secure(struct text header, const struct network *trusted, size_t trusted_count);

/* A PROXY header at the beginning of a connection.
 *   returns  its length, with the client in *out (untouched if it is unknown, or a health check of
 *            the proxy's own); 0: it goes on; -1: this is none */
long proxy_header_parse(const unsigned char *bytes, size_t length, struct address *out);
