/* The init of a run's namespace: sets up, starts the program (or its compiler, then the program), reaps, reports.
 *
 * It is PID 1 inside, so the program is an ordinary process to which every signal does what it always does, and the
 * end of this process takes everything else in the namespace along. It never runs a byte of the request. Where there
 * are no namespaces it is a subreaper and kills what is left over itself. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int control, problems; /* where the hooks below write to */

/* ---- Reports ---------------------------------------------------------------------------------- */

static void send_report(struct report *report, int procfs, int tmpfs)
{
    struct iovec body = {report, sizeof *report};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } passed = {0};
    if (procfs >= 0 && tmpfs >= 0) {
        message.msg_control = passed.space;
        message.msg_controllen = sizeof passed.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(2 * sizeof(int));
        memcpy(CMSG_DATA(header), (int[]){procfs, tmpfs}, 2 * sizeof(int));
    }
    if (sendmsg(control, &message, MSG_NOSIGNAL) < 0)
        _exit(70); /* the supervisor is gone, and so must everything be */
}

static void report_fault(const char *message)
{
    struct report report = {.kind = REPORT_REFUSED};
    refuse(&report.refusal, "internal", "%s", message);
    send_report(&report, -1, -1);
}

static _Noreturn void give_up(const struct refusal *refusal)
{
    send_report(&(struct report){.kind = REPORT_REFUSED, .refusal = *refusal}, -1, -1);
    _exit(0);
}

/* ---- The program's process -------------------------------------------------------------------- */

static void fail_before_exec(const struct refusal *refusal)
{
    if (write(problems, refusal, sizeof *refusal) < 0)
        _exit(70);
    _exit(0);
}

static void fault_before_exec(const char *message)
{
    struct refusal refusal;
    refuse(&refusal, "internal", "%s", message);
    fail_before_exec(&refusal);
}

static void redirect(int from, int to)
{
    if (dup2(from, to) < 0)
        die_errno("dup2");
}

static _Noreturn void program_main(const struct run *run, int stage, const char *path, char **command,
                                   char **environment)
{
    const struct runner *runner = run->runner;
    die_hook = fault_before_exec;
    if (setsid() < 0)
        die_errno("setsid");
    if (!runner->confinement.namespaces && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno("prctl");
    int null = stage == STAGE_COMPILE ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    redirect(stage == STAGE_COMPILE ? null : run->input, STDIN_FILENO);
    redirect(stage == STAGE_COMPILE ? run->error : run->output, STDOUT_FILENO);
    redirect(run->error, STDERR_FILENO);

    cgroup_enter(&run->cgroup);
    write_text_at(AT_FDCWD, "/proc/self/oom_score_adj", "500"); /* before the runner and its inits */
    bool counted = run->cgroup.pids;
    confine_program(&runner->config, &runner->confinement, &(struct limits){.processes = counted ? 0 : 1},
                    &runner->filter);
    if (chdir(run->directory) < 0)
        die_errno("the run's directory");
    execve(path, command, environment);

    struct refusal refusal;
    if (errno == E2BIG)
        refuse(&refusal, "bad_request", "The arguments and environment are too long for this system.");
    else
        refuse(&refusal, "runtime_unavailable", "%s could not be started: %s.", path, strerror(errno));
    fail_before_exec(&refusal);
    _exit(70);
}

static char **build_environment(const struct run *run)
{
    const struct user *user = &run->runner->config.user;
    json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:s}", "PATH", SEARCH_PATH, "HOME", user->home, "USER", user->name,
                            "LANG", "C.UTF-8", "TERM", "dumb");
    if (run->request.id)
        json_object_set_new(all, "MARTLET_EXECUTION_ID", json_string(run->request.id));
    if (!run->runner->confinement.namespaces)
        json_object_set_new(all, "TMPDIR", json_string(run->directory));
    json_object_update(all, json_object_get(run->runtime->spec, "env"));
    json_object_update(all, (json_t *)run->request.env);

    char **environment = allocate((json_object_size(all) + 1) * sizeof *environment);
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(all, key, value) if (json_is_string(value) && asprintf(&environment[count++], "%s=%s", key,
                                                                               json_string_value(value)) < 0)
        die("out of memory");
    json_decref(all);
    return environment;
}

