/* `martlet-runner terminal`: shells on terminals of their own, which outlive the connections they are used by.
 *
 *   start  reads {"id", "rows", "columns", "command", "env", "idleSeconds"} from stdin and leaves a holder behind: a
 *          process of the same user that has the shell's PTY. The same id again is the same terminal.
 *   list   those that live.
 *   end    hangs one up, and waits until it is gone.
 *
 * All is done by the VM's user, without a privilege, over SSH. Each answers one line, `martlet-terminal ` and JSON; what
 * else is printed is a login shell's.
 *
 * A holder keeps a lock on ~/.martlet/terminals/ID, so that it lives is known by the lock and not by a number, and
 * listens on a port of the loopback device, which SSH forwards to. Who connects has to say the secret of that file first,
 * which nobody but the user can read. Frames are those of runs (frame.c), with fewer types:
 *
 *   to it    1 {"secret", "rows", "columns", "window"}   2 what is typed   5 u16 rows, u16 columns   6 u32 bytes taken
 *   from it  16 {"replayed", "window"}   17 what is printed   19 {"exitCode"} or {"signal"}   20 {"code", "message"}
 *
 * The last 256 KiB of output are kept in a ring. A client is a place in it: one that is new begins at its oldest byte, one
 * that is slow holds up the program once it is 128 KiB behind. Without a client the program goes on and old output is
 * overwritten. A client that asks for a window gets no more output than that before it says that it has taken some: so
 * little is on its way, in whatever buffers there are, and an interrupt is seen soon. There is one client; a new one takes
 * over. Nothing grows: one frame to send, one buffer of input.
 *
 * It ends with its shell, when it is hung up, and after an hour without a client. */
#include "terminal.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TERMINALS = 256, /* of one user */
    IDLE_SECONDS = 3600,
};

static _Noreturn void answer_command(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (!text || printf("\nmartlet-terminal %s\n", text) < 0 || fflush(stdout) != 0)
        exit(74);
    exit(0);
}

_Noreturn void refuse_command(const char *code, const char *message)
{
    answer_command(json_pack("{s:s, s:s}", "refused", code, "message", message));
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 8) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        refuse_command("internal", strerror(errno));
    *port = ntohs(address.sin_port);
    return listener;
}

static void make_secret(char secret[SECRET_LENGTH + 1])
{
    uint8_t bytes[SECRET_LENGTH / 2];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        die_errno("getrandom");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
}

static void start(void)
{
    json_t *request = json_loadf(stdin, 0, NULL);
    const char *id = json_string_value(json_object_get(request, "id"));
    const char *command = json_string_value(json_object_get(request, "command"));
    json_t *idle = json_object_get(request, "idleSeconds");
    if (!id || !is_terminal_id(id))
        refuse_command("bad_request", "A terminal needs an id of small letters, digits and dashes.");
    int directory = terminals_open();
    bool lives;
    int file = -1;
    while ((file = terminal_take(directory, id, O_CREAT, &lives)) < 0) {
        json_t *said = lives ? terminal_living(directory, id) : NULL;
        if (said)
            answer_command(said);
        if (!lives)
            refuse_command(errno == ENOSPC || errno == EDQUOT ? "disk_full" : "internal", strerror(errno));
    }
    if (terminals_count(directory) > TERMINALS) {
        unlinkat(directory, id, 0);
        refuse_command("too_many", "There are 256 terminals in this VM.");
    }
    static struct holder holder;
    holder = (struct holder){.client.socket = -1, .guest.socket = -1, .alone_since = monotonic_ms()};
    holder.idle_ms = 1000 * (json_is_integer(idle) ? json_integer_value(idle) : IDLE_SECONDS);
    holder.ring = allocate(RING);
    make_secret(holder.secret);
    uint16_t port;
    holder.listener = listen_on_loopback(&port);
    char slave[64];
    holder.master = shell_terminal(slave);
    if (holder.master < 0) {
        int error = errno;
        unlinkat(directory, id, 0);
        refuse_command("no_terminal", strerror(error));
    }
    shell_resize(&holder, 24, 80, false);
    shell_resize(&holder, (unsigned)json_integer_value(json_object_get(request, "rows")),
             (unsigned)json_integer_value(json_object_get(request, "columns")), false);
    json_t *said = json_pack("{s:s, s:i, s:s, s:I, s:s?}", "id", id, "port", (int)port, "secret", holder.secret,
                             "createdAt", (json_int_t)time(NULL), "command", command);
    char **environment = shell_environment(id, json_object_get(request, "env"));
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    pid_t child = fork();
    if (child < 0)
        refuse_command("internal", strerror(errno));
    if (child > 0) { /* the file says who holds it before anybody is told of it; the lock is the child's, too */
        json_object_set_new(said, "pid", json_integer(child));
        terminal_write(directory, file, id, said);
        answer_command(said);
    }
    setsid();
    int nowhere = open("/dev/null", O_RDWR);
    for (int end = 0; nowhere >= 0 && end < 3; end++)
        dup2(nowhere, end);
    holder.signals = signalfd(-1, &blocked, SFD_NONBLOCK | SFD_CLOEXEC);
    holder.shell = holder.signals < 0 ? -1 : fork();
    if (holder.shell == 0)
        become_shell(slave, command, environment);
    if (holder.shell > 0)
        holder_run(&holder);
    unlinkat(directory, id, 0);
    exit(0);
}

static void list(void)
{
    int directory = terminals_open();
    json_t *all = json_array();
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        json_t *said = is_terminal_id(entry->d_name) ? terminal_living(directory, entry->d_name) : NULL;
        if (said)
            json_array_append_new(all, said);
    }
    answer_command(json_pack("{s:o}", "terminals", all));
}

static void end(const char *id)
{
    if (!is_terminal_id(id))
        refuse_command("not_found", "There is no such terminal.");
    int directory = terminals_open();
    json_t *said = terminal_living(directory, id);
    pid_t holder = (pid_t)json_integer_value(json_object_get(said, "pid"));
    if (holder <= 1)
        refuse_command("not_found", "There is no such terminal.");
    kill(holder, SIGTERM);
    for (int tries = 0; tries < 800 && (said = terminal_living(directory, id)); tries++) {
        json_decref(said);
        poll(NULL, 0, 10);
    }
    answer_command(json_pack("{s:s}", "ended", id));
}

int terminal_main(int count, char **words)
{
    if (count == 2 && !strcmp(words[1], "start"))
        start();
    if (count == 2 && !strcmp(words[1], "list"))
        list();
    if (count == 3 && !strcmp(words[1], "end"))
        end(words[2]);
    fprintf(stderr, "Usage: martlet-runner terminal start|list|end ID\n");
    return 64;
}
