/* One control group per run, in directories that were delegated to the runner.
 *
 * Version 1 has a directory per controller, version 2 one for all. Whichever controllers are missing are made up
 * for by the supervisor's watcher (run.c). Nothing here is fatal: a run without a group is still confined. */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "run-"

/* ---- Files of a group ------------------------------------------------------------------------- */

static bool group_write(const char *root, const char *name, const char *file, const char *text)
{
    char path[PATH_MAX];
    format_into(path, sizeof path, "%s/%s/%s", root, name, file);
    return write_text_at(AT_FDCWD, path, text);
}

static bool group_write_number(const char *root, const char *name, const char *file, int64_t value)
{
    char text[32];
    format_into(text, sizeof text, "%lld", (long long)value);
    return group_write(root, name, file, text);
}

static bool group_read(const char *root, const char *name, const char *file, char *text, size_t size)
{
    char path[PATH_MAX];
    format_into(path, sizeof path, "%s/%s/%s", root, name, file);
    return read_text_at(AT_FDCWD, path, text, size);
}

/* The number after `key` in a file of "key number" lines (or of one bare number: key ""); -1 without it. */
static int64_t number_after(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (length == 0 || (!strncmp(line, key, length) && line[length] == ' '))
            return strtoll(line + length, NULL, 10);
    return -1;
}

static int64_t group_number(const char *root, const char *name, const char *file, const char *key)
{
    char text[4096];
    return group_read(root, name, file, text, sizeof text) ? number_after(text, key) : -1;
}

/* ---- Taking the delegated directories over ---------------------------------------------------- */

static void remove_leftovers(const char *root)
{
    DIR *directory = opendir(root);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
            unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR); /* refused by the kernel while in use */
    closedir(directory);
}

/* Lets the children of a group be limited: by both controllers, or by none and false. */
static bool let_limit(const char *group)
{
    char path[PATH_MAX];
    format_into(path, sizeof path, "%s/cgroup.subtree_control", group);
    return write_text_at(AT_FDCWD, path, "+memory +pids");
}

/* By those that are to be had, where a hierarchy of version 1 may have taken the other. Only for a group without processes:
 * among processes the kernel grants pids alone, and then no domain can be made there. */
static void let_limit_by_any(const char *group)
{
    char path[PATH_MAX];
    format_into(path, sizeof path, "%s/cgroup.subtree_control", group);
    write_text_at(AT_FDCWD, path, "+memory");
    write_text_at(AT_FDCWD, path, "+pids");
}

/* Version 2 lets a group hold either processes or controlled children: move ourselves beside the runs. */
static bool unify(const char *root)
{
    char parent[PATH_MAX], path[PATH_MAX];
    format_into(parent, sizeof parent, "%s", root);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return false;
    *slash = 0;
    if (mkdir(root, 0755) < 0 && errno != EEXIST)
        return false;

    if (!let_limit(parent)) {
        char own[PATH_MAX];
        format_into(own, sizeof own, "%s/runner", parent);
        if (mkdir(own, 0755) < 0 && errno != EEXIST)
            return false;
        format_into(own, sizeof own, "%s/runner/cgroup.procs", parent);
        if (write_text_at(AT_FDCWD, own, "0"))
            let_limit_by_any(parent);
    }
    let_limit_by_any(root);
    format_into(path, sizeof path, "%s/cgroup.subtree_control", root);
    return access(path, W_OK) == 0;
}

void cgroup_prepare(struct cgroup_roots *roots)
{
    char **v1[] = {&roots->memory, &roots->pids, &roots->cpuacct};
    for (size_t i = 0; i < 3; i++) {
        if (!*v1[i])
            continue;
        if ((mkdir(*v1[i], 0755) == 0 || errno == EEXIST) && access(*v1[i], W_OK) == 0) {
            remove_leftovers(*v1[i]);
            continue;
        }
        warn("control group %s cannot be used: %s", *v1[i], strerror(errno));
        free(*v1[i]);
        *v1[i] = NULL;
    }
    if (roots->unified && unify(roots->unified)) {
        remove_leftovers(roots->unified);
    } else if (roots->unified) {
        warn("control group %s cannot be used: %s", roots->unified, strerror(errno));
        free(roots->unified);
        roots->unified = NULL;
    }
}

bool cgroup_limits(const struct cgroup_roots *roots, const char *controller)
{
    char path[PATH_MAX], text[256];
    if (!roots->unified)
        return !strcmp(controller, "memory") ? roots->memory != NULL : roots->pids != NULL;
    format_into(path, sizeof path, "%s/cgroup.subtree_control", roots->unified);
    return read_text_at(AT_FDCWD, path, text, sizeof text) && strstr(text, controller) != NULL;
}

/* ---- One run ---------------------------------------------------------------------------------- */

/* Makes the group below one root and keeps the file open by which the program joins it.
 *
 * In version 1 that is `tasks`: a thread that moves itself by it spares the kernel a lock over all processes, worth
 * up to 24 ms (cgroup_procs_write_start in its kernel/cgroup/cgroup.c). The process that joins has one thread.
 * Version 2 has no such file. */
static bool join(struct cgroup *group, const char *root, const char *members)
{
    char path[PATH_MAX];
    format_into(path, sizeof path, "%s/%s", root, group->name);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        warn("mkdir %s: %s", path, strerror(errno));
        return false;
    }
    format_into(path, sizeof path, "%s/%s/%s", root, group->name, members);
    int procs = open(path, O_WRONLY | O_CLOEXEC);
    if (procs < 0) {
        warn("open %s: %s", path, strerror(errno));
        return false;
    }
    group->procs[group->procs_count++] = procs;
    return true;
}

