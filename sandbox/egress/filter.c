/* What of a run's frames is let through. It allows: ARP and neighbour discovery for the two that answer on the tap, DNS
 * to the resolver, and TCP and UDP, in one piece and without options or extension headers, to where packets may go. */
#include "egress.h"

#include <arpa/inet.h>
#include <string.h>

enum {
    ETHERNET = 14,
    IPV4 = 20,
    IPV6 = 40,
    PORTS = 8, /* the least of TCP and UDP */
    TYPE_IPV4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_IPV6 = 0x86dd,
    ICMPV6 = 58,
    NEIGHBOUR_SOLICITATION = 135,
    NEIGHBOUR_ADVERTISEMENT = 136,
    DNS = 53,
};

static unsigned u16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static bool is(int family, const uint8_t *bytes, const char *text)
{
    uint8_t wanted[16];
    return inet_pton(family, text, wanted) == 1 && memcmp(bytes, wanted, family == AF_INET ? 4 : 16) == 0;
}

static bool has_ports(unsigned protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static enum verdict judge(const struct ranges *ranges, bool to_resolver, unsigned protocol, const uint8_t *ports,
                          const struct address *to)
{
    if (!has_ports(protocol))
        return VERDICT_DROP;
    if (to_resolver)
        return u16(ports + 2) == DNS ? VERDICT_PASS : VERDICT_REFUSE;
    return ranges_allow(ranges, to) ? VERDICT_INQUIRE : VERDICT_REFUSE;
}

static enum verdict filter_v4(const struct ranges *ranges, const uint8_t *packet, size_t length, struct address *to)
{
    if (length < IPV4 + PORTS || packet[0] != 0x45 || u16(packet + 2) > length || u16(packet + 2) < IPV4 + PORTS ||
        (u16(packet + 6) & 0x3fff) != 0) /* fragments */
        return VERDICT_DROP;
    *to = address_v4(packet + 16);
    return judge(ranges, is(AF_INET, packet + 16, TAP_RESOLVER_V4), packet[9], packet + IPV4, to);
}

static enum verdict filter_v6(const struct ranges *ranges, const uint8_t *packet, size_t length, struct address *to)
{
    if (length < IPV6 + PORTS || packet[0] >> 4 != 6 || IPV6 + u16(packet + 4) > length || u16(packet + 4) < PORTS)
        return VERDICT_DROP;
    unsigned next = packet[6], kind = packet[IPV6];
    if (next == ICMPV6)
        return kind == NEIGHBOUR_SOLICITATION || kind == NEIGHBOUR_ADVERTISEMENT ? VERDICT_PASS : VERDICT_DROP;
    *to = address_v6(packet + 24);
    return judge(ranges, is(AF_INET6, packet + 24, TAP_RESOLVER_V6), next, packet + IPV6, to);
}

enum verdict filter_frame(const struct ranges *ranges, const uint8_t *frame, size_t length, struct address *to)
{
    if (length < ETHERNET)
        return VERDICT_DROP;
    switch (u16(frame + 12)) {
    case TYPE_ARP: return VERDICT_PASS;
    case TYPE_IPV4: return filter_v4(ranges, frame + ETHERNET, length - ETHERNET, to);
    case TYPE_IPV6: return filter_v6(ranges, frame + ETHERNET, length - ETHERNET, to);
    default: return VERDICT_DROP;
    }
}

/* ---- Answers ---------------------------------------------------------------------------------- */

static uint32_t sum(uint32_t so_far, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i + 1 < length; i += 2)
        so_far += u16(bytes + i);
    return length % 2 ? so_far + ((uint32_t)bytes[length - 1] << 8) : so_far;
}

static void put_sum(uint8_t *where, uint32_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    where[0] = (uint8_t)(~total >> 8);
    where[1] = (uint8_t)~total;
}

/* Both answers are headers, 8 bytes of ICMP, and the beginning of what was refused (RFC 792; RFC 4443, 3.1). */
size_t filter_refusal(const uint8_t *frame, size_t length, uint8_t answer[128])
{
    unsigned type = u16(frame + 12);
    size_t header = type == TYPE_IPV4 ? IPV4 : IPV6, quoted = header + PORTS;
    const uint8_t *packet = frame + ETHERNET;
    uint8_t *ip = answer + ETHERNET, *icmp = ip + header;
    if ((type != TYPE_IPV4 && type != TYPE_IPV6) || length < ETHERNET + quoted)
        return 0;
    memset(answer, 0, 128);
    memcpy(answer, frame + 6, 6);
    memcpy(answer + 6, frame, 6);
    memcpy(answer + 12, frame + 12, 2);
    memcpy(icmp + 8, packet, quoted);
    if (type == TYPE_IPV4) {
        ip[0] = 0x45;
        ip[3] = (uint8_t)(IPV4 + 8 + quoted);
        ip[8] = 64;
        ip[9] = IPPROTO_ICMP;
        memcpy(ip + 12, packet + 16, 4);
        memcpy(ip + 16, packet + 12, 4);
        put_sum(ip + 10, sum(0, ip, IPV4));
        icmp[0] = 3;  /* destination unreachable */
        icmp[1] = 13; /* communication administratively prohibited */
        put_sum(icmp + 2, sum(0, icmp, 8 + quoted));
    } else {
        ip[0] = 0x60;
        ip[5] = (uint8_t)(8 + quoted);
        ip[6] = ICMPV6;
        ip[7] = 64;
        memcpy(ip + 8, packet + 24, 16);
        memcpy(ip + 24, packet + 8, 16);
        icmp[0] = 1; /* destination unreachable */
        icmp[1] = 3; /* address unreachable: what IPv4's answer is to programs as well */
        put_sum(icmp + 2, sum((uint32_t)(8 + quoted + ICMPV6), ip + 8, 32) + sum(0, icmp, 8 + quoted));
    }
    return ETHERNET + header + 8 + quoted;
}
