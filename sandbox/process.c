/* What the processes of a run use, read from a procfs; and their end where there is no PID namespace. */
#include "ending.h"
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PROCESSES = 8192 }; /* beyond that a count is as good as a limit passed */

struct process {
    pid_t pid, parent;
    int64_t cpu_ticks, rss_pages, threads;
    bool wanted;
};

/* Fields of /proc/PID/stat after the command's name, which may hold anything, parentheses too (man 5 proc). */
static bool parse_stat(const char *text, struct process *process)
{
    const char *end = strrchr(text, ')');
    long long parent, user, system, child_user, child_system, threads, rss;
    if (!end ||
        sscanf(end + 1,
               " %*c %lld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %lld %lld %*d %*d %lld %*d %*u %*u %lld",
               &parent, &user, &system, &child_user, &child_system, &threads, &rss) != 7)
        return false;
    process->parent = (pid_t)parent;
    process->cpu_ticks = user + system + child_user + child_system;
    process->threads = threads;
    process->rss_pages = rss;
    return true;
}

/* All processes of a procfs, to be freed; the array grows with them, for most runs have few. */
static struct process *list_processes(int procfs, size_t *count)
{
    size_t room = 0;
    struct process *processes = NULL;
    int listing = openat(procfs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = listing < 0 ? NULL : fdopendir(listing);
    *count = 0;
    for (struct dirent *entry; directory && *count < MAX_PROCESSES && (entry = readdir(directory));) {
        char path[64], text[1024];
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        format_into(path, sizeof path, "%.20s/stat", entry->d_name);
        if (!read_text_at(procfs, path, text, sizeof text))
            continue; /* gone meanwhile */
        if (*count == room) {
            room = room ? 2 * room : 32;
            processes = reallocarray(processes, room, sizeof *processes);
            if (!processes)
                die("out of memory");
        }
        processes[*count].pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (parse_stat(text, &processes[*count]))
            ++*count;
    }
    if (directory)
        closedir(directory);
    return processes;
}

/* Marks all processes, or the descendants of `root` (a parent is not always listed before its child). */
static void mark(struct process *processes, size_t count, pid_t root)
{
    for (size_t i = 0; i < count; i++)
        processes[i].wanted = root == 0 || processes[i].parent == root;
    for (bool changed = root != 0; changed;) {
        changed = false;
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; !processes[i].wanted && j < count; j++)
                if (processes[j].wanted && processes[j].pid == processes[i].parent)
                    changed = processes[i].wanted = true;
    }
}

static struct process *snapshot(int procfs, pid_t root, size_t *count)
{
    struct process *processes = list_processes(procfs, count);
    mark(processes, *count, root);
    return processes;
}

/* Whether nothing else than its init and that process is in the namespace. */
static bool is_alone(int procfs, pid_t program)
{
    int listing = openat(procfs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = listing < 0 ? NULL : fdopendir(listing);
    bool alone = directory;
    for (struct dirent *entry; alone && (entry = readdir(directory));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        alone = pid <= 1 || pid == program;
    }
    if (directory)
        closedir(directory);
    return alone;
}

enum word word_of_end(int procfs, pid_t program, int *status)
{
    char path[32], text[1024];
    int code;
    format_into(path, sizeof path, "%d/stat", (int)program);
    if (!read_text_at(procfs, path, text, sizeof text))
        return SAYS_NOTHING;
    const char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end || end[1] != ' ' || end[2] != 'T' || sscanf(name, "(" ENDING_NAME ")", &code) != 1 ||
        code & ~0xff)
        return SAYS_NOTHING;
    *status = code << 8; /* as of waitpid */
    return is_alone(procfs, program) ? SAYS_END : SAYS_END_TOO_SOON;
}

bool tree_usage(int procfs, pid_t root, struct tree_usage *usage)
{
    size_t count;
    struct process *processes = snapshot(procfs, root, &count);
    int64_t ticks = 0, pages = 0;
    *usage = (struct tree_usage){0};
    for (size_t i = 0; i < count; i++) {
        if (!processes[i].wanted)
            continue;
        ticks += processes[i].cpu_ticks;
        pages += processes[i].rss_pages;
        usage->tasks += processes[i].threads;
    }
    usage->cpu_ms = ticks * 1000 / sysconf(_SC_CLK_TCK);
    usage->rss_bytes = pages * sysconf(_SC_PAGESIZE);
    free(processes);
    return count > 0;
}

/* One process's share of the pages it uses. Its whole RSS where the kernel does not tell; nothing once it has ended. */
static int64_t proportional_bytes(int procfs, const struct process *process)
{
    char path[64], text[4096];
    format_into(path, sizeof path, "%d/smaps_rollup", (int)process->pid);
    if (!read_text_at(procfs, path, text, sizeof text))
        return errno == EACCES || errno == EPERM ? process->rss_pages * sysconf(_SC_PAGESIZE) : 0;
    const char *line = strstr(text, "\nPss:");
    return line ? strtoll(line + 5, NULL, 10) * 1024 : 0;
}

int64_t tree_proportional_bytes(int procfs, pid_t root)
{
    size_t count;
    struct process *processes = snapshot(procfs, root, &count);
    int64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (processes[i].wanted)
            bytes += proportional_bytes(procfs, &processes[i]);
    free(processes);
    return bytes;
}

size_t tree_kill(pid_t root)
{
    int procfs = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (procfs < 0)
        return 0;
    size_t count, killed = 0;
    struct process *processes = snapshot(procfs, root, &count);
    for (size_t i = 0; i < count; i++)
        if (processes[i].wanted && kill(processes[i].pid, SIGKILL) == 0)
            killed++;
    free(processes);
    close(procfs);
    return killed;
}
