/* The init of a run's namespace: sets up, forks the process that will be the program, reaps, reports.
 *
 * It is PID 1 inside, so the program is an ordinary process to which every signal does what it always does, and the
 * end of this process takes everything else in the namespace along. It never runs a byte of the request, nor sees one:
 * files are written by the supervisor, through a descriptor of the directory, and the program is told what to become
 * on a channel of its own (program.c). So a whole stage can be made before there is a request (kit.c). Where there are
 * no namespaces it is a subreaper and kills what is left over itself. */
#include "ending.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stage *me;
static int children; /* signalfd */

/* ---- Reports ---------------------------------------------------------------------------------- */

static void send_report(const struct report *report, const int *descriptors, size_t count)
{
    if (!pass(me->control, report, sizeof *report, descriptors, count, 0))
        _exit(70); /* the supervisor is gone, and so must everything be */
}

static void report_fault(const char *message)
{
    struct report report = {.kind = REPORT_REFUSED};
    refuse(&report.refusal, "internal", "%s", message);
    send_report(&report, NULL, 0);
}

static void report_end(int status)
{
    struct report report = {.kind = REPORT_ENDED, .status = status};
    if (getrusage(RUSAGE_CHILDREN, &report.usage) < 0)
        die_errno("getrusage");
    send_report(&report, NULL, 0);
}

/* ---- Processes -------------------------------------------------------------------------------- */

/* Everything but this process; returns when it is gone and reaped. */
static void kill_the_rest(void)
{
    bool own = me->runner->confinement.namespaces;
    for (;;) {
        if (own)
            kill(-1, SIGKILL);
        else
            tree_kill(getpid());
        pid_t reaped = waitpid(-1, NULL, own ? 0 : WNOHANG);
        if (reaped < 0 && errno == ECHILD)
            return;
    }
}

/* Forks the process that will be the program; `theirs` is the other end of its channel. Returns 0 in a fork of a
 * zygote, which is to go on. */
static pid_t fork_program(int *theirs)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die_errno("socketpair");
    pid_t child = fork();
    if (child < 0)
        die_errno("fork");
    if (child == 0) {
        close(ends[0]); /* or it would not see that the supervisor is gone */
        me->launch = ends[1];
        program_main(me);
        return 0;
    }
    close(ends[1]);
    *theirs = ends[0];
    return child;
}

/* Whether the program, which has stopped, did so because it is about to end (process.c). If it did and cannot be taken
 * by its word, it goes on, and ends. */
static bool says_end(pid_t program, int *status)
{
    int procfs = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum word word = procfs < 0 ? SAYS_NOTHING : word_of_end(procfs, program, status);
    if (procfs >= 0)
        close(procfs);
    bool counted = me->cgroup.memory && me->cgroup.cpu;
    if (word == SAYS_END && me->final && me->runner->confinement.namespaces && counted)
        return true;
    if (word != SAYS_NOTHING)
        kill(program, SIGCONT);
    return false;
}

enum fate { GOES_ON, HAS_STOPPED, HAS_ENDED };

/* What became of the main process, with the status once it is known. */
static enum fate reap(pid_t program, int *status)
{
    enum fate fate = GOES_ON;
    int one;
    for (pid_t child; (child = waitpid(-1, &one, WNOHANG | WUNTRACED)) > 0;)
        if (child == program && !WIFSTOPPED(one)) {
            *status = one;
            fate = HAS_ENDED;
        } else if (child == program && says_end(program, status)) {
            fate = HAS_STOPPED;
        }
    return fate;
}

/* ---- Setting up ------------------------------------------------------------------------------- */

static void enter_namespaces(void)
{
    const struct runner *runner = me->runner;
    if (me->network && (setns(me->network, CLONE_NEWNET) < 0 || close(me->network) < 0))
        die_errno("the network");
    if (me->zygote && (chdir("/") < 0 || umount2("/tmp", MNT_DETACH) < 0))
        die_errno("leaving the zygote's /tmp");
    if (!confine_mounts(me->limits.memory_mb))
        die_errno("private mounts");
    if (mkdir(me->directory, 0700) < 0 ||
        (runner->confinement.switch_user && chown(me->directory, runner->config.user.uid, runner->config.user.gid) < 0))
        die_errno("the run's directory");
    if (runner->confinement.network && !loopback_up())
        die_errno("the loopback device");
}

