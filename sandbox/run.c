/* The supervisor: one process per connection, one poll loop, from the request to the exit frame. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WATCH_MS = 20,        /* how often memory and processes are looked at where no control group limits them */
    STALL_MS = 60 * 1000, /* how long a client may take nothing once the program has ended */
    SHUTDOWN_MS = 300,    /* the same when the runner itself is ending */
    ANSWER_MS = 10 * 1000,
    SEND_BUFFER = 256 * 1024,
};

enum reason { NOT_KILLED, TIMEOUT, MEMORY, PROCESSES, OUTPUT_LIMIT, CANCELLED, FAULT };

/* All a supervisor knows. One a process, so it is static: no allocation can fail while a program runs. */
static struct supervisor {
    struct runner *runner;
    int socket;
    struct run run;

    pid_t init;                        /* 0 before the run and once reaped */
    int init_ended;                    /* pidfd */
    int control, input, output, error; /* this side's ends; -1 when closed */
    int procfs, tmpfs;                 /* the run's own; -1 where it has none */

    struct frame_stream inbound;
    bool input_blocked; /* the program does not read: the next stdin piece waits */
    uint8_t frame[FRAME_HEADER + FRAME_OUTPUT_MAX];
    size_t frame_start, frame_end; /* what the socket has not taken yet */
    int64_t delivered;             /* bytes of stdout and stderr put into frames */

    enum reason killed_for;
    bool client_gone, announced, ended, truncated;
    struct report end;
    struct refusal refusal; /* sent instead of an exit if its code is set */
    struct rusage usage;
    struct cgroup_usage group_usage;
    int64_t sampled_cpu_ms, sampled_peak;
    int64_t started_at, ended_at, deadline, next_watch, last_progress;
} me;

static volatile sig_atomic_t terminated;

static void on_terminate(int number)
{
    (void)number;
    terminated = 1;
}

static void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

/* ---- Ending a run ----------------------------------------------------------------------------- */

/* Kills the whole tree, once. Its death is seen on the pidfd like any other. */
static void kill_run(enum reason reason)
{
    if (me.killed_for != NOT_KILLED || !me.init || me.ended)
        return;
    me.killed_for = reason;
    kill(me.init, SIGKILL); /* not reaped yet, so the number is still its own */
}

static void lose_client(void)
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

static void remove_directory(void)
{
    pid_t child = fork();
    if (child == 0) {
        const struct user *user = &me.runner->config.user;
        if (me.runner->confinement.switch_user &&
            (setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0))
            _exit(70);
        execl("/bin/rm", "rm", "-rf", "--", me.run.directory, (char *)NULL);
        _exit(70);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    rmdir(me.run.directory);
}

static void clean_up(void)
{
    cgroup_remove(&me.run.cgroup);
    if (!me.runner->confinement.namespaces && me.run.directory[0])
        remove_directory();
}

/* ---- Output ----------------------------------------------------------------------------------- */

static bool frame_pending(void)
{
    return me.frame_start < me.frame_end;
}

static void flush_frame(void)
{
    while (frame_pending()) {
        ssize_t sent =
            send(me.socket, me.frame + me.frame_start, me.frame_end - me.frame_start, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            me.frame_start += (size_t)sent;
            me.last_progress = monotonic_ms();
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            lose_client();
            return;
        }
    }
}

/* Moves what one pipe holds into frames, as long as the socket takes them. */
static void pump_output(int *pipe, enum frame_type type)
{
    while (*pipe >= 0 && !frame_pending() && !me.client_gone) {
        int64_t allowed = me.run.limits.output_bytes - me.delivered;
        size_t most = allowed == 0 ? 1 : allowed < FRAME_OUTPUT_MAX ? (size_t)allowed : FRAME_OUTPUT_MAX;
        ssize_t got = read(*pipe, me.frame + FRAME_HEADER, most);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN || !me.init) /* nobody is left to write */
                close_end(pipe);
            return;
        }
        if (allowed == 0) {
            me.truncated = true;
            kill_run(OUTPUT_LIMIT);
            close_end(&me.output);
            close_end(&me.error);
            return;
        }
        frame_header(me.frame, type, (uint32_t)got);
        me.frame_start = 0;
        me.frame_end = FRAME_HEADER + (size_t)got;
        me.delivered += got;
        flush_frame();
        if (me.init && (size_t)got < most)
            return; /* it was all there was: poll tells when there is more */
    }
}

/* ---- Input ------------------------------------------------------------------------------------ */

static void violate(const char *problem)
{
    refuse(&me.refusal, "bad_request", "The connection broke the protocol: %s.", problem);
    kill_run(FAULT);
}

