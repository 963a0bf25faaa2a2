/* martlet-egress: gives runs in a VM a way to the internet, and to nothing nearer.
 *
 *   martlet-egress --descriptor N --user UID [--deny RANGE ...] -- PROGRAM ARGUMENTS...
 *
 * It makes a channel, forks, and becomes PROGRAM (crun, which starts the VM) with one end of the channel as descriptor N.
 * The fork, outside of the VM, holds the other end and serves the VM as long as anybody in it holds the first:
 *
 *   guardian  root on this machine, in this machine's network, with nothing but the channel. A message is one byte and two
 *     |       descriptors: a network namespace, and a socket whose other end the VM keeps as long as it wants this. It
 *     |       enters the namespace, makes a tap device with its routes (tap.c), comes back, and waits until something is
 *     |       sent there, which most runs never do. Then it forks. It reads nothing else of what a VM says.
 *   stack     one for each namespace that is used. Becomes a user that nobody else is, with no capability, no file but
 *             resolv.conf, no other's descriptors and a list of system calls, and then moves what comes from the tap into
 *             sockets of its own (stack.c, libslirp), through a filter (filter.c).
 *
 * Two walls stand at the same ranges. The routes in the run's namespace say at once that there is no way. They are made by
 *   this machine's root, but in a namespace that the VM's root owns; so the filter, which nobody in a VM can reach, looks at
 *   each packet once more. It also asks this machine's routes whether the address is the machine's own: what listens on
 *   it, on whichever address and since whenever, is not reached.
 * DNS: port 53 of 10.0.2.3 and fec0::3 is the resolver of this machine, asked by the stack; no other port of it.
 * Nothing is reached from outside: there are no ports to come in by, and two taps have nothing in common.
 * Bounds: a tap has at most MAX_SOCKETS sockets, its stack lives in the VM's control group, so memory and processor time
 *   are the VM's, and there are at most MAX_STACKS. All end with the VM: channel and sockets are closed with its last process.
 */
#include "egress.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_STACKS = 1100 };

static int answer = -1; /* where a failure is told, beside standard error */

static void complain(const char *what)
{
    char text[200];
    int length = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
    if (answer >= 0 && length > 0)
        send(answer, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    fprintf(stderr, "martlet-egress: %s\n", text);
}

void fail(const char *what)
{
    complain(what);
    exit(1);
}

static _Noreturn void misuse(const char *problem)
{
    fprintf(stderr,
            "martlet-egress: %s\n"
            "Usage: martlet-egress --descriptor N --user UID [--deny RANGE ...] -- PROGRAM ARGUMENTS...\n"
            "       martlet-egress --check\n",
            problem);
    exit(64);
}

/* ---- Its place -------------------------------------------------------------------------------- */

/* A root of its own with the two things that are read: the tun device and the resolver's address. */
static void leave_files(void)
{
    /* resolv.conf may be replaced at any time, be a link into /run, or, in a container, a mount of its own. */
    static const char *const parts[] = {"/etc", "/run"};
    static const char root[] = "/tmp";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        fail("a mount namespace");
    int tun = open("/dev/net/tun", O_PATH | O_CLOEXEC);
    int held[2];
    char path[64];
    for (size_t i = 0; i < 2; i++)
        held[i] = open(parts[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (tun < 0)
        fail("/dev/net/tun");
    if (mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,mode=0755") < 0)
        fail("a root of its own");
    for (size_t i = 0; i < 2; i++) {
        char source[32];
        snprintf(source, sizeof source, "/proc/self/fd/%d", held[i]);
        snprintf(path, sizeof path, "%s%s", root, parts[i]);
        if (held[i] < 0)
            continue;
        if (mkdir(path, 0755) < 0 || mount(source, path, NULL, i == 0 ? MS_BIND | MS_REC : MS_BIND, NULL) < 0 ||
            mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL) < 0)
            fail(parts[i]);
        close(held[i]);
    }
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", tun);
    int node;
    if (mkdir("/tmp/dev", 0755) < 0 || mkdir("/tmp/dev/net", 0755) < 0 ||
        (node = open("/tmp/dev/net/tun", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0 ||
        mount(source, "/tmp/dev/net/tun", NULL, MS_BIND, NULL) < 0)
        fail("/dev/net/tun");
    close(node);
    close(tun);
    if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        fail("a root of its own");
}

static void set_capabilities(uint64_t mask)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = (uint32_t)mask, .permitted = (uint32_t)mask}};
    if (syscall(SYS_capset, &header, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail("capabilities");
}

static void give_up(uid_t user)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (prctl(PR_CAPBSET_DROP, capability) < 0)
            fail("capabilities");
    if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0)
        fail("becoming another user");
    set_capabilities(0);
}

static void limit_sockets(void)
{
    enum { OTHERS = 16 };
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){MAX_SOCKETS + OTHERS, MAX_SOCKETS + OTHERS}) < 0 ||
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        fail("limits");
}