/* Starts one step; returns once it has really been executed. */
static pid_t start(const struct run *run, int stage, char **command, char **environment)
{
    int ends[2];
    struct refusal refusal;
    char *path = strchr(command[0], '/') ? copy_text(command[0]) : command_find(command[0]);
    if (!path) {
        refuse(&refusal, "runtime_unavailable", "%s is not installed.", command[0]);
        give_up(&refusal);
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        die_errno("pipe");
    pid_t child = fork();
    if (child < 0)
        die_errno("fork");
    if (child == 0) {
        problems = ends[1];
        program_main(run, stage, path, command, environment);
    }
    close(ends[1]);
    ssize_t got;
    while ((got = read(ends[0], &refusal, sizeof refusal)) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    free(path);
    if (got != 0)
        give_up(&refusal);
    return child;
}

/* ---- Waiting ---------------------------------------------------------------------------------- */

/* Everything but this process; returns when it is gone and reaped. */
static void kill_the_rest(const struct run *run)
{
    for (;;) {
        if (run->runner->confinement.namespaces)
            kill(-1, SIGKILL);
        else
            tree_kill(getpid());
        pid_t reaped = waitpid(-1, NULL, run->runner->confinement.namespaces ? 0 : WNOHANG);
        if (reaped < 0 && errno == ECHILD)
            return;
    }
}

/* True with the status once the main process has ended. */
static bool reap(pid_t program, int *status)
{
    bool ended = false;
    int one;
    for (pid_t child; (child = waitpid(-1, &one, WNOHANG)) > 0;)
        if (child == program) {
            *status = one;
            ended = true;
        }
    return ended;
}

static int wait_for(pid_t program, int children)
{
    struct pollfd watched[] = {{.fd = children, .events = POLLIN}, {.fd = control, .events = POLLIN}};
    int status, number;
    while (!reap(program, &status)) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            die_errno("poll");
        struct signalfd_siginfo ignored[8];
        if (watched[0].revents && read(children, ignored, sizeof ignored) < 0 && errno != EAGAIN)
            die_errno("signalfd");
        if (watched[1].revents) {
            if (recv(control, &number, sizeof number, MSG_DONTWAIT) != sizeof number)
                _exit(70); /* the supervisor is gone */
            kill(-program, number);
        }
    }
    return status;
}

/* ---- The run ---------------------------------------------------------------------------------- */

static void set_up(struct run *run)
{
    const struct runner *runner = run->runner;
    struct refusal refusal;
    if (runner->confinement.namespaces) {
        if (!confine_mounts(run->limits.memory_mb))
            die_errno("private mounts");
        if (mkdir(run->directory, 0700) < 0 ||
            (runner->confinement.switch_user &&
             chown(run->directory, runner->config.user.uid, runner->config.user.gid) < 0))
            die_errno("the run's directory");
    } else if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        die_errno("prctl");
    }
    if (runner->confinement.network && !loopback_up())
        die_errno("the loopback device");

    int directory = open(run->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        die_errno("the run's directory");
    if (!request_write_files(&run->request, directory, json_string_value(json_object_get(run->runtime->spec, "file")),
                             &runner->config.user, &refusal))
        give_up(&refusal);
    close(directory);
}

static void announce(const struct run *run, int stage)
{
    bool own = run->runner->confinement.namespaces;
    int procfs = own ? open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int tmpfs = own ? open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    send_report(&(struct report){.kind = REPORT_STARTED, .stage = stage}, procfs, tmpfs);
    if (own) {
        close(procfs);
        close(tmpfs);
    }
}

void stage_main(struct run *run)
{
    control = run->control;
    die_hook = report_fault;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno("prctl");
    sigset_t all, child_only;
    sigfillset(&all);
    sigemptyset(&child_only);
    sigaddset(&child_only, SIGCHLD);
    if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
        die_errno("sigprocmask");
    int children = signalfd(-1, &child_only, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0)
        die_errno("signalfd");

    set_up(run);
    const struct runtimes *runtimes = &run->runner->runtimes;
    char **compile = runtime_command(runtimes, run->runtime, "compile", run->directory, NULL);
    char **command = runtime_command(runtimes, run->runtime, "run", run->directory, run->request.args);
    char **environment = build_environment(run);
    request_free(&run->request); /* it may be megabytes, and this process lives as long as the program */

    struct report end = {.kind = REPORT_ENDED, .stage = STAGE_RUN};
    if (compile) {
        pid_t compiler = start(run, STAGE_COMPILE, compile, environment);
        announce(run, STAGE_COMPILE);
        end.status = wait_for(compiler, children);
        kill_the_rest(run);
        if (end.status != 0) {
            end.stage = STAGE_COMPILE;
            send_report(&end, -1, -1);
            _exit(0);
        }
    }
    pid_t program = start(run, STAGE_RUN, command, environment);
    announce(run, STAGE_RUN);
    confine_init();
    close(run->input);
    close(run->output);
    close(run->error);
    end.status = wait_for(program, children);
    if (!run->runner->confinement.namespaces)
        kill_the_rest(run); /* in a namespace, the kernel does it when this process ends */
    send_report(&end, -1, -1);
    _exit(0);
}
