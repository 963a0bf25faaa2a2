/* The process that a terminal is: it keeps what is printed, and serves whoever is attached, until its shell ends. */
#include "terminal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BEHIND = 128 * 1024,  /* how far a client may be */
    HANG_UP_MS = 2000,    /* from SIGHUP to SIGKILL */
    LAST_WORDS_MS = 5000, /* for a client to take the end */
    GREETING_MS = 5000,   /* for a connection to say the secret */
};

static void read_printed(struct holder *holder)
{
    size_t from = (size_t)(holder->printed % RING), room = RING - from;
    ssize_t count = read(holder->master, holder->ring + from, room < CHUNK ? room : CHUNK);
    if (count > 0)
        holder->printed += (uint64_t)count;
    else if (holder->ended && !(count < 0 && errno == EINTR))
        holder->dry = true;
    else if (count < 0 && errno == EIO)
        poll(NULL, 0, 10); /* no process has it open: the shell is about to end, or to open it */
}

static void hang_up(struct holder *holder)
{
    if (holder->hung_up)
        return;
    holder->hung_up = monotonic_ms();
    kill(-holder->shell, SIGHUP);
    kill(-holder->shell, SIGCONT);
}

static void take_signals(struct holder *holder)
{
    struct signalfd_siginfo info;
    while (read(holder->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGTERM)
            hang_up(holder);
        int status;
        while (!holder->ended && waitpid(holder->shell, &status, WNOHANG) == holder->shell) {
            holder->ended = true;
            holder->status = status;
            holder->ended_at = monotonic_ms();
        }
    }
}

static void take_guest(struct holder *holder)
{
    int socket = accept4(holder->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0)
        return;
    if (holder->guest.socket >= 0) /* who connects and says nothing keeps nobody out */
        client_clear(&holder->guest);
    int yes = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    holder->guest.socket = socket;
    holder->guest.since = monotonic_ms();
}

static void drop_client(struct holder *holder)
{
    client_clear(&holder->client);
    holder->alone_since = monotonic_ms();
}

static bool is_behind(const struct holder *holder)
{
    const struct client *client = &holder->client;
    return client->socket >= 0 && holder->printed - client->place >= (client->window ? CHUNK : BEHIND);
}

static int next_timeout(const struct holder *holder)
{
    if (holder->ended || holder->hung_up)
        return 100;
    if (holder->guest.socket >= 0)
        return 1000;
    if (holder->client.socket >= 0)
        return -1;
    int64_t left = holder->alone_since + holder->idle_ms - monotonic_ms();
    return left < 0 ? 1 : left > 60 * 1000 ? 60 * 1000 : (int)left + 1;
}

void holder_run(struct holder *holder)
{
    enum { LISTENER, SIGNALS, MASTER, CLIENT, GUEST, COUNT };
    struct client *client = &holder->client, *guest = &holder->guest;
    while (true) {
        bool stuck = client->socket >= 0 && holder->stuck, sending = client->sent < client->filled;
        bool reads = client->end - client->start < INPUT / 2;
        struct pollfd ends[COUNT] = {
            [LISTENER] = {holder->listener, POLLIN, 0},
            [SIGNALS] = {holder->signals, POLLIN, 0},
            [MASTER] = {holder->dry || (is_behind(holder) && !stuck) ? -1 : holder->master,
                        (short)((is_behind(holder) ? 0 : POLLIN) | (stuck ? POLLOUT : 0)), 0},
            [CLIENT] = {client->socket, (short)(POLLRDHUP | (reads ? POLLIN : 0) | (sending ? POLLOUT : 0)), 0},
            [GUEST] = {guest->socket, POLLIN, 0},
        };
        if (poll(ends, COUNT, next_timeout(holder)) < 0 && errno != EINTR)
            die_errno("poll");
        int64_t now = monotonic_ms();
        if (ends[SIGNALS].revents)
            take_signals(holder);
        if (ends[LISTENER].revents)
            take_guest(holder);
        else if (ends[GUEST].revents && (!client_receive(guest) || !guest_greet(holder)))
            client_clear(guest);
        if (guest->socket >= 0 && now - guest->since > GREETING_MS)
            client_clear(guest);
        short seen = ends[CLIENT].fd == client->socket ? ends[CLIENT].revents : 0;
        if (client->socket >= 0 && seen & (POLLIN | POLLERR | POLLHUP | POLLRDHUP)) {
            if (!reads || !client_receive(client))
                drop_client(holder);
        }
        if (client->socket >= 0 && !client_type(holder))
            drop_client(holder);
        if (!is_behind(holder) && !holder->dry && (holder->ended || ends[MASTER].revents & (POLLIN | POLLHUP | POLLERR)))
            read_printed(holder);
        if (client->socket >= 0 && !client_send(holder))
            drop_client(holder);
        if (client->socket < 0 && !holder->ended && now - holder->alone_since > holder->idle_ms)
            hang_up(holder);
        if (holder->hung_up && !holder->ended && now - holder->hung_up > HANG_UP_MS)
            kill(-holder->shell, SIGKILL);
        bool told = client->socket < 0 || (client->told_end && client->sent == client->filled);
        if (holder->ended && ((holder->dry && told) || now - holder->ended_at > LAST_WORDS_MS))
            return;
    }
}
