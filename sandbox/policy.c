/* The seccomp filter: what is listed here is allowed, by classes of calls; everything else is not there (ENOSYS).
 *
 * The programs are arbitrary language run times, so the classes are wide: what a program needs to compute, to handle its
 * files, processes, memory and sockets. A call that is newer than this list, or that nobody here needs, looks like one of
 * a newer kernel, for which callers have a fallback. A second list names what is refused on purpose (EPERM): the parts of
 * the kernel that most of its escalation bugs were found in, which an honest program meets when it probes, and
 * should hear "not permitted". Both are one program, the second list first; README.md has the tables with reasons.
 *
 * A call by another architecture's table (int 0x80, x32) kills: nothing honest makes one here.
 *
 * This runs when the runner is built (policy_program.c), for libseccomp takes milliseconds for it. */
#include "policy.h"
#include "runner.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

/* By name: a kernel's headers may be older than the call. One that libseccomp does not know is skipped. */
static const char *const files[] = {
    "read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev", "preadv2", "pwritev2", "open",
    "openat", "openat2", "creat", "close", "close_range", "lseek", "stat", "fstat", "lstat", "newfstatat", "statx",
    "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "chdir", "fchdir", "rename", "renameat",
    "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat", "unlink", "unlinkat", "symlink", "symlinkat", "chmod",
    "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "umask", "truncate", "ftruncate", "fallocate",
    "fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "fadvise64", "readahead", "flock", "fcntl", "dup",
    "dup2", "dup3", "getdents", "getdents64", "utime", "utimes", "utimensat", "futimesat", "statfs", "fstatfs",
    "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "setxattr", "lsetxattr",
    "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "sendfile", "copy_file_range", "splice", "tee",
    "vmsplice", "ioctl", "pipe", "pipe2", "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
    "memfd_create", "io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_cancel", "io_destroy",
    /* pipes with a name; devices want a capability */
    "mknod", "mknodat",
};

static const char *const waiting[] = {
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
    "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "futex", "futex_waitv", "set_robust_list", "get_robust_list", "membarrier", "rseq",
};

static const char *const memory[] = {
    "mmap", "munmap", "mremap", "mprotect", "pkey_mprotect", "pkey_alloc", "pkey_free", "madvise", "brk", "mincore",
    "mlock", "mlock2", "munlock", "mlockall", "munlockall", "msync", "get_mempolicy",
};

static const char *const processes[] = {
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "kill", "tkill", "tgkill",
    "pidfd_open", "pidfd_send_signal", "getpid", "getppid", "gettid", "getpgid", "setpgid", "getpgrp", "setsid",
    "getsid", "set_tid_address", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
    "sched_setparam", "sched_getscheduler", "sched_setscheduler", "sched_get_priority_max", "sched_get_priority_min",
    "sched_rr_get_interval", "sched_getattr", "sched_setattr", "getpriority", "setpriority", "ioprio_get",
    "ioprio_set", "getcpu", "prctl", "arch_prctl", "getrlimit", "setrlimit", "prlimit64", "getrusage", "times",
    "sysinfo", "uname", "restart_syscall",
    /* what only takes away */
    "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "capget", "capset",
};

static const char *const identities[] = {
    "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid", "getresgid", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
};

static const char *const signals[] = {
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "rt_sigsuspend", "sigaltstack", "pause",
};

static const char *const clocks[] = {
    "time", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "alarm", "getitimer",
    "setitimer", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete", "getrandom",
};

static const char *const sockets[] = {
    "socket", "socketpair", "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "sendto",
    "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "setsockopt", "getsockopt",
};

static const char *const memory_and_queues[] = {
    "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd", "msgrcv",
    "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr",
};

#define CLASS(names)                                                                                                   \
    {                                                                                                                  \
        names, sizeof names / sizeof *names                                                                            \
    }
static const struct {
    const char *const *names;
    size_t count;
} allowed[] = {
    CLASS(files), CLASS(waiting), CLASS(memory), CLASS(processes), CLASS(identities),
    CLASS(signals), CLASS(clocks), CLASS(sockets), CLASS(memory_and_queues),
};

