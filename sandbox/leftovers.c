/* What programs leave in places that they share, where runs have no namespaces of their own.
 *
 * Before a run while no other is going on, what belongs to the programs' user in those places is noted: it is from
 * outside of runs, as a terminal's. After a run while no other is going on, what was not noted is removed. A run that
 * overlaps others leaves that to the last of them, and who was killed in between to the next.
 *
 * Who goes on is a shared lock on a file without a name, so a supervisor that is killed is forgotten by itself. What is
 * removed is removed by the programs' user, who can do no harm with it that he could not do anyway. */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAX_NOTED = 4096, /* what a terminal has beyond that is taken for a run's */
    REMOVAL_S = 60,
};

static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"};
enum { PLACES = sizeof places / sizeof *places };

/* System V's, as the kernel lists them; `creator` is the column of who made it, which no owner can change. */
static const struct kind {
    const char *list;
    int creator;
} kinds[] = {{"/proc/sysvipc/shm", 9}, {"/proc/sysvipc/msg", 9}, {"/proc/sysvipc/sem", 6}};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct leftovers {
    bool unswept; /* runs were begun since it was looked last */
    size_t count;
    struct noted {
        dev_t device; /* or the kind of an IPC object */
        ino_t number;
    } noted[MAX_NOTED];
};

static int lock = -1; /* of this process; its end lets go of it */

static bool applies(const struct runner *runner)
{
    return !runner->confinement.namespaces && runner->confinement.switch_user && runner->leftovers;
}

void leftovers_prepare(struct runner *runner)
{
    if (runner->confinement.namespaces || !runner->confinement.switch_user)
        return;
    runner->leftovers_lock = memfd_create("martlet-runs", MFD_CLOEXEC);
    if (runner->leftovers_lock < 0)
        die_errno("memfd_create");
    runner->leftovers = shared_zeroes(sizeof *runner->leftovers);
    /* Nobody but root can put something where the runs' directories are made. */
    format_into(runner->directory, sizeof runner->directory, "/tmp/martlet-XXXXXX");
    if (!mkdtemp(runner->directory) || chmod(runner->directory, 0711) < 0)
        die_errno("the directory of runs");
}

/* ---- What is there ---------------------------------------------------------------------------- */

/* The file is looked at without being opened or followed. */
static bool is_theirs(const struct runner *runner, int place, const char *name, struct noted *found)
{
    struct stat about;
    if (!strcmp(name, ".") || !strcmp(name, "..") || fstatat(place, name, &about, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    *found = (struct noted){about.st_dev, about.st_ino};
    return about.st_uid == runner->config.user.uid;
}

static bool is_noted(const struct leftovers *all, struct noted found)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->noted[i].device == found.device && all->noted[i].number == found.number)
            return true;
    return false;
}

/* Calls `deed` with each thing of the programs' user; returns whether any call did. */
typedef bool visit(struct leftovers *all, int place, const char *name, struct noted found);

static bool visit_files(const struct runner *runner, visit *deed)
{
    bool any = false;
    for (size_t i = 0; i < PLACES; i++) {
        DIR *listing = opendir(places[i]);
        if (!listing)
            continue;
        struct noted found;
        for (struct dirent *entry; (entry = readdir(listing));)
            if (is_theirs(runner, dirfd(listing), entry->d_name, &found))
                any |= deed(runner->leftovers, dirfd(listing), entry->d_name, found);
        closedir(listing);
    }
    return any;
}

static bool visit_ipc(const struct runner *runner, visit *deed)
{
    bool any = false;
    for (size_t i = 0; i < KINDS; i++) {
        char line[512];
        FILE *list = fopen(kinds[i].list, "re");
        if (!list)
            continue;
        bool heading = true;
        while (fgets(line, sizeof line, list)) {
            long long fields[10] = {0};
            int count = 0;
            for (char *at = line, *end; count < 10; at = end, count++) {
                fields[count] = strtoll(at, &end, 10);
                if (end == at)
                    break;
            }
            if (!heading && count > kinds[i].creator && fields[kinds[i].creator] == runner->config.user.uid)
                any |= deed(runner->leftovers, -1, NULL, (struct noted){i, (ino_t)fields[1]});
            heading = false;
        }
        fclose(list);
    }
    return any;
}

static bool visit_all(const struct runner *runner, visit *deed)
{
    bool files = visit_files(runner, deed);
    return visit_ipc(runner, deed) || files;
}

static bool note(struct leftovers *all, int place, const char *name, struct noted found)
{
    (void)place, (void)name;
    if (all->count < MAX_NOTED)
        all->noted[all->count++] = found;
    return true;
}

/* ---- Removing --------------------------------------------------------------------------------- */

/* Everything in a directory that `wanted` says, however deep: what a directory in it holds comes up into it first, so two
 * descriptors do. */
typedef bool chooser(const struct runner *runner, int place, const char *name);

