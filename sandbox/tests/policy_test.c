/* Trips every rule of the seccomp filter.
 *
 * As root each call below fails for want of sense (bad pointers, bad flags), so an answer of EPERM or ENOSYS that it
 * did not give before can only be the filter's. Prints one line a rule and exits 1 if one of them did not trip. */
#include "policy.h"
#include "runner.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

#define BAD 1UL /* an address that nothing is mapped at */
#define PLAIN(name)                                                                                                    \
    {                                                                                                                  \
#name, SYS_##name, EPERM, {BAD, BAD, BAD, BAD, BAD, BAD }, true                                                \
    }
#define BLIND(name)                                                                                                    \
    {                                                                                                                  \
#name, SYS_##name, EPERM, {-1, -1, -1, -1, -1, -1 }, false                                                     \
    }
#define MISSING(name)                                                                                                  \
    {                                                                                                                  \
#name, SYS_##name, ENOSYS, {BAD, BAD, BAD, BAD, BAD, BAD }, true                                               \
    }
#define NAMESPACE(call, flag)                                                                                          \
    {                                                                                                                  \
#call ":" #flag, SYS_##call, EPERM, {flag | (SYS_##call == SYS_clone ? SIGCHLD : 0) }, false                   \
    }
#define NETLINK(protocol)                                                                                              \
    {                                                                                                                  \
        "netlink:" #protocol, SYS_socket, EPROTONOSUPPORT, {AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol }, false     \
    }
#define INTERNET(family, type, protocol, error)                                                                        \
    {                                                                                                                  \
        "socket:" #family "," #type "," #protocol, SYS_socket, error, {family, type, protocol }, false                 \
    }
#define PAIR(family)                                                                                                   \
    {                                                                                                                  \
        "socketpair:" #family, SYS_socketpair, EOPNOTSUPP, {family, SOCK_STREAM, 0, BAD }, false                       \
    }
#define FAMILY(family)                                                                                                 \
    {                                                                                                                  \
        "socket:" #family, SYS_socket, EAFNOSUPPORT, {family, SOCK_STREAM, 0}, false                                   \
    }

