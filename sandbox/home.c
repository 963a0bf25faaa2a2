/* The size of the home where its storage keeps none: a warden beside the server measures it and, when it is full, has
 * nobody write on.
 *
 * What the home holds is counted by walking through it, which takes long where there is much. So it is counted rarely,
 * and in between the free space of its file system tells how much can have come at most, whoever wrote it: only when
 * that would be too much is it counted again.
 *   full        whoever is of the programs' user may write no byte to any file (RLIMIT_FSIZE), but delete: he gets
 *               EFBIG and SIGXFSZ, as wherever that limit is passed. Until there is room again.
 *   beyond      what can still grow then, by mappings of sparse files, by names alone or by SFTP, is killed as long as
 *               it grows: programs first, and if it was not them, SSH sessions. Those that run when a count is done
 *               need not be those that it is about: so it has to be seen to grow still, and who does nothing meanwhile is
 *               spared, both as long as it may not be somebody who hides.
 * No file is larger than the whole home, by the same limit and from the start (confine.c). A file without a name is
 * found by the descriptors and mappings of those who have it.
 *
 * Where the storage itself keeps the size, as project quotas do, its file system says so and all this is left. */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    TICK_MS = 100,          /* while little room is left */
    CALM_MS = 1000,         /* while that cannot be filled in a second */
    FULL_MS = 50,           /* while writing is forbidden: as long may a new process write */
    COUNT_MS = 200,         /* between two counts at least, and twice as long as one takes */
    FORCED_MS = 60 * 1000,  /* between two counts at most, and fifty times as long as one takes */
    MOST_STRIKES = 3,       /* then it was not the programs */
    MOST_PARDONS = 2,       /* counts in a row that show growth while none is to be seen: of a program that ended in one */
    MAX_NAMELESS = 1024,    /* files without a name that are told apart */
    DOOMED = 256,           /* processes that are told apart, of those to be ended */
    IDLE_MS = 60,           /* who uses no processor for so long does not grow */
};

static const int64_t CALM_BYTES = INT64_C(4) << 30, SLACK_BYTES = INT64_C(64) << 20, BYTES_A_FILE = 16384;

static struct warden {
    const struct config *config;
    int64_t limit, most_files;
    dev_t device;
    int64_t used, files;           /* as counted last */
    int64_t free_bytes, free_files; /* of the file system, at that time */
    int64_t counted_at, count_took;
    bool full;
    int64_t beyond_bytes, beyond_files; /* at the last look beyond; 0: it was not */
    bool ended_some; /* at the last look: what came until they were dead is not growth */
    int strikes;     /* how often programs were ended, and it went on growing */
    int pardons;     /* how often it had grown, and nobody was ended */
} w;

/* ---- Counting --------------------------------------------------------------------------------- */

static void add(const struct stat *about)
{
    int64_t names = S_ISDIR(about->st_mode) || about->st_nlink < 1 ? 1 : (int64_t)about->st_nlink;
    w.used += (int64_t)about->st_blocks * 512 / names; /* each of its names brings its share */
    w.files++;
}

/* Everything below, however deep: one descriptor, and of each directory above only where to go on in it. */
static void count_tree(const char *path)
{
    size_t depth = 0, room = 64;
    long *places = allocate(room * sizeof *places);
    DIR *here = opendir(path);
    while (here) {
        struct dirent *entry = readdir(here);
        if (!entry) {
            int above = depth > 0 ? openat(dirfd(here), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
            struct stat about;
            closedir(here);
            here = NULL;
            if (above < 0)
                break;
            /* Somebody may have moved it meanwhile; never beyond what is counted. */
            if (fstat(above, &about) < 0 || about.st_dev != w.device || !(here = fdopendir(above))) {
                close(above);
                break;
            }
            seekdir(here, places[--depth]);
            continue;
        }
        struct stat about;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            fstatat(dirfd(here), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) < 0 || about.st_dev != w.device)
            continue;
        add(&about);
        if (!S_ISDIR(about.st_mode))
            continue;
        int below = openat(dirfd(here), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *next = below < 0 ? NULL : fdopendir(below);
        if (!next) {
            close_end(&below);
            continue;
        }
        if (depth == room) {
            places = reallocarray(places, room *= 2, sizeof *places);
            if (!places)
                die("out of memory");
        }
        places[depth++] = telldir(here);
        closedir(here);
        here = next;
    }
    free(places);
}

/* ---- Processes of the programs' user ---------------------------------------------------------- */

typedef void visit(pid_t pid, int directory, bool is_session);

static bool is_theirs(int directory)
{
    char text[2048];
    const char *line = read_text_at(directory, "status", text, sizeof text) ? strstr(text, "\nUid:") : NULL;
    return line && strtoul(line + 5, NULL, 10) == w.config->user.uid; /* not the owner in /proc: that can be changed */
}

static ino_t namespace_of(int directory)
{
    struct stat about;
    return fstatat(directory, "ns/pid", &about, 0) < 0 ? 0 : about.st_ino;
}

/* A run could execute sshd too, but not here. */
static bool is_sshd(int directory)
{
    static ino_t own;
    char path[64];
    if (!own) {
        int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        own = self < 0 ? 0 : namespace_of(self);
        close_end(&self);
    }
    ssize_t length = readlinkat(directory, "exe", path, sizeof path - 1);
    if (length < 0 && errno == EACCES) /* no right to look: as it calls itself, which spares it nothing for long */
        return read_text_at(directory, "comm", path, sizeof path) && !strcmp(path, "sshd\n");
    if (length < 0 || namespace_of(directory) != own)
        return false;
    path[length] = 0;
    return !strcmp(path, "/usr/sbin/sshd");
}

static void visit_processes(visit *deed)
{
    DIR *listing = opendir("/proc");
    if (!listing)
        return;
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        int directory = openat(dirfd(listing), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory >= 0 && is_theirs(directory))
            deed((pid_t)strtol(entry->d_name, NULL, 10), directory, is_sshd(directory));
        close_end(&directory);
    }
    closedir(listing);
}