/* Takes the received frames apart until they are used up or the program's stdin is full. */
static void pump_input(void)
{
    me.input_blocked = false;
    while (!me.refusal.code[0]) {
        struct frame_piece piece = frame_stream_next(&me.inbound);
        switch (piece.kind) {
        case PIECE_NONE: return;
        case PIECE_STDIN_END: close_end(&me.input); break;
        case PIECE_VIOLATION: violate(piece.problem); return;
        case PIECE_SIGNAL:
            if (me.init && send(me.control, &piece.signal, sizeof piece.signal, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                warn("signal %d was not passed on: %s", piece.signal, strerror(errno));
            break;
        case PIECE_STDIN: {
            ssize_t written = me.input < 0 ? (ssize_t)piece.length : write(me.input, piece.bytes, piece.length);
            if (written >= 0) {
                frame_stream_consume(&me.inbound, (size_t)written);
            } else if (errno == EAGAIN) {
                me.input_blocked = true;
                return;
            } else if (errno != EINTR) {
                close_end(&me.input); /* the program closed its stdin: the rest is dropped */
            }
            break;
        }
        }
    }
}

static void receive(void)
{
    uint8_t *where;
    size_t room = frame_stream_room(&me.inbound, &where);
    if (room == 0)
        return;
    ssize_t got = recv(me.socket, where, room, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        lose_client();
        return;
    }
    if (got > 0) {
        me.inbound.end += (size_t)got;
        pump_input();
    }
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

static void announce(void)
{
    char text[32];
    if (me.announced)
        return;
    me.announced = true;
    format_into(text, sizeof text, "{\"pid\":%d}", (int)me.init);
    frame_header(me.frame, FRAME_STARTED, (uint32_t)strlen(text));
    memcpy(me.frame + FRAME_HEADER, text, strlen(text));
    me.frame_start = 0;
    me.frame_end = FRAME_HEADER + strlen(text);
    flush_frame();
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

/* ---- Clocks and limits ------------------------------------------------------------------------ */

static int64_t tmpfs_bytes(void)
{
    struct statfs about;
    if (me.tmpfs < 0 || fstatfs(me.tmpfs, &about) < 0)
        return 0;
    return (int64_t)(about.f_blocks - about.f_bfree) * about.f_bsize;
}

/* Looks at what no control group enforces, and plans the next look: no sooner than a limit can be reached. */
static void watch(int64_t now)
{
    static long processors;
    if (!processors)
        processors = sysconf(_SC_NPROCESSORS_ONLN);
    const struct cgroup *group = &me.run.cgroup;
    const struct limits *limits = &me.run.limits;
    struct tree_usage usage = {0};
    bool own = me.procfs >= 0;
    int procfs = own ? me.procfs : open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pid_t root = own ? 0 : me.init;
    if (procfs < 0 || !tree_usage(procfs, root, &usage))
        usage = (struct tree_usage){0};

    if (group->cpu) {
        struct cgroup_usage counted;
        cgroup_usage(group, &counted);
        usage.cpu_ms = counted.cpu_ms > 0 ? counted.cpu_ms : usage.cpu_ms;
    }
    int64_t bytes = usage.rss_bytes + tmpfs_bytes(), most = limits->memory_mb << 20;
    if (!group->memory && bytes > most)
        bytes = tree_proportional_bytes(procfs, root) + tmpfs_bytes();
    if (bytes > me.sampled_peak && bytes)
        me.sampled_peak = bytes;
    if (usage.cpu_ms > me.sampled_cpu_ms)
        me.sampled_cpu_ms = usage.cpu_ms;
    if (!own && procfs >= 0)
        close(procfs);

    if (!group->memory && bytes > most)
        kill_run(MEMORY);
    else if (!group->pids && usage.tasks > limits->processes + 1) /* the init is not the program's */
        kill_run(PROCESSES);
    else if (usage.cpu_ms >= limits->cpu_ms)
        kill_run(TIMEOUT);

    int64_t pause = (limits->cpu_ms - usage.cpu_ms) / processors;
    if (pause < 5)
        pause = 5;
    if ((!group->memory || !group->pids) && pause > WATCH_MS)
        pause = WATCH_MS;
    me.next_watch = now + pause;
}

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

enum { SOCKET, OUTPUT, ERROR, INPUT, CONTROL, INIT, WATCHED };

static void wait_for_events(struct pollfd watched[WATCHED], int64_t milliseconds)
{
    bool idle = !frame_pending();
    short socket_events = POLLRDHUP;
    if (!idle)
        socket_events |= POLLOUT;
    if (!me.input_blocked && me.init)
        socket_events |= POLLIN;
    watched[SOCKET] = (struct pollfd){.fd = me.client_gone ? -1 : me.socket, .events = socket_events};
    watched[OUTPUT] = (struct pollfd){.fd = idle && me.announced ? me.output : -1, .events = POLLIN};
    watched[ERROR] = (struct pollfd){.fd = idle && me.announced ? me.error : -1, .events = POLLIN};
    watched[INPUT] = (struct pollfd){.fd = me.input_blocked ? me.input : -1, .events = POLLOUT};
    watched[CONTROL] = (struct pollfd){.fd = me.control, .events = POLLIN};
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

static void serve_run(void)
{
    while (!finished()) {
        struct pollfd watched[WATCHED];
        wait_for_events(watched, keep_time());
        if (terminated)
            kill_run(CANCELLED);
        if (watched[CONTROL].revents)
            read_reports();
        if (watched[SOCKET].revents & (POLLRDHUP | POLLHUP | POLLERR))
            lose_client();
        else if (watched[SOCKET].revents & POLLIN)
            receive();
        if (watched[INPUT].revents)
            pump_input();
        if (watched[SOCKET].revents & POLLOUT)
            flush_frame();
        if (watched[INIT].revents) {
            read_reports();
            collect_init();
            me.last_progress = monotonic_ms();
        }
        if (watched[OUTPUT].revents || !me.init)
            pump_output(&me.output, FRAME_STDOUT);
        if (watched[ERROR].revents || !me.init)
            pump_output(&me.error, FRAME_STDERR);
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

static void answer_client(void)
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

/* ---- Starting --------------------------------------------------------------------------------- */

static int64_t choose(int64_t asked, int64_t usual, int64_t ceiling)
{
    int64_t value = asked ? asked : usual ? usual : ceiling;
    return value < ceiling ? value : ceiling;
}

static void choose_limits(struct run *run)
{
    const struct limits *asked = &run->request.limits, *usual = &run->runtime->limits;
    const struct limits *ceiling = &run->runner->config.limits;
    run->limits = (struct limits){
        .memory_mb = choose(asked->memory_mb, usual->memory_mb, ceiling->memory_mb),
        .processes = choose(asked->processes, usual->processes, ceiling->processes),
        .output_bytes = choose(asked->output_bytes, usual->output_bytes, ceiling->output_bytes),
        .timeout_ms = choose(asked->timeout_ms, usual->timeout_ms, ceiling->timeout_ms),
        .cpu_ms = choose(asked->cpu_ms, usual->cpu_ms, ceiling->cpu_ms),
    };
}

/* A pipe whose `ours` end does not block. It belongs to the program's user, who may open it as /dev/stdout. */
static void make_pipe(int *ours, int *theirs, bool we_read)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        die_errno("pipe");
    *ours = ends[we_read ? 0 : 1];
    *theirs = ends[we_read ? 1 : 0];
    const struct user *user = &me.runner->config.user;
    if (me.runner->confinement.switch_user && fchown(*theirs, user->uid, user->gid) < 0)
        die_errno("fchown");
    if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
        die_errno("fcntl");
}

static void make_directory(struct run *run)
{
    if (me.runner->confinement.namespaces) {
        format_into(run->directory, sizeof run->directory, "/tmp/run");
        return;
    }
    const struct user *user = &me.runner->config.user;
    format_into(run->directory, sizeof run->directory, "/tmp/martlet-run-XXXXXX");
    if (!mkdtemp(run->directory) ||
        (me.runner->confinement.switch_user && chown(run->directory, user->uid, user->gid) < 0))
        die_errno("the run's directory");
}

static void start_run(void)
{
    struct run *run = &me.run;
    int controls[2], input, output, error;
    choose_limits(run);
    make_directory(run);
    cgroup_create(&run->cgroup, &me.runner->config.cgroup, &run->limits);
    make_pipe(&me.input, &input, false);
    make_pipe(&me.output, &output, true);
    make_pipe(&me.error, &error, true);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls) < 0)
        die_errno("socketpair");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        die_errno("prctl");

    int flags = confinement_clone_flags(&me.runner->confinement) | CLONE_PIDFD | SIGCHLD;
    me.started_at = me.last_progress = monotonic_ms();
    me.deadline = me.started_at + run->limits.timeout_ms;
    me.init = (pid_t)syscall(SYS_clone, flags, NULL, &me.init_ended, NULL, NULL);
    if (me.init < 0)
        die_errno("clone");
    if (me.init == 0) {
        int ours[] = {me.socket, me.input, me.output, me.error, controls[0]};
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            close(ours[i]);
        run->control = controls[1];
        run->input = input;
        run->output = output;
        run->error = error;
        stage_main(run);
    }
    me.control = controls[0];
    close(controls[1]);
    close(input);
    close(output);
    close(error);
    request_free(&run->request);
    malloc_trim(0);
}

/* ---- Connections ------------------------------------------------------------------------------ */

static void report_to_client(const char *message)
{
    warn("%s", message);
    if (me.init > 0)
        kill(me.init, SIGKILL);
    send_refused(me.socket, "internal", message);
}

static void answer_json(json_t *json)
{
    static const char started[] = "{\"pid\":0}";
    static const char ended[] =
        "{\"exitCode\":0,\"signal\":null,\"reason\":\"exited\",\"stage\":\"run\",\"durationMs\":0,"
        "\"cpuMs\":0,\"maxRssBytes\":0,\"truncated\":false}";
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!text)
        die("no memory for an answer");
    int64_t deadline = monotonic_ms() + ANSWER_MS;
    bool sent = send_frame(me.socket, FRAME_STARTED, started, strlen(started), deadline);
    for (size_t at = 0, length = strlen(text); sent && at < length;) {
        size_t piece = length - at < FRAME_OUTPUT_MAX ? length - at : FRAME_OUTPUT_MAX;
        sent = send_frame(me.socket, FRAME_STDOUT, text + at, piece, deadline);
        at += piece;
    }
    if (sent)
        send_frame(me.socket, FRAME_EXIT, ended, strlen(ended), deadline);
    free(text);
    json_decref(json);
}

static json_t *describe_runner(unsigned live_runs)
{
    const struct runner *runner = me.runner;
    const struct cgroup_roots *cgroup = &runner->config.cgroup;
    return json_pack("{s:s, s:I, s:i, s:{s:b, s:b, s:b, s:b, s:b, s:b}}", "version", MARTLET_VERSION, "uptimeMs",
                     (json_int_t)(monotonic_ms() - runner->started_at), "runs", (int)live_runs, "confinement",
                     "namespaces", runner->confinement.namespaces, "network", runner->confinement.network, "user",
                     runner->confinement.switch_user, "memoryGroup", cgroup->memory || cgroup->unified, "pidsGroup",
                     cgroup->pids || cgroup->unified, "seccomp", 1);
}

static void refuse_connection(const struct refusal *refusal)
{
    send_refused(me.socket, refusal->code, refusal->message);
}

static bool prepare(struct refusal *refusal)
{
    struct run *run = &me.run;
    run->runner = me.runner;
    run->runtime = runtimes_find(&me.runner->runtimes, run->request.language);
    if (!run->runtime) {
        refuse(refusal, "unknown_language", "There is no language \"%.64s\" here.", run->request.language);
        return false;
    }
    if (!runtime_available(run->runtime)) {
        char *packages = json_dumps(json_object_get(run->runtime->spec, "packages"), JSON_COMPACT);
        refuse(refusal, "runtime_unavailable", "%s needs the packages %s.", run->runtime->name,
               packages ? packages : "?");
        free(packages);
        return false;
    }
    return true;
}

static void answer_request(bool busy, unsigned live_runs)
{
    struct refusal refusal;
    const char *problem;
    size_t length;
    char *text = receive_request(me.socket, &length, &problem);
    if (!text) {
        if (problem)
            send_refused(me.socket, "bad_request", problem);
        return;
    }
    bool understood = request_parse(text, length, me.runner->config.secret, &me.run.request, &refusal);
    explicit_bzero(text, length);
    free(text);
    if (!understood) {
        refuse_connection(&refusal);
        return;
    }
    explicit_bzero(me.runner->config.secret, SECRET_LENGTH);
    if (me.run.request.op == OP_PING) {
        answer_json(describe_runner(live_runs));
    } else if (me.run.request.op == OP_RUNTIMES) {
        answer_json(runtimes_describe(me.runner));
    } else if (busy) {
        send_refused(me.socket, "too_busy", "This machine has as many runs as it takes.");
    } else if (!prepare(&refusal)) {
        refuse_connection(&refusal);
    } else {
        struct sigaction action = {.sa_handler = on_terminate};
        sigset_t terminate;
        sigemptyset(&terminate);
        sigaddset(&terminate, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &terminate, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
            die_errno("sigaction");
        start_run();
        serve_run();
        if (!me.client_gone)
            answer_client();
        clean_up();
    }
}

void supervise(struct runner *runner, int socket, bool busy, unsigned live_runs)
{
    int one = 1, buffer = SEND_BUFFER;
    me.runner = runner; /* everything else is zero, and stays untouched memory until it is used */
    me.socket = socket;
    me.init_ended = me.control = me.input = me.output = me.error = me.procfs = me.tmpfs = -1;
    die_hook = report_to_client;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno("prctl");
    if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) < 0)
        die_errno("setsockopt");
    answer_request(busy, live_runs);
    close_gently(socket);
    _exit(0);
}
