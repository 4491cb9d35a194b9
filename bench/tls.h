/* tls.h: TLS below a connection, with calls that behave as recv() and send() do. It believes any
 * certificate: what it talks to is a server that was started for this. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

struct tls;

/* On a connected socket that does not block, which stays the caller's; tls_close() frees it. */
struct tls *tls_open(int fd);
void tls_close(struct tls *tls);

/* As recv(); read again until it is EAGAIN, for what is decrypted already no poll tells of. */
ssize_t tls_recv(struct tls *tls, void *data, size_t length);

/* As send(); EINPROGRESS means that the handshake waits for the server: try again after a read. */
ssize_t tls_send(struct tls *tls, const void *data, size_t length);
