/* The poll loop of one run, its clocks and limits, and the word it ends with. */
#include "ending.h"
#include "supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ANSWER_MS = 10 * 1000,
    FIRST_WATCH_MS = 5,
    HOLD_MS = 1, /* "started" leaves with the first output, if that comes soon: on its own it wakes five processes */
    TRIM_BYTES = 64 * 1024,
    LISTEN_TIMES = 40, /* some 5 us each, if nobody else wants the processor */
    FIRST_PROGRAM = 2, /* its number in its namespace; its init is 1 */
};

struct supervisor me;
volatile sig_atomic_t terminated;

/* ---- Ending a run ----------------------------------------------------------------------------- */

void kill_run(enum reason reason)
{
    if (me.killed_for != NOT_KILLED || !me.alive || me.ended)
        return;
    me.killed_for = reason;
    me.killed_at = monotonic_ms();
    kit_kill(&me.kit, false);
}

void lose_client(void)
{
    me.client_gone = true;
    kill_run(CANCELLED);
}

/* Nothing of the run is left: its init has ended, or is the last and about to. */
static void collect_run(bool init_ended)
{
    int status;
    while (init_ended && me.ours && wait4(me.kit.init, &status, 0, &me.usage) < 0)
        if (errno != EINTR)
            die_errno("wait4");
    me.alive = false;
    if (me.ours && !me.runner->confinement.namespaces) /* orphans of the init have become ours */
        for (;;) {
            tree_kill(getpid());
            if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
                break;
        }
    if (!me.ended)
        me.ended_at = monotonic_ms();
    cgroup_usage(&me.kit.cgroup, &me.group_usage);
    close_end(&me.kit.input);
}

/* ---- Word of the run -------------------------------------------------------------------------- */

static void announce(void)
{
    char text[64];
    if (me.announced)
        return;
    me.announced = true;
    me.next_watch = monotonic_ms() + FIRST_WATCH_MS;
    me.credit_owed += STDIN_CREDIT; /* it counted from the start, so some of it may be used already */
    format_into(text, sizeof text, "{\"pid\":%d,\"network\":\"%s\"}", (int)me.kit.init,
                me.kit.egress >= 0 ? "egress" : "none");
    me.held_until = me.next_watch - FIRST_WATCH_MS + HOLD_MS;
    start_frame(FRAME_STARTED, text, strlen(text));
    pump_input();
}

static void step_begun(void)
{
    announce();
    if (me.stage == STAGE_RUN) { /* the request may be megabytes, and this process lives as long as the program */
        bool large = me.run.request.size > TRIM_BYTES;
        request_free(&me.run.request);
        if (large)
            malloc_trim(0);
    }
}

/* The channel says that a process waits, or why it cannot be the program; its end says that it is the program now. */
static void read_channel(void)
{
    int *channel = &me.kit.parts[KIT_LAUNCH];
    while (*channel >= 0) {
        ssize_t got = recv(*channel, me.word + me.word_length, sizeof me.word - me.word_length, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got > 0) {
            me.word_length += (size_t)got;
            if (me.word[0] == PROGRAM_READY) /* known, for it is asked to become something anyway */
                memmove(me.word, me.word + 1, --me.word_length);
            bool begins = me.word_length > 0 && me.word[0] == PROGRAM_BEGINS;
            if (!begins && me.word_length < sizeof me.refusal)
                continue;
            if (!begins)
                memcpy(&me.refusal, me.word, sizeof me.refusal);
        }
        bool unread = got < 0; /* the launch was not even read */
        close_end(channel);
        if (unread && !me.announced && !me.ours && me.killed_for == NOT_KILLED)
            start_over();
        else if (!me.refusal.code[0] && me.launched)
            step_begun();
    }
}

static void read_reports(void)
{
    struct report report;
    while (me.kit.control >= 0 && kit_receive(&me.kit, &report) > 0)
        switch (report.kind) {
        case REPORT_BORN: break;
        case REPORT_READY: launch_step(); break;
        case REPORT_REFUSED:
            if (!me.refusal.code[0])
                me.refusal = report.refusal;
            break;
        case REPORT_ENDED:
            read_channel();
            end_step(&report);
            break;
        }
}

/* Whoever closes both its streams is about to say that it ends (process.c), or never will. The init sees that too and
 * reports it, but is one more process to wake. */
static void listen_for_end(void)
{
    const struct cgroup *group = &me.kit.cgroup;
    bool silent = me.kit.output < 0 && me.kit.error < 0 && me.announced && me.alive && !me.ended && !me.listened;
    if (!silent || me.stage != STAGE_RUN || !me.kit.namespaced || !group->memory || !group->cpu)
        return;
    me.listened = true;
    struct report report = {.kind = REPORT_ENDED};
    for (int i = 0; i < LISTEN_TIMES; i++) {
        if (word_of_end(me.kit.parts[KIT_PROCFS], FIRST_PROGRAM, &report.status) == SAYS_END) {
            end_step(&report);
            collect_run(false);
            me.last_progress = monotonic_ms();
            return;
        }
        sched_yield(); /* to the program itself, if it has no other processor */
    }
}

