/* What filter.c and ranges.c say of frames and addresses, those of every kind that must not pass above all. */
#include "egress/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ranges ranges;
static int failures;

void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void expect(bool right, const char *what, const char *about)
{
    if (right)
        return;
    fprintf(stderr, "%s: %s\n", what, about);
    failures++;
}

static struct address address_of(const char *text)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return address_v4(bytes);
    if (inet_pton(AF_INET6, text, bytes) != 1)
        fail(text);
    return address_v6(bytes);
}

static void check_ranges(void)
{
    static const char *const near[] = {
        "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
        "127.255.255.255", "169.254.0.1", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.170",
        "192.168.0.0", "192.168.255.255", "192.88.99.1", "198.18.0.0", "198.19.255.255", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::10.0.0.1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::203.0.113.1", "64:ff9b:1::1", "100::1", "2001::1",
        "2001:0:a00:1::", "2002::1", "2002:a00:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "fc00::1", "fd00:ec2::254",
        "fdff::1", "fe80::1", "febf::1", "fec0::2", "ff02::1", "ff0e::1", "4000::1", "1fff::1",
    };
    static const char *const far[] = {
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
        "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
        "198.17.255.255", "198.20.0.0", "203.0.113.10", "223.255.255.255", "2001:db8::10", "2003::1", "2606:4700::1",
        "3fff:ffff::1", "2000::1", "::ffff:203.0.113.10",
    };
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        struct address one = address_of(near[i]);
        expect(!ranges_allow(&ranges, &one), "may be reached", near[i]);
    }
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        struct address one = address_of(far[i]);
        expect(ranges_allow(&ranges, &one), "may not be reached", far[i]);
    }
    static const char *const bad[] = {"", "x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "10.0.0/8", "1.2.3.4/8x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ranges copy = ranges;
        expect(!ranges_add(&copy, bad[i]), "is a range", bad[i]);
    }
    struct ranges more = ranges;
    struct address v4 = address_of("203.0.113.10"), v6 = address_of("2001:db8:5::1");
    expect(ranges_add(&more, "203.0.113.0/28") && ranges_add(&more, "2001:db8:5::/48"), "is no range", "");
    expect(!ranges_allow(&more, &v4) && !ranges_allow(&more, &v6), "may be reached", "an added range");
    more = ranges;
    expect(ranges_add(&more, "0.0.0.0/0") && !ranges_allow(&more, &v4) && ranges_allow(&more, &v6), "is wrong", "/0");
}

/* A frame with the headers of what is sent to an address; its length. */
static size_t frame_to(uint8_t frame[128], const char *to, uint8_t protocol, uint16_t port)
{
    memset(frame, 0, 128);
    uint8_t *packet = frame + 14, *ports;
    if (strchr(to, ':')) {
        frame[12] = 0x86, frame[13] = 0xdd;
        packet[0] = 0x60, packet[5] = 20, packet[6] = protocol, packet[7] = 64;
        inet_pton(AF_INET6, TAP_V6, packet + 8);
        inet_pton(AF_INET6, to, packet + 24);
        ports = packet + 40;
    } else {
        frame[12] = 0x08;
        packet[0] = 0x45, packet[3] = 40, packet[8] = 64, packet[9] = protocol;
        inet_pton(AF_INET, TAP_V4, packet + 12);
        inet_pton(AF_INET, to, packet + 16);
        ports = packet + 20;
    }
    ports[2] = (uint8_t)(port >> 8), ports[3] = (uint8_t)port;
    return (size_t)(ports - frame) + 20;
}

static enum verdict judged(const char *to, uint8_t protocol, uint16_t port)
{
    uint8_t frame[128];
    struct address where;
    return filter_frame(&ranges, frame, frame_to(frame, to, protocol, port), &where);
}

