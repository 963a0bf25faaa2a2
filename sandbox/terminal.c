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
 * little is on its way, in whatever buffers there are, and an interrupt is seen soon. There is one client; a new one takes over. Nothing grows: one frame to send, one buffer of input.
 *
 * It ends with its shell, when it is hung up, and after an hour without a client. */
#include "runner.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    RING = 256 * 1024,
    BEHIND = 128 * 1024, /* how far a client may be */
    CHUNK = 16 * 1024,
    WINDOW_MIN = 4 * 1024,
    WINDOW_MAX = 1024 * 1024,
    INPUT = 64 * 1024, /* of a client, not yet typed; the longest frame */
    FIRST_FRAME = 4096,
    TERMINALS = 256, /* of one user */
    TEXT = 8192,
    IDLE_SECONDS = 3600,
    HANG_UP_MS = 2000,  /* from SIGHUP to SIGKILL */
    LAST_WORDS_MS = 5000, /* for a client to take the end */
    GREETING_MS = 5000, /* for a connection to say the secret */
};

struct client {
    int socket; /* -1: there is none */
    bool welcome;
    int64_t since;
    uint8_t input[INPUT];
    size_t start, end;
    uint8_t output[FRAME_HEADER + CHUNK];
    size_t sent, filled;
    uint64_t place; /* in the output, what is in `output` counted as sent */
    uint64_t window, untaken; /* most bytes of output that it may not yet have taken, and how many are; 0: no such bound */
    bool told_end;
};

struct holder {
    char id[65], secret[SECRET_LENGTH + 1];
    int listener, master, signals;
    pid_t shell;
    int status;
    bool ended;        /* the shell has */
    bool dry;          /* and all that it printed is read */
    int64_t hung_up;   /* when; 0: not */
    int64_t ended_at, alone_since, idle_ms;
    uint64_t printed;
    struct client client, guest; /* a guest has not said the secret yet */
    bool stuck; /* the terminal takes no more of what is typed */
    char *ring;
};

/* ---- Names and files -------------------------------------------------------------------------- */

static bool is_id(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length >= 1 && length <= 64 && !text[length] && text[0] != '-';
}

static _Noreturn void answer(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (!text || printf("\nmartlet-terminal %s\n", text) < 0 || fflush(stdout) != 0)
        exit(74);
    exit(0);
}

static _Noreturn void refuse_command(const char *code, const char *message)
{
    answer(json_pack("{s:s, s:s}", "refused", code, "message", message));
}

