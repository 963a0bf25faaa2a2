/* The part of a zygote that is not its interpreter: a library that the interpreter loads once it is up, as if it were
 * an extension of the language. Loading it returns in forks only, each in a run of its own (stage.c, program.c),
 * confined as any program, with nothing open but its three streams and the channel on which its launch comes.
 *
 * A zygote is root and runs nothing of a request; it hears from the keeper only. The init of a run is its sibling, not
 * its child, so that the end of a zygote is nothing to the runs that came from it. */
#include "ending.h"
#include "rehearsal.h"
#include "runner.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What CPython does around os.fork (its C API, "Operating System Utilities"). Not there in other interpreters. */
extern void PyOS_BeforeFork(void) __attribute__((weak));
extern void PyOS_AfterFork_Parent(void) __attribute__((weak));
extern void PyOS_AfterFork_Child(void) __attribute__((weak));

/* Its objects that are to be collected again although a zygote's are not (gc.freeze): the program's own module. */
extern void *PyImport_AddModule(const char *name) __attribute__((weak));
extern void *PyModule_GetDict(void *module) __attribute__((weak));
extern void PyObject_GC_UnTrack(void *object) __attribute__((weak));
extern void PyObject_GC_Track(void *object) __attribute__((weak));

enum { REHEARSED_AFTER = 4 /* forks: a zygote that has no more is not worth it */ };

/* The names under which interpreters look for what initializes an extension. */
void *PyInit_zygote(void) __attribute__((visibility("default")));

static void read_plan(struct runner *runner)
{
    struct plan plan;
    if (pread(WARM_PLAN, &plan, sizeof plan, 0) != sizeof plan)
        die("the zygote's plan is missing");
    size_t size = plan.instructions * sizeof *runner->filter.filter;
    *runner = (struct runner){.config = plan.config, .confinement = plan.confinement};
    runner->filter.len = plan.instructions;
    runner->filter.filter = allocate(size);
    if (pread(WARM_PLAN, runner->filter.filter, size, sizeof plan) != (ssize_t)size)
        die("the zygote's filter is missing");
}

/* True with the next stage and its descriptors in their places. */
static bool receive_stage(struct stage *stage, const struct runner *runner, int parts[PASS_MAX], size_t *count)
{
    ssize_t got = receive_passed(WARM_DESCRIPTOR, stage, sizeof *stage, parts, count, 0);
    if (got != sizeof *stage || *count != 4 + (stage->network > 0) + stage->cgroup.procs_count)
        return false;
    stage->runner = runner;
    stage->warm = NULL;
    stage->early = NULL;
    stage->control = parts[0];
    stage->input = parts[1];
    stage->output = parts[2];
    stage->error = parts[3];
    size_t used = 4;
    if (stage->network)
        stage->network = parts[used++];
    memcpy(stage->cgroup.procs, parts + used, stage->cgroup.procs_count * sizeof *parts);
    return true;
}

static void before_fork(void)
{
    if (PyOS_BeforeFork)
        PyOS_BeforeFork();
}

static void after_fork_here(void)
{
    if (PyOS_AfterFork_Parent)
        PyOS_AfterFork_Parent();
}

static void after_fork_there(bool may_stop)
{
    if (!PyOS_AfterFork_Child)
        return;
    PyOS_AfterFork_Child();
    void *main = PyImport_AddModule("__main__"), *objects[] = {main, main ? PyModule_GetDict(main) : NULL};
    for (size_t i = 0; main && i < 2; i++) {
        PyObject_GC_UnTrack(objects[i]);
        PyObject_GC_Track(objects[i]);
    }
    watch_program("usercustomize", may_stop);
}

/* True in a fork that is to go on. */
static bool rehearse(void)
{
    before_fork();
    bool is_rehearsal = rehearsal_begin();
    if (is_rehearsal)
        after_fork_there(false);
    else
        after_fork_here();
    return is_rehearsal;
}

/* Returns in a fork, confined and about to be told its launch. */
static void serve(void)
{
    static struct runner runner;
    static struct stage stage;
    int parts[PASS_MAX];
    size_t count;
    read_plan(&runner);
    for (int forks = 0; rehearsal_attend(WARM_DESCRIPTOR), receive_stage(&stage, &runner, parts, &count);) {
        int flags = stage_clone_flags(&stage) | CLONE_PARENT | CLONE_PIDFD | SIGCHLD;
        int pidfd = -1;
        before_fork();
        pid_t init = (pid_t)syscall(SYS_clone, flags, NULL, &pidfd, NULL, NULL);
        if (init == 0) {
            close(WARM_DESCRIPTOR);
            close(WARM_LIBRARY);
            close(WARM_PLAN);
            stage_main(&stage);
            after_fork_there(true);
            if (stage.unhurried)
                own_memory();
            static const char ready = PROGRAM_READY;
            if (write(WARM_DESCRIPTOR, &ready, 1) != 1)
                _exit(70); /* the keeper is gone */
            return;
        }
        after_fork_here();
        if (init > 0) {
            pass(stage.control, &(struct report){.kind = REPORT_BORN, .pid = init}, sizeof(struct report), &pidfd, 1,
                 0);
            close(pidfd);
        }
        for (size_t i = 0; i < count; i++)
            close(parts[i]);
        if (++forks == REHEARSED_AFTER && rehearse())
            return;
    }
    _exit(0); /* the keeper has no more use for it */
}

void *PyInit_zygote(void)
{
    serve();
    return NULL;
}
