/* The part of an init that hands connections to sshd. */
#include "runner.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

pid_t ssh_hand_off(const struct ssh *ssh, int socket)
{
    /* sshd sets this only when a shell or command starts: a connection that only forwards would wait 40 ms a turn. The
     * banner tells, so that nobody starts a command for that. */
    int one = 1;
    const char *addendum = "-oVersionAddendum=tcp-nodelay";
    if (setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
        warn("TCP_NODELAY was not set");
        addendum = "-oVersionAddendum=none";
    }
    pid_t child = fork();
    if (child < 0)
        warn("no process for an SSH connection");
    if (child == 0) {
        char *const command[] = {(char *)ssh->program, "-i", "-e", "-f", (char *)ssh->config, (char *)addendum,
                                 /* It asks that root owns what is the container's root's. */
                                 ssh->nested ? "-oStrictModes=no" : NULL, NULL};
        char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
        sigset_t none;
        sigemptyset(&none);
        if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || dup2(socket, STDIN_FILENO) < 0 ||
            dup2(socket, STDOUT_FILENO) < 0)
            die_errno("handing a connection to sshd");
        execve(ssh->program, command, environment);
        die_errno(ssh->program);
    }
    close(socket);
    return child;
}
