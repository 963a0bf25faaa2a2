/* The runner's first process: accepts, forks a supervisor for each connection, reaps. It parses nothing of a client. */
#include "runner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SPARE_CONNECTIONS = 64, /* beyond MAX_RUNS, so that there is somebody to say too_busy */
    MAX_SSH = 64,
    MAX_CHILDREN = MAX_RUNS + SPARE_CONNECTIONS + MAX_SSH,
    SHUTDOWN_MS = 700,
    KEEPER_PAUSE_MS = 1000, /* between two starts of a keeper */
};

static struct child {
    pid_t pid;
    bool is_ssh;
} children[MAX_CHILDREN];
static unsigned supervisors, sshds;
static int signals, listener;
static pid_t keeper; /* 0: none */
static int64_t keeper_started_at;
static pid_t warden; /* 0: none */
static int64_t warden_started_at;

/* ---- Children --------------------------------------------------------------------------------- */

static void remember(pid_t pid, bool is_ssh)
{
    for (size_t i = 0; i < MAX_CHILDREN; i++)
        if (!children[i].pid) {
            children[i] = (struct child){pid, is_ssh};
            *(is_ssh ? &sshds : &supervisors) += 1;
            return;
        }
    die("more children than were ever started"); /* both counts are checked before accepting */
}

/* Every child that has ended, and as PID 1 every orphan of the machine. */
static void reap(void)
{
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
        if (pid == keeper)
            keeper = 0;
        if (pid == warden)
            warden = 0;
        for (size_t i = 0; i < MAX_CHILDREN; i++)
            if (children[i].pid == pid) {
                *(children[i].is_ssh ? &sshds : &supervisors) -= 1;
                children[i].pid = 0;
                break;
            }
    }
}

static void signal_children(int number)
{
    if (keeper)
        kill(keeper, number);
    if (warden)
        kill(warden, number);
    for (size_t i = 0; i < MAX_CHILDREN; i++)
        if (children[i].pid)
            kill(children[i].pid, number);
}

/* ---- The keeper ------------------------------------------------------------------------------- */

/* Starts one where there should be one and is none; how long until the next try, or -1. */
static int keep_keeper(struct runner *runner)
{
    int64_t now = monotonic_ms(), pause = keeper_started_at + KEEPER_PAUSE_MS - now;
    int ends[2];
    if (!runner->config.warm || keeper)
        return -1;
    if (keeper_started_at && pause > 0)
        return (int)pause;
    keeper_started_at = now;
    close_end(&runner->keeper);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return KEEPER_PAUSE_MS;
    keeper = fork();
    if (keeper == 0) {
        close(listener);
        close(signals);
        close(ends[0]);
        keeper_main(runner, ends[1]);
    }
    close(ends[1]);
    if (keeper < 0) {
        keeper = 0;
        close(ends[0]);
        return KEEPER_PAUSE_MS;
    }
    runner->keeper = ends[0];
    return -1;
}

/* The same for the warden of the home, where there is to be one. */
static int keep_warden(const struct runner *runner)
{
    int64_t now = monotonic_ms(), pause = warden_started_at + KEEPER_PAUSE_MS - now;
    if (!runner->config.home_bytes || warden)
        return -1;
    if (warden_started_at && pause > 0)
        return (int)pause;
    warden_started_at = now;
    warden = fork();
    if (warden == 0) {
        close(listener);
        close(signals);
        home_main(&runner->config);
    }
    if (warden > 0)
        return -1;
    warden = 0;
    return KEEPER_PAUSE_MS;
}

static int sooner(int left, int right)
{
    return left < 0 ? right : right < 0 || left < right ? left : right;
}

/* The next one knows the runtimes as they are now. */
static void replace_keeper(void)
{
    keeper_started_at = 0;
    if (keeper)
        kill(keeper, SIGTERM);
}

/* ---- Connections ------------------------------------------------------------------------------ */

int listen_on(in_addr_t host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
    socklen_t length = sizeof address;
    int one = 1, new = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (new < 0 || setsockopt(new, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(new, (struct sockaddr *)&address, sizeof address) < 0 || listen(new, 1024) < 0 ||
        getsockname(new, (struct sockaddr *)&address, &length) < 0)
        die("listening on %s:%d: %s", inet_ntoa(address.sin_addr), port, strerror(errno));
    warn("listening on %s:%d", inet_ntoa(address.sin_addr), ntohs(address.sin_port));
    return new;
}

static void accept_run(struct runner *runner)
{
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (socket < 0)
        return;
    if (runtimes_refresh(&runner->runtimes, false))
        replace_keeper();
    pid_t child = fork();
    if (child < 0)
        warn("no process for a connection: %s", strerror(errno));
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        close(listener);
        close(signals);
        if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
            die_errno("sigprocmask");
        supervise(runner, socket, supervisors >= MAX_RUNS, supervisors);
    }
    close(socket);
    if (child > 0)
        remember(child, false);
}

static void accept_ssh(const struct ssh *ssh)
{
    int socket = accept4(ssh->listener, NULL, NULL, SOCK_CLOEXEC);
    if (socket < 0)
        return;
    pid_t child = ssh_hand_off(ssh, socket);
    if (child > 0)
        remember(child, true);
}

/* ---- Life and death --------------------------------------------------------------------------- */

/* Answers the signals that came; true once it is time to end. */
static bool take_signals(struct runner *runner)
{
    struct signalfd_siginfo one;
    bool ending = false;
    while (read(signals, &one, sizeof one) == sizeof one) {
        if (one.ssi_signo == SIGTERM || one.ssi_signo == SIGINT)
            ending = true;
        else if (one.ssi_signo == SIGHUP && runtimes_refresh(&runner->runtimes, true))
            replace_keeper();
    }
    reap();
    return ending;
}

static void shut_down(struct runner *runner)
{
    struct pollfd watched = {.fd = signals, .events = POLLIN};
    int64_t deadline = monotonic_ms() + SHUTDOWN_MS;
    signal_children(SIGTERM); /* supervisors kill their runs and tell their clients */
    while (supervisors + sshds + (keeper != 0) + (warden != 0) > 0) {
        int64_t left = deadline - monotonic_ms();
        if (left <= 0)
            break;
        if (poll(&watched, 1, (int)left) > 0)
            take_signals(runner);
    }
    signal_children(SIGKILL); /* a run dies with its supervisor */
    while (supervisors + sshds + (keeper != 0) + (warden != 0) > 0 && poll(&watched, 1, 200) > 0)
        take_signals(runner);
}

static void watch_signals(void)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        die_errno("signals");
    signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        die_errno("signalfd");
}

int server_main(struct runner *runner, const struct ssh *ssh)
{
    watch_signals();
    listener = listen_on(INADDR_LOOPBACK, runner->config.port);
    for (;;) {
        struct pollfd watched[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = supervisors < MAX_RUNS + SPARE_CONNECTIONS ? listener : -1, .events = POLLIN},
            {.fd = sshds < MAX_SSH ? ssh->listener : -1, .events = POLLIN},
        };
        if (poll(watched, 3, sooner(keep_keeper(runner), keep_warden(runner))) < 0 && errno != EINTR)
            die_errno("poll");
        if (watched[0].revents && take_signals(runner))
            break;
        if (watched[1].revents)
            accept_run(runner);
        if (watched[2].revents)
            accept_ssh(ssh);
    }
    shut_down(runner);
    if (runner->directory[0])
        rmdir(runner->directory);
    return 0;
}
