/* A run's way out: a network namespace is handed to martlet-egress, outside of the VM, which puts a tap into it.
 *
 * The runner holds one end of a channel to it (egress/main.c) and sends the run's namespace beside one end of a socket
 * pair. The other end is kept as long as the run lasts: its end, whoever closes it, is the end of the way out. So any
 * kit will do, and one that nobody gave a way out has none. */
#include "supervisor.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 5000 };

static int lifetime = -1;

/* False with the reason in `word`. */
static bool answered(int socket, char *word, size_t size)
{
    struct pollfd answer = {.fd = socket, .events = POLLIN};
    if (poll(&answer, 1, ANSWER_MS) <= 0) {
        format_into(word, size, "it does not answer");
        return false;
    }
    ssize_t got = recv(socket, word, size - 1, 0);
    if (got == 1 && word[0] == '+')
        return true;
    word[got > 0 ? got : 0] = 0;
    if (got <= 0)
        format_into(word, size, "it takes no more");
    return false;
}

bool network_give(const struct kit *kit, const struct runner *runner, struct refusal *refusal)
{
    int ends[2];
    char word[160] = "this machine has no program for it";
    close_end(&lifetime);
    if (kit->parts[KIT_NETWORK] >= 0 && runner->confinement.network && runner->egress >= 0) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
            die_errno("socketpair");
        bool sent = pass(runner->egress, "", 1, (int[]){kit->parts[KIT_NETWORK], ends[1]}, 2, MSG_DONTWAIT);
        close(ends[1]);
        if (!sent)
            format_into(word, sizeof word, "its program is gone, or busy");
        if (sent && answered(ends[0], word, sizeof word)) {
            lifetime = ends[0];
            return true;
        }
        close(ends[0]);
    }
    refuse(refusal, "no_network", "There is no way out of this VM: %s.", word);
    return false;
}