/* ---- A stack ---------------------------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

static void keep_only(int descriptors[], size_t count)
{
    qsort(descriptors, count, sizeof *descriptors, by_number);
    for (size_t i = 0; i <= count; i++) {
        unsigned first = i > 0 ? (unsigned)descriptors[i - 1] + 1 : STDERR_FILENO + 1;
        unsigned last = i < count ? (unsigned)descriptors[i] - 1 : ~0U;
        if (first <= last && close_range(first, last, 0) < 0)
            fail("close_range");
    }
}

static _Noreturn void serve(int tap, int lifetime, uid_t user, const struct ranges *ranges)
{
    int routes = route_socket();
    if (routes < 0)
        fail("netlink");
    keep_only((int[]){tap, lifetime, routes}, 3);
    give_up(user);
    limit_sockets();
    stack_run(tap, routes, lifetime, ranges);
}

/* ---- The guardian ----------------------------------------------------------------------------- */

/* One message: its two descriptors. 0 if it was not one, -1 when nobody is left who could send any. */
static int receive(int channel, int passed[2])
{
    char byte;
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr aligned;
    } room;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes};
    ssize_t got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EINTR ? 0 : -1;
    if (got == 0)
        return -1;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(passed, CMSG_DATA(header), count * sizeof(int));
    if (count == 2)
        return 1;
    for (size_t i = 0; i < count; i++)
        close(passed[i]);
    return 0;
}

static int home;   /* this machine's network namespace */
static int routes; /* and who is asked about it */

/* Taps on which nothing was sent yet; `watched` is them as poll wants them, behind the channel. */
static struct waiting {
    int tap, lifetime;
} waiting[MAX_STACKS];
static struct pollfd watched[1 + 2 * MAX_STACKS];
static int waiting_count, stacks;

/* Has as many descriptors as it may come to need. */
static void raise_limit(void)
{
    struct rlimit limit;
    enum { WANTED = 2 * MAX_STACKS + 64 };
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("limits");
    if (limit.rlim_cur < WANTED) {
        limit.rlim_cur = limit.rlim_max < WANTED ? limit.rlim_max : WANTED;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            fail("limits");
    }
}

static int make_tap(int namespace, const struct ranges *ranges)
{
    static const uint8_t somewhere[16] = {0x20};
    struct address v6 = address_v6(somewhere);
    bool has_v6 = route_leads_out(routes, &v6);
    if (setns(namespace, CLONE_NEWNET) < 0) {
        complain("entering the network namespace");
        return -1;
    }
    int tap = tap_open(ranges, has_v6);
    if (tap < 0)
        complain("the tap device");
    if (setns(home, CLONE_NEWNET) < 0)
        fail("coming back");
    return tap;
}

