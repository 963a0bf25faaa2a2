/* A kit: a run made before its request is there. A control group, three pipes, an init in fresh namespaces, in it a
 * process that waits to be told what to become, and the descriptors by which a supervisor uses them.
 *
 * Whoever needs one at once begins it and uses it itself; the keeper (keeper.c) makes them ahead and passes them on.
 * The init of a kit lives as long as somebody holds the other end of its control socket. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void kit_clear(struct kit *kit)
{
    *kit = (struct kit){.ended = -1, .control = -1, .input = -1, .output = -1, .error = -1, .egress = -1, .cgroup.oom_event = -1};
    for (size_t i = 0; i < KIT_PARTS; i++)
        kit->parts[i] = -1;
}

/* ---- Making ----------------------------------------------------------------------------------- */

/* A pipe whose `ours` end does not block. It belongs to the program's user, who may open it as /dev/stdout. */
static void make_pipe(const struct runner *runner, int *ours, int *theirs, bool we_read)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die_errno("pipe");
    *ours = ends[we_read ? 0 : 1];
    *theirs = ends[we_read ? 1 : 0];
    const struct user *user = &runner->config.user;
    if (runner->confinement.switch_user && fchown(*theirs, user->uid, user->gid) < 0)
        die_errno("fchown");
    if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
        die_errno("fcntl");
}

static void make_directory(const struct runner *runner, struct kit *kit)
{
    if (runner->confinement.namespaces) {
        format_into(kit->path, sizeof kit->path, RUN_DIRECTORY);
        return;
    }
    const struct user *user = &runner->config.user;
    format_into(kit->path, sizeof kit->path, "%s/martlet-run-XXXXXX", runner->directory[0] ? runner->directory : "/tmp");
    if (!mkdtemp(kit->path) || (runner->confinement.switch_user && chown(kit->path, user->uid, user->gid) < 0))
        die_errno("the run's directory");
}

/* Has the zygote clone the init, which says so itself (REPORT_BORN). */
static bool clone_from(int zygote, const struct stage *stage)
{
    int parts[PASS_MAX] = {stage->control, stage->input, stage->output, stage->error};
    size_t count = 4;
    if (stage->network)
        parts[count++] = stage->network;
    for (size_t i = 0; i < stage->cgroup.procs_count; i++)
        parts[count++] = stage->cgroup.procs[i];
    return pass(zygote, stage, sizeof *stage, parts, count, MSG_DONTWAIT);
}

static int by_number(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

/* Closes what else is open: a keeper holds ends of other kits, whose end would otherwise not be seen. */
static void keep_only(const struct stage *stage)
{
    int kept[STDERR_FILENO + 1 + 5 + 3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, stage->control,
                                           stage->input, stage->output, stage->error};
    size_t count = 7;
    if (stage->network)
        kept[count++] = stage->network;
    for (size_t i = 0; i < stage->cgroup.procs_count; i++)
        kept[count++] = stage->cgroup.procs[i];
    qsort(kept, count, sizeof *kept, by_number);
    for (size_t i = 0; i < count; i++) {
        unsigned first = (unsigned)kept[i] + 1, last = i + 1 < count ? (unsigned)kept[i + 1] - 1 : ~0U;
        if (first <= last && close_range(first, last, 0) < 0)
            die_errno("close_range");
    }
}

static void clone_here(struct kit *kit, struct stage *stage)
{
    int flags = stage_clone_flags(stage) | CLONE_PIDFD | SIGCHLD;
    kit->init = (pid_t)syscall(SYS_clone, flags, NULL, &kit->ended, NULL, NULL);
    if (kit->init < 0)
        die_errno("clone");
    if (kit->init == 0) {
        keep_only(stage);
        stage_main(stage);
        _exit(70); /* only a fork of a zygote comes back */
    }
}

bool kit_begin(struct kit *kit, const struct runner *runner, const struct limits *limits, const struct recipe *recipe)
{
    struct stage stage = {.runner = runner,
                          .limits = *limits,
                          .warm = recipe->warm,
                          .early = recipe->early,
                          .zygote = recipe->zygote > 0,
                          .network = recipe->network,
                          .unhurried = recipe->unhurried,
                          .dies_with_parent = recipe->dies_with_parent};
    kit_clear(kit);
    kit->limits = *limits;
    kit->namespaced = runner->confinement.namespaces;
    kit->is_warm = recipe->warm || recipe->zygote > 0;
    make_directory(runner, kit);
    memcpy(stage.directory, kit->path, sizeof stage.directory);
    cgroup_create(&kit->cgroup, &runner->config.cgroup, limits);
    stage.cgroup = kit->cgroup;
    int controls[2];
    make_pipe(runner, &kit->input, &stage.input, false);
    make_pipe(runner, &kit->output, &stage.output, true);
    make_pipe(runner, &kit->error, &stage.error, true);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls) < 0)
        die_errno("socketpair");
    kit->control = controls[0];
    stage.control = controls[1];
    bool begun = true;
    if (recipe->zygote > 0)
        begun = clone_from(recipe->zygote, &stage);
    else
        clone_here(kit, &stage);
    close(stage.control);
    close(stage.input);
    close(stage.output);
    close(stage.error);
    if (stage.network)
        close(stage.network);
    for (size_t i = 0; i < kit->cgroup.procs_count; i++)
        close(kit->cgroup.procs[i]);
    kit->cgroup.procs_count = 0;
    return begun;
}

