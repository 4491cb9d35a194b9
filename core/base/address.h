/* address.h: the address of a client, IPv4 and IPv6 alike, and sets of networks. Any thread. */
#pragma once
#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

enum { ADDRESS_TEXT_SIZE = 46 };

struct address { /* IPv4 as ::ffff:a.b.c.d; all zero: unknown */
    uint8_t bytes[16];
};

struct address address_of(const struct sockaddr *from);
/* "192.0.2.1", "2001:db8::1", no brackets, no port. */
bool address_parse(struct text text, struct address *out);
/* "" for unknown. */
void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE]);
bool address_is_known(const struct address *address);
/* What limits per address count by: the address, of IPv6 its /64, which one customer has whole. */
struct address address_site(const struct address *address);

enum { ADDRESS_SITE_SIZE = ADDRESS_TEXT_SIZE + 3 };

/* That as text, in the one way there is to write it: "192.0.2.7", "2001:db8:0:1::/64"; "" for
 * unknown. */
void address_site_format(const struct address *address, char out[ADDRESS_SITE_SIZE]);
/* The same of an address as people write it, perhaps with its /64, or with a zone (%eth0), which is
 * dropped.
 *   returns  false: it is none */
bool address_site_parse(struct text text, char out[ADDRESS_SITE_SIZE]);

struct network {
    struct address address;
    unsigned bits; /* of 128 */
};

/* "10.0.0.0/8, ::1": networks and addresses, separated by commas and spaces.
 *   returns  how many, at most max of them written to out; -1 with the first wrong one in *wrong */
int networks_parse(const char *list, struct network *out, size_t max, struct text *wrong);
bool networks_contain(const struct network *networks, size_t count, const struct address *address);