/* Takes both descriptors over. Without a word, the end of `lifetime` is the answer. */
static void admit(int namespace, int lifetime, const struct ranges *ranges)
{
    int kind = 0, tap = -1;
    socklen_t size = sizeof kind;
    bool is_socket = getsockopt(lifetime, SOL_SOCKET, SO_DOMAIN, &kind, &size) == 0 && kind == AF_UNIX;
    answer = lifetime;
    if (is_socket && waiting_count + stacks < MAX_STACKS)
        tap = make_tap(namespace, ranges);
    answer = -1;
    close(namespace);
    if (tap >= 0 && send(lifetime, "+", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) {
        waiting[waiting_count++] = (struct waiting){tap, lifetime};
        return;
    }
    close(lifetime);
    if (tap >= 0)
        close(tap);
}

/* Whether something came of this one: its end, or a stack for it. */
static bool look_after(const struct waiting *one, const struct pollfd seen[2], uid_t user, const struct ranges *ranges)
{
    if (!seen[0].revents && !seen[1].revents)
        return false;
    if (!seen[1].revents) {
        pid_t child = fork();
        if (child == 0)
            serve(one->tap, one->lifetime, user, ranges);
        stacks += child > 0;
    }
    close(one->tap);
    close(one->lifetime);
    return true;
}

static _Noreturn void guard(int channel, uid_t user, const struct ranges *ranges)
{
    for (;;) {
        watched[0] = (struct pollfd){.fd = channel, .events = POLLIN};
        for (int i = 0; i < waiting_count; i++) {
            watched[1 + 2 * i] = (struct pollfd){.fd = waiting[i].tap, .events = POLLIN};
            watched[2 + 2 * i] = (struct pollfd){.fd = waiting[i].lifetime, .events = POLLIN};
        }
        if (poll(watched, (nfds_t)(1 + 2 * waiting_count), -1) < 0 && errno != EINTR)
            fail("poll");
        while (waitpid(-1, NULL, WNOHANG) > 0)
            stacks--;
        for (int i = waiting_count; i-- > 0;) /* what takes its place was looked at before */
            if (look_after(&waiting[i], &watched[1 + 2 * i], user, ranges))
                waiting[i] = waiting[--waiting_count];
        int passed[2], kind = watched[0].revents ? receive(channel, passed) : 0;
        if (kind < 0)
            exit(0);
        if (kind > 0)
            admit(passed[0], passed[1], ranges);
    }
}

/* Beside all that PROGRAM will be: no descriptor of its but standard error, and gone from its session. */
static _Noreturn void become_guardian(int channel, int ready, uid_t user, const struct ranges *ranges)
{
    answer = ready;
    if (setsid() < 0)
        fail("setsid");
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere < 0 || dup2(nowhere, STDIN_FILENO) < 0 || dup2(nowhere, STDOUT_FILENO) < 0)
        fail("/dev/null");
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        fail("/proc/self/ns/net");
    routes = route_socket();
    if (routes < 0)
        fail("netlink");
    keep_only((int[]){channel, ready, home, routes}, 4);
    raise_limit();
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); /* its VM outlives it */
    if (score >= 0) {
        if (write(score, "900", 3) != 3)
            fprintf(stderr, "martlet-egress: its oom_score_adj stays\n");
        close(score);
    }
    leave_files();
    set_capabilities(UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_SETUID |
                     UINT64_C(1) << CAP_SETGID | UINT64_C(1) << CAP_SETPCAP | UINT64_C(1) << CAP_DAC_OVERRIDE);
    if (send(ready, "+", 1, MSG_NOSIGNAL) != 1)
        exit(1);
    close(ready);
    answer = -1;
    guard(channel, user, ranges);
}

/* Returns once the guardian is there; the VM's end of the channel. */
static int start_guardian(uid_t user, const struct ranges *ranges)
{
    int channel[2], ready[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ready) < 0)
        fail("socketpair");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        pid_t grandchild = fork(); /* it is nobody's child, so nobody has to wait for it */
        if (grandchild == 0)
            become_guardian(channel[1], ready[1], user, ranges);
        _exit(grandchild < 0);
    }
    close(channel[1]);
    close(ready[1]);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            fail("waitpid");
    char word[200];
    ssize_t length = recv(ready[0], word, sizeof word - 1, 0);
    if (length != 1 || word[0] != '+') /* a channel to nobody: the VM starts, and its runs are told */
        fprintf(stderr, "martlet-egress: runs in this VM have no network\n");
    close(ready[0]);
    return channel[0];
}

/* ---- Words ------------------------------------------------------------------------------------ */

static long number(const char *text, long least, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < least || value > most)
        misuse("a number is out of range");
    return value;
}

/* Whether it could work here, without doing anything. */
static int check(void)
{
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tun < 0) {
        fprintf(stderr, "/dev/net/tun: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}

int main(int count, char **words)
{
    static const struct option known[] = {
        {"descriptor", required_argument, NULL, 'd'}, {"user", required_argument, NULL, 'u'},
        {"deny", required_argument, NULL, 'x'},       {"check", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    static struct ranges ranges;
    long descriptor = -1, user = -1;
    ranges_begin(&ranges);
    opterr = 0;
    for (int option; (option = getopt_long(count, words, "+", known, NULL)) != -1;) {
        switch (option) {
        case 'd': descriptor = number(optarg, 3, 255); break;
        case 'u': user = number(optarg, 1, INT32_MAX); break;
        case 'x':
            if (!ranges_add(&ranges, optarg))
                misuse("--deny wants a range of addresses, as 192.0.2.0/24 or 2001:db8::/32, at most 50 times");
            break;
        case 'c': return check();
        default: misuse("unknown option, or one without its value");
        }
    }
    if (descriptor < 0 || user < 0 || optind >= count)
        misuse("--descriptor, --user and a program are needed");
    int channel = start_guardian((uid_t)user, &ranges);
    if (dup2(channel, (int)descriptor) < 0)
        fail("--descriptor");
    execvp(words[optind], words + optind);
    fail(words[optind]);
}
