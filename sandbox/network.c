/* A run's way out: a network namespace is handed to martlet-egress, outside of the VM, which puts a tap into it.
 *
 * The runner holds one end of a channel to it (egress/main.c) and sends the run's namespace beside one end of a socket
 * pair. The other end is kept as long as the run lasts: its end, whoever closes it, is the end of the way out. So any
 * kit will do, and one that nobody gave a way out has none. It takes longer than a short program runs, so kits that wait
 * have one where the last run of their kind wanted it; runs that are to have none never get such a kit (keeper.c). */
#include "runner.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 5000 };

bool network_ask(struct kit *kit, const struct runner *runner)
{
    int ends[2];
    close_end(&kit->egress);
    kit->asked_out = true;
    if (kit->parts[KIT_NETWORK] < 0 || !runner->confinement.network || runner->egress < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        die_errno("socketpair");
    kit->egress = ends[0];
    bool sent = pass(runner->egress, "", 1, (int[]){kit->parts[KIT_NETWORK], ends[1]}, 2, MSG_DONTWAIT);
    close(ends[1]);
    if (!sent)
        close_end(&kit->egress);
    return sent;
}

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

bool network_granted(struct kit *kit, struct refusal *refusal)
{
    char word[160];
    if (answered(kit->egress, word, sizeof word))
        return true;
    close_end(&kit->egress);
    refuse(refusal, "no_network", "There is no way out of this VM: %s.", word);
    return false;
}

bool network_lasts(const struct kit *kit)
{
    char byte; /* it says nothing more, so what could be read is its end */
    return kit->egress >= 0 && recv(kit->egress, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}
