/* The poll loop of one run, its clocks and limits, and the word it ends with. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MS = 10 * 1000 };

struct supervisor me;
volatile sig_atomic_t terminated;

void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

/* ---- Ending a run ----------------------------------------------------------------------------- */

void kill_run(enum reason reason)
{
    if (me.killed_for != NOT_KILLED || !me.init || me.ended)
        return;
    me.killed_for = reason;
    kill(me.init, SIGKILL); /* not reaped yet, so the number is still its own */
}

void lose_client(void)
{
    me.client_gone = true;
    kill_run(CANCELLED);
}

static void collect_init(void)
{
    int status;
    while (wait4(me.init, &status, 0, &me.usage) < 0)
        if (errno != EINTR)
            die_errno("wait4");
    me.init = 0;
    if (!me.runner->confinement.namespaces) /* orphans of the init have become ours */
        for (;;) {
            tree_kill(getpid());
            if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
                break;
        }
    if (!me.ended)
        me.ended_at = monotonic_ms();
    cgroup_usage(&me.run.cgroup, &me.group_usage);
    close_end(&me.input);
}

/* ---- Reports of the init ---------------------------------------------------------------------- */

static void take_descriptors(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(2 * sizeof(int)))
        return;
    int passed[2];
    memcpy(passed, CMSG_DATA(header), sizeof passed);
    close_end(&me.procfs);
    close_end(&me.tmpfs);
    me.procfs = passed[0];
    me.tmpfs = passed[1];
}

/* Holds on to the run's namespaces: taking them down costs more than many a run, and the client need not wait for it.
 */
static void hold_namespaces(void)
{
    static const char *const kinds[] = {"mnt", "net"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[64];
        format_into(path, sizeof path, "/proc/%d/ns/%s", (int)me.init, kinds[i]);
        (void)!open(path, O_RDONLY | O_CLOEXEC); /* closed by the end of this process, soon after the answer */
    }
}

static void announce(void)
{
    char text[32];
    if (me.announced)
        return;
    me.announced = true;
    if (me.runner->confinement.namespaces)
        hold_namespaces();
    me.credit_owed += STDIN_CREDIT; /* it counted from the start, so some of it may be used already */
    format_into(text, sizeof text, "{\"pid\":%d}", (int)me.init);
    start_frame(FRAME_STARTED, text, strlen(text));
    pump_input();
}

static void read_reports(void)
{
    while (me.control >= 0) {
        struct report report;
        struct iovec body = {&report, sizeof report};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(2 * sizeof(int))];
        } passed;
        struct msghdr message = {
            .msg_iov = &body, .msg_iovlen = 1, .msg_control = passed.space, .msg_controllen = sizeof passed.space};
        ssize_t got = recvmsg(me.control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got != sizeof report) {
            close_end(&me.control); /* it ended; the pidfd says so too */
            return;
        }
        switch (report.kind) {
        case REPORT_STARTED:
            take_descriptors(&message);
            me.end.stage = report.stage;
            announce();
            break;
        case REPORT_REFUSED:
            if (!me.refusal.code[0])
                me.refusal = report.refusal;
            break;
        case REPORT_ENDED:
            me.end = report;
            me.ended = true;
            me.ended_at = monotonic_ms();
            break;
        }
    }
}

/* ---- Clocks ------------------------------------------------------------------------ */

/* What is due now is done; the rest is the time until something is. */
static int64_t keep_time(void)
{
    int64_t now = monotonic_ms();
    if (!me.init) {
        int64_t patience = terminated ? SHUTDOWN_MS : STALL_MS;
        if (now - me.last_progress >= patience)
            me.client_gone = true;
        return me.last_progress + patience - now;
    }
    if (now >= me.deadline)
        kill_run(TIMEOUT);
    if (me.announced && now >= me.next_watch && me.killed_for == NOT_KILLED && !me.ended)
        watch(now);
    int64_t next = me.killed_for == NOT_KILLED ? me.deadline : now + 1000;
    if (me.announced && me.next_watch < next && me.killed_for == NOT_KILLED)
        next = me.next_watch;
    return next - now;
}

/* ---- The loop --------------------------------------------------------------------------------- */

enum { SOCKET, OUTPUT, ERROR, INPUT, CONTROL, INIT, OOM, WATCHED };

