/* certificate.h: certificates for 127.0.0.1, each by an authority of its own, made on the spot. */
#pragma once

struct certificate {
    char *authority, *file, *key; /* PEM files in the directory of the test */
};

struct certificate certificate_make(const char *name);
/* The section of the YAML that serves with it. */
char *certificate_yaml(const struct certificate *certificate);