/* As much of a personality as changes nothing but the layout of one's own memory. */
static const unsigned personalities[] = {PER_LINUX, ADDR_NO_RANDOMIZE, 0xffffffff};

static const unsigned namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                   CLONE_NEWUTS | CLONE_NEWCGROUP;

static const char *const denied[] = {
    /* mounts and roots */
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    "fanotify_init",
    /* files by handle, past every directory's permissions */
    "open_by_handle_at",
    "name_to_handle_at",
    /* other processes' memory and descriptors */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    /* programs and keys inside the kernel */
    "bpf",
    "keyctl",
    "add_key",
    "request_key",
    "perf_event_open",
    "userfaultfd",
    "lookup_dcookie",
    /* namespaces of others; one's own are denied by argument below */
    "setns",
    /* the machine */
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "reboot",
    "acct",
    "syslog",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "iopl",
    "ioperm",
    "vhangup",
    "nfsservctl",
    "uselib",
    "sysfs",
    "_sysctl",
    "move_pages",
    "migrate_pages",
};

/* Callers fall back without these: libuv to threads, glibc to clone, whose flags a filter can see. */
static const char *const unsupported[] = {"io_uring_setup", "io_uring_enter", "io_uring_register", "clone3"};

static void deny(scmp_filter_ctx filter, const char *name, int error)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR || number < 0) /* unknown here, or of another architecture only */
        return;
    int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), number, 0);
    if (result < 0)
        die("seccomp rule for %s: error %d", name, -result);
}

static void deny_when(scmp_filter_ctx filter, int number, int error, struct scmp_arg_cmp condition)
{
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)error), number, 1, &condition);
    if (result < 0)
        die("seccomp rule for call %d: error %d", number, -result);
}

static void deny_when_both(scmp_filter_ctx filter, int number, int error, struct scmp_arg_cmp one,
                           struct scmp_arg_cmp other)
{
    const struct scmp_arg_cmp conditions[] = {one, other};
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)error), number, 2, conditions);
    if (result < 0)
        die("seccomp rule for call %d: error %d", number, -result);
}

static void deny_namespaces(scmp_filter_ctx filter)
{
    static const unsigned flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
                                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        deny_when(filter, SCMP_SYS(unshare), EPERM, SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
        if (flags[i] != CLONE_NEWTIME) /* in clone these bits are part of the exit signal */
            deny_when(filter, SCMP_SYS(clone), EPERM, SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    }
}

static bool is_wanted_protocol(unsigned protocol)
{
    return protocol == IPPROTO_IP || protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP ||
           protocol == IPPROTO_ICMPV6;
}

/* Raw sockets would want a capability; other protocols (SCTP, DCCP, L2TP, MPTCP, SMC) would load a module. */
static void deny_internet_kinds(scmp_filter_ctx filter, unsigned family)
{
    enum { TYPE = 0xf }; /* the rest of the word is SOCK_CLOEXEC and SOCK_NONBLOCK */
    static const unsigned types[] = {SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_PACKET};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        deny_when_both(filter, SCMP_SYS(socket), types[i] == SOCK_RAW ? EPERM : ESOCKTNOSUPPORT,
                       SCMP_A0(SCMP_CMP_EQ, family), SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE, types[i]));
    for (unsigned protocol = 0; protocol < IPPROTO_ICMPV6; protocol++)
        if (!is_wanted_protocol(protocol))
            deny_when_both(filter, SCMP_SYS(socket), EPROTONOSUPPORT, SCMP_A0(SCMP_CMP_EQ, family),
                           SCMP_A2(SCMP_CMP_EQ, protocol));
    deny_when_both(filter, SCMP_SYS(socket), EPROTONOSUPPORT, SCMP_A0(SCMP_CMP_EQ, family),
                   SCMP_A2(SCMP_CMP_GT, IPPROTO_ICMPV6));
}

/* Unix, IPv4, IPv6 and of netlink what getifaddrs asks remain. Pairs are made in the unix family alone; the kernel makes
 * a socket of another before it says so. */