/* ---- Files without a name --------------------------------------------------------------------- */

static ino_t nameless[MAX_NAMELESS];
static size_t nameless_count;

static bool is_new(ino_t number)
{
    for (size_t i = 0; i < nameless_count; i++)
        if (nameless[i] == number)
            return false;
    if (nameless_count < MAX_NAMELESS)
        nameless[nameless_count++] = number;
    return true;
}

static void count_descriptors(pid_t pid, int directory, bool is_session)
{
    (void)pid, (void)is_session;
    int descriptors = openat(directory, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = descriptors < 0 ? NULL : fdopendir(descriptors);
    if (!listing) {
        close_end(&descriptors);
        return;
    }
    struct stat about;
    for (struct dirent *entry; (entry = readdir(listing));)
        if (fstatat(dirfd(listing), entry->d_name, &about, 0) == 0 && about.st_dev == w.device &&
            about.st_nlink == 0 && is_new(about.st_ino))
            add(&about);
    closedir(listing);
}

/* How much of a mapping is there is not told: all of it, then. */
static void count_mappings(pid_t pid, int directory, bool is_session)
{
    (void)pid, (void)is_session;
    int file = openat(directory, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = file < 0 ? NULL : fdopen(file, "r");
    if (!maps) {
        close_end(&file);
        return;
    }
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end, number;
        unsigned major, minor;
        bool cut = !strchr(line, '\n');
        if (sscanf(line, "%lx-%lx %*s %*x %x:%x %lu", &start, &end, &major, &minor, &number) == 5 && number != 0 &&
            makedev(major, minor) == w.device && (cut || strstr(line, " (deleted)\n")) && is_new(number))
            w.used += (int64_t)(end - start);
        while (cut && fgets(line, sizeof line, maps))
            cut = !strchr(line, '\n');
    }
    fclose(maps);
}

/* ---- The count -------------------------------------------------------------------------------- */

static bool look_at_storage(int64_t *bytes, int64_t *files)
{
    struct statfs about;
    if (statfs(w.config->user.home, &about) < 0)
        return false;
    *bytes = (int64_t)about.f_bfree * about.f_bsize;
    *files = (int64_t)about.f_ffree;
    return true;
}

static void count(void)
{
    int64_t began = monotonic_ms();
    look_at_storage(&w.free_bytes, &w.free_files); /* first: what comes while it is counted counts twice at worst */
    w.used = w.files = 0;
    nameless_count = 0;
    count_tree(w.config->user.home);
    visit_processes(count_descriptors);
    visit_processes(count_mappings);
    w.counted_at = monotonic_ms();
    w.count_took = w.counted_at - began;
}

/* Whether it is time to: nothing can have become too much before. */
static bool is_due(int64_t now)
{
    int64_t since = now - w.counted_at, free_bytes, free_files;
    if (since < COUNT_MS || since < 2 * w.count_took)
        return false;
    if (w.full || (since >= FORCED_MS && since >= 50 * w.count_took) || !look_at_storage(&free_bytes, &free_files))
        return true;
    return w.used + w.free_bytes - free_bytes > w.limit || w.files + w.free_files - free_files > w.most_files;
}

/* ---- What is done about it -------------------------------------------------------------------- */

/* Only the soft limit, for the kernel lets no root of a user namespace give the hard one back. Who raises it himself
 * and writes on will be beyond. */
static void let_write(pid_t pid, bool may)
{
    struct rlimit has;
    const struct user *user = &w.config->user;
    bool known = prlimit(pid, RLIMIT_FSIZE, NULL, &has) == 0, borrow = !known && errno == EPERM;
    if (borrow) { /* a root without the right to limit others: as one of them, then ("Permissions", prlimit(2)) */
        if (setresgid(user->gid, (gid_t)-1, (gid_t)-1) < 0 || setresuid(user->uid, (uid_t)-1, (uid_t)-1) < 0)
            die_errno("the warden's real user");
        known = prlimit(pid, RLIMIT_FSIZE, NULL, &has) == 0;
    }
    if (known && has.rlim_cur != (may ? has.rlim_max : 0))
        prlimit(pid, RLIMIT_FSIZE, &(struct rlimit){may ? has.rlim_max : 0, has.rlim_max}, NULL);
    if (borrow && (setresuid(0, (uid_t)-1, (uid_t)-1) < 0 || setresgid(0, (gid_t)-1, (gid_t)-1) < 0))
        die_errno("the warden's real user");
}

static void forbid(pid_t pid, int directory, bool is_session)
{
    (void)directory;
    if (!is_session)
        let_write(pid, false);
}

static void allow(pid_t pid, int directory, bool is_session)
{
    (void)directory;
    if (!is_session)
        let_write(pid, true);
}

static struct {
    int directory; /* of a process in /proc, which pidfd_send_signal takes for it */
    int64_t ticks;
} doomed[DOOMED];
static size_t doomed_count;

/* What a process has used of a processor; -1 if it is gone. */
static int64_t ticks_of(int directory)
{
    char text[1024];
    const char *rest = read_text_at(directory, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    long long user, system;
    if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user, &system) != 2)
        return -1;
    return user + system;
}

