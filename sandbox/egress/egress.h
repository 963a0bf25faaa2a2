/* What the files of martlet-egress share. The theory of operation is at the top of main.c. */
#ifndef MARTLET_EGRESS_H
#define MARTLET_EGRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_MAX = 65536 + 64, /* of Ethernet */
    TAP_MTU = 65520,
    MAX_SOCKETS = 512, /* of one tap: connections, and UDP ports that are in use */
};

/* ---- ranges.c: what no run may reach ----------------------------------------------------------- */

/* An address of either family as 16 bytes: IPv4 is mapped (::ffff:a.b.c.d). */
struct address {
    uint8_t bytes[16];
};

struct range {
    struct address first;
    uint8_t length; /* of the prefix, from 0 to 128 */
};

enum { MAX_RANGES = 64 };

struct ranges {
    struct range items[MAX_RANGES];
    size_t count;
};

struct address address_v4(const void *four_bytes);
struct address address_v6(const void *sixteen_bytes);
bool address_is_v4(const struct address *address);

/* Those that are always there. */
void ranges_begin(struct ranges *ranges);
/* "192.0.2.0/24", "2001:db8::/32" or a single address; false if it is none, or there are too many. */
bool ranges_add(struct ranges *ranges, const char *text);
/* Whether a packet may go there at all, whatever the machine's own routes say. */
bool ranges_allow(const struct ranges *ranges, const struct address *address);

/* ---- filter.c: one frame from a tap ------------------------------------------------------------ */

/* The tap's side of the network that there seems to be, and what answers on it. */
#define TAP_V4 "10.0.2.15"
#define TAP_GATEWAY_V4 "10.0.2.2"
#define TAP_RESOLVER_V4 "10.0.2.3"
#define TAP_V6 "fec0::15"
#define TAP_GATEWAY_V6 "fec0::2"
#define TAP_RESOLVER_V6 "fec0::3"

enum verdict {
    VERDICT_PASS,
    VERDICT_DROP,    /* in silence */
    VERDICT_REFUSE,  /* and say so to the sender */
    VERDICT_INQUIRE, /* passes if this machine's routes lead out to `to` */
};

enum verdict filter_frame(const struct ranges *ranges, const uint8_t *frame, size_t length, struct address *to);
/* The ICMP answer to a refused frame, as a frame; its length, 0 if there is none. */
size_t filter_refusal(const uint8_t *frame, size_t length, uint8_t answer[128]);

/* ---- tap.c: netlink ---------------------------------------------------------------------------- */

/* A tap device in the network namespace this thread is in, up, with addresses and routes: out for what may be reached,
 * `unreachable` for the rest. Its descriptor, or -1 with errno. */
int tap_open(const struct ranges *ranges, bool has_v6);
/* A socket for route_leads_out, of the network namespace this thread is in; -1 with errno. */
int route_socket(void);
/* Whether this machine would send what is for this address to another one: it is no address of its own, none of many
 * hosts, and there is a way. */
bool route_leads_out(int socket, const struct address *address);

/* ---- stack.c: connections ---------------------------------------------------------------------- */

/* Moves what comes from the tap into sockets of this process and back, until `lifetime` is closed at its other end. */
_Noreturn void stack_run(int tap, int routes, int lifetime, const struct ranges *ranges);

/* ---- main.c ------------------------------------------------------------------------------------ */

_Noreturn void fail(const char *what);

#endif