/* The directory of the user's terminals. */
static int open_directory(void)
{
    const char *home = getenv("HOME");
    int at = open(home && *home ? home : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *const *name = (const char *const[]){".martlet", "terminals", NULL}; at >= 0 && *name; name++) {
        if (mkdirat(at, *name, 0700) < 0 && errno != EEXIST)
            refuse_command(errno == ENOSPC || errno == EDQUOT ? "disk_full" : "no_directory", strerror(errno));
        int next = openat(at, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(at);
        at = next;
    }
    if (at < 0)
        refuse_command("no_directory", strerror(errno));
    return at;
}

/* The file of a terminal with its lock taken, or -1 if it lives (`*lives`) or cannot be had. */
static int take_file(int directory, const char *id, int flags, bool *lives)
{
    *lives = false;
    while (true) {
        int file = openat(directory, id, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
        if (file < 0)
            return -1;
        if (flock(file, LOCK_EX | LOCK_NB) < 0) {
            *lives = errno == EWOULDBLOCK;
            close(file);
            return -1;
        }
        struct stat seen;
        if (fstat(file, &seen) == 0 && seen.st_nlink > 0)
            return file;
        close(file); /* its holder went in between */
    }
}

/* What the file of a living terminal says; NULL if it does not live, or says nothing within two seconds. */
static json_t *living(int directory, const char *id)
{
    for (int tries = 0; tries < 200; tries++) {
        bool lives;
        int file = take_file(directory, id, 0, &lives);
        if (file >= 0) { /* left by one that was killed */
            unlinkat(directory, id, 0);
            close(file);
        }
        if (!lives)
            return NULL;
        char text[TEXT];
        json_t *said = read_text_at(directory, id, text, sizeof text) ? json_loads(text, 0, NULL) : NULL;
        if (said)
            return said;
        poll(NULL, 0, 10);
    }
    return NULL;
}

/* ---- Sending ---------------------------------------------------------------------------------- */

static void client_clear(struct client *client)
{
    close_end(&client->socket);
    client->start = client->end = client->sent = client->filled = 0;
    client->told_end = client->welcome = false;
    client->window = client->untaken = 0;
}

static void stage_frame(struct client *client, enum frame_type type, const void *bytes, size_t length)
{
    frame_header(client->output, type, (uint32_t)length);
    memcpy(client->output + FRAME_HEADER, bytes, length);
    client->sent = 0;
    client->filled = FRAME_HEADER + length;
}

static void stage_text(struct client *client, enum frame_type type, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text)
        stage_frame(client, type, text, strlen(text));
    free(text);
    json_decref(object);
}

static void stage_end(struct holder *holder)
{
    if (WIFSIGNALED(holder->status))
        stage_text(&holder->client, FRAME_EXIT, json_pack("{s:s}", "signal", signal_name(WTERMSIG(holder->status))));
    else
        stage_text(&holder->client, FRAME_EXIT, json_pack("{s:i}", "exitCode", WEXITSTATUS(holder->status)));
    holder->client.told_end = true;
}

/* Sends until the socket takes no more or there is no more. False if the client is gone. */
static bool client_send(struct holder *holder)
{
    struct client *client = &holder->client;
    while (true) {
        while (client->sent < client->filled) {
            ssize_t count = send(client->socket, client->output + client->sent, client->filled - client->sent,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
            if (count < 0)
                return errno == EAGAIN || errno == EINTR;
            client->sent += (size_t)count;
        }
        uint64_t left = holder->printed - client->place;
        if (left > 0) {
            size_t from = (size_t)(client->place % RING), length = left < CHUNK ? (size_t)left : CHUNK;
            if (length > RING - from)
                length = RING - from;
            if (client->window && length > client->window - client->untaken)
                length = (size_t)(client->window - client->untaken);
            if (length == 0)
                return true;
            stage_frame(client, FRAME_STDOUT, holder->ring + from, length);
            client->place += length;
            client->untaken += length;
        } else if (holder->dry && !client->told_end) {
            stage_end(holder);
        } else {
            return true;
        }
    }
}

/* ---- Receiving -------------------------------------------------------------------------------- */

static void set_size(struct holder *holder, unsigned rows, unsigned columns, bool redraw)
{
    struct winsize now = {0}, size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    if (rows < 1 || columns < 1 || rows > 1000 || columns > 1000)
        return;
    ioctl(holder->master, TIOCGWINSZ, &now);
    if (now.ws_row != size.ws_row || now.ws_col != size.ws_col) {
        ioctl(holder->master, TIOCSWINSZ, &size);
    } else if (redraw) { /* the kernel says it of changes only */
        pid_t group = 0;
        if (ioctl(holder->master, TIOCGPGRP, &group) == 0 && group > 0)
            kill(-group, SIGWINCH);
    }
}

static bool same_secret(const char *left, const char *right)
{
    unsigned char difference = strlen(left) != SECRET_LENGTH;
    for (size_t i = 0; !difference && i < SECRET_LENGTH; i++)
        difference |= (unsigned char)(left[i] ^ right[i]);
    return !difference;
}

static size_t frame_length(const uint8_t *header)
{
    return header[1] | (size_t)header[2] << 8 | (size_t)header[3] << 16 | (size_t)header[4] << 24;
}

/* Reads what is there. False if the client has closed. */
static bool client_receive(struct client *client)
{
    if (client->start > 0) {
        memmove(client->input, client->input + client->start, client->end - client->start);
        client->end -= client->start;
        client->start = 0;
    }
    if (client->end == sizeof client->input)
        return true;
    ssize_t count = recv(client->socket, client->input + client->end, sizeof client->input - client->end, MSG_DONTWAIT);
    if (count > 0)
        client->end += (size_t)count;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

/* A guest's first frame: it becomes the client. False if it is to go. */
static bool guest_greet(struct holder *holder)
{
    struct client *guest = &holder->guest;
    if (guest->end < FRAME_HEADER)
        return true;
    size_t length = frame_length(guest->input);
    if (guest->input[0] != FRAME_REQUEST || length > FIRST_FRAME)
        return false;
    if (guest->end < FRAME_HEADER + length)
        return true;
    json_t *said = json_loadb((const char *)guest->input + FRAME_HEADER, length, 0, NULL);
    const char *secret = json_string_value(json_object_get(said, "secret"));
    bool good = secret && same_secret(secret, holder->secret);
    unsigned rows = (unsigned)json_integer_value(json_object_get(said, "rows"));
    unsigned columns = (unsigned)json_integer_value(json_object_get(said, "columns"));
    json_int_t window = json_integer_value(json_object_get(said, "window"));
    json_decref(said);
    if (window != 0 && (window < WINDOW_MIN || window > WINDOW_MAX))
        good = false;
    if (!good)
        return false;
    struct client *client = &holder->client;
    if (client->socket >= 0) {
        if (client->sent == client->filled) { /* else it is in the middle of a frame, and slow */
            stage_text(client, FRAME_REFUSED,
                       json_pack("{s:s, s:s}", "code", "taken", "message", "The terminal was opened elsewhere."));
            if (send(client->socket, client->output, client->filled, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                client->sent = 0;
        }
        client_clear(client);
    }
    client->socket = guest->socket;
    client->welcome = true;
    client->end = guest->end - FRAME_HEADER - length;
    memcpy(client->input, guest->input + FRAME_HEADER + length, client->end);
    guest->socket = -1;
    client_clear(guest);
    client->window = (uint64_t)window;
    client->untaken = 0;
    client->place = holder->printed > RING ? holder->printed - RING : 0;
    if (client->place > 0) { /* its beginning is in the middle of something: of a line, at least */
        uint64_t place = client->place;
        while (place < client->place + TEXT && holder->ring[place % RING] != '\n')
            place++;
        client->place = place;
    }
    stage_text(client, FRAME_STARTED, json_pack("{s:I, s:I}", "replayed", (json_int_t)(holder->printed - client->place),
                                                "window", window));
    set_size(holder, rows, columns, true);
    return true;
}

/* Types what has come, as far as the terminal takes it. False if the client said something wrong. */
static bool client_type(struct holder *holder)
{
    struct client *client = &holder->client;
    holder->stuck = false;
    while (client->end - client->start >= FRAME_HEADER) {
        uint8_t *frame = client->input + client->start;
        size_t length = frame_length(frame), here = client->end - client->start - FRAME_HEADER;
        if (length > INPUT - FRAME_HEADER)
            return false;
        if (frame[0] == FRAME_WINDOW) {
            if (length != 4)
                return false;
            if (here < length)
                return true;
            set_size(holder, frame[5] | frame[6] << 8, frame[7] | frame[8] << 8, false);
        } else if (frame[0] == FRAME_TAKEN) {
            if (length != 4)
                return false;
            if (here < length)
                return true;
            uint32_t taken = (uint32_t)(frame[5] | frame[6] << 8 | frame[7] << 16) | (uint32_t)frame[8] << 24;
            if (!client->window || taken > client->untaken)
                return false;
            client->untaken -= taken;
        } else if (frame[0] == FRAME_STDIN) {
            if (here < length)
                return true;
            ssize_t count = length ? write(holder->master, frame + FRAME_HEADER, length) : 0;
            if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
                holder->stuck = true;
                return true;
            }
            if (count >= 0 && (size_t)count < length) { /* the rest becomes a frame of its own */
                client->start += (size_t)count;
                frame_header(client->input + client->start, FRAME_STDIN, (uint32_t)(length - (size_t)count));
                holder->stuck = true;
                return true;
            }
        } else {
            return false;
        }
        client->start += FRAME_HEADER + length;
    }
    return true;
}

/* ---- The shell -------------------------------------------------------------------------------- */

static _Noreturn void become_shell(const char *slave, const char *command, char **environment)
{
    const char *home = getenv("HOME"), *shell = getenv("SHELL");
    if (!shell || access(shell, X_OK) < 0)
        shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    setsid();
    int terminal = open(slave, O_RDWR);
    if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
        _exit(126);
    for (int end = 0; end < 3; end++)
        dup2(terminal, end);
    close_range(3, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (home && chdir(home) < 0 && chdir("/") < 0)
        _exit(126);
    char name[256];
    const char *last = strrchr(shell, '/');
    snprintf(name, sizeof name, "-%s", last ? last + 1 : shell);
    if (command)
        execve(shell, (char *[]){name + 1, "-c", (char *)command, NULL}, environment);
    else
        execve(shell, (char *[]){name, NULL}, environment);
    dprintf(2, "%s cannot be started: %s\r\n", shell, strerror(errno));
    _exit(127);
}

static char **shell_environment(const char *id, const json_t *more)
{
    extern char **environ;
    json_t *all = json_object();
    for (char **each = environ; *each; each++) {
        const char *end = strchr(*each, '=');
        if (!end || !strncmp(*each, "SSH_", 4))
            continue;
        char *name = strndup(*each, (size_t)(end - *each));
        if (name)
            json_object_set_new(all, name, json_string(end + 1));
        free(name);
    }
    json_object_set_new(all, "TERM", json_string("xterm-256color"));
    json_object_set_new(all, "COLORTERM", json_string("truecolor"));
    if (!json_object_get(all, "LANG"))
        json_object_set_new(all, "LANG", json_string("C.UTF-8"));
    json_object_set_new(all, "MARTLET_TERMINAL", json_string(id));
    json_object_update(all, (json_t *)more);
    return environment_texts(all);
}

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

/* ---- The holder ------------------------------------------------------------------------------- */

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

static void hold(struct holder *holder)
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

/* ---- Commands --------------------------------------------------------------------------------- */

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

static size_t count_terminals(int directory)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    size_t count = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        count += is_id(entry->d_name);
    if (entries)
        closedir(entries);
    return count;
}

static void make_secret(char secret[SECRET_LENGTH + 1])
{
    uint8_t bytes[SECRET_LENGTH / 2];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        die_errno("getrandom");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
}

static void write_file(int directory, int file, const char *id, json_t *said)
{
    char *text = json_dumps(said, JSON_COMPACT);
    if (!text || write(file, text, strlen(text)) != (ssize_t)strlen(text)) {
        int error = errno;
        unlinkat(directory, id, 0);
        refuse_command(error == ENOSPC || error == EDQUOT ? "disk_full" : "internal", strerror(error));
    }
    free(text);
}

static void start(void)
{
    json_t *request = json_loadf(stdin, 0, NULL);
    const char *id = json_string_value(json_object_get(request, "id"));
    const char *command = json_string_value(json_object_get(request, "command"));
    json_t *idle = json_object_get(request, "idleSeconds");
    if (!id || !is_id(id))
        refuse_command("bad_request", "A terminal needs an id of small letters, digits and dashes.");
    int directory = open_directory();
    bool lives;
    int file = -1;
    while ((file = take_file(directory, id, O_CREAT, &lives)) < 0) {
        json_t *said = lives ? living(directory, id) : NULL;
        if (said)
            answer(said);
        if (!lives)
            refuse_command(errno == ENOSPC || errno == EDQUOT ? "disk_full" : "internal", strerror(errno));
    }
    if (count_terminals(directory) > TERMINALS) {
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
    holder.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    char slave[64];
    if (holder.master < 0 || grantpt(holder.master) < 0 || unlockpt(holder.master) < 0 ||
        ptsname_r(holder.master, slave, sizeof slave) != 0) {
        int error = errno;
        unlinkat(directory, id, 0);
        refuse_command("no_terminal", strerror(error));
    }
    struct termios modes;
    if (tcgetattr(holder.master, &modes) == 0) {
        modes.c_iflag |= IUTF8;
        tcsetattr(holder.master, TCSANOW, &modes);
    }
    set_size(&holder, 24, 80, false);
    set_size(&holder, (unsigned)json_integer_value(json_object_get(request, "rows")),
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
        write_file(directory, file, id, said);
        answer(said);
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
        hold(&holder);
    unlinkat(directory, id, 0);
    exit(0);
}

static void list(void)
{
    int directory = open_directory();
    json_t *all = json_array();
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        json_t *said = is_id(entry->d_name) ? living(directory, entry->d_name) : NULL;
        if (said)
            json_array_append_new(all, said);
    }
    answer(json_pack("{s:o}", "terminals", all));
}

static void end(const char *id)
{
    if (!is_id(id))
        refuse_command("not_found", "There is no such terminal.");
    int directory = open_directory();
    json_t *said = living(directory, id);
    pid_t holder = (pid_t)json_integer_value(json_object_get(said, "pid"));
    if (holder <= 1)
        refuse_command("not_found", "There is no such terminal.");
    kill(holder, SIGTERM);
    for (int tries = 0; tries < 800 && (said = living(directory, id)); tries++) {
        json_decref(said);
        poll(NULL, 0, 10);
    }
    answer(json_pack("{s:s}", "ended", id));
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