static int opened(const char *path, int flags)
{
    int descriptor = open(path, flags | O_CLOEXEC);
    if (descriptor < 0)
        die_errno(path);
    return descriptor;
}

/* Everything the supervisor needs of this stage, in the order of `enum kit_part`. */
static void report_ready(int launch)
{
    int parts[KIT_PARTS] = {
        [KIT_DIRECTORY] = opened(me->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), [KIT_LAUNCH] = launch};
    size_t count = KIT_LAUNCH + 1;
    if (me->runner->confinement.namespaces) {
        parts[KIT_PROCFS] = opened("/proc", O_RDONLY | O_DIRECTORY);
        parts[KIT_TMPFS] = opened("/tmp", O_PATH | O_DIRECTORY);
        parts[KIT_MOUNTS] = opened("/proc/self/ns/mnt", O_RDONLY);
        parts[KIT_NETWORK] = opened("/proc/self/ns/net", O_RDONLY);
        count = KIT_PARTS;
    }
    send_report(&(struct report){.kind = REPORT_READY}, parts, count);
    for (size_t i = 0; i < count; i++)
        close(parts[i]);
}

/* ---- Orders ----------------------------------------------------------------------------------- */

static void resize(int megabytes)
{
    char options[32];
    format_into(options, sizeof options, "size=%dm", megabytes);
    if (mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options) < 0)
        die_errno("the size of /tmp");
}

/* No program follows the one that waits or runs: what only setting one up needs is given up. */
static void finalize(void)
{
    me->final = true;
    confine_init();
    close(me->input);
    close(me->output);
    close(me->error);
}

static void leave(void)
{
    if (!me->runner->confinement.namespaces)
        kill_the_rest(); /* in a namespace, the kernel does it when this process ends */
    _exit(0);
}

/* Returns true in a fork of a zygote (which has no second step). */
static void obey(pid_t *program)
{
    struct order order;
    ssize_t got = recv(me->control, &order, sizeof order, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got != sizeof order)
        leave(); /* the supervisor is gone */
    switch (order.kind) {
    case ORDER_SIGNAL:
        if (*program)
            kill(-*program, order.value);
        break;
    case ORDER_RESIZE: resize(order.value); break;
    case ORDER_FINAL: finalize(); break;
    case ORDER_NEXT: {
        int launch;
        kill_the_rest();
        *program = fork_program(&launch);
        report_ready(launch);
        finalize();
        break;
    }
    case ORDER_LEAVE: leave();
    }
}

/* Serves until the end of the last program. */
static _Noreturn void watch_over(pid_t program)
{
    struct pollfd watched[] = {{.fd = children, .events = POLLIN}, {.fd = me->control, .events = POLLIN}};
    bool stopped = false;
    for (;;) {
        int status;
        struct signalfd_siginfo ignored[8];
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            die_errno("poll");
        if (watched[0].revents) {
            if (read(children, ignored, sizeof ignored) < 0 && errno != EAGAIN)
                die_errno("signalfd");
            enum fate fate = reap(program, &status);
            if (fate != GOES_ON) {
                program = 0;
                stopped = fate == HAS_STOPPED; /* it is to stay until the supervisor has let go: that takes the processor */
                if (me->final && fate == HAS_ENDED)
                    kill_the_rest(); /* so that the supervisor need not wait for the end of this process too */
                report_end(status);
            }
        }
        if (watched[1].revents)
            obey(&program);
        if (!program && me->final && !stopped)
            _exit(0);
    }
}

int stage_clone_flags(const struct stage *stage)
{
    return confinement_clone_flags(&stage->runner->confinement) & (stage->network ? ~CLONE_NEWNET : ~0);
}

void stage_main(struct stage *stage)
{
    me = stage;
    die_hook = report_fault;
    if (stage->dies_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno("prctl");
    sigset_t all, child_only;
    sigfillset(&all);
    sigemptyset(&child_only);
    sigaddset(&child_only, SIGCHLD);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        die_errno("sigprocmask");
    children = signalfd(-1, &child_only, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0)
        die_errno("signalfd");
    if (stage->runner->confinement.namespaces)
        enter_namespaces();
    else if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        die_errno("prctl");

    int launch;
    pid_t program = fork_program(&launch);
    if (program == 0)
        return;
    report_ready(launch);
    if (stage->warm || stage->zygote)
        finalize();
    watch_over(program);
}
