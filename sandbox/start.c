/* What is started for a request: its limits, a kit made for it or before it, and one step after the other in it. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEEPER_MS = 5000, LAUNCH_MS = 10 * 1000 };

/* ---- Limits ----------------------------------------------------------------------------------- */

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

/* ---- Kits ------------------------------------------------------------------------------------- */

/* Asks the keeper; false if it has none, or does not answer. */
static bool take_kit(void)
{
    const struct run *run = &me.run;
    int ends[2];
    struct ticket ticket = {.limits = run->limits,
                            .warm = warm_suits(run->runtime, &run->request),
                            .network = run->request.network != NETWORK_NONE && me.runner->egress >= 0};
    format_into(ticket.runtime, sizeof ticket.runtime, "%s", run->runtime->name);
    if (me.runner->keeper < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    bool taken = pass(me.runner->keeper, &ticket, sizeof ticket, &ends[1], 1, MSG_DONTWAIT);
    close(ends[1]);
    struct pollfd answer = {.fd = ends[0], .events = POLLIN};
    taken = taken && poll(&answer, 1, KEEPER_MS) > 0 && kit_take_over(ends[0], &me.kit, me.runner);
    close(ends[0]);
    if (!taken)
        kit_clear(&me.kit);
    return taken;
}

/* Only a plain kit comes with another memory limit (keeper.c). */
static void adjust_kit(void)
{
    const struct limits *made_for = &me.kit.limits, *wanted = &me.run.limits;
    if (made_for->memory_mb != wanted->memory_mb || made_for->processes != wanted->processes)
        cgroup_adjust(&me.kit.cgroup, wanted);
    if (made_for->memory_mb != wanted->memory_mb && me.kit.namespaced)
        kit_order(&me.kit, ORDER_RESIZE, (int)wanted->memory_mb);
}

static void begin_kit(void)
{
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        die_errno("prctl");
    me.ours = true;
    kit_begin(&me.kit, me.runner, &me.run.limits, &(struct recipe){.dies_with_parent = true});
}

void start_run(void)
{
    struct run *run = &me.run;
    choose_limits(run);
    me.started_at = me.last_progress = monotonic_ms();
    me.deadline = me.started_at + run->limits.timeout_ms;
    me.stage = json_is_array(json_object_get(run->runtime->spec, "compile")) ? STAGE_COMPILE : STAGE_RUN;
    bool taken = take_kit();
    if (!taken)
        begin_kit();
    me.alive = true;
    run->directory = me.kit.path;
    if (taken) {
        adjust_kit();
        launch_step();
    }
}

void start_over(void)
{
    struct pollfd ended = {.fd = me.kit.ended, .events = POLLIN};
    kit_kill(&me.kit, true);
    poll(&ended, 1, 1000);
    cgroup_remove(&me.kit.cgroup);
    kit_close(&me.kit);
    begin_kit();
    me.started_over = true;
    me.launched = false;
    me.word_length = 0;
    me.run.directory = me.kit.path;
}

/* ---- Steps ------------------------------------------------------------------------------------ */

/* Ends a run that is not to be. */
static void give_up(void)
{
    kill_run(FAULT);
}

/* The program may have been compiled before: then it is the first step. */
static void look_for_program(void)
{
    struct figures *figures = me.runner->figures;
    if (!compiled_name(&me.run, me.compiled)) {
        me.compiled[0] = 0;
    } else if (compiled_fetch(&me.run, me.compiled, me.kit.parts[KIT_DIRECTORY])) {
        me.stage = STAGE_RUN;
        figures->fetched++;
        return;
    }
    figures->compiled++;
}

/* Before anything of the request is in the kit: the program finds it there. */
static bool open_network(void)
{
    struct refusal refusal;
    if (me.run.request.network == NETWORK_NONE || network_lasts(&me.kit))
        return true;
    if (!network_ask(&me.kit, me.runner))
        refuse(&refusal, "no_network", "There is no way out of this VM: its program is missing, gone or busy.");
    else if (network_granted(&me.kit, &refusal))
        return true;
    if (me.run.request.network == NETWORK_ANY)
        return true;
    me.refusal = refusal;
    return false;
}

void launch_step(void)
{
    struct run *run = &me.run;
    size_t length;
    const char *code = json_string_value(json_object_get(run->runtime->spec, "file"));
    bool first = !me.announced;
    if (first && !open_network()) {
        give_up();
        return;
    }
    if (first && !request_write_files(&run->request, me.kit.parts[KIT_DIRECTORY], code, me.kit.is_warm,
                                      &me.runner->config.user, &me.refusal)) {
        give_up();
        return;
    }
    if (first && me.stage == STAGE_COMPILE)
        look_for_program();
    char *block = launch_build(run, me.stage, &length, &me.refusal);
    if (!block) {
        give_up();
        return;
    }
    if (first && me.stage == STAGE_RUN && !me.kit.is_warm)
        kit_order(&me.kit, ORDER_FINAL, 0);
    me.launched = true; /* should it fail later, the channel says so */
    bool sent = send_all(me.kit.parts[KIT_LAUNCH], block, length, monotonic_ms() + LAUNCH_MS);
    free(block);
    if (!sent && first && !me.ours) /* killed since the keeper looked: its end is not the program's */
        start_over();
}

void end_step(const struct report *report)
{
    if (me.stage == STAGE_COMPILE && report->status == 0) {
        if (me.killed_for != NOT_KILLED)
            return;
        if (me.compiled[0])
            compiled_keep(&me.run, me.compiled, me.kit.parts[KIT_DIRECTORY]);
        me.stage = STAGE_RUN;
        me.launched = false;
        me.word_length = 0;
        kit_order(&me.kit, ORDER_NEXT, 0);
        return;
    }
    me.status = report->status;
    me.usage = report->usage;
    me.ended = true;
    me.ended_at = monotonic_ms();
    if (me.stage == STAGE_COMPILE)
        kit_order(&me.kit, ORDER_LEAVE, 0);
}
