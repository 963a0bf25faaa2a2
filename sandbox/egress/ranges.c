/* Addresses that are nobody's on the internet, or somebody's who thinks that only neighbours can reach it. */
#include "egress.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const char *const always[] = {
    "0.0.0.0/8",      /* this network */
    "10.0.0.0/8",     /* private */
    "100.64.0.0/10",  /* shared by carriers; metadata of some clouds */
    "127.0.0.0/8",    /* loopback */
    "169.254.0.0/16", /* link-local; metadata of most clouds */
    "172.16.0.0/12",  /* private */
    "192.0.0.0/24",   /* protocol assignments; metadata of some clouds */
    "192.88.99.0/24", /* relays of 6to4 */
    "192.168.0.0/16", /* private */
    "198.18.0.0/15",  /* benchmarks */
    "224.0.0.0/4",    /* multicast */
    "240.0.0.0/4",    /* reserved, broadcast */
    "2001::/32",      /* Teredo: an IPv4 address inside */
    "2002::/16",      /* 6to4: an IPv4 address inside */
};

/* Of IPv6 only what is global unicast. That leaves out loopback, IPv4 mapped and translated (::ffff:0:0/96,
 * 64:ff9b::/96, 64:ff9b:1::/48), unique local (fc00::/7), link-local, site-local and multicast. */
static bool is_global(const struct address *address)
{
    return (address->bytes[0] & 0xe0) == 0x20;
}

struct address address_v4(const void *four_bytes)
{
    struct address address = {.bytes = {[10] = 0xff, [11] = 0xff}};
    memcpy(address.bytes + 12, four_bytes, 4);
    return address;
}

struct address address_v6(const void *sixteen_bytes)
{
    struct address address;
    memcpy(address.bytes, sixteen_bytes, sizeof address.bytes);
    return address;
}

bool address_is_v4(const struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

bool ranges_add(struct ranges *ranges, const char *text)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    uint8_t bytes[16];
    struct range range;
    long most;
    if (length >= sizeof host || ranges->count == MAX_RANGES)
        return false;
    memcpy(host, text, length);
    host[length] = 0;
    if (inet_pton(AF_INET, host, bytes) == 1) {
        range.first = address_v4(bytes);
        most = 32;
    } else if (inet_pton(AF_INET6, host, bytes) == 1) {
        range.first = address_v6(bytes);
        most = 128;
    } else {
        return false;
    }
    long bits = most;
    if (slash) {
        char *end;
        bits = strtol(slash + 1, &end, 10);
        if (end == slash + 1 || *end || bits < 0 || bits > most)
            return false;
    }
    range.length = (uint8_t)(bits + (most == 32 ? 96 : 0));
    ranges->items[ranges->count++] = range;
    return true;
}

void ranges_begin(struct ranges *ranges)
{
    ranges->count = 0;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (!ranges_add(ranges, always[i]))
            fail("ranges");
}

static bool holds(const struct range *range, const struct address *address)
{
    size_t whole = range->length / 8;
    if (memcmp(range->first.bytes, address->bytes, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> (range->length % 8));
    return mask == 0 || ((range->first.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

bool ranges_allow(const struct ranges *ranges, const struct address *address)
{
    if (!address_is_v4(address) && !is_global(address))
        return false;
    for (size_t i = 0; i < ranges->count; i++)
        if (holds(&ranges->items[i], address))
            return false;
    return true;
}