static const struct rule {
    const char *name;
    long number;
    int error;
    unsigned long arguments[6];
    bool harmless; /* may be made without the filter, to see that the kernel's own answer is another */
} rules[] = {
    PLAIN(mount),
    PLAIN(umount2),
    PLAIN(pivot_root),
    PLAIN(chroot),
    PLAIN(fsopen),
    PLAIN(fsconfig),
    PLAIN(fsmount),
    PLAIN(fspick),
    PLAIN(move_mount),
    PLAIN(open_tree),
    PLAIN(mount_setattr),
    PLAIN(swapon),
    PLAIN(swapoff),
    PLAIN(quotactl),
    PLAIN(quotactl_fd),
    BLIND(fanotify_init),
    PLAIN(open_by_handle_at),
    PLAIN(name_to_handle_at),
    BLIND(ptrace),
    PLAIN(process_vm_readv),
    PLAIN(process_vm_writev),
    PLAIN(process_madvise),
    BLIND(kcmp),
    PLAIN(pidfd_getfd),
    PLAIN(bpf),
    BLIND(keyctl),
    PLAIN(add_key),
    PLAIN(request_key),
    PLAIN(perf_event_open),
    BLIND(userfaultfd),
    BLIND(lookup_dcookie),
    BLIND(setns),
    BLIND(kexec_load),
    BLIND(kexec_file_load),
    PLAIN(init_module),
    BLIND(finit_module),
    PLAIN(delete_module),
    BLIND(create_module),
    BLIND(query_module),
    BLIND(get_kernel_syms),
    BLIND(reboot),
    PLAIN(acct),
    BLIND(syslog),
    PLAIN(settimeofday),
    PLAIN(clock_settime),
    PLAIN(clock_adjtime),
    PLAIN(adjtimex),
    BLIND(sethostname),
    BLIND(setdomainname),
    BLIND(iopl),
    BLIND(ioperm),
    BLIND(vhangup),
    BLIND(nfsservctl),
    BLIND(uselib),
    BLIND(sysfs),
    BLIND(_sysctl),
    BLIND(move_pages),
    BLIND(migrate_pages),
    MISSING(io_uring_setup),
    MISSING(io_uring_enter),
    MISSING(io_uring_register),
    MISSING(clone3),
    MISSING(mbind),
    MISSING(set_mempolicy),
    MISSING(fanotify_mark),
    MISSING(remap_file_pages),
    {"personality:UNAME26", SYS_personality, ENOSYS, {UNAME26}, false},
    {"personality:READ_IMPLIES_EXEC", SYS_personality, ENOSYS, {READ_IMPLIES_EXEC}, false},
    {"personality:2^32", SYS_personality, ENOSYS, {STICKY_TIMEOUTS | 1UL << 32}, false},
    NAMESPACE(unshare, CLONE_NEWUSER),
    NAMESPACE(unshare, CLONE_NEWNS),
    NAMESPACE(unshare, CLONE_NEWPID),
    NAMESPACE(unshare, CLONE_NEWNET),
    NAMESPACE(unshare, CLONE_NEWIPC),
    NAMESPACE(unshare, CLONE_NEWUTS),
    NAMESPACE(unshare, CLONE_NEWCGROUP),
    NAMESPACE(unshare, CLONE_NEWTIME),
    NAMESPACE(clone, CLONE_NEWUSER),
    NAMESPACE(clone, CLONE_NEWNS),
    NAMESPACE(clone, CLONE_NEWPID),
    NAMESPACE(clone, CLONE_NEWNET),
    NAMESPACE(clone, CLONE_NEWIPC),
    NAMESPACE(clone, CLONE_NEWUTS),
    NAMESPACE(clone, CLONE_NEWCGROUP),
    FAMILY(AF_PACKET),
    FAMILY(AF_ALG),
    FAMILY(AF_VSOCK),
    FAMILY(AF_KEY),
    FAMILY(AF_BLUETOOTH),
    FAMILY(AF_XDP),
    FAMILY(AF_AX25),
    FAMILY(AF_CAN),
    FAMILY(AF_TIPC),
    FAMILY(AF_RDS),
    FAMILY(AF_LLC),
    FAMILY(AF_PPPOX),
    FAMILY(AF_RXRPC),
    FAMILY(AF_NFC),
    FAMILY(AF_KCM),
    FAMILY(AF_QIPCRTR),
    FAMILY(AF_SMC),
    FAMILY(AF_IEEE802154),
    FAMILY(AF_X25),
    FAMILY(AF_APPLETALK),
    FAMILY(0xffffffffUL),
    FAMILY(0x100000011UL),
    NETLINK(NETLINK_USERSOCK),
    NETLINK(NETLINK_FIREWALL),
    NETLINK(NETLINK_SOCK_DIAG),
    NETLINK(NETLINK_NFLOG),
    NETLINK(NETLINK_XFRM),
    NETLINK(NETLINK_SELINUX),
    NETLINK(NETLINK_ISCSI),
    NETLINK(NETLINK_AUDIT),
    NETLINK(NETLINK_FIB_LOOKUP),
    NETLINK(NETLINK_CONNECTOR),
    NETLINK(NETLINK_NETFILTER),
    NETLINK(NETLINK_IP6_FW),
    NETLINK(NETLINK_DNRTMSG),
    NETLINK(NETLINK_KOBJECT_UEVENT),
    NETLINK(NETLINK_GENERIC),
    NETLINK(NETLINK_SCSITRANSPORT),
    NETLINK(NETLINK_ECRYPTFS),
    NETLINK(NETLINK_RDMA),
    NETLINK(NETLINK_CRYPTO),
    NETLINK(NETLINK_SMC),
    NETLINK(1UL << 32),
    PAIR(AF_NETLINK),
    PAIR(AF_INET),
    PAIR(AF_TIPC),
    PAIR(AF_RDS),
    PAIR(AF_UNIX | 1UL << 32),
    INTERNET(AF_INET, SOCK_RAW, IPPROTO_ICMP, EPERM),
    INTERNET(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_RAW, EPROTONOSUPPORT),
    INTERNET(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6, EPERM),
    INTERNET(AF_INET, SOCK_PACKET, 0, ESOCKTNOSUPPORT),
    INTERNET(AF_INET, SOCK_DCCP, 0, ESOCKTNOSUPPORT),
    INTERNET(AF_INET, SOCK_SEQPACKET, 0, ESOCKTNOSUPPORT),
    INTERNET(AF_INET6, SOCK_STREAM, IPPROTO_SCTP, EPROTONOSUPPORT),
    INTERNET(AF_INET, SOCK_STREAM, 262, EPROTONOSUPPORT), /* MPTCP */
    INTERNET(AF_INET6, SOCK_STREAM, 256, EPROTONOSUPPORT), /* SMC */
    INTERNET(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, EPROTONOSUPPORT),
    INTERNET(AF_INET, SOCK_DGRAM, 115, EPROTONOSUPPORT), /* L2TP */
    {"ioctl:TIOCSTI", SYS_ioctl, EPERM, {0, TIOCSTI, BAD}, false},
    {"ioctl:TIOCLINUX", SYS_ioctl, EPERM, {0, TIOCLINUX, BAD}, false},
    {"ioctl:TIOCSTI+2^32", SYS_ioctl, EPERM, {0, TIOCSTI | 1UL << 32, BAD}, false},
};