static bool unlink_or_open(int place, const char *name, int *opened)
{
    *opened = -1;
    if (unlinkat(place, name, 0) == 0 || unlinkat(place, name, AT_REMOVEDIR) == 0)
        return true;
    struct stat about;
    if (fstatat(place, name, &about, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(about.st_mode))
        return false;
    if ((about.st_mode & 0700) != 0700 && fchmodat(place, name, 0700, 0) < 0) /* of a link put there: its owner may */
        return false;
    *opened = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return false;
}

/* Takes a directory's entries away, those that are directories by moving them up. True if something went. */
static bool empty_one(int place, int opened, unsigned long *serial)
{
    bool went = false;
    DIR *listing = fdopendir(opened);
    if (!listing) {
        close(opened);
        return false;
    }
    for (struct dirent *entry; (entry = readdir(listing));) {
        char new[48];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (unlinkat(opened, entry->d_name, 0) == 0 || unlinkat(opened, entry->d_name, AT_REMOVEDIR) == 0) {
            went = true;
            continue;
        }
        format_into(new, sizeof new, ".martlet-removed-%d-%lu", (int)getpid(), ++*serial);
        if (fchmodat(opened, entry->d_name, 0700, 0) == 0 && renameat(opened, entry->d_name, place, new) == 0)
            went = true;
    }
    closedir(listing);
    return went;
}

static void empty(const struct runner *runner, int place, chooser *wanted)
{
    unsigned long serial = 0;
    for (bool went = true; went;) {
        went = false;
        int again = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), opened;
        DIR *listing = again < 0 ? NULL : fdopendir(again);
        if (!listing)
            return;
        for (struct dirent *entry; (entry = readdir(listing));) {
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !wanted(runner, place, entry->d_name))
                continue;
            went |= unlink_or_open(place, entry->d_name, &opened);
            if (opened >= 0) {
                went |= empty_one(place, opened, &serial);
                went |= unlinkat(place, entry->d_name, AT_REMOVEDIR) == 0;
            }
        }
        closedir(listing);
    }
}

static bool anything(const struct runner *runner, int place, const char *name)
{
    (void)runner, (void)place, (void)name;
    return true;
}

static bool unknown(const struct runner *runner, int place, const char *name)
{
    struct noted found;
    return is_theirs(runner, place, name, &found) && !is_noted(runner->leftovers, found);
}

static void become_user(const struct runner *runner)
{
    const struct user *user = &runner->config.user;
    if (runner->confinement.switch_user &&
        (setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0))
        _exit(70);
    alarm(REMOVAL_S);
}

static void wait_for(pid_t child)
{
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

void leftovers_empty(const struct runner *runner, const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        become_user(runner);
        int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (directory < 0 && chmod(path, 0700) == 0)
            directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (directory >= 0) {
            if (fchmod(directory, 0700) == 0)
                empty(runner, directory, anything);
        }
        _exit(0);
    }
    wait_for(child);
}

static bool is_new(struct leftovers *all, int place, const char *name, struct noted found)
{
    (void)place, (void)name;
    return !is_noted(all, found);
}

static bool remove_ipc(struct leftovers *all, int place, const char *name, struct noted found)
{
    (void)place, (void)name;
    if (is_noted(all, found))
        return false;
    int id = (int)found.number;
    return found.device == 0   ? shmctl(id, IPC_RMID, NULL) == 0
           : found.device == 1 ? msgctl(id, IPC_RMID, NULL) == 0
                               : semctl(id, 0, IPC_RMID) == 0;
}

static void sweep(const struct runner *runner)
{
    if (visit_all(runner, is_new)) {
        pid_t child = fork();
        if (child == 0) {
            become_user(runner);
            visit_ipc(runner, remove_ipc);
            for (size_t i = 0; i < PLACES; i++) {
                int place = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (place >= 0)
                    empty(runner, place, unknown);
            }
            _exit(0);
        }
        wait_for(child);
    }
    runner->leftovers->unswept = false;
}

/* ---- Around a run ----------------------------------------------------------------------------- */

void leftovers_begin(const struct runner *runner)
{
    char path[40];
    if (!applies(runner))
        return;
    format_into(path, sizeof path, "/proc/self/fd/%d", runner->leftovers_lock);
    lock = open(path, O_RDWR | O_CLOEXEC); /* a lock of its own: the other would be shared with all forks */
    if (lock < 0)
        die_errno("the lock of runs");
    struct leftovers *all = runner->leftovers;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        if (all->unswept) /* who should have has been killed */
            sweep(runner);
        all->count = 0;
        visit_all(runner, note);
    }
    while (flock(lock, LOCK_SH) < 0)
        if (errno != EINTR)
            die_errno("flock");
    all->unswept = true;
}

void leftovers_end(const struct runner *runner)
{
    if (!applies(runner) || lock < 0)
        return;
    if (flock(lock, LOCK_EX | LOCK_NB) == 0)
        sweep(runner);
    close_end(&lock);
}
