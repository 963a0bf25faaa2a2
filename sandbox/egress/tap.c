/* A tap device and its routes, and questions about this machine's routes: rtnetlink(7). */
#include "egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_link.h>
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
    uint8_t *place = (uint8_t *)message + NLMSG_ALIGN(message->header.nlmsg_len);
    struct rtattr attribute = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(length)};
    memcpy(place, &attribute, sizeof attribute);
    memcpy(place + RTA_LENGTH(0), value, length);
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

/* ---- The tap ---------------------------------------------------------------------------------- */

/* Requests that are sent together. */
struct batch {
    uint8_t bytes[12 * 1024] __attribute__((aligned(8))); /* MAX_RANGES walls and some more */
    size_t length;
    uint32_t count;
};

static void add(struct batch *batch, struct message *message)
{
    size_t size = NLMSG_ALIGN(message->header.nlmsg_len);
    if (batch->length + size > sizeof batch->bytes)
        return; /* cannot be: the answer would be missing */
    message->header.nlmsg_seq = ++batch->count;
    memcpy(batch->bytes + batch->length, message, size);
    batch->length += size;
}

/* The kernel answers each that fails, and the last. False with errno. */
static bool perform(int socket, struct batch *batch, struct message *last)
{
    uint8_t answer[1024] __attribute__((aligned(8)));
    const struct nlmsghdr *header = (struct nlmsghdr *)answer;
    const struct nlmsgerr *error = NLMSG_DATA(header);
    last->header.nlmsg_flags |= NLM_F_ACK;
    add(batch, last);
    if (send(socket, batch->bytes, batch->length, 0) < 0)
        return false;
    do {
        ssize_t got;
        while ((got = recv(socket, answer, sizeof answer, 0)) < 0 && errno == EINTR)
            ;
        if (got < (ssize_t)sizeof *header)
            return false;
        if (header->nlmsg_type == NLMSG_ERROR && error->error && error->error != -EEXIST) {
            errno = -error->error;
            return false;
        }
    } while (header->nlmsg_seq != batch->count);
    return true;
}

/* What IPv6 says unasked, of groups that it is in, would wake a stack for nothing. */
static bool hold_reports_back(int tap)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* to 33:33:00:00:00:16, of MLDv2 (RFC 9777, 5.2.14) */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x33330000, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0016, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return ioctl(tap, TUNATTACHFILTER, &program) == 0;
}

/* No address that is made up of the device's own, which would be announced and looked for. May fail: without IPv6. */
static struct message no_address_of_its_own(int index)
{
    struct ifinfomsg body = {.ifi_index = index};
    struct message message = begin(RTM_NEWLINK, 0, &body, sizeof body);
    struct {
        struct rtattr family, mode;
        uint8_t value[4];
    } about = {{sizeof about, AF_INET6}, {RTA_LENGTH(1), IFLA_INET6_ADDR_GEN_MODE}, {IN6_ADDR_GEN_MODE_NONE}};
    attach(&message, IFLA_AF_SPEC, &about, sizeof about);
    return message;
}

static struct message bring_up(int index)
{
    struct ifinfomsg body = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct message message = begin(RTM_NEWLINK, 0, &body, sizeof body);
    attach(&message, IFLA_MTU, &(uint32_t){TAP_MTU}, sizeof(uint32_t));
    return message;
}

static struct message address(int index, int family, const char *text, uint8_t length)
{
    uint8_t bytes[16];
    size_t size = family == AF_INET ? 4 : 16;
    struct ifaddrmsg body = {.ifa_family = (uint8_t)family, .ifa_prefixlen = length, .ifa_index = (uint32_t)index};
    body.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
    struct message message = begin(RTM_NEWADDR, NLM_F_CREATE, &body, sizeof body);
    inet_pton(family, text, bytes);
    attach(&message, IFA_LOCAL, bytes, size);
    attach(&message, IFA_ADDRESS, bytes, size);
    return message;
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

static struct message way_out(int index, int family, const uint8_t *to, uint8_t length, const char *gateway)
{
    uint8_t bytes[16];
    struct message message = route(family, RTN_UNICAST, to, length);
    inet_pton(family, gateway, bytes);
    attach(&message, RTA_GATEWAY, bytes, family == AF_INET ? 4 : 16);
    attach(&message, RTA_OIF, &index, sizeof index);
    return message;
}

static struct message wall(const struct range *range)
{
    bool is_v4 = address_is_v4(&range->first) && range->length >= 96;
    return is_v4 ? route(AF_INET, RTN_UNREACHABLE, range->first.bytes + 12, range->length - 96)
                 : route(AF_INET6, RTN_UNREACHABLE, range->first.bytes, range->length);
}

static bool configure(int socket, int index, const struct ranges *ranges, bool has_v6)
{
    static struct batch batch;
    struct message one = no_address_of_its_own(index);
    batch.length = batch.count = 0;
    if (!perform(socket, &batch, &one) && errno != EAFNOSUPPORT)
        return false;
    batch.length = 0;
    one = bring_up(index);
    add(&batch, &one);
    one = address(index, AF_INET, TAP_V4, 24);
    add(&batch, &one);
    for (size_t i = 0; i < ranges->count; i++)
        if (has_v6 || address_is_v4(&ranges->items[i].first)) {
            one = wall(&ranges->items[i]);
            add(&batch, &one);
        }
    if (has_v6) {
        one = address(index, AF_INET6, TAP_V6, 64);
        add(&batch, &one);
        one = way_out(index, AF_INET6, (uint8_t[16]){0x20}, 3, TAP_GATEWAY_V6);
        add(&batch, &one);
    }
    one = way_out(index, AF_INET, (uint8_t[16]){0}, 0, TAP_GATEWAY_V4);
    return perform(socket, &batch, &one);
}

int tap_open(const struct ranges *ranges, bool has_v6)
{
    int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), socket = route_socket();
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    memcpy(request.ifr_name, name, sizeof name);
    /* It ends with its namespace, among what else is there, not by itself before. */
    bool done = tap >= 0 && any >= 0 && socket >= 0 && ioctl(tap, TUNSETIFF, &request) == 0 &&
                ioctl(tap, TUNSETPERSIST, 1) == 0 && hold_reports_back(tap) && ioctl(any, SIOCGIFINDEX, &request) == 0 &&
                configure(socket, request.ifr_ifindex, ranges, has_v6);
    int problem = errno;
    if (any >= 0)
        close(any);
    if (socket >= 0)
        close(socket);
    if (!done && tap >= 0)
        close(tap);
    errno = problem;
    return done ? tap : -1;
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
