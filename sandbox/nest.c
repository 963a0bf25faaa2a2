/* A user namespace of the runner's own, for a runner that is root of a container and little else.
 *
 * A container's root has no right to make the namespaces of runs, and with CAP_SYS_ADMIN he would be root of the
 * machine. He may make a user namespace, though, and is whatever he likes in there. So the runner becomes root of one,
 * in which its root is an id outside that owns nothing, and all others are themselves: the home, the image and what SSH
 * sessions leave keep their owners, and what belongs to the container's root, and with it to the machine's, is out of
 * reach. Nothing of the container goes on as its root but the engine's own first process.
 *
 * Mapping needs the rights of the namespace around, which whoever enters has lost. A helper that stays outside does it:
 * a fork that is asked for favours over a socket pair and ends with it. In the same way it hands control groups over:
 * mounted inside, where the mount is ours to make, and given to the new root by the old one.
 *
 * Needs of the engine: unshare and mount let through by its filter, a procfs that nothing covers (mount_namespaces(7)),
 * no security module that denies mounts. `martlet-runner nest` says whether all that is so. */
#include "networks.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OUTSIDE_ROOT = 61000, /* between what distributions and systemd hand out; owns what sshd must take for root's */
    LAST_ID = 65534,
};

#define GROUPS "/run/martlet/groups"

/* ---- Favours, from outside -------------------------------------------------------------------- */

enum favour {
    FAVOUR_MAP,     /* of users and groups, for whoever asks */
    FAVOUR_GROUP,   /* a control group for its new owner; its directory comes beside */
    FAVOUR_VACATE,  /* what runs in a group of version 2 moves into its child `runner` */
    FAVOUR_REFUSED, /* the answer, or the favour itself, if it was done */
};

static bool map_ids(pid_t whom)
{
    char path[64], text[96];
    format_into(text, sizeof text, "0 %d 1\n1 1 %d\n%d %d %d\n", OUTSIDE_ROOT, OUTSIDE_ROOT - 1, OUTSIDE_ROOT + 1,
                OUTSIDE_ROOT + 1, LAST_ID - OUTSIDE_ROOT);
    format_into(path, sizeof path, "/proc/%d/uid_map", (int)whom);
    if (!write_text_at(AT_FDCWD, path, text))
        return false;
    format_into(path, sizeof path, "/proc/%d/gid_map", (int)whom);
    return write_text_at(AT_FDCWD, path, text);
}

