/* A tap device and its routes, and questions about this machine's routes: rtnetlink(7). */
#include "egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char name[] = "eth0";

/* One request; everything in here is a few dozen bytes. */
struct message {
    struct nlmsghdr header;
    uint8_t rest[256];
};

int route_socket(void)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int made = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (made >= 0 && connect(made, (struct sockaddr *)&kernel, sizeof kernel) < 0) {
        close(made);
        return -1;
    }
    return made;
}

static struct message begin(uint16_t type, uint16_t flags, const void *body, size_t length)
{
    struct message message = {.header = {.nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)}};
    message.header.nlmsg_len = (uint32_t)NLMSG_SPACE(length);
    memcpy(NLMSG_DATA(&message.header), body, length);
    return message;
}

static void attach(struct message *message, uint16_t type, const void *value, size_t length)
{
    struct rtattr *attribute = (struct rtattr *)((uint8_t *)message + NLMSG_ALIGN(message->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), value, length);
    message->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(message->header.nlmsg_len) + RTA_SPACE(length));
}

/* The first message of the answer; 0, or -1 with errno. A socket has one question under way. */
static int ask(int socket, struct message *message, void *answer, size_t size)
{
    static uint32_t sequence;
    message->header.nlmsg_seq = ++sequence;
    if (send(socket, message, message->header.nlmsg_len, 0) < 0)
        return -1;
    struct nlmsghdr *header = answer;
    do {
        ssize_t got;
        while ((got = recv(socket, answer, size, 0)) < 0 && errno == EINTR)
            ;
        if (got < (ssize_t)sizeof *header)
            return -1;
    } while (header->nlmsg_seq != sequence);
    if (header->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = NLMSG_DATA(header);
        errno = -error->error;
        return error->error ? -1 : 0;
    }
    return 0;
}

static void perform(int socket, struct message *message, const char *what)
{
    uint8_t answer[1024] __attribute__((aligned(8)));
    message->header.nlmsg_flags |= NLM_F_ACK;
    if (ask(socket, message, answer, sizeof answer) < 0 && errno != EEXIST)
        fail(what);
}

/* ---- The tap ---------------------------------------------------------------------------------- */

static void bring_up(int socket, int index)
{
    struct ifinfomsg body = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct message message = begin(RTM_NEWLINK, 0, &body, sizeof body);
    attach(&message, IFLA_MTU, &(uint32_t){TAP_MTU}, sizeof(uint32_t));
    perform(socket, &message, "bringing the tap up");
}

static void add_address(int socket, int index, int family, const char *text, uint8_t length)
{
    uint8_t bytes[16];
    size_t size = family == AF_INET ? 4 : 16;
    struct ifaddrmsg body = {.ifa_family = (uint8_t)family, .ifa_prefixlen = length, .ifa_index = (uint32_t)index};
    body.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
    struct message message = begin(RTM_NEWADDR, NLM_F_CREATE, &body, sizeof body);
    inet_pton(family, text, bytes);
    attach(&message, IFA_LOCAL, bytes, size);
    attach(&message, IFA_ADDRESS, bytes, size);
    perform(socket, &message, "giving the tap an address");
}

static struct message route(int family, uint8_t kind, const uint8_t *to, uint8_t length)
{
    struct rtmsg body = {.rtm_family = (uint8_t)family,
                         .rtm_dst_len = length,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_STATIC,
                         .rtm_scope = RT_SCOPE_UNIVERSE,
                         .rtm_type = kind};
    struct message message = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    attach(&message, RTA_DST, to, family == AF_INET ? 4 : 16);
    return message;
}

static void add_way_out(int socket, int index, int family, const uint8_t *to, uint8_t length, const char *gateway)
{
    uint8_t bytes[16];
    struct message message = route(family, RTN_UNICAST, to, length);
    inet_pton(family, gateway, bytes);
    attach(&message, RTA_GATEWAY, bytes, family == AF_INET ? 4 : 16);
    attach(&message, RTA_OIF, &index, sizeof index);
    perform(socket, &message, "the way out");
}

static void add_wall(int socket, const struct range *range)
{
    bool is_v4 = address_is_v4(&range->first) && range->length >= 96;
    struct message message = is_v4 ? route(AF_INET, RTN_UNREACHABLE, range->first.bytes + 12, range->length - 96)
                                   : route(AF_INET6, RTN_UNREACHABLE, range->first.bytes, range->length);
    perform(socket, &message, "a route to nowhere");
}

int tap_open(const struct ranges *ranges, bool has_v6)
{
    int index, tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    memcpy(request.ifr_name, name, sizeof name);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) < 0)
        return -1;
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0 || ioctl(any, SIOCGIFINDEX, &request) < 0)
        return -1;
    index = request.ifr_ifindex;
    close(any);
    int socket = route_socket();
    if (socket < 0)
        return -1;
    bring_up(socket, index);
    add_address(socket, index, AF_INET, TAP_V4, 24);
    for (size_t i = 0; i < ranges->count; i++)
        if (has_v6 || address_is_v4(&ranges->items[i].first))
            add_wall(socket, &ranges->items[i]);
    add_way_out(socket, index, AF_INET, (uint8_t[16]){0}, 0, TAP_GATEWAY_V4);
    if (has_v6) {
        add_address(socket, index, AF_INET6, TAP_V6, 64);
        add_way_out(socket, index, AF_INET6, (uint8_t[16]){0x20}, 3, TAP_GATEWAY_V6);
    }
    close(socket);
    return tap;
}

/* ---- Questions -------------------------------------------------------------------------------- */

bool route_leads_out(int socket, const struct address *address)
{
    bool is_v4 = address_is_v4(address);
    struct rtmsg body = {.rtm_family = is_v4 ? AF_INET : AF_INET6, .rtm_dst_len = is_v4 ? 32 : 128};
    struct message message = begin(RTM_GETROUTE, 0, &body, sizeof body);
    uint8_t answer[4096] __attribute__((aligned(8)));
    attach(&message, RTA_DST, address->bytes + (is_v4 ? 12 : 0), is_v4 ? 4 : 16);
    if (ask(socket, &message, answer, sizeof answer) < 0)
        return false;
    const struct nlmsghdr *header = (struct nlmsghdr *)answer;
    if (header->nlmsg_type != RTM_NEWROUTE)
        return false;
    return ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type == RTN_UNICAST;
}
