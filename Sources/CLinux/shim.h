#ifndef MARTLET_CLINUX_SHIM_H
#define MARTLET_CLINUX_SHIM_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* These flags are C enums and macros, awkward in Swift; the GNU functions hide behind _GNU_SOURCE. */
static inline int clinux_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }

static inline int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

/* Adds one to the counter, so that the descriptor is readable. It cannot fail short of 2^64 - 1 unread signals. */
static inline void clinux_eventfd_signal(int descriptor) {
    ssize_t written;
    do written = write(descriptor, &(uint64_t){1}, sizeof(uint64_t));
    while (written < 0 && errno == EINTR);
}

static inline void clinux_eventfd_drain(int descriptor) {
    uint64_t count;
    ssize_t got;
    do got = read(descriptor, &count, sizeof count);
    while (got < 0 && errno == EINTR);
}

/* pidfd_open(2), Linux 5.3: readable when the process has ended. */
static inline int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0u); }

/* wait(2) status macros do not import. */
static inline int clinux_status_exited(int status) { return WIFEXITED(status); }
static inline int clinux_status_code(int status) { return WEXITSTATUS(status); }
static inline int clinux_status_signal(int status) { return WTERMSIG(status); }

/* Non-blocking, close-on-exec pipe: ends[0] is read, ends[1] written. pipe2 hides behind _GNU_SOURCE. */
int pipe2(int ends[2], int flags);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);

int pthread_setname_np(pthread_t thread, const char *name);

#endif