static void check_frames(void)
{
    enum { TCP = 6, UDP = 17, ICMP = 1, ICMPV6 = 58 };
    static const struct {
        const char *to;
        uint8_t protocol;
        uint16_t port;
        enum verdict verdict;
    } table[] = {
        {"203.0.113.10", TCP, 80, VERDICT_INQUIRE}, {"203.0.113.10", UDP, 53, VERDICT_INQUIRE},
        {"2001:db8::10", TCP, 80, VERDICT_INQUIRE}, {"2001:db8::10", UDP, 1, VERDICT_INQUIRE},
        {"203.0.113.10", ICMP, 0, VERDICT_DROP},    {"203.0.113.10", 47, 0, VERDICT_DROP},
        {"203.0.113.10", 132, 0, VERDICT_DROP},     {"2001:db8::10", 0, 0, VERDICT_DROP},
        {"2001:db8::10", 43, 0, VERDICT_DROP},      {"2001:db8::10", 44, 0, VERDICT_DROP},
        {"2001:db8::10", ICMPV6, 0, VERDICT_DROP},  {"10.0.0.1", TCP, 80, VERDICT_REFUSE},
        {"10.0.2.2", TCP, 80, VERDICT_REFUSE},      {"10.0.2.3", TCP, 80, VERDICT_REFUSE},
        {"10.0.2.3", UDP, 5432, VERDICT_REFUSE},    {"10.0.2.3", UDP, 53, VERDICT_PASS},
        {"10.0.2.3", TCP, 53, VERDICT_PASS},        {"fec0::3", UDP, 53, VERDICT_PASS},
        {"fec0::3", TCP, 22, VERDICT_REFUSE},       {"fec0::2", TCP, 22, VERDICT_REFUSE},
        {"127.0.0.1", TCP, 22, VERDICT_REFUSE},     {"255.255.255.255", UDP, 67, VERDICT_REFUSE},
        {"fd00:ec2::254", TCP, 80, VERDICT_REFUSE}, {"fe80::2", UDP, 547, VERDICT_REFUSE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        expect(judged(table[i].to, table[i].protocol, table[i].port) == table[i].verdict, "judged wrongly", table[i].to);

    uint8_t frame[128], answer[128];
    struct address where;
    size_t length = frame_to(frame, "203.0.113.10", TCP, 80);
    for (size_t cut = 0; cut < length; cut++)
        expect(filter_frame(&ranges, frame, cut, &where) == VERDICT_DROP, "passes", "a frame that is cut short");
    static const struct {
        int place;
        uint8_t value;
    } spoilt[] = {{14, 0x46}, {14, 0x44}, {14, 0x55}, {17, 27}, {17, 41}, {20, 0x20}, {21, 1}, {12, 0x81}, {12, 0x88}};
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        length = frame_to(frame, "203.0.113.10", TCP, 80);
        frame[spoilt[i].place] = spoilt[i].value;
        expect(filter_frame(&ranges, frame, length, &where) == VERDICT_DROP, "passes", "a spoilt frame");
    }
    length = frame_to(frame, "10.0.0.1", TCP, 80);
    expect(filter_refusal(frame, length, answer) == 14 + 20 + 8 + 28 && answer[34] == 3, "is wrong", "the refusal");
    length = frame_to(frame, "fd00::1", TCP, 80);
    expect(filter_refusal(frame, length, answer) == 14 + 40 + 8 + 48 && answer[54] == 1, "is wrong", "the refusal");
}

/* Whatever a frame holds, nothing is read or written beyond it (the sanitizers see to that). */
static void check_noise(void)
{
    static const uint8_t types[][2] = {{0x08, 0x00}, {0x86, 0xdd}, {0x08, 0x06}, {0, 0}};
    srandom(1);
    for (int round = 0; round < 200000; round++) {
        size_t length = (size_t)(random() % 120);
        uint8_t *frame = malloc(length ? length : 1), answer[128];
        struct address where;
        if (!frame)
            fail("malloc");
        for (size_t i = 0; i < length; i++)
            frame[i] = (uint8_t)random();
        if (length > 14) {
            memcpy(frame + 12, types[random() % 4], 2);
            frame[14] = random() % 2 ? 0x45 : 0x60;
        }
        if (filter_frame(&ranges, frame, length, &where) == VERDICT_REFUSE)
            filter_refusal(frame, length, answer);
        free(frame);
    }
}

int main(void)
{
    ranges_begin(&ranges);
    check_ranges();
    check_frames();
    check_noise();
    return failures > 0;
}
