/* The limits that no control group keeps for us: looked at every 20 ms, or as rarely as they allow. */
#include "supervisor.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { WATCH_MS = 20, SHORTEST_PAUSE_MS = 5, SUSPICION_MS = 200 };

static int64_t tmpfs_bytes(void)
{
    int tmpfs = me.kit.parts[KIT_TMPFS];
    struct statfs about;
    if (tmpfs < 0 || fstatfs(tmpfs, &about) < 0)
        return 0;
    return (int64_t)(about.f_blocks - about.f_bfree) * about.f_bsize;
}

/* The kernel tells shares to whoever may trace the process: a root without that capability, as a container's, may if it
 * looks with the programs' own ids ("Ptrace access mode checking", ptrace(2)). */
static int64_t proportional_bytes(int procfs, pid_t root)
{
    const struct user *user = &me.runner->config.user;
    bool borrow = !me.runner->confinement.namespaces && me.runner->confinement.switch_user;
    if (borrow) {
        setfsgid(user->gid);
        setfsuid(user->uid);
    }
    int64_t bytes = tree_proportional_bytes(procfs, root);
    if (borrow) {
        setfsuid(0);
        setfsgid(0);
    }
    return bytes;
}

/* Resident sets count shared pages once for every process. That is cheap to ask and enough to know that all is well;
 * only beyond the limit is it worth asking exactly. Twice, because a page shared by processes that end while they are
 * being asked is counted too often. */
static int64_t memory_in_use(int procfs, pid_t root, int64_t resident, int64_t most)
{
    int64_t bytes = resident + tmpfs_bytes();
    for (int i = 0; i < 2 && bytes > most; i++)
        bytes = proportional_bytes(procfs, root) + tmpfs_bytes();
    return bytes;
}

static void note_processor_time(int64_t milliseconds)
{
    milliseconds -= me.kit.cpu_before_ms;
    if (milliseconds > me.sampled_cpu_ms)
        me.sampled_cpu_ms = milliseconds;
}

static void watch_processes(const struct cgroup *group, const struct limits *limits)
{
    bool own = me.kit.namespaced; /* else the machine's, in which the run's processes are the init's descendants */
    int procfs = own ? me.kit.parts[KIT_PROCFS] : open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pid_t root = own ? 0 : me.kit.init;
    struct tree_usage usage;
    if (procfs >= 0 && tree_usage(procfs, root, &usage)) {
        if (!group->pids && usage.tasks > limits->processes + own) /* its own procfs shows the init as well */
            kill_run(PROCESSES);
        int64_t most = limits->memory_mb << 20, bytes = usage.rss_bytes;
        if (!group->memory && me.killed_for == NOT_KILLED)
            bytes = memory_in_use(procfs, root, usage.rss_bytes, most);
        if (bytes > me.sampled_peak)
            me.sampled_peak = bytes;
        note_processor_time(usage.cpu_ms);
        if (!group->memory && bytes > most)
            kill_run(MEMORY);
    }
    if (!own && procfs >= 0)
        close(procfs);
}

/* The event also comes when a group above ours ran out; then somebody else's process may be the one that is killed.
 * The count of our own follows a moment later. */
void suspect_memory(void)
{
    uint64_t times;
    if (read(me.kit.cgroup.oom_event, &times, sizeof times) != sizeof times)
        return;
    me.next_watch = monotonic_ms();
    me.suspicious_until = me.next_watch + SUSPICION_MS;
}

void watch(int64_t now)
{
    static long processors;
    if (!processors)
        processors = sysconf(_SC_NPROCESSORS_ONLN);
    const struct cgroup *group = &me.kit.cgroup;
    const struct limits *limits = &me.run.limits;
    bool grouped = group->memory && group->pids, suspicious = now < me.suspicious_until;
    struct cgroup_usage counted = {.cpu_ms = -1};
    if (group->cpu || suspicious)
        cgroup_usage(group, &counted);
    if (suspicious && counted.out_of_memory)
        kill_run(MEMORY);
    note_processor_time(counted.cpu_ms);
    if (!grouped || counted.cpu_ms < 0)
        watch_processes(group, limits);
    if (me.sampled_cpu_ms >= limits->cpu_ms)
        kill_run(TIMEOUT);

    int64_t pause = (limits->cpu_ms - me.sampled_cpu_ms) / processors; /* it cannot be used up sooner */
    if (!grouped && pause > WATCH_MS)
        pause = WATCH_MS;
    if (suspicious)
        pause = SHORTEST_PAUSE_MS;
    me.next_watch = now + (pause < SHORTEST_PAUSE_MS ? SHORTEST_PAUSE_MS : pause);
}
