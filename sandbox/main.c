/* martlet-runner: confines and runs people's snippets inside a VM.
 *
 *   server      one process from start to SIGTERM; PID 1 of a local VM (`init`). Accepts, forks, reaps, hands SSH
 *     |         connections to sshd (server.c, init.c). It reads nothing of what a client sends.
 *   supervisor  one per connection. Reads a request, gets a kit, launches the steps in it, moves bytes between the
 *     |         socket and three pipes, keeps clocks and limits, answers with one exit or refused frame (supervise,
 *     |         start, run, stream, watch.c).
 *   warden      a child of the server where the home's storage keeps no size (home.c).
 *   init        PID 1 of the run's own namespaces. Mounts, forks the program's process, reaps, and reports over a socket
 *     |         pair (stage.c, confine.c). It neither sees nor executes anything of the request.
 *   program     an unprivileged process under limits and a seccomp filter (program.c, filter.c), which waits to be told
 *               what to become, and whatever it starts.
 *
 * A kit is an init with its program's process, made without a request (kit.c). A supervisor makes one, or takes one from
 *   the keeper, a child of the server that makes them ahead (keeper, nursery, pool.c). In a plain kit the process waits
 *   before it executes anything; in a warm one an interpreter is up and waits before it reads its program: it was
 *   started for this one run ("prespawn"), or it is a fork of one ("fork": zygote.c is loaded into that interpreter, and
 *   stage.c and program.c with it). Whoever makes a kit, the steps are the same: so are the walls.
 *
 * Nothing survives a run: the supervisor kills the init, and the kernel kills all of its PID namespace before the init
 *   can be waited for. Server, supervisor and keeper die with the one above them (PR_SET_PDEATHSIG), an init with the
 *   other end of its control socket, so SIGKILL to any of them leaves nothing either. Files go with the mount
 *   namespace's tmpfs.
 * Nothing is used twice: a kit serves one run, and a zygote none. A network is, if nothing was ever sent in it
 *   (networks.c). The death of keeper or zygote means nothing to runs.
 * What a compiler made is kept by the hash of what it made it of (compiled.c), where no run can reach it.
 * Nothing is lost: the pipes are emptied after the tree is dead and before the exit frame.
 * Nothing piles up: a pipe is read only when the socket has taken the frame before it; a client sends only as much
 *   stdin as it was credited. A supervisor holds one frame of output (64 KiB) and the credited stdin (64 KiB).
 * A client that leaves is noticed at once, for its socket is always read, and its run is killed.
 * No fate is made up: the init's report, a limit's event or the supervisor's own kill decides the reason, and the
 *   runner's faults end as `refused` with code internal, never as an exit of the program (die_hook).
 *
 * Memory and process limits are a control group's where one was delegated; else they are looked at every 20 ms.
 * Without privilege for namespaces the init is a subreaper, the run has a private directory instead of a private /tmp,
 * and leftovers are found by descent. `ping` says which confinement is in force. README.md has the rest. */
#include "networks.h"
#include "assemble.h"
#include "runner.h"

#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char usage[] = "Usage: martlet-runner serve --config FILE\n"
                            "       martlet-runner init --config FILE --sshd PATH --sshd-config FILE\n"
                            "                           (--listen-fd N | --listen-port N) [--unroute] [--nest]\n"
                            "       and with either: [--egress-fd N]\n"
                            "       martlet-runner nest\n"
                            "       martlet-runner terminal start|list|end ID\n"
                            "       martlet-runner assemble STEP... -- COMMAND...\n"
                            "\n"
                            "serve  answers run requests on the loopback port of its configuration.\n"
                            "init   does the same as the first process of a VM, and gives each connection accepted\n"
                            "       on the inherited listening descriptor N, or on TCP port N of every address, to\n"
                            "       a fresh `sshd -i`. --unroute takes the default route away, and with it\n"
                            "       CAP_NET_ADMIN, by which it could be brought back. --nest makes a container's root the\n"
                            "       root of a user namespace, where runs can have namespaces of their own.\n"
                            "nest   succeeds where --nest would.\n"
                            "assemble  takes steps on the machine, outside of a VM that is to start: write TEXT FILE, copy\n"
                            "       FROM TO (descriptors), unshare (mounts, control groups), bind SOURCE TARGET OPTIONS, home\n"
                            "       IMAGE TARGET, cover TARGET. A mount that fails is exit code 32.\n"
                            "\n"
                            "--egress-fd: the inherited descriptor N leads to martlet-egress, which gives runs a way\n"
                            "out of the VM.\n"
                            "\n"
                            "SIGTERM ends every run and then the runner. SIGHUP reads the runtimes again.\n";

