/* martlet-runner: confines and runs people's snippets inside a VM.
 *
 * THEORY OF OPERATION
 *
 *   server      one process, from start to SIGTERM; in a local VM it is PID 1 (`init`). It accepts, forks, reaps,
 *     |         and hands SSH connections to sshd. It reads nothing of what a client sends.
 *   supervisor  one per connection, forked. Reads one request, starts the run, moves bytes between the socket and
 *     |         three pipes, keeps the clocks and the limits, and answers with exactly one exit or refused frame.
 *   init        PID 1 of the run's own namespaces, cloned. Mounts, writes the files, starts compiler and program,
 *     |         reaps, and reports over a SOCK_SEQPACKET. Of the request it executes nothing itself.
 *   program     an unprivileged process under limits and a seccomp filter, and whatever it starts.
 *
 * What holds, and by what:
 *
 *   - Nothing survives a run. The supervisor kills the init; the kernel then kills all of the PID namespace before
 *     the init can be waited for. Each process dies with the one above it (PR_SET_PDEATHSIG), so killing the
 *     server or a supervisor with SIGKILL leaves nothing behind either. Files go with the mount namespace's tmpfs.
 *   - Nothing is lost. Pipes are emptied after the tree is dead and before the exit frame.
 *   - Nothing piles up. A pipe is read only when the socket has taken the frame before it; stdin is read only when
 *     the program takes it. A supervisor holds one output frame (64 KiB) and one input buffer (32 KiB).
 *   - A client that leaves is noticed even while nothing is read from it (POLLRDHUP), and its run is killed.
 *   - No fate is made up: the init's word, a limit's event or the supervisor's own kill decides the reason.
 *   - The runner's faults end as `refused` with code internal, never as an exit of the program (die_hook).
 *
 * Without privilege for namespaces the init is a subreaper, the run has a private directory instead of a private
 * /tmp, and leftovers are found by descent. `ping` says which confinement is in force.
 *
 * Memory and process limits are a control group's where one was delegated; else the supervisor looks every 20 ms. */
#include "runner.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char usage[] = "Usage: martlet-runner serve --config FILE\n"
                            "       martlet-runner init --config FILE --listen-fd N --sshd PATH --sshd-config FILE\n"
                            "\n"
                            "serve  answers run requests on the loopback port of its configuration.\n"
                            "init   does the same as PID 1 of a VM, and gives each connection accepted on the\n"
                            "       inherited listening descriptor N to a fresh `sshd -i`.\n"
                            "\n"
                            "SIGTERM ends every run and then the runner. SIGHUP reads the runtimes again.\n";

struct options {
    const char *config;
    struct ssh ssh;
};

static _Noreturn void misuse(const char *problem)
{
    fprintf(stderr, "martlet-runner: %s\n%s", problem, usage);
    exit(64);
}

static struct options parse_options(int count, char **words)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"listen-fd", required_argument, NULL, 'l'},
        {"sshd", required_argument, NULL, 's'},
        {"sshd-config", required_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.ssh = {.listener = -1}};
    opterr = 0;
    for (int option; (option = getopt_long(count, words, "", known, NULL)) != -1;) {
        char *end = NULL;
        switch (option) {
        case 'c': options.config = optarg; break;
        case 's': options.ssh.program = optarg; break;
        case 'f': options.ssh.config = optarg; break;
        case 'l':
            options.ssh.listener = (int)strtol(optarg, &end, 10);
            if (end == optarg || *end || options.ssh.listener < 3)
                misuse("--listen-fd must be a descriptor from 3 upward");
            break;
        default: misuse("unknown option, or one without its value");
        }
    }
    if (optind != count || !options.config)
        misuse("--config FILE is needed, and nothing but options");
    return options;
}

int main(int count, char **words)
{
    const char *mode = count > 1 ? words[1] : "";
    if (!strcmp(mode, "--help") || !strcmp(mode, "-h"))
        return fputs(usage, stdout) < 0;
    if (!strcmp(mode, "--version"))
        return printf("martlet-runner %s\n", MARTLET_VERSION) < 0;
    bool is_init = !strcmp(mode, "init");
    if (!is_init && strcmp(mode, "serve"))
        misuse("say serve or init");
    struct options options = parse_options(count - 1, words + 1);
    bool has_ssh = options.ssh.listener >= 0 && options.ssh.program && options.ssh.config;
    if (is_init != has_ssh)
        misuse("--listen-fd, --sshd and --sshd-config belong to init, all three");

    static struct runner runner;
    prctl(PR_SET_DUMPABLE, 0); /* no core, and no reading of this memory by a process of the same user */
    config_load(&runner.config, options.config);
    if (is_init) {
        if (fcntl(options.ssh.listener, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(options.ssh.listener, F_SETFL, O_NONBLOCK) < 0)
            die_errno("--listen-fd");
        if (!loopback_up())
            warn("the loopback device is not up");
    }
    runner.started_at = monotonic_ms();
    cgroup_prepare(&runner.config.cgroup);
    runner.confinement = confinement_probe(&runner.config);
    policy_compile(&runner.filter);
    runtimes_load(&runner.runtimes, runner.config.runtimes);
    return server_main(&runner, &options.ssh);
}
