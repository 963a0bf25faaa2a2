#ifndef MARTLET_CLIBSSH2_SHIM_H
#define MARTLET_CLIBSSH2_SHIM_H

#include <errno.h>
#include <libssh2.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* What libssh2 sends and receives passes through a wire, for two reasons.
   Sending: libssh2 1.10 keeps a half-sent packet in the session and refuses every other packet until the same call
   is repeated with the same pointers, some of which are to its own stack (channel_send_eof). The wire takes every
   packet whole, so no call is ever left half-sent, calls need no order among each other, and the packets of one turn
   of the loop leave in one send(2).
   Receiving: any call may read packets of all channels. The wire gives bytes only while there is an allowance, so
   they are read in one place, and no more at once than the loop can afford.
   Memory: libssh2 keeps for ever what nobody asks for (answers to no question, say). A server that sends such things
   meets a bound, and its connection is lost. */
struct cssh2_wire {
    int descriptor;
    bool is_cut;        /* receives and sends nothing any more: every call ends at once, freeing included */
    uint64_t received;  /* bytes ever received */
    size_t allowance;   /* bytes that may be received now */
    unsigned char *outbox;
    size_t start, end, capacity; /* outbox[start..<end] waits to be sent */
    size_t blocks, bytes;        /* that the library has allocated */
};

/* One turn receives 512 KiB, at worst some ten thousand packets of two blocks each; a channel is a few blocks. */
enum {
    CSSH2_OUTBOX_LIMIT = 4 << 20,
    CSSH2_OUTBOX_KEPT = 64 << 10,
    CSSH2_BYTES_LIMIT = 32 << 20,
    CSSH2_BLOCKS_LIMIT = 64 << 10
};

static inline struct cssh2_wire *cssh2_wire_new(int descriptor) {
    struct cssh2_wire *wire = (struct cssh2_wire *)calloc(1, sizeof *wire);
    if (wire) wire->descriptor = descriptor;
    return wire;
}

static inline void cssh2_wire_free(struct cssh2_wire *wire) {
    free(wire->outbox);
    free(wire);
}

static inline size_t cssh2_wire_unsent(const struct cssh2_wire *wire) { return wire->end - wire->start; }

static void *cssh2_allocate(size_t count, void **abstract) {
    struct cssh2_wire *wire = (struct cssh2_wire *)*abstract;
    void *block;
    if (count > CSSH2_BYTES_LIMIT || wire->bytes > CSSH2_BYTES_LIMIT - count || wire->blocks >= CSSH2_BLOCKS_LIMIT)
        return NULL;
    block = malloc(count);
    if (!block) return NULL;
    wire->blocks += 1;
    wire->bytes += malloc_usable_size(block);
    return block;
}

static void cssh2_free(void *block, void **abstract) {
    struct cssh2_wire *wire = (struct cssh2_wire *)*abstract;
    if (!block) return;
    wire->blocks -= 1;
    wire->bytes -= malloc_usable_size(block);
    free(block);
}

static void *cssh2_reallocate(void *block, size_t count, void **abstract) {
    size_t old = block ? malloc_usable_size(block) : 0;
    void *grown = cssh2_allocate(count, abstract);
    if (!grown) return NULL;
    if (block) memcpy(grown, block, old < count ? old : count);
    cssh2_free(block, abstract);
    return grown;
}

static ssize_t cssh2_receive(libssh2_socket_t descriptor, void *buffer, size_t length, int flags, void **abstract) {
    struct cssh2_wire *wire = (struct cssh2_wire *)*abstract;
    ssize_t received;
    if (wire->is_cut) return -ECONNABORTED;
    if (wire->allowance == 0) return -EAGAIN;
    do received = recv(descriptor, buffer, length < wire->allowance ? length : wire->allowance, flags);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    wire->received += (uint64_t)received;
    wire->allowance -= (size_t)received;
    return received;
}

static ssize_t cssh2_send(libssh2_socket_t descriptor, const void *buffer, size_t length, int flags, void **abstract) {
    struct cssh2_wire *wire = (struct cssh2_wire *)*abstract;
    (void)descriptor;
    (void)flags;
    if (wire->is_cut) return -EPIPE;
    if (wire->start > 0) {
        memmove(wire->outbox, wire->outbox + wire->start, wire->end - wire->start);
        wire->end -= wire->start;
        wire->start = 0;
    }
    if (wire->capacity - wire->end < length) {
        size_t capacity = (wire->end + length) * 2;
        unsigned char *outbox;
        if (wire->end + length > CSSH2_OUTBOX_LIMIT) return -ENOBUFS;
        outbox = (unsigned char *)realloc(wire->outbox, capacity);
        if (!outbox) return -ENOMEM;
        wire->outbox = outbox;
        wire->capacity = capacity;
    }
    memcpy(wire->outbox + wire->end, buffer, length);
    wire->end += length;
    return (ssize_t)length;
}

/* Sends what the socket takes. Returns 0, or the error number; EAGAIN: the rest waits until it is writable. */
static inline int cssh2_wire_flush(struct cssh2_wire *wire) {
    if (wire->is_cut) return EPIPE;
    while (wire->start < wire->end) {
        ssize_t sent = send(wire->descriptor, wire->outbox + wire->start, wire->end - wire->start, MSG_NOSIGNAL);
        if (sent >= 0) wire->start += (size_t)sent;
        else if (errno != EINTR) return errno;
    }
    wire->start = wire->end = 0;
    if (wire->capacity > CSSH2_OUTBOX_KEPT) {
        free(wire->outbox);
        wire->outbox = NULL;
        wire->capacity = 0;
    }
    return 0;
}

static inline LIBSSH2_SESSION *cssh2_session_new(struct cssh2_wire *wire) {
    LIBSSH2_SESSION *session = libssh2_session_init_ex(cssh2_allocate, cssh2_free, cssh2_reallocate, wire);
    if (!session) return NULL;
    libssh2_session_set_blocking(session, 0);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)cssh2_receive);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)cssh2_send);
    return session;
}

/* A stream socket with SOCK_NONBLOCK | SOCK_CLOEXEC (C enums, awkward in Swift). */
static inline int cssh2_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

static inline void cssh2_set_nodelay(int descriptor) {
    int on = 1;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a unix socket has none: harmless */
}

/* The error a connect(2) in progress ended with; 0 when it succeeded. */
static inline int cssh2_connect_error(int descriptor) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

#endif
