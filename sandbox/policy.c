/* The seccomp filter: everything is allowed but what is listed here.
 *
 * A deny list, because the programs are arbitrary language run times, and the confinement proper is made of the user,
 * the namespaces and the missing capabilities; the filter takes away the parts of the kernel that an unprivileged
 * program has no need of and that most of its escalation bugs were found in. A denied call fails with an error
 * (EPERM, or ENOSYS where callers have a fallback), so that a program that merely probes goes on. A call by another
 * architecture's table (int 0x80, x32) kills: nothing honest makes one here. README.md has the table with reasons. */
#include "runner.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* By name: a kernel's headers may be older than the call. One that libseccomp does not know is skipped. */
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

/* Unix, IPv4, IPv6 and netlink (getifaddrs needs it) remain. */
static void deny_socket_families(scmp_filter_ctx filter)
{
    for (unsigned family = AF_INET + 1; family < AF_NETLINK; family++)
        if (family != AF_INET6)
            deny_when(filter, SCMP_SYS(socket), EAFNOSUPPORT, SCMP_A0(SCMP_CMP_EQ, family));
    deny_when(filter, SCMP_SYS(socket), EAFNOSUPPORT, SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
}

void policy_compile(struct sock_fprog *program)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter || seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0)
        die("seccomp: no memory for the filter");
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree; older libraries do without */
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        deny(filter, denied[i], EPERM);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        deny(filter, unsupported[i], ENOSYS);
    deny_namespaces(filter);
    deny_socket_families(filter);
    /* Typing into a terminal shared with somebody else. */
    deny_when(filter, SCMP_SYS(ioctl), EPERM, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI));
    deny_when(filter, SCMP_SYS(ioctl), EPERM, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCLINUX));

    /* Compiling takes longer than many a run: it is done once, through a file, and kept. */
    int file = memfd_create("filter", MFD_CLOEXEC);
    int result = file < 0 ? -errno : seccomp_export_bpf(filter, file);
    seccomp_release(filter);
    off_t size = result < 0 ? -1 : lseek(file, 0, SEEK_END);
    if (size <= 0)
        die("seccomp: the filter was not compiled: error %d", -result);
    program->len = (unsigned short)((size_t)size / sizeof *program->filter);
    program->filter = allocate((size_t)size);
    if (pread(file, program->filter, (size_t)size, 0) != size)
        die_errno("reading the seccomp filter back");
    close(file);
}

void policy_apply(const struct sock_fprog *program)
{
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0)
        die_errno("seccomp");
}
