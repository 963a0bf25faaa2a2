/* One run's connections: libslirp behind the filter, in a process that can do nothing else. */
#include "egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libslirp.h>
#include <poll.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TAP,
    LIFETIME,
    FIXED,              /* descriptors that are watched beside the stack's */
    FRAMES_A_TURN = 64, /* from the tap before sockets are looked at again */
    BELIEVED_MS = 1000, /* what the machine's routes said */
    KNOWN = 256,
};

static int tap, routes;
static Slirp *stack;
static struct pollfd watched[FIXED + MAX_SOCKETS];
static size_t watching;
static struct known {
    struct address address;
    int64_t until;
    bool leads_out;
} known[KNOWN];

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- What libslirp calls ---------------------------------------------------------------------- */

static ssize_t send_packet(const void *frame, size_t length, void *opaque)
{
    (void)opaque;
    /* A full queue drops it, as a wire does. */
    return write(tap, frame, length) < 0 && errno != EAGAIN && errno != ENOBUFS ? -1 : (ssize_t)length;
}

static void guest_error(const char *message, void *opaque)
{
    (void)message;
    (void)opaque;
}

static int64_t clock_get_ns(void *opaque)
{
    (void)opaque;
    return now_ns();
}

/* Its one timer announces a router, which the tap does not need. */
static void *timer_new(SlirpTimerCb callback, void *callback_opaque, void *opaque)
{
    static int timer;
    (void)callback;
    (void)callback_opaque;
    (void)opaque;
    return &timer;
}

static void timer_free(void *timer, void *opaque)
{
    (void)timer;
    (void)opaque;
}

static void timer_mod(void *timer, int64_t expire_time, void *opaque)
{
    (void)timer;
    (void)expire_time;
    (void)opaque;
}

static void poll_fd_changed(int descriptor, void *opaque)
{
    (void)descriptor;
    (void)opaque;
}

static void notify(void *opaque)
{
    (void)opaque;
}

static int add_poll(int descriptor, int events, void *opaque)
{
    (void)opaque;
    if (watching == FIXED + MAX_SOCKETS)
        return -1;
    short wanted = 0;
    if (events & SLIRP_POLL_IN)
        wanted |= POLLIN;
    if (events & SLIRP_POLL_OUT)
        wanted |= POLLOUT;
    if (events & SLIRP_POLL_PRI)
        wanted |= POLLPRI;
    watched[watching] = (struct pollfd){.fd = descriptor, .events = wanted};
    return (int)watching++;
}

static int get_revents(int index, void *opaque)
{
    (void)opaque;
    if (index < 0)
        return 0;
    short got = watched[index].revents;
    return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
           (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void begin_stack(void)
{
    static const SlirpCb callbacks = {.send_packet = send_packet,
                                      .guest_error = guest_error,
                                      .clock_get_ns = clock_get_ns,
                                      .timer_new = timer_new,
                                      .timer_free = timer_free,
                                      .timer_mod = timer_mod,
                                      .register_poll_fd = poll_fd_changed,
                                      .unregister_poll_fd = poll_fd_changed,
                                      .notify = notify};
    SlirpConfig config = {.version = 4,
                          .in_enabled = true,
                          .in6_enabled = true,
                          .vprefix_len = 64,
                          .if_mtu = TAP_MTU,
                          .if_mru = TAP_MTU,
                          .disable_host_loopback = true,
                          .disable_dhcp = true};
    inet_pton(AF_INET, "10.0.2.0", &config.vnetwork);
    inet_pton(AF_INET, "255.255.255.0", &config.vnetmask);
    inet_pton(AF_INET, TAP_GATEWAY_V4, &config.vhost);
    inet_pton(AF_INET, TAP_V4, &config.vdhcp_start);
    inet_pton(AF_INET, TAP_RESOLVER_V4, &config.vnameserver);
    inet_pton(AF_INET6, "fec0::", &config.vprefix_addr6);
    inet_pton(AF_INET6, TAP_GATEWAY_V6, &config.vhost6);
    inet_pton(AF_INET6, TAP_RESOLVER_V6, &config.vnameserver6);
    stack = slirp_new(&config, &callbacks, NULL);
    if (!stack)
        fail("libslirp");
}

/* ---- Frames ----------------------------------------------------------------------------------- */

static bool leads_out(const struct address *to)
{
    unsigned place = 0;
    for (size_t i = 0; i < sizeof to->bytes; i++)
        place = place * 31 + to->bytes[i];
    struct known *entry = &known[place % KNOWN];
    int64_t now = now_ns();
    if (entry->until <= now || memcmp(&entry->address, to, sizeof *to) != 0)
        *entry = (struct known){*to, now + BELIEVED_MS * INT64_C(1000000), route_leads_out(routes, to)};
    return entry->leads_out;
}

static void take_frames(const struct ranges *ranges)
{
    static uint8_t frame[FRAME_MAX];
    for (int i = 0; i < FRAMES_A_TURN; i++) {
        ssize_t length = read(tap, frame, sizeof frame);
        if (length < 0 && errno != EAGAIN && errno != EINTR)
            _exit(0); /* the namespace is gone, and the device with it */
        if (length <= 0)
            return;
        struct address to;
        enum verdict verdict = filter_frame(ranges, frame, (size_t)length, &to);
        if (verdict == VERDICT_INQUIRE)
            verdict = leads_out(&to) ? VERDICT_PASS : VERDICT_REFUSE;
        if (verdict == VERDICT_PASS) {
            slirp_input(stack, frame, (int)length);
        } else if (verdict == VERDICT_REFUSE) {
            uint8_t answer[128];
            size_t size = filter_refusal(frame, (size_t)length, answer);
            if (size && write(tap, answer, size) < 0)
                return; /* lost, as any packet may be */
        }
    }
}

/* ---- What this process may still do ----------------------------------------------------------- */

static void allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
            fail("seccomp");
}

static void confine(void)
{
    static const int calls[] = {
        SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(poll),
        SCMP_SYS(ppoll), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(shutdown),
        SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(ioctl),
        SCMP_SYS(fcntl), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(stat), SCMP_SYS(newfstatat), SCMP_SYS(brk),
        SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
        SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(rt_sigaction),
        SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
        SCMP_SYS(exit_group), SCMP_SYS(getpid), SCMP_SYS(gettid),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        fail("seccomp");
    allow(filter, calls, sizeof calls / sizeof *calls);
    const struct scmp_arg_cmp reading = SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT, O_RDONLY); /* resolv.conf */
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, reading) < 0 ||
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET)) < 0 ||
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET6)) < 0 ||
        seccomp_load(filter) < 0)
        fail("seccomp");
    seccomp_release(filter);
}

/* ---- The loop --------------------------------------------------------------------------------- */

void stack_run(int its_tap, int its_routes, int lifetime, const struct ranges *ranges)
{
    tap = its_tap;
    routes = its_routes;
    begin_stack();
    confine();
    for (;;) {
        uint32_t timeout = UINT32_MAX;
        watched[TAP] = (struct pollfd){.fd = tap, .events = POLLIN};
        watched[LIFETIME] = (struct pollfd){.fd = lifetime, .events = POLLIN};
        watching = FIXED;
        slirp_pollfds_fill(stack, &timeout, add_poll, NULL);
        int ready = poll(watched, watching, timeout == UINT32_MAX ? -1 : (int)timeout);
        if (watched[LIFETIME].revents && ready > 0)
            _exit(0);
        slirp_pollfds_poll(stack, ready < 0, get_revents, NULL);
        if (ready > 0 && watched[TAP].revents)
            take_frames(ranges);
    }
}