static void deny_socket_families(scmp_filter_ctx filter)
{
    for (unsigned family = AF_INET + 1; family < AF_NETLINK; family++)
        if (family != AF_INET6)
            deny_when(filter, SCMP_SYS(socket), EAFNOSUPPORT, SCMP_A0(SCMP_CMP_EQ, family));
    deny_when(filter, SCMP_SYS(socket), EAFNOSUPPORT, SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
    deny_when(filter, SCMP_SYS(socketpair), EOPNOTSUPP, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    deny_when_both(filter, SCMP_SYS(socket), EPROTONOSUPPORT, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                   SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE));
    deny_internet_kinds(filter, AF_INET);
    deny_internet_kinds(filter, AF_INET6);
}

static scmp_filter_ctx new_filter(uint32_t otherwise)
{
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (!filter || seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0)
        die("seccomp: no memory for the filter");
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree; older libraries do without */
    return filter;
}

/* What is refused on purpose; the rest is left to the other filter. */
static scmp_filter_ctx refusals(void)
{
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        deny(filter, denied[i], EPERM);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        deny(filter, unsupported[i], ENOSYS);
    deny_namespaces(filter);
    deny_socket_families(filter);
    /* Typing into a terminal shared with somebody else. */
    deny_when(filter, SCMP_SYS(ioctl), EPERM, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI));
    deny_when(filter, SCMP_SYS(ioctl), EPERM, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCLINUX));
    return filter;
}

static void allow(scmp_filter_ctx filter, int number, unsigned conditions, struct scmp_arg_cmp condition)
{
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, conditions, &condition);
    if (result < 0)
        die("seccomp rule for call %d: error %d", number, -result);
}

static scmp_filter_ctx permissions(void)
{
    scmp_filter_ctx filter = new_filter(SCMP_ACT_ERRNO(ENOSYS));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        for (size_t j = 0; j < allowed[i].count; j++) {
            int number = seccomp_syscall_resolve_name(allowed[i].names[j]);
            if (number != __NR_SCMP_ERROR && number >= 0) /* known, and of this architecture */
                allow(filter, number, 0, SCMP_A0(SCMP_CMP_EQ, 0));
        }
    allow(filter, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
    allow(filter, SCMP_SYS(unshare), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces | CLONE_NEWTIME, 0));
    for (size_t i = 0; i < sizeof personalities / sizeof *personalities; i++)
        allow(filter, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, personalities[i]));
    return filter;
}

/* Through a file: libseccomp 2.5 has no other way. */
static struct sock_fprog compiled_filter(scmp_filter_ctx filter)
{
    struct sock_fprog program;
    int file = memfd_create("filter", MFD_CLOEXEC);
    int result = file < 0 ? -errno : seccomp_export_bpf(filter, file);
    seccomp_release(filter);
    off_t size = result < 0 ? -1 : lseek(file, 0, SEEK_END);
    if (size <= 0)
        die("seccomp: the filter was not compiled: error %d", -result);
    program.len = (unsigned short)((size_t)size / sizeof *program.filter);
    program.filter = allocate((size_t)size);
    if (pread(file, program.filter, (size_t)size, 0) != size)
        die_errno("reading the seccomp filter back");
    close(file);
    return program;
}

/* One program: where the first would allow, the second begins. libseccomp cannot say "all but", and two filters would
 * cost each call the way into both. */
void policy_compile(struct sock_fprog *program)
{
    struct sock_fprog first = compiled_filter(refusals()), second = compiled_filter(permissions());
    size_t length = (size_t)first.len + second.len;
    if (length > BPF_MAXINSNS)
        die("seccomp: the filter has %zu instructions", length);
    for (unsigned i = 0; i < first.len; i++)
        if (first.filter[i].code == (BPF_RET | BPF_K) && first.filter[i].k == SECCOMP_RET_ALLOW)
            first.filter[i] = (struct sock_filter){.code = BPF_JMP | BPF_JA, .k = first.len - i - 1};
    program->len = (unsigned short)length;
    program->filter = allocate(length * sizeof *program->filter);
    memcpy(program->filter, first.filter, first.len * sizeof *program->filter);
    memcpy(program->filter + first.len, second.filter, second.len * sizeof *program->filter);
    free(first.filter);
    free(second.filter);
}
