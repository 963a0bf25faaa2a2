/* One connection, in a process of its own: the request, and whichever answer it gets. */
#include "networks.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEND_BUFFER = 256 * 1024, ANSWER_MS = 10 * 1000, ANSWERED_MS = 4, CLEAN_MS = 10 * 1000 };

static void on_terminate(int number)
{
    (void)number;
    terminated = 1;
}

/* A program that has only stopped (stage.c) is ended here, once whoever carries the answer has had the processor. */
static void clean_up(void)
{
    struct pollfd ended = {.fd = me.kit.ended, .events = POLLIN};
    if (me.kit.namespaced && me.kit.ended >= 0 && poll(&ended, 1, ANSWERED_MS) == 0) {
        close_end(&me.kit.control);
        poll(&ended, 1, CLEAN_MS);
    }
    cgroup_remove(&me.kit.cgroup);
    kit_remove_directory(&me.kit, me.runner);
    if (me.kit.namespaced && poll(&ended, 1, 0) > 0)
        network_return(&me.kit, me.runner);
}

/* ---- Connections ------------------------------------------------------------------------------ */

static void report_to_client(const char *message)
{
    warn("%s", message);
    kit_kill(&me.kit, true);
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

/* Kits that wait and kits that were used, by language; those of no language yet are "plain". */
static json_t *describe_kits(const struct runner *runner)
{
    const struct figures *figures = runner->figures;
    json_t *all = json_pack("{s:{s:i, s:I}}", "plain", "ready", figures->plain.ready, "served",
                            (json_int_t)figures->plain.served);
    for (size_t i = 0; i < runner->runtimes.count; i++)
        if (json_is_object(json_object_get(runner->runtimes.items[i].spec, "warm")))
            json_object_set_new(all, runner->runtimes.items[i].name,
                                json_pack("{s:i, s:I}", "ready", figures->runtimes[i].ready, "served",
                                          (json_int_t)figures->runtimes[i].served));
    return all;
}

static json_t *describe_runner(unsigned live_runs)
{
    const struct runner *runner = me.runner;
    const struct confinement *confinement = &runner->confinement;
    const struct cgroup_roots *roots = &runner->config.cgroup;
    json_t *confined =
        json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "namespaces", confinement->namespaces, "network",
                  confinement->network, "user", confinement->switch_user, "memoryGroup", cgroup_limits(roots, "memory"),
                  "pidsGroup", cgroup_limits(roots, "pids"), "seccomp", 1, "egress",
                  me.runner->egress >= 0);
    json_t *compiled = json_pack("{s:I, s:I}", "made", (json_int_t)runner->figures->compiled, "found",
                                 (json_int_t)runner->figures->fetched);
    return json_pack("{s:s, s:I, s:i, s:o, s:o, s:o, s:i}", "version", MARTLET_VERSION, "uptimeMs",
                     (json_int_t)(monotonic_ms() - runner->started_at), "runs", (int)live_runs, "confinement", confined,
                     "warm", describe_kits(runner), "compiled", compiled, "networks",
                     runner->figures->networks);
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
        leftovers_begin(me.runner);
        start_run();
        serve_run();
        leftovers_end(me.runner);
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
    me.credit = STDIN_CREDIT;
    kit_clear(&me.kit);
    die_hook = report_to_client;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die_errno("prctl");
    if (getppid() != runner->pid)
        _exit(70); /* it died before the line above */
    if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) < 0)
        die_errno("setsockopt");
    answer_request(busy, live_runs);
    close_gently(socket);
    _exit(0);
}
