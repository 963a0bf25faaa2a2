/* The machine's side of a local VM's start: steps, taken in order, and the command that the process then becomes. What a
 * shell, unshare(1) and mount(8) would do, in one program instead of five.
 *
 * What is mounted after `unshare` is seen in that mount namespace only, and goes with the last process in it. */
#include "assemble.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

enum {
    MISUSED = 64,
    MOUNT_FAILED = 32,   /* as mount(8) says it */
    LOOP_ATTEMPTS = 1000 /* others may take each device that was free a moment ago */
};

static _Noreturn void mount_failed(const char *what, const char *where)
{
    fprintf(stderr, "martlet-runner: mounting %s at %s: %s\n", what, where, strerror(errno));
    exit(MOUNT_FAILED);
}

/* write TEXT FILE: into a file that is there, such as one of a control group. */
static void write_step(char **words)
{
    if (!write_text_at(AT_FDCWD, words[1], words[0]))
        die("writing '%s' to %s: %s", words[0], words[1], strerror(errno));
}

/* copy FROM TO: a descriptor. */
static void copy_step(char **words)
{
    if (dup2(atoi(words[0]), atoi(words[1])) < 0)
        die("copying descriptor %s to %s: %s", words[0], words[1], strerror(errno));
}

/* unshare: mount and control group namespaces of its own from here on. */
static void unshare_step(char **words)
{
    (void)words;
    if (unshare(CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
        die_errno("unshare");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        mount_failed("nothing of the machine's", "/");
}

/* bind SOURCE TARGET OPTIONS: of the options ro, nosuid and nodev, with commas between them. */
static void bind_step(char **words)
{
    unsigned long flags = 0;
    char *state = NULL;
    for (char *word = strtok_r(words[2], ",", &state); word; word = strtok_r(NULL, ",", &state)) {
        if (!strcmp(word, "ro"))
            flags |= MS_RDONLY;
        else if (!strcmp(word, "nosuid"))
            flags |= MS_NOSUID;
        else if (!strcmp(word, "nodev"))
            flags |= MS_NODEV;
        else
            die("no option of bind: '%s'", word);
    }
    if (mount(words[0], words[1], NULL, MS_BIND, NULL) < 0 ||
        /* a mount that is bound takes its options afterwards */
        (flags && mount(NULL, words[1], NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0))
        mount_failed(words[0], words[1]);
}

/* A loop device over the file, which lets it go by itself with its last user; its name into `device`. */
static int loop_device(const char *image, char *device, size_t size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file = open(image, O_RDWR | O_CLOEXEC);
    if (control < 0 || file < 0)
        return -1;
    int opened = -1;
    for (int attempt = 0; attempt < LOOP_ATTEMPTS && opened < 0; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        format_into(device, size, "/dev/loop%d", number);
        struct loop_config config = {.fd = (unsigned)file, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        strncpy((char *)config.info.lo_file_name, image, LO_NAME_SIZE - 1); /* what losetup(8) shows may be cut */
        opened = open(device, O_RDWR | O_CLOEXEC);
        if (opened < 0)
            break;
        if (ioctl(opened, LOOP_CONFIGURE, &config) < 0) {
            int problem = errno;
            close_end(&opened);
            errno = problem;
            if (problem != EBUSY)
                break;
        }
    }
    int problem = errno;
    close(control);
    close(file);
    errno = problem;
    return opened;
}

/* home IMAGE TARGET: an ext4 file system in a file. */
static void home_step(char **words)
{
    char device[32];
    int loop = loop_device(words[0], device, sizeof device);
    /* Holes stay holes: deleted blocks are given back, tables are not zeroed. */
    if (loop < 0 || mount(device, words[1], "ext4", MS_NOSUID | MS_NODEV | MS_NOATIME, "discard,noinit_itable") < 0)
        mount_failed(words[0], words[1]);
    close(loop);
}

/* cover TARGET: with nothing. */
static void cover_step(char **words)
{
    if (mount("tmpfs", words[0], "tmpfs", 0, "size=4k") < 0)
        mount_failed("tmpfs", words[0]);
}

static const struct {
    const char *name;
    int words;
    void (*take)(char **words);
} steps[] = {
    {"write", 2, write_step}, {"copy", 2, copy_step}, {"unshare", 0, unshare_step},
    {"bind", 3, bind_step},   {"home", 2, home_step}, {"cover", 1, cover_step},
};

/* How many words the step took, the first of which names it. */
static int take_step(int count, char **words)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (!strcmp(words[0], steps[i].name) && count > steps[i].words) {
            steps[i].take(words + 1);
            return 1 + steps[i].words;
        }
    fprintf(stderr, "martlet-runner: no step, or one without its words: %s\n", words[0]);
    exit(MISUSED);
}

int assemble_main(int count, char **words)
{
    while (count > 0 && strcmp(*words, "--")) {
        int taken = take_step(count, words);
        words += taken;
        count -= taken;
    }
    if (count < 2) {
        fprintf(stderr, "martlet-runner: after the steps comes --, and then a command\n");
        return MISUSED;
    }
    execvp(words[1], words + 1);
    die_errno(words[1]);
}