/* Version 1 kills one process of the group when memory runs out; this tells the supervisor, which kills the rest.
 * (Version 2 does so itself: memory.oom.group.) See "OOM Control" in the kernel's cgroup-v1/memory documentation. */
static int watch_for_oom(const char *root, const char *name)
{
    char path[PATH_MAX], text[64];
    format_into(path, sizeof path, "%s/%s/memory.oom_control", root, name);
    int control = open(path, O_RDONLY | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    format_into(text, sizeof text, "%d %d", event, control);
    if (control < 0 || event < 0 || !group_write(root, name, "cgroup.event_control", text)) {
        warn("%s: no word when memory runs out: %s", path, strerror(errno));
        if (event >= 0)
            close(event);
        event = -1;
    }
    if (control >= 0)
        close(control);
    return event;
}

static bool limit_memory_v1(const struct cgroup *group, const struct cgroup_roots *roots, int64_t bytes)
{
    bool limited = group_write_number(roots->memory, group->name, "memory.limit_in_bytes", bytes);
    group_write_number(roots->memory, group->name, "memory.memsw.limit_in_bytes", bytes); /* where swap is counted */
    return limited;
}

/* Memory with swap may not be below memory, so what comes first depends on whether it goes up or down. */
void cgroup_adjust(struct cgroup *group, const struct limits *limits)
{
    const struct cgroup_roots *roots = group->roots;
    int64_t bytes = limits->memory_mb << 20;
    if (group->memory && roots->unified)
        group->memory = group_write_number(roots->unified, group->name, "memory.max", bytes);
    else if (group->memory && !limit_memory_v1(group, roots, bytes))
        group->memory = limit_memory_v1(group, roots, bytes);
    if (group->pids)
        group->pids = group_write_number(roots->unified ? roots->unified : roots->pids, group->name, "pids.max",
                                         limits->processes);
}

void cgroup_create(struct cgroup *group, const struct cgroup_roots *roots, const struct limits *limits)
{
    *group = (struct cgroup){.roots = roots, .oom_event = -1};
    static unsigned count; /* of groups this process made */
    format_into(group->name, sizeof group->name, PREFIX "%d-%u", (int)getpid(), count++);
    int64_t bytes = limits->memory_mb << 20;
    if (roots->unified && join(group, roots->unified, "cgroup.procs")) {
        group->memory = group_write_number(roots->unified, group->name, "memory.max", bytes);
        group->pids = group_write_number(roots->unified, group->name, "pids.max", limits->processes);
        group->cpu = true;
        if (group->memory) {
            group_write(roots->unified, group->name, "memory.swap.max", "0");
            group_write(roots->unified, group->name, "memory.oom.group", "1");
        }
        return;
    }
    if (roots->memory && join(group, roots->memory, "tasks")) {
        group->memory = limit_memory_v1(group, roots, bytes);
        if (group->memory)
            group->oom_event = watch_for_oom(roots->memory, group->name);
    }
    if (roots->pids && join(group, roots->pids, "tasks"))
        group->pids = group_write_number(roots->pids, group->name, "pids.max", limits->processes);
    group->cpu = roots->cpuacct && join(group, roots->cpuacct, "tasks");
}

void cgroup_enter(const struct cgroup *group)
{
    for (size_t i = 0; i < group->procs_count; i++)
        if (write(group->procs[i], "0", 1) != 1)
            die_errno("joining the run's control group");
}

void cgroup_usage(const struct cgroup *group, struct cgroup_usage *usage)
{
    const struct cgroup_roots *roots = group->roots;
    *usage = (struct cgroup_usage){.cpu_ms = -1, .peak_bytes = -1};
    if (roots->unified) {
        int64_t microseconds = group->cpu ? group_number(roots->unified, group->name, "cpu.stat", "usage_usec") : -1;
        usage->cpu_ms = microseconds < 0 ? -1 : microseconds / 1000;
        if (group->memory) {
            usage->peak_bytes = group_number(roots->unified, group->name, "memory.peak", "");
            usage->out_of_memory = group_number(roots->unified, group->name, "memory.events", "oom_kill") > 0;
        }
        if (group->pids)
            usage->out_of_processes = group_number(roots->unified, group->name, "pids.events", "max") > 0;
        return;
    }
    if (group->cpu) {
        int64_t nanoseconds = group_number(roots->cpuacct, group->name, "cpuacct.usage", "");
        usage->cpu_ms = nanoseconds < 0 ? -1 : nanoseconds / 1000000;
    }
    if (group->memory) {
        usage->peak_bytes = group_number(roots->memory, group->name, "memory.max_usage_in_bytes", "");
        usage->out_of_memory = group_number(roots->memory, group->name, "memory.oom_control", "oom_kill") > 0;
    }
    if (group->pids)
        usage->out_of_processes = group_number(roots->pids, group->name, "pids.events", "max") > 0;
}

void cgroup_remove(struct cgroup *group)
{
    const struct cgroup_roots *roots = group->roots;
    const char *each[] = {roots->memory, roots->pids, roots->cpuacct, roots->unified};
    for (size_t i = 0; i < group->procs_count; i++)
        close(group->procs[i]);
    group->procs_count = 0;
    if (group->oom_event >= 0)
        close(group->oom_event);
    for (size_t i = 0; i < 4; i++) {
        if (!each[i])
            continue;
        char path[PATH_MAX];
        format_into(path, sizeof path, "%s/%s", each[i], group->name);
        /* The last process has been waited for, but the kernel may still be letting go of it. */
        for (int attempt = 0; rmdir(path) < 0 && errno == EBUSY && attempt < 100; attempt++)
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}