static void wait_for_events(struct pollfd watched[WATCHED], int64_t milliseconds)
{
    bool idle = !frame_pending();
    bool input_waits = me.waiting_start < me.waiting_end;
    short socket_events = POLLRDHUP;
    if (!idle)
        socket_events |= POLLOUT;
    if (me.init && !me.refusal.code[0])
        socket_events |= POLLIN;
    watched[SOCKET] = (struct pollfd){.fd = me.client_gone ? -1 : me.socket, .events = socket_events};
    watched[OUTPUT] = (struct pollfd){.fd = idle && me.announced ? me.output : -1, .events = POLLIN};
    watched[ERROR] = (struct pollfd){.fd = idle && me.announced ? me.error : -1, .events = POLLIN};
    watched[INPUT] = (struct pollfd){.fd = input_waits ? me.input : -1, .events = POLLOUT};
    watched[CONTROL] = (struct pollfd){.fd = me.control, .events = POLLIN};
    watched[OOM] = (struct pollfd){.fd = me.init ? me.run.cgroup.oom_event : -1, .events = POLLIN};
    watched[INIT] = (struct pollfd){.fd = me.init ? me.init_ended : -1, .events = POLLIN};

    sigset_t none;
    sigemptyset(&none);
    if (milliseconds < 0)
        milliseconds = 0;
    struct timespec patience = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    if (ppoll(watched, WATCHED, &patience, &none) < 0) {
        if (errno != EINTR)
            die_errno("ppoll");
        for (int i = 0; i < WATCHED; i++)
            watched[i].revents = 0;
    }
}

static bool finished(void)
{
    if (me.init)
        return false;
    return me.client_gone || me.refusal.code[0] || (me.output < 0 && me.error < 0 && !frame_pending());
}

void serve_run(void)
{
    while (!finished()) {
        struct pollfd watched[WATCHED];
        wait_for_events(watched, keep_time());
        if (terminated)
            kill_run(CANCELLED);
        if (watched[CONTROL].revents)
            read_reports();
        if (watched[OOM].revents)
            suspect_memory();
        if (watched[SOCKET].revents & (POLLRDHUP | POLLHUP | POLLERR))
            lose_client();
        else if (watched[SOCKET].revents & POLLIN)
            receive();
        if (watched[INPUT].revents)
            pump_input();
        if (watched[SOCKET].revents & POLLOUT) {
            flush_frame();
            grant_credit();
        }
        if (watched[INIT].revents) {
            read_reports();
            collect_init();
            me.last_progress = monotonic_ms();
        }
        if (watched[OUTPUT].revents || !me.init)
            pump_output(&me.output, FRAME_STDOUT);
        if (watched[ERROR].revents || !me.init)
            pump_output(&me.error, FRAME_STDERR);
        grant_credit(); /* it may have waited for a frame of output */
    }
}

/* ---- The last frame --------------------------------------------------------------------------- */

static int64_t rusage_ms(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;
}

static int64_t larger(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

/* The program's fate in a word. A limit is blamed only if the program did not get over it. */
static const char *reason_text(bool failed, bool signaled)
{
    static const char *const killed[] = {
        [TIMEOUT] = "timeout",           [MEMORY] = "memory",       [PROCESSES] = "processes",
        [OUTPUT_LIMIT] = "output_limit", [CANCELLED] = "cancelled", [FAULT] = "cancelled",
    };
    if (me.truncated)
        return "output_limit";
    if (!me.ended && me.killed_for != NOT_KILLED)
        return killed[me.killed_for];
    if (failed && me.group_usage.out_of_memory)
        return "memory";
    if (failed && me.group_usage.out_of_processes)
        return "processes";
    return signaled ? "signaled" : "exited";
}

static void send_exit(void)
{
    /* Without a report it was the kill of the whole tree that ended the program. */
    int status = me.ended ? me.end.status : SIGKILL;
    bool signaled = WIFSIGNALED(status);
    char text[512], code[16] = "null", signal[32] = "null";
    if (signaled)
        format_into(signal, sizeof signal, "\"%s\"", signal_name(WTERMSIG(status)));
    else
        format_into(code, sizeof code, "%d", WEXITSTATUS(status));
    int64_t cpu_ms = larger(me.group_usage.cpu_ms, larger(rusage_ms(&me.usage), me.sampled_cpu_ms));
    int64_t peak = larger(me.group_usage.peak_bytes, larger((int64_t)me.usage.ru_maxrss * 1024, me.sampled_peak));
    format_into(text, sizeof text,
                "{\"exitCode\":%s,\"signal\":%s,\"reason\":\"%s\",\"stage\":\"%s\",\"durationMs\":%lld,\"cpuMs\":%lld,"
                "\"maxRssBytes\":%lld,\"truncated\":%s}",
                code, signal, reason_text(status != 0, signaled), me.end.stage == STAGE_COMPILE ? "compile" : "run",
                (long long)(me.ended_at - me.started_at), (long long)cpu_ms, (long long)peak,
                me.truncated ? "true" : "false");
    send_frame(me.socket, FRAME_EXIT, text, strlen(text), monotonic_ms() + (terminated ? SHUTDOWN_MS : STALL_MS));
}

void answer_client(void)
{
    bool explained = me.ended || me.killed_for != NOT_KILLED || me.group_usage.out_of_memory;
    if (!explained && !me.refusal.code[0])
        refuse(&me.refusal, "internal", "The run ended without a word of how.");
    if (me.refusal.code[0]) {
        if (frame_pending()) /* half a frame of output may be out */
            send_all(me.socket, me.frame + me.frame_start, me.frame_end - me.frame_start, monotonic_ms() + ANSWER_MS);
        send_refused(me.socket, me.refusal.code, me.refusal.message);
    } else {
        send_exit();
    }
}