/* ---- Reports and orders ----------------------------------------------------------------------- */

int kit_receive(struct kit *kit, struct report *report)
{
    int passed[PASS_MAX];
    size_t count;
    ssize_t got = receive_passed(kit->control, report, sizeof *report, passed, &count, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got != sizeof *report) {
        close_end(&kit->control); /* it ended; the pidfd says so too */
        return -1;
    }
    if (report->kind == REPORT_BORN && count == 1) {
        kit->init = report->pid;
        kit->ended = passed[0];
        return 1;
    }
    for (size_t i = 0; i < count && i < KIT_PARTS; i++) {
        close_end(&kit->parts[i]);
        kit->parts[i] = passed[i];
    }
    return 1;
}

bool kit_order(const struct kit *kit, int kind, int value)
{
    struct order order = {kind, value};
    return kit->control >= 0 && send(kit->control, &order, sizeof order, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof order;
}

void kit_kill(const struct kit *kit, bool at_once)
{
    /* Without a namespace its end would leave its descendants to others: it ends them itself. */
    if (!at_once && !kit->namespaced && kit_order(kit, ORDER_LEAVE, 0))
        return;
    if (!kit->namespaced && kit->init > 0)
        tree_kill(kit->init);
    if (kit->ended >= 0)
        syscall(SYS_pidfd_send_signal, kit->ended, SIGKILL, NULL, 0);
}

/* ---- Handing over ----------------------------------------------------------------------------- */

/* The descriptors of a kit in the order they are passed. */
enum { HANDED = 6 + KIT_PARTS + 1 };

static void list(struct kit *kit, int *places[HANDED])
{
    int *fixed[] = {&kit->ended, &kit->control, &kit->input,          &kit->output,
                    &kit->error, &kit->egress,  &kit->cgroup.oom_event};
    size_t count = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        places[count++] = fixed[i];
    for (size_t i = 0; i < KIT_PARTS; i++)
        places[count++] = &kit->parts[i];
}

bool kit_hand_over(int socket, struct kit *kit)
{
    int *places[HANDED], passed[HANDED];
    size_t count = 0;
    list(kit, places);
    for (size_t i = 0; i < HANDED; i++)
        if (*places[i] >= 0)
            passed[count++] = *places[i];
    return pass(socket, kit, sizeof *kit, passed, count, MSG_DONTWAIT); /* which of them are there, it says itself */
}

bool kit_take_over(int socket, struct kit *kit, const struct runner *runner)
{
    int *places[HANDED], passed[PASS_MAX];
    size_t count, used = 0;
    if (receive_passed(socket, kit, sizeof *kit, passed, &count, MSG_DONTWAIT) != sizeof *kit)
        return false;
    list(kit, places);
    for (size_t i = 0; i < HANDED; i++)
        *places[i] = *places[i] >= 0 && used < count ? passed[used++] : -1;
    kit->cgroup.roots = &runner->config.cgroup;
    return true;
}

/* ---- The end ---------------------------------------------------------------------------------- */

void kit_close(struct kit *kit)
{
    int *places[HANDED];
    list(kit, places);
    for (size_t i = 0; i < HANDED; i++)
        close_end(places[i]);
}

void kit_remove_directory(const struct kit *kit, const struct runner *runner)
{
    if (runner->confinement.namespaces || !kit->path[0])
        return;
    leftovers_empty(runner, kit->path);
    rmdir(kit->path);
}