static void doom(pid_t pid, int directory)
{
    int copy = doomed_count < DOOMED ? fcntl(directory, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        kill(pid, SIGKILL);
        return;
    }
    doomed[doomed_count].directory = copy;
    doomed[doomed_count++].ticks = ticks_of(directory);
}

static void doom_program(pid_t pid, int directory, bool is_session)
{
    if (!is_session)
        doom(pid, directory);
}

static void doom_session(pid_t pid, int directory, bool is_session)
{
    if (is_session)
        doom(pid, directory);
}

/* The first time those who do nothing are spared: they do not grow, and some of them wait to become the next run. Later it
 * may be somebody who does it while nobody looks. Whether any was ended. */
static bool end(visit *choose, bool is_first)
{
    bool some = false;
    doomed_count = 0;
    visit_processes(choose);
    if (is_first)
        poll(NULL, 0, IDLE_MS);
    for (size_t i = 0; i < doomed_count; i++) {
        int directory = doomed[i].directory;
        if (!is_first || ticks_of(directory) > doomed[i].ticks)
            some |= syscall(SYS_pidfd_send_signal, directory, SIGKILL, NULL, 0) == 0;
        close(directory);
    }
    return some;
}

/* Whether something comes at this moment; of others as well, where the file system is not the home's alone. */
static bool grows_now(void)
{
    int64_t bytes, files, bytes_then, files_then;
    bool known = look_at_storage(&bytes, &files);
    poll(NULL, 0, FULL_MS);
    return !known || !look_at_storage(&bytes_then, &files_then) || bytes_then < bytes || files_then < files;
}

static void judge(void)
{
    bool full = w.used > w.limit || w.files > w.most_files;
    if (full != w.full)
        warn("the home is %s: %lld MB of %lld, %lld files of %lld", full ? "full" : "not full any more",
             (long long)(w.used >> 20), (long long)(w.limit >> 20), (long long)w.files, (long long)w.most_files);
    if (w.full && !full)
        visit_processes(allow);
    w.full = full;
    int64_t slack = w.limit / 20 > SLACK_BYTES ? w.limit / 20 : SLACK_BYTES;
    bool beyond = w.used > w.limit + slack || w.files > w.most_files + w.most_files / 20;
    bool grows = w.used > w.beyond_bytes || w.files > w.beyond_files;
    if (!beyond || !grows) {
        w.strikes = w.pardons = 0;
        w.ended_some = false;
    } else if (w.ended_some) {
        w.ended_some = false;
    } else if (w.pardons < MOST_PARDONS && !grows_now()) {
        w.pardons++;
    } else {
        w.ended_some = end(doom_program, w.strikes == 0);
        if (++w.strikes >= MOST_STRIKES)
            end(doom_session, false);
        warn("the home grows although it is full: %s are ended", w.strikes < MOST_STRIKES ? "programs" : "all");
    }
    w.beyond_bytes = beyond ? w.used : 0;
    w.beyond_files = beyond ? w.files : 0;
}

static int patience(void)
{
    if (w.full)
        return FULL_MS;
    return w.limit - w.used > CALM_BYTES ? CALM_MS : TICK_MS;
}

/* ---- For the server --------------------------------------------------------------------------- */

void home_prepare(struct config *config)
{
    struct statfs about;
    if (!config->home_bytes || statfs(config->user.home, &about) < 0)
        return;
    if ((int64_t)about.f_blocks * about.f_bsize <= config->home_bytes + config->home_bytes / 10)
        config->home_bytes = 0; /* its storage keeps it */
}

void home_main(const struct config *config)
{
    struct stat about;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || stat(config->user.home, &about) < 0)
        die_errno(config->user.home);
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || signal(SIGTERM, SIG_DFL) == SIG_ERR)
        die_errno("signals");
    w.config = config;
    w.device = about.st_dev;
    w.limit = config->home_bytes;
    w.most_files = config->home_bytes / BYTES_A_FILE;
    count();
    w.beyond_bytes = w.used; /* what was there before grows no more */
    w.beyond_files = w.files;
    for (;;) {
        judge();
        do {
            if (w.full)
                visit_processes(forbid);
            poll(NULL, 0, patience());
        } while (!is_due(monotonic_ms()));
        count();
    }
}
