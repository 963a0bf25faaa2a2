/* Which pages of a zygote's memory a run writes, so that a fork can have copies of those before it runs.
 *
 * A page that is copied while a program runs costs it a fault; one that is copied and never written costs as much for
 * nothing. Half of an interpreter's pages are written by the time a small program has ended, and which, no two zygotes
 * share: memory is laid out anew in each. So each that is used more than now and then has a fork of its own run a program
 * that comes with the runtime, not with a request (runtimes/README.md, "Warm"). When that ends, pages that it has for
 * itself are those it wrote: the kernel says so in /proc/PID/pagemap (its documentation, "Examining Process Page
 * Tables"). The zygote hears of them through a pipe and its forks find them in their copy of its memory.
 *
 * All this is a hint. What a run writes beyond it is copied then; without an answer, forks copy everything.
 * Part of zygote.c's library, never of the runner. */
#include "rehearsal.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    MAPS_MAX = 256 * 1024,
    RANGES_MAX = 2048, /* half of what a pipe holds */
    ENTRIES = 512,     /* of pagemap, that are read at once */
    REHEARSAL_S = 10,
};

/* Bits of an entry of pagemap. */
#define PRESENT (UINT64_C(1) << 63)
#define OF_A_FILE (UINT64_C(1) << 61)
#define NOBODY_ELSES (UINT64_C(1) << 56)

struct range {
    uintptr_t start, end;
};

static struct range written[RANGES_MAX];
static size_t written_count; /* 0: not known */
static int answer = -1;
static size_t answer_length;
static pid_t rehearsal;

/* Calls `deed` with everything that a write to it would copy. */
static void each_private_mapping(void (*deed)(struct range mapping))
{
    char *text = allocate(MAPS_MAX), *line = text;
    if (read_text_at(AT_FDCWD, "/proc/self/maps", text, MAPS_MAX))
        for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            unsigned long start, end;
            char writable, shared;
            if (sscanf(line, "%lx-%lx r%c%*c%c", &start, &end, &writable, &shared) == 4 && writable == 'w' &&
                shared == 'p')
                deed((struct range){start, end});
        }
    free(text);
}

/* ---- In the rehearsal ------------------------------------------------------------------------- */

static int pagemap, told;
static size_t page;

static void note(uintptr_t address)
{
    if (written_count > 0 && written[written_count - 1].end == address)
        written[written_count - 1].end += page;
    else if (written_count < RANGES_MAX)
        written[written_count++] = (struct range){address, address + page};
}

static void note_mapping(struct range mapping)
{
    uint64_t entries[ENTRIES];
    while (mapping.start < mapping.end) {
        size_t wanted = (mapping.end - mapping.start) / page;
        ssize_t got = pread(pagemap, entries, (wanted < ENTRIES ? wanted : ENTRIES) * sizeof *entries,
                            (off_t)(mapping.start / page * sizeof *entries));
        if (got < (ssize_t)sizeof *entries)
            return;
        for (size_t i = 0; i < (size_t)got / sizeof *entries; i++, mapping.start += page)
            if ((entries[i] & (PRESENT | OF_A_FILE | NOBODY_ELSES)) == (PRESENT | NOBODY_ELSES))
                note(mapping.start);
    }
}

static void tell(void)
{
    size_t size;
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    page = (size_t)sysconf(_SC_PAGESIZE);
    if (pagemap >= 0)
        each_private_mapping(note_mapping);
    size = written_count * sizeof *written;
    _exit(write(told, written, size) != (ssize_t)size);
}

/* The channel with a launch on it: no words beyond those of the zygote, and a home that is nowhere. */
static int prepare_launch(void)
{
    static const char texts[] = "run\0\0000\0001\0HOME=/nonexistent";
    char header[LAUNCH_HEADER + 1];
    int ends[2];
    format_into(header, sizeof header, "%*zu\n", LAUNCH_HEADER - 1, sizeof texts);
    if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], header, LAUNCH_HEADER) != LAUNCH_HEADER ||
        write(ends[1], texts, sizeof texts) != sizeof texts)
        _exit(70);
    close(ends[1]);
    return ends[0];
}

static void become_rehearsal(int told_to)
{
    told = told_to;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC), launch = prepare_launch();
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (dup2(nowhere, stream) < 0)
            _exit(70);
    if (dup3(launch, WARM_DESCRIPTOR, O_CLOEXEC) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || atexit(tell) != 0)
        _exit(70);
    close(launch);
    close(nowhere);
    close(WARM_LIBRARY);
    close(WARM_PLAN);
    alarm(REHEARSAL_S);
    if (nice(10) < 0)
        errno = 0; /* runs do not wait for it */
}

/* ---- In the zygote ---------------------------------------------------------------------------- */

bool rehearsal_begin(void)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    rehearsal = fork();
    if (rehearsal == 0) {
        close(ends[0]);
        become_rehearsal(ends[1]);
        return true;
    }
    close(ends[1]);
    if (rehearsal > 0)
        answer = ends[0];
    else
        close(ends[0]);
    return false;
}

static void collect(void)
{
    while (answer >= 0) {
        ssize_t got = read(answer, (char *)written + answer_length, sizeof written - answer_length);
        if (got < 0 && errno == EAGAIN)
            return; /* it goes on */
        if (got > 0) {
            answer_length += (size_t)got;
            if (answer_length < sizeof written)
                continue;
        }
        close_end(&answer);
        waitpid(rehearsal, NULL, 0);
        written_count = answer_length / sizeof *written;
    }
}

void rehearsal_attend(int inbox)
{
    while (answer >= 0) {
        struct pollfd watched[] = {{.fd = inbox, .events = POLLIN}, {.fd = answer, .events = POLLIN}};
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            return;
        collect();
        if (watched[0].revents)
            return;
    }
}

/* ---- In a run --------------------------------------------------------------------------------- */

static void own(struct range range)
{
    madvise((void *)range.start, range.end - range.start,
            MADV_POPULATE_WRITE); /* refused before Linux 5.14, and for stacks */
}

void own_memory(void)
{
    for (size_t i = 0; i < written_count; i++)
        own(written[i]);
    if (written_count == 0)
        each_private_mapping(own);
}