static int pair[2];

/* What must go on working. */
static const struct rule allowed[] = {
    {"getpid", SYS_getpid, 0, {0}, true},
    {"socket:AF_UNIX", SYS_socket, 0, {AF_UNIX, SOCK_STREAM, 0}, true},
    {"socket:AF_INET", SYS_socket, 0, {AF_INET, SOCK_STREAM, 0}, true},
    {"socket:AF_INET,SOCK_DGRAM", SYS_socket, 0, {AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0}, true},
    {"socket:AF_INET,IPPROTO_TCP", SYS_socket, 0, {AF_INET, SOCK_STREAM, IPPROTO_TCP}, true},
    {"socket:AF_INET,IPPROTO_UDP", SYS_socket, 0, {AF_INET, SOCK_DGRAM, IPPROTO_UDP}, true},
    {"socket:AF_NETLINK,NETLINK_ROUTE", SYS_socket, 0, {AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE}, true},
    {"socketpair:AF_UNIX", SYS_socketpair, 0, {AF_UNIX, SOCK_SEQPACKET, 0, (unsigned long)pair}, true},
    {"unshare:CLONE_FILES", SYS_unshare, 0, {CLONE_FILES}, true},
    {"personality", SYS_personality, 0, {0xffffffff}, true},
    {"personality:ADDR_NO_RANDOMIZE", SYS_personality, 0, {ADDR_NO_RANDOMIZE}, true},
};

static void load(const struct sock_fprog *filter)
{
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter) < 0)
        die_errno("seccomp");
}

/* The errno of a call made in a child, 0 for success, -signal if it killed. */
static int attempt(const struct rule *rule, const struct sock_fprog *filter)
{
    const unsigned long *a = rule->arguments;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (filter)
            load(filter);
        _exit(syscall(rule->number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        die_errno("a child");
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool foreign_call_kills(const struct sock_fprog *filter, bool x32)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        load(filter);
        if (x32)
            syscall(0x40000000L | SYS_getpid);
#ifdef __x86_64__
        else
            __asm__ volatile("int $0x80" : : "a"(20) : "memory"); /* getpid in the table of 32-bit programs */
#endif
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        die_errno("a child");
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

int main(void)
{
    struct sock_fprog filter;
    bool passed = true;
    policy_compile(&filter);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die_errno("no_new_privs");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        int before = rules[i].harmless ? attempt(&rules[i], NULL) : -1, after = attempt(&rules[i], &filter);
        bool tripped = after == rules[i].error && before != after;
        passed = passed && tripped;
        printf("%s %s: %s, without the filter %s\n", tripped ? "ok" : "FAILED", rules[i].name, strerrorname_np(after),
               before < 0 ? "not tried"
               : before   ? strerrorname_np(before)
                          : "success");
    }
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        int after = attempt(&allowed[i], &filter);
        passed = passed && after == 0;
        printf("%s %s is allowed\n", after == 0 ? "ok" : "FAILED", allowed[i].name);
    }
    for (int x32 = 0; x32 < 2; x32++) {
        bool killed = foreign_call_kills(&filter, x32);
        passed = passed && killed;
        printf("%s %s call kills\n", killed ? "ok" : "FAILED", x32 ? "an x32" : "an int 0x80");
    }
    free(filter.filter);
    return !passed;
}
