/* Descriptors from one process to another, beside a message, over a UNIX socket (SCM_RIGHTS, unix(7)). */
#include "runner.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union passed {
    struct cmsghdr header;
    char space[CMSG_SPACE(PASS_MAX * sizeof(int))];
};

bool pass(int socket, const void *bytes, size_t length, const int *descriptors, size_t count, int flags)
{
    struct iovec body = {(void *)bytes, length};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1};
    union passed passed = {0};
    if (count > 0) {
        message.msg_control = passed.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    ssize_t sent;
    while ((sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags)) < 0 && errno == EINTR)
        ;
    return sent == (ssize_t)length;
}

ssize_t receive_passed(int socket, void *bytes, size_t length, int descriptors[PASS_MAX], size_t *count, int flags)
{
    struct iovec body = {bytes, length};
    union passed passed;
    struct msghdr message = {
        .msg_iov = &body, .msg_iovlen = 1, .msg_control = passed.space, .msg_controllen = sizeof passed.space};
    *count = 0;
    ssize_t got;
    while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(descriptors, CMSG_DATA(header), *count * sizeof(int));
    }
    return got;
}
