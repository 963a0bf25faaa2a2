/* Namespaces, mounts, resource limits and privileges of one run. */
#include "networks.h"
#include "runner.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_OPEN_FILES = 4096, TMPFS_INODES = 200 * 1000 };

/* ---- Mounts ----------------------------------------------------------------------------------- */

static bool mount_private(const char *source, const char *target)
{
    if (mount(source, target, NULL, MS_BIND, NULL) == 0)
        return true;
    return errno == ENOENT; /* a system without the directory needs no private one */
}

bool confine_mounts(int64_t megabytes)
{
    char options[96];
    format_into(options, sizeof options, "mode=0755,nr_inodes=%d,size=%lldm", TMPFS_INODES, (long long)megabytes);

    /* One tmpfs serves all three, so that one size bounds them together; its own root ends up covered. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return false;
    static const char *const parts[] = {"/tmp/shm", "/tmp/vartmp", "/tmp/tmp"};
    for (size_t i = 0; i < 3; i++)
        if (mkdir(parts[i], 01777) < 0 || chmod(parts[i], 01777) < 0)
            return false;
    if (!mount_private("/tmp/shm", "/dev/shm") || !mount_private("/tmp/vartmp", "/var/tmp") ||
        mount("/tmp/tmp", "/tmp", NULL, MS_BIND, NULL) < 0)
        return false;

    /* The run's own processes, without this init, whose memory began as a copy of the runner's. */
    return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2,gid=0") == 0;
}

bool loopback_up(void)
{
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0)
        return false;
    struct ifreq request = {.ifr_name = "lo"};
    bool up = ioctl(any, SIOCGIFFLAGS, &request) == 0;
    if (up && !(request.ifr_flags & IFF_UP)) {
        request.ifr_flags |= IFF_UP;
        up = ioctl(any, SIOCSIFFLAGS, &request) == 0;
    }
    close(any);
    return up;
}

static void give_up_network_administration(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN) < 0 || syscall(SYS_capget, &header, data) < 0)
        die_errno("giving CAP_NET_ADMIN up");
    uint32_t rest = ~(UINT32_C(1) << CAP_NET_ADMIN);
    data[0].effective &= rest;
    data[0].permitted &= rest;
    data[0].inheritable &= rest;
    if (syscall(SYS_capset, &header, data) < 0)
        die_errno("giving CAP_NET_ADMIN up");
}

void network_unroute(void)
{
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (any < 0)
        die_errno("socket");
    struct rtentry route = {.rt_flags = RTF_UP}; /* destination and mask 0.0.0.0 */
    route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
    while (ioctl(any, SIOCDELRT, &route) == 0)
        ;
    if (errno != ESRCH)
        die_errno("taking the default route away");
    close(any);
    give_up_network_administration();
}

/* ---- What this place allows ------------------------------------------------------------------- */

int confinement_clone_flags(const struct confinement *confinement)
{
    int flags = 0;
    if (confinement->namespaces)
        flags |= CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    if (confinement->network)
        flags |= CLONE_NEWNET;
    return flags;
}

static bool works(const struct confinement *candidate, char *fresh_network)
{
    pid_t child = (pid_t)syscall(SYS_clone, confinement_clone_flags(candidate) | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child < 0)
        return false;
    if (child == 0) {
        if (!confine_mounts(1)) {
            warn("private mounts are not possible: %s", strerror(errno));
            _exit(1);
        }
        bool up = candidate->network && loopback_up();
        if (up)
            network_remember(fresh_network);
        _exit(candidate->network && !up);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die_errno("waitpid");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct confinement confinement_probe(const struct config *config, char fresh_network[])
{
    struct confinement found = {
        .namespaces = true,
        .network = !config->shared_network,
        .switch_user = geteuid() == 0,
    };
    if (found.network && !works(&found, fresh_network))
        found.network = false;
    if (!found.network && !works(&found, fresh_network)) {
        found.namespaces = false;
        warn("no namespaces here: runs are confined by user, limits and filter only");
    } else if (!found.network && !config->shared_network) {
        warn("no network namespaces here: runs share this machine's network");
    }
    if (!found.switch_user)
        warn("not root: runs have the runner's own user");
    return found;
}

/* ---- Privileges ------------------------------------------------------------------------------- */

void set_capabilities(uint64_t mask)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    if (syscall(SYS_capset, &header, data) < 0)
        die_errno("capset");
}

void confine_init(void)
{
    if (geteuid() == 0)
        set_capabilities(UINT64_C(1) << CAP_KILL);
}

static void limit(int resource, rlim_t value)
{
    struct rlimit current;
    if (getrlimit((__rlimit_resource_t)resource, &current) < 0)
        die_errno("getrlimit");
    if (current.rlim_max != RLIM_INFINITY && value > current.rlim_max)
        value = current.rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, &(struct rlimit){value, value}) < 0)
        die_errno("setrlimit");
}

static void become(const struct user *user)
{
    if (setgroups(0, NULL) < 0)
        die_errno("setgroups");
    if (setresgid(user->gid, user->gid, user->gid) < 0)
        die_errno("setresgid");
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        prctl(PR_CAPBSET_DROP, capability); /* refused without CAP_SETPCAP; no_new_privs covers that */
    if (setresuid(user->uid, user->uid, user->uid) < 0)
        die_errno("setresuid");
}

void confine_program(const struct config *config, const struct confinement *confinement, const struct limits *limits,
                     const struct sock_fprog *filter)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, MAX_OPEN_FILES);
    limit(RLIMIT_MEMLOCK, 64 * 1024);
    limit(RLIMIT_MSGQUEUE, 64 * 1024);
    if (limits->processes && !config->bounded) /* counted over all processes of the user: the VM's ceiling */
        limit(RLIMIT_NPROC, (rlim_t)config->limits.processes);
    if (config->home_bytes) /* more than fits into the home; less once that is full (home.c) */
        limit(RLIMIT_FSIZE, (rlim_t)config->home_bytes);
    if (confinement->switch_user)
        become(&config->user);
    umask(022);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die_errno("no_new_privs");
    set_capabilities(0);
    prctl(PR_SET_DUMPABLE, 1); /* changing user cleared it, and with it the program's own /proc/self */
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) /* 5.11; every descriptor was born so anyway */
        warn("close_range: %s", strerror(errno));
    filter_apply(filter);
}