static bool give_group(int group)
{
    static const char *const files[] = {"tasks", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (fchownat(group, files[i], OUTSIDE_ROOT, OUTSIDE_ROOT, 0) < 0 && errno != ENOENT)
            return false;
    return fchownat(group, "", OUTSIDE_ROOT, OUTSIDE_ROOT, AT_EMPTY_PATH) == 0;
}

static bool vacate(int group)
{
    char members[16 * 1024];
    for (int round = 0; round < 20; round++) {
        if (!read_text_at(group, "cgroup.procs", members, sizeof members))
            return false;
        if (!members[0])
            return true;
        for (char *rest, *one = strtok_r(members, "\n", &rest); one; one = strtok_r(NULL, "\n", &rest))
            write_text_at(group, "runner/cgroup.procs", one); /* it may have ended */
    }
    return false;
}

static _Noreturn void help(int socket, pid_t whom)
{
    enum favour favour;
    int passed[PASS_MAX];
    size_t count;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        _exit(70);
    while (receive_passed(socket, &favour, sizeof favour, passed, &count, 0) == sizeof favour) {
        bool done = favour == FAVOUR_MAP                 ? map_ids(whom)
                    : count == 1 && favour == FAVOUR_GROUP ? give_group(passed[0])
                    : count == 1                           ? vacate(passed[0])
                                                           : false;
        for (size_t i = 0; i < count; i++)
            close(passed[i]);
        if (!done) {
            warn("nest: %s", strerror(errno));
            favour = FAVOUR_REFUSED;
        }
        if (send(socket, &favour, sizeof favour, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

/* ---- Inside ----------------------------------------------------------------------------------- */

static bool ask(int helper, enum favour favour, int beside)
{
    enum favour answer;
    return pass(helper, &favour, sizeof favour, &beside, beside >= 0, 0) &&
           recv(helper, &answer, sizeof answer, 0) == sizeof answer && answer == favour;
}

/* What a runner and its sshd do in their namespace; nothing of it reaches outside. */
static void keep_capabilities(void)
{
    static const int kept[] = {CAP_CHOWN,     CAP_DAC_OVERRIDE, CAP_FOWNER,     CAP_KILL,
                               CAP_NET_ADMIN, CAP_SETGID,       CAP_SETPCAP,    CAP_SETUID,
                               CAP_SYS_ADMIN, CAP_SYS_CHROOT,   CAP_SYS_PTRACE, CAP_SYS_RESOURCE};
    uint64_t mask = 0;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        mask |= UINT64_C(1) << kept[i];
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (!(mask >> capability & 1) && prctl(PR_CAPBSET_DROP, capability) < 0)
            die_errno("giving a capability up");
    set_capabilities(mask);
}

/* False, with nothing changed, if namespaces are refused; dies if it got no further than that. */
static bool become_root(int helper)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
        return false;
    if (!ask(helper, FAVOUR_MAP, -1))
        die("nest: no ids in the new user namespace");
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        die_errno("nest: becoming root");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        die_errno("nest: private mounts");
    keep_capabilities();
    return true;
}

bool nest_works(void)
{
    int ends[2];
    if (geteuid() != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        if (!become_root(ends[1])) {
            warn("nest: no user namespace: %s", strerror(errno));
            _exit(1);
        }
        const struct config config = {0};
        char fresh_network[PICTURE_SIZE] = "";
        struct confinement found = confinement_probe(&config, fresh_network);
        _exit(!(found.namespaces && found.network));
    }
    close(ends[1]);
    if (child < 0)
        return false;
    pid_t helper = fork();
    if (helper == 0)
        help(ends[0], child);
    close(ends[0]);
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (helper > 0) {
        kill(helper, SIGKILL);
        waitpid(helper, NULL, 0);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- Control groups --------------------------------------------------------------------------- */

/* The root of all groups, where the container has none of its own: not his to give away. */
static bool is_of_the_machine(int group, bool unified)
{
    bool root = faccessat(group, unified ? "cgroup.type" : "release_agent", F_OK, 0) < 0;
    root = unified ? root : !root; /* the one file it lacks, and the one that it alone has */
    if (root)
        errno = EXDEV;
    return root;
}

/* Mounts the hierarchy so that its root is the container's group, and has that group given to us. */
static bool take_group(int helper, const char *type, const char *controllers, char path[PATH_MAX], const char *name)
{
    format_into(path, PATH_MAX, "%s/%s", GROUPS, name);
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) ||
        mount("cgroup", path, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, controllers) < 0)
        return false;
    int group = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool given = group >= 0 && !is_of_the_machine(group, !controllers) && ask(helper, FAVOUR_GROUP, group);
    if (given && !controllers) { /* version 2 */
        char child[PATH_MAX];
        format_into(child, sizeof child, "%.4000s/runner", path);
        given = (mkdir(child, 0755) == 0 || errno == EEXIST) && ask(helper, FAVOUR_VACATE, group);
    }
    if (group >= 0)
        close(group);
    return given;
}

/* All runs together are held below what the container is, so that the runner can always start what ends them. */
static char *group_of_runs(const struct config *config, const char *path, bool has_processes)
{
    char runs[PATH_MAX], most[32];
    format_into(runs, sizeof runs, "%.4000s/runs", path);
    if (mkdir(runs, 0755) < 0 && errno != EEXIST)
        return NULL;
    format_into(most, sizeof most, "%lld", (long long)config->limits.processes);
    if (has_processes) {
        char file[PATH_MAX];
        format_into(file, sizeof file, "%.4080s/pids.max", runs);
        if (!write_text_at(AT_FDCWD, file, most))
            warn("nest: %s: %s", file, strerror(errno));
    }
    return copy_text(runs);
}

static bool lists(const char *controllers, const char *one)
{
    size_t length = strlen(one);
    for (const char *at = controllers; (at = strstr(at, one)); at += length)
        if ((at == controllers || at[-1] == ',') && (at[length] == 0 || at[length] == ','))
            return true;
    return false;
}

/* `memberships`: of /proc/self/cgroup, a line "number:controllers:path" a hierarchy; those of version 2 have none. */
static void take_groups(struct config *config, int helper, char *memberships)
{
    struct {
        const char *name;
        char **root;
    } wanted[] = {
        {"memory", &config->cgroup.memory}, {"pids", &config->cgroup.pids}, {"cpuacct", &config->cgroup.cpuacct}};
    char path[PATH_MAX];
    bool any = false;
    for (char *rest, *line = strtok_r(memberships, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':'), *end = controllers ? strchr(++controllers, ':') : NULL;
        if (!end)
            continue;
        *end = 0;
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            if (!lists(controllers, wanted[i].name))
                continue;
            any = true;
            if (take_group(helper, "cgroup", controllers, path, wanted[i].name))
                *wanted[i].root = group_of_runs(config, path, i == 1);
            else
                warn("nest: control group %s: %s", wanted[i].name, strerror(errno));
        }
    }
    if (any)
        return;
    if (take_group(helper, "cgroup2", NULL, path, "unified")) {
        char control[PATH_MAX];
        format_into(control, sizeof control, "%.4000s/cgroup.subtree_control", path);
        write_text_at(AT_FDCWD, control, "+memory +pids");
        config->cgroup.unified = group_of_runs(config, path, true);
    } else {
        warn("nest: control groups: %s", strerror(errno));
    }
}

/* ---- Entering --------------------------------------------------------------------------------- */

void nest_enter(struct config *config)
{
    static const char *const owned[] = {"/run", "/run/sshd"};
    char memberships[4096];
    int ends[2];
    if (!read_text_at(AT_FDCWD, "/proc/self/cgroup", memberships, sizeof memberships))
        memberships[0] = 0;
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (chown(owned[i], OUTSIDE_ROOT, OUTSIDE_ROOT) < 0 && errno != ENOENT)
            die_errno(owned[i]);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        die_errno("socketpair");
    pid_t self = getpid(), helper = fork();
    if (helper < 0)
        die_errno("fork");
    if (helper == 0) {
        close(ends[1]);
        help(ends[0], self);
    }
    close(ends[0]);
    if (!become_root(ends[1]))
        die_errno("nest: no user namespace");
    /* Nobody in here makes another one, in which he would be root: SSH sessions have no filter of ours. */
    if (!write_text_at(AT_FDCWD, "/proc/sys/user/max_user_namespaces", "0"))
        die_errno("nest: forbidding user namespaces");
    if ((mkdir("/run/martlet", 0755) < 0 && errno != EEXIST) || (mkdir(GROUPS, 0700) < 0 && errno != EEXIST))
        die_errno(GROUPS);
    take_groups(config, ends[1], memberships);
    close(ends[1]);
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
        ;
}
