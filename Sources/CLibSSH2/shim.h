#ifndef MARTLET_CLIBSSH2_SHIM_H
#define MARTLET_CLIBSSH2_SHIM_H

#include <errno.h>
#include <libssh2.h>
#include <libssh2_sftp.h>
#include <stdint.h>
#include <sys/socket.h>

/* Counts received bytes in the session's abstract pointer: a call on one channel reads packets of all channels,
   so whoever waits must know that something arrived. */
static ssize_t cssh2_recv(libssh2_socket_t fd, void *buffer, size_t length, int flags, void **abstract) {
    ssize_t received = recv(fd, buffer, length, flags);
    if (received < 0) return -errno;
    *(uint64_t *)*abstract += (uint64_t)received;
    return received;
}

static inline void cssh2_count_received(LIBSSH2_SESSION *session) {
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)cssh2_recv);
}

#endif
