/* The program's process before it is the program: confined, waiting to be told what to become (launch.c).
 *
 * One that is to execute something waits here. One whose interpreter is to be up beforehand executes that now, and the
 * interpreter waits. A fork of a zygote (zygote.c) returns into its interpreter, which waits. All three wait on the
 * same descriptor, and its end tells the supervisor that the program has begun. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LAUNCH_MAX = 64 * 1024 * 1024 };

static int channel; /* where the hooks below write to */

/* ---- Failing ---------------------------------------------------------------------------------- */

static _Noreturn void fail(const struct refusal *refusal)
{
    if (write(channel, refusal, sizeof *refusal) < 0)
        _exit(70);
    _exit(0);
}

static void fault(const char *message)
{
    struct refusal refusal;
    refuse(&refusal, "internal", "%s", message);
    fail(&refusal);
}

/* ---- Reading a launch ------------------------------------------------------------------------- */

struct launch {
    enum stage_kind stage;
    char *path, **words, **environment;
};

static bool read_exactly(int from, char *bytes, size_t length)
{
    for (size_t have = 0; have < length;) {
        ssize_t got = read(from, bytes + have, length - have);
        if (got > 0)
            have += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return false;
    }
    return true;
}

/* The text at `*at`, which moves behind it; NULL if it does not end within the block. */
static char *take(char **at, char *end)
{
    char *text = *at, *stop = text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
    *at = stop ? stop + 1 : end;
    return stop ? text : NULL;
}

static char **take_list(char **at, char *end)
{
    char *number = take(at, end);
    size_t count = number ? strtoull(number, NULL, 10) : SIZE_MAX;
    if (count > LAUNCH_MAX)
        return NULL;
    char **texts = allocate((count + 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++)
        if (!(texts[i] = take(at, end)))
            return NULL;
    return texts;
}

static bool read_launch(int from, struct launch *launch)
{
    char header[LAUNCH_HEADER + 1] = {0};
    if (!read_exactly(from, header, LAUNCH_HEADER))
        return false;
    size_t length = strtoull(header, NULL, 10);
    char *block = length > LAUNCH_MAX ? NULL : malloc(length);
    if (!block || !read_exactly(from, block, length))
        return false;
    char *at = block, *end = block + length;
    char *name = take(&at, end);
    launch->path = take(&at, end);
    launch->words = take_list(&at, end);
    launch->environment = take_list(&at, end);
    launch->stage = name && !strcmp(name, "compile") ? STAGE_COMPILE : STAGE_RUN;
    return launch->path && launch->words && launch->environment;
}

/* ---- Becoming --------------------------------------------------------------------------------- */

static void redirect(int from, int to)
{
    if (dup2(from, to) < 0)
        die_errno("dup2");
}

static _Noreturn void become(const struct launch *launch)
{
    if (launch->stage == STAGE_COMPILE) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        redirect(null, STDIN_FILENO);
        redirect(STDERR_FILENO, STDOUT_FILENO);
    }
    execve(launch->path, launch->words, launch->environment);
    struct refusal refusal;
    if (errno == E2BIG)
        refuse(&refusal, "bad_request", "The arguments and environment are too long for this system.");
    else
        refuse(&refusal, "runtime_unavailable", "%s could not be started: %s.", launch->path, strerror(errno));
    fail(&refusal);
}

static void reset_signals(void)
{
    for (int number = 1; number < 65; number++)
        signal(number, SIG_DFL); /* fails for SIGKILL, SIGSTOP and glibc's own: they are default already */
}

/* Where the interpreter expects it: a number that no program meets, so that those it meets are what they always are. */
static void move_channel(bool keep_over_exec)
{
    if (dup3(channel, WARM_DESCRIPTOR, keep_over_exec ? 0 : O_CLOEXEC) < 0)
        die_errno("dup3");
    channel = WARM_DESCRIPTOR;
}

void program_main(const struct stage *stage)
{
    const struct runner *runner = stage->runner;
    channel = stage->launch;
    die_hook = fault;
    if (setsid() < 0)
        die_errno("setsid");
    redirect(stage->input, STDIN_FILENO);
    redirect(stage->output, STDOUT_FILENO);
    redirect(stage->error, STDERR_FILENO);
    cgroup_enter(&stage->cgroup);
    write_text_at(AT_FDCWD, "/proc/self/oom_score_adj", "500"); /* before the runner and its inits */
    if (!stage->zygote)
        reset_signals(); /* an interpreter's own stay */
    bool counted = stage->cgroup.pids;
    confine_program(&runner->config, &runner->confinement, &(struct limits){.processes = counted ? 0 : 1},
                    &runner->filter);
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        die_errno("sigprocmask");
    if (chdir(stage->directory) < 0)
        die_errno("the run's directory");

    if (stage->zygote) {
        move_channel(false);
        if (close_range(3, WARM_DESCRIPTOR - 1, 0) < 0 || close_range(WARM_DESCRIPTOR + 1, ~0U, 0) < 0)
            die_errno("close_range"); /* nothing executes here, which would close them */
        return;
    }
    if (!runner->confinement.namespaces) {
        prctl(PR_SET_DUMPABLE, 0);                /* until it executes, other runs of the user may not look into it */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* a change of user forgets it */
            die_errno("prctl");
    }
    if (stage->warm) {
        /* Not empty, for who reads nothing does not look again. */
        int early = open(stage->early, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (early < 0 || write(early, "\n", 1) != 1)
            die_errno(stage->early);
        move_channel(true);
        execve(stage->warm->path, stage->warm->words, stage->warm->environment);
        die_errno(stage->warm->path);
    }
    static const char ready = PROGRAM_READY;
    struct launch launch;
    if (write(channel, &ready, 1) != 1 || !read_launch(channel, &launch))
        _exit(70); /* the supervisor is gone */
    become(&launch);
}