/* ---- Clocks ------------------------------------------------------------------------ */

/* What is due now is done; the rest is the time until something is. */
static int64_t keep_time(void)
{
    int64_t now = monotonic_ms();
    if (me.held_until && now >= me.held_until)
        release_frames();
    if (!me.alive) {
        int64_t patience = terminated ? SHUTDOWN_MS : STALL_MS;
        if (now - me.last_progress >= patience)
            me.client_gone = true;
        return me.last_progress + patience - now;
    }
    if (now >= me.deadline)
        kill_run(TIMEOUT);
    if (me.killed_for != NOT_KILLED && now - me.killed_at >= 1000)
        kit_kill(&me.kit, true);
    if (me.announced && now >= me.next_watch && me.killed_for == NOT_KILLED && !me.ended)
        watch(now);
    int64_t next = me.killed_for == NOT_KILLED ? me.deadline : now + 1000;
    if (me.announced && me.next_watch < next && me.killed_for == NOT_KILLED)
        next = me.next_watch;
    if (me.held_until && me.held_until < next)
        next = me.held_until;
    return next - now;
}

/* ---- The loop --------------------------------------------------------------------------------- */

enum { SOCKET, OUTPUT, ERROR, INPUT, CHANNEL, CONTROL, INIT, OOM, WATCHED };

static void wait_for_events(struct pollfd watched[WATCHED], int64_t milliseconds)
{
    bool idle = !frame_pending();
    bool input_waits = me.waiting_start < me.waiting_end;
    short socket_events = POLLRDHUP;
    if (!idle)
        socket_events |= POLLOUT;
    if (me.alive && !me.refusal.code[0])
        socket_events |= POLLIN;
    watched[SOCKET] = (struct pollfd){.fd = me.client_gone ? -1 : me.socket, .events = socket_events};
    watched[OUTPUT] = (struct pollfd){.fd = idle && me.announced ? me.kit.output : -1, .events = POLLIN};
    watched[ERROR] = (struct pollfd){.fd = idle && me.announced ? me.kit.error : -1, .events = POLLIN};
    watched[INPUT] = (struct pollfd){.fd = input_waits ? me.kit.input : -1, .events = POLLOUT};
    watched[CHANNEL] = (struct pollfd){.fd = me.kit.parts[KIT_LAUNCH], .events = POLLIN};
    watched[CONTROL] = (struct pollfd){.fd = me.kit.control, .events = POLLIN};
    watched[OOM] = (struct pollfd){.fd = me.alive ? me.kit.cgroup.oom_event : -1, .events = POLLIN};
    watched[INIT] = (struct pollfd){.fd = me.alive ? me.kit.ended : -1, .events = POLLIN};

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
    if (me.alive)
        return false;
    return me.client_gone || me.refusal.code[0] || (me.kit.output < 0 && me.kit.error < 0 && !frame_pending());
}

void serve_run(void)
{
    while (!finished()) {
        struct pollfd watched[WATCHED];
        wait_for_events(watched, keep_time());
        if (terminated)
            kill_run(CANCELLED);
        if (watched[CHANNEL].revents)
            read_channel();
        if (watched[CONTROL].revents)
            read_reports();
        if (me.started_over) { /* what was seen was of another kit */
            me.started_over = false;
            continue;
        }
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
        bool init_ended = watched[INIT].revents;
        if (init_ended)
            read_reports();
        if (me.alive && (init_ended || (me.ended && me.kit.namespaced && me.stage == STAGE_RUN))) {
            collect_run(init_ended);
            me.last_progress = monotonic_ms();
        }
        if (watched[OUTPUT].revents || !me.alive)
            pump_output(&me.kit.output, FRAME_STDOUT);
        if (watched[ERROR].revents || !me.alive)
            pump_output(&me.kit.error, FRAME_STDERR);
        listen_for_end();
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
    int status = me.ended ? me.status : SIGKILL;
    bool signaled = WIFSIGNALED(status);
    char text[512], code[16] = "null", signal[32] = "null";
    if (signaled)
        format_into(signal, sizeof signal, "\"%s\"", signal_name(WTERMSIG(status)));
    else
        format_into(code, sizeof code, "%d", WEXITSTATUS(status));
    int64_t counted = larger(me.group_usage.cpu_ms, rusage_ms(&me.usage)) - me.kit.cpu_before_ms;
    int64_t cpu_ms = larger(counted, me.sampled_cpu_ms);
    int64_t peak = larger(me.group_usage.peak_bytes, larger((int64_t)me.usage.ru_maxrss * 1024, me.sampled_peak));
    format_into(text, sizeof text,
                "{\"exitCode\":%s,\"signal\":%s,\"reason\":\"%s\",\"stage\":\"%s\",\"durationMs\":%lld,\"cpuMs\":%lld,"
                "\"maxRssBytes\":%lld,\"truncated\":%s}",
                code, signal, reason_text(status != 0, signaled), me.stage == STAGE_COMPILE ? "compile" : "run",
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