struct options {
    const char *config;
    struct ssh ssh;
    uint16_t listen_port; /* 0: the descriptor of `ssh` is inherited */
    bool unroute, nest;
    int egress; /* -1: none */
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
        {"listen-port", required_argument, NULL, 'p'},
        {"unroute", no_argument, NULL, 'u'},
        {"nest", no_argument, NULL, 'n'},
        {"egress-fd", required_argument, NULL, 'e'},
        {"sshd", required_argument, NULL, 's'},
        {"sshd-config", required_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.ssh = {.listener = -1}, .egress = -1};
    opterr = 0;
    for (int option; (option = getopt_long(count, words, "", known, NULL)) != -1;) {
        char *end = NULL;
        switch (option) {
        case 'c': options.config = optarg; break;
        case 's': options.ssh.program = optarg; break;
        case 'f': options.ssh.config = optarg; break;
        case 'u': options.unroute = true; break;
        case 'n': options.nest = true; break;
        case 'p': {
            long port = strtol(optarg, &end, 10);
            if (end == optarg || *end || port < 1 || port > 65535)
                misuse("--listen-port must be a port from 1 to 65535");
            options.listen_port = (uint16_t)port;
            break;
        }
        case 'l':
            options.ssh.listener = (int)strtol(optarg, &end, 10);
            if (end == optarg || *end || options.ssh.listener < 3)
                misuse("--listen-fd must be a descriptor from 3 upward");
            break;
        case 'e':
            options.egress = (int)strtol(optarg, &end, 10);
            if (end == optarg || *end || options.egress < 3)
                misuse("--egress-fd must be a descriptor from 3 upward");
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
    if (!strcmp(mode, "nest"))
        return !nest_works();
    if (!strcmp(mode, "terminal"))
        return terminal_main(count - 1, words + 1);
    if (!strcmp(mode, "assemble"))
        return assemble_main(count - 2, words + 2);
    bool is_init = !strcmp(mode, "init");
    if (!is_init && strcmp(mode, "serve"))
        misuse("say serve, init, nest, terminal or assemble");
    struct options options = parse_options(count - 1, words + 1);
    bool has_ssh = options.ssh.program && options.ssh.config;
    if (is_init != has_ssh || is_init != ((options.ssh.listener >= 0) != (options.listen_port > 0)))
        misuse("--sshd, --sshd-config and one of --listen-fd and --listen-port belong to init");
    if ((options.unroute || options.nest) && !is_init)
        misuse("--unroute and --nest belong to init");

    static struct runner runner;
    prctl(PR_SET_DUMPABLE, 0); /* no core, and no reading of this memory by a process of the same user */
    config_load(&runner.config, options.config);
    if (options.unroute)
        network_unroute();
    if (options.listen_port) {
        options.ssh.listener = listen_on(INADDR_ANY, options.listen_port);
    } else if (is_init) {
        if (fcntl(options.ssh.listener, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(options.ssh.listener, F_SETFL, O_NONBLOCK) < 0)
            die_errno("--listen-fd");
        if (!loopback_up())
            warn("the loopback device is not up");
    }
    if (options.nest)
        nest_enter(&runner.config);
    options.ssh.nested = options.nest;
    home_prepare(&runner.config);
    if (options.egress >= 0 && fcntl(options.egress, F_SETFD, FD_CLOEXEC) < 0)
        die_errno("--egress-fd");
    runner.egress = options.egress;
    runner.pid = getpid();
    runner.keeper = -1;
    runner.compiled = compiled_open(&runner.config);
    runner.figures = shared_zeroes(sizeof *runner.figures);
    runner.started_at = monotonic_ms();
    cgroup_prepare(&runner.config.cgroup);
    runner.fresh_network = shared_zeroes(PICTURE_SIZE);
    runner.confinement = confinement_probe(&runner.config, runner.fresh_network);
    leftovers_prepare(&runner);
    runner.filter = filter_program();
    runtimes_load(&runner.runtimes, runner.config.runtimes);
    return server_main(&runner, &options.ssh);
}
